"""Total variation, as it is and smoothed."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.datafits import as_weights, learnable_weights
from wellposed.functionals.norms import L1, L21
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.functionals.smoothed_planes import SmoothedPlanes
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient

PROX_GAP = {"float64": 1e-6, "float32": 1e-5}
PROX_ITERATIONS = 20_000


@dataclass(frozen=True, eq=False)
class DifferencePenalty(Functional):
    """What total variation and its kin share: a norm of the forward differences of an image."""

    def _norm(self, axes: tuple[int, ...], weights: Any) -> Functional:
        """The norm of the differences, with those along ``axes`` joined for each pixel."""
        raise TypeError(f"{type(self).__name__} does not define its norm")

    def _options(self) -> tuple[Any, int | None]:
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
            w = current(weights)
            w = arrays.namespace(w).reshape(w, broadcast)
            weights = weights.with_value(w) if isinstance(weights, Parameter) else w
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

    Notes
    -----
    ``prox`` is total variation denoising (Rudin, Osher and Fatemi, 1992), for images in host memory with
    up to three axes beside the channels. It is an iteration: it ends at a relative duality gap of 1e-6
    (1e-5 in float32), so that half the squared distance to the exact point is at most that part of
    the minimal value, and it warns with the gap that was reached if its iterations do not suffice.
    For arrays of one axis it is exact (dynamic programming), in time proportional to their length.
    The trait ``prox`` stays False, since solvers do better with the splitting of `factor`.

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
        if not isinstance(self.isotropic, bool):
            raise TypeError(
                f"isotropic is True or False, got {self.isotropic!r}; "
                "a weight stands in front: 0.1 * TotalVariation()"
            )
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True, prox=False, conjugate=False)

    def _options(self) -> tuple[Array | None, int | None]:
        return self.weights, self.channel_axis

    def _norm(self, axes: tuple[int, ...], weights: Array | None) -> Functional:
        return L21(axes, weights) if self.isotropic else L1(weights)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        x = arrays.as_floating(x, "the input of TotalVariation.prox")
        self.factor(tuple(x.shape))
        step = step_for(x, step)
        if not isinstance(step, float):
            raise ValueError(f"TotalVariation.prox takes one step, got an array of shape {tuple(step.shape)}")
        if len(x.shape) - (self.channel_axis is not None) > 3:
            raise ValueError(f"TotalVariation.prox takes up to three axes, got an image of {tuple(x.shape)}")
        weights = None if self.weights is None else arrays.numpy_view(self.weights)
        if len(x.shape) == 1:
            return arrays.from_numpy(_denoise_line(arrays.numpy_view(x), step, weights), like=x)
        host = _denoise(arrays.numpy_view(x), step, weights, self.isotropic, self.channel_axis)
        return arrays.from_numpy(host, like=x)

    def __str__(self) -> str:
        kind = "" if self.isotropic else "anisotropic "
        kind += "weighted " if self.weights is not None else ""
        return f"{kind}TotalVariation"


def _denoise_line(b: np.ndarray, lam: float, weights: np.ndarray | None) -> np.ndarray:
    """Exact denoising of a line; sums along it are taken in double precision."""
    from wellposed.kernels.tv_line import denoise

    if b.size < 2:
        return b.copy()
    w = np.full((1, b.size - 1), lam)
    if weights is not None:
        w[0] *= weights[:-1]
    x = np.empty((1, b.size))
    denoise(np.ascontiguousarray(b[None], np.float64), w, x)
    return np.asarray(x[0], b.dtype)


def _denoise(
    b: np.ndarray, lam: float, weights: np.ndarray | None, isotropic: bool, channel_axis: int | None
) -> np.ndarray:
    from wellposed.kernels.tv import rof

    channels = channel_axis is not None
    first = b if channel_axis is None else np.moveaxis(b, channel_axis, 0)
    wanted = PROX_GAP[b.dtype.name]
    x, _, upper, lower, steps = rof(
        np.ascontiguousarray(first),
        lam,
        weights,
        isotropic,
        tol=wanted,
        max_iter=PROX_ITERATIONS,
        channels=channels,
    )
    if upper - lower > wanted * upper:
        warnings.warn(
            f"TotalVariation.prox stopped after {steps} iterations at a relative duality gap of "
            f"{(upper - lower) / upper:.1e}, above {wanted:.0e}; wellposed.minimize takes a tolerance",
            RuntimeWarning,
            stacklevel=4,
        )
    return x if channel_axis is None else np.ascontiguousarray(np.moveaxis(x, 0, channel_axis))


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
    weights : array or Parameter, optional
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
    weights: Array | Parameter | None = None
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        positive(self.eps, "eps of SmoothedTotalVariation")
        object.__setattr__(self, "weights", learnable_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=math.inf, prox=False, conjugate=False)

    def _options(self) -> tuple[Array | Parameter | None, int | None]:
        return self.weights, self.channel_axis

    def _norm(self, axes: tuple[int, ...], weights: Array | Parameter | None) -> Functional:
        return SmoothedL21(self.eps, axes if self.isotropic else (), weights)

    def gradient(self, x: Array) -> Array:
        f, D = self._outer(x)
        loops = SmoothedPlanes.of(f, D, x)
        return loops.gradient(x) if loops else D.apply_adjoint(f.gradient(D(x)))

    def hessian_product(self, x: Array, v: Array) -> Array:
        f, D = self._outer(x)
        loops = SmoothedPlanes.of(f, D, x)
        return loops.hessian_product(x, v) if loops else D.apply_adjoint(f.hessian_product(D(x), D(v)))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        f, D = self._outer(x)
        if isinstance(self.eps, Parameter) and not isinstance(self.weights, Parameter):
            loops = SmoothedPlanes.of(f, D, x)
            if loops:
                return {self.eps.name: loops.along_eps(x, v)}
        return self._in_shape(f.parameter_product(D(x), D(v)))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        f, D = self._outer(x)
        return self._in_shape(f.parameter_gradient(D(x)))

    def _in_shape(self, derivatives: dict[str, Any]) -> dict[str, Any]:
        """Derivatives with respect to weights of the image's shape; those of the norm have one axis more."""
        return {
            p.name: np.reshape(derivatives[p.name], p.shape) if p.shape else derivatives[p.name]
            for p in self.parameters
        }

    def __str__(self) -> str:
        return "SmoothedTotalVariation"
