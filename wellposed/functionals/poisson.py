"""The Poisson loss with the logarithm as link, for the regression of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits
from wellposed.functionals.datafits import check_real
from wellposed.functionals.sample_weights import SampleWeighted

NEWTON_STEPS = 100
LARGEST = 700.0
"""Exponents beyond this overflow in double precision."""


@dataclass(frozen=True, eq=False)
class PoissonLoss(SampleWeighted):
    r"""Negative log-likelihood of counts whose mean is :math:`e^{(A x)_i}`, up to a constant.

    .. math:: f(x) = \sum_i w_i \big(e^{u_i} - b_i u_i + b_i \log b_i - b_i\big), \qquad u = A x

    with :math:`0 \log 0 = 0`: the least value is 0. For counts whose mean is ``A x`` itself take
    `KullbackLeibler`.

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Counts, at least 0, of the shape of the range of ``A``.
    weights : array, optional
        ``w >= 0``, of the shape of ``b``, not all 0 (default 1).
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, a count or a weight is negative or not finite, all weights are 0, or all counts
        (that have a weight) are 0 though the intercept is free (the best one would be infinite).

    Notes
    -----
    The gradient :math:`w (e^u - b)` has no Lipschitz constant. With :math:`v = y / w + b` the conjugate is
    :math:`\sum w (v \log v - v - b \log b + b)` on :math:`v \ge 0`, and 0 where :math:`w = y = 0`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.PoissonLoss(None, np.array([1.0, 0.0]))(np.zeros(2))
    1.0
    """

    weights: Array | None = None
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        self._check_intercept()
        self._check_sample_weights()
        xp = arrays.namespace(self.b)
        if bool(xp.any(self.b < 0)):
            raise ValueError("PoissonLoss needs counts b of at least 0")
        if self.intercept and not bool(xp.any(self._counts(self.b > 0))):
            raise ValueError("a free intercept needs a count above 0: with none it would be infinite")

    def _loss_traits(self) -> Traits:
        # The proximal map is for other uses: solvers take the gradient, which is finite everywhere.
        return Traits(lipschitz=math.inf, separable=True)

    def _loss(self, u: Array) -> float:
        u = self._seen(u)
        if float(arrays.namespace(u).max(u)) > self._largest(u):
            return math.inf
        xp = arrays.namespace(u, self.b)
        counted = self.b > 0
        b = xp.where(counted, self.b, 1.0 + 0.0 * self.b)
        # b (e^s - 1 - s) with s = u - log b, exact near a perfect fit.
        s = xp.where(counted, u - xp.log(b), 0.0 * u)
        return self._total(xp.where(counted, b * (xp.expm1(s) - s), xp.exp(u)))

    def _largest(self, u: Array) -> float:
        return LARGEST if arrays.epsilon(u) < 1e-10 else 88.0

    def _slope(self, u: Array) -> Array:
        return self._weighted(arrays.namespace(u, self.b).exp(self._seen(u)) - self.b)

    def _curvature(self, u: Array) -> Array:
        return self._weighted(arrays.namespace(u).exp(self._seen(u)))

    def _first_constant(self, u: Array) -> float:
        """The constant with which the mean counts add up to the counts, however large ``u`` is."""
        xp = arrays.namespace(u)
        if self.weights is not None:
            u = xp.where(self.weights > 0, u, xp.full_like(u, -math.inf))
        top, counts = float(xp.max(u)), self._total(self.b)
        return (math.log(counts) if counts > 0 else 0.0) - top - math.log(self._total(xp.exp(u - top)))

    def _loss_prox(self, u: Array, step: Any) -> Array:
        """The root of ``z + step * e^z = c`` with ``c = u + step * b``: Newton from the right, monotone."""
        xp = arrays.namespace(u, self.b)
        step = self._steps(u, step)
        if self.weights is not None:
            step = xp.where(step > 0, step, xp.ones_like(step))
        c = self._seen(u) + step * self.b
        # Both bounds are at or right of the root, where the left side is convex and increasing.
        level = xp.log(xp.clip(c, 0.0, None) + 1.0) - xp.log(0.0 * c + step)
        z = xp.where(c > 0, xp.minimum(c, xp.maximum(level, 0.0 * c)), c)
        z = xp.clip(z, None, self._largest(u))
        eps = arrays.epsilon(u)
        for _ in range(NEWTON_STEPS):
            e = step * xp.exp(z)
            change = (z + e - c) / (1 + e)
            z = z - change
            if not bool(xp.any(xp.abs(change) > 4 * eps * (1 + xp.abs(z)))):
                break
        return z if self.weights is None else xp.where(self.weights > 0, z, u)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        if bool(xp.any(self._outside(y))):
            return math.inf
        v = self._unweighted(y) + self.b
        if self.weights is not None:
            # Rounding of the quotient.
            v = xp.clip(v, 0.0, None)
        return self._total(_entropy(v) - _entropy(self.b)) - arrays.total(y)

    def _outside(self, y: Array) -> Array:
        """Which entries leave the domain of the conjugate."""
        low = y + self._weighted(self.b) < 0
        return low if self.weights is None else low | ((self.weights == 0) & (y != 0))

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y, self.b)
        return xp.where(self._outside(y), -self._weighted(self.b), y)

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        outside = self._outside(y)
        if not bool(xp.any(outside)):
            return 1.0
        ratios = xp.where(
            outside,
            self._weighted(self.b) / xp.where(outside, xp.abs(y), 1.0 + 0.0 * y),
            1.0 + 0.0 * y,
        )
        return float(xp.min(ratios)) * (1 - 4 * arrays.epsilon(y))


def _entropy(v: Array) -> Array:
    """``v log v``, with 0 at 0."""
    xp = arrays.namespace(v)
    return v * xp.log(xp.where(v > 0, v, 1.0 + 0.0 * v))
