"""Empirical Bayes in closed form: against densities, finite differences, and MacKay's fixed point."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

import wellposed as wp
from wellposed.solvers.bilevel.elbo import Elbo
from wellposed.solvers.bilevel.evidence import FAMILIES, Evidence, Regression

Matrix = wp.operators.Matrix


def example(rng: np.random.Generator, rows: int = 12, columns: int = 7) -> tuple[np.ndarray, np.ndarray]:
    A = rng.standard_normal((rows, columns))
    return A, A @ rng.standard_normal(columns) + 0.3 * rng.standard_normal(rows)


def log_density(A: np.ndarray, y: np.ndarray, prior: float, noise: float) -> float:
    return multivariate_normal(np.zeros(len(y)), prior * A @ A.T + noise * np.eye(len(y))).logpdf(y)


def bound_by_hand(A, y, mean, S, prior, noise, kappa):
    """``E log p - KL / kappa`` with matrices."""
    N, R = A.shape
    fit = -0.5 * N * np.log(2 * np.pi * noise)
    fit -= (np.sum((y - A @ mean) ** 2) + np.trace(A @ S @ A.T)) / (2 * noise)
    kl = np.trace(S) / prior + mean @ mean / prior - R + R * np.log(prior) - np.linalg.slogdet(S)[1]
    return fit - 0.5 * kl / kappa


def covariance(A: np.ndarray, family: str, prior: float, noise: float, kappa: float) -> np.ndarray:
    G = A.T @ A
    if family == "diag":
        G = np.diag(np.diag(G))
    if family == "iso":
        G = np.trace(G) / len(G) * np.eye(len(G))
    return np.linalg.inv(kappa / noise * G + np.eye(len(G)) / prior)


@pytest.mark.parametrize("shape", [(12, 7), (5, 9)])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kappa", [1.0, 2.5])
def test_bound_and_updates_are_those_of_matrices(rng, shape, family, kappa):
    A, y = example(rng, *shape)
    model = Evidence((Regression(A, y),), family, kappa)
    prior, noise = 0.7, 0.2
    m = model.posterior(prior, noise)
    mean = np.linalg.solve(A.T @ A + noise / (kappa * prior) * np.eye(A.shape[1]), A.T @ y)
    S = covariance(A, family, prior, noise, kappa)
    expected = bound_by_hand(A, y, mean, S, prior, noise, kappa)
    assert model.bound(m, prior, noise) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(model.examples[0].mean(noise / (kappa * prior)), mean, rtol=1e-10)
    # q is the best one: no change of its mean or of its size is better.
    for factor in (0.99, 1.01):
        assert bound_by_hand(A, y, mean, factor * S, prior, noise, kappa) < expected
        assert bound_by_hand(A, y, factor * mean, S, prior, noise, kappa) < expected
    # The closed forms are zeros of the derivative, by finite differences.
    l, v, h = model.best_prior(m), model.best_noise(m), 1e-5
    for best, other in (
        (l, [model.bound(m, l * np.exp(s * h), v) for s in (-1, 0, 1)]),
        (v, [model.bound(m, l, v * np.exp(s * h)) for s in (-1, 0, 1)]),
    ):
        assert best > 0
        assert abs(other[2] - other[0]) / (2 * h) < 1e-5
        assert other[1] >= max(other[0], other[2])


def test_evidence_is_the_density_and_bounds_every_q(rng):
    for shape in ((12, 7), (5, 9)):
        A, y = example(rng, *shape)
        for prior, noise in ((0.7, 0.2), (3.0, 0.01)):
            exact = log_density(A, y, prior, noise)
            for family in FAMILIES:
                model = Evidence((Regression(A, y),), family)
                bound = model.bound(model.posterior(prior, noise), prior, noise)
                assert model.log_evidence(prior, noise) == pytest.approx(exact, abs=1e-8)
                assert bound == pytest.approx(exact, abs=1e-8) if family == "full" else bound < exact


def test_the_evidence_is_maximised(rng):
    data = [example(rng), example(rng, 9, 7)]
    precision, weight = wp.Parameter("precision", 10.0), wp.Parameter("weight", 1.0)
    lower = [precision * wp.LeastSquares(Matrix(A), y) + weight * wp.SquaredL2() for A, y in data]
    fit = wp.learn(lower, method="elbo", change=1e-12)
    assert fit.status == "converged"

    def loss(t: np.ndarray) -> float:
        return -sum(log_density(A, y, np.exp(t[0]), np.exp(t[1])) for A, y in data)

    best = minimize(loss, [0.0, -2.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    assert 2 * fit.loss == pytest.approx(best.fun, abs=1e-7)
    assert 1 / fit.values["weight"] == pytest.approx(np.exp(best.x[0]), rel=1e-4)
    assert 1 / fit.values["precision"] == pytest.approx(np.exp(best.x[1]), rel=1e-4)
    for f, x in zip(lower, fit.x, strict=True):
        solved = wp.minimize(fit.objective(f), tol=1e-12, progress=False).x
        np.testing.assert_allclose(x, solved, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_sweep_decreases_the_bound(rng, family):
    A, y = example(rng, 6, 30)
    lower = wp.LeastSquares(Matrix(A), y) + wp.Parameter("weight", 1e-3) * wp.SquaredL2()
    fit = wp.learn(lower, method="elbo", family=family, sweeps=1, max_iter=60)
    losses = np.array([row.loss for row in fit.history])
    assert np.all(np.diff(losses) <= 1e-10)
    assert losses[0] - losses[-1] > 0.1


def test_the_factor_of_the_fit_may_be_a_number(rng):
    A, y = example(rng, 12, 7)
    weight = wp.Parameter("weight", 1.0)
    ratios = []
    for c in (1.0, 4.0):
        lower = c * wp.LeastSquares(Matrix(A), y) + 0.5 * (weight * wp.SquaredL2())
        ratios.append(wp.learn(lower, method="elbo", change=1e-12).values["weight"] / c)
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-6)
    free = wp.Parameter("p", 5.0) * wp.LeastSquares(Matrix(A), y) + weight * wp.SquaredL2()
    values = wp.learn(free, method="elbo", change=1e-12).values
    assert values["weight"] / values["p"] == pytest.approx(0.5 * ratios[0], rel=1e-6)


def test_known_noise_and_bounds(rng):
    A, y = example(rng)
    precision = wp.Parameter("precision", 1 / 0.09)
    weight = wp.Parameter("weight", 1.0)
    lower = precision * wp.LeastSquares(Matrix(A), y) + weight * wp.SquaredL2()
    fit = wp.learn(lower, None, [weight], method="elbo", change=1e-12)
    assert set(fit.values) == {"weight"}
    grid = np.exp(np.linspace(-4, 4, 2001))
    best = grid[np.argmax([log_density(A, y, 1 / q, 0.09) for q in grid])]
    assert fit.values["weight"] == pytest.approx(best, rel=0.01)
    inside = wp.Parameter("weight", 0.01, low=1e-3, high=0.02)
    held = precision * wp.LeastSquares(Matrix(A), y) + inside * wp.SquaredL2()
    assert wp.learn(held, method="elbo").values["weight"] == pytest.approx(0.02)
    one = wp.LeastSquares(Matrix(A), y) + wp.Parameter("weight", 3.0, low=2.0, high=4.0) * wp.SquaredL2()
    bounded = wp.learn(one, method="elbo", sweeps=1)
    assert bounded.values["weight"] == pytest.approx(2.0)
    assert np.all(np.diff([row.loss for row in bounded.history]) <= 1e-10)


def test_weights_of_data_and_the_centre_of_the_prior(rng):
    A, y = example(rng)
    w, mu = rng.uniform(0.5, 2, 12), rng.standard_normal(7)
    w[3] = 0.0
    weight = wp.Parameter("weight", 1.0)
    lower = wp.LeastSquares(Matrix(A), y, weights=w) + weight * wp.SquaredL2().shifted(mu)
    fit = wp.learn(lower, method="elbo")
    keep = w > 0
    root = np.sqrt(w[keep])
    plain = (
        wp.LeastSquares(Matrix(root[:, None] * A[keep]), root * (y - A @ mu)[keep]) + weight * wp.SquaredL2()
    )
    other = wp.learn(plain, method="elbo")
    assert fit.values["weight"] == pytest.approx(other.values["weight"], rel=1e-9)
    np.testing.assert_allclose(fit.x[0], other.x[0] + mu, rtol=1e-9)


def test_single_precision_validation_and_resuming(rng, tmp_path):
    A, y = example(rng, 30, 7)
    weight = wp.Parameter("weight", 1.0)
    f = (
        wp.LeastSquares(Matrix(A[:20].astype(np.float32)), y[:20].astype(np.float32))
        + weight * wp.SquaredL2()
    )
    assert wp.learn(f, method="elbo").x[0].dtype == np.float32
    lower = wp.LeastSquares(Matrix(A[:20]), y[:20]) + weight * wp.SquaredL2()
    held = (lower, wp.LeastSquares(Matrix(A[20:]), y[20:]))
    options = {"method": "elbo", "sweeps": 2, "validation": held}
    straight = wp.learn(lower, max_iter=6, **options)
    assert np.isfinite(straight.validation)
    file = tmp_path / "run.npz"
    wp.learn(lower, max_iter=3, checkpoint=file, **options)
    again = wp.learn(lower, max_iter=6, checkpoint=file, **options)
    assert again.values == straight.values
    assert [r.loss for r in again.history] == [r.loss for r in straight.history]


def test_denoising_finds_the_variances(rng):
    """For a white signal in white noise both variances cannot be told apart; a known noise makes it work."""
    x = 2.0 * rng.standard_normal((30, 30))
    y = x + rng.standard_normal((30, 30))
    lower = (
        wp.Parameter("precision", 1.0) * wp.LeastSquares(None, y)
        + wp.Parameter("weight", 1.0) * wp.SquaredL2()
    )
    fit = wp.learn(lower, None, "weight", method="elbo")
    assert 1 / fit.values["weight"] == pytest.approx(float(np.mean(y**2)) - 1, rel=1e-5)


def test_what_does_not_fit_is_refused(rng):
    A, y = example(rng)
    fit, weight = wp.LeastSquares(Matrix(A), y), wp.Parameter("weight", 1.0)
    good = fit + weight * wp.SquaredL2()
    cases = [
        (fit + weight * wp.SmoothedTotalVariation(0.1), {}, TypeError, "takes precision"),
        (good + 0.1 * wp.SquaredL2(), {}, TypeError, "takes precision"),
        (wp.LeastSquares(Matrix(A), y, intercept=True) + weight * wp.SquaredL2(), {}, TypeError, "intercept"),
        (fit + wp.SquaredL2(wp.Parameter("w", np.ones(7))), {}, TypeError, "the prior"),
        (fit + 0 * (weight * wp.SquaredL2()), {}, ValueError, "factor 0"),
        (good, {"family": "normal"}, ValueError, "family must be"),
        (good, {"emphasis": -1.0}, ValueError, "emphasis must be"),
        (good, {"sweeps": 0}, ValueError, "sweeps"),
        (good, {"loss": fit}, TypeError, "no loss"),
        (good, {"batch": 1}, ValueError, "batch"),
        ([good, 2.0 * fit + weight * wp.SquaredL2()], {}, ValueError, "pair 1 has other factors"),
        (
            wp.LeastSquares(Matrix(A), 0 * y) + weight * wp.SquaredL2(),
            {"max_iter": 10**5},
            ValueError,
            "went to",
        ),
    ]
    for lower, options, error, message in cases:
        with pytest.raises(error, match=message):
            wp.learn(lower, method="elbo", **options)
    with pytest.raises(TypeError, match="needs a loss"):
        wp.learn(good)
    K = wp.operators.KernelMatrix(A, A, wp.Parameter("gamma", 1.0))
    with pytest.raises(TypeError, match="gamma inside"):
        wp.learn(wp.LeastSquares(K, y) + weight * wp.SquaredL2(), method="elbo")


def test_its_names():
    assert Elbo().name == "elbo"
    assert Elbo().descends
