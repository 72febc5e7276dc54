"""Losses with a free intercept: the smallest loss over all constants added to the prediction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits

NEWTON_STEPS = 100
BALANCE = 32.0
"""Rounding errors of the largest sum, in units of the precision, that a balanced dual point may have."""


@dataclass(frozen=True, eq=False)
class FreeIntercept(Functional):
    r"""The least value of a smooth loss over a constant added to its argument.

    .. math:: f(u) = \min_c \; \ell(u + c\,1)

    What the data fits with ``intercept=True`` are made of. The minimum must be attained.

    Parameters
    ----------
    loss : Functional
        Convex, differentiable and separable, with a Hessian product.

    Notes
    -----
    The gradient is that of the loss at the best constant, where its entries add up to 0. The conjugate is
    that of the loss on the points whose entries add up to 0, and infinite elsewhere.
    """

    loss: Functional

    @property
    def traits(self) -> Traits:
        t = self.loss.traits
        return Traits(convex=t.convex, lipschitz=t.lipschitz, prox=False, conjugate=t.conjugate)

    @property
    def shape(self) -> Shape | None:
        return self.loss.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.loss.data

    def best(self, u: Array) -> float:
        """The best constant: Newton's method on the sum of the slopes, kept between two bounds."""
        ones = arrays.namespace(u).ones_like(u)
        low, high, c = -math.inf, math.inf, 0.0
        previous = math.inf
        for _ in range(NEWTON_STEPS):
            slopes = self.loss.gradient(u + c)
            slope = arrays.total(slopes)
            low, high = (c, high) if slope < 0 else (low, c)
            bend = arrays.total(self.loss.hessian_product(u + c, ones))
            floor = arrays.epsilon(u) * arrays.total(arrays.namespace(u).abs(slopes))
            if abs(slope) <= floor or (abs(slope) >= previous and abs(slope) <= 64 * floor):
                break
            previous = abs(slope)
            step = -slope / bend if bend > 0 else math.copysign(max(1.0, abs(c)), -slope)
            c = c + step if low < c + step < high else self._between(low, high, c, slope)
        return c

    @staticmethod
    def _between(low: float, high: float, c: float, slope: float) -> float:
        if math.isfinite(low) and math.isfinite(high):
            return 0.5 * (low + high)
        return c + math.copysign(max(1.0, abs(c)), -slope)

    def __call__(self, x: Array) -> float:
        return self.loss(x + self.best(x))

    def gradient(self, x: Array) -> Array:
        return balanced(self.loss.gradient(x + self.best(x)))

    def curvature(self, x: Array) -> Array:
        """The second derivatives of the loss at the best constant."""
        u = x + self.best(x)
        return self.loss.hessian_product(u, arrays.namespace(u).ones_like(u))

    def hessian_product(self, x: Array, v: Array) -> Array:
        h = self.curvature(x)
        mass = arrays.total(h)
        return h * (v - arrays.inner(h, v) / mass) if mass > 0 else 0.0 * v

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return self.loss.parameter_gradient(x + self.best(x))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        h = self.curvature(x)
        mass = arrays.total(h)
        return self.loss.parameter_product(x + self.best(x), v - arrays.inner(h, v) / mass if mass > 0 else v)

    def _conjugate(self, y: Array) -> float:
        size = arrays.total(arrays.namespace(y).abs(y))
        if abs(arrays.total(y)) > BALANCE * arrays.epsilon(y) * size:
            return math.inf
        return self.loss._conjugate(y)

    def project_dual(self, y: Array) -> Array:
        return balanced(self.loss.project_dual(y))

    def dual_scale(self, y: Array) -> float:
        size = arrays.total(arrays.namespace(y).abs(y))
        if abs(arrays.total(y)) > BALANCE * arrays.epsilon(y) * size:
            return 0.0
        return self.loss.dual_scale(y)

    def __str__(self) -> str:
        return f"{self.loss} with a free intercept"


def balanced(y: Array) -> Array:
    """``y`` with its positive or its negative entries scaled down so that all add up to 0.

    Scaling towards 0 keeps a point in the domain of a separable conjugate that is finite at 0.
    """
    xp = arrays.namespace(y)
    up = arrays.total(xp.clip(y, 0.0, None))
    down = -arrays.total(xp.clip(y, None, 0.0))
    if up == down:
        return y
    if up > down:
        return xp.where(y > 0, y * (down / up), y)
    return xp.where(y < 0, y * (up / down), y)
