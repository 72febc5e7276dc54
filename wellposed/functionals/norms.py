"""Norms and their squares: L1, squared L2, and the sum of Euclidean norms along axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for
from wellposed.functionals.datafits import as_weights, learnable_weights
from wellposed.functionals.parameter import Parameter, current, summed


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
        if self.weights is None:
            return 1.0
        given, wanted = tuple(self.weights.shape), tuple(like.shape)
        short = len(wanted) - len(given)
        if short < 0 or any(n not in (1, m) for n, m in zip(given, wanted[short:], strict=True)):
            raise ValueError(f"the weights of L1 have shape {given}, which does not fit x of shape {wanted}")
        return arrays.as_namespace(self.weights, like, "weights")

    def __call__(self, x: Array) -> float:
        return arrays.total(self._w(x) * arrays.namespace(x).abs(x))

    def subgradient(self, x: Array) -> Array:
        return self._w(x) * arrays.namespace(x).sign(x)

    def row_values(self, x: Array) -> Array:
        """The value at each vector along the last axis."""
        xp = arrays.namespace(x)
        return xp.sum(self._w(x) * xp.abs(x), axis=-1)

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
    r"""Half the squared Euclidean norm.

    .. math:: f(x) = \tfrac12 \sum_i w_i\, |x_i|^2

    Parameters
    ----------
    weights : array or Parameter, optional
        ``w >= 0``, broadcast against ``x`` (default 1): one for each feature, scale or entry.

    Raises
    ------
    ValueError
        If a weight is negative or not finite.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SquaredL2()(np.array([3.0, 4.0]))
    12.5
    >>> wp.SquaredL2([0.0, 2.0])(np.array([3.0, 4.0]))
    16.0
    """

    weights: Array | Parameter | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", learnable_weights(self.weights))

    @property
    def traits(self) -> Traits:
        least, largest = extent(self.weights)
        return Traits(lipschitz=largest, strong_convexity=least, quadratic=True, separable=True)

    def weighted(self, x: Array) -> Array:
        """``w x``."""
        return x if self.weights is None else self._w(x) * x

    def _w(self, like: Array) -> Any:
        return arrays.as_namespace(current(self.weights), like, "weights")

    def __call__(self, x: Array) -> float:
        return 0.5 * arrays.inner(x, self.weighted(x))

    def gradient(self, x: Array) -> Array:
        return self.weighted(x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.weighted(v)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not isinstance(self.weights, Parameter):
            return {}
        return {self.weights.name: summed(entrywise(x, v), self.weights)}

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return {name: 0.5 * squares for name, squares in self.parameter_product(x, x).items()}

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        step = step_for(x, step)
        return x / (1 + step if self.weights is None else 1 + step * self._w(x))

    def _seen(self, y: Array) -> tuple[Array, Array]:
        """The weights with 1 in place of 0, and where they were not 0."""
        xp = arrays.namespace(y)
        w = self._w(y) + xp.zeros_like(xp.abs(y))
        return xp.where(w > 0, w, xp.ones_like(w)), w > 0

    def _conjugate(self, y: Array) -> float:
        if self.weights is None:
            return 0.5 * arrays.inner(y, y)
        w, seen = self._seen(y)
        unseen = bool(arrays.namespace(y).any(~seen & (y != 0)))
        return math.inf if unseen else 0.5 * arrays.inner(y, y / w)

    def _conjugate_gradient(self, y: Array) -> Array:
        return y if self.weights is None else y / self._w(y)

    def project_dual(self, y: Array) -> Array:
        return y if extent(self.weights)[0] > 0 else arrays.namespace(y).where(self._seen(y)[1], y, 0.0 * y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if extent(self.weights)[0] > 0 or math.isfinite(self._conjugate(y)) else 0.0

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
        xp = arrays.namespace(x)
        sizes = self._sizes(x)
        threshold = step_for(x, step) * self._w(x) + 0 * sizes
        longest = xp.maximum(sizes, threshold)
        moved = x * (1 - threshold / xp.where(longest > 0, longest, xp.ones_like(longest)))
        # Adding 0 turns -0 into 0.
        moved += 0.0
        return moved

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


def extent(weights: Array | Parameter | None) -> tuple[float, float]:
    """The least and the largest weight; 1 where there are none."""
    if weights is None:
        return 1.0, 1.0
    w = arrays.as_array(current(weights), "weights")
    xp = arrays.namespace(w)
    return float(xp.min(w)), float(xp.max(w))


def entrywise(x: Array, v: Array) -> Array:
    """The real inner product of each entry with each."""
    if not arrays.is_complex(x):
        return x * v
    xp = arrays.namespace(x, v)
    return xp.real(xp.conj(x) * v)
