"""Dual points are made feasible where that is possible, and nothing is claimed where it is not."""

from __future__ import annotations

import warnings
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.repair import is_known


def picture(shape: tuple[int, int] = (16, 12)) -> np.ndarray:
    x = np.zeros(shape)
    x[4:12, 3:9] = 1.0
    return x


def blurred() -> tuple[wp.LinearOperator, np.ndarray]:
    A = wp.operators.Convolution(wp.operators.gaussian_kernel(1.0), (16, 12), boundary="reflect")
    return A, A(picture()) + 0.01 * np.random.default_rng(0).normal(size=(16, 12))


def test_complex_data_get_a_gap_that_closes() -> None:
    problem = wp.problems.compressed_sensing_mri(picture(), keep=0.5)
    result = wp.minimize(problem.data_fit + 0.02 * wp.TotalVariation(), tol=1e-4)
    assert result.certificate.kind == "duality gap"
    assert result.converged
    assert wp.verify(problem.data_fit + 0.02 * wp.TotalVariation(), result).relative <= 1.5e-4


def test_a_norm_behind_an_isometry_gets_a_gap_that_closes() -> None:
    A, b = blurred()
    W = wp.operators.Wavelet((16, 12), "db2", 2)
    objective = wp.LeastSquares(A, b) + 0.01 * (wp.L1() @ W)
    result = wp.minimize(objective, tol=1e-5)
    x = cp.Variable(16 * 12)
    matrix, wavelet = A.to_dense(), W.to_dense()
    least = cp.Minimize(0.5 * cp.sum_squares(matrix @ x - b.reshape(-1)) + 0.01 * cp.norm1(wavelet @ x))
    optimum = cp.Problem(least).solve(solver="CLARABEL")
    assert result.certificate.kind == "duality gap"
    assert result.certificate.lower_bound <= optimum * (1 + 1e-7)
    assert result.objective - optimum <= result.certificate.value + 1e-7 * optimum


def unbounded() -> dict[str, wp.Functional]:
    A, b = blurred()
    return {
        "plain": wp.LeastSquares(A, b),
        "tgv": wp.LeastSquares(A, b) + wp.TotalGeneralizedVariation(0.02, 0.01),
        "outliers": wp.L1Loss(A, b) + 0.1 * wp.TotalVariation(),
    }


@pytest.mark.parametrize("name", ["plain", "tgv", "outliers"])
def test_without_a_repair_a_residual_is_given_and_named_as_no_bound(name: str) -> None:
    objective = unbounded()[name]
    plan = wp.explain(objective)
    result = wp.minimize(objective, tol=1e-3)
    assert plan.certificate == result.certificate.kind == "fixed-point residual"
    assert not result.certificate.is_bound
    assert result.converged


def bounded() -> list[Any]:
    A, b = blurred()
    fit = wp.LeastSquares(A, b)
    return [
        fit + 0.1 * wp.TotalVariation(),
        fit + 0.1 * wp.TotalVariation() + wp.NonNegative(),
        fit + 0.1 * wp.L1(),
        fit + 0.1 * wp.SquaredL2(),
        wp.L1Loss(A, b) + 0.1 * wp.TotalVariation() + wp.Box(0.0, 1.0),
        wp.LeastSquares(None, b) + wp.TotalGeneralizedVariation(0.2, 0.1),
    ]


@pytest.mark.parametrize("objective", bounded(), ids=str)
def test_the_plan_promises_the_certificate_that_comes(objective: wp.Functional) -> None:
    result = wp.minimize(objective, tol=1e-2)
    assert wp.explain(objective).certificate == result.certificate.kind == "duality gap"
    assert result.converged


def test_single_precision_does_not_stall_long_before_rounding() -> None:
    A, b = blurred()
    objective = wp.LeastSquares(A, b.astype(np.float32)) + 1e-3 * wp.TotalVariation() + wp.Box(0.0, 1.0)
    assert wp.minimize(objective, tol=1e-3).status == "converged"


def test_the_identity_is_no_operator() -> None:
    objective = wp.LeastSquares(wp.operators.Identity((16, 12)), picture()) + 0.1 * wp.TotalVariation()
    assert wp.explain(objective).solver == "denoising"


def test_is_known_looks_at_the_whole_problem() -> None:
    from wellposed.solvers.problem import canonical

    assert all(is_known(canonical(objective)) for objective in bounded())
    assert not any(is_known(canonical(objective)) for objective in unbounded().values())


def regressions() -> list[wp.Functional]:
    rng = np.random.default_rng(0)
    A, y = wp.operators.Matrix(rng.normal(size=(30, 8))), rng.normal(size=30)
    labels, counts = np.where(y > 0, 1.0, -1.0), rng.poisson(1.0, 30).astype(float)
    D = np.array([np.eye(8)[i] - np.eye(8)[(i + 3) % 8] for i in range(8)])
    graph = wp.L1() @ wp.operators.Matrix(D)
    bends = wp.L1() @ wp.operators.Matrix(np.diff(np.eye(8), 2, axis=0))
    free = wp.L1(np.where(np.arange(8) < 2, 0.0, 1.0))
    groups = wp.GroupL2(np.array([-1, 0, 0, 1, 1, 1, 2, 2]))
    losses = [
        wp.LeastSquares(A, y, intercept=True),
        wp.HuberLoss(A, y, 0.5, intercept=True),
        wp.LogisticLoss(A, labels, intercept=True),
        wp.PoissonLoss(A, counts, intercept=True),
    ]
    each = [graph, bends, free, groups, wp.TotalVariation(), graph + wp.NonNegative(), graph + wp.L1()]
    return [loss + penalty for loss in losses for penalty in each]


@pytest.mark.parametrize("objective", regressions(), ids=str)
def test_dual_points_of_regressions_are_balanced(objective: wp.Functional) -> None:
    result = wp.minimize(objective, tol=1e-7)
    assert result.converged
    assert wp.explain(objective).certificate == result.certificate.kind == "duality gap"
    proof = wp.verify(objective, result)
    assert proof.relative <= 2e-7
    better = wp.minimize(objective, x0=result, tol=1e-10)
    assert result.objective - better.objective <= result.certificate.value
    assert result.objective - better.objective <= proof.value


def test_a_dual_bound_holds_far_from_the_minimum() -> None:
    """However early a run ends, the bound is below the minimum."""
    for objective in regressions():
        least = wp.minimize(objective, tol=1e-9).objective
        for count in (1, 5, 20):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                early = wp.minimize(objective, tol=1e-9, max_iter=count)
            assert early.certificate.lower_bound <= least * (1 + 1e-8)


def test_the_plan_promises_no_bound_of_mass_where_the_matrix_has_negative_entries() -> None:
    A = np.random.default_rng(0).normal(size=(20, 5))
    y = A @ np.ones(5)
    for matrix in (A, np.abs(A)):
        objective = wp.LeastSquares(wp.operators.Matrix(matrix), y) + wp.NonNegative()
        assert wp.explain(objective).certificate == wp.minimize(objective, tol=1e-3).certificate.kind


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-12, 1e-8, 1e-4, 1e4, 1e8])
@pytest.mark.parametrize("loss", [wp.LeastSquares, wp.LogisticLoss])
def test_a_free_coefficient_in_any_unit_is_not_forgotten_in_the_bound(
    loss: Any, unit: float, dtype: Any
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 12))
    y = X[:, :2] @ np.array([2.0, 3.0]) + X[:, 5] + 0.1 * rng.normal(size=40)
    y = np.sign(y) if loss is wp.LogisticLoss else y
    penalty = 2.0 * wp.L1(np.where(np.arange(12) < 2, 0.0, 1.0).astype(dtype))
    least = wp.minimize(loss(wp.operators.Matrix(X), y) + penalty, tol=1e-9).certificate.primal
    scaled = (X * np.where(np.arange(12) == 1, unit, 1.0)).astype(dtype)
    objective = loss(wp.operators.Matrix(scaled), y.astype(dtype)) + penalty
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        result = wp.minimize(objective, tol=1e-4, max_iter=300)
    for certificate in (result.certificate, wp.verify(objective, result)):
        if certificate.is_bound:
            assert result.objective - least <= certificate.value + 1e-5 * least


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [1e-10, 1e-7, 1e-6, 1e8])
def test_parts_of_a_graph_in_different_units_are_balanced_alike(unit: float, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 12))
    y = X @ np.repeat([2.0, 3.0, 1.0], 4) + 0.1 * rng.normal(size=40)
    D = np.delete(np.diff(np.eye(12), axis=0), 5, axis=0)  # two parts of six entries each

    def objective(unit: float, dtype: Any) -> Any:
        features = np.where(np.arange(12) < 6, 1.0, unit)
        edges = np.where(np.arange(10) < 5, 1.0, unit)[:, None]
        norm = wp.L1() @ wp.operators.Matrix((D * edges).astype(dtype))
        return wp.LeastSquares(wp.operators.Matrix((X * features).astype(dtype)), y.astype(dtype)) + norm

    least = wp.minimize(objective(1.0, np.float64), tol=1e-6).certificate
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        certificate = wp.minimize(objective(unit, dtype), tol=1e-4, max_iter=300).certificate
    assert certificate.is_bound
    assert certificate.lower_bound <= least.primal * (1 + 1e-5)
