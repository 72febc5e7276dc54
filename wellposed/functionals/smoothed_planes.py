"""Smoothed total variation of planes in host memory, by compiled loops over pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.parameter import current
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient

BAND = 64
"""Rows of a band; the row above each is computed twice."""


@dataclass(frozen=True, eq=False)
class SmoothedPlanes:
    """``c f(D x)`` with a smoothed norm ``f`` of the differences ``D`` along the last axis or the last two.

    Parameters
    ----------
    weights : array
        For each pixel, times ``c``; of shape ``(1 or planes, 1 or rows, columns)``.
    eps : float
    joined : bool
        The two differences of a pixel stand in one norm.
    rows : int
        Of a plane; 1 where differences are taken along the last axis only.
    """

    weights: np.ndarray
    eps: float
    joined: bool
    rows: int

    @classmethod
    def of(cls, f: Functional, K: LinearOperator | None, x: Array) -> SmoothedPlanes | None:
        """For a functional of arrays like ``x``; ``None`` if loops do not know it, or not such arrays."""
        if not (isinstance(K, Gradient) and type(x) is np.ndarray and x.dtype.name in ("float32", "float64")):
            return None
        factor, norm = peel(f)
        ndim = len(K.domain_shape)
        if not isinstance(norm, SmoothedL21) or norm.axes not in ((), (0,)):
            return None
        if K.axes not in ((ndim - 1,), (ndim - 2, ndim - 1)):
            return None
        rows = K.domain_shape[-2] if len(K.axes) == 2 else 1
        weights = _weights(norm.weights, factor, K.domain_shape, len(K.axes), x.dtype)
        if weights is None:
            return None
        return cls(weights, float(current(norm.eps)), bool(norm.axes), rows)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """The gradient at ``x``."""
        from wellposed.kernels.smoothed_variation import slopes

        planes = self._planes(x)
        out = np.empty_like(planes)
        slopes(planes, self.weights, self.eps, int(self.joined), _lines(planes), out)
        return out.reshape(x.shape)

    def hessian_product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The Hessian at ``x`` times ``v``."""
        from wellposed.kernels.smoothed_variation import changes

        planes = self._planes(x)
        out = np.empty_like(planes)
        changes(planes, self._planes(v), self.weights, self.eps, int(self.joined), _lines(planes), out)
        return out.reshape(x.shape)

    def along_eps(self, x: np.ndarray, v: np.ndarray) -> float:
        """The derivative of <gradient, v> with respect to ``eps``."""
        from wellposed.kernels.smoothed_variation import along_rounding

        planes = self._planes(x)
        rows = np.empty(planes.shape[:2], planes.dtype)
        along_rounding(planes, self._planes(v), self.weights, self.eps, int(self.joined), rows)
        return arrays.total(rows)

    def _planes(self, x: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(x).reshape(-1, self.rows, x.shape[-1])


def _lines(planes: np.ndarray) -> np.ndarray:
    """Workspace: three rows for each band of each plane."""
    count, rows, columns = planes.shape
    return np.empty((count * math.ceil(rows / BAND), 3, columns), planes.dtype)


def _weights(given: Any, factor: float, shape: tuple[int, ...], planar: int, dtype: Any) -> np.ndarray | None:
    """Weights by planes, times ``factor``; ``None`` if they differ between the differences of a pixel."""
    if given is None:
        return np.full((1, 1, shape[-1]), factor, dtype)
    w = current(given)
    if type(w) not in (np.ndarray, float):
        return None
    w = np.reshape(w, (1,) * (len(shape) + 1 - np.ndim(w)) + np.shape(w))
    if w.shape[0] != 1:
        return None
    kept = len(shape) - planar
    same = math.prod(w.shape[1 : 1 + kept]) == 1
    wide = (*(1,) * kept, *shape[kept:]) if same else shape
    rows = shape[-2] if planar == 2 else 1
    return np.ascontiguousarray(factor * np.broadcast_to(w[0], wide), dtype).reshape(-1, rows, shape[-1])
