"""The matrix of a Gaussian kernel between two sets of points, whose width can be a parameter."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator

if TYPE_CHECKING:
    from wellposed.functionals.parameter import Parameter


class KernelMatrix(LinearOperator):
    r"""The matrix of a Gaussian kernel: predictions at points from coefficients at centres.

    .. math:: (K x)_i = \sum_j e^{-\gamma \|p_i - c_j\|^2} x_j

    Parameters
    ----------
    points : array
        ``p``, of shape ``(m, d)``, in host memory.
    centres : array
        ``c``, of shape ``(n, d)``.
    gamma : float or Parameter
        Positive, in the units of one over the squared distance.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is not finite, or ``gamma`` is not positive.

    Notes
    -----
    The matrix is stored. A parameter ``gamma`` is learned where the operator stands in a data fit or behind
    ``f @ K``; within products and sums of operators it is a constant.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> K = wp.operators.KernelMatrix([[0.0], [1.0]], [[0.0], [2.0]], gamma=1.0)
    >>> K(np.array([1.0, 0.0]))
    array([1.        , 0.36787944])
    """

    def __init__(self, points: Any, centres: Any, gamma: float | Parameter):
        self.points, self.centres = as_points(points, "points"), as_points(centres, "centres")
        if self.points.shape[1] != self.centres.shape[1]:
            raise ValueError(
                f"points have {self.points.shape[1]} coordinates, centres have {self.centres.shape[1]}"
            )
        super().__init__((len(self.centres),), (len(self.points),))
        self.gamma: Any = gamma
        if not (math.isfinite(self._g) and self._g > 0):
            raise ValueError(f"gamma must be finite and positive, got {self._g}")
        self.nonnegative = True

    @property
    def _g(self) -> float:
        """The number itself: parameters live one room above the operators."""
        return float(self.gamma.value if self.parameters else self.gamma)

    @property
    def parameters(self) -> tuple[Any, ...]:
        return (self.gamma,) if hasattr(self.gamma, "with_value") else ()

    def with_parameters(self, values: dict[str, Any]) -> KernelMatrix:
        if not self.parameters or self.gamma.name not in values:
            return self
        return KernelMatrix(self.points, self.centres, self.gamma.with_value(values[self.gamma.name]))

    def parameter_product(self, x: Array, y: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        return {self.gamma.name: -arrays.inner(self._slope.like(x) @ x, y)}

    @cached_property
    def _squares(self) -> np.ndarray:
        from scipy.spatial.distance import cdist

        return np.asarray(cdist(self.points, self.centres, "sqeuclidean"))

    @cached_property
    def _matrix(self) -> arrays.Constant:
        return arrays.Constant(np.exp(-self._g * self._squares))

    @cached_property
    def _slope(self) -> arrays.Constant:
        """Minus the derivative of the matrix along ``gamma``."""
        return arrays.Constant(self._squares * self._matrix.array)

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = self._matrix.like(x) @ x

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        out[...] = self._matrix.like(y).T @ y

    def __repr__(self) -> str:
        return f"KernelMatrix({self.shape[0]} x {self.shape[1]})"


def as_points(points: Any, name: str) -> np.ndarray:
    """Points as the rows of a finite matrix in double precision."""
    rows = np.array(points, dtype=float)
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"{name} must have shape (number, dimensions), got {rows.shape}")
    arrays.check_finite(rows, name)
    return rows
