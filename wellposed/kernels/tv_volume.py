"""The iteration of `tv_sweep` for volumes and for images of several channels; layout as stated there.

The pixel's dual vector holds the differences of all channels along all axes: 2 or 3 times ``C`` numbers.
One pass over memory per iteration; what a row needs more than once stays in the cache meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels._compile import kernel, part, prange
from wellposed.kernels.tv_sweep import ONE, PAD, TINY, extrapolate, refresh


@part
def ascend(
    q: Any, d: int, p: int, row: int, xb: Any, here: int, there: int, shift: int, sigma: float
) -> None:
    """``q_d = q_d + sigma (xb_there - xb_here)``, ``there`` taken ``shift`` columns to the right."""
    for j in range(xb.shape[2] - 2 * PAD):
        q[d, p, row, j + PAD] += sigma * (xb[p, there, j + PAD + shift] - xb[p, here, j + PAD])


@part
def add_square(q: Any, d: int, p: int, row: int, out: Any, slot: int, fresh: bool) -> None:
    """Add (or set, if ``fresh``) the square of the dual component to ``out``."""
    if fresh:
        for j in range(out.shape[2] - 2 * PAD):
            out[p, slot, j + PAD] = q[d, p, row, j + PAD] * q[d, p, row, j + PAD]
    else:
        for j in range(out.shape[2] - 2 * PAD):
            out[p, slot, j + PAD] += q[d, p, row, j + PAD] * q[d, p, row, j + PAD]


@part
def to_scale(out: Any, p: int, slot: int, radius: Any, rp: int, ri: int) -> None:
    """Turn squared norms into the factors that bring the vectors into their discs."""
    for j in range(out.shape[2] - 2 * PAD):
        square = out[p, slot, j + PAD]
        r = radius[rp, ri, j + PAD]
        out[p, slot, j + PAD] = r / np.sqrt(max(square, TINY)) if square > r * r else ONE


@part
def shrink(q: Any, d: int, p: int, row: int, scale: Any, slot: int) -> None:
    """Multiply the dual component by the factors."""
    for j in range(scale.shape[2] - 2 * PAD):
        q[d, p, row, j + PAD] *= scale[p, slot, j + PAD]


@part
def clamp(q: Any, d: int, p: int, row: int, radius: Any, rp: int, ri: int) -> None:
    """Project the dual component onto its interval."""
    for j in range(radius.shape[2] - 2 * PAD):
        r = radius[rp, ri, j + PAD]
        q[d, p, row, j + PAD] = min(max(q[d, p, row, j + PAD], -r), r)


@part
def diverge(q: Any, p: int, row: int, above: int, out: Any, slot: int) -> None:
    """``out = -D^T q`` along the first and last axis."""
    last = q.shape[0] - 1
    for j in range(out.shape[2] - 2 * PAD):
        out[p, slot, j + PAD] = (q[0, p, row, j + PAD] - q[0, p, above, j + PAD]) + (
            q[last, p, row, j + PAD] - q[last, p, row, j + PAD - 1]
        )


@part
def add_component(q: Any, p: int, row: int, sign: float, out: Any, slot: int) -> None:
    """Add the dual component along the middle axis, with a sign, to ``out``."""
    for j in range(out.shape[2] - 2 * PAD):
        out[p, slot, j + PAD] += sign * q[1, p, row, j + PAD]


@part
def descend(
    x: Any, new: int, p: int, line: int, div: Any, slot: int, b: Any,
    keep: float, move: float, lower: float, upper: float,
) -> None:  # fmt: skip
    """``x_old = clip(keep x_new + move (b + div))`` in one line; it is the newer iterate from now on."""
    for j in range(x.shape[3] - 2 * PAD):
        x[1 - new, p, line, j + PAD] = min(
            max(
                keep * x[new, p, line, j + PAD] + move * (b[p, line, j + PAD] + div[p, slot, j + PAD]), lower
            ),
            upper,
        )


def _advance_volume(  # noqa: PLR0912
    x: Any, q: Any, b: Any, radius: Any, scratch: Any, steps: Any, lower: float, upper: float,
    first_rows: Any, rows: Any, m: int, parity: int, isotropic: int, channels: int, s: int,
) -> None:  # fmt: skip
    bands = x.shape[1]
    own_radius = min(radius.shape[0] - 1, 1)
    row_radius = min(radius.shape[1] - 1, 1)
    xs = x.shape[2] // channels
    qs = q.shape[2] // channels
    axes = q.shape[0]
    plus = steps[0, 0] / steps[0, 0]
    for step in range(steps.shape[0]):
        new = (parity + step) % 2
        sigma, theta, keep, move = steps[step, 0], steps[step, 1], steps[step, 2], steps[step, 3]
        if bands > 1:
            for p in prange(bands):
                refresh(x, q, p, first_rows, rows, 1, channels, s)
        for p in prange(bands):
            # Scratch: 0 the factors, 1 the divergence, 2 to 4 the extrapolated iterate here, beside, below.
            for line in range(rows[p] * s):
                i, k = line // s, line % s
                for c in range(channels):
                    here, row = c * xs + line, c * qs + s + line
                    extrapolate(x, new, p, here, theta, scratch, 2, m)
                    ascend(q, axes - 1, p, row, scratch, 2, 2, 1, sigma)
                    if k + 1 < s:
                        extrapolate(x, new, p, here + 1, theta, scratch, 3, m)
                        ascend(q, 1, p, row, scratch, 2, 3, 0, sigma)
                    if i + 1 < rows[p]:
                        extrapolate(x, new, p, here + s, theta, scratch, 4, m)
                        ascend(q, 0, p, row, scratch, 2, 4, 0, sigma)
                    for d in range(axes):
                        if isotropic:
                            add_square(q, d, p, row, scratch, 0, c == 0 and d == 0)
                        else:
                            clamp(q, d, p, row, radius, p * own_radius, line * row_radius)
                if isotropic:
                    to_scale(scratch, p, 0, radius, p * own_radius, line * row_radius)
                for c in range(channels):
                    here, row = c * xs + line, c * qs + s + line
                    if isotropic:
                        for d in range(axes):
                            shrink(q, d, p, row, scratch, 0)
                    diverge(q, p, row, row - s, scratch, 1)
                    if axes == 3:
                        add_component(q, p, row, plus, scratch, 1)
                        if k > 0:
                            add_component(q, p, row - 1, -plus, scratch, 1)
                    descend(x, new, p, here, scratch, 1, b, keep, move, lower, upper)


advance_volume = kernel("w4 w4 r3 r3 w3 r2 s s j1 j1 i i i i i")(_advance_volume)
"""Run ``steps.shape[0]`` iterations on ``C`` channels of an image or volume; the halo is one row deep."""
