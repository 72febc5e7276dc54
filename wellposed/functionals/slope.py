"""SLOPE: the sorted L1 norm, which gives large entries the large weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for
from wellposed.functionals.datafits import as_weights


@dataclass(frozen=True, eq=False)
class SLOPE(Functional):
    r"""The sorted L1 norm.

    .. math:: f(x) = \sum_i w_i |x|_{(i)}, \qquad |x|_{(1)} \ge |x|_{(2)} \ge \dots

    Parameters
    ----------
    weights : array
        ``w_1 >= w_2 >= ... >= 0``, one per entry of ``x``.

    Raises
    ------
    ValueError
        If the weights increase somewhere, or one is negative or not finite.

    Notes
    -----
    Entries of nearly equal size are made equal. ``prox`` sorts, subtracts the weights, and makes the
    result non-increasing by pooling adjacent violators. The conjugate is the indicator of the points
    whose ``k`` largest absolute values add up to at most the first ``k`` weights, for each ``k``.
    Source: M. Bogdan, E. van den Berg, C. Sabatti, W. Su and E. Candes, SLOPE: adaptive variable
    selection via convex optimization, 2015.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.SLOPE(np.array([2.0, 1.0, 0.0]))
    >>> f(np.array([1.0, -4.0, 2.0]))
    10.0
    >>> f.prox(np.array([1.0, -4.0, 3.5]), 1.0)
    array([ 1.  , -2.25,  2.25])
    """

    weights: Array

    def __post_init__(self) -> None:
        weights = as_weights(self.weights)
        if len(weights.shape) != 1 or weights.shape[0] == 0:
            raise ValueError(f"SLOPE takes a list of weights, got shape {tuple(weights.shape)}")
        if bool(arrays.namespace(weights).any(weights[1:] > weights[:-1])):
            raise ValueError("the weights of SLOPE must not increase: sort them, the largest first")
        object.__setattr__(self, "weights", weights)

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def _sizes(self, x: Array) -> tuple[np.ndarray, np.ndarray]:
        """Absolute values, flat, and the weights, in double precision."""
        host = np.abs(arrays.to_host(x).reshape(-1).astype(np.float64))
        w = arrays.to_host(self.weights).astype(np.float64)
        if host.size != w.size:
            raise ValueError(f"SLOPE has {w.size} weights, x has shape {tuple(x.shape)}")
        return host, w

    def _sorted(self, x: Array) -> tuple[np.ndarray, np.ndarray]:
        """Absolute values, the largest first, and the weights."""
        sizes, w = self._sizes(x)
        return np.sort(sizes)[::-1], w

    def __call__(self, x: Array) -> float:
        sizes, w = self._sorted(x)
        return float(w @ sizes)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        from scipy.optimize import isotonic_regression

        step = step_for(x, step)
        if not isinstance(step, float):
            raise ValueError(f"SLOPE.prox takes one step, got an array of shape {tuple(step.shape)}")
        sizes, w = self._sizes(x)
        large = _candidates(sizes, step * w)
        large = large[np.argsort(-sizes[large])]
        host = arrays.to_host(x)
        point = np.zeros(sizes.size, host.dtype)
        if large.size:
            kept = isotonic_regression(sizes[large] - step * w[: large.size], increasing=False).x
            # Adding 0 turns -0 into 0.
            point[large] = np.copysign(np.maximum(kept, 0), host.reshape(-1)[large]) + 0.0
        return arrays.from_host(point.reshape(host.shape), like=x)

    def _conjugate(self, y: Array) -> float:
        sizes, w = self._sorted(y)
        return math.inf if bool(np.any(np.cumsum(sizes) > np.cumsum(w))) else 0.0

    def project_dual(self, y: Array) -> Array:
        if self._conjugate(y) == 0.0:
            return y
        inside = y - self.prox(y, 1.0)
        return self.dual_scale(inside) * inside

    def dual_scale(self, y: Array) -> float:
        sizes, w = self._sorted(y)
        sums, limits = np.cumsum(sizes), np.cumsum(w)
        over = sums > limits
        if not bool(over.any()):
            return 1.0
        rounding = 4 * arrays.epsilon(y) + w.size * float(np.finfo(np.float64).eps)
        return float((limits[over] / sums[over]).min()) * (1 - rounding)

    def __str__(self) -> str:
        return f"SLOPE({self.weights.shape[0]} weights)"


def _candidates(sizes: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The places of entries that the proximal map may leave different from 0.

    If there are ``k`` of them, none is at most the ``k``-th weight: such entries would all lie behind those
    that are larger, with nothing above 0 left after the weights are subtracted.
    """
    count = sizes.size
    while True:
        large = np.flatnonzero(sizes > w[count - 1])
        if large.size in (0, count):
            return large
        count = large.size
