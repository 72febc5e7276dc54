"""The elastic net."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for
from wellposed.functionals.norms import L1, scale_into, shrink
from wellposed.functionals.parameter import Parameter, added, current, positive


@dataclass(frozen=True, eq=False)
class ElasticNet(Functional):
    r"""L1 norm plus half the squared Euclidean norm.

    .. math:: f(x) = \lambda_1 \|x\|_1 + \tfrac{\lambda_2}{2} \|x\|_2^2

    Parameters
    ----------
    l1, l2 : float or Parameter
        The weights, at least 0.

    Notes
    -----
    ``prox`` is soft thresholding by ``step * l1``, divided by ``1 + step * l2``. The conjugate is
    :math:`\sum \max(|y_i| - \lambda_1, 0)^2 / (2 \lambda_2)`.
    Source: H. Zou and T. Hastie, Regularization and variable selection via the elastic net, 2005.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.ElasticNet(1.0, 2.0).prox(np.array([-4.0, 0.5]), 1.0)
    array([-1.,  0.])
    """

    l1: float | Parameter
    l2: float | Parameter

    def __post_init__(self) -> None:
        positive(self.l1, "l1 of ElasticNet", zero_allowed=True)
        positive(self.l2, "l2 of ElasticNet", zero_allowed=True)

    @property
    def _weights(self) -> tuple[float, float]:
        return float(current(self.l1)), float(current(self.l2))

    @property
    def traits(self) -> Traits:
        l1, l2 = self._weights
        return Traits(
            lipschitz=l2 if l1 == 0 else None,
            strong_convexity=l2,
            quadratic=l1 == 0,
            separable=True,
            homogeneous=l2 == 0,
        )

    def __call__(self, x: Array) -> float:
        l1, l2 = self._weights
        return l1 * L1()(x) + 0.5 * l2 * arrays.inner(x, x)

    def gradient(self, x: Array) -> Array:
        l1, l2 = self._weights
        return l2 * x if l1 == 0 else super().gradient(x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        l1, l2 = self._weights
        return l2 * v if l1 == 0 else super().hessian_product(x, v)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        if self._weights[0] > 0:
            raise TypeError(f"{self} has no gradient: it is not differentiable")
        return self._by_name(0.0, arrays.inner(x, v))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return self._by_name(L1()(x), 0.5 * arrays.inner(x, x))

    def _by_name(self, along_l1: float, along_l2: float) -> dict[str, Any]:
        pairs = (self.l1, along_l1), (self.l2, along_l2)
        return added(*({p.name: slope} for p, slope in pairs if isinstance(p, Parameter)))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        l1, l2 = self._weights
        step = step_for(x, step)
        thresholded = L1().prox(x, step * l1) if l1 > 0 else x
        return thresholded / (1 + step * l2)

    def _conjugate(self, y: Array) -> float:
        l1, l2 = self._weights
        xp = arrays.namespace(y)
        over = xp.clip(xp.abs(y) - l1, 0.0, None)
        if l2 == 0:
            return math.inf if bool(xp.any(over > 0)) else 0.0
        return arrays.inner(over, over) / (2 * l2)

    def _conjugate_gradient(self, y: Array) -> Array:
        l1, l2 = self._weights
        return (L1().prox(y, l1) if l1 > 0 else y) / l2

    def project_dual(self, y: Array) -> Array:
        l1, l2 = self._weights
        return y if l2 > 0 else shrink(y, arrays.namespace(y).abs(y), l1)

    def dual_scale(self, y: Array) -> float:
        l1, l2 = self._weights
        if l2 > 0:
            return 1.0
        return scale_into(y, arrays.namespace(y).abs(y), l1) if l1 > 0 else float(self._conjugate(y) == 0.0)

    def __str__(self) -> str:
        return "ElasticNet"
