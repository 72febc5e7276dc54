"""Finite differences that wrap around."""

from __future__ import annotations

import math
from typing import Any

from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape


class PeriodicGradient(LinearOperator):
    r"""Forward differences of an array along each of its axes, from the last entry to the first.

    .. math:: (D x)_{k, i} = x_{i + e_k} - x_i \quad\text{with indices modulo the shape}

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, of any dimension.

    Notes
    -----
    The output has shape ``(ndim, *shape)``. The norm has a closed form:
    :math:`\|D\|^2 = \sum_k 4 \sin^2(\pi \lfloor n_k / 2 \rfloor / n_k)`. `Gradient` does not wrap around.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.PeriodicGradient((3,))(np.array([1.0, 4.0, 9.0]))
    array([[ 3.,  5., -8.]])
    """

    def __init__(self, shape: Any):
        shape = as_shape(shape, "shape")
        super().__init__(shape, (len(shape), *shape))

    def _apply(self, x: Array, out: Array) -> None:
        for k, axis in enumerate(self._axes()):
            first, last, near, far = axis
            component = out[k, ...]
            component[near] = x[far] - x[near]
            component[last] = x[first] - x[last]

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        out[...] = 0.0
        for k, axis in enumerate(self._axes()):
            first, last, near, far = axis
            component = y[k, ...]
            out[far] += component[near] - component[far]
            out[first] += component[last] - component[first]

    def _axes(self) -> list[tuple[tuple[slice, ...], ...]]:
        """Of each axis its first and its last entries, all but the last, and all but the first."""
        parts = (slice(0, 1), slice(-1, None), slice(None, -1), slice(1, None))
        whole = slice(None)
        ndim = len(self.domain_shape)
        return [tuple((*[whole] * k, part, *[whole] * (ndim - k - 1)) for part in parts) for k in range(ndim)]

    def gram_diagonal(self, weights: Array) -> Array:
        """The diagonal of ``D* C D`` for the diagonal matrix ``C`` of an array of weights.

        Parameters
        ----------
        weights : array
            Of the shape of the output.

        Returns
        -------
        array
            Of the shape of the input.
        """
        total = 0.0 * weights[0, ...]
        for k, (first, last, near, far) in enumerate(self._axes()):
            component = weights[k, ...]
            if self.domain_shape[k] > 1:
                total += component
                total[far] += component[near]
                total[first] += component[last]
        return total

    def _norm(self) -> float:
        return math.sqrt(sum(4 * math.sin(math.pi * (n // 2) / n) ** 2 for n in self.domain_shape))
