r"""The sum-of-norms penalty of transport plans, with its duals in implicit form.

.. math:: \lambda \Big[\sum_{i<i'} R_{ii'} \|z_i - z_{i'}\|_2 + \sum_{j<j'} S_{jj'} \|w_j - w_{j'}\|_2\Big]

Rows are compared as shares, :math:`z_i = \bar a X_{i\cdot} / a_i` with :math:`\bar a` the mean of ``a``,
which for equal weights are the rows themselves; columns likewise. A dual vector of each pair would be more
numbers than memory holds: here they are all made from one array ``u``, as
``lambda R_ii' (u_i - u_i') / max(|u_i - u_i'|, mu)``, which is never too long, whatever ``u`` is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellposed.functionals.pairs import Flow, PairWeights
from wellposed.solvers.transport.pair_splitting import PairDuals, Side, linear_part

_SHRINK = 1 - 1e-9
"""Duals are made this much shorter than they may be, for the rounding of distances."""


@dataclass(frozen=True, eq=False)
class Anchors:
    """The arrays that the dual vectors of all pairs are made from, and the widths of the smoothing."""

    rows: np.ndarray
    columns: np.ndarray
    mu_rows: float
    mu_columns: float

    def times(self, cost: float) -> Anchors:
        """With costs in other units: directions have none."""
        return self


@dataclass(frozen=True)
class Slope:
    """The penalty at one plan: value, smoothed value, its gradient, a bound of the curvature."""

    value: float
    smooth: float
    gradient: np.ndarray
    curvature: float


@dataclass(frozen=True, eq=False)
class ClassPenalty:
    """Sum-of-norms penalty of the rows and the columns of a plan."""

    lam: float
    rows: PairWeights | None
    columns: PairWeights | None

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        """The value at a plan."""
        return self.slope(plan, a, b, 1.0, 1.0).value

    def slope(
        self, plan: np.ndarray, a: np.ndarray, b: np.ndarray, mu_rows: float, mu_columns: float
    ) -> Slope:
        """The penalty and its smoothed form at a plan."""
        value = smooth = curvature = 0.0
        gradient = np.zeros_like(plan)
        if self.rows is not None:
            s = (a.mean() / a)[:, None]
            flow = self.rows.flow(s * plan, mu_rows)
            value, smooth = value + flow.size, smooth + flow.smooth
            curvature += _curvature(self.rows, flow, mu_rows) * float(s.max()) ** 2
            gradient += s * flow.gradient
        if self.columns is not None:
            t = (b.mean() / b)[:, None]
            flow = self.columns.flow(t * plan.T, mu_columns)
            value, smooth = value + flow.size, smooth + flow.smooth
            curvature += _curvature(self.columns, flow, mu_columns) * float(t.max()) ** 2
            gradient += (t * flow.gradient).T
        gradient *= self.lam
        return Slope(self.lam * value, self.lam * smooth, gradient, self.lam * curvature)

    def sides(self, a: np.ndarray, b: np.ndarray) -> tuple[Side | None, Side | None]:
        """The pairs of rows and of columns with what makes shares of them."""
        rows = None if self.rows is None else Side(self.rows, a.mean() / a, self.lam)
        return rows, None if self.columns is None else Side(self.columns, b.mean() / b, self.lam)

    def pair_duals(self, anchors: Anchors, a: np.ndarray, b: np.ndarray) -> PairDuals:
        """The dual vectors of all pairs, written out."""
        rows, columns = self.sides(a, b)
        none = np.empty((0, 0))
        return PairDuals(
            none if rows is None else rows.implied(anchors.rows, anchors.mu_rows),
            none if columns is None else columns.implied(anchors.columns.T, anchors.mu_columns),
        )

    def linear_part(self, anchors: Anchors | PairDuals, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The matrix ``G`` of a dual point: ``<G, P>`` is at most the penalty at every ``P``."""
        if isinstance(anchors, PairDuals):
            return self._linear_part_of_pairs(anchors, a, b)
        total = np.zeros_like(anchors.rows)
        if self.rows is not None:
            total += (a.mean() / a)[:, None] * self.rows.flow(anchors.rows, anchors.mu_rows).gradient
        if self.columns is not None:
            flow = self.columns.flow(np.ascontiguousarray(anchors.columns.T), anchors.mu_columns)
            total += ((b.mean() / b)[:, None] * flow.gradient).T
        total *= self.lam * _SHRINK
        return total

    def _linear_part_of_pairs(self, duals: PairDuals, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        sides = self.sides(a, b)
        short = [
            given if side is None else side.shorten(given.copy())
            for side, given in zip(sides, (duals.rows, duals.columns), strict=True)
        ]
        return _SHRINK * linear_part(sides, PairDuals(*short), (len(a), len(b)))

    def anchors(
        self, plan: np.ndarray, a: np.ndarray, b: np.ndarray, mu_rows: float, mu_columns: float
    ) -> Anchors:
        """The dual point of the smoothed penalty at a plan."""
        return Anchors((a.mean() / a)[:, None] * plan, (b.mean() / b) * plan, mu_rows, mu_columns)

    def bound_with(
        self,
        cost: np.ndarray,
        a: np.ndarray,
        b: np.ndarray,
        f: np.ndarray,
        g: np.ndarray,
        dual: Anchors | PairDuals,
    ) -> float:
        """The dual value; the best ``g`` for ``f`` is taken."""
        total = cost + self.linear_part(dual, a, b)
        return float(f @ a + (total - f[:, None]).min(axis=0) @ b)

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        """The dual value with all duals of pairs 0."""
        return float(f @ a + (cost - f[:, None]).min(axis=0) @ b)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        """As without a penalty."""
        return np.asarray((cost - f[:, None]).min(axis=0))

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        """The value where each row, and each column, has one entry, and no two the same."""
        total = 0.0
        for side, weights in ((self.rows, a), (self.columns, b)):
            total += 0.0 if side is None else float(side.graph.sum() * weights.mean()) / 2**0.5
        return self.lam * total

    def __str__(self) -> str:
        pairs = sum(0 if side is None else side.pairs for side in (self.rows, self.columns))
        return f"sum of norms, lam = {self.lam:g}, {pairs} pairs"


def _curvature(graph: PairWeights, flow: Flow, mu: float) -> float:
    """Largest eigenvalue of the Laplacian that lies above the smoothed sum, and touches it here.

    Huber's function of a distance is concave in its square, so factors taken here serve everywhere.
    """
    if graph.constant_norm is not None:
        return min(2 * flow.degree, graph.constant_norm / mu)
    return 2 * flow.degree
