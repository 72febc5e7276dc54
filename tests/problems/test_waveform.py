"""The problem of waveform inversion: its data, its truth, and that it can be solved."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.problems.waveform import layers

SMALL = layers((20, 32))


def test_default_problem():
    problem = wp.problems.waveform_inversion(sources=2)
    assert problem.truth.shape == problem.start.shape == (48, 96)
    assert problem.truth.dtype == problem.data.dtype == problem.start.dtype == np.float32
    assert problem.truth.min() == pytest.approx(1.6)
    assert problem.truth.max() == pytest.approx(3.5)
    assert problem.operator.allows(problem.truth)
    assert problem.limits(problem.start) == 0.0


def test_noise_has_its_level_and_depends_on_the_seed():
    make = [wp.problems.waveform_inversion(SMALL, sources=3, noise=0.2, seed=seed) for seed in (0, 0, 1)]
    problem = make[0]
    clean = problem.operator(problem.truth)
    assert problem.noise_level == pytest.approx(0.2 * np.sqrt(np.mean(clean.astype(float) ** 2)))
    assert (problem.data - clean).std() == pytest.approx(problem.noise_level, rel=0.03)
    assert np.array_equal(problem.data, make[1].data)
    assert not np.array_equal(problem.data, make[2].data)


def test_waves_have_come_back_from_below():
    """A change in the far lower corner is heard by the middle of the record at the latest at its end."""
    problem = wp.problems.waveform_inversion(SMALL.astype(float), sources=1, noise=0.0)
    other = problem.truth.copy()
    other[-3:, -3:] *= 1.1
    assert abs(problem.operator(other) - problem.data).max() > 1e-4 * abs(problem.data).max()


def test_inversion_comes_closer_to_the_truth():
    problem = wp.problems.waveform_inversion(SMALL, sources=4, noise=0.02, smoothing=3.0)
    with pytest.warns(wp.ConvergenceWarning):
        result = wp.minimize(problem.data_fit, problem.start, max_iter=15, tol=1e-9)
    assert problem.relative_error(result.x) < 0.95 * problem.relative_error(problem.start)
    assert problem.data_fit(result.x) < 0.05 * problem.data_fit(problem.start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image": SMALL - 2}, "velocities, which must be positive"),
        ({"image": np.full((20, 32), np.inf)}, "image has 640 non-finite entries"),
        ({"image": np.ones((3, 3, 3))}, "two axes of at least 4 points"),
        ({"noise": -1.0}, "noise must be finite and at least 0"),
        ({"smoothing": np.nan}, "smoothing must be finite and at least 0"),
        ({"sources": 0}, "sources must be at least 1"),
        ({"frequency": 0.0}, "frequency must be positive"),
        ({"spacing": -0.1}, "spacing must be positive"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(ValueError, match=message):
        wp.problems.waveform_inversion(**({"image": SMALL} | options))
