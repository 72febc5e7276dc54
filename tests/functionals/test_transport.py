"""The set of transport plans, entropy and sums of norms, against other ways to compute them."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import wellposed as wp

A, B = np.array([0.1, 0.4, 0.3, 0.2]), np.array([0.5, 0.2, 0.3])


@given(st.integers(0, 10**6), st.floats(-6, 3))
def test_the_projection_is_the_nearest_plan(seed, power):
    """By its optimality condition: no plan is seen from the projection in the direction of the point."""
    point = 10**power * np.random.default_rng(seed).normal(size=(4, 3))
    plan = wp.TransportPolytope(A, B).prox(point)
    assert plan.sum(1) == pytest.approx(A, abs=1e-12)
    assert plan.sum(0) == pytest.approx(B, abs=1e-12)
    assert plan.min() >= 0
    gain = -wp.transport.exact(plan - point, A, B).value - np.sum((point - plan) * plan)
    assert gain <= 1e-9 * (1 + np.abs(point).max())


def test_the_projection_agrees_with_a_quadratic_programme():
    point = np.random.default_rng(0).normal(size=(4, 3))
    X = cp.Variable((4, 3), nonneg=True)
    goal = cp.Minimize(cp.sum_squares(X - point))
    cp.Problem(goal, [cp.sum(X, 1) == A, cp.sum(X, 0) == B]).solve(cp.CLARABEL)
    assert wp.TransportPolytope(A, B).prox(point) == pytest.approx(X.value, abs=1e-6)


@pytest.mark.parametrize("step", [1e6, 1e10, 1e15, 1e200])
def test_from_far_away_the_projection_is_the_exact_plan(step):
    cost = np.random.default_rng(3).random((4, 3))
    plan = wp.TransportPolytope(A, B, cost).prox(np.outer(A, B), step)
    assert np.sum(cost * plan) == pytest.approx(wp.transport.exact(cost, A, B).value, abs=1e-6)
    assert plan.sum(1) == pytest.approx(A, abs=1e-12)


def test_one_row_or_column_leaves_one_plan():
    for a, b in ((np.ones(1), B), (A, np.ones(1))):
        f = wp.TransportPolytope(a, b)
        assert f.prox(np.random.default_rng(0).normal(size=f.shape)) == pytest.approx(np.outer(a, b))


def test_the_conjugate_is_exact_transport():
    y = np.random.default_rng(1).normal(size=(4, 3))
    assert wp.TransportPolytope(A, B)._conjugate(y) == pytest.approx(-wp.transport.exact(-y, A, B).value)
    cost = np.random.default_rng(2).random((4, 3))
    priced = wp.TransportPolytope(A, B, cost)
    assert priced._conjugate(y) == pytest.approx(-wp.transport.exact(cost - y, A, B).value)
    assert priced(np.outer(A, B)) == pytest.approx(np.sum(cost * np.outer(A, B)))
    assert priced(np.outer(A, B) + 1e-6) == np.inf


@pytest.mark.parametrize("reference", [1.0, 1e-6, 50.0])
@pytest.mark.parametrize("step", [1e-3, 1.0, 300.0])
def test_prox_of_entropy_against_a_search(reference, step):
    f = wp.Entropy(reference)
    for v in (-30.0, -1.0, 0.0, 1e-3, 2.0, 80.0):
        p = float(f.prox(np.array([v]), step)[0])

        def goal(w, v=v):
            x = reference * np.exp(w)
            return step * f(np.array([x])) + 0.5 * (x - v) ** 2

        found = minimize_scalar(goal, bounds=(-700, 20), method="bounded", options={"xatol": 1e-12}).fun
        assert goal(np.log(max(p, 1e-300) / reference)) <= found + 1e-9 * (1 + abs(found))


def test_sum_of_norms_counts_each_pair_once():
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(5, 4)), rng.random((5, 5))
    w = w + w.T
    by_hand = sum(w[i, k] * np.linalg.norm(x[i] - x[k]) for i in range(5) for k in range(i))
    assert wp.SumOfNorms(w)(x) == pytest.approx(by_hand)
    assert wp.SumOfNorms(w, axis=1)(x.T) == pytest.approx(by_hand)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="a must be a vector of positive weights"):
        wp.TransportPolytope(np.array([0.0, 1.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="a sums to 1 but b to 2"):
        wp.TransportPolytope(np.array([1.0]), np.array([2.0]))
    with pytest.raises(ValueError, match=r"cost has shape \(2, 2\)"):
        wp.TransportPolytope(A, B, np.ones((2, 2)))
    with pytest.raises(ValueError, match="x has 12 non-finite"):
        wp.TransportPolytope(A, B).prox(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match=r"a plan has shape \(4, 3\) here"):
        wp.TransportPolytope(A, B).prox(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="reference of Entropy must be positive"):
        wp.Entropy(np.array([1.0, 0.0]))
    with pytest.raises(ValueError, match="needs a pair of positive weight"):
        wp.SumOfNorms(np.eye(3))
    with pytest.raises(ValueError, match="joins 3 slices along axis 0"):
        wp.SumOfNorms(np.ones((3, 3)))(np.ones((4, 3)))
    with pytest.raises(ValueError, match="ends of pairs must be from 0 to 2"):
        wp.operators.PairDifferences((3, 2), [0], [3])
