"""Total variation, as it is and smoothed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.datafits import as_weights
from wellposed.functionals.norms import L1, L21
from wellposed.functionals.parameter import Parameter, positive
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient


@dataclass(frozen=True, eq=False)
class DifferencePenalty(Functional):
    """What total variation and its kin share: a norm of the forward differences of an image."""

    def _norm(self, axes: tuple[int, ...], weights: Array | None) -> Functional:
        """The norm of the differences, with those along ``axes`` joined for each pixel."""
        raise TypeError(f"{type(self).__name__} does not define its norm")

    def _options(self) -> tuple[Array | None, int | None]:
        """The weights and the channel axis."""
        return None, None

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        weights, channel_axis = self._options()
        ndim = len(shape)
        if channel_axis is not None and not -ndim <= channel_axis < ndim:
            raise ValueError(f"channel_axis={channel_axis} is not an axis of an image of shape {shape}")
        channel = None if channel_axis is None else channel_axis % ndim
        axes = tuple(k for k in range(ndim) if k != channel)
        if not axes:
            raise ValueError(
                f"an image of shape {shape} has no axis beside its channels to take differences along"
            )
        if weights is not None:
            spatial = tuple(shape[k] for k in axes)
            if tuple(weights.shape) != spatial:
                raise ValueError(f"weights have shape {tuple(weights.shape)}, the image has {spatial}")
            broadcast = (1, *(1 if k == channel else n for k, n in enumerate(shape)))
            weights = arrays.namespace(weights).reshape(weights, broadcast)
        return self._norm((0,) if channel is None else (0, channel + 1), weights), Gradient(shape, axes)

    def _outer(self, x: Array) -> tuple[Functional, LinearOperator]:
        f, D = self.factor(tuple(x.shape))
        assert D is not None
        return f, D

    def __call__(self, x: Array) -> float:
        f, D = self._outer(x)
        return f(D(x))


@dataclass(frozen=True, eq=False)
class TotalVariation(DifferencePenalty):
    r"""Sum over pixels of the size of the forward difference, which is 0 across the far edge.

    .. math:: \mathrm{TV}(x) = \sum_i w_i\, \|(D x)_i\|

    Parameters
    ----------
    isotropic : bool
        The norm of a difference is Euclidean (default), or else the sum of absolute values.
    weights : array, optional
        ``w >= 0`` of the shape of the image without its channel axis (space-variant TV).
    channel_axis : int, optional
        For colour: the Euclidean norm then joins all channels of a pixel (vectorial TV).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.TotalVariation()(np.array([[0.0, 3.0], [4.0, 0.0]]))
    12.0
    """

    isotropic: bool = True
    weights: Array | None = None
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True, prox=False, conjugate=False)

    def _options(self) -> tuple[Array | None, int | None]:
        return self.weights, self.channel_axis

    def _norm(self, axes: tuple[int, ...], weights: Array | None) -> Functional:
        return L21(axes, weights) if self.isotropic else L1(weights)

    def __str__(self) -> str:
        kind = "" if self.isotropic else "anisotropic "
        kind += "weighted " if self.weights is not None else ""
        return f"{kind}TotalVariation"


@dataclass(frozen=True, eq=False)
class SmoothedTotalVariation(DifferencePenalty):
    r"""Total variation, rounded off where the image is nearly flat; differentiable.

    .. math:: f(x) = \sum_i w_i \Big(\sqrt{\|(D x)_i\|^2 + \epsilon^2} - \epsilon\Big)

    It is 0 for constant images and at most ``eps * sum(w)`` below `TotalVariation`.

    Parameters
    ----------
    eps : float or Parameter
        Positive, in the units of ``x``: differences well below ``eps`` are penalised quadratically.
    isotropic : bool
        Differences at a pixel are joined in one Euclidean norm (default), or else each on its own.
    weights : array, optional
        ``w >= 0`` of the shape of the image without its channel axis.
    channel_axis : int, optional
        For colour: the Euclidean norm then joins all channels of a pixel.

    Raises
    ------
    ValueError
        If ``eps`` is not positive or a weight is negative.

    Notes
    -----
    The gradient has Lipschitz constant :math:`\|D\|^2 \max w / \epsilon`. It depends on the shape of
    the image: ``traits_on(shape)`` gives it.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SmoothedTotalVariation(0.5)(np.array([0.0, 1.2]))
    0.8
    """

    eps: float | Parameter
    isotropic: bool = True
    weights: Array | None = None
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        positive(self.eps, "eps of SmoothedTotalVariation")
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=math.inf, prox=False, conjugate=False)

    def _options(self) -> tuple[Array | None, int | None]:
        return self.weights, self.channel_axis

    def _norm(self, axes: tuple[int, ...], weights: Array | None) -> Functional:
        return SmoothedL21(self.eps, axes if self.isotropic else (), weights)

    def gradient(self, x: Array) -> Array:
        f, D = self._outer(x)
        return D.apply_adjoint(f.gradient(D(x)))

    def hessian_product(self, x: Array, v: Array) -> Array:
        f, D = self._outer(x)
        return D.apply_adjoint(f.hessian_product(D(x), D(v)))

    def __str__(self) -> str:
        return "SmoothedTotalVariation"
