"""The Kullback-Leibler data fit of counts with Poisson noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits, step_for
from wellposed.functionals.datafits import DataFit, check_real


@dataclass(frozen=True, eq=False)
class KullbackLeibler(DataFit):
    r"""Negative log-likelihood of Poisson counts, up to the constant that makes its minimum 0.

    .. math:: f(x) = \sum_i v_i - b_i \log v_i + b_i \log b_i - b_i, \qquad v = A x + r,\quad v \ge 0

    with :math:`0 \log 0 = 0`; infinite where some :math:`v_i < 0`.

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Counts, at least 0, of the shape of the range of ``A``.
    background : float or array
        The known mean ``r >= 0`` of counts that do not come from ``x``; an array has the shape of ``b``.

    Raises
    ------
    ValueError
        If shapes do not fit, or counts or background are negative or not finite.

    Notes
    -----
    The gradient is :math:`1 - b / v` and has no Lipschitz constant, whatever the background: the
    function ends at :math:`v = 0`. The conjugate is :math:`-\sum b \log(1 - y) + r y` on
    :math:`y < 1` (:math:`y \le 1` where ``b`` is 0).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> counts = wp.KullbackLeibler(None, np.array([2.0, 0.0]), background=1.0)
    >>> counts(np.array([1.0, 0.0]))
    1.0
    """

    background: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        if bool(arrays.namespace(self.b).any(self.b < 0)):
            raise ValueError("KullbackLeibler needs counts b of at least 0; clip them, or take LeastSquares")
        r = self.background
        r = float(r) if getattr(r, "shape", ()) == () else arrays.as_namespace(r, self.b, "background")
        if not isinstance(r, float):
            arrays.check_finite(r, "background")
            if tuple(r.shape) != tuple(self.b.shape):
                raise ValueError(f"background has shape {tuple(r.shape)}, but b has {tuple(self.b.shape)}")
        lowest = r if isinstance(r, float) else float(arrays.namespace(r).min(r))
        if not (math.isfinite(lowest) and lowest >= 0):
            raise ValueError(f"background must be finite and at least 0, got {lowest}")
        object.__setattr__(self, "background", r)

    def _loss_traits(self) -> Traits:
        return Traits(lipschitz=math.inf, separable=True)

    def _loss(self, u: Array) -> float:
        xp = arrays.namespace(u, self.b)
        v = u + self.background
        counted = self.b > 0
        if bool(xp.any((v < 0) | (counted & (v == 0)))):
            return math.inf
        b = xp.where(counted, self.b, 1.0 + 0.0 * self.b)
        ratio = xp.where(counted, v / b, 1.0 + 0.0 * v)
        excess = xp.where(counted, (v - self.b) / b, 0.0 * v)
        # log1p is exact near a perfect fit; the plain logarithm takes any positive ratio.
        logs = xp.where(excess > -0.5, xp.log1p(xp.clip(excess, -0.5, None)), xp.log(ratio))
        return arrays.total(xp.where(counted, self.b * (excess - logs), v))

    def _slope(self, u: Array) -> Array:
        return 1.0 - self._over(u + self.background, power=1)

    def _curvature(self, u: Array) -> Array:
        return self._over(u + self.background, power=2)

    def _over(self, v: Array, power: int) -> Array:
        """``b / v**power``, with 0 / 0 = 0."""
        xp = arrays.namespace(v, self.b)
        counted = self.b > 0
        return xp.where(counted, self.b, 0.0 * v) / xp.where(counted, v, 1.0 + 0.0 * v) ** power

    def _loss_prox(self, u: Array, step: Any) -> Array:
        xp = arrays.namespace(u, self.b)
        step = step_for(u, step)
        z = u + self.background - step
        root = xp.sqrt(z * z + 4.0 * step * self.b)
        # The root of v^2 - z v - step b >= 0 without cancellation on either side.
        left = z < 0
        v = xp.where(left, 2.0 * step * self.b / xp.where(left, root - z, 1.0 + 0.0 * z), 0.5 * (z + root))
        least = 2.0 * float(xp.finfo(v.dtype).eps) * self.background
        v = xp.where((self.b > 0) & (v < least), least + 0.0 * v, v)
        return v - self.background

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        counted = self.b > 0
        if bool(xp.any((y > 1) | (counted & (y == 1)))):
            return math.inf
        logs = xp.log1p(xp.where(counted, -y, 0.0 * y))
        return -arrays.total(self.b * logs) - arrays.total(self.background * y)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y, self.b)
        inside = 1.0 - 4.0 * float(xp.finfo(y.dtype).eps)
        y = xp.where((self.b > 0) & (y >= 1), inside + 0.0 * y, y)
        return xp.clip(y, None, 1.0)

    def dual_scale(self, y: Array) -> float:
        if math.isfinite(self._conjugate(y)):
            return 1.0
        xp = arrays.namespace(y)
        return (1.0 - 4.0 * float(xp.finfo(y.dtype).eps)) / float(xp.max(y))
