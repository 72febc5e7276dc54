"""The iteration of the accelerated primal-dual method for total variation, in one pass over memory.

Arrays are cut into bands of rows (or planes), one per thread, that overlap by a halo, so that a band
can run several iterations on its own: after each the outermost valid row is lost, and the halo is
copied anew from the neighbours when it is used up. Inside a band iteration ``k + 1`` follows iteration
``k`` at a distance of one row, so that a row is used by all of them while it lies in the cache.

A line is a row of the last axis. With ``C`` channels, ``R`` rows in a band and ``s`` lines in a row
(the middle axis of a volume, else 1), line ``(c * R + i) * s + k`` of a band holds channel ``c``, row ``i``:

====== ================================== ====================================================
x      ``(2, bands, C * R * s, width)``    two successive iterates; the parity tells the newer
q      ``(d, bands, C*(R+1)*s, width)``    dual; one row above the first, which holds zeros
b      ``(bands, C * R * s, width)``       data
radius ``(bands or 1, R * s or 1, width)`` bound on the dual's norm per pixel
====== ================================== ====================================================

Columns start at ``PAD``; what surrounds them lets every inner loop run without a border: before them
the dual is zero, behind them the extrapolated iterate repeats its last value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels._compile import kernel, part, prange

PAD = 16
"""Columns before the first and after the last column of the image: one vector of 64 bytes."""

ONE = np.float32(1)
TINY = np.float32(1e-30)
"""Constants in single precision: they widen to double where the arrays are double, and not the reverse.
Below ``TINY`` the processor's reciprocal square root overflows."""

# Each line function writes to few arrays and reads few: LLVM gives up a loop with more than eight pairs
# of arrays that might overlap.


@part
def extrapolate(x: Any, new: int, p: int, line: int, theta: float, out: Any, slot: int, m: int) -> None:
    """``out = x_new + theta (x_new - x_old)``, its last value repeated behind the last column."""
    for j in range(out.shape[2] - PAD):
        now = x[new, p, line, j + PAD]
        out[p, slot, j + PAD] = now + theta * (now - x[1 - new, p, line, j + PAD])
    last = out[p, slot, PAD + m - 1]
    for j in range(PAD + m, out.shape[2]):
        out[p, slot, j] = last


@part
def ascend_plane(
    q: Any, p: int, i: int, xb: Any, here: int, below: int, radius: Any, rp: int, ri: int, sigma: float
) -> None:
    """``q = projection of q + sigma D xb`` onto the disc of each pixel of row ``i``."""
    for j in range(xb.shape[2] - 2 * PAD):
        centre = xb[p, here, j + PAD]
        v = q[0, p, i + 1, j + PAD] + sigma * (xb[p, below, j + PAD] - centre)
        h = q[1, p, i + 1, j + PAD] + sigma * (xb[p, here, j + PAD + 1] - centre)
        r = radius[rp, ri, j + PAD]
        square = v * v + h * h
        scale = r / np.sqrt(max(square, TINY)) if square > r * r else ONE
        q[0, p, i + 1, j + PAD] = v * scale
        q[1, p, i + 1, j + PAD] = h * scale


@part
def ascend_plane_box(
    q: Any, p: int, i: int, xb: Any, here: int, below: int, radius: Any, rp: int, ri: int, sigma: float
) -> None:
    """As `ascend_plane`, onto the square of each pixel (anisotropic total variation)."""
    for j in range(xb.shape[2] - 2 * PAD):
        centre = xb[p, here, j + PAD]
        v = q[0, p, i + 1, j + PAD] + sigma * (xb[p, below, j + PAD] - centre)
        h = q[1, p, i + 1, j + PAD] + sigma * (xb[p, here, j + PAD + 1] - centre)
        r = radius[rp, ri, j + PAD]
        q[0, p, i + 1, j + PAD] = min(max(v, -r), r)
        q[1, p, i + 1, j + PAD] = min(max(h, -r), r)


@part
def descend_plane(
    x: Any, new: int, p: int, i: int, q: Any, b: Any, keep: float, move: float, lower: float, upper: float
) -> None:
    """``x_old = clip(keep x_new + move (b - D^T q))`` in row ``i``; it is the newer iterate from now on."""
    for j in range(x.shape[3] - 2 * PAD):
        div = (q[0, p, i + 1, j + PAD] - q[0, p, i, j + PAD]) + (
            q[1, p, i + 1, j + PAD] - q[1, p, i + 1, j + PAD - 1]
        )
        x[1 - new, p, i, j + PAD] = min(
            max(keep * x[new, p, i, j + PAD] + move * (b[p, i, j + PAD] + div), lower), upper
        )


def _advance_plane(
    x: Any, q: Any, b: Any, radius: Any, xb: Any, steps: Any, lower: float, upper: float,
    first_rows: Any, rows: Any, m: int, parity: int, depth: int, isotropic: int,
) -> None:  # fmt: skip
    bands = x.shape[1]
    own_radius = min(radius.shape[0] - 1, 1)
    row_radius = min(radius.shape[1] - 1, 1)
    for begin in range(0, steps.shape[0], depth):
        count = min(depth, steps.shape[0] - begin)
        if bands > 1:
            for p in prange(bands):
                refresh(x, q, p, first_rows, rows, depth, 1, 1)
        for p in prange(bands):
            n = rows[p]
            for front in range(n + count - 1):
                for k in range(max(0, front - n + 1), min(count, front + 1)):
                    i = front - k
                    sigma, theta = steps[begin + k, 0], steps[begin + k, 1]
                    new = (parity + begin + k) % 2
                    here, below = 2 * k + i % 2, 2 * k + (i + 1) % 2
                    if i == 0:
                        extrapolate(x, new, p, 0, theta, xb, here, m)
                    if i + 1 < n:
                        extrapolate(x, new, p, i + 1, theta, xb, below, m)
                    else:
                        below = here
                    if isotropic:
                        ascend_plane(q, p, i, xb, here, below, radius, p * own_radius, i * row_radius, sigma)
                    else:
                        ascend_plane_box(
                            q, p, i, xb, here, below, radius, p * own_radius, i * row_radius, sigma
                        )
                    descend_plane(x, new, p, i, q, b, steps[begin + k, 2], steps[begin + k, 3], lower, upper)


@part
def refresh(x: Any, q: Any, p: int, first_rows: Any, rows: Any, halo: int, channels: int, s: int) -> None:
    """Copy the halo rows of band ``p`` from the bands that own them."""
    last = x.shape[1] - 1
    xs = x.shape[2] // channels
    qs = q.shape[2] // channels
    for side in range(2):
        other = p - 1 + 2 * side
        if 0 <= other <= last:
            begin = (rows[p] - halo) * side
            shift = first_rows[p] - first_rows[other]
            for i in range(begin, begin + halo):
                for c in range(channels):
                    for k in range(s):
                        to, source = c * xs + i * s + k, c * xs + (i + shift) * s + k
                        for j in range(x.shape[3]):
                            x[0, p, to, j] = x[0, other, source, j]
                            x[1, p, to, j] = x[1, other, source, j]
                        to, source = c * qs + (i + 1) * s + k, c * qs + (i + 1 + shift) * s + k
                        for d in range(q.shape[0]):
                            for j in range(x.shape[3]):
                                q[d, p, to, j] = q[d, other, source, j]


advance_plane = kernel("w4 w4 r3 r3 w3 r2 s s j1 j1 i i i i")(_advance_plane)
"""Run ``steps.shape[0]`` iterations on one channel of an image (``C = s = 1``)."""
