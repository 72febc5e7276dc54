"""Quasi-Newton steps against exact losses of the toys, in fewer iterations than MAID."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.optimize

import wellposed as wp
from tests.solvers.bilevel import toys
from wellposed.solvers.bilevel.quasi_newton import QuasiNewton


def learned(toy: toys.Toy, **options: Any) -> Any:
    return wp.learn(toy.lower, toy.loss, method="quasi-newton", progress=False, **options)


def vector(result: Any) -> np.ndarray:
    return np.concatenate([np.reshape(p.to_scale(p.value), -1) for p in result.parameters])


def test_it_finds_the_minimum_of_the_exact_loss() -> None:
    toy = toys.quadratic(centred=True)
    best = scipy.optimize.minimize(toy.exact, toy.theta, jac=toy.gradient, method="BFGS").fun
    result = learned(toy, max_iter=60, tol=1e-6)
    assert toy.exact(vector(result)) <= best + 1e-6 * abs(best)


def test_it_needs_less_work_than_maid_where_the_loss_is_badly_scaled() -> None:
    """On the quadratic problem of the MAID paper, whose loss has a condition of 1e8, to one value."""
    toy = toys.quadratic()
    work = {}
    for method in ("quasi-newton", "maid"):
        seen: list[float] = []

        def watch(progress: Any, seen: list[float] = seen) -> bool:
            seen.append(progress.row.work)
            return bool(progress.row.loss > 20.0)

        result = wp.learn(toy.lower, toy.loss, method=method, max_iter=2000, progress=False, callback=watch)
        assert result.loss <= 20.0
        work[method] = seen[-1]
    assert work["quasi-newton"] < 0.5 * work["maid"]


def test_bounds_are_kept_and_reached() -> None:
    """Where the best weight, 0.6, is out of bounds, the nearest bound is learned."""
    weight = wp.Parameter("weight", 2.0, low=1.0, high=5.0)
    lower = wp.LeastSquares(None, np.array([4.0])) + weight * wp.SquaredL2()
    result = wp.learn(
        lower, wp.LeastSquares(None, np.array([2.5])), method="quasi-newton", max_iter=30, progress=False
    )
    assert result.values["weight"] == pytest.approx(1.0)
    assert result.status == "converged"


def test_coarse_accuracies_are_tightened() -> None:
    """A first accuracy that tells nothing of the loss ends at the same place."""
    toy = toys.quadratic(centred=True)
    fine, coarse = (learned(toy, eps=eps, max_iter=80, tol=1e-6) for eps in (1e-4, 100.0))
    assert toy.exact(vector(coarse)) == pytest.approx(toy.exact(vector(fine)), rel=1e-4)


def test_the_exact_loss_falls(rng: np.random.Generator) -> None:
    """At each step, but for what the accuracies leave open."""
    toy = toys.ridge(rng)
    exact = [toy.exact(toy.theta)]

    def watch(progress: Any) -> None:
        if progress.row.iteration > 0:
            exact.append(toy.exact(np.log(progress.values["ridge"])))

    learned(toy, max_iter=8, callback=watch)
    gained = exact[0] - exact[-1]
    assert gained > 0
    assert all(b <= a + 0.05 * gained for a, b in itertools.pairwise(exact))


def test_a_run_in_two_parts_is_the_same(rng: np.random.Generator, tmp_path: Path) -> None:
    toy = toys.ridge(rng)
    whole = learned(toy, max_iter=8)
    learned(toy, max_iter=4, checkpoint=tmp_path / "run")
    parts = learned(toy, max_iter=8, checkpoint=tmp_path / "run")
    np.testing.assert_array_equal(vector(parts), vector(whole))


@pytest.mark.parametrize(
    "change",
    [{"eps": 0.0}, {"relative": 1.0}, {"gain": 1.0}, {"kept": -1}, {"max_failures": 1.5}, {"longest": -1.0}],
)
def test_bad_options(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        QuasiNewton(**change)


def test_options_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        QuasiNewton().eps = 1.0  # type: ignore[misc]


def test_a_run_settles_where_steps_gain_nothing_worth_having() -> None:
    toy = toys.quadratic(centred=True)
    best = scipy.optimize.minimize(toy.exact, toy.theta, jac=toy.gradient, method="BFGS").fun
    settled, on = (learned(toy, max_iter=60, gain=gain) for gain in (1e-4, 0.0))
    assert settled.status == "settled"
    assert settled.history[-1].work < on.history[-1].work
    assert toy.exact(vector(settled)) <= best + 1e-2 * abs(best)


def test_single_precision_ends_where_rounding_hides_the_accuracy(rng: np.random.Generator) -> None:
    """A gradient of 1e-4 times the accuracy cannot be had, and is not sought for long."""
    A = wp.operators.Convolution(wp.operators.gaussian_kernel(1.0), (32, 32), boundary="reflect")
    truth = np.kron(rng.random((4, 4)), np.ones((8, 8)))
    work = {}
    for dtype in (np.float64, np.float32):
        b = (A(truth) + 0.01 * np.random.default_rng(0).standard_normal((32, 32))).astype(dtype)
        weight = wp.Parameter("weight", 1e-4)
        lower = wp.LeastSquares(A, b) + weight * wp.SmoothedTotalVariation(0.1) + 1e-4 * wp.SquaredL2()
        result = wp.learn(lower, wp.SquaredError(truth.astype(dtype)), method="quasi-newton", progress=False)
        assert result.status in ("settled", "stalled")
        work[dtype] = result.history[-1].work, result.loss
    assert work[np.float32][0] < 3 * work[np.float64][0]
    assert work[np.float32][1] == pytest.approx(work[np.float64][1], rel=1e-3)
