"""Separable sparse penalties: proximal maps against brute force, and stationary to rounding."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.functionals.merge import merge

# Name: (penalty, its value, its slope) written down from the formula for one size r > 0.
PENALTIES = {
    "l0": (wp.L0(), lambda r: (r > 0).astype(float), lambda r: 0 * r),
    "l1/2": (wp.Lq(0.5), lambda r: r**0.5, lambda r: 0.5 * r**-0.5),
    "l2/3": (wp.Lq(2 / 3), lambda r: r ** (2 / 3), lambda r: 2 / 3 * r ** (2 / 3 - 1)),
    "l0.05": (wp.Lq(0.05), lambda r: r**0.05, lambda r: 0.05 * r ** (0.05 - 1)),
    "l0.8": (wp.Lq(0.8), lambda r: r**0.8, lambda r: 0.8 * r ** (0.8 - 1)),
    "l0.999": (wp.Lq(0.999), lambda r: r**0.999, lambda r: 0.999 * r ** (0.999 - 1)),
    "l1": (wp.Lq(1.0), lambda r: r, lambda r: 1 + 0 * r),
    "l1.1": (wp.Lq(1.1), lambda r: r**1.1, lambda r: 1.1 * r ** (1.1 - 1)),
    "l3/2": (wp.Lq(1.5), lambda r: r**1.5, lambda r: 1.5 * r**0.5),
    "l2": (wp.Lq(2.0), lambda r: r**2, lambda r: 2 * r),
    "l3": (wp.Lq(3.0), lambda r: r**3, lambda r: 3 * r**2),
    "mcp": (
        wp.MCP(0.7, 2.5),
        lambda r: np.where(r <= 1.75, 0.7 * r - r**2 / 5, 2.5 * 0.49 / 2),
        lambda r: np.maximum(0.7 - r / 2.5, 0),
    ),
    "cel0": (
        wp.CEL0(1.3, 0.4),
        lambda r: np.where(r <= 0.8**0.5 / 1.3, 0.4 - 0.845 * (r - 0.8**0.5 / 1.3) ** 2, 0.4),
        lambda r: np.maximum(1.3 * 0.8**0.5 - 1.69 * r, 0),
    ),
    "scad": (
        wp.SCAD(0.7, 3.2),
        lambda r: np.where(
            r <= 0.7,
            0.7 * r,
            np.where(r <= 2.24, (4.48 * r - r**2 - 0.49) / 4.4, 0.49 * 4.2 / 2),
        ),
        lambda r: np.where(r <= 0.7, 0.7, np.maximum(2.24 - r, 0) / 2.2),
    ),
    "stvs": (
        wp.STVS(0.6),
        lambda r: 0.36 * (np.arcsinh(r / 1.2) + 0.5 - 0.5 * np.exp(-2 * np.arcsinh(r / 1.2))),
        lambda r: 0.6 * np.exp(-np.arcsinh(r / 1.2)),
    ),
    "smoothed l0": (
        wp.SmoothedL0(0.7),
        lambda r: 1 - np.exp(-(r**2) / 0.98),
        lambda r: r / 0.49 * np.exp(-(r**2) / 0.98),
    ),
    "log": (wp.LogSum(0.3), lambda r: np.log1p(r / 0.3), lambda r: 1 / (0.3 + r)),
}
SMOOTH = ("l2", "l3", "l3/2", "l1.1", "smoothed l0")
STEPS = [1e-9, 1e-3, 0.09, 0.1, 0.5, 1 / 1.69, 1.0, 2.2, 2.5, 3.1, 4.2, 5.0, 40.0, 1e4]
FRACTIONS = np.concatenate([np.linspace(0, 1, 2001), np.logspace(-12, -3, 40)])


def sizes_for(penalty, step):
    """A range of sizes, with more around each point where the proximal point leaves zero."""
    wide = np.concatenate([np.logspace(-8, 3, 80), np.linspace(0, 6, 120)])
    zero = penalty.prox(wide, step) == 0
    edge = wide[zero].max()
    beyond = wide[~zero].min() if np.any(~zero) else edge + 1
    near = edge + (beyond - edge) * np.linspace(0, 1, 60)
    return np.concatenate([wide, near])


@pytest.mark.parametrize("name", PENALTIES)
def test_value(name, rng):
    penalty, value, _ = PENALTIES[name]
    x = 2 * rng.standard_normal((7, 5))
    w = rng.uniform(0, 2, (7, 5))
    assert penalty(x) == pytest.approx(value(np.abs(x)).sum())
    assert with_weights(penalty, w)(x) == pytest.approx((w * value(np.abs(x))).sum())
    assert penalty(np.zeros(4)) == 0.0


def with_weights(penalty, weights):
    fields = {k: v for k, v in vars(penalty).items() if not k.startswith("_")}
    return type(penalty)(**{**fields, "weights": weights})


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", PENALTIES)
def test_no_point_of_a_grid_is_better(name, step):
    penalty, value, _ = PENALTIES[name]
    x = sizes_for(penalty, step)
    z = penalty.prox(x, step)
    assert np.all(z >= 0)
    assert np.all(z <= x)
    with np.errstate(over="ignore"):
        grid = x[:, None] * FRACTIONS
        best = np.min(step * value(grid) + (grid - x[:, None]) ** 2 / 2, axis=1)
    cost = step * value(z) + (z - x) ** 2 / 2
    assert np.all(cost <= best + 1e-14 * (step * value(x) + x**2) + 1e-15 * step)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", PENALTIES)
def test_points_other_than_zero_are_stationary_to_rounding(name, step, dtype):
    penalty, _, slope = PENALTIES[name]
    x = sizes_for(penalty, step).astype(dtype)
    z = penalty.prox(x, step)
    assert z.dtype == dtype
    inside = z > np.finfo(dtype).tiny
    z, x = z[inside].astype(np.longdouble), x[inside].astype(np.longdouble)
    # Where the slope jumps, at the end of a piece, either side may be meant.
    eps = float(np.finfo(dtype).eps)
    error = np.abs(z + step * slope(z) - x)
    # How much rounding z alone moves the equation.
    sway = np.abs(z * (1 + eps) + step * slope(z * (1 + eps)) - z - step * slope(z)) / eps
    assert np.all(error <= 16 * eps * (x + step * slope(z) + sway))


@pytest.mark.parametrize("name", PENALTIES)
def test_signs_weights_and_arrays_of_steps(name, rng):
    penalty, _, _ = PENALTIES[name]
    x = 3 * rng.standard_normal((9, 4))
    w, steps = rng.uniform(0.1, 3, (9, 4)), rng.uniform(0.01, 5, (9, 4))
    w[:2] = 0
    together = with_weights(penalty, w).prox(x, steps)
    for i in np.ndindex(x.shape):
        size = np.array([abs(x[i])])
        alone = float(penalty.prox(size, w[i] * steps[i])[0]) if w[i] else abs(x[i])
        assert together[i] == pytest.approx(np.sign(x[i]) * alone, rel=1e-13)
    below = penalty.prox(np.array([-1e-30]), 1e3)
    assert below[0] < 0 or not np.signbit(below[0])


@pytest.mark.parametrize("name", PENALTIES)
def test_complex_entries_keep_their_phase(name, rng):
    penalty, _, _ = PENALTIES[name]
    x = rng.standard_normal(30) + 1j * rng.standard_normal(30)
    z = penalty.prox(x, 0.4)
    assert np.allclose(z, penalty.prox(np.abs(x), 0.4) * np.exp(1j * np.angle(x)))
    assert penalty(x) == pytest.approx(penalty(np.abs(x)))


@pytest.mark.parametrize("name", [name for name in PENALTIES if name not in SMOOTH])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_extreme_steps(name, dtype):
    penalty, _, _ = PENALTIES[name]
    x = np.array([1e-3, 1.0, 100.0], dtype)
    assert np.allclose(penalty.prox(x, 1e-25), x, rtol=2 * np.finfo(dtype).eps, atol=0)
    assert np.array_equal(penalty.prox(x, 1e15), np.zeros(3, dtype))


@pytest.mark.parametrize("name", ["mcp", "cel0", "scad", "log", "stvs", "smoothed l0"])
def test_weak_convexity_is_the_least_that_makes_it_convex(name):
    penalty, value, _ = PENALTIES[name]
    rho = penalty.weak_convexity
    r = np.linspace(0, 4, 40001)
    second = np.diff(value(r) + rho * r**2 / 2, 2) / (r[1] - r[0]) ** 2
    assert second.min() > -1e-4
    less = np.diff(value(r) + 0.99 * rho * r**2 / 2, 2) / (r[1] - r[0]) ** 2
    assert less.min() < -1e-3 * rho
    assert with_weights(penalty, np.array([0.5, 3.0])).weak_convexity == pytest.approx(3 * rho)


@pytest.mark.parametrize("name", [name for name, (f, *_) in PENALTIES.items() if not f.traits.convex])
@pytest.mark.parametrize("quadratic", [False, True])
def test_joined_with_a_bound_at_zero(name, quadratic):
    penalty, value, _ = PENALTIES[name]
    terms = [0.6 * penalty, wp.NonNegative(), *([1.5 * wp.SquaredL2()] if quadratic else [])]
    joint, rest = merge(terms, np.zeros(9))
    assert rest == []
    x, step = np.linspace(-2, 3, 101), 0.8
    z = joint.prox(x, step)
    assert np.all(z >= 0)
    grid = np.linspace(0, 3, 6001)
    slope = 1.5 if quadratic else 0.0
    price = step * (0.6 * value(grid) + slope * grid**2 / 2)
    best = np.min(price + (grid - x[:, None]) ** 2 / 2, axis=1)
    cost = step * (0.6 * value(z) + slope * z**2 / 2) + (z - x) ** 2 / 2
    assert np.all(cost <= best + 1e-14)
    assert joint(z) == pytest.approx(0.6 * penalty(z) + slope * np.sum(z**2) / 2)
    assert joint(-np.ones(2)) == np.inf


def test_convex_penalties_keep_their_conjugates_beside_a_bound():
    joint, rest = merge([wp.Lq(1.0), wp.NonNegative()], np.zeros(3))
    assert [joint.traits.conjugate, *(f.traits.conjugate for f in rest)] == [True, True]
    result = wp.minimize(
        wp.LeastSquares(None, np.array([2.0, -1.0])) + wp.Lq(1.0) + wp.NonNegative(), tol=1e-6
    )
    assert result.certificate.kind == "duality gap"
    assert np.allclose(result.x, [1.0, 0.0], atol=1e-2)


def test_published_numbers():
    # Thresholding functions of Rentzeperis et al. (2023), half and CEL0.
    half = wp.Lq(0.5).prox(np.array([1.6, 3.0, 0.9, 0.9449]), 0.5)
    assert half == pytest.approx([1.3878, 2.8520, 0, 0], abs=1e-4)
    cel0 = wp.CEL0(1.0, 0.27).prox(np.array([0.3, 0.62, 0.7, 0.9]), 0.05)
    assert cel0 == pytest.approx([0.2771, 0.6140, 0.6982, 0.9], abs=1e-4)
    cel0 = wp.CEL0(1.2, 0.5).prox(np.array([0.62, 0.7, 0.9]), 0.5)
    assert cel0 == pytest.approx([0.0714, 0.3571, 0.9], abs=1e-4)


def test_cel0_with_one_norm_for_each_column(rng):
    norms = np.array([0.0, 0.5, 1.0, 2.0])
    x, lam, step = rng.standard_normal((50, 4)), 0.3, 0.9
    together = wp.CEL0(norms, lam).prox(x, step)
    for k, a in enumerate(norms):
        assert np.array_equal(together[:, k], wp.CEL0(float(a), lam).prox(x[:, k], step))
    assert np.array_equal(together[:, 0], x[:, 0])
    hard = np.where(np.abs(x[:, 3]) > np.sqrt(2 * lam * step), x[:, 3], 0)
    assert np.array_equal(together[:, 3], hard)
    columns = [wp.CEL0(float(a), lam)(x[:, k]) for k, a in enumerate(norms)]
    assert wp.CEL0(norms, lam)(x) == pytest.approx(sum(columns))


def test_conjugates_of_powers(rng):
    y = np.array([-2.0, 0.3, 1.0])
    z = np.linspace(-30, 30, 600001)
    for q in (1.5, 2.0, 3.0):
        expected = sum(np.max(v * z - 0.7 * np.abs(z) ** q) for v in y)
        assert wp.Lq(q, np.full(3, 0.7))._conjugate(y) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(TypeError, match="not convex"):
        wp.Lq(0.5)._conjugate(y)
