"""The sum of clipped linear functions and its slope, in one pass."""

from __future__ import annotations

from typing import Any

from wellposed.kernels._compile import kernel, prange


@kernel("r1 r1 s w1", fastmath={"reassoc", "contract", "nsz"})
def share_sums(c: Any, td: Any, h: float, sums: Any) -> None:
    """``sums[0] = sum(min(max(h c - td, 0), 1))``; ``sums[1]`` is its derivative in ``h``."""
    zero, one = c.dtype.type(0), c.dtype.type(1)
    total, slope = zero, zero
    for i in prange(c.size):
        v = h * c[i] - td[i]
        total += min(max(v, zero), one)
        slope += c[i] if zero < v < one else zero
    sums[0] = total
    sums[1] = slope
