"""The selected columns of an operator, orthogonalised, and what they leave of the data."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from wellposed import arrays
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, SparseMatrix
from wellposed.solvers.column_lengths import column_lengths
from wellposed.solvers.sequential_products import AHEAD, DRIFT, Products
from wellposed.solvers.thin_qr import ThinQR

DEPENDENT = 1e-10
"""Part of the squared length of a column that must be new for it to be selected."""

ROUNDING = 8.0
"""Rounding errors of a correlation, in units of that of its two factors."""


class Basis:
    """Features in the order of selection, with a thin QR factorisation of their columns.

    Parameters
    ----------
    K : LinearOperator
    targets : array of shape (rows, count)
        In double precision.
    like : array
        Of the kind and precision in which products with ``K`` are taken.
    capacity : int
        Features at most.
    """

    def __init__(self, K: LinearOperator, targets: np.ndarray, like: Any, capacity: int):
        self.K, self.like = K, like
        self.kind = arrays.to_host(like).dtype
        self.epsilon = float(np.finfo(self.kind).eps)
        self.support: list[int] = []
        self.barred = np.zeros(K.shape[1], bool)
        self.residual = targets.copy()
        self.norms = [float(np.linalg.norm(targets))]
        self._qr = ThinQR(capacity, np.zeros(len(targets)))
        self._along = np.zeros((capacity, targets.shape[1]))
        self._products: Products | None = None
        self._tracks = Products.pay(K, capacity)

    # --- products ---------------------------------------------------------------------------------

    def correlations(self, rest: np.ndarray) -> np.ndarray:
        """``K* rest``, of shape (features, count), and 0 for features that are barred."""
        found = np.stack([self._adjoint(r) for r in rest.T], axis=1)
        found[self.barred] = 0.0
        return found

    def pull(self) -> tuple[np.ndarray, np.ndarray]:
        """Correlations with the residual, and bounds of their errors; 0 for those that are computed anew."""
        if not self._tracks:
            return self.correlations(self.residual), np.zeros(self.K.shape[1])
        if self._products is None:
            start, capacity = self.correlations(self.residual), len(self._along)
            self._products = Products(self.K.matrix, self.lengths, start, capacity)  # type: ignore[attr-defined]
        found = self._resolved(self._products)
        if found is None:
            self._products.refresh(self.correlations(self.residual))
            self._tracks = self._products.useful
            found = self._products.pull, np.zeros(self.K.shape[1])
        # From what is usual to what is possible: rounding errors of all terms of a product of one sign.
        return found[0].copy(), found[1] * (1 + len(self.residual) / ROUNDING)

    def _resolved(self, products: Products) -> tuple[np.ndarray, np.ndarray] | None:
        """The correlations with those that could be the largest computed anew; ``None`` if these are many."""
        size, doubt = row_sizes(products.pull), products.doubt
        j = int(np.argmax(size))
        if doubt[j] > DRIFT * size[j]:
            return None
        doubt[self.barred] = 0.0
        if products.drift == 0:
            return products.pull, doubt
        close = np.flatnonzero(size + doubt >= size[j] - doubt[j])
        if len(close) > AHEAD:
            return None
        for i in close:
            products.pull[i] = self.column(int(i)) @ self.residual
            doubt[i] = 0.0
        return products.pull, doubt

    def _adjoint(self, r: np.ndarray) -> np.ndarray:
        given = arrays.from_host(r.astype(self.kind).reshape(self.K.range_shape), self.like)
        return arrays.to_host(self.K.apply_adjoint(given)).reshape(-1).astype(np.float64)

    def column(self, j: int) -> np.ndarray:
        """Of the operator, in double precision."""
        K = self.K
        if isinstance(K, DenseMatrix) and type(K.matrix) is np.ndarray:
            return np.asarray(K.matrix[:, j], dtype=np.float64)
        unit = np.zeros(K.shape[1], self.kind)
        unit[j] = 1
        if isinstance(K, SparseMatrix):
            return np.asarray(K.matrix @ unit, dtype=np.float64)
        column = K(arrays.from_host(unit.reshape(K.domain_shape), self.like))
        return arrays.to_host(column).reshape(-1).astype(np.float64)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Upper bounds of the lengths of all columns, but for rounding."""
        return column_lengths(self.K)

    def rounding(self, size: float, terms: float = 1.0) -> np.ndarray:
        """Errors of the correlations with a vector of that size; ``terms``: how many may add up."""
        return (ROUNDING + terms) * self.epsilon * self.lengths * size

    # --- the factorisation ------------------------------------------------------------------------

    def rest(self, column: np.ndarray) -> np.ndarray:
        """What the selected columns leave of a column, or 0 if it depends on them."""
        left = column
        for _ in range(2 if self.support else 0):
            left = left - self._qr.combination(self._qr.coefficients(left))
        new = float(left @ left) > DEPENDENT * float(column @ column)
        return left if new else 0.0 * left

    def add(self, j: int) -> bool:
        """Select a feature and refit; ``False`` if its column depends on those selected."""
        column = self.column(j)
        left, k = self._qr.append(column), len(self.support)
        self.barred[j] = True
        if not left**2 > DEPENDENT * float(column @ column):
            self._qr.count = k
            return False
        self.support.append(j)
        q = self._qr.last
        self._along[k] = q @ self.residual
        self.residual -= np.outer(q, self._along[k])
        # What is left along the columns by rounding would grow with their number.
        for t in range(self.residual.shape[1]):
            again = self._qr.coefficients(self.residual[:, t])
            self._along[: k + 1, t] += again
            self.residual[:, t] -= self._qr.combination(again)
        self.norms.append(float(np.linalg.norm(self.residual)))
        if self._tracks and self._products is not None:
            self._products.select(j, self.barred, self._qr.R[:, -1], self._along[k])
        return True

    def coefficients(self) -> np.ndarray:
        """Least squares on the selected features, of shape (features, count)."""
        x = np.zeros((self.K.shape[1], self._along.shape[1]))
        if self.support:
            x[self.support] = solve_triangular(self._qr.R, self._along[: len(self.support)])
        return x

    def least_norm(self) -> float:
        """The norm of the residual from which on it is rounding."""
        return ROUNDING * float(np.finfo(np.float64).eps) * math.sqrt(1 + len(self.support)) * self.norms[0]


def row_sizes(found: np.ndarray) -> np.ndarray:
    """Euclidean norms of the rows."""
    return np.abs(found[:, 0]) if found.shape[1] == 1 else np.asarray(np.linalg.norm(found, axis=1))


__all__ = ["Basis", "row_sizes"]
