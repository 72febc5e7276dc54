"""Class-based transport: agreement with a cone solver, recovery of classes, implicit duals."""

from __future__ import annotations

import dataclasses
import sys
import warnings

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp
from wellposed.functionals.pairs import PairWeights
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.transport.class_penalty import Anchors
from wellposed.solvers.transport.pair_splitting import PairDuals

T = wp.transport


def two_classes(seed, per_class=5):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(2), per_class)
    xs = np.array([[0, 0], [3, 0]])[labels] + 1.5 * rng.normal(size=(len(labels), 2))
    xt = np.array([[0, 2], [3, 2]])[labels] + 1.5 * rng.normal(size=(len(labels), 2))
    return T.squared_distances(xs, xt), labels


def cone_solution(cost, a, b, lam, rows, columns):
    """The problem as it is written, for an interior-point solver."""
    n, m = cost.shape
    plan = cp.Variable((n, m), nonneg=True)
    shares, turned = cp.multiply(plan, (a.mean() / a)[:, None]), cp.multiply(plan, (b.mean() / b)[None]).T
    norms = [rows[i, k] * cp.norm(shares[i] - shares[k]) for i in range(n) for k in range(i) if rows[i, k]]
    norms += [
        columns[j, k] * cp.norm(turned[j] - turned[k]) for j in range(m) for k in range(j) if columns[j, k]
    ]
    goal = cp.sum(cp.multiply(cost, plan)) + lam * sum(norms)
    value = cp.Problem(cp.Minimize(goal), [cp.sum(plan, 1) == a, cp.sum(plan, 0) == b]).solve(cp.CLARABEL)
    return value, plan.value


@pytest.mark.parametrize("lam", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("equal", [True, False])
def test_agrees_with_a_cone_solver(lam, equal):
    rng = np.random.default_rng(3)
    cost = T.squared_distances(rng.normal(size=(6, 2)), rng.normal(size=(5, 2)))
    a, b = (np.ones(6), np.ones(5)) if equal else (rng.random(6) + 0.2, rng.random(5) + 0.2)
    a, b = a / a.sum(), b / b.sum()
    rows, columns = rng.random((6, 6)), rng.random((5, 5)) * (rng.random((5, 5)) < 0.5)
    rows, columns = rows + rows.T, columns + columns.T
    np.fill_diagonal(rows, 0)
    np.fill_diagonal(columns, 0)
    value, _ = cone_solution(cost, a, b, lam, rows, columns)
    result = T.sum_of_norms(
        cost, a, b, lam=lam, row_weights=rows, column_weights=columns, tol=1e-4, max_iter=20_000
    )
    assert result.status == "converged"
    assert value - 1e-7 <= result.value <= value + result.certificate.value + 1e-7
    assert result.certificate.relative <= 1e-4
    again = T.verify(cost, a, b, result)
    assert again.value == pytest.approx(result.certificate.value, abs=1e-12)
    assert result.rounded.sum(1) == pytest.approx(a, rel=1e-12)


@pytest.mark.parametrize("lam", [0.005, 0.05, 0.5])
@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize("both", [True, False])
def test_few_pairs_agree_with_a_cone_solver(lam, equal, both):
    """Few pairs have their dual vectors kept."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(10, 2)), rng.normal(size=(12, 2))
    cost = T.squared_distances(x, y)
    a, b = (np.ones(10), np.ones(12)) if equal else (rng.random(10) + 0.2, rng.random(12) + 0.2)
    a, b = a / a.sum(), b / b.sum()
    rows = np.diag(rng.random(9) + 0.1, 1)
    columns = np.diag(rng.random(11) + 0.1, 1) if both else np.zeros((12, 12))
    rows, columns = rows + rows.T, columns + columns.T
    value, plan = cone_solution(cost, a, b, lam, rows, columns)
    result = T.sum_of_norms(
        cost, a, b, lam=lam, row_weights=rows, column_weights=columns, tol=1e-5, max_iter=20_000
    )
    assert isinstance(result.dual, PairDuals | Anchors)
    assert isinstance(result.dual, PairDuals) == (result.iterations > 0)
    assert result.status == "converged"
    assert value - 1e-7 <= result.value <= value + result.certificate.value + 1e-7
    assert np.abs(result.rounded - plan).max() < 0.02
    assert T.verify(cost, a, b, result).value == pytest.approx(result.certificate.value, abs=1e-12)
    # Duals that are too long are shortened, so that a wrong certificate cannot be claimed.
    if result.iterations:
        longer = dataclasses.replace(result, dual=PairDuals(3 * result.dual.rows, 3 * result.dual.columns))
        assert T.verify(cost, a, b, longer).lower_bound <= value + 1e-7


def test_neighbours_need_fewer_iterations_with_their_duals_kept(monkeypatch):
    clouds = wp.problems.class_clouds(30)
    weights = [T.gaussian_weights(x, neighbours=5) for x in (clouds.sources, clouds.targets)]
    options = {"lam": 0.1, "row_weights": weights[0], "column_weights": weights[1], "max_iter": 3000}
    kept = T.sum_of_norms(clouds.cost, **options)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        assert T.sum_of_norms(clouds.cost, **{**options, "max_iter": 7}).iterations == 7
    monkeypatch.setattr(sys.modules["wellposed.solvers.transport.sum_of_norms"], "PAIRS_UP_TO", 0)
    smoothed = T.sum_of_norms(clouds.cost, **options)
    assert isinstance(kept.dual, PairDuals)
    assert isinstance(smoothed.dual, Anchors)
    assert kept.iterations < smoothed.iterations
    assert abs(kept.value - smoothed.value) <= 1e-3 * kept.value


@pytest.mark.parametrize(
    ("seed", "bound", "mixed"), [(0, 0.162, 0.2), (1, 0.136, 0.0), (2, 0.199, 0.2), (3, 0.264, 0.4)]
)
def test_classes_are_recovered_from_the_bound_on(seed, bound, mixed):
    """The reference values were computed with another solver."""
    cost, labels = two_classes(seed)
    pairs, across = T.class_weights(labels), labels[:, None] != labels
    lam = T.recovery_bound(cost, labels, labels)
    assert lam == pytest.approx(bound, abs=6e-4)
    assert T.exact(cost).plan[across].sum() == pytest.approx(mixed)
    result = T.sum_of_norms(cost, lam=lam, row_weights=pairs, column_weights=pairs)
    assert result.rounded == pytest.approx(np.where(across, 0.0, 0.02), abs=1e-12)
    assert result.certificate.relative < 1e-8


def test_the_path_of_weights():
    """The mass that goes to the other class, from the same reference."""
    cost, labels = two_classes(0)
    pairs, across = T.class_weights(labels), labels[:, None] != labels
    for share, mixed in ((0.05, 0.272), (0.1, 0.245), (0.2, 0.2), (0.5, 0.0)):
        result = T.sum_of_norms(
            cost, lam=share * 0.162088, row_weights=pairs, column_weights=pairs, tol=1e-5, max_iter=20_000
        )
        assert result.rounded[across].sum() == pytest.approx(mixed, abs=2e-3)


@given(st.integers(0, 10**6), st.floats(0.003, 0.3), st.integers(1, 60))
def test_the_gap_bounds_the_error_of_runs_cut_short(seed, lam, steps):
    cost, labels = two_classes(seed, 3)
    pairs = T.class_weights(labels)
    options = {"lam": lam, "row_weights": pairs, "column_weights": pairs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        short = T.sum_of_norms(cost, **options, tol=1e-9, max_iter=steps)
        good = T.sum_of_norms(cost, **options, tol=1e-5, max_iter=3000)
    assert short.certificate.lower_bound <= good.value + 1e-12
    assert short.value >= good.certificate.lower_bound - 1e-12
    noise = np.random.default_rng(seed).normal(size=cost.shape)
    moved = dataclasses.replace(short.dual, rows=noise, columns=noise, mu_rows=0.01)
    proof = T.verify(cost, None, None, dataclasses.replace(short, dual=moved))
    assert proof.lower_bound <= good.value + 1e-12


@pytest.mark.parametrize("mu", [1e-9, 0.3, 100.0])
def test_products_of_matrices_give_the_same_as_pairs(mu):
    rng = np.random.default_rng(0)
    z, weights = rng.normal(size=(9, 4)), rng.random((9, 9))
    weights = weights + weights.T
    graph = PairWeights.of(weights, "weights")
    one, two = graph._by_pairs(z, mu), graph._by_products(z, mu)
    d = np.linalg.norm(z[:, None] - z, axis=-1)
    huber = np.where(d > mu, d - mu / 2, d**2 / (2 * mu))
    np.fill_diagonal(weights, 0)
    for flow in (one, two):
        assert flow.size == pytest.approx(0.5 * (weights * d).sum())
        assert flow.smooth == pytest.approx(0.5 * (weights * huber).sum())
    factors = weights / np.maximum(d, mu)
    assert one.gradient == pytest.approx((factors[:, :, None] * (z[:, None] - z)).sum(1))
    assert two.gradient == pytest.approx(one.gradient, abs=1e-6)
    assert one.degree == pytest.approx(factors.sum(1).max())


def test_large_sets_of_pairs_are_never_formed(monkeypatch):
    """The branch for many pairs, on a small problem."""
    cost, labels = two_classes(0, 20)
    pairs = T.class_weights(labels)
    small = T.sum_of_norms(cost, lam=0.005, row_weights=pairs, column_weights=pairs)
    monkeypatch.setattr("wellposed.functionals.pairs.GRAM_FROM", 0)
    large = T.sum_of_norms(cost, lam=0.005, row_weights=pairs, column_weights=pairs)
    assert large.value == pytest.approx(small.value, rel=2e-3)
    assert large.certificate.relative < 1e-3


def test_gaussian_weights():
    x = np.random.default_rng(0).normal(size=(30, 2))
    square = ((x[:, None] - x) ** 2).sum(-1)
    expected = np.exp(-square / (2 * 0.5**2)) * (1 - np.eye(30))
    made = T.gaussian_weights(x, 0.5).toarray()
    assert made == pytest.approx(np.where(expected >= 1e-3, expected, 0))
    near = T.gaussian_weights(x, 0.5, neighbours=4).toarray()
    assert np.array_equal(near, near.T)
    assert set(np.flatnonzero(near)) < set(np.flatnonzero(made))
    order = np.argsort(square, axis=1)[:, 1:5]
    for i in range(30):
        assert all(near[i, j] == made[i, j] for j in order[i])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs row_weights or column_weights"),
        ({"row_weights": np.triu(np.ones((4, 4)))}, "row_weights must be symmetric"),
        ({"row_weights": -np.ones((4, 4))}, "row_weights must not be negative"),
        ({"row_weights": np.ones((5, 5))}, "row_weights joins 5 points, but the cost has shape"),
        ({"column_weights": np.full((3, 3), np.nan)}, "column_weights has 9 non-finite"),
        ({"column_weights": np.ones((3, 3)), "lam": 0.0}, "lam must be a positive"),
    ],
)
def test_bad_input_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        T.sum_of_norms(np.ones((4, 3)), **{"lam": 1.0, **options})


def test_points_of_weight_zero_and_identical_points():
    cost, labels = two_classes(0)
    pairs = T.class_weights(labels)
    a = np.where(np.arange(10) == 3, 0.0, 1 / 9)
    result = T.sum_of_norms(cost, a, lam=0.02, row_weights=pairs, column_weights=pairs)
    assert np.all(result.plan[3] == 0)
    assert np.isfinite(result.f).all()
    flat = T.sum_of_norms(np.zeros((10, 10)), lam=0.02, row_weights=pairs, column_weights=pairs)
    assert flat.value == 0.0
    assert flat.status == "converged"


def test_classes_of_one_member_leave_the_exact_plan():
    cost, labels = two_classes(0)
    alone = T.class_weights(np.arange(10))
    result = T.sum_of_norms(cost, lam=1.0, row_weights=alone, column_weights=alone)
    assert result.value == pytest.approx(T.exact(cost).value, abs=1e-12)
    assert result.certificate.value < 1e-12
    some = T.class_weights(np.where(labels == 0, 0, 1 + np.arange(10)))
    result = T.sum_of_norms(cost, lam=1.0, row_weights=some)
    assert result.status == "converged"
    assert np.ptp(result.rounded[:5], axis=0).max() < 1e-9
    one = T.sum_of_norms(cost[:1, :1], lam=1.0, row_weights=np.zeros((1, 1)))
    assert one.plan == pytest.approx(1.0)


def test_one_class_alone_spreads_evenly():
    cost, _ = two_classes(0)
    pairs = T.class_weights(np.zeros(10, dtype=int))
    result = T.sum_of_norms(cost, lam=10.0, row_weights=pairs, column_weights=pairs)
    assert result.rounded == pytest.approx(np.full((10, 10), 0.01))
    assert result.certificate.relative < 1e-8


@pytest.mark.parametrize("lam", [1e-14, 1e-7])
def test_a_penalty_too_weak_to_matter_is_proven_at_once(lam):
    cost, labels = two_classes(0)
    pairs = T.class_weights(labels)
    result = T.sum_of_norms(cost, lam=lam, row_weights=pairs, column_weights=pairs)
    assert result.status == "converged"
    assert result.certificate.relative < 1e-3
    assert result.iterations == 0


@pytest.mark.parametrize("step", [0.3, 0.05])
def test_incremental_steps_reach_the_same_value(step):
    cost, labels = two_classes(0)
    pairs = T.class_weights(labels)
    options = {"lam": 0.08, "row_weights": pairs, "column_weights": pairs}
    best = T.sum_of_norms(cost, **options, tol=1e-8)
    result = T.sum_of_norms_incremental(cost, **options, step=step, epochs=100, tol=10.0)
    assert -1e-9 <= result.value - best.certificate.lower_bound < 1e-8
    assert result.rounded == pytest.approx(best.rounded, abs=1e-7)
