"""The experiment on schedules of tolerances, at a tiny size, and the problems that it uses."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from wellposed.experiments import hoag as experiment
from wellposed.experiments._bilevel_problems import direct, kernel_problem, newton, ridge_classifier, thirds

TINY = dataclasses.replace(
    experiment.SMALL, rows=(("breast cancer", 1),), kernel_grid=3, kernel_iterations=30, limit_iterations=60
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 15
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 2


def test_the_row_of_the_specification_holds(report):
    wanted = [claim for claim in report.claims if claim.statement.endswith("breast cancer, seed 1")]
    assert len(wanted) == 7
    assert all(claim.holds for claim in wanted)
    (row,) = report.numbers["rows"]
    # Work differs by how the steps of a lower level are counted.
    for schedule, expected in row["reference work"].items():
        assert row["work"][schedule] == pytest.approx(expected, rel=0.35)


def test_another_seed_has_no_reference():
    row = experiment.Row("digits", 99, {}, 0.0, 0.0, {}, {}, (0.0, 0.0, 0.0))
    assert (row.name, row.seed) not in experiment.REFERENCE


@pytest.mark.parametrize("ridge", [1e-3, 1.0, 100.0])
def test_newton_finds_what_scipy_finds(ridge):
    (A, b), _, _ = thirds("breast cancer", 0)

    def value(x):
        return np.sum(np.logaddexp(0, -b * (A @ x))) + 0.5 * ridge * x @ x

    def slope(x):
        return -A.T @ (b / (1 + np.exp(b * (A @ x)))) + ridge * x

    found = minimize(value, np.zeros(A.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-6})
    x = newton(A, b, ridge)
    assert np.linalg.norm(slope(x)) < 1e-6
    np.testing.assert_allclose(value(x), found.fun, rtol=1e-6)


def test_the_exact_loss_is_that_of_the_minimiser():
    problem = ridge_classifier("digits", 1, math.exp(1.2395))
    assert problem.exact({"ridge": math.exp(1.2395)}) == pytest.approx(167.8527, abs=1e-4)
    assert problem.evaluate({}, 1e-9)[0] == pytest.approx(167.8527, abs=1e-4)


def test_kernel_ridge_is_that_of_the_specification():
    problem = kernel_problem()
    assert problem.evaluate({}, 1e-9)[0] == pytest.approx(159.57, abs=5e-3)
    np.testing.assert_allclose(problem.slope({}, 1e-10), [24.610, 4.0623], rtol=1e-4)
    assert direct(problem, 1.0, 1.0) == pytest.approx(159.57, abs=5e-3)
    assert direct(problem, math.exp(-6), math.exp(-4.593)) == pytest.approx(72.642, abs=1e-3)


def test_thirds_are_disjoint_and_standardised():
    parts = thirds("digits", 0)
    assert [len(b) for _, b in parts] == [599] * 3
    whole = np.concatenate([A for A, _ in parts])
    assert abs(whole.mean()) < 1e-2
    assert {float(v) for _, b in parts for v in b} == {-1.0, 1.0}
