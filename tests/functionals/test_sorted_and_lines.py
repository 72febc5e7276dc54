"""SLOPE, sparse groups, the Poisson loss and total variation of lines, against independent computations."""

from __future__ import annotations

import cvxpy as cp
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import wellposed as wp

TIGHT = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}


def minimiser(x: cp.Variable, value: cp.Expression) -> np.ndarray:
    cp.Problem(cp.Minimize(value)).solve(solver=cp.CLARABEL, **TIGHT)
    return np.asarray(x.value)


@pytest.mark.parametrize("seed", range(5))
def test_prox_of_a_line_agrees_with_cvxpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 20))
    b, w = rng.normal(size=n), rng.uniform(0, 1, n) * (rng.uniform(size=n) < 0.8)
    x = cp.Variable(n)
    expected = minimiser(
        x, 0.5 * cp.sum_squares(x - b) + 0.7 * cp.sum(cp.multiply(w[:-1], cp.abs(cp.diff(x))))
    )
    np.testing.assert_allclose(wp.TotalVariation(weights=w).prox(b, 0.7), expected, atol=1e-6)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(st.integers(1, 60), st.integers(0, 10**6), st.floats(1e-3, 1e3))
def test_prox_of_a_line_is_optimal(n: int, seed: int, step: float) -> None:
    """The sums of the residual stay within the step, and touch it where the line jumps."""
    b = np.random.default_rng(seed).normal(size=n).cumsum()
    x = wp.TotalVariation().prox(b, step)
    sums = np.cumsum(b - x)
    rounding = 1e-10 * (1 + step + np.abs(b).sum())
    assert abs(sums[-1]) <= rounding
    assert np.all(np.abs(sums[:-1]) <= step + rounding)
    jumps = np.diff(x)
    np.testing.assert_allclose(sums[:-1][jumps != 0], -step * np.sign(jumps[jumps != 0]), atol=rounding)


def test_a_line_keeps_its_precision_and_ends() -> None:
    b = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    x = wp.TotalVariation().prox(b, 0.5)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, wp.TotalVariation().prox(b.astype(np.float64), 0.5), atol=1e-6)
    np.testing.assert_allclose(wp.TotalVariation().prox(b, 1e6), b.astype(np.float64).mean(), atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_prox_of_slope_agrees_with_cvxpy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v, w = 2 * rng.normal(size=7), np.sort(rng.uniform(0, 2, 7))[::-1]
    x = cp.Variable(7)
    steps = -np.diff(np.append(w, 0.0))
    norm = sum(d * cp.sum_largest(cp.abs(x), k + 1) for k, d in enumerate(steps))
    expected = minimiser(x, 0.5 * cp.sum_squares(x - v) + 0.6 * norm)
    np.testing.assert_allclose(wp.SLOPE(w).prox(v, 0.6), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_prox_of_sparse_groups_agrees_with_cvxpy(seed: int) -> None:
    v = 2 * np.random.default_rng(seed).normal(size=7)
    groups, weights = [[0, 3, 5], [1, 2], [4, 6]], np.array([0.5, 1.0, 2.0])
    x = cp.Variable(7)
    norms = sum(w * cp.norm(x[g]) for w, g in zip(weights, groups, strict=True))
    value = 0.5 * cp.sum_squares(x - v) + 0.6 * (norms + 0.4 * cp.norm1(x))
    expected, reached = minimiser(x, value), value.value
    x.value = wp.SparseGroup(groups, 0.4, weights).prox(v, 0.6)
    # The least value is what CVXPY finds to many digits; near it the point has half as many.
    assert value.value <= reached + 1e-11
    np.testing.assert_allclose(x.value, expected, atol=1e-5)


def test_prox_of_the_poisson_loss_solves_its_equation() -> None:
    rng = np.random.default_rng(0)
    u, b = 50 * rng.normal(size=200), rng.poisson(3.0, 200).astype(float)
    for step in (1e-6, 1.0, 1e6):
        z = wp.PoissonLoss(None, b).prox(u, step)
        size = np.abs(z) + step * np.exp(z) + np.abs(u) + step * b
        assert np.all(np.abs(z + step * (np.exp(z) - b) - u) <= 1e-13 * size)


def test_bad_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="must not increase"):
        wp.SLOPE(np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="3 weights"):
        wp.SLOPE(np.ones(3))(np.ones(4))
    with pytest.raises(ValueError, match="at least 0"):
        wp.PoissonLoss(None, np.array([-1.0]))


@hypothesis.given(st.integers(1, 40), st.integers(0, 10**6), st.integers(0, 2))
def test_prox_of_slope_is_that_of_all_entries_sorted(n: int, seed: int, digits: int) -> None:
    """Entries that become 0 are left out of the sorting; ties, zeros and weights of 0 change nothing."""
    from scipy.optimize import isotonic_regression

    rng = np.random.default_rng(seed)
    v = np.round(2 * rng.normal(size=n), digits)
    w = np.sort(np.abs(np.round(rng.normal(size=n), 1)))[::-1] * rng.choice([0.0, 0.3, 1.0, 2.0])
    order = np.argsort(-np.abs(v), kind="stable")
    expected = np.empty(n)
    expected[order] = np.maximum(isotonic_regression(np.abs(v)[order] - w, increasing=False).x, 0)
    point = wp.SLOPE(w).prox(v, 1.0)
    np.testing.assert_allclose(point, np.sign(v) * expected, atol=1e-13)
    assert not np.any(np.signbit(point) & (point == 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scaled_dual_points_of_slope_are_inside_for_many_entries(dtype: type) -> None:
    y = (10 * np.random.default_rng(0).normal(size=100_000)).astype(dtype)
    f = wp.SLOPE(np.sqrt(2 * np.log(2e5 / np.arange(1, 100_001))))
    assert f._conjugate(f.dual_scale(y) * y) == 0.0
    assert f._conjugate(f.project_dual(y)) == 0.0
