"""The Poisson loss with the logarithm as link, for the regression of counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits, step_for
from wellposed.functionals.datafits import DataFit, check_real

NEWTON_STEPS = 100
LARGEST = 700.0
"""Exponents beyond this overflow in double precision."""


@dataclass(frozen=True, eq=False)
class PoissonLoss(DataFit):
    r"""Negative log-likelihood of counts whose mean is :math:`e^{(A x)_i}`, up to a constant.

    .. math:: f(x) = \sum_i e^{u_i} - b_i u_i + b_i \log b_i - b_i, \qquad u = A x

    with :math:`0 \log 0 = 0`: the least value is 0. For counts whose mean is ``A x`` itself take
    `KullbackLeibler`.

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Counts, at least 0, of the shape of the range of ``A``.
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, or a count is negative or not finite, or all are 0 though the intercept is
        free (the best one would be infinite).

    Notes
    -----
    The gradient :math:`e^u - b` has no Lipschitz constant. With :math:`v = y + b` the conjugate is
    :math:`\sum v \log v - v - b \log b + b` on :math:`v \ge 0`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.PoissonLoss(None, np.array([1.0, 0.0]))(np.zeros(2))
    1.0
    """

    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        self._check_intercept()
        xp = arrays.namespace(self.b)
        if bool(xp.any(self.b < 0)):
            raise ValueError("PoissonLoss needs counts b of at least 0")
        if self.intercept and not bool(xp.any(self.b > 0)):
            raise ValueError("a free intercept needs a count above 0: with none it would be infinite")

    def _loss_traits(self) -> Traits:
        # The proximal map is for other uses: solvers take the gradient, which is finite everywhere.
        return Traits(lipschitz=math.inf, separable=True)

    def _loss(self, u: Array) -> float:
        if float(arrays.namespace(u).max(u)) > self._largest(u):
            return math.inf
        xp = arrays.namespace(u, self.b)
        counted = self.b > 0
        b = xp.where(counted, self.b, 1.0 + 0.0 * self.b)
        # b (e^s - 1 - s) with s = u - log b, exact near a perfect fit.
        s = xp.where(counted, u - xp.log(b), 0.0 * u)
        return arrays.total(xp.where(counted, b * (xp.expm1(s) - s), xp.exp(u)))

    def _largest(self, u: Array) -> float:
        return LARGEST if arrays.epsilon(u) < 1e-10 else 88.0

    def _slope(self, u: Array) -> Array:
        return arrays.namespace(u, self.b).exp(u) - self.b

    def _curvature(self, u: Array) -> Array:
        return arrays.namespace(u).exp(u)

    def _first_constant(self, u: Array) -> float:
        """The constant with which the mean counts add up to the counts, however large ``u`` is."""
        xp = arrays.namespace(u)
        top, counts = float(xp.max(u)), arrays.total(self.b)
        return (math.log(counts) if counts > 0 else 0.0) - top - math.log(arrays.total(xp.exp(u - top)))

    def _loss_prox(self, u: Array, step: Any) -> Array:
        """The root of ``z + step * e^z = c`` with ``c = u + step * b``: Newton from the right, monotone."""
        xp = arrays.namespace(u, self.b)
        step = step_for(u, step)
        c = u + step * self.b
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
        return z

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        v = y + self.b
        if bool(xp.any(v < 0)):
            return math.inf
        return arrays.total(_entropy(v) - _entropy(self.b)) - arrays.total(y)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y, self.b)
        return xp.where(y + self.b < 0, -self.b, y)

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        outside = y + self.b < 0
        if not bool(xp.any(outside)):
            return 1.0
        ratios = xp.where(outside, self.b / xp.where(outside, -y, 1.0 + 0.0 * y), 1.0 + 0.0 * y)
        return float(xp.min(ratios)) * (1 - 4 * arrays.epsilon(y))


def _entropy(v: Array) -> Array:
    """``v log v``, with 0 at 0."""
    xp = arrays.namespace(v)
    return v * xp.log(xp.where(v > 0, v, 1.0 + 0.0 * v))
