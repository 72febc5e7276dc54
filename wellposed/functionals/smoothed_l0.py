"""A smooth count of the entries that are not zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Shape, Traits
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.size_penalties import SizePenalty

BEND = math.sqrt(3.0)
"""Where the slope of the penalty, in units of its scale, falls fastest."""
NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class SmoothedL0(SizePenalty):
    r"""Number of entries that are larger than a scale, made smooth.

    .. math:: f(x) = \sum_i w_i \big(1 - \exp(-|x_i|^2 / (2 s^2))\big)

    Parameters
    ----------
    scale : float or Parameter
        Positive, in the units of ``x``: entries much smaller are squared, much larger ones counted.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex; adding :math:`\tfrac{\rho}{2}\|x\|^2` with ``rho = weak_convexity``,
    :math:`2 e^{-3/2} w / s^2`, makes it so. Smooth, with constant :math:`w / s^2`: no entry becomes zero, a
    small one is divided by :math:`1 + \mathrm{step}\, w / s^2`. The slope is largest at ``s``,
    :math:`e^{-1/2} w / s`, and vanishes for large entries. For :math:`c = \mathrm{step}\, w / s^2` the
    proximal point ``s u`` solves :math:`u (1 + c\, e^{-u^2/2}) = |x| / s`, whose left side is concave up to
    :math:`\sqrt 3` and then convex: Newton's method is monotone from either side, and of two roots the
    cheaper is taken. Source: H. Mohimani, M. Babaie-Zadeh and C. Jutten, A fast approach for overcomplete
    sparse decomposition based on smoothed l0 norm, 2009.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SmoothedL0(scale=0.5)(np.array([10.0, 0.01, -3.0])).__round__(4)
    2.0002
    >>> wp.SmoothedL0().prox(np.array([-5.0, 0.5]), 4.0).round(4)
    array([-4.9999,  0.1004])
    """

    scale: float | Parameter = 1.0
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.scale, "scale of SmoothedL0")

    @property
    def _s(self) -> float:
        return float(current(self.scale))

    @property
    def traits(self) -> Traits:
        return Traits(
            convex=False, lipschitz=self._largest_weight / self._s**2, separable=True, conjugate=False
        )

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex."""
        return 2 * math.exp(-1.5) * self._largest_weight / self._s**2

    def _penalty(self, size: Array) -> Array:
        u = size / self._s
        return -arrays.namespace(size).expm1(-0.5 * u * u)

    def _bell(self, x: Array) -> tuple[Array, Array]:
        """The squares of the entries in units of the scale, and the weighted bell curve."""
        xp = arrays.namespace(x)
        u = xp.abs(x) / self._s
        q = u * u
        return q, self._w(x) * xp.exp(-0.5 * q)

    def gradient(self, x: Array) -> Array:
        return x * (self._bell(x)[1] / self._s**2)

    def hessian_product(self, x: Array, v: Array) -> Array:
        q, bell = self._bell(x)
        return v * ((1 - q) * bell / self._s**2)

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        root = math.sqrt(3 - math.sqrt(6))
        return self._largest_weight * (3 * root - root**3) * math.exp(-0.5 * root**2) / self._s**3

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not isinstance(self.scale, Parameter):
            return {}
        q, bell = self._bell(x)
        return {self.scale.name: arrays.inner(x * ((q - 2) * bell / self._s**3), v)}

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not isinstance(self.scale, Parameter):
            return {}
        q, bell = self._bell(x)
        return {self.scale.name: -arrays.total(q * bell) / self._s}

    def _shrink(self, size: Array, t: Array) -> Array:
        xp = arrays.namespace(size)
        v, c = size / self._s, t / self._s**2

        def newton(u: Array) -> Array:
            """What to go back to the root of the tangent, or to the bend where it does not rise."""
            bell = c * xp.exp(-0.5 * u * u)
            slope = 1 + (1 - u * u) * bell
            rising = slope > 0
            return xp.where(rising, (u + u * bell - v) / xp.where(rising, slope, 1.0 + 0 * u), u - BEND)

        below = _iterate(v / (1 + c), lambda u: xp.clip(u - xp.clip(newton(u), None, 0.0), None, BEND))
        if not bool(xp.any(v > BEND)):
            return xp.minimum(below * self._s, size)
        above = _iterate(v, lambda u: xp.clip(u - xp.clip(newton(u), 0.0, None), BEND, None))

        def cost(u: Array) -> Array:
            return 0.5 * (u - v) ** 2 - c * xp.expm1(-0.5 * u * u)

        # A side without a root ends at the bend.
        large = (above > BEND) & ((below >= BEND) | (cost(above) < cost(below)))
        return xp.minimum(xp.where(large, above, below) * self._s, size)

    def __str__(self) -> str:
        return f"SmoothedL0({self.scale.name if isinstance(self.scale, Parameter) else f'{self._s:g}'})"


def _iterate(u: Array, step: Callable[[Array], Array]) -> Array:
    """Repeat ``step`` until it changes no more than rounding."""
    xp = arrays.namespace(u)
    eps = arrays.epsilon(u)
    for _ in range(NEWTON_STEPS):
        before, u = u, step(u)
        if not bool(xp.any(xp.abs(u - before) > 2 * eps * u)):
            break
    return u
