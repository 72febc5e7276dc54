r"""Block coordinate descent on the columns of a dense matrix, with the slope in data space kept up to date.

For more columns than rows, where the Gram matrix of `coordinate_gram` would be larger than the columns.
"""

from __future__ import annotations

import numpy as np

from wellposed.kernels._compile import inline, kernel
from wellposed.kernels.coordinate_gram import minimiser, shrink


@inline
def is_zero(x, start, end):  # type: ignore[no-untyped-def]
    """Whether a group is zero."""
    used = 0
    for j in range(start, end):
        used += x[j] != 0
    return used == 0


@inline
def product(row, slope):  # type: ignore[no-untyped-def]
    """The inner product of a column with the slope."""
    total = 0 * slope[0]
    for i in range(slope.size):
        total += row[i] * slope[i]
    return total


@inline
def kept(omega, curvature, size):  # type: ignore[no-untyped-def]
    """The part of a group of some size that its norm, weighted with ``omega``, leaves."""
    if omega == 0:
        return 1 + 0 * size
    if size == 0 or curvature == 0:
        return 0 * size
    return max(1 - omega / (curvature * size), 0 * size)


@kernel("w1 w1 r2 j1 r1 r1 r1 r1 r1 r1 r1 s s s s w2 w1", work=0)
def sweeps(  # type: ignore[no-untyped-def]
    x, slope, columns, first, h, curvature, pulled, a, q, omega, w, low, high, mass, tol, trail, report
):
    r"""A sweep over ``x`` for each row of ``trail``, fewer once no group has a slope above ``tol``.

    Sweeps after the first pass over the groups that are zero. The problem is that of `coordinate_sparse`,
    plus :math:`\sum_g \omega_g \|x_g\|`, with bounds where ``omega`` is 0. Row ``j`` of ``columns`` is
    column ``j`` of ``A``; group ``g`` is ``first[g]`` to ``first[g + 1]``. ``slope``, ``pulled``, ``mass``
    and ``report`` are as there.
    """
    total = report[2]
    rows = slope.size
    step = np.empty_like(x)
    for sweep in range(trail.shape[0]):
        worst = 0 * tol
        for g in range(first.size - 1):
            start, end, L = first[g], first[g + 1], curvature[g]
            if sweep > 0 and is_zero(x, start, end):
                continue
            square = 0 * tol
            for j in range(start, end):
                v = q[j] - a[j] * x[j] - product(columns[j], slope)
                if mass > 0:
                    v += pulled[j] * (total / mass)
                step[j] = minimiser(x[j], v, L, w[j], low, high)
                square += step[j] * step[j]
            size = np.sqrt(square)
            keep = kept(omega[g], L, size)
            moved = shrink(x, step, start, end, keep)
            if moved > 0:
                worst = max(worst, np.sqrt(moved) * L)
                for j in range(start, end):
                    if step[j] != 0:
                        for i in range(rows):
                            slope[i] += step[j] * h[i] * columns[j, i]
                        total += step[j] * pulled[j]
        trail[sweep] = x
        if sweep == 0:
            report[0] = worst
        report[1] = sweep + 1
        if worst <= tol:
            break
    report[2] = total
