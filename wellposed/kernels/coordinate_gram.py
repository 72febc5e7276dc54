r"""Coordinate descent on a small quadratic with known Gram matrix, for the columns of a working set.

.. math:: \min_x \tfrac12 x^T G x - c^T x + \sum_j w_j |x_j|, \qquad l \le x_j \le h

The pull ``v = c - G x`` is kept up to date, so that a coordinate that stays where it is costs a few
operations, and one that moves costs one row of ``G``.
"""

from __future__ import annotations

import numpy as np

from wellposed.kernels._compile import inline, kernel


@inline
def minimiser(x, v, curvature, w, low, high):  # type: ignore[no-untyped-def]
    """Where a coordinate at ``x`` with pull ``v`` goes."""
    if curvature > 0:
        z = x + v / curvature
        t = w / curvature
        if z > t:
            z -= t
        elif z < -t:
            z += t
        else:
            z *= 0
    else:
        z = 0 * x
    return min(max(z, low), high)


@kernel("w1 w1 r2 r1 s s i s w1", work=0)
def sweeps(x, v, G, w, low, high, most, tol, report):  # type: ignore[no-untyped-def]
    """Up to ``most`` sweeps over ``x``, fewer once no coordinate has a slope above ``tol``.

    ``report`` gets the largest slope met in the last sweep and the number of sweeps.
    """
    count = x.size
    for sweep in range(most):
        worst = 0 * tol
        for j in range(count):
            curvature = G[j, j]
            new = minimiser(x[j], v[j], curvature, w[j], low, high)
            step = new - x[j]
            if step != 0:
                x[j] = new
                worst = max(worst, abs(step) * curvature)
                for i in range(count):
                    v[i] -= step * G[j, i]
        report[0] = worst
        report[1] = sweep + 1
        if worst <= tol:
            break


@inline
def shrink(x, step, start, end, keep):  # type: ignore[no-untyped-def]
    """Move a group of ``x`` to a part of ``step``, which becomes the change; return its squared length."""
    moved = 0 * keep
    for j in range(start, end):
        new = keep * step[j]
        step[j] = new - x[j]
        x[j] = new
        moved += step[j] * step[j]
    return moved


@kernel("w1 w1 r2 j1 r1 r1 r1 i s w1", work=0)
def group_sweeps(x, v, G, first, curvature, w, l1, most, tol, report):  # type: ignore[no-untyped-def]
    r"""As `sweeps`, for :math:`\sum_g w_g \|x_g\| + \sum_j m_j |x_j|` with groups of adjacent entries.

    Group ``g`` is ``first[g]`` to ``first[g + 1]``; ``curvature[g]`` bounds the largest eigenvalue of its
    block of ``G``. Each group takes one proximal gradient step.
    """
    count = x.size
    step = np.empty_like(x)
    for sweep in range(most):
        worst = 0 * tol
        for g in range(first.size - 1):
            a, b, L = first[g], first[g + 1], curvature[g]
            square = 0 * tol
            for j in range(a, b):
                z = minimiser(x[j], v[j], L, l1[j], -np.inf, np.inf)
                step[j] = z
                square += z * z
            size = np.sqrt(square)
            keep = max(1 - w[g] / (L * size), 0 * tol) if size > 0 and L > 0 else 0 * tol
            moved = shrink(x, step, a, b, keep)
            if moved > 0:
                worst = max(worst, np.sqrt(moved) * L)
                for j in range(a, b):
                    if step[j] != 0:
                        for i in range(count):
                            v[i] -= step[j] * G[j, i]
        report[0] = worst
        report[1] = sweep + 1
        if worst <= tol:
            break
