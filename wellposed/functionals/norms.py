"""Norms and their squares: L1, squared L2, and the sum of Euclidean norms along axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for
from wellposed.functionals.datafits import as_weights


@dataclass(frozen=True, eq=False)
class L1(Functional):
    r"""Sum of absolute values.

    .. math:: f(x) = \sum_i w_i |x_i|

    Parameters
    ----------
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    ``prox`` is soft thresholding; the conjugate is the indicator of ``|y_i| <= w_i``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.L1().prox(np.array([-3.0, 0.5, 2.0]), 1.0)
    array([-2.,  0.,  1.])
    """

    weights: Array | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(separable=True, homogeneous=True)

    def _w(self, like: Array) -> Any:
        return 1.0 if self.weights is None else arrays.as_namespace(self.weights, like, "weights")

    def __call__(self, x: Array) -> float:
        return arrays.total(self._w(x) * arrays.namespace(x).abs(x))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        threshold = step_for(x, step) * self._w(x)
        if arrays.is_complex(x):
            size = xp.abs(x)
            return x * (
                xp.where(size > threshold, size - threshold, 0.0 * size) / xp.where(size > 0, size, size + 1)
            )
        return x - xp.clip(x, -threshold, threshold)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        return math.inf if bool(xp.any(xp.abs(y) > self._w(y))) else 0.0

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        w = self._w(y)
        if arrays.is_complex(y):
            return shrink(y, xp.abs(y), w)
        # A multiple of this point, divided again, must not leave the domain by rounding.
        w = w * (1 - 4 * float(xp.finfo(y.dtype).eps))
        return xp.clip(y, -w, w)

    def _conjugate_prox(self, y: Array, step: Any) -> Array:
        return self.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        return scale_into(y, arrays.namespace(y).abs(y), self._w(y))

    def __str__(self) -> str:
        return "L1"


@dataclass(frozen=True, eq=False)
class SquaredL2(Functional):
    r"""Half the squared Euclidean norm, :math:`f(x) = \tfrac12 \|x\|^2`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SquaredL2()(np.array([3.0, 4.0]))
    12.5
    """

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=1.0, strong_convexity=1.0, quadratic=True, separable=True)

    def __call__(self, x: Array) -> float:
        return 0.5 * arrays.inner(x, x)

    def gradient(self, x: Array) -> Array:
        return x

    def hessian_product(self, x: Array, v: Array) -> Array:
        return v

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return x / (1 + step_for(x, step))

    def _conjugate(self, y: Array) -> float:
        return 0.5 * arrays.inner(y, y)

    def _conjugate_gradient(self, y: Array) -> Array:
        return y

    def __str__(self) -> str:
        return "SquaredL2"


@dataclass(frozen=True, eq=False)
class L21(Functional):
    r"""Sum of Euclidean norms along some axes, the norm inside isotropic and vectorial TV.

    .. math:: f(y) = \sum_i w_i \Big(\sum_{k} |y_{k, i}|^2\Big)^{1/2}

    Parameters
    ----------
    axes : tuple of int
        The axes ``k`` that are joined in one norm.
    weights : array, optional
        ``w >= 0``, broadcast against the remaining axes (kept with size 1).
    """

    axes: tuple[int, ...] = (0,)
    weights: Array | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", as_weights(self.weights))

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def _sizes(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        squares = xp.abs(y) ** 2 if arrays.is_complex(y) else y * y
        return xp.sqrt(xp.sum(squares, axis=self.axes, keepdims=True))

    def _w(self, like: Array) -> Any:
        return 1.0 if self.weights is None else arrays.as_namespace(self.weights, like, "weights")

    def __call__(self, x: Array) -> float:
        return arrays.total(self._w(x) * self._sizes(x))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return x - shrink(x, self._sizes(x), step_for(x, step) * self._w(x), inside=False)

    def _conjugate(self, y: Array) -> float:
        return math.inf if bool(arrays.namespace(y).any(self._sizes(y) > self._w(y))) else 0.0

    def project_dual(self, y: Array) -> Array:
        return shrink(y, self._sizes(y), self._w(y))

    def _conjugate_prox(self, y: Array, step: Any) -> Array:
        return self.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        return scale_into(y, self._sizes(y), self._w(y))

    def __str__(self) -> str:
        return "L21"


def shrink(y: Array, sizes: Array, radius: Any, inside: bool = True) -> Array:
    """``y`` projected onto the balls ``sizes <= radius``; with ``inside`` safely so, in spite of rounding."""
    xp = arrays.namespace(y)
    radius = radius * (1 - rounding(y, sizes)) if inside else radius
    outside = sizes > radius
    factor = xp.where(outside, radius / xp.where(outside, sizes, 0 * sizes + 1), 0 * sizes + 1)
    return y * factor


def scale_into(y: Array, sizes: Array, radius: Any) -> float:
    """The largest ``s <= 1`` with ``s * sizes <= radius``, where ``sizes`` are norms of parts of ``y``."""
    xp = arrays.namespace(sizes)
    radius = radius + 0 * sizes
    outside = sizes > radius
    if not bool(xp.any(outside)):
        return 1.0
    ratios = xp.where(outside, radius / xp.where(outside, sizes, 0 * sizes + 1), 0 * sizes + 1)
    return float(xp.min(ratios)) * (1 - rounding(y, sizes))


def rounding(y: Array, sizes: Array) -> float:
    """Relative margin that covers the rounding of ``sizes``, each the norm of an equal part of ``y``."""
    joined = float(math.prod(y.shape) / max(math.prod(sizes.shape), 1))
    eps = float(arrays.namespace(sizes).finfo(sizes.dtype).eps)
    return float((4 + joined) * eps)
