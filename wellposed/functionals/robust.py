"""Data fits that outliers move little: Huber's loss and the L1 loss."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits
from wellposed.functionals.calculus import Weighted
from wellposed.functionals.datafits import DataFit, check_real, check_weights
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.sample_weights import SampleWeighted


@dataclass(frozen=True, eq=False)
class HuberLoss(SampleWeighted):
    r"""Half the square of small residuals, and linear for large ones.

    .. math:: f(x) = \sum_i w_i\, h((A x - b)_i), \qquad
        h(r) = \begin{cases} r^2 / 2 & |r| \le \delta \\ \delta |r| - \delta^2 / 2 & |r| > \delta \end{cases}

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Real data, of the shape of the range of ``A``.
    delta : float or Parameter
        The residual from which the loss is linear, in the units of ``b``; positive.
    weights : array, optional
        ``w >= 0``, of the shape of ``b``, not all 0 (default 1).
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, data or weights are not finite, a weight is negative or all are 0, or ``delta``
        is not positive.

    Notes
    -----
    The gradient of :math:`h` is :math:`r` clipped to :math:`[-\delta, \delta]`, with Lipschitz constant 1;
    the conjugate of the loss is :math:`\sum_i y_i^2 / (2 w_i) + b_i y_i` on
    :math:`|y_i| \le \delta w_i`.
    Source: P. J. Huber, Robust estimation of a location parameter, 1964.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.HuberLoss(None, np.array([0.0, 10.0]), delta=1.0)(np.array([1.0, 0.0]))
    10.0
    """

    delta: float | Parameter
    weights: Array | None = None
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_intercept()
        check_real(self)
        self._check_sample_weights()
        positive(self.delta, "delta of HuberLoss")

    @property
    def _d(self) -> float:
        return float(current(self.delta))

    @property
    def _clipped(self) -> Weighted:
        """The functional whose conjugate has the same domain."""
        return Weighted(self._d, L1(self.weights))

    def _loss_traits(self) -> Traits:
        return Traits(lipschitz=self._heaviest, separable=True)

    def _loss(self, u: Array) -> float:
        xp = arrays.namespace(u, self.b)
        size = xp.abs(u - self.b)
        near = xp.clip(size, None, self._d)
        return self._total(near * (size - 0.5 * near))

    def _slope(self, u: Array) -> Array:
        return self._weighted(arrays.namespace(u, self.b).clip(u - self.b, -self._d, self._d))

    def _curvature(self, u: Array) -> Array:
        xp = arrays.namespace(u, self.b)
        r = u - self.b
        return self._weighted(xp.astype(xp.abs(r) <= self._d, r.dtype))

    def _loss_parameter_product(self, u: Array, w: Array) -> dict[str, Any]:
        if not isinstance(self.delta, Parameter):
            return {}
        xp = arrays.namespace(u, self.b)
        r = u - self.b
        return {self.delta.name: self._total(w * xp.sign(r) * xp.astype(xp.abs(r) > self._d, r.dtype))}

    def _loss_parameter_gradient(self, u: Array) -> dict[str, Any]:
        if not isinstance(self.delta, Parameter):
            return {}
        excess = arrays.namespace(u, self.b).abs(u - self.b) - self._d
        return {self.delta.name: self._total(arrays.namespace(excess).clip(excess, 0.0, None))}

    def _loss_prox(self, u: Array, step: Any) -> Array:
        step = self._steps(u, step)
        r = u - self.b
        return u - step * arrays.namespace(u, self.b).clip(r / (1 + step), -self._d, self._d)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        if bool(xp.any(xp.abs(y / self._d) > (1.0 if self.weights is None else self.weights))):
            return math.inf
        return 0.5 * arrays.inner(y, self._unweighted(y)) + arrays.inner(y, self.b)

    def project_dual(self, y: Array) -> Array:
        return self._clipped.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        return self._clipped.dual_scale(y)


@dataclass(frozen=True, eq=False)
class L1Loss(DataFit):
    r"""Sum of absolute residuals, for noise with outliers such as salt and pepper.

    .. math:: f(x) = \sum_i w_i |(A x - b)_i|

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Data, of the shape of the range of ``A``.
    weights : array, optional
        ``w >= 0``, of the shape of ``b``.

    Raises
    ------
    ValueError
        If shapes do not fit, or data or weights are not finite, or a weight is negative.

    Notes
    -----
    Not differentiable. The conjugate of the loss is :math:`\langle y, b\rangle` on :math:`|y_i| \le w_i`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.L1Loss(None, np.array([0.0, 10.0]))(np.array([1.0, 0.0]))
    11.0
    """

    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None:
            weights = arrays.as_namespace(self.weights, self.b, "weights")
            object.__setattr__(self, "weights", check_weights(weights, tuple(self.b.shape)))

    @property
    def _norm(self) -> L1:
        return L1(self.weights)

    def _loss_traits(self) -> Traits:
        return Traits(separable=True)

    def _loss(self, u: Array) -> float:
        return self._norm(u - self.b)

    def _loss_prox(self, u: Array, step: Any) -> Array:
        return self.b + self._norm.prox(u - self.b, step)

    def _conjugate(self, y: Array) -> float:
        value = self._norm._conjugate(y)
        return value if math.isinf(value) else arrays.inner(y, self.b)

    def project_dual(self, y: Array) -> Array:
        return self._norm.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        return self._norm.dual_scale(y)
