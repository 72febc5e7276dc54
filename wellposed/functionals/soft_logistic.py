"""The logistic loss of labels that are probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Shape, Traits, step_for
from wellposed.functionals.datafits import DataFit, check_real
from wellposed.functionals.logistic import doubt, prox_of_margin


@dataclass(frozen=True, eq=False)
class SoftLogisticLoss(DataFit):
    r"""Cross-entropy of probabilities under the logistic model, with a known part of the scores.

    .. math:: f(x) = \sum_i \log\big(1 + e^{u_i}\big) - b_i u_i, \qquad u = A x + o

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Probabilities of the one of two classes, in [0, 1], of the shape of the range of ``A``; with labels
        -1 and 1 in place of 0 and 1 it is `LogisticLoss`.
    offset : array or float
        ``o``, of the shape of ``b`` or a number.
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, a probability is out of range, or all are 0 or all 1 though the intercept is
        free (the best one would be infinite).

    Notes
    -----
    The gradient of the loss has Lipschitz constant 1/4, the Hessian one of :math:`1 / (6 \sqrt 3)`. The
    conjugate is :math:`\sum p \log p + (1 - p) \log(1 - p) - y o` with :math:`p = b + y \in [0, 1]`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> loss = wp.SoftLogisticLoss(None, np.array([0.25, 0.75]))
    >>> loss.gradient(np.zeros(2))
    array([ 0.25, -0.25])
    """

    offset: Array | float = 0.0
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        self._check_intercept()
        xp = arrays.namespace(self.b)
        if bool(xp.any((self.b < 0) | (self.b > 1))):
            raise ValueError("SoftLogisticLoss needs probabilities b from 0 to 1")
        offset = arrays.as_namespace(self.offset, self.b, "offset")
        arrays.check_finite(offset, "offset")
        if tuple(offset.shape) not in {(), tuple(self.b.shape)}:
            raise ValueError(f"offset has shape {tuple(offset.shape)}, expected {tuple(self.b.shape)}")
        object.__setattr__(self, "offset", offset)
        if self.intercept and (bool(xp.all(self.b == 0)) or bool(xp.all(self.b == 1))):
            raise ValueError("a free intercept needs probabilities that are neither all 0 nor all 1")

    def _loss_traits(self) -> Traits:
        return Traits(lipschitz=0.25, separable=True)

    def _loss(self, u: Array) -> float:
        xp = arrays.namespace(u, self.b)
        v = u + self.offset
        return arrays.total(xp.clip(v, 0.0, None) + xp.log1p(xp.exp(-xp.abs(v))) - self.b * v)

    def _slope(self, u: Array) -> Array:
        return doubt(-(u + self.offset)) - self.b

    def _curvature(self, u: Array) -> Array:
        v = u + self.offset
        return doubt(v) * doubt(-v)

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        inner = self.factor(shape)[0]
        return 1 / (6 * math.sqrt(3)) if inner is self else super().hessian_lipschitz_on(shape)

    def _loss_prox(self, u: Array, step: Any) -> Array:
        step = step_for(u, step)
        return prox_of_margin(u + self.offset + step * (self.b - 1), step) - self.offset

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        p = self.b + y
        eps = arrays.epsilon(y)
        if bool(xp.any((p < -eps) | (p > 1 + eps))):
            return math.inf
        p = xp.clip(p, 0.0, 1.0)
        q = 1 - p
        logs = p * xp.log(xp.where(p > 0, p, 1.0 + 0.0 * p)) + q * xp.log1p(xp.where(q > 0, -p, 0.0 * p))
        return arrays.total(logs - y * self.offset)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y, self.b)
        return xp.clip(self.b + y, 0.0, 1.0) - self.b

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        room = xp.where(y > 0, 1 - self.b, self.b)
        outside = xp.abs(y) > room
        if not bool(xp.any(outside)):
            return 1.0
        ratios = xp.where(outside, room / xp.where(outside, xp.abs(y), 0 * y + 1), 0 * y + 1)
        return float(xp.min(ratios)) * (1 - 4 * arrays.epsilon(y))
