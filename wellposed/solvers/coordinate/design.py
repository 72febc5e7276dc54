"""The matrix of a regression as coordinate descent needs it: its columns, and products with all of them.

With a free intercept the columns stand for what remains of them after their weighted means are taken
away; they are never written out like that, so that a sparse matrix stays sparse.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, SparseMatrix


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


Design = DenseDesign | SparseDesign


def design_of(K: LinearOperator, dtype: np.dtype[Any]) -> Design | None:
    """The design of a matrix in host memory, in a precision; ``None`` for other operators."""
    if isinstance(K, DenseMatrix) and type(K.matrix) is np.ndarray and not K.complex_domain:
        return DenseDesign(K._matrix.like(np.empty(0, dtype)))
    if isinstance(K, SparseMatrix):
        by_columns = scipy.sparse.csr_array(K._rows(dtype, True))
        if not by_columns.has_canonical_format:
            by_columns = by_columns.copy()
            by_columns.sum_duplicates()
        return SparseDesign(by_columns)
    return None
