"""HOAG on the data sets of its specification: limits, work, the order of the error in the tolerance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.bilevel import Hoag

Matrix = wp.operators.Matrix
datasets = pytest.importorskip("sklearn.datasets")


def thirds(name: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Standardised training and validation data with labels -1 and 1."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    b = np.where(y == 1 if name == "breast_cancer" else y < 5, 1.0, -1.0)
    spread = X.std(0)
    X = (X - X.mean(0)) / np.where(spread > 0, spread, 1.0)
    order, n = np.random.default_rng(seed).permutation(len(b)), len(b) // 3
    train, test = order[:n], order[n : 2 * n]
    return X[train], b[train], X[test], b[test]


def problem(name: str, seed: int, weight: float = 1.0) -> tuple[wp.Functional, wp.Functional]:
    A, a, V, v = thirds(name, seed)
    ridge = wp.Parameter("ridge", weight, low=math.exp(-12), high=math.exp(12))
    return wp.LogisticLoss(Matrix(A), a) + ridge * wp.SquaredL2(), wp.LogisticLoss(Matrix(V), v)


def work_to(result: wp.Learned, best: float, tol: float) -> float:
    """The work after which the loss stays within ``tol`` of the best."""
    far = [k for k, row in enumerate(result.history) if abs(row.loss - best) > tol]
    assert far[-1] + 1 < len(result.history)
    return result.history[far[-1] + 1].work


CASES = [
    ("breast_cancer", 0, -0.4709, 13.1514),
    ("breast_cancer", 1, 0.7820, 18.1105),
    ("digits", 0, 1.1055, 179.1577),
    ("digits", 1, 1.2395, 167.8527),
    ("digits", 2, 1.7060, 173.7430),
]


@pytest.mark.parametrize(("name", "seed", "best", "loss"), CASES)
def test_schedules_reach_the_limit_with_a_third_of_the_work(
    name: str, seed: int, best: float, loss: float
) -> None:
    lower, upper = problem(name, seed)

    def run(schedule: str) -> wp.Learned:
        return wp.learn(lower, upper, method="hoag", schedule=schedule, max_iter=40)

    exact = run("exact")
    assert math.log(exact.values["ridge"]) == pytest.approx(best, abs=2e-4)
    assert exact.loss == pytest.approx(loss, abs=1e-4)
    for schedule in ("quadratic", "cubic"):
        result = run(schedule)
        at = wp.learn(
            *problem(name, seed, result.values["ridge"]), method="grid", points=1, span=1e-9, eps=1e-6
        )
        assert at.history[0].loss == pytest.approx(loss, abs=1e-4)
        assert work_to(result, loss, 1e-2) <= work_to(exact, loss, 1e-2) / 3


def test_a_grid_needs_more_work() -> None:
    lower, upper = problem("digits", 0)
    result = wp.learn(lower, upper, method="hoag", max_iter=40)
    grid = wp.learn(
        lower, upper, method="grid", values={"ridge": np.exp(np.linspace(-2, 8, 20))}, eps=1e-6,
    )  # fmt: skip
    assert grid.loss >= result.loss - 1e-2
    assert grid.work > result.work


def test_the_error_is_proportional_to_the_tolerance() -> None:
    lower, upper = problem("digits", 0, math.e)
    exact = wp.hypergradient(lower, upper, tol=1e-12, scale="learning", max_lower=100_000).gradient["ridge"]
    tolerances = 10.0 ** -np.arange(1, 9)
    errors = [
        abs(wp.hypergradient(lower, upper, tol=float(t), scale="learning").gradient["ridge"] - exact)
        for t in tolerances
    ]
    assert np.max(errors / tolerances) < 100
    assert np.polyfit(np.log(tolerances), np.log(errors), 1)[0] >= 0.7


def test_fixed_steps_converge_to_one_limit() -> None:
    """With summable tolerances; a constant one leaves a bias."""
    lower, upper = problem("breast_cancer", 0)

    def limit(**options: Any) -> float:
        result = wp.learn(
            lower, upper, method="hoag", lipschitz=4.0, fixed_step=True, max_iter=150, **options
        )
        return math.log(result.values["ridge"])

    exact = limit(schedule="exact", floor=1e-9)
    for schedule in ("quadratic", "cubic", "exponential"):
        assert limit(schedule=schedule) == pytest.approx(exact, abs=1e-4)
    assert abs(limit(schedule="exponential", rate=1 - 1e-12) - exact) > 3e-4


def kernel_ridge(gamma: float, ridge: float) -> tuple[wp.Functional, wp.Functional]:
    """The diabetes data, all columns standardised; the width stands in both levels."""
    X, y = datasets.load_diabetes(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    order = np.random.default_rng(0).permutation(len(y))
    train, test = order[:147], order[147:294]
    g = wp.Parameter("gamma", math.exp(gamma), low=math.exp(-6), high=math.exp(6))
    r = wp.Parameter("ridge", math.exp(ridge), low=math.exp(-6), high=math.exp(6))
    fit = wp.LeastSquares(wp.operators.KernelMatrix(X[test], X[train], g), y[test])
    return wp.KernelRidge(X[train], y[train], g, r), 2.0 * fit


@pytest.mark.parametrize(
    ("at", "value", "slope"), [((0.0, 0.0), 159.57, (24.610, 4.0623)), ((-1.0, 0.3), None, (46.396, 10.445))]
)
def test_hypergradients_of_kernel_ridge(
    at: tuple[float, float], value: float | None, slope: tuple[float, float]
) -> None:
    """Also with respect to the width inside the loss."""
    result = wp.hypergradient(*kernel_ridge(*at), tol=1e-8, scale="learning")
    found = [result.gradient["gamma"], result.gradient["ridge"]]
    np.testing.assert_allclose(found, slope, rtol=2e-4)
    assert value is None or result.value == pytest.approx(value, abs=0.01)
    assert not result.certified
    h, differences = 1e-4, []
    for k in (0, 1):
        ends = [np.array(at) + s * h * np.eye(2)[k] for s in (1, -1)]
        losses = [wp.hypergradient(*kernel_ridge(*e), tol=1e-11).value for e in ends]
        differences.append((losses[0] - losses[1]) / (2 * h))
    np.testing.assert_allclose(found, differences, rtol=1e-5)


def test_kernel_ridge_is_learned() -> None:
    result = wp.learn(*kernel_ridge(0.0, 0.0), method="hoag", max_iter=60)
    assert result.loss <= 72.701 * 1.01


def test_tolerances() -> None:
    assert [Hoag(eps=0.1).tolerance(k) for k in (1, 2, 10)] == pytest.approx([0.1, 0.025, 0.001])
    assert Hoag("cubic", eps=0.1).tolerance(10) == pytest.approx(1e-4)
    assert Hoag("exponential", eps=0.1).tolerance(3) == pytest.approx(0.081)
    assert Hoag("exact").tolerance(1) == 1e-12
    assert Hoag("cubic", floor=1e-3).tolerance(1000) == 1e-3


def test_it_stays_in_the_box() -> None:
    weight = wp.Parameter("w", 0.5, low=0.1, high=2.0)
    lower = wp.LeastSquares(None, np.array([4.0, 8.0])) + weight * wp.SquaredL2()
    result = wp.learn(lower, wp.LeastSquares(None, np.array([1.0, 2.0])), method="hoag", max_iter=50)
    assert result.values["w"] == pytest.approx(2.0)
    assert all(row.step > 0 for row in result.history[1:])


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="schedule must be one of quadratic"):
        Hoag("linear")
    with pytest.raises(ValueError, match="rate must be between 0 and 1"):
        Hoag(rate=1.5)
    with pytest.raises(ValueError, match="lipschitz must be a positive number"):
        Hoag(lipschitz=-1.0)
    with pytest.raises(ValueError, match="grow must be at least 1"):
        Hoag(grow=0.5)


def test_a_first_tolerance_above_the_slope_of_the_loss_is_passed_over() -> None:
    """Zero then solves the linear system well enough, which does not mean that the loss is stationary."""
    weight = wp.Parameter("weight", 0.1)
    lower = wp.LeastSquares(None, np.array([4.0])) + weight * wp.SquaredL2()
    loss = 1e-3 * wp.LeastSquares(None, np.array([2.5]))
    result = wp.learn(lower, loss, method="hoag", max_iter=300, progress=False)
    assert result.values["weight"] == pytest.approx(0.6, rel=1e-2)
