"""The number of entries that are not zero."""

from __future__ import annotations

from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.size_penalties import SizePenalty, where_kept


@dataclass(frozen=True, eq=False)
class L0(SizePenalty):
    r"""Number of entries that are not zero.

    .. math:: f(x) = \sum_i w_i\, [x_i \ne 0]

    Parameters
    ----------
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex. ``prox`` is hard thresholding: entries of size at most :math:`\sqrt{2\,\mathrm{step}\,w}`
    become 0, the others stay. At the threshold both values are minimisers, and 0 is taken.
    Source: T. Blumensath and M. Davies, Iterative thresholding for sparse approximations, 2008.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.L0().prox(np.array([-3.0, 1.0, 2.0]), 1.0)
    array([-3.,  0.,  2.])
    """

    weights: Array | None = None

    def _penalty(self, size: Array) -> Array:
        return arrays.namespace(size).astype(size > 0, size.dtype)

    def _shrink(self, size: Array, t: Array) -> Array:
        xp = arrays.namespace(size)
        return where_kept(size > xp.sqrt(2 * t), size)
