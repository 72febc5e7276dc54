"""Forward differences of images and volumes, zero across the far edges, and their adjoint, in one pass.

``out[k, i] = x[i + e_k] - x[i]`` where ``i + e_k`` is in the array, else 0. The adjoint gathers: what
``y[k, i]`` adds to ``i + e_k`` and takes from ``i`` is read from both neighbours, so rows are
independent of each other.
"""

from __future__ import annotations

from typing import Any

from wellposed.kernels._compile import kernel, prange


@kernel("r2 w3")
def gradient_plane(x: Any, out: Any) -> None:
    """Differences of an image along its two axes."""
    n, m = x.shape
    for i in prange(n):
        down = min(i + 1, n - 1)
        for j in range(m):
            out[0, i, j] = x[down, j] - x[i, j]
        for j in range(m - 1):
            out[1, i, j] = x[i, j + 1] - x[i, j]
        out[1, i, m - 1] = 0


@kernel("r3 w2")
def adjoint_plane(y: Any, out: Any) -> None:
    """Adjoint of `gradient_plane`."""
    n, m = out.shape
    for i in prange(n):
        # A weight of 0 stands for a neighbour across the border, whatever (finite) number is read there.
        above, here = max(i - 1, 0), out.dtype.type(i < n - 1)
        before = out.dtype.type(i > 0)
        out[i, 0] = before * y[0, above, 0] - here * y[0, i, 0]
        for j in range(1, m):
            out[i, j] = before * y[0, above, j] - here * y[0, i, j] + y[1, i, j - 1]
        for j in range(m - 1):
            out[i, j] -= y[1, i, j]


@kernel("r3 w4")
def gradient_volume(x: Any, out: Any) -> None:
    """Differences of a volume along its three axes."""
    n, m, p = x.shape
    for i in prange(n):
        deep = min(i + 1, n - 1)
        for j in range(m):
            down = min(j + 1, m - 1)
            for k in range(p):
                out[0, i, j, k] = x[deep, j, k] - x[i, j, k]
                out[1, i, j, k] = x[i, down, k] - x[i, j, k]
            for k in range(p - 1):
                out[2, i, j, k] = x[i, j, k + 1] - x[i, j, k]
            out[2, i, j, p - 1] = 0


@kernel("r4 w3")
def adjoint_volume(y: Any, out: Any) -> None:
    """Adjoint of `gradient_volume`."""
    n, m, p = out.shape
    for i in prange(n):
        above, here = max(i - 1, 0), out.dtype.type(i < n - 1)
        before = out.dtype.type(i > 0)
        for j in range(m):
            up, at = max(j - 1, 0), out.dtype.type(j < m - 1)
            past = out.dtype.type(j > 0)
            for k in range(p):
                out[i, j, k] = (
                    before * y[0, above, j, k]
                    - here * y[0, i, j, k]
                    + past * y[1, i, up, k]
                    - at * y[1, i, j, k]
                )
            for k in range(1, p):
                out[i, j, k] += y[2, i, j, k - 1]
            for k in range(p - 1):
                out[i, j, k] -= y[2, i, j, k]
