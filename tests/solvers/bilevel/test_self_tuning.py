"""Self-tuning: exact responses of quadratic lower levels, parameters that agree with the exact minimum."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import wellposed as wp
from wellposed.solvers.bilevel.learn import parameter_vector, training_pairs
from wellposed.solvers.bilevel.method import State
from wellposed.solvers.bilevel.pair import Solves
from wellposed.solvers.bilevel.self_tuning import SelfTuning
from wellposed.solvers.bilevel.training import Training

Matrix = wp.operators.Matrix


def linear_problem(rng: np.random.Generator) -> tuple[wp.Functional, wp.Functional, np.ndarray, np.ndarray]:
    """A jointly quadratic lower level; its minimiser at 0 and the derivative of that along the offset."""
    A, B, b = rng.standard_normal((60, 4)), rng.standard_normal((60, 3)), rng.standard_normal(60)
    offset = wp.Parameter("offset", np.zeros(3), low=-np.inf, transform="identity")
    lower = wp.OffsetLeastSquares(Matrix(A), Matrix(B), b, offset)
    loss = wp.LeastSquares(None, rng.standard_normal(4))
    sign = lower.gradient(np.zeros(4)) - lower.with_parameters({"offset": np.ones(3)}).gradient(np.zeros(4))
    inverse = np.linalg.inv(A.T @ A)
    jacobian = inverse @ A.T @ B * np.sign(np.sum(sign * (A.T @ B @ np.ones(3))))
    return lower, loss, -inverse @ lower.gradient(np.zeros(4)), jacobian


def ridge_problem(rng: np.random.Generator, weight: float) -> tuple[wp.Functional, wp.Functional, float]:
    """Ridge regression with few rows, and the logarithm of its best weight."""
    A, V, truth = rng.standard_normal((15, 8)), rng.standard_normal((40, 8)), rng.standard_normal(8)
    b, v = A @ truth + 2 * rng.standard_normal(15), V @ truth + 2 * rng.standard_normal(40)

    def loss(t: float) -> float:
        x = np.linalg.solve(A.T @ A + np.exp(t) * np.eye(8), A.T @ b)
        return float(np.sum((V @ x - v) ** 2))

    best = minimize_scalar(loss, bounds=(-6, 8), method="bounded", options={"xatol": 1e-8}).x
    lower = wp.LeastSquares(Matrix(A), b) + wp.Parameter("weight", weight) * wp.SquaredL2()
    return lower, wp.LeastSquares(Matrix(V), v), float(best)


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_the_response_of_a_jointly_quadratic_problem_is_exact(rng, scale):
    lower, loss, x, jacobian = linear_problem(rng)
    pairs = training_pairs(lower, loss)
    training = Training(pairs, parameter_vector(None, [lower]), Solves())
    state = State(training.vector.start.copy(), [None], [None], [], np.zeros((0, 13)), np.zeros(3))
    method = SelfTuning(scale=scale, warmup=500)
    memory = method.memory(training, state)
    method.start(training, state, memory)
    np.testing.assert_allclose(memory.response[0][0], x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(memory.response[0][1:].T, jacobian, rtol=0, atol=1e-9)


def test_a_step_with_no_momentum_never_increases_what_it_descends(rng):
    lower, loss, _ = ridge_problem(rng, 0.5)
    training = Training(training_pairs(lower, loss), parameter_vector(None, [lower]), Solves())
    state = State(training.vector.start.copy(), [None], [None], [], np.zeros((0, 13)), np.zeros(1))
    method = SelfTuning(momentum=0.0)
    memory = method.memory(training, state)

    def mean() -> float:
        rows = [memory.response[0][0] + 0.5 * e * memory.response[0][1] for e in (-1, 1)]
        at = [training.vector.values(state.t + 0.5 * e) for e in (-1, 1)]
        return float(np.mean([lower.with_parameters(v)(x) for v, x in zip(at, rows, strict=True)]))

    values = [mean()]
    for _ in range(50):
        method._train(training, state, memory, rng)
        values.append(mean())
    assert np.all(np.diff(values) <= 1e-12)
    assert values[-1] < 0.9 * values[0]


@pytest.mark.parametrize("entropy", [None, 1e-3])
@pytest.mark.parametrize("weight", [0.5, 200.0])
def test_ridge_weights_agree_with_the_exact_minimum(weight, entropy):
    lower, loss, best = ridge_problem(np.random.default_rng(3), weight)
    options = {"rate": 0.1, "max_iter": 15, "entropy": entropy, "progress": False}
    fit = wp.learn(lower, loss, method="self-tuning", **options)
    assert np.log(fit.values["weight"]) == pytest.approx(best, abs=0.25)
    assert fit.status == "max_iter"


def test_larger_entropy_gives_wider_perturbations(rng):
    lower, loss, _ = ridge_problem(rng, 5.0)
    training = Training(training_pairs(lower, loss), parameter_vector(None, [lower]), Solves())
    ends = []
    for entropy in (1e-3, 10.0):
        state = State(training.vector.start.copy(), [None], [None], [], np.zeros((0, 13)), np.zeros(1))
        method = SelfTuning(entropy=entropy, warmup=50)
        memory = method.memory(training, state)
        method.start(training, state, memory)
        for state.iteration in range(3):
            method.step(training, state, memory)
        ends.append(float(memory.sigma[0]))
    assert ends[0] < 0.5 < ends[1]


def test_pairs_batches_bounds_and_resuming(tmp_path):
    rng = np.random.default_rng(0)
    w = wp.Parameter("w", 0.5, low=0.4, high=0.6)
    clean = [np.repeat(rng.standard_normal(4), 4).astype(np.float32) for _ in range(3)]
    lowers = [
        wp.LeastSquares(None, x + 0.5 * rng.standard_normal(16).astype(np.float32))
        + w * wp.SmoothedTotalVariation(0.1)
        for x in clean
    ]
    losses = [wp.LeastSquares(None, x) for x in clean]
    options = {"method": "self-tuning", "rounds": 3, "batch": 2, "warmup": 5}
    straight = wp.learn(lowers, losses, max_iter=4, **options)
    assert 0.4 <= straight.values["w"] <= 0.6
    assert straight.x[0].dtype == np.float32
    file = tmp_path / "run.npz"
    wp.learn(lowers, losses, max_iter=2, checkpoint=file, **options)
    again = wp.learn(lowers, losses, max_iter=4, checkpoint=file, **options)
    assert again.values == straight.values


def test_what_does_not_fit_is_refused(rng):
    lower, loss, _ = ridge_problem(rng, 1.0)
    rough = lower + wp.Parameter("l1", 0.1) * wp.L1()
    cases = [
        (rough, {}, TypeError, "smooth lower levels"),
        (lower, {"workers": 2}, ValueError, "leave workers"),
        (lower, {"draws": 1}, ValueError, "draws"),
        (lower, {"momentum": 1.0}, ValueError, "momentum"),
        (lower, {"rate": 0.0}, ValueError, "rate"),
        (lower, {"response_rate": 1e9}, ValueError, "not finite"),
    ]
    for f, options, error, message in cases:
        with pytest.raises(error, match=message), np.errstate(all="ignore"):
            wp.learn(f, loss, method="self-tuning", **options)
