r"""Correlations with a residual that are kept up to date, for fewer passes over a large dense matrix.

With the orthonormal ``q`` of a new feature ``j``, the correlations change by multiples of

.. math:: X^T q_k = \Bigl(X^T x_j - \sum_{i < k} R_{ik} X^T q_i\Bigr) / R_{kk}

so :math:`X^T x_j` is all that is needed of the matrix. One pass gives it for several features at nearly the
cost of one, and those of the largest correlations are likely to be next.
"""

from __future__ import annotations

import numpy as np

from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix

AHEAD = 16
"""Features whose products are computed in one pass."""

LEAST_ENTRIES = 1 << 19
"""Of a matrix for which this pays."""

LEAST_ROWS = 8
"""Rows for each feature that is to be selected: with fewer, the sum costs as much as a pass."""

DRIFT = 1e-2
"""Error bound, relative to the largest correlation, from which on all are computed again."""

REFRESHES = 2
"""How often that may happen before the columns count as too close to dependent for this."""

ROUNDING = 8.0
"""Rounding errors of a product of columns, in units of that of its factors."""


class Products:
    """The correlations of all features, with a bound of their error.

    Parameters
    ----------
    matrix : array of shape (rows, features)
    lengths : array
        Of the columns.
    pull : array of shape (features, count)
        The correlations, as they are in the beginning.
    capacity : int
        Features that will be selected at most.
    """

    def __init__(self, matrix: np.ndarray, lengths: np.ndarray, pull: np.ndarray, capacity: int):
        self.matrix, self.lengths, self.pull = matrix, lengths, pull
        self.drift, self.refreshes = 0.0, 0
        self._along = np.empty((capacity, matrix.shape[1]))
        self._errors = np.zeros(capacity)
        self._fetched: dict[int, np.ndarray] = {}
        self._unit = ROUNDING * float(np.finfo(matrix.dtype).eps)

    @staticmethod
    def pay(K: LinearOperator, capacity: int) -> bool:
        """Whether the operator is a matrix for which this saves time."""
        rows, columns = K.shape
        dense = isinstance(K, DenseMatrix) and type(K.matrix) is np.ndarray
        return dense and rows * columns >= LEAST_ENTRIES and capacity * LEAST_ROWS <= rows

    @property
    def useful(self) -> bool:
        """Whether the error bound has stayed small for some time."""
        return self.refreshes <= REFRESHES

    @property
    def doubt(self) -> np.ndarray:
        """Bounds of the errors."""
        return self.drift * self.lengths

    def refresh(self, pull: np.ndarray) -> None:
        """Begin again from correlations that are computed as a whole."""
        self.pull, self.drift = pull, 0.0
        self.refreshes += 1

    def select(self, j: int, barred: np.ndarray, factor: np.ndarray, along: np.ndarray) -> None:
        """Take a feature into account.

        Parameters
        ----------
        j : int
        barred : array of bool
            Features that will not be selected.
        factor : array
            The last column of ``R``.
        along : array of shape (count,)
            What the residual loses along ``q``.
        """
        if j not in self._fetched:
            self._fetch(j, barred)
        k = len(factor) - 1
        row = self._along[k]
        np.dot(-factor[:k], self._along[:k], out=row)
        row += self._fetched.pop(j)
        row /= factor[k]
        inherited = float(np.abs(factor[:k]) @ self._errors[:k])
        self._errors[k] = (self._unit * float(self.lengths[j]) + inherited) / factor[k]
        self.pull -= np.outer(row, along)
        self.pull[barred] = 0.0
        self.drift += float(self._errors[k] * np.linalg.norm(along))

    def _fetch(self, j: int, barred: np.ndarray) -> None:
        size = np.linalg.norm(self.pull, axis=1)
        size[barred] = -1.0
        size[list(self._fetched)] = -1.0
        count = min(AHEAD - 1, len(size) - 1)
        likely = np.argpartition(-size, count)[:count]
        wanted = [j, *(int(i) for i in likely if size[i] > 0 and i != j)]
        products = np.asfortranarray(self.matrix[:, wanted]).T @ self.matrix
        self._fetched |= dict(zip(wanted, products, strict=True))


__all__ = ["Products"]
