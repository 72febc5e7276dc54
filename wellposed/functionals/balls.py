"""Indicators of the probability simplex and of the Euclidean ball."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import positive


@dataclass(frozen=True, eq=False)
class Simplex(Functional):
    r"""Indicator of :math:`x \ge 0,\ \sum_i x_i = \mathrm{radius}`; ``prox`` is the projection.

    Parameters
    ----------
    radius : float
        The sum, positive.
    axis : int, optional
        Each slice along this axis is in the simplex (as for labels of pixels); by default the whole array is.

    Notes
    -----
    The sum is accepted with a relative error of ``8 + sqrt(n)`` times the resolution of the dtype.
    The projection finds its threshold by Newton's method, which ends after finitely many steps
    (L. Condat, Fast projection onto the simplex and the l1 ball, 2016). The conjugate is
    ``radius`` times the largest entry.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.Simplex().prox(np.array([0.9, 0.5, -1.0]))
    array([0.7, 0.3, 0. ])
    """

    radius: float = 1.0
    axis: int | None = None

    def __post_init__(self) -> None:
        positive(self.radius, "radius of Simplex")

    @property
    def traits(self) -> Traits:
        return Traits(indicator=True)

    def _sum(self, x: Array) -> Array:
        """Sums in double precision, kept as axes of size 1 when taken along one axis."""
        xp = arrays.namespace(x)
        return xp.sum(x, axis=self.axis, keepdims=self.axis is not None, dtype=xp.float64)

    def __call__(self, x: Array) -> float:
        xp = arrays.namespace(x)
        if bool(xp.any(x < 0)):
            return math.inf
        n = math.prod(x.shape) if self.axis is None else x.shape[self.axis]
        allowed = float(xp.finfo(x.dtype).eps) * (8 + math.sqrt(n)) * self.radius
        return 0.0 if bool(xp.all(xp.abs(self._sum(x) - self.radius) <= allowed)) else math.inf

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        # A common shift changes nothing; with the largest entry at 0 the threshold is in [-radius, 0).
        x = x - xp.max(x, axis=self.axis, keepdims=self.axis is not None)
        active = xp.ones_like(x)
        count = self._sum(active)
        while True:
            threshold = (self._sum(x * active) - self.radius) / count
            active = xp.astype(x > threshold, x.dtype)
            fewer = self._sum(active)
            if not bool(xp.any(fewer < count)):
                break
            count = fewer
        point = xp.clip(x - xp.astype(threshold, x.dtype), 0.0, None)
        return point * xp.astype(self.radius / self._sum(point), x.dtype)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        return self.radius * arrays.total(xp.max(y, axis=self.axis))

    def __str__(self) -> str:
        return f"Simplex({self.radius:g})"


@dataclass(frozen=True, eq=False)
class L2Ball(Functional):
    r"""Indicator of :math:`\|x - \mathrm{center}\|_2 \le \mathrm{radius}`; ``prox`` is the projection.

    Parameters
    ----------
    radius : float
        At least 0.
    center : array, optional
        Default: zero. With data as the center this says that a residual is no larger than the noise.

    Notes
    -----
    The norm is accepted with an error of four times the resolution of the dtype. The conjugate is
    :math:`\mathrm{radius}\, \|y\| + \langle y, \mathrm{center}\rangle`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.L2Ball(1.0).prox(np.array([3.0, 4.0]))
    array([0.6, 0.8])
    """

    radius: float
    center: Array | None = None

    def __post_init__(self) -> None:
        positive(self.radius, "radius of L2Ball", zero_allowed=True)
        if self.center is not None:
            center = arrays.as_floating(self.center, "center", complex_allowed=True)
            arrays.check_finite(center, "center")
            object.__setattr__(self, "center", center)

    @property
    def traits(self) -> Traits:
        return Traits(indicator=True, homogeneous=self.radius == 0 and self.center is None)

    @property
    def shape(self) -> Shape | None:
        return None if self.center is None else tuple(self.center.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return () if self.center is None else (self.center,)

    def __call__(self, x: Array) -> float:
        r = x if self.center is None else x - self.center
        eps = float(arrays.namespace(r).finfo(arrays.real_dtype(r)).eps)
        size = float(self.radius) if self.center is None else self.radius + arrays.norm(self.center)
        return 0.0 if _exact_norm(r) <= self.radius + 4 * eps * size else math.inf

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        r = x if self.center is None else x - self.center
        size = _exact_norm(r)
        if size <= self.radius:
            return x
        inside = r * (float(self.radius) / size)
        return inside if self.center is None else self.center + inside

    def _conjugate(self, y: Array) -> float:
        linear = 0.0 if self.center is None else arrays.inner(y, self.center)
        return self.radius * arrays.norm(y) + linear

    def __str__(self) -> str:
        return f"L2Ball({self.radius:g})"


def _exact_norm(r: Array) -> float:
    """The norm with squares in double precision, since membership is decided by the last digits."""
    xp = arrays.namespace(r)
    return arrays.norm(xp.astype(r, xp.float64) if r.dtype == xp.float32 else r)
