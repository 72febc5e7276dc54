"""Weighted differences between pairs of rows, fused into one pass over a symmetric graph."""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import inline, kernel, prange


@inline
def _distance(x: Any, y: Any) -> Any:
    """Euclidean distance of two rows, handed in as views."""
    total = x.dtype.type(0)
    for k in range(len(x)):
        difference = x[k] - y[k]
        total += difference * difference
    return math.sqrt(total)


@kernel("j1 j1 r1 r2 s w2 w1 w1 w1", work=16)
def pair_flow(
    starts: Any,
    columns: Any,
    weights: Any,
    z: Any,
    mu: float,
    flow: Any,
    size: Any,
    smooth: Any,
    degree: Any,
) -> None:
    """For each row ``i`` of a symmetric graph in compressed rows, with ``d_j = |z_i - z_j|``.

    ``flow_i = sum_j w_ij (z_i - z_j) / max(d_j, mu)`` and ``degree_i`` the sum of those factors;
    ``size_i`` and ``smooth_i``: half the sum of ``w_ij d_j``, and of its Huber function.
    """
    n = z.shape[0]
    zero, half = z.dtype.type(0), z.dtype.type(0.5)
    for i in prange(n):
        out = flow[i]
        out[:] = zero
        here = z[i]
        total, smoothed, factors = zero, zero, zero
        for k in range(starts[i], starts[i + 1]):
            there = z[columns[k]]
            d = _distance(here, there)
            w = weights[k]
            factor = w / max(d, mu)
            total += w * d
            smoothed += w * (d - half * mu if d > mu else half * d * d / mu)
            factors += factor
            for c in range(len(out)):
                out[c] += factor * (here[c] - there[c])
        size[i] = half * total
        smooth[i] = half * smoothed
        degree[i] = factors


@kernel("j1 j1 r2 w1", work=8)
def pair_distances(first: Any, second: Any, z: Any, sizes: Any) -> None:
    """``|z_i - z_j|`` of each pair."""
    for k in prange(len(sizes)):
        sizes[k] = _distance(z[first[k]], z[second[k]])
