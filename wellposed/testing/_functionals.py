"""Checks of functionals: values, traits, proximal maps and conjugates."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array, Namespace
from wellposed.functionals._base import Functional
from wellposed.testing._gradients import check_constants, check_gradient_at, step_at
from wellposed.testing._parameters import check_parameters_at
from wellposed.testing._probe import Probe, generator

STEPS = (0.1, 1.0, 10.0)
DEFAULT_SHAPE = (6, 5)


def check_functional(
    f: Functional,
    shape: tuple[int, ...] | None = None,
    rng: Any = None,
    xp: Namespace | None = None,
) -> None:
    r"""Check that a functional keeps every promise of its traits.

    What is checked, as far as the traits say that it is there: convexity along segments, the
    proximal map by the subgradient inequality, firm non-expansiveness and one step for each
    entry, the conjugate by the inequality of Fenchel and Young and equality at proximal points, points
    of the dual domain, the gradient and Hessian product against differences, so too derivatives with
    respect to parameters, Lipschitz and strong convexity constants, homogeneity; and that dtypes are kept,
    read-only input is accepted and no
    input is changed.

    Parameters
    ----------
    f : Functional
    shape : tuple of int, optional
        Shape of the arrays to use; by default that of the data inside ``f``, or else ``(6, 5)``.
    rng : numpy.random.Generator or int, optional
        Source of the random arrays; by default a fixed seed.
    xp : namespace, optional
        Library of the arrays, for a functional without data inside (default: NumPy).

    Raises
    ------
    CheckError
        Names the identity that fails and by how much.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.testing.check_functional(wp.L1())
    """
    if not isinstance(f, Functional):
        raise TypeError(f"check_functional takes a Functional, got {type(f).__name__}")
    shape = shape or f.shape or DEFAULT_SHAPE
    rng = generator(rng)
    if f.data:
        b = f.data[0]
        kinds = [(arrays.namespace(b), str(arrays.real_dtype(b)).rpartition(".")[2])]
        device = arrays.device_of(b)
    else:
        kinds = [(xp or np, "float64"), (xp or np, "float32")]
        device = None
    for namespace, dtype in kinds:
        probe = Probe(f, namespace, dtype, rng, device)
        points = _domain_points(probe, f, shape)
        _check_traits(probe, f, points)
        if f.traits.convex:
            _check_convex(probe, f, points)
        if f.traits.smooth:
            _check_smooth(probe, f, shape, points)
        else:
            check_parameters_at(probe, f, points[0])
        if f.traits.prox:
            for step in STEPS:
                _check_prox(probe, f, shape, step)
            if f.traits.separable:
                _check_separable(probe, f, shape)
        if f.traits.conjugate and f.traits.convex:
            _check_dual_points(probe, f, shape)
            _check_fenchel_young(probe, f, shape, points)


def _domain_points(probe: Probe, f: Functional, shape: tuple[int, ...]) -> list[Array]:
    """Random points with finite values, found with the proximal map or by trying."""
    points = []
    for scale in (1.0, 3.0, 0.3, 1.0):
        x = probe.sample(shape, scale)
        candidates = [x, probe.xp.abs(x)]
        if f.traits.prox:
            candidates.append(probe.call("prox", f.prox, x, 1.0, shape=shape))
        finite = [p for p in candidates if math.isfinite(probe.call("the value", f, p))]
        if not finite:
            raise probe.fail("no point of finite value was found: is the domain empty for this shape?")
        points.append(finite[0])
    return points


def _check_traits(probe: Probe, f: Functional, points: list[Array]) -> None:
    t = f.traits
    if t.quadratic and not t.smooth:
        raise probe.fail("traits: quadratic, but not smooth")
    if t.lipschitz is not None and not 0 <= t.strong_convexity <= t.lipschitz * (1 + 1e-12):
        raise probe.fail(
            f"traits: strong convexity {t.strong_convexity} above Lipschitz constant {t.lipschitz}"
        )
    if t.strong_convexity < 0 or (t.strong_convexity > 0 and not t.convex):
        raise probe.fail(
            f"traits: strong convexity {t.strong_convexity} of a functional with convex={t.convex}"
        )
    for x in points:
        value = f(x)
        if type(value) is not float or math.isnan(value):
            raise probe.fail(f"the value is {value!r}, not a float")
        if t.indicator and value not in (0.0, math.inf):
            raise probe.fail(f"traits: indicator, but its value is {value}")
        if t.homogeneous:
            probe.equal("homogeneity, f(3 x) and 3 f(x)", f(3.0 * x), 3.0 * value, abs(value))


def _check_convex(probe: Probe, f: Functional, points: list[Array]) -> None:
    mu = f.traits.strong_convexity
    for x, z in itertools.pairwise(points):
        fx, fz, apart = f(x), f(z), arrays.norm(x - z)
        for s in (0.25, 0.5, 0.9):
            between = s * x + (1 - s) * z
            if f.traits.indicator and f.traits.prox:
                inside = f.prox(between, 1.0)
                probe.equal("convexity of the set", arrays.norm(inside - between), 0.0, arrays.norm(between))
                between = inside
            chord = s * fx + (1 - s) * fz - 0.5 * mu * s * (1 - s) * apart**2
            probe.at_most(
                "convexity between two points", f(between), chord, abs(fx) + abs(fz) + mu * apart**2
            )


def _check_smooth(probe: Probe, f: Functional, shape: tuple[int, ...], points: list[Array]) -> None:
    inside = []
    raised = [0.5 + probe.xp.abs(x) for x in points]
    # Where the gradient has no Lipschitz constant, differences need distance from the border of the domain.
    for x in [*raised, *points] if f.traits.lipschitz == math.inf else [*points, *raised]:
        h = 6 * step_at(probe, x)
        if math.isfinite(f(x + h)) and math.isfinite(f(x - h)):
            inside.append(x)
    if not inside:
        raise probe.fail("no point inside the domain was found to test the gradient at")
    for x in inside[:2]:
        check_gradient_at(probe, f, x)
    check_constants(probe, f, inside)
    if f.traits.quadratic:
        x, z = inside[0], inside[-1]
        g, h = f.gradient(x), f.gradient(z)
        middle = arrays.norm(f.gradient(0.5 * (x + z)) - 0.5 * (g + h))
        probe.equal("traits: quadratic, the gradient is affine", middle, 0.0, arrays.norm(g) + arrays.norm(h))


def _check_prox(probe: Probe, f: Functional, shape: tuple[int, ...], step: float) -> None:
    mu = f.traits.strong_convexity
    xs = [probe.sample(shape, scale) for scale in (1.0, 4.0, 0.2)]
    ps = [probe.call("prox", f.prox, x, step, shape=shape) for x in xs]
    for x, p in zip(xs, ps, strict=True):
        point, value = probe.call("prox_and_value", f.prox_and_value, x, step)
        if not math.isfinite(f(p)):
            raise probe.fail(f"the value at prox(x, {step:g}) is {f(p)}")
        probe.equal("prox_and_value and prox", arrays.norm(point - p), 0.0, arrays.norm(p))
        probe.equal("the value of prox_and_value", value, f(p), abs(f(p)) + arrays.norm(p))
        best = f(p)
        rivals = [q for q in ps if q is not p]
        rivals += [f.prox(p + 0.1 * probe.sample(shape), step * 0.01), p + 1e-2 * probe.sample(shape)]
        for q in rivals:
            for s in (1.0, 0.03):
                _check_rival(probe, f, x, p, best, p + s * (q - p), step)
    if f.traits.convex:
        for k in range(len(xs) - 1):
            dx, dp = xs[k + 1] - xs[k], ps[k + 1] - ps[k]
            left = (1 + step * mu) * arrays.inner(dp, dp)
            scale = arrays.norm(dp) * (arrays.norm(xs[k]) + arrays.norm(xs[k + 1]))
            probe.at_most(
                f"prox with step {step:g} is firmly non-expansive", left, arrays.inner(dp, dx), scale
            )


def _check_rival(
    probe: Probe, f: Functional, x: Array, p: Array, value: float, q: Array, step: float
) -> None:
    """No point is better than the proximal point; for convex functionals even to first order."""
    mu = f.traits.strong_convexity
    rival, d = f(q), q - p
    if not math.isfinite(rival):
        return
    name = f"prox with step {step:g} is a minimiser: a rival is better"
    scale = (
        abs(value)
        + abs(rival)
        + (arrays.norm(d) + 0.01 * arrays.norm(p)) * (arrays.norm(x) + arrays.norm(p)) / step
    )
    if f.traits.convex:
        bound = value + arrays.inner((x - p) / step, d) + 0.5 * mu * arrays.inner(d, d)
        probe.at_most(name, bound, rival, scale)
    else:
        here, there = arrays.norm(p - x) ** 2 / (2 * step), arrays.norm(q - x) ** 2 / (2 * step)
        probe.at_most(name, value + here, rival + there, scale)


def _check_separable(probe: Probe, f: Functional, shape: tuple[int, ...]) -> None:
    x = probe.sample(shape, 2.0)
    mask = probe.rng.random(shape) < 0.5
    steps = probe.freeze(np.where(mask, 0.2, 3.0))
    together = probe.call("prox with an array of steps", f.prox, x, steps, shape=shape)
    xp = probe.xp
    here = xp.asarray(mask, device=probe.device)
    apart = xp.where(here, f.prox(x, 0.2), f.prox(x, 3.0))
    size = arrays.norm(x) + arrays.norm(apart)
    probe.equal("prox with one step per entry", arrays.norm(together - apart), 0.0, size)
    z = probe.sample(shape, 2.0)
    mixed = f.prox(xp.where(here, x, z), 1.0) - xp.where(here, f.prox(x, 1.0), f.prox(z, 1.0))
    probe.equal("traits: separable, prox of each entry on its own", arrays.norm(mixed), 0.0, size)


def _check_dual_points(probe: Probe, f: Functional, shape: tuple[int, ...]) -> None:
    for scale in (0.01, 1.0, 100.0):
        z = probe.sample(shape, scale)
        value = probe.call("the value of the conjugate", f._conjugate, z)
        y = probe.call("project_dual", f.project_dual, z, shape=shape)
        if not math.isfinite(f._conjugate(y)):
            raise probe.fail("project_dual gives a point outside the domain of the conjugate")
        s = probe.call("dual_scale", f.dual_scale, z)
        if not (0 <= s <= 1 and math.isfinite(f._conjugate(s * z))):
            raise probe.fail(f"dual_scale gives {s}, for which the conjugate is {f._conjugate(s * z)}")
        if math.isfinite(value):
            probe.equal("project_dual of a point in the domain", arrays.norm(y - z), 0.0, arrays.norm(z))
            probe.equal("dual_scale of a point in the domain", s, 1.0, 1.0)
        elif s > 0 and math.isfinite(f._conjugate((1.01 * s) * z)):
            raise probe.fail(f"dual_scale gives {s}, but a larger number would do")


def _check_fenchel_young(probe: Probe, f: Functional, shape: tuple[int, ...], points: list[Array]) -> None:
    for scale in (0.3, 3.0):
        y = f.project_dual(probe.sample(shape, scale))
        for x in points:
            product, value, dual = arrays.inner(x, y), f(x), f._conjugate(y)
            size = abs(product) + abs(value) + abs(dual)
            probe.at_most("Fenchel-Young inequality, <x, y> and f(x) + f*(y)", product, value + dual, size)
        if f.conjugate.traits.smooth:
            x = probe.call("gradient of the conjugate", f.conjugate.gradient, y, shape=shape)
            _check_pair(probe, f, x, y, arrays.norm(x) * arrays.norm(y), "at the gradient of the conjugate")
    if not f.traits.prox:
        return
    for step in STEPS:
        x = probe.sample(shape, 2.0)
        p = f.prox(x, step)
        y = (x - p) / step
        inside = f.project_dual(y)
        error = (arrays.norm(x) + arrays.norm(p)) / step
        probe.equal("a subgradient is in the domain of the conjugate", arrays.norm(inside - y), 0.0, error)
        _check_pair(probe, f, p, inside, arrays.norm(p) * error, "at a proximal point")
        dual = probe.call("prox of the conjugate", f.conjugate.prox, x / step, 1 / step, shape=shape)
        probe.equal(
            "Moreau's identity", arrays.norm(p + step * dual - x), 0.0, arrays.norm(x) + arrays.norm(p)
        )


def _check_pair(probe: Probe, f: Functional, x: Array, y: Array, error: float, where: str) -> None:
    product, value, dual = arrays.inner(x, y), f(x), f._conjugate(y)
    size = abs(product) + abs(value) + abs(dual) + error
    probe.equal(f"Fenchel-Young equality {where}, <x, y> and f(x) + f*(y)", product, value + dual, size)
