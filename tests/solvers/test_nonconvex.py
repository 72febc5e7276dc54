"""Proximal gradient for objectives that are not convex: monotone, and stationary at the end."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import canonical
from wellposed.solvers.proximal_gradient import ProximalGradient

PENALTIES = {
    "l0": lambda norms: 0.005 * wp.L0(),
    "l1/2": lambda norms: 0.01 * wp.Lq(0.5),
    "l0.7": lambda norms: 0.03 * wp.Lq(0.7),
    "mcp": lambda norms: wp.MCP(0.2, 1.7),
    "cel0": lambda norms: wp.CEL0(norms, 0.05),
    "scad": lambda norms: wp.SCAD(0.2, 2.5),
    "log-sum": lambda norms: 0.01 * wp.LogSum(0.05),
}


def regression(rng, shape=(40, 80), scale=1.0, dtype=np.float64):
    """A sparse regression problem with correlated columns: matrix, data."""
    A = rng.standard_normal(shape) + 0.7 * rng.standard_normal((shape[0], 1))
    A *= scale / np.linalg.norm(A, axis=0)
    x = np.where(rng.random(shape[1]) < 0.1, rng.standard_normal(shape[1]), 0.0)
    return A.astype(dtype), (A @ x + 0.02 * rng.standard_normal(shape[0])).astype(dtype)


def objective_of(A, b, name):
    return wp.LeastSquares(wp.operators.Matrix(A), b) + PENALTIES[name](np.linalg.norm(A, axis=0))


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("accelerated", [True, False])
def test_the_objective_never_increases(rng, name, scale, accelerated):
    problem = canonical(objective_of(*regression(rng, scale=scale), name))
    solver = ProximalGradient(problem, accelerated)
    state = solver.start(rng.standard_normal(80), None)
    value = problem.value(state.x)
    for _ in range(300):
        try:
            solver.advance(state, 1)
        except StalledError:
            assert state.mapping <= 1e-12 * state.scale
            break
        new = problem.value(state.x)
        assert new <= value * (1 + 1e-13)
        value = new


@pytest.mark.parametrize("name", PENALTIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_end_is_a_fixed_point(rng, name, dtype):
    A, b = regression(rng, dtype=dtype)
    objective = objective_of(A, b, name)
    result = wp.minimize(objective, tol=1e-9 if dtype == np.float64 else 1e-5, max_iter=100_000)
    assert result.status == "stationary"
    assert result.x.dtype == dtype
    assert result.certificate.kind == "fixed-point residual"
    assert "not convex" in result.certificate.note
    assert 0 < np.count_nonzero(result.x) < 40
    assert result.objective == pytest.approx(objective(result.x), rel=1e-6)
    assert result.objective < objective(0 * b[:1] * np.ones(80, dtype))
    step = 1 / np.linalg.norm(A, 2) ** 2
    x = result.x.astype(np.float64)
    again = objective.terms[1].prox(x - step * A.T.astype(float) @ (A.astype(float) @ x - b), step)
    assert np.max(np.abs(again - x)) <= (1e-8 if dtype == np.float64 else 2e-4) * np.max(np.abs(x))


def test_momentum_pays(rng):
    objective = objective_of(*regression(rng), "l0.7")
    fast = wp.minimize(objective, tol=1e-7, solver="fista", max_iter=100_000)
    slow = wp.minimize(objective, tol=1e-7, solver="ista", max_iter=100_000)
    assert fast.iterations < 0.7 * slow.iterations
    assert fast.status == slow.status == "stationary"


def minimum_of_mcp(A, b, lam, gamma):
    """The least objective over all stationary points: each entry 0, in the bend, or beyond it."""
    n = A.shape[1]
    objective = wp.LeastSquares(wp.operators.Matrix(A), b) + wp.MCP(lam, gamma)
    best, where = np.inf, np.zeros(n)
    for pieces in itertools.product(((0, 0), (1, -1), (1, 1), (2, 0)), repeat=n):
        kind, sign = np.array(pieces).T
        active = kind > 0
        hessian = A.T @ A - np.diag((kind == 1) / gamma)
        right = A.T @ b - lam * sign * (kind == 1)
        x = np.zeros(n)
        try:
            x[active] = np.linalg.solve(hessian[np.ix_(active, active)], right[active])
        except np.linalg.LinAlgError:
            continue
        if objective(x) < best:
            best, where = objective(x), x
    return best, where


def test_mcp_of_a_convex_sum_finds_the_minimum(rng):
    for _ in range(5):
        A = rng.standard_normal((8, 4))
        b = A @ np.array([1.0, 0.0, -0.4, 0.0]) + 0.3 * rng.standard_normal(8)
        gamma = 1.2 / np.linalg.eigvalsh(A.T @ A)[0]
        lam = 0.3 * np.max(np.abs(A.T @ b))
        best, x = minimum_of_mcp(A, b, lam, gamma)
        result = wp.minimize(
            wp.LeastSquares(wp.operators.Matrix(A), b) + wp.MCP(lam, gamma), tol=1e-10, max_iter=50_000
        )
        assert result.objective == pytest.approx(best, rel=1e-10)
        assert np.allclose(result.x, x, atol=1e-6)


def minimum_of_l0(A, b, lam):
    """The least objective over all supports."""
    best, where = 0.5 * b @ b, np.zeros(A.shape[1])
    for size in range(1, A.shape[1] + 1):
        for support in map(list, itertools.combinations(range(A.shape[1]), size)):
            part = np.linalg.lstsq(A[:, support], b, rcond=None)[0]
            cost = 0.5 * np.sum((A[:, support] @ part - b) ** 2) + lam * size
            if cost < best:
                best, where = cost, np.zeros(A.shape[1])
                where[support] = part
    return best, where


def test_cel0_has_the_minimum_of_l0(rng):
    for _ in range(5):
        A = rng.standard_normal((8, 6))
        b = A @ np.array([1.0, 0.0, -0.7, 0.0, 0.0, 0.5]) + 0.1 * rng.standard_normal(8)
        lam = 0.2
        fit = wp.LeastSquares(wp.operators.Matrix(A), b)
        relaxed = fit + wp.CEL0(np.linalg.norm(A, axis=0), lam)
        best, x = minimum_of_l0(A, b, lam)
        assert relaxed(x) == pytest.approx(best, rel=1e-12)
        # No point is lower than the minimum of the L0 problem, from whatever start.
        for start in rng.standard_normal((10, 6)):
            result = wp.minimize(relaxed, x0=start, tol=1e-10, max_iter=50_000)
            assert result.objective >= best * (1 - 1e-9)
            assert (fit + lam * wp.L0())(np.where(np.abs(result.x) < 1e-6, 0, result.x)) >= best * (1 - 1e-9)


def test_denoising_is_one_proximal_map(rng):
    b = rng.standard_normal((6, 7))
    result = wp.minimize(wp.LeastSquares(None, b) + 0.4 * wp.L0())
    assert np.allclose(result.x, np.where(np.abs(b) > np.sqrt(0.8), b, 0), rtol=1e-14)
    assert result.status == "stationary"
    assert result.iterations <= 2


@pytest.mark.parametrize("name", PENALTIES)
def test_bounded_below_by_zero(rng, name):
    A, b = regression(rng)
    objective = objective_of(A, b, name) + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-8, max_iter=50_000)
    assert result.status == "stationary"
    assert result.x.min() == 0.0
    gradient = A.T @ (A @ result.x - b)
    # One-sided stationarity: the penalties increase.
    assert np.all(gradient[result.x > 1e-6] <= 1e-6)


def test_terms_behind_operators_are_refused():
    objective = wp.LeastSquares(None, np.ones((4, 4))) + wp.L0() @ wp.operators.Gradient((4, 4))
    with pytest.raises(ValueError, match="no solver can minimise"):
        wp.minimize(objective)
    with pytest.raises(ValueError, match=r"cannot minimise .*: the objective is not convex"):
        wp.minimize(objective, solver="primal-dual")
