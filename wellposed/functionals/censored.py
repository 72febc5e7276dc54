"""Least squares with data of which some are upper bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits, step_for
from wellposed.functionals.datafits import DataFit, check_real


@dataclass(frozen=True, eq=False)
class CensoredLeastSquares(DataFit):
    r"""Half the squared distance to data of which some are only known to be at most so large.

    .. math:: f(x) = \tfrac12 \sum_{i \notin B} (u_i - b_i)^2 + \tfrac12 \sum_{i \in B} \max(u_i - b_i, 0)^2,
              \qquad u = A x

    Such are the inputs of a rectified linear unit: known where its output is positive, at most 0 where it
    is 0.

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Data and bounds, of the shape of the range of ``A``.
    bound : array of bool
        ``B``: where ``b`` is an upper bound.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, data are not finite, or ``bound`` is not boolean.

    Notes
    -----
    The conjugate is :math:`\sum_i y_i b_i + y_i^2 / 2`, infinite where a ``y`` in ``B`` is negative.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> fit = wp.CensoredLeastSquares(None, np.array([1.0, 0.0, 0.0]), np.array([False, True, True]))
    >>> fit(np.array([3.0, -5.0, 2.0]))
    4.0
    """

    bound: Array

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real(self)
        bound = arrays.as_array(self.bound, "bound")
        xp = arrays.namespace(bound)
        if not xp.isdtype(bound.dtype, "bool"):
            raise TypeError(f"bound must be an array of bool, got {bound.dtype}")
        if tuple(bound.shape) != tuple(self.b.shape):
            raise ValueError(f"bound has shape {tuple(bound.shape)}, b has {tuple(self.b.shape)}")
        # As numbers it becomes an array of the kind and the device of b.
        numbers = arrays.as_namespace(xp.where(bound, 1.0, 0.0), self.b, "bound")
        object.__setattr__(self, "_bounded", numbers)

    @property
    def _below(self) -> Array:
        """Where data are bounds."""
        bounded: Array = getattr(self, "_bounded")  # noqa: B009
        return bounded > 0

    def _loss_traits(self) -> Traits:
        xp = arrays.namespace(self.b)
        exact = not bool(xp.any(self._below))
        return Traits(lipschitz=1.0, strong_convexity=1.0 if exact else 0.0, quadratic=exact, separable=True)

    def _slope(self, u: Array) -> Array:
        xp = arrays.namespace(u, self.b)
        r = u - self.b
        return xp.where(self._below, xp.clip(r, 0.0, None), r)

    def _loss(self, u: Array) -> float:
        r = self._slope(u)
        return 0.5 * arrays.inner(r, r)

    def _curvature(self, u: Array) -> Array:
        xp = arrays.namespace(u, self.b)
        return xp.where(self._below & (u <= self.b), 0.0 * u, 0.0 * u + 1)

    def _loss_prox(self, u: Array, step: Any) -> Array:
        step = step_for(u, step)
        return u - self._slope(u) * (step / (1 + step))

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y, self.b)
        if bool(xp.any(self._below & (y < 0))):
            return math.inf
        return arrays.inner(y, self.b) + 0.5 * arrays.inner(y, y)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y, self.b)
        return xp.where(self._below, xp.clip(y, 0.0, None), y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0
