"""The multinomial logistic loss of classification with several classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.datafits import DataFit, check_real, check_weights, learnable_weights
from wellposed.functionals.norms import extent
from wellposed.functionals.parameter import Parameter, current, summed
from wellposed.operators._base import LinearOperator

ROUNDING = 16.0
"""Rounding errors, in units of the precision, that probabilities of a dual point may have."""


@dataclass(frozen=True, eq=False)
class MultinomialLoss(DataFit):
    r"""Negative log-likelihood of classes under the multinomial logistic (softmax) model: the cross-entropy.

    .. math:: f(x) = \sum_i w_i \Big(\log \sum_c e^{u_{ic}} - \sum_c b_{ic} u_{ic}\Big), \qquad u = A x

    Parameters
    ----------
    A : LinearOperator or None
        Gives scores of shape ``(samples, classes)``; for features in the rows of a matrix take
        ``wellposed.operators.MatrixProduct(features, columns=classes)``. ``None`` is the identity.
    b : array
        The classes: integers from 0, of shape ``(samples,)``, or probabilities of each, in the shape of the
        scores.
    weights : array or Parameter, optional
        ``w >= 0``, one for each sample; the sum, not the mean, is taken by default.
    intercept : bool
        Whether a constant for each class may be added to the scores free of charge: the value is then the
        least one over all of them, and ``intercept_at(x)`` gives the best, which add up to 0.

    Raises
    ------
    ValueError
        If shapes do not fit, a class is out of range, or probabilities are negative or do not sum to 1, or
        a class has no sample though the intercepts are free (the best one would be infinite).

    Notes
    -----
    The gradient of the loss is :math:`w (p - b)` with the softmax ``p`` of the scores, of Lipschitz constant
    :math:`\max w / 2`; that of the Hessian is :math:`\sqrt{2/27}\, \max w`. The conjugate is
    :math:`\sum_i w_i \sum_c p_{ic} \log p_{ic}` with :math:`p = b + y / w`, whose rows must be probabilities.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> scores = wp.MultinomialLoss(None, np.array([2, 0]))
    >>> scores.shape, scores(np.zeros((2, 3)))
    ((2, 3), 2.19722458)
    """

    weights: Array | Parameter | None = None
    intercept: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "b", _probabilities(self.b, self.A))
        super().__post_init__()
        check_real(self)
        samples = tuple(self.b.shape[:-1])
        object.__setattr__(self, "weights", learnable_weights(self.weights))
        if self.weights is not None:
            check_weights(arrays.as_array(current(self.weights), "weights"), samples)
        self._check_intercept()
        if self.intercept:
            self._check_classes()

    def _check_classes(self) -> None:
        xp = arrays.namespace(self.b)
        totals = xp.sum(xp.reshape(self._each(self.b) * self.b, (-1, self.b.shape[-1])), axis=0)
        if bool(xp.any(totals <= 0)):
            empty = int(xp.argmin(totals))
            raise ValueError(f"free intercepts need samples of every class: there are none of class {empty}")

    def _without_intercept(self) -> tuple[Functional, LinearOperator | None]:
        from wellposed.functionals.class_intercepts import ClassIntercepts

        return ClassIntercepts(self._plain()), None

    def intercept_at(self, x: Array) -> Any:
        """The best constants to add to the scores, one for each class (0 without ``intercept``)."""
        from wellposed.functionals.class_intercepts import ClassIntercepts

        if not self.intercept:
            return 0.0
        return ClassIntercepts(self._plain()).best(x if self.A is None else self.A(x))

    def _w(self, like: Array) -> Any:
        return 1.0 if self.weights is None else arrays.as_namespace(current(self.weights), like, "weights")

    def _each(self, like: Array) -> Any:
        """The weights of the samples beside their scores."""
        return 1.0 if self.weights is None else self._w(like)[..., None]

    def _loss_traits(self) -> Traits:
        return Traits(lipschitz=0.5 * extent(self.weights)[1], prox=False)

    def _losses(self, u: Array) -> Array:
        """The loss of each sample."""
        xp = arrays.namespace(u, self.b)
        below = u - xp.max(u, axis=-1, keepdims=True)
        return xp.log(xp.sum(xp.exp(below), axis=-1)) - xp.sum(self.b * below, axis=-1)

    def _loss(self, u: Array) -> float:
        return arrays.total(self._w(u) * self._losses(u))

    def _slope(self, u: Array) -> Array:
        return self._each(u) * (softmax(u) - self.b)

    def hessian_product(self, x: Array, v: Array) -> Array:
        if self.intercept:
            return super().hessian_product(x, v)
        if self.A is not None:
            return self.A.apply_adjoint(self._plain().hessian_product(self.A(x), self.A(v)))
        p = softmax(x)
        mean = arrays.namespace(x).sum(p * v, axis=-1, keepdims=True)
        return self._each(x) * (p * (v - mean))

    # --- the conjugate: rows of p = b + y / w are probabilities ----------------------------------

    def _probabilities_at(self, y: Array) -> tuple[Array, Array]:
        """``p = b + y / w`` (``b`` where ``w`` is 0), and whether each row of ``y`` is in the domain."""
        xp = arrays.namespace(y, self.b)
        w = self._each(y) + xp.zeros_like(y)
        p = self.b + xp.where(w > 0, y / xp.where(w > 0, w, xp.ones_like(w)), 0.0 * y)
        room = ROUNDING * arrays.epsilon(y)
        balanced = xp.abs(xp.sum(p - self.b, axis=-1)) <= room * p.shape[-1]
        inside = balanced & xp.all(p >= -room, axis=-1) & xp.all((w > 0) | (y == 0), axis=-1)
        return p, inside

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        p, inside = self._probabilities_at(y)
        if not bool(xp.all(inside)):
            return math.inf
        p = xp.clip(p, 0.0, None)
        logs = p * xp.log(xp.where(p > 0, p, xp.ones_like(p)))
        return arrays.total(self._each(y) * logs)

    def project_dual(self, y: Array) -> Array:
        """Rows outside become those of the nearest probabilities, up to a factor."""
        xp = arrays.namespace(y, self.b)
        p, inside = self._probabilities_at(y)
        kept = xp.clip(p, 0.0, None)
        sums = xp.sum(kept, axis=-1, keepdims=True)
        kept = xp.where(sums > 0, kept / xp.where(sums > 0, sums, xp.ones_like(sums)), self.b)
        return xp.where(inside[..., None], y, self._each(y) * (kept - self.b))

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        if bool(xp.all(self._probabilities_at(y)[1])):
            return 1.0
        room = ROUNDING * arrays.epsilon(y) * y.shape[-1]
        size = xp.sum(xp.abs(y), axis=-1)
        if bool(xp.any(xp.abs(xp.sum(y, axis=-1)) > room * size)):
            return 0.0
        limit = self._each(y) * self.b
        low = y < -limit
        ratios = xp.where(low, limit / xp.where(low, -y, xp.ones_like(y)), xp.ones_like(y))
        return float(xp.min(ratios)) * (1 - 4 * arrays.epsilon(y))

    def _loss_parameter_product(self, u: Array, w: Array) -> dict[str, Any]:
        if not isinstance(self.weights, Parameter):
            return {}
        slopes = arrays.namespace(u, w).sum((softmax(u) - self.b) * w, axis=-1)
        return {self.weights.name: summed(slopes, self.weights)}

    def _loss_parameter_gradient(self, u: Array) -> dict[str, Any]:
        if not isinstance(self.weights, Parameter):
            return {}
        return {self.weights.name: summed(self._losses(u), self.weights)}

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        if self.factor(shape)[0] is not self:
            return super().hessian_lipschitz_on(shape)
        # The third cumulant of numbers that lie within r of each other is at most r^3 / (6 sqrt 3), and two
        # entries of a vector of norm 1 lie within sqrt 2.
        return math.sqrt(2 / 27) * extent(self.weights)[1]


def softmax(u: Array) -> Array:
    """Probabilities of the classes along the last axis."""
    xp = arrays.namespace(u)
    powers = xp.exp(u - xp.max(u, axis=-1, keepdims=True))
    return powers / xp.sum(powers, axis=-1, keepdims=True)


def _probabilities(b: Any, A: LinearOperator | None) -> Array:
    """Probabilities in the shape of the scores, from themselves or from classes as integers."""
    b = arrays.as_array(b, "b")
    xp = arrays.namespace(b)
    if xp.isdtype(b.dtype, "integral"):
        highest = int(xp.max(b)) if math.prod(b.shape) else -1
        count = highest + 1 if A is None else A.range_shape[-1]
        if highest >= count or highest < 0 or int(xp.min(b)) < 0:
            raise ValueError(
                f"classes must be integers from 0 to {count - 1}, got some from {int(xp.min(b))} to {highest}"
            )
        known = arrays.to_numpy(b)[..., None] == np.arange(count)
        return arrays.from_numpy(np.ascontiguousarray(known, dtype=np.float64), like=b)
    b = arrays.as_floating(b, "b")
    arrays.check_finite(b, "b")
    totals = xp.sum(b, axis=-1) if len(b.shape) else b
    if bool(xp.any(b < 0)) or bool(xp.any(xp.abs(totals - 1) > 64 * arrays.epsilon(b) * b.shape[-1])):
        raise ValueError(
            "b must hold classes as integers, or for each sample probabilities of at least 0 that sum to 1"
        )
    return b
