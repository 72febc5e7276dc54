"""Weights of samples: a weight of 3 is a sample three times, and one of 0 is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.functionals.intercept import FreeIntercept

N, P = 40, 5
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, P))
U = X @ RNG.normal(size=P)
COUNTS = np.arange(N) % 4
TARGETS = {
    "logistic": np.where(U + RNG.normal(size=N) > 0, 1.0, -1.0),
    "huber": U + RNG.standard_t(2, size=N),
    "poisson": RNG.poisson(np.exp(0.5 * U)).astype(float),
}
MAKE: dict[str, Callable[..., wp.Functional]] = {
    "logistic": wp.LogisticLoss,
    "huber": lambda A, b, *w, **o: wp.HuberLoss(A, b, 0.7, *w, **o),
    "poisson": wp.PoissonLoss,
}
each = pytest.mark.parametrize("loss", MAKE)


def pair(loss: str, intercept: bool, dtype: Any = np.float64) -> tuple[Any, Any]:
    """The weighted loss, and that of the repeated samples."""
    A, b = X.astype(dtype), TARGETS[loss].astype(dtype)
    again = np.repeat(np.arange(N), COUNTS)
    matrix = wp.operators.Matrix
    return (
        MAKE[loss](matrix(A), b, COUNTS, intercept=intercept),
        MAKE[loss](matrix(A[again]), b[again], intercept=intercept),
    )


@each
@pytest.mark.parametrize("intercept", [False, True])
def test_integer_weights_are_repeated_samples(loss: str, intercept: bool) -> None:
    weighted, repeated = pair(loss, intercept)
    x, v = 0.4 * RNG.normal(size=(2, P))
    assert weighted(x) == pytest.approx(repeated(x), rel=1e-12)
    np.testing.assert_allclose(weighted.gradient(x), repeated.gradient(x), rtol=1e-9)
    np.testing.assert_allclose(weighted.hessian_product(x, v), repeated.hessian_product(x, v), rtol=1e-8)
    assert weighted.intercept_at(x) == pytest.approx(repeated.intercept_at(x), rel=1e-9)


@each
@pytest.mark.parametrize("intercept", [False, True])
def test_the_conjugate_is_that_of_repeated_samples(loss: str, intercept: bool) -> None:
    weighted, repeated = (f.factor((P,))[0] for f in pair(loss, intercept))
    y = weighted.gradient(U)
    again = np.repeat(np.arange(N), COUNTS)
    shared = y[again] / COUNTS[again]
    assert weighted.conjugate(y) == pytest.approx(repeated.conjugate(shared), rel=1e-10)
    outside = y + np.where(COUNTS == 0, 1e-3, 0.0)
    assert weighted.conjugate(outside) == np.inf
    assert np.isfinite(weighted.conjugate(weighted.project_dual(outside)))
    assert weighted.dual_scale(weighted.project_dual(30 * outside)) == 1


@each
def test_the_proximal_map_is_that_of_each_sample_at_its_step(loss: str) -> None:
    w = RNG.uniform(0.1, 3.0, N)
    f, plain = MAKE[loss](None, TARGETS[loss], w), MAKE[loss](None, TARGETS[loss])
    x = 3 * RNG.normal(size=N)
    np.testing.assert_allclose(f.prox(x, 0.8), plain.prox(x, 0.8 * w), rtol=1e-12)
    off = np.where(np.arange(N) % 2, w, 0.0)
    kept = MAKE[loss](None, TARGETS[loss], off).prox(x, 0.8)
    np.testing.assert_array_equal(kept[::2], x[::2])


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_without_weight_count_for_nothing(loss: str, dtype: Any) -> None:
    b = TARGETS[loss].astype(dtype)
    w = np.where(np.arange(N) < 30, 1.5, 0.0).astype(dtype)
    wild = U.astype(dtype)
    wild[30:] = 1e4
    for intercept in (False, True):
        f, alone = MAKE[loss](None, b, w, intercept=intercept), MAKE[loss](None, b[:30], intercept=intercept)
        eps = float(np.finfo(dtype).eps)
        assert f(wild) == pytest.approx(1.5 * alone(wild[:30]), rel=64 * eps)
        slope = f.gradient(wild)
        assert slope.dtype == dtype
        assert not slope[30:].any()
        np.testing.assert_allclose(slope[:30], 1.5 * alone.gradient(wild[:30]), atol=64 * eps)


@each
def test_the_lipschitz_constant_is_that_of_the_heaviest_sample(loss: str) -> None:
    w = RNG.uniform(0.1, 3.0, N)
    f, plain = MAKE[loss](None, TARGETS[loss], w), MAKE[loss](None, TARGETS[loss])
    assert f.traits.lipschitz == pytest.approx(w.max() * plain.traits.lipschitz)
    ones = np.ones(N)
    assert f.traits.lipschitz >= f.hessian_product(TARGETS[loss], ones).max()


@each
def test_weights_that_make_no_sense_are_refused(loss: str) -> None:
    b, make = TARGETS[loss], MAKE[loss]
    for wrong, message in (
        (np.ones(3), r"weights have shape \(3,\), expected \(40,\)"),
        (-np.ones(N), "weights must be at least 0, the smallest is -1"),
        (np.full(N, np.nan), "weights has 40 non-finite entries"),
        (np.zeros(N), "all weights are 0: at least one sample needs a weight above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            make(None, b, wrong)
    given = np.ones(N)
    given.flags.writeable = False
    make(None, b, given)


def test_a_free_intercept_needs_data_that_have_a_weight() -> None:
    signs, counts = TARGETS["logistic"], TARGETS["poisson"]
    with pytest.raises(ValueError, match="labels of both kinds"):
        wp.LogisticLoss(None, signs, (signs > 0).astype(float), intercept=True)
    with pytest.raises(ValueError, match="a count above 0"):
        wp.PoissonLoss(None, counts, (counts == 0).astype(float), intercept=True)


@pytest.mark.parametrize("scale", [1e-12, 1e8])
@each
def test_the_best_constant_does_not_depend_on_the_unit_of_the_weights(loss: str, scale: float) -> None:
    w = RNG.uniform(0.1, 3.0, N)
    here, there = (FreeIntercept(MAKE[loss](None, TARGETS[loss], s * w)) for s in (1.0, scale))
    assert there.best(U) == pytest.approx(here.best(U), rel=1e-9)
