"""The difference of the L1 and the Euclidean norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import Parameter, current, positive


@dataclass(frozen=True, eq=False)
class L1MinusL2(Functional):
    r"""L1 norm minus a multiple of the Euclidean norm, zero for vectors with one entry when ``alpha`` is 1.

    .. math:: f(x) = \sum_s \big(\|x_s\|_1 - \alpha \|x_s\|_2\big)

    Parameters
    ----------
    alpha : float or Parameter
        Between 0 and 1.
    axis : int, optional
        The slices :math:`x_s` along this axis are the vectors; by default the whole array is one.

    Raises
    ------
    ValueError
        If ``alpha`` is not between 0 and 1.

    Notes
    -----
    Not convex for ``alpha > 0``. With ``t`` the step and ``m`` the largest size in a vector, the proximal
    map is soft thresholding by ``t``, lengthened by ``alpha t``, if ``m > t``; else the largest entry
    alone, reduced to ``m + (alpha - 1) t`` or to 0. Among equally large entries the first is kept.
    Sources: P. Yin, Y. Lou, Q. He and J. Xin, Minimization of l1-2 for compressed sensing, 2015;
    Y. Lou and M. Yan, Fast L1-L2 minimization via a proximal operator, 2018.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.L1MinusL2().prox(np.array([4.0, -5.0, 0.5]), 1.0)
    array([ 3.6, -4.8,  0. ])
    >>> wp.L1MinusL2().prox(np.array([0.3, -0.5]), 1.0)
    array([ 0. , -0.5])
    """

    alpha: float | Parameter = 1.0
    axis: int | None = None

    def __post_init__(self) -> None:
        positive(self.alpha, "alpha of L1MinusL2", zero_allowed=True)
        if self._a > 1:
            raise ValueError(f"alpha of L1MinusL2 must be at most 1, got {self._a:g}")

    @property
    def _a(self) -> float:
        return float(current(self.alpha))

    @property
    def traits(self) -> Traits:
        return Traits(convex=self._a == 0, homogeneous=True, conjugate=False)

    def _norms(self, x: Array) -> Array:
        """Euclidean norms of the vectors, in double precision, as an array that broadcasts against ``x``."""
        xp = arrays.namespace(x)
        if self.axis is None:
            return arrays.zeros((1,) * len(x.shape), x, xp.float64) + arrays.norm(x)
        wide = xp.astype(x, xp.float64)
        return xp.sqrt(xp.sum(wide * wide, axis=self.axis, keepdims=True))

    def __call__(self, x: Array) -> float:
        return arrays.total(arrays.namespace(x).abs(x)) - self._a * arrays.total(self._norms(x))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        t = step_for(x, step)
        size = xp.abs(x)
        largest = xp.max(size, axis=self.axis, keepdims=True)
        soft = L1().prox(x, t)
        norms = self._norms(soft)
        longer = 1 + self._a * t / xp.where(norms > 0, norms, xp.ones_like(norms))
        stretched = soft * xp.astype(longer, x.dtype)
        above = (largest > t) & (norms > 0)
        if bool(xp.all(above)):
            return stretched
        kept = self._first(size == largest) & (size + (self._a - 1) * t > 0)
        single = xp.where(kept, x + xp.sign(x) * ((self._a - 1) * t), xp.zeros_like(x))
        return xp.where(above, stretched, single)

    def _first(self, mask: Array) -> Array:
        """The first true entry of each vector."""
        xp = arrays.namespace(mask)
        if self.axis is None:
            counts = xp.cumulative_sum(xp.reshape(xp.astype(mask, xp.int64), (-1,)))
            return mask & (xp.reshape(counts, tuple(mask.shape)) == 1)
        return mask & (xp.cumulative_sum(xp.astype(mask, xp.int64), axis=self.axis) == 1)

    def __str__(self) -> str:
        return "L1MinusL2"
