"""Ridge regression with a Gaussian kernel, in its coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import Parameter, added, current, positive
from wellposed.operators.kernel_matrix import KernelMatrix, as_points


@dataclass(frozen=True, eq=False)
class KernelRidge(Functional):
    r"""The quadratic whose minimiser holds the coefficients of kernel ridge regression.

    .. math:: f(x) = \tfrac12 \langle x, K x\rangle + \tfrac{\lambda}{2} \|x\|^2 - \langle y, x\rangle, \qquad
        K_{ij} = e^{-\gamma \|p_i - p_j\|^2}

    Parameters
    ----------
    points : array
        ``p``, one in each row, in host memory.
    y : array
        What was observed there, of shape ``(number of points,)``.
    gamma, ridge : float or Parameter
        Positive: the width of the kernel (one over a squared distance) and ``lambda``.

    Raises
    ------
    ValueError
        If shapes do not fit, an entry is not finite, or a number is not positive.

    Notes
    -----
    The minimiser solves :math:`(K + \lambda I) x = y`. Its predictions at other points ``q`` are
    ``wellposed.operators.KernelMatrix(q, points, gamma)(x)``: with the same parameter ``gamma``, a loss such
    as ``LeastSquares(KernelMatrix(q, points, gamma), y_q)`` knows its derivative along ``gamma`` too.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.KernelRidge([[0.0], [1.0]], np.array([1.0, 1.0]), gamma=1.0, ridge=0.5)
    >>> f.gradient(np.array([1.0, 0.0]))
    array([ 0.5       , -0.63212056])
    """

    points: Array
    y: Array
    gamma: float | Parameter
    ridge: float | Parameter

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", as_points(self.points, "points"))
        object.__setattr__(self, "y", arrays.as_floating(self.y, "y"))
        arrays.check_finite(self.y, "y")
        if tuple(self.y.shape) != (len(self.points),):
            raise ValueError(f"y has shape {tuple(self.y.shape)}, but there are {len(self.points)} points")
        positive(self.gamma, "gamma of KernelRidge")
        positive(self.ridge, "ridge of KernelRidge")

    @cached_property
    def kernel(self) -> KernelMatrix:
        """``K``."""
        return KernelMatrix(self.points, self.points, self.gamma)

    @property
    def _lam(self) -> float:
        return float(current(self.ridge))

    @property
    def traits(self) -> Traits:
        return Traits(
            lipschitz=self.kernel.norm() + self._lam,
            strong_convexity=self._lam,
            quadratic=True,
            prox=False,
            conjugate=False,
        )

    @property
    def shape(self) -> Shape | None:
        return tuple(self.y.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.y,)

    def __call__(self, x: Array) -> float:
        return 0.5 * arrays.inner(x, self.hessian_product(x, x)) - arrays.inner(self.y, x)

    def gradient(self, x: Array) -> Array:
        return self.hessian_product(x, x) - self.y

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.kernel(v) + self._lam * v

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        of_ridge = {self.ridge.name: arrays.inner(x, v)} if isinstance(self.ridge, Parameter) else {}
        return added(self.kernel.parameter_product(x, v), of_ridge)

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return {name: 0.5 * slope for name, slope in self.parameter_product(x, x).items()}

    def __str__(self) -> str:
        return f"KernelRidge({len(self.points)} points)"
