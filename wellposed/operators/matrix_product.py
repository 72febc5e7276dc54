"""A matrix applied to each column of another matrix."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix


class MatrixProduct(LinearOperator):
    r"""The product of a fixed matrix with a matrix: :math:`X \mapsto M X`, column by column.

    A batch of signals, one in each column, shares one dictionary or one measurement matrix.

    Parameters
    ----------
    matrix : array
        Real, of shape ``(m, n)``. A NumPy array serves inputs of every library and device.
    columns : int
        Number of columns of ``X``.

    Raises
    ------
    ValueError
        If ``matrix`` has not two axes, or entries that are not finite; if ``columns`` is not positive.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = wp.operators.MatrixProduct(np.array([[1.0, 2.0]]), columns=3)
    >>> A(np.arange(6.0).reshape(2, 3))
    array([[ 6.,  9., 12.]])
    """

    def __init__(self, matrix: Any, columns: int):
        matrix = arrays.as_floating(matrix, "matrix")
        self._one = DenseMatrix(matrix)
        rows, entries = self._one.shape
        super().__init__((entries, columns), (rows, columns))
        self._matrix = arrays.Constant(self._one.matrix)
        self.nonnegative = self._one.nonnegative

    @property
    def matrix(self) -> Array:
        """The matrix ``M``."""
        return self._one.matrix

    @property
    def data(self) -> tuple[Array, ...]:
        return self._one.data

    def _apply(self, x: Array, out: Array) -> None:
        _product(self._matrix.like(x), x, out)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        _product(self._matrix.like(y).T, y, out)

    def _norm(self) -> float:
        return self._one.norm()

    @property
    def has_solve_normal(self) -> bool:
        """Whether the matrix is in host memory and small enough to be decomposed."""
        return self._one.has_solve_normal

    def _solve_normal(self, tau: float, y: Array) -> Array:
        waves, gains = self._waves
        right, gain = waves.like(y), arrays.Constant(tau * gains / (1 + tau * gains)).like(y)
        return y - right.T @ (gain * (right @ y))

    @cached_property
    def _waves(self) -> tuple[arrays.Constant, np.ndarray]:
        """Right singular vectors as rows, and squares of the singular values as a column."""
        singular, right = self._one._decomposition
        return arrays.Constant(np.ascontiguousarray(right)), singular[:, None] ** 2

    def __repr__(self) -> str:
        rows, entries = self._one.shape
        return f"MatrixProduct({rows} x {entries}, {self.domain_shape[1]} columns)"


def _product(matrix: Array, x: Array, out: Array) -> None:
    if type(x) is np.ndarray:
        np.matmul(matrix, x, out=out)
    else:
        out[...] = matrix @ x
