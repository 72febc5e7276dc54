"""Columns of a transport plan in closed form, from the potentials of its rows.

All arrays lie with one *row* per target, so that a target's entries are next to each other:
``cost[j, i]`` is the cost from source ``i`` to target ``j``.
"""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import inline, kernel, prange


@kernel("r2 r1 w1", fastmath=False)
def c_transform(cost: Any, f: Any, g: Any) -> None:
    """``g_j = min_i cost[j, i] - f_i``: the largest ``g`` with ``f_i + g_j <= cost``."""
    n, m = cost.shape
    for j in prange(n):
        least = cost[j, 0] - f[0]
        for i in range(1, m):
            least = min(least, cost[j, i] - f[i])
        g[j] = least


@inline
def _largest_gap(f: Any, cost: Any) -> Any:
    """``max_i f_i - cost_i``."""
    top = f[0] - cost[0]
    for i in range(1, len(f)):
        top = max(top, f[i] - cost[i])
    return top


@inline
def _positive_part(f: Any, cost: Any, shift: Any) -> Any:
    """Sum and number of the positive entries of ``f - cost + shift``."""
    total, active = f.dtype.type(0), f.dtype.type(0)
    zero, one = f.dtype.type(0), f.dtype.type(1)
    for i in range(len(f)):
        s = f[i] - cost[i] + shift
        total += s if s > zero else zero
        active += one if s > zero else zero
    return total, active


@kernel("r2 r1 r1 s w1 w2 w1", work=16)
def quadratic_columns(cost: Any, f: Any, b: Any, reg: float, g: Any, plan: Any, count: Any) -> None:
    """``plan = [f + g - cost]_+ / reg`` with the ``g_j`` for which row ``j`` sums to ``b_j``.

    Newton's method on a convex, piecewise linear function, from the ``g`` handed in: it ends after
    finitely many steps. ``count`` is the number of positive entries of each row.
    """
    n, m = cost.shape
    zero = g.dtype.type(0)
    for j in prange(n):
        target = reg * b[j]
        top = _largest_gap(f, cost[j])
        # The root is between target / m - top and target - top.
        low, high = target / m - top, target - top
        shift = min(max(g[j], low), high)
        right = False
        for _ in range(100):
            total, active = _positive_part(f, cost[j], shift)
            if active == zero:
                shift, right = high, False
                continue
            # From the right of the root all steps go left, until rounding ends them.
            if right and total <= target:
                break
            right = total > target
            moved = min(max(shift - (total - target) / active, low), high)
            if moved == shift:
                break
            shift = moved
        g[j] = shift
        total, active = _positive_part(f, cost[j], shift)
        count[j] = active
        # Sums of positive parts may miss b_j by rounding; the plan does not.
        scale = b[j] / total if total > zero else zero
        out, here = plan[j], cost[j]
        for i in range(m):
            s = f[i] - here[i] + shift
            out[i] = scale * s if s > zero else zero


@inline
def _grouped_part(f: Any, cost: Any, starts: Any, eta: Any, shift: Any) -> Any:
    """Sum of the groups of ``[f - cost + shift]_+``, each shortened by ``eta``, and its slope."""
    zero, one = f.dtype.type(0), f.dtype.type(1)
    total, slope = zero, zero
    for k in range(len(starts) - 1):
        squares, summed, active = zero, zero, zero
        for i in range(starts[k], starts[k + 1]):
            s = f[i] - cost[i] + shift
            s = s if s > zero else zero
            squares += s * s
            summed += s
            active += one if s > zero else zero
        norm = math.sqrt(squares)
        if norm > eta:
            keep = one - eta / norm
            total += keep * summed
            slope += keep * active + eta * summed * summed / (norm * squares)
    return total, slope


@kernel("r2 r1 r1 j1 s s w1 w2", work=16)
def grouped_columns(
    cost: Any, f: Any, b: Any, starts: Any, reg: float, eta: float, g: Any, plan: Any
) -> None:
    """As `quadratic_columns`, with ``eta`` times the norm of each group of entries as a second penalty.

    Groups are consecutive entries, those of group ``k`` from ``starts[k]`` on.
    """
    n = cost.shape[0]
    zero, one = g.dtype.type(0), g.dtype.type(1)
    for j in prange(n):
        target = reg * b[j]
        top = _largest_gap(f, cost[j])
        # At low the largest group is at most as long as eta; at high its largest entry alone is enough.
        low, high = -top, target + eta - top
        shift = min(max(g[j], low), high)
        for _ in range(200):
            total, slope = _grouped_part(f, cost[j], starts, eta, shift)
            if total > target:
                high = shift
            else:
                low = shift
            moved = shift - (total - target) / slope if slope > zero else high
            if not low < moved < high:
                moved = (low + high) / 2
            if moved == shift or abs(total - target) <= 1e-15 * target:
                break
            shift = moved
        g[j] = shift
        out, here, total = plan[j], cost[j], zero
        for k in range(len(starts) - 1):
            squares = zero
            for i in range(starts[k], starts[k + 1]):
                s = f[i] - here[i] + shift
                s = s if s > zero else zero
                out[i] = s
                squares += s * s
            norm = math.sqrt(squares)
            keep = one - eta / norm if norm > eta else zero
            for i in range(starts[k], starts[k + 1]):
                out[i] *= keep
                total += out[i]
        scale = b[j] / total if total > zero else zero
        for i in range(len(out)):
            out[i] *= scale
