"""Checks of gradients, Hessian products and derivatives along parameters by finite differences."""

from __future__ import annotations

import math
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.testing._parameters import check_parameters_at
from wellposed.testing._probe import Probe, generator

DIRECTIONS = 4
SHORTER = 0.1
POWER_STEPS = 20


def check_gradient(f: Functional, x: Array, rng: Any = None) -> None:
    r"""Compare the gradient and what else there is of derivatives with central differences.

    That is the Hessian product, and for a functional with parameters the derivatives of the value and of
    :math:`\langle \nabla f(x), v\rangle` with respect to each (`Functional.parameter_gradient`,
    `Functional.parameter_product`).

    Parameters
    ----------
    f : Functional
        Differentiable.
    x : array
        Where to look, in the interior of the domain of ``f``.
    rng : numpy.random.Generator or int, optional
        Source of the directions; by default a fixed seed.

    Raises
    ------
    CheckError
        Names what fails and by how much.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.testing.check_gradient(wp.SmoothedTotalVariation(0.1), np.arange(12.0).reshape(3, 4))
    """
    x = arrays.as_floating(x, "x", complex_allowed=True)
    xp = arrays.namespace(x)
    probe = Probe(f, xp, str(x.dtype).rpartition(".")[2], generator(rng), arrays.device_of(x))
    check_gradient_at(probe, f, x)


def step_at(probe: Probe, x: Array) -> float:
    """A step that balances the errors of truncation and of rounding."""
    return float(probe.eps ** (1 / 3)) * max(1.0, arrays.norm(x) / math.sqrt(math.prod(x.shape)))


def check_gradient_at(probe: Probe, f: Functional, x: Array) -> None:
    """Directional derivatives against central differences.

    In each direction the better of two steps counts: the longer one may be long for how fast slopes change.
    """
    g = probe.call("gradient", f.gradient, x, shape=x.shape)
    h = step_at(probe, x)
    slack = 100 * probe.eps ** (2 / 3)
    for _ in range(DIRECTIONS):
        d = probe.sample(tuple(x.shape))
        slope = arrays.inner(g, d)
        change, scale = _difference(probe, f, x, d, h, g)
        if abs(slope - change) > slack * scale:
            change, scale = _difference(probe, f, x, d, SHORTER * h, g)
        probe.equal("gradient against central differences", slope, change, scale, slack)
    if has_hessian(f, x, x):
        _check_hessian(probe, f, x, h)
    check_parameters_at(probe, f, x)


def _difference(probe: Probe, f: Functional, x: Array, d: Array, h: float, g: Array) -> tuple[float, float]:
    """The difference quotient along ``d``, and the size that errors are measured by."""
    above, below = f(x + h * d), f(x - h * d)
    if not (math.isfinite(above) and math.isfinite(below)):
        raise probe.fail("the value next to x is infinite: the gradient needs a point inside the domain")
    change = (above - below) / (2 * h)
    # Last the rounding of the values themselves, divided by the step.
    rounding = (abs(above) + abs(below)) * probe.eps ** (1 / 3)
    return change, arrays.norm(g) * arrays.norm(d) + abs(change) + rounding


def _check_hessian(probe: Probe, f: Functional, x: Array, h: float) -> None:
    """Hessian products against central differences of the gradient.

    The best of several directions and steps counts: a step may cross a kink of the gradient, or be long
    for how fast that bends, while a wrong Hessian is always wrong.
    """
    errors = []
    slack = 100 * probe.eps ** (2 / 3)
    for k in range(2 * DIRECTIONS):
        step = h if k < DIRECTIONS else SHORTER * h
        d = probe.sample(tuple(x.shape))
        product = probe.call("hessian_product", f.hessian_product, x, d, shape=x.shape)
        change = (f.gradient(x + step * d) - f.gradient(x - step * d)) * (1 / (2 * step))
        scale = arrays.norm(product) + arrays.norm(change) + 0.02 * arrays.norm(f.gradient(x))
        errors.append((arrays.norm(product - change), scale))
        if errors[-1][0] <= slack * scale:
            break
    difference, scale = min(errors, key=lambda error: error[0] / error[1] if error[1] else 0.0)
    probe.equal("Hessian product against differences of the gradient", difference, 0.0, scale, slack)


def has_hessian(f: Functional, x: Array, v: Array) -> bool:
    """Whether ``f`` has Hessian products; one that has none refuses with `TypeError`."""
    try:
        f.hessian_product(x, v)
    except TypeError:
        return False
    return True


def check_constants(probe: Probe, f: Functional, points: list[Array]) -> None:
    """The Lipschitz and strong convexity constants hold between points, and for the Hessian."""
    shape = tuple(points[0].shape)
    traits = f.traits_on(shape)
    L, mu = traits.lipschitz, traits.strong_convexity
    assert L is not None
    gradients = [f.gradient(x) for x in points]
    for k in range(len(points) - 1):
        d, change = points[k + 1] - points[k], gradients[k + 1] - gradients[k]
        size, steepness = arrays.norm(d), arrays.norm(change)
        if traits.convex:
            probe.at_most(
                "strong convexity", mu * size**2, arrays.inner(d, change), size * steepness + mu * size**2
            )
        if math.isfinite(L):
            probe.at_most("Lipschitz constant of the gradient", steepness, L * size, L * size + steepness)
    v = probe.sample(shape)
    if math.isfinite(L) and has_hessian(f, points[0], v):
        for _ in range(POWER_STEPS):
            size = arrays.norm(v)
            if size == 0:
                break
            v = f.hessian_product(points[0], v / size)
            probe.at_most("Lipschitz constant and norm of the Hessian", arrays.norm(v), L, L + arrays.norm(v))
