"""Losses with a free intercept: the smallest loss over all constants added to the prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for

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
    that of the loss on the points whose entries add up to 0, and infinite elsewhere. The proximal point is
    :math:`\mathrm{prox}_\ell(x + c) - c` with the constant ``c`` at which the slopes there add up to 0. The
    trait ``prox`` is set only where the gradient has no Lipschitz constant: else solvers do better with that.
    """

    loss: Functional

    @property
    def traits(self) -> Traits:
        t = self.loss.traits
        prox = t.prox and t.lipschitz == math.inf
        return Traits(convex=t.convex, lipschitz=t.lipschitz, prox=prox, conjugate=t.conjugate)

    @property
    def shape(self) -> Shape | None:
        return self.loss.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.loss.data

    def best(self, u: Array) -> float:
        """The best constant."""
        if type(u) is not np.ndarray:
            return self._search(u)
        # Value, gradient and curvature are asked for at one point, one after the other.
        known = self._latest[0]
        if known is None or not np.array_equal(known[0], u):
            known = self._latest[0] = (u.copy(), self._search(u))
        return known[1]

    @cached_property
    def _latest(self) -> list[tuple[np.ndarray, float] | None]:
        """The last argument with its best constant."""
        return [None]

    def _search(self, u: Array) -> float:
        ones = arrays.namespace(u).ones_like(u)

        def at(c: float) -> tuple[Array, Array]:
            return self.loss.gradient(u + c), self.loss.hessian_product(u + c, ones)

        guess = getattr(self.loss, "_first_constant", None)
        bounds = getattr(self.loss, "_constants_between", None)
        low, high = (-math.inf, math.inf) if bounds is None else bounds(u)
        return _balance(at, 0.0 if guess is None else guess(u), low, high)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        if not self.loss.traits.prox:
            return super().prox(x, step)
        step = step_for(x, step)
        if not isinstance(step, float):
            raise ValueError(f"{self} takes one step, got an array of shape {tuple(step.shape)}")
        ones = arrays.namespace(x).ones_like(x)

        def at(c: float) -> tuple[Array, Array]:
            v = self.loss.prox(x + c, step)
            bend = self.loss.hessian_product(v, ones)
            return self.loss.gradient(v), bend / (1 + step * bend)

        c = _balance(at, self.best(x))
        return self.loss.prox(x + c, step) - c

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


def _balance(
    at: Callable[[float], tuple[Array, Array]], c: float, low: float = -math.inf, high: float = math.inf
) -> float:
    """The constant at which slopes add up to 0: Newton's method from ``c``, kept between two bounds.

    ``at`` gives the slopes at a constant, whose sum increases with it, and their derivatives.
    """
    previous = math.inf
    for _ in range(NEWTON_STEPS):
        slopes, bends = at(c)
        slope, bend = arrays.total(slopes), arrays.total(bends)
        low, high = (c, high) if slope < 0 else (low, c)
        # Rounding of the slopes, and of the constant beside what it is added to.
        size = arrays.total(arrays.namespace(slopes).abs(slopes)) + abs(c) * bend
        floor = arrays.epsilon(slopes) * size
        if abs(slope) <= floor or (abs(slope) >= previous and abs(slope) <= 64 * floor):
            break
        previous = abs(slope)
        step = -slope / bend if bend > 0 else math.copysign(max(1.0, abs(c)), -slope)
        if c + step == c:
            break
        c = c + step if low < c + step < high else _between(low, high, c, slope)
    return c


def _between(low: float, high: float, c: float, slope: float) -> float:
    if math.isfinite(low) and math.isfinite(high):
        return 0.5 * (low + high)
    return c + math.copysign(max(1.0, abs(c)), -slope)


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
