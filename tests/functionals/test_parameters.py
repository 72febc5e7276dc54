"""Derivatives of every smooth functional, with respect to ``x`` and to the parameters inside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as host_arrays
from sklearn.datasets import load_diabetes
from sklearn.metrics import log_loss

import wellposed as wp
from wellposed.functionals.experts_parts import Experts

# Second derivatives that do not exist everywhere, or that nothing needs.
NO_HESSIAN = {"lq, 1.3", "conjugate of a strongly convex one", "waveforms", "sobolev waveforms"}


def test_smooth_functionals_know_all_their_derivatives(smooth_entry):
    f = smooth_entry.make(lambda a: a)
    rng = np.random.default_rng(6)
    x = 0.5 + np.abs(rng.standard_normal(f.shape or smooth_entry.shape))
    v = rng.standard_normal(x.shape)
    wp.testing.check_gradient(f, x, rng)
    if smooth_entry.name not in NO_HESSIAN:
        assert f.hessian_product(x, v).shape == x.shape
    names = {p.name for p in f.parameters}
    assert set(f.parameter_product(x, v)) == set(f.parameter_gradient(x)) == names


def test_hessians_change_no_faster_than_their_constants(smooth_entry):
    f = smooth_entry.make(lambda a: a)
    shape = f.shape or smooth_entry.shape
    bound = f.hessian_lipschitz_on(shape)
    if bound is None:
        return
    rng = np.random.default_rng(9)
    for size in (1e-2, 1.0):
        x = size * rng.standard_normal(shape)
        z = x + 0.3 * size * rng.standard_normal(shape)
        v = rng.standard_normal(shape)
        change = np.linalg.norm(f.hessian_product(x, v) - f.hessian_product(z, v))
        assert change <= (bound * np.linalg.norm(x - z) + 1e-12) * np.linalg.norm(v)


@pytest.mark.parametrize(
    ("f", "x"),
    [
        (wp.SmoothedTotalVariation(0.3, isotropic=False) @ wp.operators.Identity((2,)), [0.0, 0.15]),
        (wp.LogisticLoss(None, np.ones(1)), [1.3169579]),
        (wp.SmoothedL0(0.7), [0.7 * 0.7419637843]),
        (wp.MultinomialLoss(None, np.array([[1.0, 0.0]])), [[1.3169579, 0.0]]),
    ],
    ids=["smoothed", "logistic", "smoothed l0", "multinomial"],
)
def test_constants_of_the_hessian_are_reached(f, x):
    """The third derivative is largest at a known point and along a known direction."""
    x = np.array(x)
    d = np.array(x - x.mean()) if x.size > 1 else np.ones(1)
    d /= np.linalg.norm(d)
    h = 1e-4
    change = (f.hessian_product(x + h * d, d) - f.hessian_product(x - h * d, d)) / (2 * h)
    assert np.linalg.norm(change) == pytest.approx(f.hessian_lipschitz_on(x.shape), rel=1e-3)


# --- independent references ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [(2, 2), (3, 3), (4, 5), (5, 5), (7, 7), (1, 6)])
@pytest.mark.parametrize("shape", [(9, 12), (70, 8), (130, 3), (2, 3)])
def test_field_of_experts_against_scipy(size, shape):
    rng = np.random.default_rng(3)
    x = rng.standard_normal(shape)
    filters, w, nu = rng.standard_normal((3, *size)), rng.uniform(0, 2, 3), rng.uniform(0.1, 1, 3)
    u = [scipy.ndimage.correlate(x, c, mode="reflect") for c in filters]
    expected = sum(w[k] * (np.sqrt(u[k] ** 2 + nu[k] ** 2) - nu[k]).sum() for k in range(3))
    f = wp.FieldOfExperts(filters, w, nu)
    assert f(x) == pytest.approx(expected, rel=1e-12)
    v = rng.standard_normal(shape)
    forward = [scipy.ndimage.correlate(v, c, mode="reflect") for c in filters]
    slope = sum((w[k] * u[k] / np.sqrt(u[k] ** 2 + nu[k] ** 2) * forward[k]).sum() for k in range(3))
    assert (f.gradient(x) * v).sum() == pytest.approx(slope, rel=1e-10)


def test_field_of_experts_takes_the_same_values_in_every_library():
    torch = pytest.importorskip("torch")
    strict = pytest.importorskip("array_api_strict")
    rng = np.random.default_rng(3)
    x, v = rng.standard_normal((2, 20, 70))
    f = wp.FieldOfExperts.learnable(5, 6, rng=2)
    for library in (torch, strict):
        y, w = (library.asarray(a.copy()) for a in (x, v))
        assert f(y) == pytest.approx(f(x), rel=1e-12)
        np.testing.assert_allclose(np.asarray(f.gradient(y)), f.gradient(x), atol=1e-10)
        np.testing.assert_allclose(np.asarray(f.hessian_product(y, w)), f.hessian_product(x, v), atol=1e-10)
        for name, d in f.parameter_product(y, w).items():
            np.testing.assert_allclose(d, f.parameter_product(x, v)[name], atol=1e-10)


def test_lipschitz_constant_of_a_field_of_experts():
    f = wp.FieldOfExperts.learnable(3, smoothing=0.2, rng=4)
    flat = np.zeros((12, 10))
    H = np.stack([f.hessian_product(flat, e.reshape(12, 10)).ravel() for e in np.eye(120)])
    largest = np.linalg.eigvalsh(H)[-1]
    assert largest <= f.traits_on((12, 10)).lipschitz <= 1.4 * largest


@pytest.mark.parametrize("size", [(3, 3), (7, 5), (1, 4), (40, 2)])
def test_largest_power_of_filters(size):
    rng = np.random.default_rng(7)
    filters, factors = rng.standard_normal((4, *size)), rng.uniform(0, 2, 4)
    dense = (factors[:, None, None] * np.abs(np.fft.fft2(filters, (512, 512))) ** 2).sum(0).max()
    assert dense <= Experts(filters, np.ones(4), np.ones(4)).largest_power(factors) <= 2.2 * dense


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
def test_lipschitz_constants_while_parameters_move(size):
    """Bounds that are inherited hold as well, and small moves need no new one."""
    rng = np.random.default_rng(5)
    f = wp.FieldOfExperts.learnable(3, 5, smoothing=0.2, rng=4)
    f.traits_on((8, 9))
    start = f
    for _ in range(5):
        f = f.with_parameters(
            {
                p.name: p.from_scale(p.to_scale(p.value) + size * rng.standard_normal(p.shape))
                for p in f.parameters
            }
        )
        H = np.stack([f.hessian_product(np.zeros((8, 9)), e.reshape(8, 9)).ravel() for e in np.eye(72)])
        largest = np.linalg.eigvalsh(H)[-1]
        assert largest <= f.traits_on((8, 9)).lipschitz <= 2.5 * largest
    assert (f._bounds[8, 9] is start._bounds[8, 9]) == (size < 0.1)
    fresh = wp.FieldOfExperts(f.filters, f.weights, f.smoothing)
    assert fresh.traits_on((8, 9)).lipschitz <= 1.4 * largest


def test_multinomial_loss_against_scikit_learn():
    rng = np.random.default_rng(2)
    X, W, labels = rng.standard_normal((20, 4)), rng.standard_normal((4, 3)), rng.integers(0, 3, 20)
    scores = X @ W
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    f = wp.MultinomialLoss(wp.operators.MatrixProduct(X, 3), labels)
    assert f(W) == pytest.approx(log_loss(labels, p, normalize=False), rel=1e-12)
    weights = rng.uniform(0, 2, 20)
    weighted = wp.MultinomialLoss(wp.operators.MatrixProduct(X, 3), labels, weights)
    expected = log_loss(labels, p, normalize=False, sample_weight=weights)
    assert weighted(W) == pytest.approx(expected, rel=1e-12)


def test_scores_of_any_size_do_not_overflow():
    f = wp.MultinomialLoss(None, np.array([0, 1], np.int32))
    scores = np.array([[1e4, 0.0], [1e4, 0.0]])
    assert f(scores) == 1e4
    np.testing.assert_allclose(f.gradient(scores), [[0, 0], [1, -1]])


def test_hypergradient_of_kernel_ridge_regression_on_diabetes():
    """The values at gamma = ridge = 1 that the literature's formulas give for this split."""
    data = load_diabetes()
    order = np.random.default_rng(0).permutation(442)
    X = ((data.data - data.data.mean(0)) / data.data.std(0))[order]
    y = ((data.target - data.target.mean()) / data.target.std())[order]
    gamma, ridge = wp.Parameter("gamma", 1.0), wp.Parameter("ridge", 1.0)
    lower = wp.KernelRidge(X[:147], y[:147], gamma, ridge)
    upper = wp.LeastSquares(wp.operators.KernelMatrix(X[147:294], X[:147], gamma), y[147:294])
    H = np.stack([lower.hessian_product(y[:147], e) for e in np.eye(147)])
    x = np.linalg.solve(H, y[:147])
    q = np.linalg.solve(H, upper.gradient(x))
    mixed, own = lower.parameter_product(x, q), upper.parameter_gradient(x)
    assert 2 * upper(x) == pytest.approx(159.57, abs=0.005)
    assert 2 * (own["gamma"] - mixed["gamma"]) == pytest.approx(24.610, abs=0.0005)
    assert -2 * mixed["ridge"] == pytest.approx(4.0623, abs=0.00005)


def test_solvers_take_learned_weights():
    rng = np.random.default_rng(1)
    A, b, w = rng.standard_normal((12, 5)), rng.standard_normal(12), rng.uniform(0.1, 3, 5)
    objective = wp.LeastSquares(wp.operators.Matrix(A), b) + wp.SquaredL2(wp.Parameter("w", w))
    result = wp.minimize(objective, tol=1e-10)
    np.testing.assert_allclose(result.x, np.linalg.solve(A.T @ A + np.diag(w), A.T @ b), atol=1e-6)
    image = rng.random((6, 7))
    smoothed = wp.SmoothedTotalVariation(0.1, weights=wp.Parameter("w", rng.uniform(0.5, 2, (6, 7))))
    found = wp.minimize(wp.LeastSquares(None, image) + 0.2 * smoothed, tol=1e-8).x
    np.testing.assert_allclose(found - image + 0.2 * smoothed.gradient(found), 0, atol=1e-4)
    denoised = wp.minimize(wp.LeastSquares(None, b[:5]) + 2.0 * wp.SquaredL2(w) + wp.NonNegative(), tol=1e-10)
    np.testing.assert_allclose(denoised.x, np.clip(b[:5] / (1 + 2 * w), 0, None), atol=1e-8)


def test_squared_error():
    truth, x = np.array([1.0, 2.0]), np.array([0.5, 4.0])
    assert wp.SquaredError(truth)(x) == 0.5 * ((x - truth) ** 2).sum()
    np.testing.assert_array_equal(wp.SquaredError(truth).gradient(x), x - truth)


# --- properties ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    eps=st.floats(1e-2, 10),
    weight=st.floats(1e-2, 100),
    shape=st.sampled_from([(1, 1), (1, 5), (3, 4), (2, 3, 2)]),
    isotropic=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_smoothed_total_variation_of_any_parameters(eps, weight, shape, isotropic, seed):
    rng = np.random.default_rng(seed)
    each = wp.Parameter("w", rng.uniform(0.1, 3, shape))
    f = wp.Parameter("weight", weight) * wp.SmoothedTotalVariation(wp.Parameter("eps", eps), isotropic, each)
    wp.testing.check_gradient(f, rng.standard_normal(shape), rng)


@settings(deadline=None, max_examples=40)
@given(
    kept=st.tuples(st.booleans(), st.booleans()),
    leading=st.integers(0, 1),
    x=host_arrays(float, (2, 3), elements=st.floats(-10, 10)),
    v=host_arrays(float, (2, 3), elements=st.floats(-10, 10)),
)
def test_weights_of_any_shape_get_the_sums_over_what_they_cover(kept, leading, x, v):
    shape = tuple(n if keep else 1 for n, keep in zip((2, 3), kept, strict=True))[leading:]
    f = wp.SquaredL2(wp.Parameter("w", np.ones(shape)))
    for k in range(math.prod(shape)):
        unit = np.zeros(math.prod(shape))
        unit[k] = 1
        covered = np.broadcast_to(unit.reshape(shape), (2, 3))
        derivative = np.reshape(f.parameter_product(x, v)["w"], -1)[k]
        assert derivative == pytest.approx((covered * x * v).sum(), abs=1e-9)


@given(
    value=st.floats(1e-6, 1e6),
    low=st.sampled_from([0.0, 1e-7, 1e-3]),
    high=st.sampled_from([math.inf, 1e6, 1e3]),
    t=st.floats(-1e4, 1e4),
    transform=st.sampled_from(["log", "identity"]),
)
def test_scales_of_parameters(value, low, high, t, transform):
    p = wp.Parameter("p", min(max(value, low), high), low, high, transform)
    p.with_value(p.from_scale(t))
    assert p.from_scale(p.to_scale(p.value)) == pytest.approx(p.value, rel=1e-12)
    least, largest = p.scale_bounds
    assert least <= p.to_scale(p.value) <= largest
    h = 1e-6
    here = p.to_scale(p.value)
    free = wp.Parameter("p", p.value, -math.inf if transform == "identity" else 0.0, math.inf, transform)
    slope = (free.from_scale(here + h) - free.from_scale(here - h)) / (2 * h)
    assert p.scale_derivative(p.value) == pytest.approx(slope, rel=1e-3)


# --- rules ---------------------------------------------------------------------------------------


def test_values_are_kept_as_given_and_cannot_be_changed():
    given_array = np.array([1.0, 2.0], np.float32)
    p = wp.Parameter("p", given_array)
    given_array[0] = 7.0
    assert p.value.dtype == np.float64
    assert p.value.tolist() == [1.0, 2.0]
    assert (p.shape, p.size) == ((2,), 2)
    with pytest.raises(ValueError, match="read-only"):
        p.value[0] = 3.0
    assert type(wp.Parameter("k", 3).value) is float


def test_single_precision_stays_with_parameters_in_double():
    f = wp.FieldOfExperts.learnable(3) + wp.SquaredL2(wp.Parameter("ridge", np.ones((4, 5))))
    x = np.ones((4, 5), np.float32)
    assert f.gradient(x).dtype == np.float32
    assert all(d.dtype == np.float64 for d in f.parameter_product(x, x).values())


def test_one_parameter_in_two_places_gets_the_sum():
    p = wp.Parameter("p", 0.7)
    x, v = np.array([1.0, -2.0]), np.array([3.0, 0.5])
    f = p * wp.SquaredL2() + 2.0 * (p * wp.SquaredL2().shifted(v))
    assert f.parameter_product(x, v)["p"] == pytest.approx(x @ v + 2 * ((x - v) @ v))
    assert f.parameter_gradient(x)["p"] == pytest.approx(0.5 * x @ x + (x - v) @ (x - v))


def test_a_functional_that_lacks_a_derivative_names_its_parameters():
    f = wp.MCP(wp.Parameter("lam", 0.8))
    with pytest.raises(TypeError, match=r"MCP does not know the derivative of the value.*lam"):
        f.parameter_gradient(np.ones(3))
    with pytest.raises(TypeError, match=r"not differentiable"):
        (wp.Parameter("c", 0.8) * wp.L1()).parameter_product(np.ones(3), np.ones(3))
    assert wp.L1().parameter_gradient(np.ones(3)) == {}


def test_parameters_that_an_operator_hides_are_not_taken_for_constants():
    kernel = wp.operators.KernelMatrix(np.eye(3), np.eye(3), wp.Parameter("gamma", 1.0))
    f = wp.LeastSquares(kernel, np.array([1.0, 2.0, 0.0]), intercept=True)
    with pytest.raises(TypeError, match="gamma"):
        f.parameter_product(np.ones(3), np.ones(3))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wp.Parameter("p", 1.0, low=2.0, high=1.0), "leave no value"),
        (lambda: wp.Parameter("p", 1.0, high=0.0), "leave no value"),
        (lambda: wp.SquaredL2(np.array([1.0, -1.0])), "weights must be at least 0"),
        (
            lambda: wp.SquaredL2(wp.Parameter("w", [-1.0], -2.0, 1.0, "identity")),
            "weights must be at least 0",
        ),
        (lambda: wp.FieldOfExperts(np.ones((3, 3))), "must have shape"),
        (lambda: wp.FieldOfExperts(np.ones((2, 3, 3)), weights=[1.0, 2.0, 3.0]), r"shape \(2,\)"),
        (lambda: wp.FieldOfExperts(np.ones((2, 3, 3)), smoothing=0.0), "smoothing.*positive"),
        (lambda: wp.FieldOfExperts(np.ones((2, 3, 3)))(np.ones(4)), "two axes"),
        (lambda: wp.FieldOfExperts.learnable(3, 9), "up to 8 cosine filters"),
        (lambda: wp.MultinomialLoss(None, np.array([0, -1])), "integers from 0"),
        (lambda: wp.MultinomialLoss(None, np.array([[0.4, 0.4]])), "sum to 1"),
        (lambda: wp.MultinomialLoss(None, np.array([0, 1]), np.ones(3)), "weights have shape"),
        (lambda: wp.KernelRidge(np.ones((3, 2)), np.ones(2), 1.0, 1.0), "there are 3 points"),
        (lambda: wp.operators.KernelMatrix(np.ones((3, 2)), np.ones((3, 1)), 1.0), "2 coordinates"),
        (lambda: wp.operators.KernelMatrix(np.ones((3, 2)), np.ones((3, 2)), 0.0), "gamma must be finite"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- the checks themselves -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Broken(wp.Functional):
    """``theta/2 ||x||^2`` with derivatives that are wrong by a factor."""

    theta: wp.Parameter
    of_value: Any = 1.0
    of_gradient: Any = 1.0

    @property
    def traits(self) -> wp.Traits:
        return wp.Traits(lipschitz=self.theta.value, prox=False, conjugate=False)

    def __call__(self, x):
        return 0.5 * self.theta.value * float((x * x).sum())

    def gradient(self, x):
        return x * self.theta.value

    def parameter_product(self, x, v):
        return {"theta": self.of_gradient * float((x * v).sum())}

    def parameter_gradient(self, x):
        return {"theta": self.of_value * 0.5 * float((x * x).sum())}


@pytest.mark.parametrize("low", [0.0, 0.5])
def test_checks_see_a_wrong_derivative(low):
    theta = wp.Parameter("theta", 0.5, low=low)
    x = np.arange(6.0)
    wp.testing.check_gradient(Broken(theta), x)
    for wrong in (Broken(theta, of_value=1.001), Broken(theta, of_gradient=1.001)):
        with pytest.raises(wp.testing.CheckError, match="of theta against central differences"):
            wp.testing.check_gradient(wrong, x)
        with pytest.raises(wp.testing.CheckError, match="of theta against central differences"):
            wp.testing.check_functional(wrong)
    with pytest.raises(wp.testing.CheckError, match="gives ndarray"):
        wp.testing.check_gradient(Broken(theta, of_value=np.ones(2)), x)
