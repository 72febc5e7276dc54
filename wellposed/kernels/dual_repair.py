"""Passes of the Douglas-Rachford steps that bring a dual field of an image into its balls."""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import kernel, prange


@kernel("r3 r2 r2 w3 w1 i")
def subtract_gradient(y: Any, phi: Any, radius: Any, q: Any, worst: Any, isotropic: int) -> None:
    """``q = y - D phi``, and for each row the largest size of ``q`` over its radius."""
    n, m = phi.shape
    zero = phi.dtype.type(0)
    for i in prange(n):
        down = min(i + 1, n - 1)
        for j in range(m - 1):
            q[0, i, j] = y[0, i, j] - (phi[down, j] - phi[i, j])
            q[1, i, j] = y[1, i, j] - (phi[i, j + 1] - phi[i, j])
        q[0, i, m - 1] = y[0, i, m - 1] - (phi[down, m - 1] - phi[i, m - 1])
        q[1, i, m - 1] = y[1, i, m - 1]
        largest = zero
        for j in range(m):
            a, b = q[0, i, j], q[1, i, j]
            if isotropic:
                ratio = math.sqrt(a * a + b * b) / radius[i, j]
            else:
                ratio = max(abs(a), abs(b)) / radius[i, j]
            largest = max(largest, ratio)
        worst[i] = largest


@kernel("r3 r2 w3 s i")
def reflect(q: Any, radius: Any, y: Any, enlarge: float, isotropic: int) -> None:
    """``y += P(2 q - y) - q`` with ``P`` the projection onto the balls of ``enlarge * radius``."""
    _, n, m = q.shape
    tiny = q.dtype.type(1e-30)
    for i in prange(n):
        for j in range(m):
            a, b = q[0, i, j], q[1, i, j]
            s, t = 2 * a - y[0, i, j], 2 * b - y[1, i, j]
            r = enlarge * radius[i, j]
            if isotropic:
                keep = r / max(math.sqrt(s * s + t * t), r + tiny)
                s, t = keep * s, keep * t
            else:
                s, t = min(max(s, -r), r), min(max(t, -r), r)
            y[0, i, j] += s - a
            y[1, i, j] += t - b
