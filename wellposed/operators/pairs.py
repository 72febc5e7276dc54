"""Differences of weighted pairs of rows or columns of a matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellposed.operators._host import HostOperator


class PairDifferences(HostOperator):
    r"""The differences :math:`x_i - x_k` of pairs of slices of a matrix: rows, or columns.

    Parameters
    ----------
    shape : tuple of int
        Of the matrix.
    first, second : array of int
        The two ends of each pair.
    axis : int
        0 for rows, 1 for columns.

    Raises
    ------
    ValueError
        If an end is outside the matrix.

    Notes
    -----
    Norm, in closed form: the square is at most the largest sum of the degrees of two joined slices.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> K = wp.operators.PairDifferences((3, 2), [0, 1], [1, 2])
    >>> K(np.array([[1.0, 2.0], [4.0, 4.0], [9.0, 9.0]]))
    array([[-3., -2.],
           [-5., -5.]])
    """

    def __init__(self, shape: tuple[int, int], first: Any, second: Any, axis: int = 0):
        from scipy.sparse import csr_array

        ends = [np.asarray(end, dtype=np.int64).reshape(-1) for end in (first, second)]
        if len(shape) != 2 or axis not in (0, 1):
            raise ValueError(f"PairDifferences takes a matrix and axis 0 or 1, got {shape} and axis {axis}")
        count, pairs = shape[axis], len(ends[0])
        if len(ends[1]) != pairs or pairs == 0:
            raise ValueError(
                f"pairs have two ends each, and there is at least one, got {pairs}, {len(ends[1])}"
            )
        if min(end.min() for end in ends) < 0 or max(end.max() for end in ends) >= count:
            raise ValueError(
                f"ends of pairs must be from 0 to {count - 1}, for shape {shape} along axis {axis}"
            )
        super().__init__(shape, (pairs, shape[1 - axis]))
        self.axis = axis
        places = (np.tile(np.arange(pairs), 2), np.concatenate(ends))
        signs = np.repeat([1.0, -1.0], pairs)
        self._incidence = csr_array((signs, places), shape=(pairs, count))
        degrees = np.bincount(places[1], minlength=count)
        self._bound = math.sqrt(float((degrees[ends[0]] + degrees[ends[1]]).max()))

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        out[...] = self._incidence @ (x.T if self.axis else x)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        made = self._incidence.T @ y
        out[...] = made.T if self.axis else made

    def _norm(self) -> float:
        return self._bound

    def __repr__(self) -> str:
        return f"PairDifferences({self.domain_shape}, {self.range_shape[0]} pairs, axis={self.axis})"
