"""The experiment on learning with adaptive accuracies, at a tiny size, and the problems that it uses."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from wellposed.experiments import _maid_theory as theory
from wellposed.experiments import maid_bilevel as experiment
from wellposed.experiments._bilevel import Curve, short
from wellposed.experiments._bilevel_problems import (
    cameraman,
    experts,
    noisy_images,
    photographs,
    quadratic,
    total_variation,
)
from wellposed.functionals.field_of_experts import FieldOfExperts

TINY = dataclasses.replace(
    experiment.SMALL,
    quadratic_work=3.1e3,
    steps=(1.0,),
    fixed=(1e-3, 1e-5),
    bound_seeds=1,
    tv_pixels=16,
    tv_work=300,
    tv_starts=(1e0, 1e-2),
    digits_work=300,
    images=2,
    pixels=16,
    filters=3,
    filter_size=3,
    experts_work=150,
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) >= 18
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 6


def test_what_does_not_depend_on_the_size_holds(report):
    held = {claim.statement[:2]: True for claim in report.claims}
    for claim in report.claims:
        held[claim.statement[:2]] &= bool(claim.holds)
    assert all(held[name] for name in ("R1", "R3", "T1", "T2", "T3", "T4", "T5"))


def test_the_quadratic_problem_is_that_of_the_specification():
    toy = quadratic(0)
    assert toy.loss(np.ones(10)) == pytest.approx(5486.187, abs=1e-3)
    assert toy.problem.evaluate({}, 1e-9)[0] == pytest.approx(5486.187, abs=1e-3)
    least = np.linalg.lstsq(toy.M, -toy.rest, rcond=None)[0]
    assert toy.loss(least) == pytest.approx(0.0524114, abs=1e-6)
    A = toy.problem.lower.A
    assert np.linalg.eigvalsh(A.matrix.T @ A.matrix)[0] == pytest.approx(72.9116, abs=1e-3)


def test_total_variation_is_that_of_the_specification():
    images = cameraman(0)
    assert images.quality(images.noisy) == pytest.approx(20.54, abs=0.005)
    start = total_variation(images, 0.5 * np.exp(-1.96), np.exp(-5.23))
    assert start.loss(images.noisy) == pytest.approx(20.39, abs=0.005)
    loss, (x,) = start.evaluate({}, 1e-3)
    assert loss == pytest.approx(2.6964, abs=1e-4)
    assert images.quality(x) == pytest.approx(30.33, abs=0.05)


def test_a_loss_of_several_images_is_the_mean():
    images = noisy_images(photographs(16, 3), 0)
    prior = FieldOfExperts.learnable(3, 2, rng=0)
    loss, x = experts(images, prior).evaluate({}, 1e-8)
    assert len(x) == 3
    assert loss == pytest.approx(np.sum((np.stack(x) - images.clean) ** 2) / 6)


def test_photographs_differ():
    crops = photographs(64, 20)
    assert crops.shape == (20, 64, 64)
    assert 0 <= crops.min() < crops.max() <= 1
    flat = crops.reshape(20, -1)
    assert np.min(np.linalg.norm(flat[:, None] - flat, axis=-1) + 99 * np.eye(20)) > 1
    np.testing.assert_array_equal(photographs(64, 4, offset=3), crops[3:7])


def test_a_wrong_bound_is_seen(monkeypatch):
    """The check of the bounds fails where they are a tenth of what they should be."""
    honest = theory.hypergradient

    def boastful(*args, **options):
        found = honest(*args, **options)
        return dataclasses.replace(found, error=0.1 * found.error)

    monkeypatch.setattr(theory, "hypergradient", boastful)
    assert not next(theory.bounds(0, 1)).holds


def test_work_counts_for_good():
    ones = np.ones(4)
    loss = np.array([4.0, 1.0, 3.0, 1.0])
    curve = Curve("", np.array([1.0, 2.0, 3.0, 4.0]), loss, ones, ones, ones, {}, "", 0.0)
    assert curve.work_to(1.5) == 4.0
    assert curve.work_to(3.0) == 2.0
    assert curve.work_to(0.5) == np.inf
    assert curve.at(2.5) == 1.0
    assert np.isnan(curve.at(0.5))
    assert [short(x) for x in (1e-5, 1.0, 3e4, 1e-10)] == ["1e-5", "1e0", "3e4", "1e-10"]
