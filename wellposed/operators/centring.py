"""The operator that takes the mean away."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator


class Centring(LinearOperator):
    r"""Subtraction of the mean, :math:`x - \frac{\langle w, x\rangle}{\langle w, 1\rangle} 1`.

    A least squares fit with a free intercept is a fit of centred data by centred predictions.

    Parameters
    ----------
    shape : tuple of int
    weights : array, optional
        ``w >= 0`` of that shape, not all 0; the plain mean by default.

    Raises
    ------
    ValueError
        If weights are negative or not finite, all 0, or of another shape.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.Centring((3,))(np.array([1.0, 2.0, 6.0]))
    array([-2., -1.,  3.])
    """

    def __init__(self, shape: Any, weights: Array | None = None):
        super().__init__(shape, shape)
        self._weights: arrays.Constant | None = None
        self.mass = float(math.prod(self.domain_shape))
        if weights is None:
            return
        weights = arrays.as_floating(weights, "weights")
        arrays.check_finite(weights, "weights")
        xp = arrays.namespace(weights)
        if tuple(weights.shape) != self.domain_shape:
            raise ValueError(
                f"weights have shape {tuple(weights.shape)}, the operator takes {self.domain_shape}"
            )
        self.mass = arrays.total(weights)
        if bool(xp.any(weights < 0)) or not self.mass > 0:
            raise ValueError("the weights of a mean must be at least 0 and not all 0")
        self._weights = arrays.Constant(weights)

    @property
    def weights(self) -> Array | None:
        """``w``, or ``None`` for the plain mean."""
        return None if self._weights is None else self._weights.array

    @property
    def data(self) -> tuple[Array, ...]:
        if self._weights is None or type(self._weights.array) is np.ndarray:
            return ()
        return (self._weights.array,)

    def mean(self, x: Array) -> float:
        """The mean that is subtracted."""
        return (
            arrays.total(x) if self._weights is None else arrays.inner(self._weights.like(x), x)
        ) / self.mass

    def _apply(self, x: Array, out: Array) -> None:
        centred = x - self.mean(x)
        # In single precision the mean of far-off data has an error that what is left can see.
        out[...] = centred - self.mean(centred)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        share = arrays.total(y) / self.mass
        out[...] = y - (share if self._weights is None else share * self._weights.like(y))

    def _norm(self) -> float:
        if self._weights is None:
            return 1.0
        # I - P and P have one norm for every projection P, here 1 w^T / <w, 1>.
        w = self._weights.array
        return math.sqrt(math.prod(self.domain_shape)) * arrays.norm(w) / self.mass

    def __repr__(self) -> str:
        return f"Centring({self.domain_shape})"
