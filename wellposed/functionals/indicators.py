"""Indicators of convex sets: 0 on the set, infinite outside."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits


@dataclass(frozen=True, eq=False)
class NonNegative(Functional):
    r"""Indicator of :math:`x \ge 0`; ``prox`` is the projection.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.NonNegative().prox(np.array([-1.0, 2.0]))
    array([0., 2.])
    """

    @property
    def traits(self) -> Traits:
        return Traits(indicator=True, separable=True, homogeneous=True)

    def __call__(self, x: Array) -> float:
        return math.inf if bool(arrays.namespace(x).any(x < 0)) else 0.0

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        return xp.clip(x, 0.0, None)

    def _conjugate(self, y: Array) -> float:
        return math.inf if bool(arrays.namespace(y).any(y > 0)) else 0.0

    def project_dual(self, y: Array) -> Array:
        return arrays.namespace(y).clip(y, None, 0.0)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if self._conjugate(y) == 0.0 else 0.0

    def __str__(self) -> str:
        return "NonNegative"


@dataclass(frozen=True, eq=False)
class Box(Functional):
    r"""Indicator of :math:`\mathrm{low} \le x \le \mathrm{high}`; ``prox`` is the projection.

    Parameters
    ----------
    low, high : float
        Bounds, which may be infinite; ``low <= high``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.Box(0.0, 1.0).prox(np.array([-1.0, 0.5, 2.0]))
    array([0. , 0.5, 1. ])
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = float(self.low), float(self.high)
        if not low <= high or low == math.inf or high == -math.inf:
            raise ValueError(f"Box needs low <= high, got low={self.low}, high={self.high}")
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def traits(self) -> Traits:
        return Traits(indicator=True, separable=True)

    def __call__(self, x: Array) -> float:
        outside = (x < self.low) | (x > self.high)
        return math.inf if bool(arrays.namespace(x).any(outside)) else 0.0

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return arrays.namespace(x).clip(x, self.low, self.high)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        up, down = xp.clip(y, 0.0, None), xp.clip(y, None, 0.0)
        return _bound_times(self.high, arrays.total(up)) + _bound_times(self.low, arrays.total(down))

    def project_dual(self, y: Array) -> Array:
        low = 0.0 if math.isinf(self.low) else None
        high = 0.0 if math.isinf(self.high) else None
        return y if low is None and high is None else arrays.namespace(y).clip(y, low, high)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return f"Box({self.low:g}, {self.high:g})"


def _bound_times(bound: float, weight: float) -> float:
    """``bound * weight``, with infinity times 0 being 0."""
    return 0.0 if weight == 0.0 else bound * weight
