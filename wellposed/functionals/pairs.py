"""Sums of distances between pairs of rows: what they cost, and their smoothed form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.kernels.transport_pairs import pair_flow

if TYPE_CHECKING:
    from scipy.sparse import csr_array

GRAM_FROM = 15_000_000
"""Pairs times length of rows from which distances come from products of matrices."""


@dataclass(frozen=True, eq=False)
class PairWeights:
    """A symmetric graph of rows, without loops: weights at least 0 in compressed rows."""

    graph: csr_array

    @classmethod
    def of(cls, weights: Any, name: str) -> PairWeights:
        """From a symmetric matrix, dense or sparse (SciPy); its diagonal is left out."""
        from scipy.sparse import csr_array, issparse

        graph = csr_array(weights if issparse(weights) else _dense(weights, name))
        if graph.ndim != 2 or graph.shape[0] != graph.shape[1]:
            raise ValueError(f"{name} must be a square matrix, got shape {graph.shape}")
        graph = csr_array(graph.astype(np.float64))
        arrays.check_finite(graph.data, name)
        if graph.data.size and graph.data.min() < 0:
            raise ValueError(f"{name} must not be negative, its smallest entry is {graph.data.min():g}")
        difference = abs(graph - graph.T)
        if difference.nnz and difference.max() > 1e-9 * graph.data.max():
            raise ValueError(f"{name} must be symmetric: a pair has one weight; pass (w + w.T) / 2")
        graph.setdiag(0)
        graph.eliminate_zeros()
        graph.sort_indices()
        return cls(graph)

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.graph.shape[0])

    @property
    def pairs(self) -> int:
        """Pairs of positive weight."""
        return int(self.graph.nnz) // 2

    @property
    def density(self) -> float:
        """Pairs of positive weight over all pairs."""
        return float(self.graph.nnz) / max(self.count * (self.count - 1), 1)

    def of_rows(self, rows: np.ndarray) -> PairWeights:
        """The graph of some of the rows."""
        if len(rows) == self.count:
            return self
        return PairWeights(self.graph[rows][:, rows].tocsr())

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ends and weights of the pairs, the smaller end first."""
        from scipy.sparse import triu

        upper = triu(self.graph, 1).tocoo()
        return upper.row.astype(np.int64), upper.col.astype(np.int64), upper.data

    @cached_property
    def _compressed(self) -> tuple[np.ndarray, np.ndarray]:
        return self.graph.indptr.astype(np.int64), self.graph.indices.astype(np.int64)

    @cached_property
    def dense(self) -> np.ndarray:
        """The weights as a matrix."""
        return np.asarray(self.graph.toarray())

    @cached_property
    def components(self) -> np.ndarray:
        """The number of the connected component of each row."""
        from scipy.sparse.csgraph import connected_components

        return np.asarray(connected_components(self.graph, directed=False)[1])

    @cached_property
    def constant_norm(self) -> float | None:
        """The norm of the Laplacian if each component is complete and has one weight, else ``None``."""
        counts = np.bincount(self.components, minlength=1)
        degree = np.diff(self.graph.indptr)
        data = self.graph.data
        if not np.array_equal(degree, counts[self.components] - 1) or not data.size:
            return None
        return float(counts.max() * data[0]) if np.all(data == data[0]) else None

    def flow(self, z: np.ndarray, mu: float) -> Flow:
        """Value, smoothed value and its gradient at ``z``."""
        crowded = self.graph.nnz > 0.1 * self.count**2 and self.graph.nnz * z.shape[1] > GRAM_FROM
        return self._by_products(z, mu) if crowded else self._by_pairs(z, mu)

    def _by_pairs(self, z: np.ndarray, mu: float) -> Flow:
        z = np.ascontiguousarray(z)
        out, parts = np.empty_like(z), np.empty((3, len(z)))
        pair_flow(*self._compressed, self.graph.data, z, mu, out, parts[0], parts[1], parts[2])
        return Flow(float(parts[0].sum()), float(parts[1].sum()), out, float(parts[2].max(initial=0.0)))

    @cached_property
    def _parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The rows of each component that has a pair, and their weights as a matrix."""
        order = np.argsort(self.components, kind="stable")
        ends = np.cumsum(np.bincount(self.components))
        return [
            (rows, np.asarray(self.graph[rows][:, rows].toarray()))
            for rows in np.split(order, ends[:-1])
            if len(rows) > 1
        ]

    def _by_products(self, z: np.ndarray, mu: float) -> Flow:
        """Of one component after the other: no other rows are compared."""
        size = smooth = degree = 0.0
        out = np.zeros_like(z)
        for rows, weights in self._parts:
            part = _flow_of_all(np.ascontiguousarray(z[rows]), weights, mu)
            size, smooth, degree = size + part.size, smooth + part.smooth, max(degree, part.degree)
            out[rows] = part.gradient
        return Flow(size, smooth, out, degree)


@dataclass(frozen=True)
class Flow:
    """A sum of weighted distances of pairs of rows, at one point."""

    size: float
    """The sum itself."""
    smooth: float
    """With Huber's function of each distance, which is at most ``mu / 2`` per unit of weight below."""
    gradient: np.ndarray
    """Of the smoothed sum: ``sum_j w_ij (z_i - z_j) / max(d_ij, mu)``."""
    degree: float
    """Largest sum of the factors of a row; twice it bounds the curvature from here."""


def _flow_of_all(z: np.ndarray, w: np.ndarray, mu: float) -> Flow:
    """The flow of rows that nearly all have a weight with each other."""
    # Distances do not change when all rows are moved, and squares of small rows cancel less.
    centred = z - z.mean(axis=0)
    products = centred @ centred.T
    squares = np.diagonal(products).copy()
    products *= -2
    products += squares
    products += squares[:, None]
    np.maximum(products, 0.0, out=products)
    d = np.sqrt(products, out=products)
    size = 0.5 * float(np.vdot(w, d))
    reach = np.maximum(d, mu)
    # Huber's function is d - mu / 2 + (mu - d)_+^2 / (2 mu).
    lacking = np.subtract(reach, d, out=d)
    smooth = size - 0.25 * mu * float(w.sum())
    smooth += 0.25 / mu * float(np.einsum("ij,ij,ij->", w, lacking, lacking))
    factors = np.divide(w, reach, out=reach)
    degree = factors.sum(axis=1)
    out = degree[:, None] * centred - factors @ centred
    return Flow(size, smooth, out, float(degree.max()))


def _dense(weights: Any, name: str) -> np.ndarray:
    given = arrays.as_floating(weights, name)
    if len(given.shape) != 2:
        raise ValueError(f"{name} must be a square matrix, got shape {tuple(given.shape)}")
    return arrays.numpy_view(given)
