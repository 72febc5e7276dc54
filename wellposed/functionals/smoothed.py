"""The smoothed norm inside smoothed total variation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.datafits import learnable_weights
from wellposed.functionals.norms import extent, scale_into, shrink
from wellposed.functionals.parameter import Parameter, added, current, positive, summed

NEWTON_STEPS = 100

BEND = 48 / 25 / math.sqrt(5)
"""The largest third derivative of ``sqrt(t^2 + 1)``, at ``t = 1/2``; so it is along any line of a space."""


@dataclass(frozen=True, eq=False)
class SmoothedL21(Functional):
    r"""Sum of Euclidean norms along some axes, rounded off near zero.

    .. math:: f(y) = \sum_i w_i \Big(\sqrt{\textstyle\sum_k y_{k, i}^2 + \epsilon^2} - \epsilon\Big)

    Parameters
    ----------
    eps : float or Parameter
        Positive; the size of ``y`` below which the function is nearly quadratic.
    axes : tuple of int
        The axes ``k`` that are joined in one norm; none at all smooths the L1 norm.
    weights : array or Parameter, optional
        ``w >= 0``, broadcast against the remaining axes (kept with size 1).

    Notes
    -----
    The gradient has Lipschitz constant :math:`\max w / \epsilon`, the Hessian
    :math:`0.859 \max w / \epsilon^2`. With ``s`` the norm of a pixel's dual
    value the conjugate is :math:`\sum \epsilon (w - \sqrt{w^2 - s^2})` on :math:`s \le w`. The
    proximal map solves one equation for each norm by Newton's method, which is monotone here.
    """

    eps: float | Parameter
    axes: tuple[int, ...] = (0,)
    weights: Array | Parameter | None = None

    def __post_init__(self) -> None:
        positive(self.eps, "eps of the smoothing")
        object.__setattr__(self, "weights", learnable_weights(self.weights))

    @property
    def _e(self) -> float:
        return float(current(self.eps))

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=extent(self.weights)[1] / self._e, separable=not self.axes)

    def _squares(self, y: Array) -> Array:
        return self._joined(y, y)

    def _joined(self, y: Array, v: Array) -> Array:
        """The inner products of the parts of ``y`` and ``v`` that are joined in one norm."""
        return arrays.namespace(y).sum(y * v, axis=self.axes, keepdims=True) if self.axes else y * v

    def _w(self, like: Array) -> Any:
        return 1.0 if self.weights is None else arrays.as_namespace(current(self.weights), like, "weights")

    def _rounded(self, y: Array) -> Array:
        return arrays.namespace(y).sqrt(self._squares(y) + self._e**2)

    def __call__(self, x: Array) -> float:
        squares = self._squares(x)
        # The difference of the root and eps without cancellation.
        return arrays.total(self._w(x) * squares / (arrays.namespace(x).sqrt(squares + self._e**2) + self._e))

    def gradient(self, x: Array) -> Array:
        return x * (self._w(x) / self._rounded(x))

    def hessian_product(self, x: Array, v: Array) -> Array:
        root = self._rounded(x)
        unit = x / root
        return (self._w(x) / root) * (v - unit * self._joined(unit, v))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        root = self._rounded(x)
        unit = self._joined(x, v) / root
        slope = -self._e * unit / (root * root)
        return self._by_name(unit, slope)

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        squares = self._squares(x)
        # Differences of the root and eps without cancellation.
        size = squares / (arrays.namespace(x).sqrt(squares + self._e**2) + self._e)
        return self._by_name(size, -size / (size + self._e))

    def _by_name(self, size: Array, slope: Array) -> dict[str, Any]:
        """The derivatives of sums of ``w size``, where ``slope`` is the derivative of ``size`` along eps."""
        of_weights, of_eps = {}, {}
        if isinstance(self.weights, Parameter):
            of_weights = {self.weights.name: summed(size, self.weights)}
        if isinstance(self.eps, Parameter):
            of_eps = {self.eps.name: arrays.total(self._w(slope) * slope)}
        return added(of_weights, of_eps)

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        return BEND * extent(self.weights)[1] / self._e**2

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        size = xp.sqrt(self._squares(x))
        radius = _prox_of_size(size, step_for(x, step) * self._w(x), self._e)
        return x * (radius / xp.where(size > 0, size, 1.0 + 0.0 * size))

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        squares = self._squares(y)
        w = self._w(y) + 0.0 * squares
        if bool(xp.any(xp.sqrt(squares) > w)):
            return math.inf
        root = xp.sqrt(xp.clip(w * w - squares, 0.0, None))
        return self._e * arrays.total(squares / xp.where(w > 0, w + root, 1.0 + 0.0 * w))

    def project_dual(self, y: Array) -> Array:
        return shrink(y, arrays.namespace(y).sqrt(self._squares(y)), self._w(y))

    def dual_scale(self, y: Array) -> float:
        return scale_into(y, arrays.namespace(y).sqrt(self._squares(y)), self._w(y))

    def __str__(self) -> str:
        return "SmoothedL21"


def _prox_of_size(size: Array, step: Any, eps: float) -> Array:
    """The root ``r >= 0`` of ``r + step * r / sqrt(r^2 + eps^2) = size``.

    The left side is increasing and concave, so Newton's method from a point below the root stays below it.
    """
    xp = arrays.namespace(size)
    resolution = float(xp.finfo(size.dtype).eps)
    r = xp.clip(size - step, 0.0, None)
    slowest = size / (1 + step / eps)
    r = xp.where(slowest > r, slowest, r)
    for _ in range(NEWTON_STEPS):
        root = xp.sqrt(r * r + eps**2)
        residual = size - r - step * r / root
        change = residual / (1 + step * (eps / root) ** 2 / root)
        r = xp.clip(r + change, 0.0, None)
        if not bool(xp.any((residual > 4 * resolution * size) & (change > 4 * resolution * r))):
            break
    return r
