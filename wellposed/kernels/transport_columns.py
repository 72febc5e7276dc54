"""Columns of a transport plan in closed form, from the potentials of its rows.

All arrays lie with one *row* per target, so that a target's entries are next to each other:
``cost[j, i]`` is the cost from source ``i`` to target ``j``.
"""

from __future__ import annotations

from typing import Any

from numba import prange

from wellposed.kernels._compile import kernel


@kernel("r2 r1 w1", fastmath=False)
def c_transform(cost: Any, f: Any, g: Any) -> None:
    """``g_j = min_i cost[j, i] - f_i``: the largest ``g`` with ``f_i + g_j <= cost``."""
    n, m = cost.shape
    for j in prange(n):
        least = cost[j, 0] - f[0]
        for i in range(1, m):
            least = min(least, cost[j, i] - f[i])
        g[j] = least


@kernel("r2 r1 r1 s w1 w2 w1", fastmath=False, work=16)
def quadratic_columns(cost: Any, f: Any, b: Any, reg: float, g: Any, plan: Any, count: Any) -> None:
    """``plan = [f + g - cost]_+ / reg`` with the ``g_j`` for which row ``j`` sums to ``b_j``.

    Newton's method on a convex, piecewise linear function, from the ``g`` handed in: it ends after
    finitely many steps. ``count`` is the number of positive entries of each row.
    """
    n, m = cost.shape
    zero = g.dtype.type(0)
    for j in prange(n):
        target = reg * b[j]
        top = f[0] - cost[j, 0]
        for i in range(1, m):
            top = max(top, f[i] - cost[j, i])
        # The root is between target / m - top and target - top.
        low, high = target / m - top, target - top
        shift = min(max(g[j], low), high)
        for _ in range(200):
            total, active = zero, 0
            for i in range(m):
                s = f[i] - cost[j, i] + shift
                if s > zero:
                    total += s
                    active += 1
            if active == 0:
                shift = high
                continue
            moved = shift - (total - target) / active
            moved = min(max(moved, low), high)
            # From the right of the root the steps go left and stop; a step to the right comes once at most.
            if moved == shift or (total >= target and moved >= shift):
                break
            shift = moved
        g[j] = shift
        active = 0
        total = zero
        for i in range(m):
            s = f[i] - cost[j, i] + shift
            p = s / reg if s > zero else zero
            plan[j, i] = p
            total += p
            if s > zero:
                active += 1
        count[j] = active
        if total > zero:
            scale = b[j] / total
            for i in range(m):
                plan[j, i] *= scale
