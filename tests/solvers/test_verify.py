"""`verify` recomputes the certificate from the result alone, and sees through a tampered one."""

from __future__ import annotations

import dataclasses
import math
import warnings

import numpy as np
import pytest

import wellposed as wp

RNG_SEED = 8


def denoising() -> wp.Functional:
    b = np.random.default_rng(RNG_SEED).normal(size=(6, 5))
    return wp.LeastSquares(None, b) + 0.4 * wp.TotalVariation()


def lasso() -> wp.Functional:
    rng = np.random.default_rng(RNG_SEED)
    return wp.LeastSquares(wp.operators.Matrix(rng.normal(size=(9, 6))), rng.normal(size=9)) + 0.3 * wp.L1()


def ridge() -> wp.Functional:
    rng = np.random.default_rng(RNG_SEED)
    fit = wp.LeastSquares(wp.operators.Matrix(rng.normal(size=(9, 6))), rng.normal(size=9))
    return fit + 0.3 * wp.SquaredL2()


SOLVED = [
    (denoising, "primal-dual"),
    (denoising, "admm"),
    (lasso, "fista"),
    (lasso, "primal-dual"),
    (ridge, "cg"),
]
tampered = pytest.mark.parametrize(("build", "solver"), SOLVED)


@tampered
def test_nothing_that_the_solver_said_is_believed(build, solver) -> None:
    objective = build()
    result = wp.minimize(objective, tol=1e-8, solver=solver)
    claim = dataclasses.replace(
        result.certificate, value=0.0, primal=-1.0, lower_bound=-1.0, scale=1e30, kind="duality gap"
    )
    lying = dataclasses.replace(result, certificate=claim, objective=-1.0, status="converged", history=())
    honest = wp.verify(objective, lying)
    assert honest == wp.verify(objective, result)
    assert honest.primal == pytest.approx(objective(result.x), rel=1e-12)
    assert honest.relative <= 1e-8 * (1 + 1e-6)


@tampered
@pytest.mark.parametrize("size", [1e-3, 1e-1, 10.0])
def test_a_moved_solution_has_a_larger_gap_that_still_bounds_its_error(build, solver, size) -> None:
    objective = build()
    result = wp.minimize(objective, tol=1e-9, solver=solver)
    moved = result.x + size * np.random.default_rng(1).normal(size=result.x.shape)
    certificate = wp.verify(objective, dataclasses.replace(result, x=moved, variable=moved))
    error = objective(moved) - result.objective
    assert error > 0
    assert certificate.value >= error * (1 - 1e-9)
    assert certificate.value > 10 * result.certificate.value
    only_x = wp.verify(objective, dataclasses.replace(result, x=moved))
    assert only_x.value == pytest.approx(certificate.value)


@pytest.mark.parametrize(("build", "solver"), SOLVED[:4])
@pytest.mark.parametrize("size", [1e-2, 1.0, 100.0])
def test_a_moved_dual_never_proves_more_than_is_true(build, solver, size) -> None:
    objective = build()
    result = wp.minimize(objective, tol=1e-9, solver=solver)
    rng = np.random.default_rng(2)
    dual = tuple(y + size * rng.normal(size=y.shape) for y in result.dual)
    certificate = wp.verify(objective, dataclasses.replace(result, dual=dual))
    assert certificate.lower_bound <= result.objective
    assert certificate.value > 10 * result.certificate.value


def test_a_result_of_another_problem_proves_nothing_false() -> None:
    objective = denoising()
    b = np.random.default_rng(99).normal(size=(6, 5))
    other = wp.LeastSquares(None, b) + 0.1 * wp.TotalVariation()
    foreign = wp.verify(objective, wp.minimize(other, tol=1e-6))
    true = wp.minimize(objective, tol=1e-9)
    assert foreign.lower_bound <= true.objective
    assert foreign.primal >= true.objective - true.certificate.value
    assert foreign.relative > 1e-2


def test_non_finite_and_misshapen_results_are_refused() -> None:
    objective = denoising()
    result = wp.minimize(objective)
    bad = result.x.copy()
    bad[2, 3] = math.nan
    with pytest.raises(ValueError, match=r"non-finite.*\(2, 3\)"):
        wp.verify(objective, dataclasses.replace(result, x=bad, variable=bad))
    with pytest.raises(ValueError, match="non-finite"):
        wp.verify(objective, dataclasses.replace(result, x=bad))
    with pytest.raises(ValueError, match="non-finite"):
        wp.verify(objective, dataclasses.replace(result, dual=(np.inf + result.dual[0],)))
    with pytest.raises(ValueError, match="shape"):
        wp.verify(objective, dataclasses.replace(result, x=result.x[1:], variable=result.x[1:]))
    with pytest.raises(ValueError, match="shape"):
        wp.verify(objective, dataclasses.replace(result, dual=(result.dual[0][:, 1:],)))
    with pytest.raises(ValueError, match="dual variables"):
        wp.verify(objective, dataclasses.replace(result, dual=(*result.dual, *result.dual)))


def test_auxiliary_fields_belong_to_x() -> None:
    b = np.random.default_rng(0).normal(size=(4, 4))
    objective = wp.LeastSquares(None, b) + wp.TotalGeneralizedVariation(0.4, 0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        result = wp.minimize(objective, max_iter=100)
    with pytest.raises(ValueError, match="not the one inside"):
        wp.verify(objective, dataclasses.replace(result, x=result.x + 1))


def test_an_infeasible_point_has_no_finite_certificate() -> None:
    b = np.random.default_rng(RNG_SEED).normal(size=(6, 5))
    objective = wp.LeastSquares(None, b) + 0.4 * wp.TotalVariation() + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-6)
    assert result.x.min() >= 0
    outside = result.x - 1e-6
    certificate = wp.verify(objective, dataclasses.replace(result, x=outside, variable=outside))
    assert math.isinf(certificate.value)


def test_gap_of_a_hand_computed_problem() -> None:
    """Half |x - 3|^2 + |x| with x = 1 and, since G holds it all, no dual: the minimum is 2.5, at x = 2."""
    objective = wp.LeastSquares(None, np.array([3.0])) + wp.L1()
    result = dataclasses.replace(wp.minimize(objective), x=np.array([1.0]), variable=np.array([1.0]))
    certificate = wp.verify(objective, result)
    assert certificate.primal == pytest.approx(3.0)
    assert certificate.lower_bound == pytest.approx(2.5)
    assert certificate.value == pytest.approx(0.5)
