"""Mixtures of experts against CVXPY, scikit-learn, plain EM and finite differences."""

from __future__ import annotations

import math

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.linear_model import Lasso

import wellposed as wp
from wellposed.solvers.mixture import oracle_weight
from wellposed.solvers.mixture.em import _Task


def some_model(rng, experts=3, p=4):
    gate = np.concatenate([rng.standard_normal((experts - 1, p)), np.zeros((1, p))])
    g = np.concatenate([rng.standard_normal(experts - 1), [0.0]])
    return wp.MixtureOfExperts(g, gate, rng.standard_normal(experts), rng.standard_normal((experts, p)), 0.7)


def log_density_by_hand(model, X, y):
    values = []
    for x, value in zip(X, y, strict=True):
        scores = np.exp([model.gate_intercepts[k] + model.gate[k] @ x for k in range(model.experts)])
        parts = [
            s * norm.pdf(value, model.intercepts[k] + model.slopes[k] @ x, math.sqrt(model.variance))
            for k, s in enumerate(scores)
        ]
        values.append(math.log(sum(parts) / scores.sum()))
    return np.array(values)


@pytest.fixture(scope="module")
def problem():
    return wp.problems.expert_mixture(samples=150, seed=3)


@pytest.fixture(scope="module")
def fit(problem):
    return wp.mixture_of_experts(problem.X, problem.y, weight=5.0, gate_weight=3.0, starts=2, tol=1e-10)


def test_density(rng):
    model = some_model(rng)
    X, y = rng.standard_normal((7, 4)), rng.standard_normal(7)
    assert model.log_density(X, y) == pytest.approx(log_density_by_hand(model, X, y))
    row = X[:1]
    mass, _ = quad(lambda v: math.exp(model.log_density(row, np.array([v]))[0]), -30, 30, limit=200)
    mean, _ = quad(lambda v: v * math.exp(model.log_density(row, np.array([v]))[0]), -30, 30, limit=200)
    assert mass == pytest.approx(1.0, abs=1e-7)
    assert mean == pytest.approx(model.predict(row)[0], abs=1e-6)
    assert model.responsibilities(X, y).sum(axis=1) == pytest.approx(1.0)


def test_another_order_is_the_same_density(rng):
    model = some_model(rng)
    X, y = rng.standard_normal((9, 4)), rng.standard_normal(9)
    other = model.relabelled([2, 0, 1])
    assert np.all(other.gate[-1] == 0)
    assert other.log_density(X, y) == pytest.approx(model.log_density(X, y))


def test_draws_have_the_mean_of_the_model(rng):
    model = some_model(rng)
    X = np.repeat(rng.standard_normal((1, 4)), 100_000, axis=0)
    assert model.draw(X, rng).mean() == pytest.approx(model.predict(X[:1])[0], abs=0.03)


def test_extreme_scores_do_not_overflow(rng):
    model = some_model(rng)
    X = 1e4 * rng.standard_normal((5, 4))
    assert np.all(np.isfinite(model.log_density(X, np.zeros(5))))


def test_it_finds_the_truth(problem, fit):
    truth = problem.truth
    model = min(
        (fit.model, fit.model.relabelled([1, 0])), key=lambda m: np.abs(m.slopes - truth.slopes).sum()
    )
    assert np.array_equal(np.sign(model.slopes)[truth.slopes != 0], np.sign(truth.slopes)[truth.slopes != 0])
    assert problem.divergence(model) < 0.1
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(log_density_by_hand(model, problem.X, problem.y).sum())
    penalty = 5 * np.abs(model.slopes).sum() + 3 * np.abs(model.gate).sum()
    assert fit.objective == pytest.approx(fit.log_likelihood - penalty)
    assert fit.bic == pytest.approx(fit.log_likelihood - 0.5 * math.log(150) * fit.model.nonzeros)


def test_the_objective_never_falls(fit):
    assert min(np.diff(fit.history)) >= -1e-9 * abs(fit.objective)
    assert fit.gap < 1e-7


def test_the_gradient_of_the_likelihood_balances_the_penalty(problem, fit):
    """Finite differences of the log-likelihood, which knows nothing of responsibilities."""
    model, h = fit.model, 1e-5

    def likelihood(name, change):
        parts = {n: getattr(model, n).copy() for n in ("gate_intercepts", "gate", "intercepts", "slopes")}
        parts[name] = parts[name] + change
        return wp.MixtureOfExperts(*parts.values(), model.variance).log_density(problem.X, problem.y).sum()

    for name, weight, rows in (("slopes", 5.0, 2), ("gate", 3.0, 1)):
        for k in range(rows):
            for j in range(6):
                change = np.zeros((2, 6))
                change[k, j] = h
                slope = (likelihood(name, change) - likelihood(name, -change)) / (2 * h)
                x = getattr(model, name)[k, j]
                if x != 0:
                    assert slope == pytest.approx(weight * np.sign(x), rel=1e-3)
                else:
                    assert abs(slope) <= weight * (1 + 1e-3)
    for name in ("gate_intercepts", "intercepts"):
        change = np.array([h, 0.0])
        assert abs(likelihood(name, change) - likelihood(name, -change)) / (2 * h) < 1e-2
    assert fit.optimality < 1e-3


def test_the_steps_are_the_minima_that_cvxpy_finds(problem, rng):
    """Three experts: each expert, and the first row of the gate with the others held."""
    X, y = problem.X[:60], problem.y[:60]
    model = some_model(rng, 3, 6)
    task = _Task.checked(X, y, 3, 2.0, 1.5, 1e-10, None)
    tau = model.responsibilities(X, y)
    intercepts, slopes, _ = task._experts(model, tau)
    for k in range(3):
        u, c = cp.Variable(6), cp.Variable()
        loss = 0.5 * cp.sum(cp.multiply(tau[:, k], cp.square(y - c - X @ u)))
        cp.Problem(cp.Minimize(loss + model.variance * 2.0 * cp.norm1(u))).solve(solver="CLARABEL")
        assert slopes[k] == pytest.approx(u.value, abs=1e-4)
        assert intercepts[k] == pytest.approx(float(c.value), abs=1e-4)
    g, gamma, _ = task._gate(model, tau)
    w, c = cp.Variable(6), cp.Variable()
    others = model.scores(X)[:, 1:]
    scores = cp.hstack([cp.reshape(X @ w + c, (60, 1), order="C"), others])
    likelihood = cp.sum(cp.multiply(tau[:, 0], X @ w + c) + np.sum(tau[:, 1:] * others, axis=1)) - cp.sum(
        cp.log_sum_exp(scores, axis=1)
    )
    cp.Problem(cp.Maximize(likelihood - 1.5 * cp.norm1(w))).solve(solver="CLARABEL")
    assert gamma[0] == pytest.approx(w.value, abs=1e-3)
    assert g[0] == pytest.approx(float(c.value), abs=1e-3)


def test_one_expert_is_the_lasso(problem):
    X, y = problem.X, problem.y
    fit = wp.mixture_of_experts(X, y, experts=1, weight=8.0, tol=1e-13)
    # At the fixed point the weight of the Lasso is the variance times that of the likelihood.
    lasso = Lasso(alpha=8.0 * fit.model.variance / len(y), tol=1e-12, max_iter=100_000).fit(X, y)
    assert fit.model.slopes[0] == pytest.approx(lasso.coef_, abs=1e-5)
    assert fit.model.intercepts[0] == pytest.approx(lasso.intercept_, abs=1e-5)
    assert fit.model.variance == pytest.approx(np.mean((y - lasso.predict(X)) ** 2), rel=1e-4)


def test_huge_weights_leave_no_slopes(problem):
    fit = wp.mixture_of_experts(problem.X, problem.y, weight=1e4, starts=1, tol=1e-6)
    assert fit.model.nonzeros == 0


def test_a_start_is_taken_up(problem, fit):
    again = wp.mixture_of_experts(
        problem.X, problem.y, weight=5.0, gate_weight=3.0, start=fit.model, tol=1e-9
    )
    assert again.iterations <= 3
    assert again.objective == pytest.approx(fit.objective)


def test_the_lower_bound_of_the_variance(rng):
    X, y = rng.standard_normal((10, 12)), rng.standard_normal(10)
    with pytest.warns(RuntimeWarning, match="lower bound"):
        fit = wp.mixture_of_experts(X, y, weight=0.05, starts=1, tol=1e-2, inner_tol=1e-3)
    assert fit.at_floor
    assert fit.model.variance == pytest.approx(0.05 * np.var(y))
    assert fit.objective < 1e3


def test_a_limit_is_told(problem):
    with pytest.warns(wp.ConvergenceWarning, match="raise max_iter"):
        fit = wp.mixture_of_experts(problem.X, problem.y, weight=5.0, starts=1, max_iter=1)
    assert fit.status == "max_iter"


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3), st.floats(0.3, 30.0), st.floats(0.01, 100.0))
def test_climbs_for_all_sizes_and_scales(seed, experts, weight, scale):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((30, 3))
    y = scale * (np.abs(X[:, 0]) + 0.2 * rng.standard_normal(30))
    task = _Task.checked(X, y, experts, weight / scale, weight, 1e-9, None)
    model = task.random_start(rng)
    before = task.objective(model)
    for _ in range(4):
        model, gap = task.step(model)
        after = task.objective(model)
        assert after >= before - 1e-7 * (1 + abs(before))
        assert gap <= 1e-9
        before = after


def test_read_only_input_is_accepted_and_left_alone(problem):
    X, y = problem.X.copy(), problem.y.copy()
    X.flags.writeable = y.flags.writeable = False
    wp.mixture_of_experts(X, y, weight=5.0, starts=1, tol=1e-2)
    assert np.array_equal(X, problem.X)


def test_weight_of_the_theory():
    at = {n: oracle_weight(n, 6, 2, mean=3.0) for n in (10**4, 10**8, 10**16)}
    scaled = [w * math.sqrt(n) / (math.log(n) ** 2 * math.sqrt(math.log(13))) for n, w in at.items()]
    assert abs(scaled[2] / scaled[1] - 1) < abs(scaled[1] / scaled[0] - 1) < 0.6
    assert oracle_weight(300, 6, 2, kappa=296) == pytest.approx(2 * oracle_weight(300, 6, 2))
    ratio = oracle_weight(300, 6, 4, gate=0.5) / oracle_weight(300, 6, 2, gate=0.5)
    assert ratio == pytest.approx(4 * 3 / (2 * 2))


def test_soft_labels_of_0_and_1_are_labels(rng):
    b, u = (rng.uniform(size=12) > 0.5) * 1.0, rng.standard_normal(12)
    soft, hard = wp.SoftLogisticLoss(None, b), wp.LogisticLoss(None, 2 * b - 1)
    assert soft(u) == pytest.approx(hard(u))
    assert soft.prox(u, 0.7) == pytest.approx(hard.prox(u, 0.7))
    assert soft.conjugate(0.3 - 0.6 * b) == pytest.approx(hard.conjugate(0.3 - 0.6 * b))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((5, 2))}, "samples, features"),
        ({"y": np.full(150, np.nan)}, "y"),
        ({"y": np.ones(150)}, "constant"),
        ({"weight": -1.0}, "weight"),
        ({"gate_weight": 0.0}, "gate_weight"),
        ({"experts": 0}, "experts"),
        ({"experts": 2.5}, "experts"),
        ({"starts": 0}, "starts"),
        ({"tol": 0.0}, "tol"),
        ({"least_variance": 0.0}, "least_variance"),
    ],
)
def test_bad_input(problem, change, message):
    with pytest.raises(ValueError, match=message):
        wp.mixture_of_experts(**{"X": problem.X, "y": problem.y, **change})


def test_bad_models(problem, rng):
    with pytest.raises(ValueError, match="start has slopes"):
        wp.mixture_of_experts(problem.X, problem.y, start=some_model(rng, 3))
    with pytest.raises(ValueError, match="variance"):
        wp.MixtureOfExperts([0.0], [[0.0]], [0.0], [[1.0]], 0.0)
    with pytest.raises(ValueError, match="one row"):
        wp.MixtureOfExperts([0.0], [[0.0]], [0.0], [[1.0, 2.0]], 1.0)
    with pytest.raises(ValueError, match="one intercept"):
        wp.MixtureOfExperts([0.0, 1.0], [[0.0]], [0.0], [[1.0]], 1.0)
    with pytest.raises(ValueError, match="finite"):
        wp.MixtureOfExperts([np.inf], [[0.0]], [0.0], [[1.0]], 1.0)
    with pytest.raises(ValueError, match="kappa"):
        oracle_weight(300, 6, 2, kappa=1.0)
    with pytest.raises(ValueError, match="n >= 2"):
        oracle_weight(1, 6, 2)
    with pytest.raises(ValueError, match="two samples"):
        wp.problems.expert_mixture(samples=1)
    with pytest.raises(ValueError, match="probabilities b from 0 to 1"):
        wp.SoftLogisticLoss(None, np.array([0.5, 1.2]))
    with pytest.raises(ValueError, match="neither all 0"):
        wp.SoftLogisticLoss(None, np.zeros(3), intercept=True)
    with pytest.raises(ValueError, match="offset has shape"):
        wp.SoftLogisticLoss(None, np.zeros(3), np.zeros(2))
