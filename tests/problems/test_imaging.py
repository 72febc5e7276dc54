"""Ready-made problems hold what they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.problems import imaging

SMALL = np.random.default_rng(4).random((24, 20)).astype(np.float32)

BUILDERS: list[tuple[Any, dict[str, Any]]] = [
    (imaging.few_view_ct, {"views": 12}),
    (imaging.limited_angle_ct, {"views": 12, "degrees": 90.0}),
    (imaging.denoising, {}),
    (imaging.deblurring, {"sigma": 1.0}),
    (imaging.inpainting, {}),
    (imaging.compressed_sensing_mri, {}),
]


@pytest.mark.parametrize(("build", "options"), BUILDERS)
def test_data_are_the_image_seen_through_the_operator_plus_noise(build: Any, options: dict[str, Any]) -> None:
    problem = build(SMALL, **options)
    assert np.array_equal(problem.truth, SMALL)
    assert problem.data.shape == problem.operator.range_shape
    error = problem.data - problem.operator(problem.truth)
    seen = error[error != 0]
    parts = np.concatenate([seen.real, seen.imag]) if np.iscomplexobj(seen) else seen
    assert np.std(parts) == pytest.approx(problem.noise_level, rel=0.25)
    clean = build(SMALL, **options, noise=0.0)
    assert np.array_equal(clean.data, clean.operator(SMALL))
    assert clean.noise_level == 0.0


@pytest.mark.parametrize(("build", "options"), BUILDERS)
def test_a_seed_gives_the_same_data_and_another_seed_other_data(build: Any, options: dict[str, Any]) -> None:
    first, again, other = build(SMALL, **options), build(SMALL, **options), build(SMALL, **options, seed=1)
    assert np.array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)


@pytest.mark.parametrize(("build", "options"), BUILDERS)
def test_total_variation_brings_the_truth_nearer(build: Any, options: dict[str, Any]) -> None:
    blocks = np.zeros((24, 20), np.float32)
    blocks[6:18, 5:14] = 0.8
    problem = build(blocks, **options)
    weight = max(problem.noise_level, 1e-3)
    result = wp.minimize(problem.data_fit + weight * wp.TotalVariation() + wp.Box(0.0, 1.0))
    assert result.converged
    assert problem.psnr(result.x) > 22


def test_the_default_ct_slice_is_an_image_between_0_and_1() -> None:
    problem = imaging.few_view_ct(size=48, views=10)
    assert problem.truth.shape == (48, 48)
    assert problem.truth.min() >= 0
    assert 0.5 < problem.truth.max() <= 1
    assert problem.data.dtype == np.float32


@pytest.mark.parametrize(
    ("build", "options", "words"),
    [
        (imaging.few_view_ct, {"views": 0}, "views"),
        (imaging.limited_angle_ct, {"degrees": 270.0}, "degrees"),
        (imaging.denoising, {"noise": -0.1}, "noise"),
        (imaging.inpainting, {"keep": 0.0}, "keep"),
        (imaging.compressed_sensing_mri, {"keep": 1.5}, "keep"),
        (imaging.denoising, {"image": np.array([[np.nan, 1.0]])}, "non-finite"),
    ],
)
def test_bad_input_is_named(build: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(**options)
