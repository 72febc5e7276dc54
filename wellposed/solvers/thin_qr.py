"""Thin QR factorisation of a matrix that grows by columns, the columns being whole arrays."""

from __future__ import annotations

import math

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array

NEGLIGIBLE = 16.0
"""A column with less than this many rounding errors of its length left is in the span of the others."""

NEARLY_ORTHOGONAL = 0.7
"""A column that keeps this share of its length has been orthogonal to the others but for rounding."""


class ThinQR:
    """``B = Q R`` with room for a fixed number of columns.

    Parameters
    ----------
    capacity : int
        Columns at most.
    like : array
        Of the kind, precision and shape of a column.
    """

    def __init__(self, capacity: int, like: Array):
        self.shape = tuple(like.shape)
        self._rows = arrays.empty((capacity, math.prod(self.shape)), like)
        self._factor = np.zeros((capacity, capacity))
        self.count = 0

    @property
    def R(self) -> np.ndarray:
        """The triangular factor, in double precision."""
        return self._factor[: self.count, : self.count]

    @property
    def last(self) -> Array:
        """The last column of ``Q``."""
        return arrays.namespace(self._rows).reshape(self._rows[self.count - 1], self.shape)

    def append(self, column: Array) -> float:
        """Add a column; what is left of its length beside the others (0 where that is rounding)."""
        k, rest = self.count, arrays.namespace(column).reshape(column, (-1,))
        size, above = arrays.norm(rest), np.zeros(k)
        # Once leaves rounding errors of the size of what was taken away; twice is enough (Kahan).
        left = before = size
        for _ in range(2 if k else 0):
            along = self._rows[:k] @ rest
            rest = rest - along @ self._rows[:k]
            above += arrays.to_host(along)
            left, before = arrays.norm(rest), left
            if left > NEARLY_ORTHOGONAL * before:
                break
        left = left if left > NEGLIGIBLE * arrays.epsilon(column) * size else 0.0
        self._rows[k, ...] = rest / left if left > 0 else 0.0 * rest
        self._factor[:k, k], self._factor[k, k] = above, left
        self.count = k + 1
        return left

    def coefficients(self, column: Array) -> np.ndarray:
        """``Q* column``."""
        flat = arrays.namespace(column).reshape(column, (-1,))
        return np.asarray(arrays.to_host(self._rows[: self.count] @ flat), dtype=np.float64)

    def combination(self, weights: np.ndarray) -> Array:
        """``Q weights``."""
        rows = self._rows[: self.count]
        precision = np.float32 if arrays.epsilon(rows) > 1e-10 else np.float64
        row = arrays.from_host(weights.astype(precision), rows)
        return arrays.namespace(rows).reshape(row @ rows, self.shape)
