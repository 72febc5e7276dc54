"""Forward differences, their adjoint, and the bounds of the dual variable of total variation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def gradient(x: Array, channels: bool = False) -> Array:
    """Forward differences ``D x`` along each axis (but that of the channels), zero across the far border."""
    first = 1 if channels else 0
    out = np.zeros((x.ndim - first, *x.shape), x.dtype)
    for d in range(x.ndim - first):
        here, there = _sides(x.ndim, d + first)
        np.subtract(x[there], x[here], out=out[d][here])
    return out


def adjoint_gradient(q: Array, channels: bool = False) -> Array:
    """``D^T q``, the exact adjoint of `gradient` (minus the divergence); ignores ``q`` at the far border."""
    first = 1 if channels else 0
    out = np.zeros(q.shape[1:], q.dtype)
    for d in range(q.shape[0]):
        here, there = _sides(out.ndim, d + first)
        out[here] -= q[d][here]
        out[there] += q[d][here]
    return out


def project(
    q: Array, bound: Array | np.floating[Any], isotropic: bool = True, channels: bool = False
) -> Array:
    """The nearest dual variable within ``bound``, zero where differences cross the far border."""
    first = 1 if channels else 0
    out = np.zeros_like(q)
    for d in range(q.shape[0]):
        here, _ = _sides(q.ndim - 1, d + first)
        out[d][here] = q[d][here]
    if not isotropic:
        clipped: Array = np.minimum(np.maximum(out, -bound), bound)
        return clipped
    norm = np.sqrt((out * out).sum(axis=(0, 1) if channels else 0))
    scale = np.divide(bound, norm, out=np.ones_like(norm), where=norm > bound)
    out *= scale
    return out


def _sides(ndim: int, axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """All but the last, and all but the first index along ``axis``."""
    before = (slice(None),) * axis
    return (*before, slice(None, -1)), (*before, slice(1, None))
