"""Dual vectors of pairs of rows: one step of them, and their sum over the pairs of each row."""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import kernel, prange


@kernel("j1 j1 r1 r1 r2 s w2", work=4)
def advance_pairs(
    first: Any, second: Any, share: Any, longest: Any, x: Any, sigma: float, duals: Any
) -> None:
    """``duals_p += sigma (share_i x_i - share_j x_j)`` of each pair, then at most ``longest_p`` long."""
    zero = x.dtype.type(0)
    for p in prange(len(first)):
        i, j = first[p], second[p]
        here, there = sigma * share[i], sigma * share[j]
        y, u, v = duals[p], x[i], x[j]
        squares = zero
        for c in range(len(y)):
            value = y[c] + here * u[c] - there * v[c]
            y[c] = value
            squares += value * value
        length = math.sqrt(squares)
        if length > longest[p]:
            keep = longest[p] / length
            for c in range(len(y)):
                y[c] *= keep


@kernel("j1 j1 r1 r2 w2", work=8)
def gather_pairs(starts: Any, pairs: Any, factors: Any, duals: Any, total: Any) -> None:
    """``total_i``, the sum of ``factors_k`` times the duals of ``pairs_k`` for ``k`` from ``starts_i`` on."""
    zero = duals.dtype.type(0)
    for i in prange(len(starts) - 1):
        out = total[i]
        out[:] = zero
        for k in range(starts[i], starts[i + 1]):
            y, factor = duals[pairs[k]], factors[k]
            for c in range(len(out)):
                out[c] += factor * y[c]
