"""Graphs of pixels: weights of a regular neighbourhood, and products with ``D - W`` of a symmetric ``W``.

A regular neighbourhood is a list of offsets, of each pair ``o, -o`` only one: ``weights[k, p]`` is the
weight between ``p`` and ``p + offsets[k]``, and 0 where that is outside. So each weight is stored once
and read at both of its ends, and all arrays have three axes (the leading ones of size 1 for images).

``D - W`` is a sum of differences, ``sum_q w_pq (x_p - x_q)``, which is exactly 0 on constants.
"""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import inline, kernel, prange


@inline
def _span(size: int, step: int) -> Any:
    """The places of a row from which ``step`` does not leave it."""
    return max(0, -step), size - max(0, step)


# Rows are handed on as views, whose indices start from 0: only then does the compiler use vectors.


@inline
def _add_squares(x: Any, neighbours: Any, out: Any) -> None:
    """``out += (x - neighbours)^2``."""
    for j in range(len(out)):
        difference = x[j] - neighbours[j]
        out[j] += difference * difference


@inline
def _add(x: Any, out: Any) -> None:
    """``out += x``."""
    for j in range(len(out)):
        out[j] += x[j]


@inline
def _add_flow(weights: Any, x: Any, neighbours: Any, out: Any) -> None:
    """``out += weights * (x - neighbours)``."""
    for j in range(len(out)):
        out[j] += weights[j] * (x[j] - neighbours[j])


@kernel("r4 j2 r1 w4", work=32)
def stencil_weights(features: Any, offsets: Any, spatial: Any, weights: Any) -> None:
    """``spatial[k] * exp(-|f_p - f_q|^2)`` with ``q = p + offsets[k]``; channels first."""
    n_offsets, depth, n, m = weights.shape
    for row in prange(depth * n):
        a, i = row // n, row % n
        for k in range(n_offsets):
            weights[k, a, i, :] = 0
            da, di, dj = a + offsets[k, 0], i + offsets[k, 1], offsets[k, 2]
            if da >= depth or di < 0 or di >= n:
                continue
            first, last = _span(m, dj)
            target = weights[k, a, i, first:last]
            for c in range(features.shape[0]):
                _add_squares(
                    features[c, a, i, first:last], features[c, da, di, first + dj : last + dj], target
                )
            for j in range(len(target)):
                target[j] = spatial[k] * math.exp(-target[j])


@kernel("r4 j2 w3")
def stencil_degrees(weights: Any, offsets: Any, degrees: Any) -> None:
    """The sum of the weights at each pixel."""
    n_offsets, depth, n, m = weights.shape
    for row in prange(depth * n):
        a, i = row // n, row % n
        degrees[a, i, :] = 0
        for k in range(n_offsets):
            back, up, dj = a - offsets[k, 0], i - offsets[k, 1], offsets[k, 2]
            _add(weights[k, a, i], degrees[a, i])
            if back >= 0 and back < depth and up >= 0 and up < n:
                first, last = _span(m, -dj)
                _add(weights[k, back, up, first - dj : last - dj], degrees[a, i, first:last])


@kernel("r4 j2 r3 w3")
def stencil_product(weights: Any, offsets: Any, x: Any, out: Any) -> None:
    """``(D - W) x``."""
    n_offsets, depth, n, m = weights.shape
    for row in prange(depth * n):
        a, i = row // n, row % n
        out[a, i, :] = 0
        for k in range(n_offsets):
            da, di, dj = offsets[k, 0], offsets[k, 1], offsets[k, 2]
            ahead, down = a + da, i + di
            if ahead >= 0 and ahead < depth and down >= 0 and down < n:
                first, last = _span(m, dj)
                there = x[ahead, down, first + dj : last + dj]
                _add_flow(weights[k, a, i, first:last], x[a, i, first:last], there, out[a, i, first:last])
            back, up = a - da, i - di
            if back >= 0 and back < depth and up >= 0 and up < n:
                first, last = _span(m, -dj)
                there = x[back, up, first - dj : last - dj]
                flow = weights[k, back, up, first - dj : last - dj]
                _add_flow(flow, x[a, i, first:last], there, out[a, i, first:last])


@kernel("r1 j1 j1 r1 w1")
def sparse_product(weights: Any, columns: Any, starts: Any, x: Any, out: Any) -> None:
    """``(D - W) x`` for a symmetric ``W`` in compressed rows."""
    for p in prange(len(out)):
        total = out.dtype.type(0)
        for k in range(starts[p], starts[p + 1]):
            total += weights[k] * (x[p] - x[columns[k]])
        out[p] = total
