r"""One step of over-relaxed ADMM for total variation inside a quadratic model, in two passes.

The splits are ``u = D x`` with penalty ``r1`` and ``v = x`` with penalty ``r2``. For the increment
``d = x - z`` of an image, with relaxation ``a``, a step is

    p = a D x + y         u = shrink(p, radius / r1)     y <- p - a u
    t = a x + s           v = clip(t, lower, upper)      s <- t - a v

and the right-hand side of the next linear system is
``constant + D* force + push`` with ``force = r1 (2 u - p - D z)``, ``push = r2 (2 v - t - z)``. Taken
relative to ``z``, these stay small, and so does rounding.
"""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import kernel, prange


@kernel("r2 r2 r2 w3 w2 w3 w2 w2 s s s s s i")
def split(
    z: Any,
    d: Any,
    radius: Any,
    y: Any,
    s: Any,
    force: Any,
    push: Any,
    v: Any,
    a: float,
    r1: float,
    r2: float,
    lower: float,
    upper: float,
    isotropic: int,
) -> None:
    """Shrink the differences and clip the values; ``y`` and ``s`` are updated in place."""
    n, m = z.shape
    two, tiny = z.dtype.type(2), z.dtype.type(1e-30)
    zero = z.dtype.type(0)
    for i in prange(n):
        down = min(i + 1, n - 1)
        for j in range(m):
            right = min(j + 1, m - 1)
            here, zero_here = z[i, j] + d[i, j], z[i, j]
            z0, z1 = z[down, j] - zero_here, z[i, right] - zero_here
            p0 = a * (z0 + (d[down, j] - d[i, j])) + y[0, i, j]
            p1 = a * (z1 + (d[i, right] - d[i, j])) + y[1, i, j]
            threshold = radius[i, j] / r1
            if isotropic:
                size = math.sqrt(p0 * p0 + p1 * p1)
                keep = max(size - threshold, zero) / max(size, tiny)
                u0, u1 = keep * p0, keep * p1
            else:
                u0 = p0 - min(max(p0, -threshold), threshold)
                u1 = p1 - min(max(p1, -threshold), threshold)
            y[0, i, j] = p0 - a * u0
            y[1, i, j] = p1 - a * u1
            force[0, i, j] = r1 * (two * u0 - p0 - z0)
            force[1, i, j] = r1 * (two * u1 - p1 - z1)
            t = a * here + s[i, j]
            clipped = min(max(t, lower), upper)
            v[i, j] = clipped
            s[i, j] = t - a * clipped
            push[i, j] = r2 * (two * clipped - t - zero_here)


@kernel("r2 r3 r2 w2")
def gather(constant: Any, force: Any, push: Any, out: Any) -> None:
    """``out = constant + push + D* force``; ``force`` is 0 across the far edges."""
    n, m = out.shape
    for i in prange(n):
        above, before = max(i - 1, 0), out.dtype.type(i > 0)
        for j in range(m):
            out[i, j] = (
                constant[i, j] + push[i, j] - force[0, i, j] - force[1, i, j] + before * force[0, above, j]
            )
        for j in range(1, m):
            out[i, j] += force[1, i, j - 1]
