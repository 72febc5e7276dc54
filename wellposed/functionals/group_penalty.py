"""Penalties of the Euclidean norms of groups: group L0, group MCP, group SCAD and their kin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits
from wellposed.functionals.groups import Grouped
from wellposed.functionals.size_penalties import SizePenalty


@dataclass(frozen=True, eq=False)
class GroupPenalty(Grouped):
    r"""A penalty of the size of each group, which makes whole groups zero.

    .. math:: f(x) = \sum_g w_g\, \varphi(\|x_g\|_2)

    Parameters
    ----------
    penalty : Functional
        A separable penalty of sizes: `L0`, `Lq`, `MCP`, `CEL0`, `SCAD` or `LogSum`. Its ``weights``, if any,
        hold one number per group, in the order of the list or of increasing label.
    groups : array of int, or list of index arrays
        As for `GroupL2`; entries in no group are not penalised.

    Raises
    ------
    TypeError
        If ``penalty`` is no such penalty.
    ValueError
        If two groups share an entry, or the number of weights is wrong.

    Notes
    -----
    The proximal map scales each group so that its norm becomes the proximal point of that norm.
    Source: P. Breheny and J. Huang, Group descent algorithms for nonconvex penalized linear and
    logistic regression models with grouped predictors, 2015.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.GroupPenalty(wp.MCP(lam=1.0, gamma=3.0), [[0, 1], [2, 3]])
    >>> f.prox(np.array([3.0, 4.0, 0.3, 0.4]), 1.0)
    array([3., 4., 0., 0.])
    """

    penalty: SizePenalty
    groups: Any

    def __post_init__(self) -> None:
        if not isinstance(self.penalty, SizePenalty):
            raise TypeError(
                "GroupPenalty takes a penalty of sizes (L0, Lq, MCP, CEL0, SCAD, LogSum), got "
                f"{type(self.penalty).__name__}; for the group lasso take GroupL2"
            )
        count, weights = self._layout[2], self.penalty.weights
        if weights is not None and tuple(weights.shape) != (count,):
            raise ValueError(f"weights have shape {tuple(weights.shape)}, expected {(count,)}: one per group")

    @property
    def traits(self) -> Traits:
        t = self.penalty.traits
        return Traits(convex=t.convex, homogeneous=t.homogeneous, conjugate=t.conjugate)

    def __call__(self, x: Array) -> float:
        return self.penalty(self._sizes(x, self._numbers(x)))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        numbers = self._numbers(x)
        sizes = self._sizes(x, numbers)
        return self._resized(x, numbers, sizes, self.penalty._shrunk(sizes, step), ungrouped=1.0)

    def _resized(self, x: Array, numbers: Array, sizes: Array, wanted: Array, ungrouped: float) -> Array:
        """``x`` with groups of the ``wanted`` norms instead of ``sizes``."""
        xp = arrays.namespace(sizes)
        factors = wanted / xp.where(sizes > 0, sizes, xp.ones_like(sizes))
        # Adding 0 turns -0 into 0.
        return 0.0 + self._scaled(x, numbers, factors, ungrouped)

    def _conjugate(self, y: Array) -> float:
        numbers = self._numbers(y)
        if bool(arrays.namespace(y).any(self._free(y, numbers) != 0)):
            return math.inf
        return self.penalty._conjugate(self._sizes(y, numbers))

    def project_dual(self, y: Array) -> Array:
        numbers = self._numbers(y)
        sizes = self._sizes(y, numbers)
        return self._resized(y, numbers, sizes, self.penalty.project_dual(sizes), ungrouped=0.0)

    def dual_scale(self, y: Array) -> float:
        numbers = self._numbers(y)
        if bool(arrays.namespace(y).any(self._free(y, numbers) != 0)):
            return 0.0
        return self.penalty.dual_scale(self._sizes(y, numbers))

    def __str__(self) -> str:
        return f"GroupPenalty({self.penalty}, {self._layout[2]} groups)"
