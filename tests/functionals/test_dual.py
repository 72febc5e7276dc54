"""Dual points land inside the domain of the conjugate whatever the rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import wellposed as wp
from wellposed.functionals.norms import L21
from wellposed.functionals.smoothed import SmoothedL21

W = np.array([[0.0, 0.1, 0.7], [1.3, 1e-5, 3.0]])
COUNTS = np.array([[0.0, 1.0, 2.0], [3.0, 0.0, 1e4]])

MAKERS = {
    "l1": lambda d: wp.L1(),
    "l1, weights": lambda d: wp.L1(W),
    "l21": lambda d: L21((0,)),
    "l21, weights": lambda d: L21((0,), W[:1]),
    "smoothed": lambda d: SmoothedL21(0.1, (0,), W[1:]),
    "l1 loss": lambda d: wp.L1Loss(None, W.astype(d), W.astype(d)),
    "huber": lambda d: wp.HuberLoss(None, W.astype(d), 0.7),
    "kullback leibler": lambda d: wp.KullbackLeibler(None, COUNTS.astype(d)),
    "logistic": lambda d: wp.LogisticLoss(None, np.where(COUNTS > 1, 1.0, -1.0).astype(d)),
    "elastic net": lambda d: wp.ElasticNet(0.3, 0.0),
    "group": lambda d: wp.GroupL2([[0, 1], [2, 4, 5]], [0.3, 0.7]),
    "nuclear": lambda d: wp.NuclearNorm(),
    "non-negative": lambda d: wp.NonNegative(),
    "half a box": lambda d: wp.Box(0.3, math.inf),
    "least squares": lambda d: wp.LeastSquares(None, W.astype(d), W.astype(d)),
}

FINITE = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(y=arrays(np.float32, (2, 3), elements=FINITE), weight=st.floats(1e-3, 1e3))
def test_projected_and_scaled_points_are_inside(name, dtype, y, weight):
    f = MAKERS[name](dtype)
    y = y.astype(dtype)
    for g in (f, weight * f):
        inside = g.project_dual(y)
        assert inside.dtype == dtype
        assert math.isfinite(g._conjugate(inside))
        assert np.allclose(g.project_dual(inside), inside, rtol=1e-5)
        scale = g.dual_scale(y)
        assert 0 <= scale <= 1
        assert math.isfinite(g._conjugate(scale * y))
        assert math.isfinite(g._conjugate(g.conjugate.prox(y, 0.7)))


PROBABILITIES = np.array([[0.0, 1.0, 0.0], [0.2, 0.3, 0.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(y=arrays(np.float32, (2, 3), elements=FINITE), weight=st.floats(1e-3, 1e3))
def test_dual_points_of_classes_are_probabilities_less_the_data(dtype, y, weight):
    b, w = PROBABILITIES.astype(dtype), np.array([0.0, 0.7], dtype)
    y = y.astype(dtype)
    for f in (wp.MultinomialLoss(None, b), weight * wp.MultinomialLoss(None, b, w)):
        inside = f.project_dual(y)
        assert inside.dtype == dtype
        assert math.isfinite(f._conjugate(inside))
        assert np.array_equal(f.project_dual(inside), inside)
        slope = f.gradient(y / 1e3)
        assert math.isfinite(f._conjugate(slope))
        for z in (y, 3 * slope, -slope):
            assert 0 <= f.dual_scale(z) <= 1
            assert math.isfinite(f._conjugate(f.dual_scale(z) * z))


def test_the_conjugate_of_the_cross_entropy_is_the_supremum(rng):
    from scipy.optimize import minimize

    f = wp.MultinomialLoss(None, PROBABILITIES, np.array([0.4, 2.0]))
    for _ in range(5):
        y = f.gradient(rng.normal(size=(2, 3)))
        found = minimize(lambda u, y=y: f(u.reshape(2, 3)) - u @ y.reshape(-1), np.zeros(6), tol=1e-12)
        assert f._conjugate(y) == pytest.approx(-found.fun, abs=1e-9)
    assert f._conjugate(y + 0.01) == math.inf
    assert f._conjugate(y + np.array([1.0, -1.0, 0.0])) == math.inf
    # Along the ray the scale is the largest one, if a row has probabilities to spare.
    far = 10 * y
    s = f.dual_scale(far)
    assert 0 < s < 1
    assert math.isfinite(f._conjugate(s * far))
    assert f._conjugate(1.001 * s * far) == math.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0.1, 30.0, 300.0, 1e5])
def test_the_best_intercept_of_counts_is_found_however_large_the_predictions(dtype, size):
    from scipy.special import logsumexp

    b = np.array([0.0, 1.0, 2.0, 5.0, 0.0], dtype)
    u = (size * np.array([0.0, 1.0, 3.0, 8.0, -0.5])).astype(dtype)
    loss = wp.PoissonLoss(None, b, intercept=True)
    expected = np.log(8.0) - logsumexp(u.astype(float))
    eps = float(np.finfo(dtype).eps)
    assert loss.intercept_at(u) == pytest.approx(expected, rel=8 * eps, abs=8 * eps)
    assert math.isfinite(loss(u))
    slope = loss.gradient(u)
    assert abs(float(slope.sum(dtype=float))) <= 32 * eps * np.abs(slope).sum()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, np.array([1.0, 0.0, 2.0, 0.5, 1.0])])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("offset", [-500.0, 0.0, 100.0, 1e4])
def test_the_best_intercept_of_labels_is_found_however_far_the_predictions(dtype, weights, size, offset):
    from scipy.optimize import brentq
    from scipy.special import expit

    b = np.array([1.0, 1.0, -1.0, 1.0, -1.0])
    u = (offset + size * np.array([0.0, 1.0, -0.3, 0.8, -0.5])).astype(dtype)
    loss = wp.LogisticLoss(None, b.astype(dtype), weights, intercept=True)
    w = np.ones(5) if weights is None else weights
    reach = float(np.abs(u).max()) + 10.0
    expected = brentq(lambda c: np.sum(-w * b * expit(-b * (u.astype(float) + c))), -reach, reach, xtol=1e-13)
    value = np.sum(w * np.logaddexp(0.0, -b * (u.astype(float) + expected)))
    eps = float(np.finfo(dtype).eps)
    assert loss(u) == pytest.approx(value, rel=8 * eps, abs=16 * eps * reach)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(
    x=arrays(np.float32, 5, elements=st.floats(-30, 30, width=32)),
    step=st.floats(1e-3, 1e3),
    seed=st.integers(0, 9),
)
def test_the_proximal_point_with_a_free_intercept_is_the_best(dtype, x, step, seed):
    from wellposed.functionals.intercept import FreeIntercept

    rng = np.random.default_rng(seed)
    x = x.astype(dtype)
    eps = float(np.finfo(dtype).eps)
    for loss in (
        wp.PoissonLoss(None, np.array([0.0, 1.0, 2.0, 5.0, 0.0], dtype)),
        wp.LogisticLoss(None, np.array([1.0, -1.0, 1.0, 1.0, -1.0], dtype)),
    ):
        f = FreeIntercept(loss)
        z = f.prox(x, step)
        assert z.dtype == dtype

        def value(v, f=f):
            v = v.astype(float)
            return f(v) + float((v - x) @ (v - x)) / (2 * step)

        best = value(z)
        noise = 64 * eps * (1 + abs(best) + float(np.abs(x).sum()) * (1 + 1 / step))
        for _ in range(5):
            d = rng.normal(size=5) * 10.0 ** rng.uniform(-3, 1)
            assert best <= value(z + d) + noise
