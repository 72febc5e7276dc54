"""Sparsity-constrained and group lasso transport against cone solvers, POT and reference values."""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings

import cvxpy as cp
import numpy as np
import ot
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp
from wellposed.functionals.semidual import Columns
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.transport.group_lasso import GroupedColumns
from wellposed.solvers.transport.k_sparse import KSparse, smoothed_dual

T = wp.transport


def histograms():
    x = np.arange(32.0)
    a, b = np.exp(-((x - 10) ** 2) / 32), np.exp(-((x - 16) ** 2) / 50)
    cost = (x[:, None] - x) ** 2
    return cost / cost.max(), a / a.sum(), b / b.sum()


@pytest.mark.parametrize(
    ("reg", "k", "value"),
    [
        (1, 1, 0.066332),
        (1, 3, 0.048278),
        (1, 4, 0.046594),
        (1, 6, 0.045783),
        (1, 8, 0.045770),
        (1, 32, 0.045770),
        (0.1, 1, 0.040871),
        (0.1, 4, 0.039548),
    ],
)
def test_the_relaxation_has_the_reference_value(reg, k, value):
    cost, a, b = histograms()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = T.sparsity_constrained(cost, a, b, reg=reg, k=k, max_iter=1500)
    assert result.certificate.primal == pytest.approx(value, abs=1e-5)
    assert result.certificate.lower_bound == pytest.approx(value, abs=1e-5)
    assert (result.plan > 0).sum(axis=0).max() <= k
    assert result.marginal_errors[1] < 1e-14


def test_one_entry_per_column_is_exact_transport_and_a_constant():
    cost, a, b = histograms()
    result = T.sparsity_constrained(cost, a, b, reg=1.0, k=1)
    assert result.value == pytest.approx(T.exact(cost, a, b).value + 0.5 * b @ b, abs=1e-12)


@pytest.mark.parametrize("k", [2, 3])
def test_the_relaxation_agrees_with_a_cone_solver(k):
    rng = np.random.default_rng(0)
    cost, a, b = rng.random((6, 4)), np.full(6, 1 / 6), np.array([0.4, 0.3, 0.2, 0.1])
    X, U, Z = (cp.Variable((6, 4), nonneg=True) for _ in range(3))
    cones = [
        cp.norm(cp.hstack([2 * X[i, j], Z[i, j] - U[i, j]])) <= Z[i, j] + U[i, j]
        for i in range(6)
        for j in range(4)
    ]
    sums = [U <= 1, cp.sum(U, 0) <= k, cp.sum(X, 1) == a, cp.sum(X, 0) == b]
    value = cp.Problem(cp.Minimize(cp.sum(cp.multiply(cost, X)) + 2.0 * cp.sum(Z)), cones + sums).solve(
        cp.CLARABEL
    )
    result = T.sparsity_constrained(cost, a, b, reg=4.0, k=k)
    assert result.value == pytest.approx(value, abs=1e-5)
    assert result.certificate.relative < 1e-5
    assert T.verify(cost, a, b, result).value == pytest.approx(result.certificate.value, abs=1e-12)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_gap_of_the_relaxation_closes_at_kinks_of_the_dual_too(k):
    cost, a, b = histograms()
    result = T.sparsity_constrained(cost, a, b, reg=1.0, k=k, tol=1e-8)
    assert result.status == "converged"
    assert result.certificate.relative <= 1e-8
    # The plan with k entries errs, because the maximum of the dual is at a kink.
    assert result.marginal_errors[0] > 1e-3
    assert "relaxation" in result.certificate.note


def best_plan_with_two_entries(cost, a, b, reg):
    """Over all supports, each a quadratic programme of the entries that they leave."""
    n, m = cost.shape
    pairs, best = list(itertools.combinations(range(n), 2)), np.inf
    for supports in itertools.product(pairs, repeat=m):
        rows = np.array(supports)
        if len(np.unique(rows)) < n:
            continue
        # Entries are t_j for the first row of each pair and b_j - t_j for the second.
        first, second = (rows[:, k][None] == np.arange(n)[:, None] for k in (0, 1))
        left = a - second @ b
        t, *_ = np.linalg.lstsq((first * 1.0) - second, left, rcond=None)
        if m > n - 1 or np.abs((first * 1.0 - second) @ t - left).max() > 1e-12:
            continue
        plan = first * t + second * (b - t)
        if plan.min() >= -1e-12:
            best = min(best, float(np.sum(cost * plan) + reg / 2 * np.sum(plan**2)))
    return best


def test_the_problem_with_few_entries_can_have_a_true_gap():
    rng = np.random.default_rng(3)
    a, b, gaps = np.full(4, 1 / 4), np.full(3, 1 / 3), []
    for _ in range(4):
        cost = rng.random((4, 3))
        result = T.sparsity_constrained(cost, a, b, reg=5.0, k=2, tol=1e-7)
        gaps.append(best_plan_with_two_entries(cost, a, b, 5.0) - result.value)
        assert gaps[-1] >= -1e-9
    assert max(gaps) > 1e-3


def test_newtons_direction_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    cost, f, g = rng.random((8, 5)), 0.1 * rng.normal(size=8), 1.2 + 0.1 * rng.normal(size=5)
    a, b, problem, mu = np.full(8, 1 / 8), np.full(5, 1 / 5), KSparse(0.7, 3), 0.5

    def slopes(v):
        return np.concatenate(smoothed_dual(problem, cost, a, b, v[:8], v[8:], mu).gradient(a, b))

    v, h = np.concatenate([f, g]), 1e-6
    H = np.array([(slopes(v - h * e) - slopes(v + h * e)) / (2 * h) for e in np.eye(13)])
    step = np.concatenate(smoothed_dual(problem, cost, a, b, f, g, mu).step(a, b))
    assert H @ step == pytest.approx(slopes(v), abs=2e-2 * np.abs(slopes(v)).max())


def test_the_dual_is_at_least_that_of_pot():
    cost, a, b = histograms()
    for k in (4, 8):
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan, log = ot.smooth.smooth_ot_semi_dual(
                a, b, cost.copy(), 1.0, reg_type="sparsity_constrained", max_nz=k, stopThr=1e-12, log=True
            )
        ours = T.sparsity_constrained(cost, a, b, reg=1.0, k=k)
        s = log["alpha"][:, None] - cost
        theirs = log["alpha"] @ a - sum(
            s[:, j] @ plan[:, j] - 0.5 * plan[:, j] @ plan[:, j] for j in range(32)
        )
        assert ours.certificate.lower_bound >= theirs - 1e-6
        assert ours.certificate.lower_bound == pytest.approx(theirs, abs=2e-5)


@given(st.integers(0, 10**6), st.integers(1, 6), st.floats(1e-4, 1.0))
def test_the_smoothed_dual_is_little_above_and_its_gradient_is_the_errors(seed, k, mu):
    rng = np.random.default_rng(seed)
    cost, f, g = rng.random((8, 5)), rng.normal(size=8), rng.normal(size=5)
    a, b = np.full(8, 1 / 8), np.full(5, 1 / 5)
    problem = KSparse(0.7, k)
    at = smoothed_dual(problem, cost, a, b, f, g, mu)
    value, plan = at.value, at.plan
    exact = problem.bound(cost, a, b, f, g)
    assert exact - 1e-12 <= value <= exact + 0.5 * mu * k * 5 + 1e-12
    d, h = rng.normal(size=8), 1e-6
    up, down = (smoothed_dual(problem, cost, a, b, f + s * h * d, g, mu).value for s in (1, -1))
    assert (up - down) / (2 * h) == pytest.approx((a - plan.sum(1)) @ d, abs=1e-4 / mu**0.5)


def test_columns_are_the_best_of_all_supports():
    rng = np.random.default_rng(1)
    cost, f, b = rng.random((5, 3)), rng.normal(size=5), np.array([0.2, 0.5, 0.3])
    plan, _ = KSparse(0.6, 2).columns(cost, b, f)
    s = f[:, None] - cost
    for j in range(3):
        best = s[:, j] @ plan[:, j] - 0.3 * plan[:, j] @ plan[:, j]
        for i, k in itertools.combinations(range(5), 2):
            for share in np.linspace(0, b[j], 101):
                t = np.zeros(5)
                t[i], t[k] = share, b[j] - share
                assert s[:, j] @ t - 0.3 * t @ t <= best + 1e-12


@pytest.mark.parametrize("eta", [1e-3, 0.05, 0.5])
def test_group_lasso_agrees_with_a_cone_solver(eta):
    rng = np.random.default_rng(2)
    cost, a, b = rng.random((6, 5)), rng.random(6) + 0.1, rng.random(5) + 0.1
    a, b, labels = a / a.sum(), b / b.sum(), np.array([1, 0, 1, 2, 0, 2])
    P = cp.Variable((6, 5), nonneg=True)
    norms = sum(cp.norm(P[np.flatnonzero(labels == k), j]) for k in range(3) for j in range(5))
    goal = cp.sum(cp.multiply(cost, P)) + 0.25 * cp.sum_squares(P) + eta * norms
    value = cp.Problem(cp.Minimize(goal), [cp.sum(P, 1) == a, cp.sum(P, 0) == b]).solve(cp.CLARABEL)
    result = T.group_lasso(cost, a, b, labels=labels, reg=0.5, eta=eta)
    assert result.status == "converged"
    assert result.value == pytest.approx(value, abs=1e-7)
    assert result.certificate.relative < 1e-7
    assert result.plan == pytest.approx(P.value, abs=1e-3)
    assert T.verify(cost, a, b, result).value == pytest.approx(result.certificate.value, abs=1e-12)


def test_the_curvature_of_the_group_lasso_is_the_derivative_of_its_gradient():
    rng = np.random.default_rng(0)
    starts, cost = np.array([0, 3, 4, 7]), rng.random((6, 7))
    a, b, f = np.full(7, 1 / 7), np.full(6, 1 / 6), rng.normal(size=7)
    penalty = GroupedColumns(0.3, 0.05, np.arange(7), starts)

    def at(f: np.ndarray) -> Columns:
        return penalty.columns(cost, a, b, f, np.zeros(6))

    curvature = penalty.curvature(at(f), b)[0]
    for k in range(7):
        h = 1e-6 * np.eye(7)[k]
        change = (at(f - h).gradient - at(f + h).gradient) / 2e-6
        assert curvature[:, k] == pytest.approx(change, abs=1e-5)
    value = (at(f + 1e-6 * rng.normal(size=7)).value - at(f).value) / 1e-6
    assert np.isfinite(value)


def test_group_lasso_gives_each_target_one_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 10)
    x, y = rng.normal(size=(20, 2)) + 3 * labels[:, None], rng.normal(size=(20, 2)) + 3 * labels[:, None]
    cost = T.squared_distances(x, y)
    mixed = [
        sum(np.minimum(r.plan[:10].sum(0), r.plan[10:].sum(0)))
        for r in (T.group_lasso(cost, labels=labels, reg=1.0, eta=eta) for eta in (1e-6, 1.0))
    ]
    assert mixed[1] < 0.5 * mixed[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        T.sparsity_constrained(np.eye(3), reg=1.0, k=0)
    with pytest.raises(ValueError, match="labels must be 3 integers"):
        T.group_lasso(np.eye(3), labels=[0, 1], reg=1.0, eta=1.0)
    with pytest.raises(ValueError, match="eta must be a positive"):
        T.group_lasso(np.eye(3), labels=[0, 1, 1], reg=1.0, eta=-1.0)
