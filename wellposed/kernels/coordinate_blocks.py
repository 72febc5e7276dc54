r"""Block coordinate descent on the columns of a dense matrix, with the slope in data space kept up to date.

For more columns than rows, where the Gram matrix of `coordinate_gram` would be larger than the columns.
"""

from __future__ import annotations

import numpy as np

from wellposed.kernels._compile import kernel
from wellposed.kernels.coordinate_gram import minimiser


@kernel("w1 w1 r2 j1 r1 r1 r1 r1 r1 r1 r1 s s s s w2 w1", work=0)
def sweeps(  # type: ignore[no-untyped-def]
    x, slope, columns, first, h, curvature, pulled, a, q, w, l1, low, high, mass, tol, trail, report
):
    r"""A sweep over ``x`` for each row of ``trail``, fewer once no group has a slope above ``tol``.

    Sweeps after the first pass over the groups that are zero. The quadratic is :math:`\langle m, A d\rangle + \tfrac12\|A d\|_h^2 + \sum \tfrac{a_j}{2} x_j^2 - q_j x_j`
    and the penalty :math:`\sum_g w_g \|x_g\| + \sum_j l_j |x_j|`, with bounds where ``w`` is 0. Row ``j`` of ``columns`` is column ``j``
    of ``A``; group ``g`` is ``first[g]`` to ``first[g + 1]``. ``slope`` is ``m + h * (A d)``; ``pulled[j]``
    is the sum of ``h`` times column ``j`` and ``mass`` that of ``h``, or 0 without intercept. ``report``
    holds the sum of ``slope`` in entry 2; it gets the largest slope met in the first sweep, the number of
    sweeps, and the new sum.
    """
    total = report[2]
    rows = slope.size
    step = np.empty_like(x)
    for sweep in range(trail.shape[0]):
        worst = 0 * tol
        for g in range(first.size - 1):
            start, end, L = first[g], first[g + 1], curvature[g]
            if sweep > 0:
                zero = True
                for j in range(start, end):
                    zero = zero and x[j] == 0
                if zero:
                    continue
            square = 0 * tol
            for j in range(start, end):
                product = 0 * tol
                for i in range(rows):
                    product += columns[j, i] * slope[i]
                v = q[j] - a[j] * x[j] - product
                if mass > 0:
                    v += pulled[j] * (total / mass)
                step[j] = minimiser(x[j], v, L, l1[j], low, high)
                square += step[j] * step[j]
            size = np.sqrt(square)
            keep = 1 + 0 * tol
            if w[g] > 0:
                keep = max(1 - w[g] / (L * size), 0 * tol) if size > 0 and L > 0 else 0 * tol
            moved = 0 * tol
            for j in range(start, end):
                new = keep * step[j]
                step[j] = new - x[j]
                x[j] = new
                moved += step[j] * step[j]
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
