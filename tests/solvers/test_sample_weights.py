"""Weighted samples in solvers, paths and criteria: against CVXPY, and against repeated samples."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse

import wellposed as wp
from wellposed.solvers.coordinate.form import Form, coordinate_form
from wellposed.solvers.coordinate.newton import _curvatures
from wellposed.solvers.problem import canonical

N, P = 50, 16
RNG = np.random.default_rng(1)
X = RNG.normal(size=(N, P)) + 0.2
U = X[:, :4] @ np.array([2.0, -1.5, 1.0, 1.0])
TARGETS = {
    "huber": U + 1 + RNG.standard_t(2, size=N),
    "logistic": np.where(U + 0.5 + RNG.normal(size=N) > 0, 1.0, -1.0),
    "poisson": RNG.poisson(np.exp(np.clip(0.4 * U + 0.3, -5, 2.5))).astype(float),
}
COUNTS = np.arange(N) % 4
AGAIN = np.repeat(np.arange(N), COUNTS)
WEIGHTS = {
    "integer": COUNTS.astype(float),
    "wide": 10.0 ** RNG.uniform(-4, 1, N),
    "half": (np.arange(N) % 3 > 0) * RNG.uniform(0.5, 2.0, N),
}
GROUPS = np.arange(P) // 4
PENALTIES = {"l1": wp.L1, "elastic": lambda: wp.ElasticNet(0.7, 0.3), "group": lambda: wp.GroupL2(GROUPS)}
each = pytest.mark.parametrize("loss", TARGETS)
with_intercept = pytest.mark.parametrize("intercept", [False, True])


def fit(loss: str, A: Any, b: np.ndarray, w: np.ndarray | None, intercept: bool = True) -> Any:
    A = wp.operators.Matrix(A)
    if loss == "huber":
        return wp.HuberLoss(A, b, 1.0, w, intercept)
    return (wp.LogisticLoss if loss == "logistic" else wp.PoissonLoss)(A, b, w, intercept)


def minimum(loss: str, w: np.ndarray, penalty: str, lam: float, intercept: bool) -> float:
    x, b = cp.Variable(P), TARGETS[loss]
    u = X @ x + (cp.Variable() if intercept else 0.0)
    counted = np.where(b > 0, b, 1.0)
    losses = {
        "huber": lambda: 0.5 * cp.huber(u - b, 1.0),
        "logistic": lambda: cp.logistic(cp.multiply(-b, u)),
        "poisson": lambda: cp.exp(u) - cp.multiply(b, u) + b * np.log(counted) - b,
    }[loss]()
    term = {
        "l1": lambda: cp.norm1(x),
        "elastic": lambda: 0.7 * cp.norm1(x) + 0.15 * cp.sum_squares(x),
        "group": lambda: sum(cp.norm(x[g == GROUPS]) for g in range(P // 4)),
    }[penalty]()
    problem = cp.Problem(cp.Minimize(w @ losses + lam * term))
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return float(problem.value)


@each
@with_intercept
@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gap_bounds_the_distance_from_the_minimum_of_cvxpy(
    loss: str, intercept: bool, kind: str, penalty: str
) -> None:
    w = WEIGHTS[kind]
    lam = 0.1 * np.abs(fit(loss, X, TARGETS[loss], w, intercept).gradient(np.zeros(P))).max()
    objective = fit(loss, X, TARGETS[loss], w, intercept) + lam * PENALTIES[penalty]()
    result = wp.minimize(objective, tol=1e-7)
    assert result.plan.solver == "coordinate-descent"
    assert result.status == "converged"
    assert wp.verify(objective, result).relative <= 1.5e-7
    best = minimum(loss, w, penalty, lam, intercept)
    noise = 3e-8 * abs(best)
    assert -noise <= result.objective - best <= result.certificate.value + noise


@pytest.mark.parametrize(
    ("loss", "solver"),
    [("huber", "fista"), ("logistic", "fista"), *((loss, "coordinate-descent") for loss in TARGETS)],
)
@pytest.mark.parametrize("design", [np.asarray, scipy.sparse.csc_array])
def test_single_precision_stays_and_ends(loss: str, solver: str, design: Any) -> None:
    w = WEIGHTS["half"].astype(np.float32)
    data = fit(loss, design(X.astype(np.float32)), TARGETS[loss].astype(np.float32), w)
    objective = data + 4.0 * wp.L1()
    result = wp.minimize(objective, tol=1e-4, solver=solver)
    assert result.x.dtype == np.float32
    assert result.status == "converged"
    assert wp.verify(objective, result).relative <= 1.5e-4
    exact = wp.minimize(fit(loss, X, TARGETS[loss], WEIGHTS["half"]) + 4.0 * wp.L1(), tol=1e-9)
    assert result.objective == pytest.approx(exact.objective, rel=2e-4)


@each
def test_quadratic_models_leave_out_what_has_no_weight(loss: str) -> None:
    w = WEIGHTS["half"]
    form = coordinate_form(canonical(fit(loss, X, TARGETS[loss], w) + wp.L1()))
    assert isinstance(form, Form)
    for h in _curvatures(form.loss, np.zeros(N), np.dtype(float)):
        assert np.all((h > 0) == (w > 0))
        assert np.all(h >= form.loss.curvature(np.zeros(N)))


@each
@with_intercept
def test_a_path_of_integer_weights_is_that_of_repeated_samples(loss: str, intercept: bool) -> None:
    lam = wp.Parameter("lam", 1.0)
    penalty = lam * wp.ElasticNet(0.8, 0.2)
    b = TARGETS[loss]
    weighted = fit(loss, X, b, COUNTS, intercept) + penalty
    repeated = fit(loss, X[AGAIN], b[AGAIN], None, intercept) + penalty
    # The folds of samples, and the same ones of their repetitions.
    order = RNG.permutation(N)
    parts = [np.setdiff1d(order[k::3], np.flatnonzero(COUNTS == 0)) for k in range(3)]
    folds = [(np.setdiff1d(np.arange(N), part), part) for part in parts]
    copied = [tuple(np.flatnonzero(np.isin(AGAIN, rows)) for rows in pair) for pair in folds]
    one = wp.path(weighted, lam, count=5, ratio=0.05, tol=1e-9, folds=folds)
    other = wp.path(repeated, lam, one.values, tol=1e-9, folds=copied)
    np.testing.assert_allclose(one.x, other.x, atol=2e-4)
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-7)
    np.testing.assert_allclose(one.intercept, other.intercept, atol=2e-4)
    np.testing.assert_allclose(one.losses, other.losses, rtol=2e-3)
    np.testing.assert_allclose(one.df, other.df, rtol=1e-3)


@each
def test_information_criteria_count_the_samples_that_have_a_weight(loss: str) -> None:
    lam = wp.Parameter("lam", 1.0)
    seen = np.arange(N) < 40
    whole = wp.path(fit(loss, X, TARGETS[loss], seen.astype(float)) + lam * wp.L1(), lam, count=4)
    part = wp.path(fit(loss, X[:40], TARGETS[loss][:40], None) + lam * wp.L1(), lam, whole.values)
    if loss == "huber":
        with pytest.raises(ValueError, match="is no likelihood"):
            whole.criterion("bic")
        return
    np.testing.assert_allclose(whole.criterion("bic"), part.criterion("bic"), rtol=1e-3)


def test_a_fold_without_weight_is_refused() -> None:
    lam = wp.Parameter("lam", 1.0)
    w = np.r_[np.zeros(10), np.ones(N - 10)]
    folds = [(np.arange(10, N), np.arange(10))]
    with pytest.raises(ValueError, match="a fold cannot be fitted: all weights are 0"):
        wp.path(fit("huber", X, TARGETS["huber"], w) + lam * wp.L1(), lam, folds=folds)
