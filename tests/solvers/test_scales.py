"""Units, precision, dimension and array library do not matter."""

from __future__ import annotations

import math
import types
from typing import Any

import array_api_strict
import numpy as np
import pytest

import wellposed as wp

SPLITTING = ("primal-dual", "admm", "linearised-admm")


def image(shape: tuple[int, ...]) -> np.ndarray:
    x = np.zeros(shape)
    x[tuple(slice(n // 4, 3 * n // 4) for n in shape)] = 1.0
    return x + 0.2 * np.random.default_rng(5).normal(size=shape)


def denoising(
    scale: float = 1.0, shape: tuple[int, ...] = (12, 10), dtype: Any = np.float64
) -> wp.Functional:
    b = (scale * image(shape)).astype(dtype)
    return wp.LeastSquares(None, b) + scale * 0.2 * wp.TotalVariation()


def outliers(scale: float = 1.0) -> wp.Functional:
    return wp.L1Loss(None, scale * image((8, 7))) + 0.6 * wp.TotalVariation()


def inpainting(scale: float = 1.0, dtype: Any = np.float64) -> wp.Functional:
    seen = np.random.default_rng(1).uniform(size=(12, 10)) < 0.7
    b = np.where(seen, scale * image((12, 10)), 0.0).astype(dtype)
    return wp.LeastSquares(wp.operators.Mask(seen), b) + scale * 0.1 * wp.TotalVariation() + wp.NonNegative()


def lasso(norm: float = 4.0, scale: float = 1.0, dtype: Any = np.float64) -> wp.Functional:
    """The same problem in other units: ``A`` with this norm, data times ``scale``."""
    rng = np.random.default_rng(6)
    A, b = rng.normal(size=(20, 12)), rng.normal(size=20)
    A *= norm / np.linalg.norm(A, 2)
    matrix, data = A.astype(dtype), (scale * b).astype(dtype)
    return wp.LeastSquares(wp.operators.Matrix(matrix), data) + (0.1 * norm * scale) * wp.L1()


@pytest.mark.parametrize("scale", [1e3, 1e-3])
@pytest.mark.parametrize("solver", SPLITTING)
@pytest.mark.parametrize("build", [denoising, outliers, inpainting])
def test_units_of_the_data(build: Any, solver: str, scale: float) -> None:
    plain = wp.minimize(build(), solver=solver, tol=1e-4)
    scaled = wp.minimize(build(scale), solver=solver, tol=1e-4)
    assert scaled.iterations <= 2 * plain.iterations + 40
    power = 1 if build is outliers else 2
    assert scaled.objective == pytest.approx(scale**power * plain.objective, rel=3e-4)


@pytest.mark.parametrize("norm", [0.3, 1.0, 30.0])
@pytest.mark.parametrize("solver", ["fista", "ista", *SPLITTING])
def test_norm_of_the_operator(solver: str, norm: float) -> None:
    plain = wp.minimize(lasso(), solver=solver, tol=1e-6)
    scaled = wp.minimize(lasso(norm), solver=solver, tol=1e-6)
    assert scaled.iterations <= 2 * plain.iterations + 40
    assert scaled.objective == pytest.approx(plain.objective, rel=3e-6)
    np.testing.assert_allclose(scaled.x * norm / 4, plain.x, atol=2e-3)


@pytest.mark.parametrize("norm", [0.3, 1.0, 30.0])
def test_norms_for_quadratics(norm: float) -> None:
    rng = np.random.default_rng(6)
    A, b = rng.normal(size=(20, 12)), rng.normal(size=20)
    A *= norm / np.linalg.norm(A, 2)
    objective = wp.LeastSquares(wp.operators.Matrix(A), b) + (0.01 * norm**2) * wp.SquaredL2()
    exact = np.linalg.solve(A.T @ A + 0.01 * norm**2 * np.eye(12), A.T @ b)
    for solver in ("cg", "lbfgs"):
        result = wp.minimize(objective, solver=solver, tol=1e-10)
        assert result.iterations <= 60
        np.testing.assert_allclose(result.x, exact, rtol=1e-4, atol=1e-6 * np.abs(exact).max())


@pytest.mark.parametrize("solver", SPLITTING)
@pytest.mark.parametrize("shape", [(60,), (8, 8), (5, 5, 5), (4, 3, 4, 3)])
def test_dimensions(solver: str, shape: tuple[int, ...]) -> None:
    result = wp.minimize(denoising(shape=shape), solver=solver, tol=1e-4)
    assert result.x.shape == shape
    assert result.iterations < 3000


@pytest.mark.parametrize("solver", [*SPLITTING, "fista", "ista", "metric-fista", "cg", "lbfgs"])
def test_single_precision_stays_and_reaches_its_tolerance(solver: str) -> None:
    rng = np.random.default_rng(6)
    if solver in ("fista", "ista"):
        objective = lasso(dtype=np.float32)
    elif solver == "metric-fista":
        objective = inpainting(dtype=np.float32)
    elif solver in ("cg", "lbfgs"):
        fit = wp.LeastSquares(
            wp.operators.Matrix(rng.normal(size=(9, 6)).astype(np.float32)), np.ones(9, np.float32)
        )
        objective = fit + 0.1 * wp.SquaredL2()
    else:
        objective = denoising(dtype=np.float32)
    for tol in (1e-3, 1e-4):
        result = wp.minimize(objective, solver=solver, tol=tol)
        assert result.status == "converged"
        assert result.x.dtype == np.float32
        assert all(y is None or y.dtype == np.float32 for y in result.dual)


def _libraries() -> list[Any]:
    found = [pytest.param(array_api_strict, id="array_api_strict")]
    try:
        import torch
    except ImportError:
        return found
    return [*found, pytest.param(torch, id="torch")]


def _denoising_in(xp: types.ModuleType, dtype: str) -> wp.Functional:
    b = xp.asarray(image((6, 5)).astype(dtype))
    return wp.LeastSquares(None, b) + 0.2 * wp.TotalVariation()


def _boxed_in(xp: types.ModuleType, dtype: str) -> wp.Functional:
    return _denoising_in(xp, dtype) + wp.Box(0.1, 0.9)


def _lasso_in(xp: types.ModuleType, dtype: str) -> wp.Functional:
    rng = np.random.default_rng(6)
    A, b = rng.normal(size=(9, 6)).astype(dtype), rng.normal(size=9).astype(dtype)
    return wp.LeastSquares(wp.operators.Matrix(xp.asarray(A)), xp.asarray(b)) + 0.5 * wp.L1()


def _ridge_in(xp: types.ModuleType, dtype: str) -> wp.Functional:
    rng = np.random.default_rng(6)
    A, b = rng.normal(size=(9, 6)).astype(dtype), rng.normal(size=9).astype(dtype)
    return wp.LeastSquares(wp.operators.Matrix(xp.asarray(A)), xp.asarray(b)) + 0.5 * wp.SquaredL2()


LIBRARY_RUNS = [
    *((_denoising_in, solver) for solver in SPLITTING),
    (_denoising_in, "auto"),
    (_boxed_in, "auto"),
    *((_lasso_in, solver) for solver in (*SPLITTING, "fista", "ista")),
    (_ridge_in, "cg"),
    (_ridge_in, "lbfgs"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("build", "solver"), LIBRARY_RUNS)
@pytest.mark.parametrize("xp", _libraries())
def test_arrays_come_back_in_their_kind(xp: types.ModuleType, build: Any, solver: str, dtype: str) -> None:
    objective = build(xp, dtype)
    result = wp.minimize(objective, solver=solver, tol=1e-4)
    assert type(result.x) is type(xp.asarray(np.zeros(1)))
    assert result.x.dtype == getattr(xp, dtype)
    assert result.status == "converged"
    twin = wp.minimize(build(np, dtype), solver=solver, tol=1e-4)
    host = wp.arrays.to_host(result.x)
    np.testing.assert_allclose(host, twin.x, atol=3e-2)
    assert result.objective == pytest.approx(twin.objective, rel=3e-4)
    checked = wp.verify(objective, result)
    assert checked.relative <= 1e-4 * 1.01
    assert math.isfinite(checked.value)
    again = wp.minimize(objective, x0=result, solver=solver, tol=2e-4)
    assert again.iterations == 0


@pytest.mark.parametrize("xp", _libraries())
def test_checkpoints_and_plots_take_any_library(xp: types.ModuleType, tmp_path: Any) -> None:
    file = tmp_path / "run.npz"
    objective = _denoising_in(xp, "float32")
    with pytest.warns(wp.ConvergenceWarning):
        wp.minimize(objective, tol=1e-12, max_iter=3, checkpoint=file, solver="primal-dual")
    result = wp.minimize(objective, checkpoint=file, solver="primal-dual")
    assert result.history[0].iteration > 3
    assert result.x.dtype == xp.float32
    assert len(result.plot().axes) == 3


@pytest.mark.parametrize("rows", [1, 7])
def test_primal_dual_steps_satisfy_their_inequality_row_by_row(rows: int) -> None:
    from wellposed.solvers.primal_dual import PrimalDual
    from wellposed.solvers.problem import canonical

    rng = np.random.default_rng(rows)
    matrix = rng.uniform(size=(rows, 12)) * (rng.uniform(size=(rows, 12)) < 0.4)
    matrix[:, 0] = 0.0  # a column of zeros has no step of its own
    objective = wp.LeastSquares(wp.operators.Matrix(matrix), rng.normal(size=rows)) + wp.NonNegative()
    iteration = PrimalDual(canonical(objective))
    (square,), _ = iteration._preconditioners
    sigma, tau = 0.3 / np.asarray(square), iteration._tau(0.3)
    step = np.sqrt(sigma)[:, None] * matrix * np.sqrt(tau)
    assert np.linalg.norm(step, 2) <= 1 + 1e-12
