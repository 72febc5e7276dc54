"""Hypergradients against closed forms, finite differences and CVXPY; their bounds; what is refused."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from tests.solvers.bilevel.toys import TOYS, Toy, denoising, flat, quadratic, ridge, slopes
from wellposed.solvers.bilevel import Given

Matrix = wp.operators.Matrix


@pytest.mark.parametrize("name", TOYS)
def test_matches_closed_form_and_differences(name: str, rng: np.random.Generator) -> None:
    toy = TOYS[name](rng)
    result = wp.hypergradient(toy.lower, toy.loss, tol=1e-10, scale="learning")
    expected = slopes(toy.exact, toy.theta)
    assert toy.gradient is not None
    np.testing.assert_allclose(toy.gradient(toy.theta), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(flat(result.gradient), expected, rtol=1e-6, atol=1e-8)
    assert result.value == pytest.approx(toy.exact(toy.theta), rel=1e-7)
    assert result.certified
    assert result.status == "converged"
    assert result.error < 1e-4 * (1 + np.linalg.norm(expected))


def violation(name: str, seed: int) -> tuple[float, float]:
    """The true error of a hypergradient of random accuracies, and its bound."""
    rng = np.random.default_rng([7, seed])
    toy = TOYS[name](rng)
    tol = (10 ** rng.uniform(-5, 0), 10 ** rng.uniform(-5, 0))
    result = wp.hypergradient(toy.lower, toy.loss, tol=tol, scale="learning")
    assert result.certified
    assert result.distance <= tol[0] * (1 + 1e-6)
    assert result.linear_residual <= tol[1]
    assert toy.gradient is not None
    exact = toy.gradient(toy.theta)
    # The exact one is itself rounded.
    return float(np.linalg.norm(flat(result.gradient) - exact)) - 1e-10 * float(
        np.linalg.norm(exact)
    ), result.error


@pytest.mark.parametrize("name", TOYS)
def test_the_bound_holds(name: str) -> None:
    for seed in range(13):
        error, bound = violation(name, seed)
        assert error <= bound, seed


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_the_bound_holds_in_many_trials(name: str) -> None:
    for seed in range(250):
        error, bound = violation(name, seed)
        assert error <= bound, seed


def test_the_bound_is_of_some_use() -> None:
    """On the quadratic problem it is within three orders of magnitude of the error (median)."""
    ratios = [
        bound / error for error, bound in (violation("quadratic", seed) for seed in range(30)) if error > 0
    ]
    assert 1 <= np.median(ratios) < 1e3


def test_a_bound_below_the_gradient_proves_descent(rng: np.random.Generator) -> None:
    eta, seen = 1e-4, 0
    for _ in range(40):
        toy = ridge(rng)
        eps = 10 ** rng.uniform(-3, 0)
        result = wp.hypergradient(toy.lower, toy.loss, tol=eps, scale="learning")
        z = flat(result.gradient)
        assert toy.gradient is not None
        if result.error <= (1 - eta) * np.linalg.norm(z):
            seen += 1
            assert z @ toy.gradient(toy.theta) >= eta * z @ z
    assert seen > 5


def test_scales_differ_by_the_value(rng: np.random.Generator) -> None:
    toy = denoising(rng)
    natural = wp.hypergradient(toy.lower, toy.loss, tol=1e-10).gradient
    learning = wp.hypergradient(toy.lower, toy.loss, tol=1e-10, scale="learning").gradient
    values = {p.name: p.value for p in toy.lower.parameters}
    for name in natural:
        assert natural[name] * values[name] == pytest.approx(learning[name], rel=1e-7)


def test_several_pairs_are_averaged(rng: np.random.Generator) -> None:
    first, second = denoising(rng), denoising(rng)
    weight = wp.Parameter("w", 0.3)
    lowers = [toy.lower.terms[0] + weight * wp.SmoothedTotalVariation(0.4) for toy in (first, second)]  # type: ignore[attr-defined]
    losses = [first.loss, second.loss]
    both = wp.hypergradient(lowers, losses, tol=1e-9)
    each = [wp.hypergradient(h, g, tol=1e-9) for h, g in zip(lowers, losses, strict=True)]
    assert both.gradient["w"] == pytest.approx(np.mean([r.gradient["w"] for r in each]))
    assert both.error == pytest.approx(np.mean([r.error for r in each]), rel=0.5)
    assert both.value == pytest.approx(np.mean([r.value for r in each]))
    assert len(both.x) == 2


def test_some_parameters_only(rng: np.random.Generator) -> None:
    toy = denoising(rng)
    every = wp.hypergradient(toy.lower, toy.loss, tol=1e-9).gradient
    one = wp.hypergradient(toy.lower, toy.loss, ["eps"], tol=1e-9).gradient
    assert list(one) == ["eps"]
    assert one["eps"] == pytest.approx(every["eps"])


def test_a_warm_start_saves_the_work(rng: np.random.Generator) -> None:
    toy = denoising(rng)
    cold = wp.hypergradient(toy.lower, toy.loss, tol=1e-8)
    warm = wp.hypergradient(toy.lower, toy.loss, x=cold.x, adjoint=cold.adjoint, tol=1e-8)
    assert cold.lower_iterations > 5
    assert cold.linear_iterations > 2
    assert warm.lower_iterations == warm.linear_iterations == 0
    np.testing.assert_allclose(flat(warm.gradient), flat(cold.gradient), rtol=1e-12)


@pytest.mark.parametrize("solver", ["accelerated", "gradient", "lbfgs"])
def test_solvers_agree(solver: str, rng: np.random.Generator) -> None:
    toy = denoising(rng)
    result = wp.hypergradient(toy.lower, toy.loss, tol=1e-8, solver=solver, scale="learning")
    assert toy.gradient is not None
    np.testing.assert_allclose(flat(result.gradient), toy.gradient(toy.theta), rtol=1e-5, atol=1e-7)
    assert result.lower_residual <= 1e-8


def test_unrolled_and_one_step_against_differences(rng: np.random.Generator) -> None:
    """The unrolled derivative is that of the function "k steps of gradient descent"."""
    toy = denoising(rng)
    w, eps = np.exp(toy.theta)
    y, truth = toy.lower.data[0], toy.loss.data[0]
    D = np.diff(np.eye(len(y)), axis=0)

    # A step of fixed length: the library takes 1/L at the values where it differentiates.
    tau = 1 / (1 + (w / eps) * wp.operators.Gradient(y.shape).norm() ** 2)

    def loss_after(t: np.ndarray, steps: int, x: np.ndarray) -> float:
        for _ in range(steps):
            u = D @ x
            x = x - tau * (x - y + t[0] * D.T @ (u / np.sqrt(u**2 + t[1] ** 2)))
        return 0.5 * float(np.sum((x - truth) ** 2))

    t = np.array([w, eps])
    for steps in (1, 7):
        result = wp.hypergradient(toy.lower, toy.loss, method="unrolled", steps=steps)
        expected = slopes(lambda t, k=steps: loss_after(t, k, np.zeros_like(y)), t)
        np.testing.assert_allclose(flat(result.gradient), expected, rtol=1e-6, atol=1e-9)
    exact = wp.hypergradient(toy.lower, toy.loss, tol=1e-10)
    result = wp.hypergradient(toy.lower, toy.loss, method="one-step", tol=1e-10)
    expected = slopes(lambda t: loss_after(t, 1, exact.x), t)
    # The slope is that of the loss at x, which one step from the minimiser does not move.
    np.testing.assert_allclose(flat(result.gradient), expected, rtol=1e-5, atol=1e-9)
    assert not result.certified
    assert math.isinf(result.error)
    long = wp.hypergradient(toy.lower, toy.loss, method="unrolled", steps=3000)
    np.testing.assert_allclose(flat(long.gradient), flat(exact.gradient), rtol=1e-6, atol=1e-9)


# --- lower levels that are not smooth ------------------------------------------------------------


def cvxpy_loss(A: np.ndarray, b: np.ndarray, truth: np.ndarray, extra: str) -> object:
    cp = pytest.importorskip("cvxpy")

    def loss(t: np.ndarray) -> float:
        x = cp.Variable(A.shape[1])
        penalty = t[0] * cp.norm1(x) + (0.5 * t[1] * cp.sum_squares(x) if len(t) > 1 else 0)
        constraints = [x >= 0] if extra == "nonnegative" else []
        problem = cp.Problem(cp.Minimize(0.5 * cp.sum_squares(A @ x - b) + penalty), constraints)
        settings = {"tol_gap_abs": 1e-13, "tol_gap_rel": 1e-13, "tol_feas": 1e-13}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            problem.solve(solver="CLARABEL", **settings)
        return 0.5 * float(np.sum((x.value - truth) ** 2))

    return loss


@pytest.mark.parametrize("extra", ["", "nonnegative", "ridge"])
def test_lasso_against_cvxpy(extra: str, rng: np.random.Generator) -> None:
    A, truth = rng.standard_normal((30, 10)), np.r_[rng.uniform(1, 2, 4), np.zeros(6)]
    b = A @ truth + 0.5 * rng.standard_normal(30)
    values = [4.0, 2.0] if extra == "ridge" else [4.0]
    lower = wp.LeastSquares(Matrix(A), b) + wp.Parameter("l1", 4.0) * wp.L1()
    if extra == "nonnegative":
        lower = lower + wp.NonNegative()
    if extra == "ridge":
        lower = lower + wp.Parameter("l2", 2.0) * wp.SquaredL2()
    result = wp.hypergradient(lower, wp.LeastSquares(None, truth), tol=1e-11)
    loss = cvxpy_loss(A, b, truth, extra)
    expected = slopes(loss, np.array(values), h=3e-3)  # type: ignore[arg-type]
    np.testing.assert_allclose(flat(result.gradient), expected, rtol=1e-4)
    assert 0 < np.count_nonzero(result.x) < 10
    assert not result.certified
    assert math.isinf(result.error)


def test_elastic_net_and_box(rng: np.random.Generator) -> None:
    """Entries at rest, at a bound, and moved by a proximal map of slope below 1."""
    b, truth = np.array([3.0, 0.2, -5.0, 1.0]), np.array([1.0, 1.0, -1.0, 0.0])
    lower = wp.LeastSquares(None, b) + wp.Parameter("l1", 0.5) * wp.L1() + wp.Box(-2.0, 2.2)
    result = wp.hypergradient(lower, wp.LeastSquares(None, truth), tol=1e-12)
    # x = (2.2, 0, -2, 0.5): only the last entry moves, by -1.
    np.testing.assert_allclose(result.x, [2.2, 0.0, -2.0, 0.5], atol=1e-9)
    assert result.gradient["l1"] == pytest.approx(-0.5, rel=1e-6)


@pytest.mark.parametrize("prior", [wp.L1(), wp.ElasticNet(1.0, 0.5)], ids=["lasso", "elastic net"])
def test_a_lower_level_with_corners_in_single_precision(prior: Any, rng: np.random.Generator) -> None:
    A, x = rng.standard_normal((40, 15)), np.concatenate([3 * rng.standard_normal(5), np.zeros(10)])
    y = A @ x + 0.3 * rng.standard_normal(40)
    slopes = []
    for dtype in (np.float64, np.float32):
        data = wp.LeastSquares(wp.operators.Matrix(A.astype(dtype)), y.astype(dtype))
        lower = data + wp.Parameter("weight", 6.0) * prior
        result = wp.hypergradient(lower, wp.SquaredError(x.astype(dtype)), tol=1e-3)
        assert result.adjoint.dtype == dtype
        slopes.append(result.gradient["weight"])
    assert slopes[1] == pytest.approx(slopes[0], rel=1e-4)


def test_unrolled_lasso_agrees(rng: np.random.Generator) -> None:
    A, b, truth = rng.standard_normal((30, 8)), rng.standard_normal(30), rng.standard_normal(8)
    lower = wp.LeastSquares(Matrix(A), b) + wp.Parameter("l1", 2.0) * wp.L1()
    loss = wp.LeastSquares(None, truth)
    implicit = wp.hypergradient(lower, loss, tol=1e-12).gradient["l1"]
    unrolled = wp.hypergradient(lower, loss, method="unrolled", steps=2000).gradient["l1"]
    assert unrolled == pytest.approx(implicit, rel=1e-6)


def test_total_variation_is_refused_with_a_remedy() -> None:
    lower = wp.LeastSquares(None, np.ones((4, 4))) + wp.Parameter("w", 1.0) * wp.TotalVariation()
    with pytest.raises(TypeError, match="SmoothedTotalVariation"):
        wp.hypergradient(lower, wp.LeastSquares(None, np.zeros((4, 4))))


# --- what did not finish, and what is not convex ---------------------------------------------------


def test_a_cut_linear_solve_is_flagged_and_bounded(rng: np.random.Generator) -> None:
    toy = quadratic(3, 40, 6)
    with pytest.warns(wp.ConvergenceWarning, match="linear system"):
        result = wp.hypergradient(toy.lower, toy.loss, tol=1e-9, max_linear=1)
    assert result.status == "linear_max_iter"
    assert toy.gradient is not None
    error = np.linalg.norm(flat(result.gradient) - toy.gradient(toy.theta))
    assert 1e-6 < error <= result.error


def test_a_cut_lower_solve_is_flagged_and_bounded() -> None:
    toy = quadratic(3, 40, 6)
    with pytest.warns(wp.ConvergenceWarning, match="lower level"):
        result = wp.hypergradient(toy.lower, toy.loss, tol=1e-9, max_lower=3)
    assert result.status == "lower_max_iter"
    assert toy.gradient is not None
    error = np.linalg.norm(flat(result.gradient) - toy.gradient(toy.theta))
    assert 1e-6 < error <= result.error


def test_an_isotropic_hessian_needs_one_iteration() -> None:
    """Where a truncated solver would hand back a gradient of exactly zero."""
    lower = wp.LeastSquares(None, np.array([4.0, 2.0])) + wp.Parameter("w", 1.0) * wp.SquaredL2()
    result = wp.hypergradient(lower, wp.LeastSquares(None, np.zeros(2)), tol=1e-12)
    assert result.linear_iterations == 1
    assert result.gradient["w"] == pytest.approx(-(16 + 4) / 8)


def test_rounding_is_named(rng: np.random.Generator) -> None:
    toy = denoising(rng)
    with pytest.warns(wp.ConvergenceWarning, match="Rounding"):
        result = wp.hypergradient(toy.lower, toy.loss, tol=(1e-30, 1e-6))
    assert result.status == "lower_stalled"
    assert result.distance < 1e-10


def test_indefinite_hessian_of_a_stationary_point() -> None:
    """A saddle of a function that is not convex: MINRES takes over, nothing is certified."""

    class Saddle(wp.Functional):
        """``(x0 - a)^2 - (x1 - a)^2``, whose only stationary point is ``(a, a)``."""

        a = wp.Parameter("a", 2.0)
        sign = np.array([2.0, -2.0])

        @property
        def traits(self) -> wp.Traits:
            return wp.Traits(convex=False, lipschitz=2.0, quadratic=True, prox=False)

        @property
        def shape(self) -> tuple[int, ...]:
            return (2,)

        @property
        def data(self) -> tuple[np.ndarray, ...]:
            return (self.sign,)

        @property
        def parameters(self) -> tuple[wp.Parameter, ...]:
            return (self.a,)

        def with_parameters(self, values: dict[str, float]) -> Saddle:
            moved = Saddle()
            moved.a = self.a.with_value(values["a"])
            return moved

        def __call__(self, x: np.ndarray) -> float:
            return 0.5 * float(self.sign @ (x - self.a.value) ** 2)

        def gradient(self, x: np.ndarray) -> np.ndarray:
            return self.sign * (x - self.a.value)

        def hessian_product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
            return self.sign * v

        def parameter_product(self, x: np.ndarray, v: np.ndarray) -> dict[str, float]:
            return {"a": -float(self.sign @ v)}

    loss = wp.LeastSquares(None, np.array([0.0, 1.0]))
    result = wp.hypergradient(Saddle(), loss, x=np.array([2.0, 2.0]), tol=1e-9)
    assert result.gradient["a"] == pytest.approx(2.0 + 1.0)
    assert result.status == "converged"
    assert not result.certified
    with pytest.raises(ValueError, match="not convex"):
        wp.hypergradient(Saddle(), loss)


# --- strong convexity and other constants -----------------------------------------------------------


def flat_problem(rng: np.random.Generator) -> Toy:
    A = rng.standard_normal((5, 300))
    lower = wp.LeastSquares(Matrix(A), rng.standard_normal(5)) + wp.Parameter(
        "w", 0.1
    ) * wp.SmoothedTotalVariation(0.3)
    return Toy(lower, wp.LeastSquares(None, np.zeros(300)), np.zeros(1), lambda t: 0.0)


def test_not_strongly_convex_is_refused(rng: np.random.Generator) -> None:
    toy = flat_problem(rng)
    with pytest.raises(ValueError, match="strongly convex: add a term"):
        wp.hypergradient(toy.lower, toy.loss)


def test_strong_convexity_of_the_caller(rng: np.random.Generator) -> None:
    toy = denoising(rng)
    one = wp.hypergradient(toy.lower, toy.loss, tol=1e-4, strong_convexity=0.5)
    assert one.constants[0].strong_convexity == 0.5
    other = wp.hypergradient(toy.lower, toy.loss, tol=1e-4, strong_convexity=lambda values: values["w"])
    assert other.constants[0].strong_convexity == pytest.approx(dict(toy_values(toy))["w"])
    with pytest.raises(ValueError, match="strong_convexity must be a positive number"):
        wp.hypergradient(toy.lower, toy.loss, strong_convexity=-1.0)


def toy_values(toy: Toy) -> list[tuple[str, float]]:
    return [(p.name, p.value) for p in toy.lower.parameters]


def test_strong_convexity_of_a_matrix_is_its_least_eigenvalue(rng: np.random.Generator) -> None:
    A = rng.standard_normal((12, 5))
    lower = wp.LeastSquares(Matrix(A), rng.standard_normal(12)) + wp.Parameter("w", 0.25) * wp.SquaredL2()
    result = wp.hypergradient(lower, wp.LeastSquares(None, np.zeros(5)), tol=1e-6)
    least = float(np.linalg.eigvalsh(A.T @ A)[0])
    assert result.constants[0].strong_convexity == pytest.approx(least + 0.25, rel=1e-9)


def test_constants_of_the_quadratic_problem() -> None:
    toy = quadratic(0)
    (c,) = wp.hypergradient(toy.lower, toy.loss, tol=1e-3).constants
    assert c.strong_convexity == pytest.approx(72.9116, rel=1e-5)
    A2, A3 = toy.lower.A.matrix, toy.lower.C.matrix  # type: ignore[attr-defined]
    assert c.mixed_norm == pytest.approx(np.linalg.norm(A2.T @ A3, 2), rel=2e-6)
    assert c.mixed_lipschitz == c.hessian_lipschitz == 0.0


def test_mixed_norm_of_a_long_signal(rng: np.random.Generator) -> None:
    """Too long to be assembled row by row: columns, and the diagonal of weights for each entry."""
    n = 100
    y = rng.standard_normal(n)
    weights = rng.uniform(0.5, 2, n)
    lower = (
        wp.LeastSquares(None, y)
        + wp.Parameter("w", 0.4) * wp.SmoothedTotalVariation(wp.Parameter("eps", 0.3))
        + wp.SquaredL2(wp.Parameter("each", weights))
    )
    result = wp.hypergradient(lower, wp.LeastSquares(None, np.zeros(n)), tol=1e-8, scale="learning")
    assert result.certified
    x, D = result.x, np.diff(np.eye(n), axis=0)
    u = D @ x
    phi = np.sqrt(u**2 + 0.09)
    J = np.column_stack(
        [0.4 * D.T @ (u / phi), -0.4 * D.T @ (u * 0.09 / phi**3), np.diag(weights * x)],
    )
    exact = np.linalg.norm(J, 2)
    assert exact <= result.constants[0].mixed_norm <= 1.5 * exact


def test_unknown_constants_are_estimated_and_flagged(rng: np.random.Generator) -> None:
    """The Poisson deviance has no Lipschitz gradient, a learned blur no known constants."""
    toy = denoising(rng)
    truth = np.abs(toy.loss.data[0])
    lower = wp.LeastSquares(None, truth + 1.0) + wp.Parameter("w", 0.3) * wp.SmoothedTotalVariation(0.3)
    result = wp.hypergradient(lower, wp.KullbackLeibler(None, truth), tol=1e-6)
    assert not result.certified
    assert "loss_lipschitz" in result.constants[0].estimated
    assert math.isfinite(result.error)
    known = wp.hypergradient(
        lower, wp.KullbackLeibler(None, truth), tol=1e-6, constants=Given(loss_lipschitz=1e3)
    )
    assert known.certified


@pytest.mark.parametrize("scale", ["learning", "natural"])
def test_bounds_of_a_parameter_do_not_change_the_norm(scale: str, rng: np.random.Generator) -> None:
    y = rng.standard_normal(100)

    def constants(value: float = 0.05, weight: float = 1.0, **bounds: float) -> Any:
        eps = wp.Parameter("eps", value, **bounds)
        lower = wp.LeastSquares(None, y) + weight * wp.SmoothedTotalVariation(eps)
        return wp.hypergradient(lower, wp.SquaredError(0 * y), tol=1e-4, scale=scale).constants[0]

    free = constants()
    assert free.certified
    for bounds in ({"low": 0.05}, {"high": 0.05}, {"low": 0.05, "high": 0.0501}):
        assert constants(**bounds).mixed_norm == pytest.approx(free.mixed_norm, rel=1e-5)
    assert "mixed_norm" in constants(low=0.05, high=0.05).estimated
    assert math.isfinite(constants(1e-6, weight=1e-6).mixed_norm)


@pytest.mark.parametrize("where", ["operator", "weights"])
def test_no_constant_is_proven_where_none_is_known(where: str, rng: np.random.Generator) -> None:
    """A learned kernel behind a functional, and smoothing and weights that are learned together."""
    y = rng.standard_normal((6, 6))
    if where == "operator":
        K = wp.operators.KernelMatrix(
            rng.standard_normal((6, 2)), rng.standard_normal((6, 2)), wp.Parameter("g", 0.5)
        )
        prior, y = wp.SquaredL2() @ K, y[0]
    else:
        prior = wp.SmoothedTotalVariation(
            wp.Parameter("e", 0.1), weights=wp.Parameter("w", np.full((6, 6), 0.5))
        )
    lower = wp.LeastSquares(None, y) + prior
    result = wp.hypergradient(lower, wp.SquaredError(np.zeros_like(y)), tol=1e-4)
    assert not result.certified
    assert "mixed_lipschitz" in result.constants[0].estimated
    assert result.constants[0].mixed_lipschitz > 0


def test_precision_is_kept(rng: np.random.Generator) -> None:
    y = rng.standard_normal(20).astype(np.float32)
    lower = wp.LeastSquares(None, y) + wp.Parameter("w", 0.3) * wp.SmoothedTotalVariation(0.3)
    result = wp.hypergradient(lower, wp.LeastSquares(None, 0 * y), tol=1e-3)
    assert result.x.dtype == result.adjoint.dtype == np.float32
    y64 = y.astype(np.float64)
    lower64 = wp.LeastSquares(None, y64) + wp.Parameter("w", 0.3) * wp.SmoothedTotalVariation(0.3)
    exact = wp.hypergradient(lower64, wp.LeastSquares(None, 0 * y64), tol=1e-10)
    assert result.gradient["w"] == pytest.approx(exact.gradient["w"], rel=1e-2)


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"tol": 0.0}, ValueError, "tol must be"),
        ({"tol": (1e-3, -1.0)}, ValueError, "tol must be"),
        ({"scale": "log"}, ValueError, "scale must be"),
        ({"method": "magic"}, ValueError, "method must be one of implicit"),
        ({"solver": "sgd"}, ValueError, "solver must be one of accelerated"),
        ({"max_lower": 0}, ValueError, "max_lower must be a positive integer"),
        ({"method": "unrolled", "steps": 0}, ValueError, "steps must be a positive integer"),
        ({"parameters": ["nothing"]}, ValueError, "there are: eps, w"),
        ({"parameters": [3]}, TypeError, "Parameter objects or their names"),
        ({"parameters": ["w", "w"]}, ValueError, "listed twice"),
        ({"parameters": [wp.Parameter("w", 77.0)]}, ValueError, "differs from the one in the objective"),
        ({"x": np.zeros(3)}, ValueError, "x0 has shape|x has shape"),
        ({"x": np.full(12, np.nan)}, ValueError, "non-finite"),
        ({"adjoint": np.zeros(3)}, ValueError, "adjoint has shape"),
        ({"lower": 3}, TypeError, "lower must be a functional"),
        ({"lower": []}, ValueError, "lower is empty"),
        ({"upper": [wp.LeastSquares(None, np.zeros(12))] * 2}, ValueError, "1 lower levels, but 2 losses"),
        ({"upper": wp.LeastSquares(None, np.zeros(5))}, ValueError, "the loss takes arrays of shape"),
        ({"upper": wp.L1()}, TypeError, "the loss must be differentiable"),
    ],
)
def test_bad_input(
    change: dict[str, object], error: type[Exception], match: str, rng: np.random.Generator
) -> None:
    toy = denoising(rng)
    arguments = {"lower": toy.lower, "upper": toy.loss, **change}
    with pytest.raises(error, match=match):
        wp.hypergradient(**arguments)  # type: ignore[arg-type]


def test_nothing_to_differentiate() -> None:
    f = wp.LeastSquares(None, np.ones(3))
    with pytest.raises(ValueError, match="nothing to learn"):
        wp.hypergradient(f, f)


def test_a_loss_that_is_not_finite() -> None:
    lower = wp.LeastSquares(None, np.array([1.0, -2.0])) + wp.Parameter("w", 1.0) * wp.SquaredL2()
    with pytest.raises(ValueError, match=r"the loss .* is (inf|nan)"):
        wp.hypergradient(lower, wp.KullbackLeibler(None, np.array([1.0, 1.0])))
