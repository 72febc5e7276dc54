"""Sobolev norms: a data fit, a regulariser, and gradients in their inner products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.datafits import DataFit, check_real
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.operators._base import LinearOperator
from wellposed.operators._spectral import SpectralOperator, check_spectral, laplacian_eigenvalues
from wellposed.operators.sobolev import BesselPotential, FractionalLaplacian


@dataclass(frozen=True, eq=False)
class SobolevLeastSquares(DataFit):
    r"""Half the squared distance to the data in the Sobolev space :math:`H^s`.

    .. math:: f(x) = \tfrac12 \|A x - b\|_{H^s}^2 = \tfrac12 \|(I - \Delta)^{s/2} (A x - b)\|_2^2

    With ``s > 0`` it trusts the high frequencies of the data more, with ``s < 0`` less; ``s = 0`` is
    `LeastSquares`. For noise with a power spectrum like :math:`(1 + |\xi|^2)^r` take ``s = -r``.

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Real data, of the shape of the range of ``A``.
    s : float or Parameter
        Order, of either sign.
    boundary : {"periodic", "reflect"}
        Border rule of the Laplacian, on the grid of the data.
    axes : tuple of int, optional
        Axes of the Laplacian (default: all).
    spacing : float
        Distance between neighbours.
    symbol : {"differences", "frequencies"}
        See `wellposed.operators.BesselPotential`.

    Raises
    ------
    ValueError
        If shapes do not fit, data are not finite, or ``s`` is so large that weights overflow.

    Notes
    -----
    The scale of the term changes with ``s``: choose the weight of a regulariser anew for each. Without
    an operator ``prox`` and the conjugate
    :math:`\tfrac12 \|y\|_{H^{-s}}^2 + \langle y, b\rangle` have a closed form.
    Source: B. Zhu et al., Implicit regularization effects of the Sobolev norms in image processing,
    arXiv 2109.06255.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.SobolevLeastSquares(None, np.array([1.0, -1.0]), -2.0)
    >>> f(np.zeros(2)), wp.LeastSquares(None, np.array([1.0, -1.0]))(np.zeros(2))
    (0.04, 1.0)
    """

    s: float | Parameter
    boundary: str = "periodic"
    axes: tuple[int, ...] | None = None
    spacing: float = 1.0
    symbol: str = "differences"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        _ = self.potential

    @cached_property
    def potential(self) -> BesselPotential:
        r""":math:`(I - \Delta)^{s/2}` on the data."""
        order = current(self.s)
        if np.ndim(order) > 0:
            raise ValueError(f"s must be one number, got an array of shape {np.shape(order)}")
        return BesselPotential(
            tuple(self.b.shape),
            order,
            self.boundary,
            axes=self.axes,
            spacing=self.spacing,
            symbol=self.symbol,
        )

    @cached_property
    def _weights(self) -> arrays.Constant:
        return arrays.Constant(self.potential._eigenvalues.array**2)

    @cached_property
    def _inverse_weights(self) -> arrays.Constant:
        return arrays.Constant(1 / self._weights.array)

    def _weighted(self, u: Array) -> Array:
        return self.potential.filtered(u, self._weights)

    def _loss_traits(self) -> Traits:
        weights = self._weights.array
        return Traits(lipschitz=float(weights.max()), strong_convexity=float(weights.min()), quadratic=True)

    def _loss(self, u: Array) -> float:
        r = self.potential(u - self.b)
        return 0.5 * arrays.inner(r, r)

    def _slope(self, u: Array) -> Array:
        return self._weighted(u - self.b)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self._weighted(v) if self.A is None else self.A.apply_adjoint(self._weighted(self.A(v)))

    def _loss_parameter_product(self, u: Array, w: Array) -> dict[str, Any]:
        if not isinstance(self.s, Parameter):
            return {}
        weights = self._weights.array * np.log1p(_laplacian(self.potential))
        return {self.s.name: arrays.inner(self.potential.filtered(u - self.b, arrays.Constant(weights)), w)}

    def _loss_parameter_gradient(self, u: Array) -> dict[str, Any]:
        return {name: 0.5 * slope for name, slope in self._loss_parameter_product(u, u - self.b).items()}

    def _loss_prox(self, u: Array, step: Any) -> Array:
        return self.b + self.potential.solve_normal(_one_step(u, step, self), u - self.b)

    def _conjugate(self, y: Array) -> float:
        half = self.potential.filtered(y, self._inverse_weights)
        return 0.5 * arrays.inner(y, half) + arrays.inner(y, self.b)

    def _conjugate_gradient(self, y: Array) -> Array:
        return self.b + self.potential.filtered(y, self._inverse_weights)


@dataclass(frozen=True, eq=False)
class SobolevSeminorm(Functional):
    r"""Half the squared seminorm of the homogeneous Sobolev space, a quadratic regulariser.

    .. math:: f(x) = \tfrac12 \|(-\Delta)^{s/2} x\|_2^2

    ``s = 1`` is half the squared norm of the gradient, ``s = 2`` that of the Laplacian; constants cost
    nothing.

    Parameters
    ----------
    s : float or Parameter
        Order, positive.
    boundary : {"reflect", "periodic"}
        Border rule of the Laplacian.
    axes : tuple of int, optional
        Axes of the Laplacian (default: all); leave out a channel axis.
    spacing : float
        Distance between neighbours.
    symbol : {"differences", "frequencies"}
        See `wellposed.operators.BesselPotential`.

    Raises
    ------
    ValueError
        If ``s`` is not positive, or (on use) so large that weights overflow for the shape of ``x``.

    Notes
    -----
    ``prox`` divides the transform by :math:`1 + \mathrm{step}\, S^s` with the eigenvalues ``S`` of
    :math:`-\Delta`. The conjugate is :math:`\tfrac12 \|(-\Delta)^{-s/2} y\|^2` for ``y`` of mean zero
    (to rounding) along the axes, else infinite. The Lipschitz constant is ``traits_on(shape)``'s.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SobolevSeminorm(1.0)(np.array([0.0, 3.0, 3.0]))
    4.5
    """

    s: float | Parameter
    boundary: str = "reflect"
    axes: tuple[int, ...] | None = None
    spacing: float = 1.0
    symbol: str = "differences"

    def __post_init__(self) -> None:
        positive(self.s, "s of SobolevSeminorm")
        check_spectral(self.boundary, self.spacing, self.symbol)

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=math.inf, quadratic=True)

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        return SquaredL2(), self._root(shape)

    def _root(self, shape: Shape) -> FractionalLaplacian:
        order = float(current(self.s))
        return _fractional_laplacian(tuple(shape), order, self.boundary, self.axes, self.spacing, self.symbol)

    def __call__(self, x: Array) -> float:
        r = self._root(x.shape)(x)
        return 0.5 * arrays.inner(r, r)

    def gradient(self, x: Array) -> Array:
        K = self._root(x.shape)
        return K.filtered(x, arrays.Constant(K._eigenvalues.array**2))

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.gradient(v)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not isinstance(self.s, Parameter):
            return {}
        K = self._root(x.shape)
        eigenvalues = _laplacian(K)
        logs = np.log(np.where(eigenvalues > 0, eigenvalues, 1.0))
        return {self.s.name: arrays.inner(K.filtered(x, arrays.Constant(K._eigenvalues.array**2 * logs)), v)}

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return {name: 0.5 * slope for name, slope in self.parameter_product(x, x).items()}

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self._root(x.shape).solve_normal(_one_step(x, step, self), x)

    def _mean(self, y: Array) -> Array:
        return arrays.namespace(y).mean(y, axis=self._root(y.shape).axes, keepdims=True)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        rounding = 16 * arrays.epsilon(y) * float(xp.max(xp.abs(y)))
        if float(xp.max(xp.abs(self._mean(y)))) > rounding:
            return math.inf
        K = self._root(y.shape)
        eigenvalues = K._eigenvalues.array
        seen = eigenvalues > 0
        inverse = np.where(seen, 1 / np.where(seen, eigenvalues, 1.0), 0.0)
        r = K.filtered(y, arrays.Constant(inverse))
        return 0.5 * arrays.inner(r, r)

    def project_dual(self, y: Array) -> Array:
        return y - self._mean(y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return "SobolevSeminorm"


def sobolev_gradient(f: Functional, x: Array, r: float, boundary: str = "periodic") -> Array:
    r"""The gradient of a functional in the inner product of :math:`H^r`, a preconditioned gradient.

    .. math:: (I - \Delta)^{-r}\, \nabla f(x)

    Parameters
    ----------
    f : Functional
        Differentiable.
    x : array
    r : float
        Order: positive orders smooth the gradient.
    boundary : {"periodic", "reflect"}
        Border rule of the Laplacian.

    Returns
    -------
    array
        Of the shape of ``x``. For a convolution, steps along it on the least-squares fit are those
        along the plain gradient of ``SobolevLeastSquares(A, b, -r)``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.sobolev_gradient(wp.SquaredL2(), np.array([1.0, -1.0]), 1.0)
    array([ 0.2, -0.2])
    """
    slope = f.gradient(x)
    return BesselPotential(tuple(slope.shape), -2.0 * r, boundary)(slope)


@lru_cache(maxsize=8)
def _fractional_laplacian(
    shape: Shape, s: float, boundary: str, axes: tuple[int, ...] | None, spacing: float, symbol: str
) -> FractionalLaplacian:
    return FractionalLaplacian(shape, s, boundary, axes=axes, spacing=spacing, symbol=symbol)


def _laplacian(K: SpectralOperator) -> np.ndarray:
    """Eigenvalues of minus the Laplacian, on the grid of the transform of ``K``."""
    return laplacian_eigenvalues(K.domain_shape, K.axes, K.boundary, K.spacing, K.symbol)


def _one_step(x: Array, step: Any, f: Functional) -> float:
    """The step of a proximal map as one number."""
    step = step_for(x, step)
    if not isinstance(step, float):
        raise ValueError(f"the prox of {f} takes one step, got an array of shape {tuple(step.shape)}")
    return step
