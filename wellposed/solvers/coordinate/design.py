"""The matrix of a regression as coordinate descent needs it: its columns, and products with all of them.

With a free intercept the columns stand for what remains of them after their weighted means are taken
away; they are never written out like that, so that a sparse matrix stays sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, SparseMatrix
from wellposed.operators.matrix_product import MatrixProduct

HEAVY = 1 << 20
"""Stored entries from which a product with all columns costs much more than bookkeeping does."""

FULL = 64
"""Stored entries per column of a sparse matrix from which it does."""


@dataclass(frozen=True, eq=False)
class DenseDesign:
    """A matrix in memory."""

    X: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.X.shape[0], self.X.shape[1]

    def correlate(self, y: np.ndarray) -> np.ndarray:
        """``X.T @ y``."""
        return np.asarray(self.X.T @ y)

    def columns(self, index: np.ndarray) -> np.ndarray:
        """Some columns, as the rows of an array."""
        return np.ascontiguousarray(self.X.T[index])

    def combine(self, index: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``X[:, index] @ x``."""
        return np.asarray(x @ self.columns(index))

    @property
    def heavy(self) -> bool:
        """Whether products with some of the columns are worth choosing them."""
        return self.X.size >= HEAVY and self.X.flags.f_contiguous

    def correlate_some(self, y: np.ndarray, index: np.ndarray, others: np.ndarray) -> np.ndarray:
        """``others`` with the entries ``index`` of ``X.T @ y`` put in."""
        from wellposed.kernels.coordinate_pricing import some_products

        products = others.copy()
        some_products(self.X.T, y, index, products)
        return products

    def correlate_and_measure(self, y: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
        """``X.T @ y``, and the lengths of the columns, in one pass over the matrix."""
        from wellposed.kernels.coordinate_pricing import products_and_sizes

        products, sums, squares = np.empty((3, self.shape[1]), self.X.dtype)
        products_and_sizes(self.X.T, y, products, sums, squares)
        return products, _spread(squares, sums, self.shape[0], centred)


@dataclass(frozen=True, eq=False)
class SparseDesign:
    """A sparse matrix by columns: the transpose of ``by_columns`` is the matrix."""

    by_columns: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.by_columns.shape[1], self.by_columns.shape[0]

    def correlate(self, y: np.ndarray) -> np.ndarray:
        """``X.T @ y``."""
        return np.asarray(self.by_columns @ y)

    def columns(self, index: np.ndarray) -> Any:
        """Some columns, as the rows of a sparse array."""
        return self.by_columns[index]

    def combine(self, index: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``X[:, index] @ x``."""
        return np.asarray(x @ self.columns(index))

    @property
    def heavy(self) -> bool:
        """As `DenseDesign.heavy`."""
        return bool(self.by_columns.nnz >= max(HEAVY, FULL * self.shape[1]))

    def correlate_some(self, y: np.ndarray, index: np.ndarray, others: np.ndarray) -> np.ndarray:
        """As `DenseDesign.correlate_some`."""
        products = others.copy()
        products[index] = self.by_columns[index] @ y
        return products

    def correlate_and_measure(self, y: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
        """As `DenseDesign.correlate_and_measure`."""
        squares = np.asarray((self.by_columns * self.by_columns).sum(axis=1)).reshape(-1)
        sums = np.asarray(self.by_columns.sum(axis=1)).reshape(-1)
        return self.correlate(y), _spread(squares, sums, self.shape[0], centred)


@dataclass(frozen=True, eq=False)
class ClassDesign:
    """Features that give one score per class: coefficient ``j * classes + k`` is that of feature ``j``."""

    features: DenseDesign | SparseDesign
    classes: int

    @property
    def shape(self) -> tuple[int, int]:
        """Scores and coefficients."""
        rows, columns = self.features.shape
        return rows * self.classes, columns * self.classes

    def correlate(self, y: np.ndarray) -> np.ndarray:
        """As `DenseDesign.correlate`."""
        return self.features.correlate(y.reshape(-1, self.classes)).reshape(-1)

    def columns(self, index: np.ndarray) -> Any:
        """Some features, as the rows of an array."""
        return self.features.columns(index)

    def combine(self, index: np.ndarray, x: np.ndarray) -> np.ndarray:
        """As `DenseDesign.combine`."""
        feature, kind = np.divmod(index, self.classes)
        used, place = np.unique(feature, return_inverse=True)
        rows = np.zeros((self.classes, len(used)), x.dtype)
        rows[kind, place] = x
        return self.features.combine(used, rows).T.reshape(-1)

    @property
    def heavy(self) -> bool:
        """As `DenseDesign.heavy`."""
        return self.features.heavy

    def correlate_some(self, y: np.ndarray, index: np.ndarray, others: np.ndarray) -> np.ndarray:
        """As `DenseDesign.correlate_some`."""
        feature, kind = np.divmod(index, self.classes)
        used, place = np.unique(feature, return_inverse=True)
        products = others.copy()
        products[index] = (self.columns(used) @ y.reshape(-1, self.classes))[place, kind]
        return products

    def correlate_and_measure(self, y: np.ndarray, centred: bool) -> tuple[np.ndarray, np.ndarray]:
        """As `DenseDesign.correlate_and_measure`."""
        one = np.zeros(self.features.shape[0], y.dtype)
        lengths = self.features.correlate_and_measure(one, centred)[1]
        return self.correlate(y), np.repeat(lengths, self.classes)


def _spread(square: np.ndarray, total: np.ndarray, count: int, centred: bool) -> np.ndarray:
    """Lengths of columns from sums of their entries and squares, without their means if ``centred``."""
    if centred:
        noise = 8 * count * np.finfo(square.dtype).eps
        square = np.maximum(square - total**2 / count, 0) + noise * square
    return np.asarray(np.sqrt(square))


Design = DenseDesign | SparseDesign | ClassDesign


def design_of(K: LinearOperator, dtype: np.dtype[Any]) -> Design | None:
    """The design of a matrix in host memory, in a precision; ``None`` for other operators."""
    if isinstance(K, MatrixProduct):
        features = design_of(K._one, dtype)
        return None if not isinstance(features, DenseDesign) else ClassDesign(features, K.domain_shape[1])
    if isinstance(K, DenseMatrix) and type(K.matrix) is np.ndarray and not K.complex_domain:
        return DenseDesign(K._matrix.like(np.empty(0, dtype)))
    if isinstance(K, SparseMatrix):
        # The import takes longer than many a dense problem.
        import scipy.sparse

        by_columns = scipy.sparse.csr_array(K._rows(dtype, True))
        if not by_columns.has_canonical_format:
            by_columns = by_columns.copy()
            by_columns.sum_duplicates()
        return SparseDesign(by_columns)
    return None
