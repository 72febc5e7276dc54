r"""Block coordinate descent for one score per class, with the slopes of all scores kept up to date.

.. math:: \min_d \langle m, A d\rangle + \tfrac12 \sum_i (A d)_i^T H_i (A d)_i
          + \sum_j \tfrac{a_j}{2} x_j^2 - q_j x_j + w_j |x_j| + \sum_g \omega_g \|x_g\|

for ``x`` that starts elsewhere and ``d`` its change, where coefficient ``j`` adds a feature to the scores of
one class, and :math:`H_i = \operatorname{diag}(h_i) - h_i h_i^T / m_i` with the sum
:math:`m_i` of :math:`h_i`.
"""

from __future__ import annotations

import numpy as np

from wellposed.kernels._compile import inline, kernel
from wellposed.kernels.coordinate_blocks import is_zero, kept
from wellposed.kernels.coordinate_gram import minimiser, shrink


@inline
def slope_along(feature, slope, h, mean):  # type: ignore[no-untyped-def]
    """The derivative of the smooth part along a feature of one class."""
    total = 0 * feature[0]
    for i in range(feature.size):
        total += feature[i] * (slope[i] - h[i] * mean[i])
    return total


@inline
def move(feature, step, slope, h, share, mean):  # type: ignore[no-untyped-def]
    """Add ``step`` times a feature to the scores of one class."""
    for i in range(feature.size):
        change = step * feature[i]
        slope[i] += change * h[i]
        mean[i] += change * share[i]


@kernel("w1 w2 w1 r2 j1 j1 j1 r2 r2 r1 r1 r1 r1 r1 r1 s s s w2 w1", work=0)
def sweeps(  # type: ignore[no-untyped-def]
    x, slope, mean, features, feature, kind, first, h, share, free, curvature,
    a, q, omega, w, low, high, tol, trail, report,
):  # fmt: skip
    """A sweep over ``x`` for each row of ``trail``, fewer once no group has a slope above ``tol``.

    Coefficient ``j`` is of feature ``feature[j]`` (a row of ``features``) and class ``kind[j]``; group ``g``
    is ``first[g]`` to ``first[g + 1]``. ``slope[k] - h[k] * mean`` is the slope of class ``k``; ``share`` is
    ``h`` over its sum over the classes. ``free[k]`` is the curvature along the intercept of class ``k``, 0
    where there is none. Sweeps after the first pass over the groups that are zero. ``report`` gets the
    largest slope of the first sweep and the number of sweeps.
    """
    step = np.empty_like(x)
    one = np.ones_like(mean)
    for sweep in range(trail.shape[0]):
        worst = 0 * tol
        for k in range(free.size):
            if free[k] > 0:
                v = slope_along(one, slope[k], h[k], mean)
                move(one, -v / free[k], slope[k], h[k], share[k], mean)
        for g in range(first.size - 1):
            start, end, L = first[g], first[g + 1], curvature[g]
            if sweep > 0 and is_zero(x, start, end):
                continue
            square = 0 * tol
            for j in range(start, end):
                k = kind[j]
                v = q[j] - a[j] * x[j] - slope_along(features[feature[j]], slope[k], h[k], mean)
                step[j] = minimiser(x[j], v, L, w[j], low, high)
                square += step[j] * step[j]
            keep = kept(omega[g], L, np.sqrt(square))
            moved = shrink(x, step, start, end, keep)
            if moved > 0:
                worst = max(worst, np.sqrt(moved) * L)
                for j in range(start, end):
                    if step[j] != 0:
                        k = kind[j]
                        move(features[feature[j]], step[j], slope[k], h[k], share[k], mean)
        trail[sweep] = x
        if sweep == 0:
            report[0] = worst
        report[1] = sweep + 1
        if worst <= tol:
            break
