"""The logistic loss of two-class classification."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Shape, Traits
from wellposed.functionals.datafits import check_real
from wellposed.functionals.sample_weights import SampleWeighted

NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class LogisticLoss(SampleWeighted):
    r"""Negative log-likelihood of labels under the logistic model.

    .. math:: f(x) = \sum_i w_i \log\big(1 + \exp(-b_i (A x)_i)\big)

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Labels -1 and +1, of the shape of the range of ``A``.
    weights : array, optional
        ``w >= 0``, of the shape of ``b``, not all 0 (default 1).
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, a weight is negative or not finite, or all are 0, a label is neither -1 nor
        +1, or all (that have a weight) are the same though the intercept is free (the best one would be
        infinite).

    Notes
    -----
    The gradient of the loss has Lipschitz constant :math:`\max w / 4`, the Hessian one of
    :math:`\max w / (6 \sqrt 3)`. The conjugate is :math:`\sum w (p \log p + (1 - p) \log(1 - p))` with
    :math:`p = -b y / w \in [0, 1]`, and 0 where :math:`w = y = 0`. The proximal map
    solves one equation per entry by Newton's method from the side on which it is monotone.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.LogisticLoss(None, np.array([1.0, -1.0]))(np.zeros(2))
    1.38629436
    """

    weights: Array | None = None
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        self._check_intercept()
        self._check_sample_weights()
        if bool(arrays.namespace(self.b).any((self.b != 1) & (self.b != -1))):
            raise ValueError("LogisticLoss needs labels b of -1 and +1; for labels 0 and 1 pass 2 * b - 1")
        if self.intercept and not self._both_kinds():
            raise ValueError(
                "a free intercept needs labels of both kinds: with one kind it would be infinite"
            )

    def _both_kinds(self) -> bool:
        xp = arrays.namespace(self.b)
        return all(bool(xp.any(self._counts(self.b == label))) for label in (-1, 1))

    def _loss_traits(self) -> Traits:
        return Traits(lipschitz=0.25 * self._heaviest, separable=True)

    def _loss(self, u: Array) -> float:
        xp = arrays.namespace(u, self.b)
        margin = self.b * u
        return self._total(xp.clip(-margin, 0.0, None) + xp.log1p(xp.exp(-xp.abs(margin))))

    def _slope(self, u: Array) -> Array:
        return self._weighted(-self.b * doubt(self.b * u))

    def _curvature(self, u: Array) -> Array:
        margin = self.b * u
        return self._weighted(doubt(margin) * doubt(-margin))

    @property
    def _even(self) -> float:
        """The constant that alone gives the labels their shares."""
        xp = arrays.namespace(self.b)
        labels = (xp.astype(self.b == label, self.b.dtype) for label in (1, -1))
        above, below = (self._total(these) for these in labels)
        return math.log(above / below)

    def _first_constant(self, u: Array) -> float:
        """A constant near the best, where slopes have not vanished, however large ``u`` is."""
        return self._even - float(arrays.total(u) / math.prod(u.shape))

    def _constants_between(self, u: Array) -> tuple[float, float]:
        """Bounds of the best constant: those that take no prediction above, or below, that of `_even`."""
        xp = arrays.namespace(u)
        return self._even - float(xp.max(u)), self._even - float(xp.min(u))

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        if self.factor(shape)[0] is not self:
            return super().hessian_lipschitz_on(shape)
        return self._heaviest / (6 * math.sqrt(3))

    def _loss_prox(self, u: Array, step: Any) -> Array:
        return self.b * prox_of_margin(self.b * u, self._steps(u, step))

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        p = -self.b * y
        if bool(xp.any((p < 0) | (p > self._most))):
            return math.inf
        p = self._unweighted(p)
        q = 1 - p
        logs = p * xp.log(xp.where(p > 0, p, 1.0 + 0.0 * p)) + q * xp.log1p(xp.where(q > 0, -p, 0.0 * p))
        return self._total(logs)

    @property
    def _most(self) -> Any:
        """The largest entries of ``-b y`` in the domain of the conjugate."""
        return 1.0 if self.weights is None else self.weights

    def project_dual(self, y: Array) -> Array:
        return -self.b * arrays.namespace(y, self.b).clip(-self.b * y, 0.0, self._most)

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        p = -self.b * y
        if bool(xp.any(p < 0)):
            return 0.0
        outside = p > self._most
        if not bool(xp.any(outside)):
            return 1.0
        ratios = xp.where(outside, self._most / xp.where(outside, p, xp.ones_like(p)), xp.ones_like(p))
        return (1 - 4 * float(xp.finfo(p.dtype).eps)) * float(xp.min(ratios))


def doubt(margin: Array) -> Array:
    """``1 / (1 + exp(margin))`` without overflow."""
    xp = arrays.namespace(margin)
    small = xp.exp(-xp.abs(margin))
    return xp.where(margin > 0, small, 1.0 + 0.0 * small) / (1 + small)


def prox_of_margin(start: Array, step: Any) -> Array:
    """The root ``s`` of ``s - step * doubt(s) = start``.

    The left side increases, is convex for ``s < 0`` and concave for ``s > 0``: Newton's method from the
    point of the interval ``[start, start + step]`` next to 0 comes nearer at each step, from one side.
    """
    xp = arrays.namespace(start)
    eps = float(xp.finfo(start.dtype).eps)
    positive_root = start + 0.5 * step > 0
    s = xp.where(positive_root, xp.clip(start, 0.0, None), xp.clip(start + step, None, 0.0))
    for _ in range(NEWTON_STEPS):
        p = doubt(s)
        residual = s - start - step * p
        s = s - residual / (1 + step * p * doubt(-s))
        if not bool(xp.any(xp.abs(residual) > 4 * eps * (xp.abs(s) + xp.abs(start) + step * p))):
            break
    return s
