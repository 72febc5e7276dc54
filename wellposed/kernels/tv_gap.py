"""Primal and dual value of total variation denoising, in one pass over the arrays of `tv_sweep`."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels._compile import kernel, part, prange
from wellposed.kernels.tv_sweep import PAD, refresh


@part
def add_jumps(
    x: Any, new: int, p: int, here: int, there: int, shift: int, m: int, isotropic: int, out: Any
) -> None:
    """Add ``(x_there - x_here)^2`` or its root to ``out``; ``there`` lies ``shift`` columns to the right."""
    if isotropic:
        for j in range(m):
            jump = x[new, p, there, j + PAD + shift] - x[new, p, here, j + PAD]
            out[p, j] += jump * jump
    else:
        for j in range(m):
            out[p, j] += abs(x[new, p, there, j + PAD + shift] - x[new, p, here, j + PAD])


@part
def weigh_jumps(out: Any, p: int, radius: Any, rp: int, ri: int, m: int, isotropic: int) -> float:
    """Sum of radius times length of the jump over one line; ``out`` is zero again after it."""
    total = np.float64(0)
    if isotropic:
        for j in range(m):
            total += np.float64(radius[rp, ri, j + PAD] * np.sqrt(out[p, j]))
    else:
        for j in range(m):
            total += np.float64(radius[rp, ri, j + PAD] * out[p, j])
    for j in range(m):
        out[p, j] = 0
    return total


@part
def fidelity(x: Any, new: int, p: int, line: int, b: Any, m: int) -> float:
    """``1/2 ||x - b||^2`` over one line."""
    total = np.float64(0)
    for j in range(m):
        residual = np.float64(x[new, p, line, j + PAD]) - np.float64(b[p, line, j + PAD])
        total += residual * residual
    return 0.5 * total


@part
def dual_line(
    b: Any, q: Any, p: int, line: int, row: int, above: int, side: int, m: int, lower: float, upper: float
) -> float:
    """``min over lower <= x <= upper of 1/2 (x - b)^2 + x (D^T q)`` over one line, in double precision."""
    total = np.float64(0)
    last = q.shape[0] - 1
    low = np.float64(lower)
    high = np.float64(upper)
    for j in range(m):
        g = np.float64(q[0, p, above, j + PAD]) - np.float64(q[0, p, row, j + PAD])
        g += np.float64(q[last, p, row, j + PAD - 1]) - np.float64(q[last, p, row, j + PAD])
        if side >= 0:
            g -= np.float64(q[1, p, row, j + PAD])
            if side != row:
                g += np.float64(q[1, p, side, j + PAD])
        data = np.float64(b[p, line, j + PAD])
        x = min(max(data - g, low), high)
        total += 0.5 * (x - data) * (x - data) + x * g
    return total


def _values(
    x: Any, q: Any, b: Any, radius: Any, jump: Any, out: Any, lower: float, upper: float,
    own: Any, first_rows: Any, rows: Any, halo: int, channels: int, s: int, m: int, new: int, isotropic: int,
) -> None:  # fmt: skip
    own_radius = min(radius.shape[0] - 1, 1)
    row_radius = min(radius.shape[1] - 1, 1)
    xs = x.shape[2] // channels
    qs = q.shape[2] // channels
    if x.shape[1] > 1:
        # Iterations may have used up the halo, and the last row that a band owns needs the one below it.
        for p in prange(x.shape[1]):
            refresh(x, q, p, first_rows, rows, halo, channels, s)
    for p in prange(x.shape[1]):
        primal = np.float64(0)
        dual = np.float64(0)
        for i in range(own[p, 0], own[p, 1]):
            for k in range(s):
                for c in range(channels):
                    here = c * xs + i * s + k
                    row = c * qs + (i + 1) * s + k
                    side = -1
                    if s > 1:
                        side = row - 1 if k > 0 else row
                        if k + 1 < s:
                            add_jumps(x, new, p, here, here + 1, 0, m, isotropic, jump)
                    if i + 1 < rows[p]:
                        add_jumps(x, new, p, here, here + s, 0, m, isotropic, jump)
                    add_jumps(x, new, p, here, here, 1, m - 1, isotropic, jump)
                    primal += fidelity(x, new, p, here, b, m)
                    dual += dual_line(b, q, p, here, row, row - s, side, m, lower, upper)
                line = i * s + k
                primal += weigh_jumps(jump, p, radius, p * own_radius, line * row_radius, m, isotropic)
        # Two numbers of the kernel's dtype carry one in double precision.
        out[p, 0] = primal
        out[p, 1] = primal - np.float64(out[p, 0])
        out[p, 2] = dual
        out[p, 3] = dual - np.float64(out[p, 2])


values = kernel("w4 w4 r3 r3 w2 w2 s s j2 j1 j1 i i i i i i")(_values)
"""Write each band's primal value of ``x[new]`` and dual value of ``q`` to ``out``, two numbers for each."""
