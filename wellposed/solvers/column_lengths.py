"""Lengths of the columns of an operator, where they can be read off a matrix."""

from __future__ import annotations

import numpy as np

from wellposed.operators._base import LinearOperator
from wellposed.operators.algebra import Composition
from wellposed.operators.centring import Centring
from wellposed.operators.matrices import DenseMatrix, SparseMatrix
from wellposed.operators.matrix_product import MatrixProduct


def column_lengths(K: LinearOperator) -> np.ndarray:
    """Upper bounds of the lengths of all columns, but for rounding; flat, in double precision.

    Those of a real matrix are its own, also where what it gives is centred. Any other operator has its norm
    for all of them.
    """
    if isinstance(K, Composition) and isinstance(K.outer, Centring):
        return np.asarray(K.outer.norm() * column_lengths(K.inner))
    if isinstance(K, DenseMatrix | MatrixProduct) and type(K.matrix) is np.ndarray and not K.complex_range:
        squares = np.einsum("ij,ij->j", K.matrix, K.matrix, dtype=np.float64)
        return np.repeat(np.sqrt(squares), K.shape[1] // len(squares))
    if isinstance(K, SparseMatrix):
        matrix = K.matrix.astype(np.float64)
        return np.asarray(np.sqrt(matrix.multiply(matrix).sum(axis=0)), dtype=np.float64).reshape(-1)
    return np.full(K.shape[1], K.norm())


__all__ = ["column_lengths"]
