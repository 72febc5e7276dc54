r"""Gradient and Hessian products of smoothed total variation of a stack of planes, in one pass.

With the forward differences ``d`` of a pixel, 0 across the far edges, and weights ``w``,

    f(x) = sum_i w_i (sqrt(|d_i|^2 + e^2) - e)

where the two differences of a pixel are joined in one norm, or each stands on its own. A pixel gives the
slopes ``p`` (downwards) and ``q`` (to the right), which it loses and its neighbours get. Bands of rows are
independent: each computes the slopes of the row above it again. ``lines[task]`` is workspace of three rows.

Weights are repeated along axes of size 1; their last axis has the length of a row.
"""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import inline, kernel, prange

WORK = 4
"""A pixel takes a root or two and as many divisions."""


@inline
def row_of_slopes(x: Any, i: Any, w: Any, e: Any, joined: Any, p: Any, q: Any) -> None:
    """Slopes of row ``i``; 0 where differences cross the far edges."""
    n, m = x.shape
    here, below, square = x[i], x[min(i + 1, n - 1)], e * e
    if joined:
        for j in range(m - 1):
            down, right = below[j] - here[j], here[j + 1] - here[j]
            factor = w[j] / math.sqrt(down * down + right * right + square)
            p[j] = factor * down
            q[j] = factor * right
    else:
        for j in range(m - 1):
            down, right = below[j] - here[j], here[j + 1] - here[j]
            p[j] = w[j] * down / math.sqrt(down * down + square)
            q[j] = w[j] * right / math.sqrt(right * right + square)
    down = below[m - 1] - here[m - 1]
    p[m - 1] = w[m - 1] * down / math.sqrt(down * down + square)
    q[m - 1] = 0


@inline
def bend(difference: Any, e: Any) -> Any:
    """The second derivative ``e^2 / root^3``, in an order that does not underflow."""
    inverse = 1 / math.sqrt(difference * difference + e * e)
    part = e * inverse
    return part * part * inverse


@inline
def row_of_changes(x: Any, v: Any, i: Any, w: Any, e: Any, joined: Any, p: Any, q: Any) -> None:
    """How the slopes of row ``i`` change along ``v``."""
    n, m = x.shape
    k = min(i + 1, n - 1)
    here, below, square = x[i], x[k], e * e
    v_here, v_below = v[i], v[k]
    if joined:
        for j in range(m - 1):
            down, right = below[j] - here[j], here[j + 1] - here[j]
            v_down, v_right = v_below[j] - v_here[j], v_here[j + 1] - v_here[j]
            power = down * down + right * right + square
            factor = w[j] / math.sqrt(power)
            along = (down * v_down + right * v_right) / power
            p[j] = factor * (v_down - along * down)
            q[j] = factor * (v_right - along * right)
    else:
        for j in range(m - 1):
            down, right = below[j] - here[j], here[j + 1] - here[j]
            p[j] = w[j] * bend(down, e) * (v_below[j] - v_here[j])
            q[j] = w[j] * bend(right, e) * (v_here[j + 1] - v_here[j])
    down = below[m - 1] - here[m - 1]
    p[m - 1] = w[m - 1] * bend(down, e) * (v_below[m - 1] - v_here[m - 1])
    q[m - 1] = 0


@inline
def give(out: Any, above: Any, p: Any, q: Any) -> None:
    """``out``: what a row gets from the row above and from the left, less what it loses."""
    m = out.shape[0]
    out[0] = above[0] - p[0] - q[0]
    for j in range(1, m):
        out[j] = above[j] - p[j] - q[j] + q[j - 1]


@kernel("r3 r3 s i w3 w3", work=WORK)
def slopes(x: Any, weights: Any, e: float, joined: int, lines: Any, out: Any) -> None:
    """The gradient at ``x``; ``lines`` has three rows for each band of each plane."""
    planes, n, _ = x.shape
    bands = lines.shape[0] // planes
    for task in prange(lines.shape[0]):
        plane, band = task // bands, task % bands
        first, last = band * n // bands, (band + 1) * n // bands
        w = weights[min(plane, weights.shape[0] - 1)]
        above, p, q = lines[task, 0], lines[task, 1], lines[task, 2]
        above[:] = 0
        if first > 0:
            k = first - 1
            row_of_slopes(x[plane], k, w[min(k, w.shape[0] - 1)], e, joined, above, q)
        for i in range(first, last):
            row_of_slopes(x[plane], i, w[min(i, w.shape[0] - 1)], e, joined, p, q)
            give(out[plane, i], above, p, q)
            above[:] = p


@kernel("r3 r3 r3 s i w3 w3", work=WORK)
def changes(x: Any, v: Any, weights: Any, e: float, joined: int, lines: Any, out: Any) -> None:
    """The Hessian at ``x`` times ``v``; ``lines`` as in `slopes`."""
    planes, n, _ = x.shape
    bands = lines.shape[0] // planes
    for task in prange(lines.shape[0]):
        plane, band = task // bands, task % bands
        first, last = band * n // bands, (band + 1) * n // bands
        w = weights[min(plane, weights.shape[0] - 1)]
        above, p, q = lines[task, 0], lines[task, 1], lines[task, 2]
        above[:] = 0
        if first > 0:
            k = first - 1
            row_of_changes(x[plane], v[plane], k, w[min(k, w.shape[0] - 1)], e, joined, above, q)
        for i in range(first, last):
            row_of_changes(x[plane], v[plane], i, w[min(i, w.shape[0] - 1)], e, joined, p, q)
            give(out[plane, i], above, p, q)
            above[:] = p


@kernel("r3 r3 r3 s i w2", work=WORK)
def along_rounding(x: Any, v: Any, weights: Any, e: float, joined: int, rows: Any) -> None:
    """``rows[k, i]``: the part of row ``i`` in the derivative of <gradient, v> with respect to ``e``."""
    planes, n, m = x.shape
    for task in prange(planes * n):
        k, i = task // n, task % n
        under, square = min(i + 1, n - 1), e * e
        w = weights[min(k, weights.shape[0] - 1), min(i, weights.shape[1] - 1)]
        here, below, v_here, v_below = x[k, i], x[k, under], v[k, i], v[k, under]
        total = 0.0
        for j in range(m):
            # Across the far edge the neighbour is the pixel itself.
            beside = min(j + 1, m - 1)
            down, right = below[j] - here[j], here[beside] - here[j]
            v_down, v_right = v_below[j] - v_here[j], v_here[beside] - v_here[j]
            if joined:
                power = down * down + right * right + square
                total -= w[j] * (down * v_down + right * v_right) / power * (e / math.sqrt(power))
            else:
                # The derivative of d / sqrt(d^2 + e^2) along e is -(d / e) times that along d.
                total -= w[j] * (down / e * bend(down, e) * v_down + right / e * bend(right, e) * v_right)
        rows[k, i] = total
