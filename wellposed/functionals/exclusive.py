"""The exclusive lasso, which leaves few entries in every group."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits, step_for
from wellposed.functionals.datafits import as_weights
from wellposed.functionals.groups import Grouped


@dataclass(frozen=True, eq=False)
class ExclusiveL1(Grouped):
    r"""Half the sum of the squared L1 norms of groups: entries of one group compete.

    .. math:: f(x) = \tfrac12 \sum_g \Big(\sum_{i \in g} w_i |x_i|\Big)^2

    Parameters
    ----------
    groups : array of int, or list of index arrays
        As for `GroupL2`; entries in no group are not penalised.
    weights : array, optional
        ``w >= 0``, one per entry, broadcast against ``x``.

    Raises
    ------
    ValueError
        If two groups share an entry, or a weight is negative.

    Notes
    -----
    Convex. The proximal map is soft thresholding by ``step * w * s`` with ``s`` the weighted L1 norm of
    the result in the group: the root of a decreasing, convex, piecewise linear function, which Newton's
    method from 0 finds exactly after finitely many steps. The conjugate is
    :math:`\tfrac12 \sum_g \max_{i \in g} (|y_i| / w_i)^2`.
    Sources: Y. Zhou, R. Jin and S. Hoi, Exclusive lasso for multi-task feature selection, 2010 (without
    the factor 1/2); M. Lin, Y. Yuan, D. Sun and K.-C. Toh, Adaptive sieving with PPDNA: generating
    solution paths of exclusive lasso models, 2020 (proximal map).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.ExclusiveL1([[0, 1], [2, 3]])
    >>> f(np.array([3.0, -1.0, 2.0, 0.0]))
    10.0
    >>> f.prox(np.array([3.0, -1.0, 2.0, 2.0]), 1.0)
    array([1.5       , 0.        , 0.66666667, 0.66666667])
    """

    groups: Any
    weights: Array | None = None

    def __post_init__(self) -> None:
        _ = self._layout
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits()

    def _w(self, like: Array) -> Array:
        """The weights, flat and in double precision."""
        xp = arrays.namespace(like)
        if self.weights is None:
            return xp.ones_like(xp.reshape(like, (-1,)), dtype=xp.float64)
        w = arrays.as_namespace(self.weights, like, "weights")
        return xp.astype(xp.reshape(xp.broadcast_to(w, like.shape), (-1,)), xp.float64)

    def _sums(self, a: Array, numbers: Array) -> Array:
        """The sum over each group of a flat array in double precision, and over what is in none."""
        xp = arrays.namespace(a)
        count = self._layout[2] + 1
        if hasattr(xp, "bincount"):
            return xp.bincount(numbers, weights=a, minlength=count)
        return xp.asarray(np.bincount(arrays.numpy_view(numbers), arrays.numpy_view(a), count))

    def _flat_sizes(self, x: Array) -> Array:
        xp = arrays.namespace(x)
        return xp.abs(xp.astype(xp.reshape(x, (-1,)), xp.float64))

    def __call__(self, x: Array) -> float:
        sums = self._sums(self._w(x) * self._flat_sizes(x), self._numbers(x))[:-1]
        return 0.5 * arrays.inner(sums, sums)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        numbers, w, size = self._numbers(x), self._w(x), self._flat_sizes(x)
        t = step_for(x, step)
        norms = self._norms_of_prox(size, w, numbers, t)
        kept = xp.clip(size - t * w * xp.take(norms, numbers), 0.0, None)
        kept = xp.reshape(xp.astype(kept, x.dtype), tuple(x.shape))
        # Adding 0 turns -0 into 0.
        return xp.where(x < 0, -kept, kept) + 0.0

    def _norms_of_prox(self, size: Array, w: Array, numbers: Array, t: float) -> Array:
        """The weighted L1 norm of the proximal point in each group; 0 for what is in none."""
        xp = arrays.namespace(size)
        grouped = numbers < self._layout[2]
        weight, square = w * size, w * w
        active = grouped & (w > 0)
        count = xp.count_nonzero(active)
        while True:
            on = xp.astype(active, size.dtype)
            norms = self._sums(on * weight, numbers) / (1 + t * self._sums(on * square, numbers))
            # Newton's method from the left: the norms grow, and no entry comes back.
            active = active & (size > t * w * xp.take(norms, numbers))
            fewer = xp.count_nonzero(active)
            if not bool(fewer < count):
                return norms
            count = fewer

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        numbers, w, size = self._numbers(y), self._w(y), self._flat_sizes(y)
        if bool(xp.any((size > 0) & self._unbounded(numbers, w))):
            return math.inf
        ratios = arrays.numpy_view(size / xp.where(w > 0, w, xp.ones_like(w)))
        largest = np.zeros(self._layout[2] + 1)
        np.maximum.at(largest, arrays.numpy_view(numbers), ratios)
        return 0.5 * float(np.sum(largest[:-1] ** 2))

    def _unbounded(self, numbers: Array, w: Array) -> Array:
        """Entries that the functional does not see: the conjugate is infinite unless they are 0."""
        return (numbers == self._layout[2]) | (w == 0)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        unbounded = xp.reshape(self._unbounded(self._numbers(y), self._w(y)), tuple(y.shape))
        return xp.where(unbounded, xp.zeros_like(y), y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return f"ExclusiveL1({self._layout[2]} groups)"
