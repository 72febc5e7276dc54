"""The largest absolute value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for


@dataclass(frozen=True, eq=False)
class LInf(Functional):
    r"""The largest absolute value.

    .. math:: f(x) = \max_i |x_i|

    Notes
    -----
    ``prox`` cuts off what exceeds the level ``a`` with :math:`\sum_i \max(|x_i| - a, 0) = \mathrm{step}`,
    which Newton's method finds after finitely many steps (L. Condat, Fast projection onto the simplex and
    the l1 ball, 2016). The conjugate is the indicator of :math:`\sum_i |y_i| \le 1`.
    Together with `AffineConstraint` it finds the flattest solution of linear equations, such as one of
    two values.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.LInf().prox(np.array([-3.0, 0.5, 2.0]), 2.0)
    array([-1.5,  0.5,  1.5])
    """

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def __call__(self, x: Array) -> float:
        xp = arrays.namespace(x)
        return float(xp.max(xp.abs(x)))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        level = _level(x, float(step_for(x, step)))
        return arrays.namespace(x).clip(x, -level, level)

    def _conjugate(self, y: Array) -> float:
        return 0.0 if _sum(y) <= 1.0 else math.inf

    def project_dual(self, y: Array) -> Array:
        level = _level(y, 1.0)
        inside = y - arrays.namespace(y).clip(y, -level, level)
        return inside * (1 - _margin(y)) if _sum(inside) > 1 - _margin(y) else inside

    def dual_scale(self, y: Array) -> float:
        size = _sum(y)
        return 1.0 if size <= 1.0 else (1 - _margin(y)) / size

    def __str__(self) -> str:
        return "LInf"


def _sum(y: Array) -> float:
    return arrays.total(arrays.namespace(y).abs(y))


def _margin(y: Array) -> float:
    """Covers the rounding of a point scaled into the ball of the conjugate."""
    return (8 + math.sqrt(math.prod(y.shape))) * arrays.epsilon(y)


def _level(x: Array, excess: float) -> float:
    """The level above which the absolute values of ``x`` sum to ``excess``; 0 if they are less in all."""
    xp = arrays.namespace(x)
    sizes = xp.astype(xp.abs(x), xp.float64)
    if arrays.total(sizes) <= excess:
        return 0.0
    active = xp.ones_like(sizes)
    count: int = math.prod(x.shape)
    while True:
        level: float = (arrays.total(sizes * active) - excess) / count
        active = xp.astype(sizes > level, xp.float64)
        fewer = int(arrays.total(active))
        # The level only grows, but for rounding.
        if fewer == 0 or fewer >= count:
            return max(level, 0.0)
        count = fewer
