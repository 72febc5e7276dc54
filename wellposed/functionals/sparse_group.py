"""The sparse group lasso penalty: whole groups are zero, and single entries of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits, step_for
from wellposed.functionals.datafits import check_weights
from wellposed.functionals.groups import Grouped, GroupL2
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import Parameter, current, positive

BISECTIONS = 80


@dataclass(frozen=True, eq=False)
class SparseGroup(Grouped):
    r"""Sum of the Euclidean norms of groups plus a multiple of the L1 norm.

    .. math:: f(x) = \sum_g w_g \|x_g\|_2 + l_1 \|x\|_1

    Parameters
    ----------
    groups : array of int, or list of index arrays
        As for `GroupL2`; entries in no group have the L1 norm alone.
    l1 : float or Parameter
        At least 0.
    weights : array, optional
        ``w >= 0``, one per group in the order of the list, or of increasing label. Default: all 1.

    Raises
    ------
    ValueError
        If two groups share an entry, a group is empty, an index is negative or beyond the array, the
        number of weights is wrong, or a weight is negative.

    Notes
    -----
    ``prox`` is soft thresholding, then shrinking of the groups. The conjugate is the indicator of the
    points whose groups, after soft thresholding by ``l1``, have a norm of at most ``w``.
    Source: N. Simon, J. Friedman, T. Hastie and R. Tibshirani, A sparse-group lasso, 2013.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.SparseGroup([[0, 1], [2]], l1=1.0)
    >>> f.prox(np.array([4.0, 0.5, -1.5]), 1.0)
    array([2., 0., 0.])
    """

    groups: Any
    l1: float | Parameter
    weights: Any = None

    def __post_init__(self) -> None:
        positive(self.l1, "l1 of SparseGroup", zero_allowed=True)
        _, _, count = self._layout
        if self.weights is not None:
            weights = arrays.as_floating(self.weights, "weights")
            object.__setattr__(self, "weights", check_weights(weights, (count,)))

    @property
    def l1_weight(self) -> float:
        """``l1`` as a number."""
        return float(current(self.l1))

    @property
    def _norms(self) -> GroupL2:
        return GroupL2(self.groups, self.weights)

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def _radii(self, like: Array) -> Array:
        return self._norms._radii(like)

    def __call__(self, x: Array) -> float:
        return self._norms(x) + self.l1_weight * L1()(x)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        step = step_for(x, step)
        first = L1().prox(x, step * self.l1_weight) if self.l1_weight > 0 else x
        return self._norms.prox(first, step)

    def _conjugate(self, y: Array) -> float:
        return 0.0 if self._outside(y) <= 0 else math.inf

    def _outside(self, y: Array) -> float:
        """How far the worst group is beyond its radius after thresholding."""
        xp = arrays.namespace(y)
        rest = self._thresholded(y, self.l1_weight)
        numbers = self._numbers(y)
        sizes = self._sizes(rest, numbers)
        radii = self._radii(sizes)
        worst = float(xp.max(sizes - radii)) if sizes.shape[0] else 0.0
        free = float(xp.max(xp.abs(self._free(rest, numbers)))) if math.prod(y.shape) else 0.0
        return max(worst, free)

    def _thresholded(self, y: Array, level: Any) -> Array:
        return y - arrays.namespace(y).clip(y, -level, level)

    def project_dual(self, y: Array) -> Array:
        l1 = self.l1_weight
        xp = arrays.namespace(y)
        inner = xp.clip(y, -l1, l1) * (1 - 4 * arrays.epsilon(y))
        outer = self._norms.project_dual(y - xp.clip(y, -l1, l1))
        return inner + outer * (1 - 4 * arrays.epsilon(y))

    def dual_scale(self, y: Array) -> float:
        if self._outside(y) <= 0:
            return 1.0
        host = arrays.numpy_view(y).reshape(-1).astype(np.float64)
        numbers = arrays.numpy_view(self._numbers(y))
        count = self._layout[2]
        radii = arrays.numpy_view(self._radii(arrays.zeros((count,), y))).astype(np.float64)
        low, high = np.zeros(count + 1), np.ones(count + 1)
        limit = np.concatenate([radii, [0.0]])
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            rest = np.maximum(middle[numbers] * np.abs(host) - self.l1_weight, 0)
            fits = np.sqrt(np.bincount(numbers, rest * rest, count + 1)) <= limit
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return float(low.min()) * (1 - (4 + host.size / max(count, 1)) * arrays.epsilon(y))

    def __str__(self) -> str:
        return f"SparseGroup({self._layout[2]} groups)"
