"""Shared representations and relevance against linear programming, CVXPY and brute force."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import wellposed as wp

mt = wp.multitask


def sources(seed=0, rank=4, tasks=12):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((rank, tasks))
    W /= np.linalg.norm(W, axis=0)
    return W, rng.standard_normal(rank)


@pytest.mark.parametrize("seed", range(3))
def test_relevance_is_the_solution_of_the_linear_program(seed):
    W, w = sources(seed)
    prices = np.random.default_rng(seed).uniform(0.2, 4.0, 12)
    for c in (None, prices):
        cost = np.ones(12) if c is None else np.sqrt(c)
        program = linprog(np.concatenate([cost, cost]), A_eq=np.hstack([W, -W]), b_eq=w)
        result = mt.relevance(W, w, prices=c)
        assert cost @ np.abs(result.x) == pytest.approx(program.fun, rel=1e-6)
        assert result.x == pytest.approx(program.x[:12] - program.x[12:], abs=1e-4)
        assert W @ result.x == pytest.approx(w)
        assert np.sum(np.abs(result.x) > 1e-6) <= 4


def test_noisy_relevance_is_a_lasso():
    W, w = sources()
    result = mt.relevance(W, w, weight=0.1)
    nu = cp.Variable(12)
    cp.Problem(cp.Minimize(0.5 * cp.sum_squares(W @ nu - w) + 0.1 * cp.norm1(nu))).solve(solver="CLARABEL")
    assert result.x == pytest.approx(nu.value, abs=1e-5)
    assert result.certificate.relative <= 1e-8


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_the_value_of_an_allocation(seed):
    """It is the least of sums of squares, and no allocation is below the squared L1 norm."""
    W, w = sources(seed, 3, 7)
    rng = np.random.default_rng(seed)
    n = rng.dirichlet(np.ones(7)) + 1e-3
    n /= n.sum()
    value = mt.allocation_value(W, w, n)
    assert value == pytest.approx(w @ np.linalg.solve((W * n) @ W.T, w), rel=1e-7)
    nu = n * (W.T @ np.linalg.solve((W * n) @ W.T, w))
    assert value == pytest.approx(np.sum(nu**2 / n), rel=1e-7)
    cost = np.ones(14)
    least = linprog(cost, A_eq=np.hstack([W, -W]), b_eq=w).fun ** 2
    assert value >= least * (1 - 1e-9)


def test_the_best_allocation():
    W, w = sources()
    nu = mt.relevance(W, w, tol=1e-10).x
    counts = mt.allocate(nu, 10**9)
    assert counts.sum() <= 10**9
    assert mt.allocation_value(W, w, counts / 10**9) == pytest.approx(np.abs(nu).sum() ** 2, rel=1e-5)


def test_tasks_that_do_not_span_the_target():
    assert mt.allocation_value(np.eye(2), np.array([1.0, 1.0]), np.array([5, 0])) == np.inf
    assert mt.allocation_value(np.eye(2), np.array([1.0, 0.0]), np.array([5, 0])) == pytest.approx(0.2)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-10, 10), min_size=2, max_size=8),
    st.integers(0, 20),
    st.integers(0, 5000),
    st.booleans(),
)
def test_allocations_keep_to_the_budget(scores, least, more, priced):
    nu = np.array(scores) + 0.5
    if not np.any(np.abs(nu) > 1e-9):
        return
    c = 1 + np.arange(len(nu)) / 2.0 if priced else np.ones(len(nu))
    budget = least * c.sum() + more
    counts = mt.allocate(nu, budget, least, c if priced else None)
    assert counts.min() >= least
    assert budget - c.sum() - 1e-6 <= counts @ c <= budget + 1e-6


def test_the_representation_of_noise_free_tasks_is_found():
    problem = wp.problems.related_tasks(features=12, tasks=8, rank=3, noise=0.0)
    rng = np.random.default_rng(0)
    learned = mt.shared_representation(problem.samples([20] * 8, rng), 3)
    angles = np.linalg.svd(learned.basis.T @ problem.basis)[1]
    assert angles == pytest.approx(np.ones(3))
    assert learned.basis.T @ learned.basis == pytest.approx(np.eye(3), abs=1e-12)
    head = learned.head(*problem.target_samples(10, rng))
    assert problem.excess_risk(learned.basis @ head) < 1e-15
    X, y = problem.target_samples(4, rng)
    assert learned.predict(X, head) == pytest.approx(y)


def test_the_objective_is_that_of_the_samples_and_does_not_rise():
    problem = wp.problems.related_tasks(features=10, tasks=6, rank=2, noise=1.0)
    # Some tasks have fewer samples than features, one has none.
    samples = problem.samples([30, 5, 0, 8, 40, 3], np.random.default_rng(1))
    learned = mt.shared_representation(samples, 2, tol=1e-12, max_iter=2000)
    squares = [
        np.sum((y - X @ learned.basis @ w) ** 2) for (X, y), w in zip(samples, learned.heads.T, strict=True)
    ]
    assert learned.objective == pytest.approx(0.5 * sum(squares))
    assert max(np.diff(learned.history)) <= 1e-9 * learned.history[0]
    # A stationary point: small turns of the basis, heads fitted anew, do not lower it to first order.
    rng = np.random.default_rng(2)
    for _ in range(5):
        turned = np.linalg.qr(learned.basis + 1e-4 * rng.standard_normal((10, 2)))[0]
        total = 0.0
        for X, y in samples:
            w = np.linalg.lstsq(X @ turned, y, rcond=None)[0]
            total += 0.5 * np.sum((y - X @ turned @ w) ** 2)
        assert total >= learned.objective - 1e-7


def test_rank_of_all_features_is_least_squares_of_each_task():
    problem = wp.problems.related_tasks(features=4, tasks=5, rank=2, noise=1.0)
    samples = problem.samples([20] * 5, np.random.default_rng(3))
    learned = mt.shared_representation(samples, 4)
    for m, (X, y) in enumerate(samples):
        assert learned.basis @ learned.heads[:, m] == pytest.approx(np.linalg.lstsq(X, y, rcond=None)[0])


def test_a_limit_of_sweeps_is_told():
    problem = wp.problems.related_tasks(features=10, tasks=6, rank=2)
    with pytest.warns(wp.ConvergenceWarning, match="raise max_iter"):
        mt.shared_representation(problem.samples([9] * 6, np.random.default_rng(0)), 2, max_iter=1)


def test_bad_input():
    W, w = sources()
    with pytest.raises(ValueError, match="heads need shape"):
        mt.relevance(W, w[:2])
    with pytest.raises(ValueError, match="prices"):
        mt.relevance(W, w, prices=np.zeros(12))
    with pytest.raises(ValueError, match="weight"):
        mt.relevance(W, w, weight=-1.0)
    with pytest.raises(ValueError, match="no x satisfies"):
        mt.relevance(np.ones((2, 3)), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="not all 0"):
        mt.allocate(np.zeros(3), 10)
    with pytest.raises(ValueError, match="does not pay"):
        mt.allocate(np.ones(3), 10, least=5)
    with pytest.raises(ValueError, match="counts"):
        mt.allocation_value(W, w, -np.ones(12))
    problem = wp.problems.related_tasks(features=6, tasks=4, rank=2)
    samples = problem.samples([5] * 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="rank must be an integer from 1 to 4"):
        mt.shared_representation(samples, 5)
    with pytest.raises(ValueError, match="one task"):
        mt.shared_representation([], 1)
    with pytest.raises(ValueError, match="task 1 needs X"):
        mt.shared_representation([samples[0], (samples[1][0], np.zeros(3))], 1)
    with pytest.raises(ValueError, match="rank"):
        wp.problems.related_tasks(features=3, tasks=4, rank=4)
