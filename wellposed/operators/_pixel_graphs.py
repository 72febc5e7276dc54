"""Weighted undirected graphs whose nodes are the pixels of an array: products with ``D - W``.

`Stencil` holds the weights of a regular neighbourhood, `Edges` those of any symmetric matrix. Both
store one number per weight and are read by the same code of `GraphLaplacian`.
"""

from __future__ import annotations

import copy
import itertools
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import Shape

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Stencil:
    """The neighbours within a distance in the maximum norm.

    Parameters
    ----------
    features : ndarray
        Channels first, then the shape of the image (at most three axes), divided by the width of
        the weights.
    radius : int
    spatial_sigma : float or None
        Width of the weights in pixels.
    """

    def __init__(self, features: np.ndarray, radius: int, spatial_sigma: float | None):
        from wellposed.kernels import graph

        self.shape: Shape = features.shape[1:]
        padded = (1,) * (3 - len(self.shape)) + self.shape
        self.offsets = _half_neighbourhood(padded, radius)
        distances = (self.offsets.astype(np.float64) ** 2).sum(axis=1)
        spatial = np.ones(len(distances)) if spatial_sigma is None else np.exp(-distances / spatial_sigma**2)
        weights = np.empty((len(self.offsets), *padded), features.dtype)
        if weights.size:
            channels = np.ascontiguousarray(features).reshape(-1, *padded)
            graph.stencil_weights(channels, self.offsets, spatial.astype(features.dtype), weights)
        self.weights = arrays.Constant(weights)

    def multiplied(self, factor: float) -> None:
        """Multiply all weights."""
        self.weights = arrays.Constant(self.weights.array * self.weights.array.dtype.type(factor))

    @cached_property
    def frobenius(self) -> float:
        """Frobenius norm of the matrix of weights, in which each weight stands twice."""
        return math.sqrt(2.0) * arrays.norm(self.weights.array)

    def degrees(self) -> np.ndarray:
        """The sum of the weights at each pixel."""
        from wellposed.kernels import graph

        weights = self.weights.array
        out = np.zeros(weights.shape[1:], weights.dtype)
        if weights.size:
            graph.stencil_degrees(weights, self.offsets, out)
        return out.reshape(self.shape)

    def product(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write ``(D - W) x`` of a host array into ``out``."""
        from wellposed.kernels import graph

        weights = self.weights.like(x)
        grid = weights.shape[1:]
        if weights.size:
            graph.stencil_product(weights, self.offsets, x.reshape(grid), out.reshape(grid))
        else:
            out[...] = 0

    def product_on_device(self, x: Array, out: Array) -> None:
        """The same from slices of whole arrays, in any library."""
        weights = self.weights.like(x)
        xp = arrays.namespace(x)
        wide = xp.reshape(x, tuple(weights.shape[1:]))
        total = xp.zeros_like(wide)
        for k, offset in enumerate(self.offsets):
            here, there = _overlap(tuple(wide.shape), offset)
            flow = weights[(k, *here)] * (wide[here] - wide[there])
            total[here] += flow
            total[there] -= flow
        out[...] = xp.reshape(total, self.shape)

    def squared(self) -> Stencil:
        """The graph with the squares of the weights."""
        made = copy.copy(self)
        made.weights = arrays.Constant(self.weights.array**2)
        return made

    def adjacency(self) -> csr_array:
        """The matrix of weights, on flattened pixels."""
        from scipy.sparse import coo_array, csr_array

        weights = self.weights.array
        nodes = np.arange(math.prod(self.shape)).reshape(weights.shape[1:])
        rows, columns, values = [], [], []
        for k, offset in enumerate(self.offsets):
            here, there = _overlap(nodes.shape, offset)
            rows.append(nodes[here].reshape(-1))
            columns.append(nodes[there].reshape(-1))
            values.append(weights[(k, *here)].reshape(-1))
        if not rows:
            return csr_array((nodes.size, nodes.size), dtype=weights.dtype)
        half = coo_array(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))),
            shape=(nodes.size, nodes.size),
        ).tocsr()
        return (half + half.T).tocsr()


class Edges:
    """A graph from a symmetric sparse matrix of weights, on flattened pixels."""

    def __init__(self, matrix: csr_array, shape: Shape):
        self.shape = shape
        self.columns = matrix.indices.astype(np.int64)
        self.starts = matrix.indptr.astype(np.int64)
        self.weights = arrays.Constant(matrix.data)

    def multiplied(self, factor: float) -> None:
        """Multiply all weights."""
        self.weights = arrays.Constant(self.weights.array * self.weights.array.dtype.type(factor))

    @cached_property
    def frobenius(self) -> float:
        """Frobenius norm of the matrix of weights."""
        return arrays.norm(self.weights.array)

    def squared(self) -> Edges:
        """The graph with the squares of the weights."""
        made = copy.copy(self)
        made.weights = arrays.Constant(self.weights.array**2)
        return made

    def degrees(self) -> np.ndarray:
        """The sum of the weights at each pixel."""
        return np.asarray(self.adjacency().sum(axis=1)).reshape(self.shape)

    def product(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write ``(D - W) x`` of a host array into ``out``."""
        from wellposed.kernels import graph

        weights = self.weights.like(x)
        graph.sparse_product(weights, self.columns, self.starts, x.reshape(-1), out.reshape(-1))

    def adjacency(self) -> csr_array:
        """The matrix of weights, on flattened pixels."""
        from scipy.sparse import csr_array

        nodes = math.prod(self.shape)
        return csr_array((self.weights.array, self.columns, self.starts), shape=(nodes, nodes))


def symmetric_adjacency(matrix: Any, nodes: int) -> csr_array:
    """A user's matrix of weights in compressed rows, without its diagonal, or an error."""
    from scipy import sparse

    if not sparse.issparse(matrix):
        matrix = arrays.numpy_view(arrays.as_floating(matrix, "the adjacency"))
    rows = sparse.csr_array(matrix)
    if rows.shape != (nodes, nodes):
        raise ValueError(f"an adjacency of {nodes} pixels has shape {(nodes, nodes)}, got {rows.shape}")
    rows = sparse.csr_array(
        (arrays.as_floating(rows.data, "the adjacency"), rows.indices, rows.indptr), rows.shape
    )
    arrays.check_finite(rows.data, "the adjacency")
    if rows.nnz and rows.data.min() < 0:
        raise ValueError(f"weights of a graph must be at least 0, the smallest is {rows.data.min():g}")
    rows = rows - sparse.diags_array(rows.diagonal(), format="csr")
    apart = abs(rows - rows.T)
    if apart.nnz and apart.max() > 8 * np.finfo(rows.dtype).eps * rows.max():
        raise ValueError("the adjacency is not symmetric: pass (W + W.T) / 2, or W.maximum(W.T)")
    rows = ((rows + rows.T) / 2).tocsr()
    rows.eliminate_zeros()
    rows.sort_indices()
    return rows


def nearest_neighbours(points: np.ndarray, neighbours: int) -> csr_array:
    """``exp(-|f_p - f_q|^2)`` where one of ``p`` and ``q`` is among the nearest of the other."""
    from scipy.sparse import csr_array
    from scipy.spatial import cKDTree

    nodes = len(points)
    distances, found = cKDTree(points).query(points, neighbours + 1)
    rows = np.repeat(np.arange(nodes), neighbours + 1)
    others = found.reshape(-1)
    # A point is not always the first of its own neighbours: others may stand in the same place.
    kept = others != rows
    weights = np.exp(-(distances.reshape(-1)[kept] ** 2))
    directed = csr_array((weights, (rows[kept], others[kept])), shape=(nodes, nodes))
    return directed.maximum(directed.T).astype(points.dtype).tocsr()


def _half_neighbourhood(shape: Shape, radius: int) -> np.ndarray:
    """Of each pair of opposite offsets within the radius the later one; none that leaves the array."""
    reach = [min(radius, n - 1) for n in shape]
    window = itertools.product(*(range(-r, r + 1) for r in reach))
    half = [offset for offset in window if offset > (0, 0, 0)]
    return np.array(half, dtype=np.int64).reshape(-1, 3)


def _overlap(shape: Shape, offset: np.ndarray) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a pixel and its neighbour at an offset are both in the array: the pixels, the neighbours."""
    here = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, offset.tolist(), strict=True))
    there = tuple(slice(max(0, d), n - max(0, -d)) for n, d in zip(shape, offset.tolist(), strict=True))
    return here, there
