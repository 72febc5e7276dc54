"""Sparse penalties that join entries: against CVXPY where convex, against brute force where not."""

from __future__ import annotations

import itertools
import time

import cvxpy
import numpy as np
import pytest
from scipy import optimize

import wellposed as wp

LISTS = [[0, 3], [1, 2, 5]]
LABELS = np.array([0, 1, 1, 0, -1, 1])
W = np.array([0.5, 1.0, 2.0, 1.3, 0.7, 0.0])


def minimum(atom, x, step):
    """The least value of the cost that defines a proximal map, and where, by a conic solver."""
    z = cvxpy.Variable(x.shape)
    cost = atom(z) + cvxpy.sum_squares(z - x) / (2 * step)
    return cvxpy.Problem(cvxpy.Minimize(cost)).solve(solver="CLARABEL"), z.value


def exclusive(z, weights):
    return sum(cvxpy.square(cvxpy.sum(cvxpy.multiply(weights[g], cvxpy.abs(z[g])))) / 2 for g in LISTS)


@pytest.mark.parametrize("step", [0.05, 1.0, 30.0])
@pytest.mark.parametrize("weights", [None, W])
def test_exclusive_prox(rng, step, weights):
    f = wp.ExclusiveL1(LISTS, weights)
    for x in 2 * rng.standard_normal((6, 6)):
        cost, z = minimum(lambda v: exclusive(v, np.ones(6) if weights is None else weights), x, step)
        point, value = f.prox_and_value(x, step)
        assert value + np.sum((point - x) ** 2) / (2 * step) == pytest.approx(cost, rel=1e-7)
        assert np.allclose(point, z, atol=1e-4)
        assert point[4] == x[4]


def test_exclusive_groups_of_one_entry_are_a_ridge(rng):
    x = rng.standard_normal((3, 4))
    f = wp.ExclusiveL1(np.arange(12).reshape(3, 4))
    assert f(x) == pytest.approx(0.5 * np.sum(x**2))
    assert np.allclose(f.prox(x, 0.7), x / 1.7)


def test_exclusive_newton_ends_for_entries_of_all_sizes():
    x = 2.0 ** np.arange(-300, 300, 0.5)
    point = wp.ExclusiveL1(np.zeros(x.size, int)).prox(x, 1e-3)
    s = point.sum()
    assert np.allclose(point, np.maximum(x - 1e-3 * s, 0), rtol=1e-9)


def envelope(z, k, groups, d):
    """The variational form: the least of sum d ||x||^2 / (2 u) over shares ``0 <= u <= 1`` of sum ``k``."""
    u = cvxpy.Variable(len(groups))
    parts = [d[j] * cvxpy.quad_over_lin(z[g], u[j]) / 2 for j, g in enumerate(groups)]
    return sum(parts), [u >= 0, u <= 1, cvxpy.sum(u) <= k]


GROUPS = [[0], [1, 2], [3, 4, 5], [6], [7]]
D = np.array([0.6, 1.0, 1.7, 1.0, 2.0])


@pytest.mark.parametrize("k", [0.6, 1, 2, 2.5, 4, 5, 9])
def test_envelope_value_and_prox(rng, k):
    f = wp.SparseEnvelope(k, GROUPS, D)
    for x in rng.standard_normal((3, 8)):
        x[0] *= 5
        z = cvxpy.Constant(x)
        cost, limits = envelope(z, k, GROUPS, D)
        assert f(x) == pytest.approx(
            cvxpy.Problem(cvxpy.Minimize(cost), limits).solve(solver="CLARABEL"), rel=1e-6
        )
        for step in (0.1, 1.0, 20.0):
            z = cvxpy.Variable(8)
            cost, limits = envelope(z, k, GROUPS, D)
            whole = cost + cvxpy.sum_squares(z - x) / (2 * step)
            best = cvxpy.Problem(cvxpy.Minimize(whole), limits).solve(solver="CLARABEL")
            point = f.prox(x, step)
            assert f(point) + np.sum((point - x) ** 2) / (2 * step) == pytest.approx(best, rel=1e-6)
            assert np.allclose(point, z.value, atol=1e-3)


def test_envelope_is_that_of_the_sparse_square(rng):
    for k in (1, 2, 3):
        f = wp.SparseEnvelope(k)
        for x in rng.standard_normal((20, 5)):
            x[rng.random(5) < 0.3] = 0
            half = 0.5 * np.sum(x**2)
            assert f(x) >= half - 1e-12
            if np.count_nonzero(x) <= k:
                assert f(x) == pytest.approx(half)
            # The conjugate of both: the best k entries.
            best = max(0.5 * np.sum(x[list(s)] ** 2) for s in itertools.combinations(range(5), k))
            assert f._conjugate(x) == pytest.approx(best)
    assert wp.SparseEnvelope(1)(x) == pytest.approx(0.5 * np.abs(x).sum() ** 2)
    assert np.allclose(wp.SparseEnvelope(5).prox(x, 0.3), x / 1.3)


def test_ties_and_zeros():
    f = wp.SparseEnvelope(2)
    x = np.array([1.0, -1.0, 1.0, 0.0, 1.0])
    assert f(x) == pytest.approx(0.5 * 16 / 2)
    point = f.prox(x, 0.5)
    assert np.allclose(np.abs(point), np.abs(x) * 0.5)
    assert np.array_equal(f.prox(np.zeros(5), 0.5), np.zeros(5))
    assert f(np.zeros(5)) == 0.0


def test_one_prox_leaves_more_than_k_groups(rng):
    x = rng.standard_normal(6)
    counts = [np.count_nonzero(wp.SparseEnvelope(k).prox(x, 0.7)) for k in (1, 2, 4)]
    assert counts[-1] > 4
    assert np.count_nonzero(wp.SparseEnvelope(2).prox(x, 1e3)) <= 3


def test_a_million_groups_cost_one_sort(rng):
    x = rng.standard_normal(1_000_000)
    f = wp.SparseEnvelope(1000)
    start = time.perf_counter()
    np.sort(np.concatenate([x, x]))
    sort = time.perf_counter() - start
    start = time.perf_counter()
    f(f.prox(x, 0.1))
    assert time.perf_counter() - start < 40 * sort + 1


@pytest.mark.parametrize(
    "penalty", [wp.L0(), wp.MCP(0.7, 2.0), wp.SCAD(0.5, 2.2), wp.Lq(0.5), wp.LogSum(0.2)]
)
@pytest.mark.parametrize("step", [0.3, 1.5, 6.0])
def test_group_prox_in_two_dimensions(rng, penalty, step):
    f = wp.GroupPenalty(penalty, [[0, 2]])
    for x in 1.5 * rng.standard_normal((6, 3)):

        def cost(z, x=x):
            return f(np.array([z[0], x[1], z[1]])) + ((z[0] - x[0]) ** 2 + (z[1] - x[2]) ** 2) / (2 * step)

        point = f.prox(x, step)
        assert point[1] == x[1]
        assert cost(point[[0, 2]]) <= brute(cost, x[[0, 2]]) + 1e-9


def brute(cost, x):
    """The least cost on a grid around 0 and ``x``, refined."""
    side = np.linspace(-1.1, 1.1, 45) * np.max(np.abs(x))
    start = min(itertools.product(side, side), key=cost)
    found = optimize.minimize(cost, start, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14})
    return min(found.fun, cost(np.zeros(2)), cost(x))


@pytest.mark.parametrize("alpha", [1.0, 0.6, 0.0])
@pytest.mark.parametrize("step", [0.2, 1.0, 4.0])
def test_difference_of_norms_in_two_dimensions(rng, alpha, step):
    f = wp.L1MinusL2(alpha)
    for x in [*(1.5 * rng.standard_normal((8, 2))), np.array([0.5, -0.5]), np.array([step, 0.1])]:

        def cost(z, x=x):
            return f(np.asarray(z)) + np.sum((np.asarray(z) - x) ** 2) / (2 * step)

        assert cost(f.prox(x, step)) <= brute(cost, x) + 1e-9


def test_difference_of_norms_of_rows(rng):
    x = rng.standard_normal((4, 5))
    rows, one = wp.L1MinusL2(0.8, axis=1), wp.L1MinusL2(0.8)
    assert rows(x) == pytest.approx(sum(one(row) for row in x))
    assert np.allclose(rows.prox(x, 0.9), [one.prox(row, 0.9) for row in x])
    assert wp.L1MinusL2()(np.array([0.0, -3.0, 0.0])) == 0.0
    tie = one.prox(np.array([[0.5, -0.5], [0.5, 0.5]]), 0.6)
    assert np.count_nonzero(tie) == 1


def test_group_lasso_is_a_special_case(rng):
    x = rng.standard_normal(6)
    w = np.array([0.4, 1.5])
    f, g = wp.GroupPenalty(wp.Lq(1.0, w), LABELS), wp.GroupL2(LABELS, w)
    assert f(x) == pytest.approx(g(x))
    assert np.allclose(f.prox(x, 0.6), g.prox(x, 0.6))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wp.GroupPenalty(wp.L1(), LISTS), TypeError, "GroupPenalty takes a penalty of sizes"),
        (lambda: wp.GroupPenalty(wp.L0(np.ones(3)), LISTS), ValueError, r"expected \(2,\): one per group"),
        (lambda: wp.ExclusiveL1([[0, 1], [1]]), ValueError, "entry 1 is in the groups"),
        (lambda: wp.ExclusiveL1(LISTS, -W), ValueError, "weights must be at least 0"),
        (lambda: wp.SparseEnvelope(0), ValueError, "k of SparseEnvelope must be a positive number, got 0"),
        (lambda: wp.SparseEnvelope(1, LISTS, [1.0, 0.0]), ValueError, "must be positive, the smallest is 0"),
        (lambda: wp.SparseEnvelope(1, LISTS, [1.0]), ValueError, r"shape \(1,\), expected \(2,\)"),
        (lambda: wp.SparseEnvelope(1, weights=W[:5])(W), ValueError, r"expected one per entry, \(6,\)"),
        (lambda: wp.L1MinusL2(1.1), ValueError, "alpha of L1MinusL2 must be at most 1, got 1.1"),
        (lambda: wp.MCP(gamma=0.0), ValueError, "gamma of MCP must be finite and positive"),
        (lambda: wp.SCAD(gamma=1.0), ValueError, "gamma of SCAD must be above 1, got 1"),
        (lambda: wp.CEL0(-W, 1.0), ValueError, "norms of CEL0 must be at least 0"),
        (lambda: wp.Lq(-0.5), ValueError, "q of Lq must be finite and positive"),
        (lambda: wp.L0(-W), ValueError, "weights must be at least 0"),
        (lambda: wp.LogSum(0.0), ValueError, "eps of LogSum must be finite and positive"),
    ],
)
def test_message(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("labels", [np.repeat(np.arange(6), 4), np.tile(np.arange(4), 6), np.zeros(24, int)])
@pytest.mark.parametrize(
    "kind", [wp.GroupL2, lambda g: wp.GroupPenalty(wp.MCP(), g), lambda g: wp.SparseEnvelope(2, g)]
)
def test_groups_in_blocks_are_the_same_groups(labels, kind, rng):
    """Groups that are lines of a matrix take another path than listed ones."""
    x = 2 * rng.standard_normal((4, 6))
    regular = kind(labels.reshape(4, 6))
    listed = kind([np.flatnonzero(labels == g) for g in range(labels.max() + 1)])
    assert regular._blocks is not None
    assert listed._blocks is None
    assert regular(x) == pytest.approx(listed(x), rel=1e-13)
    np.testing.assert_allclose(regular.prox(x, 0.3), listed.prox(x, 0.3), atol=1e-13)
    assert regular.prox(x.astype(np.float32), 0.3).dtype == np.float32
