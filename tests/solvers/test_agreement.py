"""Every solver on every class of objective that it accepts, against CVXPY; the others say why not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.choice import SOLVERS

from .objectives import CASES, UNBOUNDED, Case

PAIRS = [pytest.param(case, solver, id=f"{case.name}-{solver}") for case in CASES for solver in case.able]


def solve(case: Case, solver: str, tol: float, max_iter: int | None = None) -> wp.Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        return wp.minimize(case.objective, tol=tol, solver=solver, max_iter=max_iter)


@pytest.mark.parametrize(("case", "solver"), PAIRS)
def test_agrees_with_cvxpy_and_the_certificate_bounds_the_error(case: Case, solver: str) -> None:
    minimum = case.minimum
    rounding = 2e-8 * max(1.0, abs(minimum))
    bounded = (case.name, solver) not in UNBOUNDED
    for tol in (1e-2, 1e-5):
        result = solve(case, solver, tol, None if bounded else 400 if solver == "admm" else 1500)
        certificate = result.certificate
        value = case.objective(result.x)
        assert result.objective == pytest.approx(value, rel=1e-12, abs=1e-12) or not bounded
        error = value - minimum
        assert error >= -rounding
        if certificate.is_bound:
            assert error <= certificate.value + rounding
            assert certificate.lower_bound <= minimum + rounding
        if bounded:
            assert certificate.is_bound
            assert result.status == "converged"
            assert certificate.relative <= tol
            assert error <= tol * max(abs(value), rounding) + rounding
        elif tol < 1e-3:
            assert error <= 1e-3 * minimum
        checked = wp.verify(case.objective, result)
        if bounded:
            assert checked.kind == certificate.kind
            assert checked.value == pytest.approx(certificate.value, rel=1e-6, abs=rounding)
            assert checked.primal == pytest.approx(certificate.primal, rel=1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_solver_refuses_what_it_cannot_minimise(case: Case) -> None:
    plan = wp.explain(case.objective)
    rejected = dict(plan.rejected)
    assert set(rejected) == set(SOLVERS) - {plan.solver}
    assert {name for name, why in rejected.items() if why.startswith("possible with")} == (
        set(case.able) - {plan.solver}
    )
    for solver in set(SOLVERS) - set(case.able):
        with pytest.raises(ValueError, match="cannot minimise") as error:
            wp.minimize(case.objective, solver=solver)
        assert rejected[solver] in str(error.value)
        assert "these can" in str(error.value)


def test_every_solver_is_tested() -> None:
    assert {solver for case in CASES for solver in case.able} == set(SOLVERS)


def test_solutions_agree_where_the_minimiser_is_unique() -> None:
    case = next(c for c in CASES if c.name == "many_joined")
    x = [solve(case, solver, 1e-10).x for solver in case.able]
    for other in x[1:]:
        np.testing.assert_allclose(other, x[0], atol=1e-4)
