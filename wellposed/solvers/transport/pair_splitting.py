r"""Primal-dual splitting for the sum-of-norms penalty of few pairs, whose dual vectors are kept.

With the differences :math:`K P` of all pairs of rows and columns the problem is
:math:`\min_P \max_Y \langle C + K^T Y, P\rangle` over plans ``P`` and pairs' vectors at most ``lambda``
times their weight long: A. Chambolle and T. Pock, A first-order primal-dual algorithm for convex problems
with applications to imaging, 2011, with the exact projection onto the plans. No norm is smoothed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed.functionals.pairs import PairWeights
from wellposed.kernels.pair_duals import advance_pairs, gather_pairs

STEP = 1.5
"""Length of the first steps over the size of plans and of duals; any positive value converges."""


@dataclass(frozen=True, eq=False)
class PairDuals:
    """A dual vector of each pair of rows, and of each pair of columns."""

    rows: np.ndarray
    columns: np.ndarray

    def times(self, cost: float) -> PairDuals:
        """With costs in other units."""
        return PairDuals(cost * self.rows, cost * self.columns)


@dataclass(frozen=True, eq=False)
class Side:
    """The pairs of rows of a matrix that are compared as shares."""

    pairs: PairWeights
    share: np.ndarray
    """What each row is multiplied with."""
    lam: float

    @cached_property
    def _ends(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pairs of each row in compressed rows, with the factors of the row in their differences."""
        from scipy.sparse import csr_array

        first, second, _ = self.pairs.edges
        count = len(first)
        values = np.concatenate([self.share[first], -self.share[second]])
        places = (np.concatenate([first, second]), np.tile(np.arange(count), 2))
        ends = csr_array((values, places), shape=(self.pairs.count, count))
        return ends.indptr.astype(np.int64), ends.indices.astype(np.int64), ends.data

    @cached_property
    def square(self) -> float:
        """A bound above the square of the norm of the differences."""
        first, second, _ = self.pairs.edges
        squares = np.bincount(first, minlength=self.pairs.count) + np.bincount(
            second, minlength=self.pairs.count
        )
        return float((squares[first] + squares[second]).max() * (self.share**2).max())

    @cached_property
    def longest(self) -> np.ndarray:
        """How long the dual vectors may be."""
        return np.asarray(self.lam * self.pairs.edges[2])

    def advance(self, duals: np.ndarray, plan: np.ndarray, sigma: float) -> None:
        """Add ``sigma`` times the differences of all pairs to their dual vectors, and shorten these."""
        first, second, _ = self.pairs.edges
        advance_pairs(first, second, self.share, self.longest, plan, sigma, duals)

    def together(self, duals: np.ndarray) -> np.ndarray:
        """The adjoint of the differences of all pairs."""
        total = np.empty((self.pairs.count, duals.shape[1]))
        gather_pairs(*self._ends, duals, total)
        return total

    def shorten(self, duals: np.ndarray) -> np.ndarray:
        """Dual vectors, in place, none longer than it may be."""
        lengths = np.sqrt(np.einsum("ij,ij->i", duals, duals))
        # The factor is 1 where a vector is short enough; weights of pairs are positive.
        duals *= (self.longest / np.maximum(lengths, self.longest))[:, None]
        return duals

    def implied(self, anchors: np.ndarray, mu: float) -> np.ndarray:
        """The dual vectors that are made from an array of anchors."""
        first, second, w = self.pairs.edges
        duals: np.ndarray = anchors[first] - anchors[second]
        lengths = np.sqrt(np.einsum("ij,ij->i", duals, duals))
        duals *= (self.lam * w / np.maximum(lengths, mu))[:, None]
        return duals


def split(
    sides: tuple[Side | None, Side | None],
    cost: np.ndarray,
    mass: float,
    plan: np.ndarray,
    duals: PairDuals,
    project: Callable[[np.ndarray], np.ndarray],
    look: Callable[[int, np.ndarray, PairDuals, np.ndarray], bool],
    every: int,
    max_iter: int,
) -> None:
    """Iterate until ``look`` is satisfied, or ``max_iter``.

    Every so many iterations it gets how many there have been, the plan, the duals, and their linear part.
    """
    n, m = cost.shape
    used = [side for side in sides if side is not None]
    square = sum(side.square for side in used)
    typical = mass / (n * m) ** 0.75
    longest = float(np.mean([side.longest.mean() for side in used]))
    tau = STEP * typical / (longest * square**0.5)
    sigma = 1 / (tau * square)
    x, (rows, columns) = plan, sides
    Y, Z = duals.rows.copy(), duals.columns.copy()
    G = linear_part(sides, duals, cost.shape)
    for k in range(1, max_iter + 1):
        new = project(x - tau * (cost + G))
        ahead = 2 * new - x
        x = new
        if rows is not None:
            rows.advance(Y, ahead, sigma)
        if columns is not None:
            columns.advance(Z, np.ascontiguousarray(ahead.T), sigma)
        G = linear_part(sides, PairDuals(Y, Z), cost.shape)
        if (k % every == 0 or k == max_iter) and look(k, x, PairDuals(Y.copy(), Z.copy()), G):
            return


def linear_part(
    sides: tuple[Side | None, Side | None], duals: PairDuals, shape: tuple[int, ...]
) -> np.ndarray:
    """The sum over all pairs of their dual vectors, as a matrix like the plan."""
    rows, columns = sides
    G = np.zeros(shape)
    if rows is not None:
        G += rows.together(duals.rows)
    if columns is not None:
        G += columns.together(duals.columns).T
    return G
