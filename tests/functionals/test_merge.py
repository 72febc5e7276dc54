"""Merged terms against brute force on a grid and against the terms themselves."""

from __future__ import annotations

import itertools
import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import Zero
from wellposed.functionals.merge import BoundedL1, PlusQuadratic, merge

B = np.array([1.5, -0.4, 0.2])
W = np.array([0.5, 2.0, 1.0])

SEPARABLE: dict[str, Functional] = {
    "fit": wp.LeastSquares(None, B),
    "weighted fit": 0.7 * wp.LeastSquares(None, -B, weights=W),
    "ridge": 0.5 * wp.SquaredL2(),
    "l1": 0.3 * wp.L1(),
    "weighted l1": 0.5 * wp.L1(weights=W),
    "elastic net": 2.0 * wp.ElasticNet(0.2, 0.4),
    "positive": wp.NonNegative(),
    "box": wp.Box(-0.6, 0.8),
    "away from zero": wp.Box(0.1, 0.5),
    "nothing": 0.0 * wp.L1(),
}
COMBINATIONS = [combination for size in (1, 2, 3) for combination in itertools.combinations(SEPARABLE, size)]

FINE = np.linspace(-4, 4, 80_001)


def total(terms: list[Functional], x: np.ndarray) -> float:
    return sum(term(x) for term in terms)


def on_a_grid(terms: list[Functional]) -> np.ndarray:
    """Value of each of the three entries on the grid, apart from a constant per entry: shape (3, grid)."""
    values = np.zeros((3, FINE.size))
    for term in terms:
        scale = 1.0
        while hasattr(term, "weight"):
            scale, term = scale * term.c, term.f
        for k in range(3):
            w = 1.0 if getattr(term, "weights", None) is None else term.weights[k]
            if isinstance(term, wp.LeastSquares):
                values[k] += scale * w * (FINE - term.b[k]) ** 2 / 2
            elif isinstance(term, wp.SquaredL2):
                values[k] += scale * FINE**2 / 2
            elif isinstance(term, wp.L1):
                values[k] += scale * w * np.abs(FINE)
            elif isinstance(term, wp.ElasticNet):
                values[k] += scale * (term.l1 * np.abs(FINE) + term.l2 * FINE**2 / 2)
            else:
                low, high = (0.0, math.inf) if isinstance(term, wp.NonNegative) else (term.low, term.high)
                values[k, (low - 1e-9 > FINE) | (high + 1e-9 < FINE)] = math.inf
    return values


@pytest.mark.parametrize("names", COMBINATIONS, ids=" + ".join)
def test_separable_terms_become_one(names: tuple[str, ...]) -> None:
    terms = [SEPARABLE[name] for name in names]
    simple, rest = merge(terms, np.zeros(3))
    assert rest == []
    grid = on_a_grid(terms)
    rng = np.random.default_rng(0)

    for x in [np.zeros(3), np.array([0.2, 0.4, 0.1]), *rng.normal(size=(4, 3))]:
        expected = total(terms, x)
        assert simple(x) == pytest.approx(expected, rel=1e-12, abs=1e-12)

    for step in (0.2, 3.0):
        v = rng.normal(size=3)
        point = simple.prox(v, step)
        best = FINE[np.argmin(grid + (FINE - v[:, None]) ** 2 / (2 * step), axis=1)]
        np.testing.assert_allclose(point, best, atol=2e-4)

    for y in (np.zeros(3), 0.1 * rng.normal(size=3), np.array([-0.9, 0.4, 0.1])):
        value = simple._conjugate(y)
        products = y[:, None] * FINE - grid
        brute = float(np.max(products, axis=1).sum())
        bounded = not bool(np.any(np.isin(np.argmax(products, axis=1), (0, FINE.size - 1))))
        if bounded:
            assert value == pytest.approx(brute, abs=1e-6)
        assert value >= brute - 1e-9
        inside = simple.project_dual(y)
        assert math.isfinite(simple._conjugate(inside))
        if math.isfinite(value):
            np.testing.assert_allclose(inside, y, rtol=1e-14)
            assert simple.dual_scale(y) == 1.0
        else:
            s = simple.dual_scale(y)
            assert 0 <= s < 1
            assert s == 0 or math.isfinite(simple._conjugate(s * y))


@given(
    x=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    y=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    names=st.sampled_from(COMBINATIONS),
)
def test_fenchel_young(x: list[float], y: list[float], names: tuple[str, ...]) -> None:
    simple, _ = merge([SEPARABLE[name] for name in names], np.zeros(3))
    u, v = np.array(x), np.array(y)
    assert simple(u) + simple._conjugate(v) >= u @ v - 1e-9
    near = simple.prox(u, 1.0)
    slope = u - near
    if math.isfinite(value := simple._conjugate(slope)):
        assert simple(near) + value == pytest.approx(near @ slope, abs=1e-9)


def test_strong_convexity_and_lipschitz_add_up() -> None:
    simple, _ = merge([2.0 * wp.LeastSquares(None, B, weights=W), wp.SquaredL2(), wp.L1()], B)
    assert isinstance(simple, PlusQuadratic)
    assert simple.traits.strong_convexity == pytest.approx(2.0)
    assert simple.traits.lipschitz is None
    smooth, _ = merge([2.0 * wp.LeastSquares(None, B, weights=W), wp.SquaredL2()], B)
    assert smooth.traits.lipschitz == pytest.approx(5.0)
    assert smooth.traits.quadratic
    x = np.array([0.3, -1.0, 2.0])
    expected = 2 * W * (x - B) + x
    np.testing.assert_allclose(smooth.gradient(x), expected)
    np.testing.assert_allclose(smooth.hessian_product(x, B), (2 * W + 1) * B)


def test_one_more_term_joins_a_quadratic_and_the_next_is_left() -> None:
    terms = [wp.LeastSquares(None, B), wp.GroupL2([[0, 1], [2]]), wp.Simplex()]
    simple, rest = merge(terms, B)
    assert isinstance(simple, PlusQuadratic)
    assert rest == [terms[2]]
    x = simple.prox(np.array([1.0, 2.0, 0.5]), 0.7)
    for direction in np.random.default_rng(0).normal(size=(50, 3)):
        other = x + 1e-3 * direction

        def value(z: np.ndarray) -> float:
            return total(terms[:2], z) + float(np.sum((z - np.array([1.0, 2.0, 0.5])) ** 2)) / 1.4

        assert value(x) <= value(other) + 1e-12


def test_a_weight_of_zero_in_the_fit_keeps_its_terms_apart() -> None:
    holes = wp.LeastSquares(None, B, weights=np.array([1.0, 0.0, 1.0]))
    simple, rest = merge([holes, wp.NonNegative()], B)
    assert isinstance(simple, wp.NonNegative)
    assert total([simple, *rest], np.ones(3)) == pytest.approx(holes(np.ones(3)))


def test_what_does_not_join_is_left() -> None:
    terms = [wp.NonNegative(), wp.GroupL2([[0, 1], [2]]), wp.L1Loss(None, B)]
    simple, rest = merge(terms, B)
    assert isinstance(simple, wp.NonNegative)
    assert rest == terms[1:]
    assert isinstance(merge([0.0 * wp.L1(), Zero()], B)[0], Zero)


def test_a_single_term_is_itself() -> None:
    f = 2.0 * wp.L1()
    assert merge([f], B) == (f, [])


def test_contradictory_bounds() -> None:
    with pytest.raises(ValueError, match="x >= 0 and x <= -1"):
        merge([wp.NonNegative(), wp.Box(-2.0, -1.0)], B)


def test_bounds_meet_in_one_point() -> None:
    simple, _ = merge([wp.Box(0.0, 1.0), wp.Box(1.0, 2.0)], B)
    np.testing.assert_array_equal(simple.prox(B), np.ones(3))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_array_kind_and_dtype_stay(dtype: str) -> None:
    xp = array_api_strict
    b = xp.asarray(B.astype(dtype))
    terms = [
        wp.LeastSquares(None, b, weights=xp.asarray(W.astype(dtype))),
        wp.ElasticNet(0.2, 0.1),
        wp.Box(-1, 1),
    ]
    simple, rest = merge(terms, b)
    assert rest == []
    for step in (0.5, np.float64(0.5)):
        point = simple.prox(b, step)
        assert type(point) is type(b)
        assert point.dtype == b.dtype
    assert isinstance(simple._conjugate(b), float)
    twin, _ = merge([wp.LeastSquares(None, B, weights=W), *terms[1:]], B)
    np.testing.assert_allclose(np.asarray(point), twin.prox(B, 0.5), rtol=1e-6)


def test_bounded_l1_has_its_trait() -> None:
    assert BoundedL1(wp.L1(), wp.Box(0, math.inf)).traits.homogeneous
    assert not BoundedL1(wp.L1(), wp.Box(-1, 1)).traits.homogeneous
