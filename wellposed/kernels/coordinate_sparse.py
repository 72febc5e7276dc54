r"""Coordinate descent on the columns of a sparse matrix, with the slope in data space kept up to date.

.. math:: \min_d \langle m, A d\rangle + \tfrac12 \|A d\|_h^2
          + \sum_j \tfrac{a_j}{2} x_j^2 - q_j x_j + w_j |x_j|

for ``x`` that starts elsewhere and ``d`` its change. With a free intercept, ``A d`` is what remains
after its mean, weighted with ``h``, is taken away.
"""

from __future__ import annotations

from wellposed.kernels._compile import kernel
from wellposed.kernels.coordinate_gram import minimiser


@kernel("w1 w1 r1 j1 j1 r1 r1 r1 r1 r1 r1 s s s s w2 w1", work=0)
def sweeps(  # type: ignore[no-untyped-def]
    x, slope, values, rows, starts, h, curvature, pulled, a, q, w, low, high, mass, tol, trail, report
):
    """A sweep over ``x`` for each row of ``trail``, fewer once no coordinate has a slope above ``tol``.

    The row gets ``x`` after its sweep. Sweeps after the first pass over the coordinates that are zero.

    Column ``j`` holds ``values[starts[j]:starts[j + 1]]`` in ``rows``. ``slope`` is ``m + h * (A d)``;
    ``pulled[j]`` is the sum of ``h`` times column ``j`` and ``mass`` that of ``h``, or 0 without intercept.
    ``report`` holds the sum of ``slope`` in entry 2; it gets the largest slope met in the first
    sweep, the number of sweeps, and the new sum.
    """
    total = report[2]
    for sweep in range(trail.shape[0]):
        worst = 0 * tol
        for j in range(x.size):
            if sweep > 0 and x[j] == 0:
                continue
            v = q[j] - a[j] * x[j]
            if mass > 0:
                v += pulled[j] * (total / mass)
            for k in range(starts[j], starts[j + 1]):
                v -= values[k] * slope[rows[k]]
            new = minimiser(x[j], v, curvature[j], w[j], low, high)
            step = new - x[j]
            if step != 0:
                x[j] = new
                worst = max(worst, abs(step) * curvature[j])
                for k in range(starts[j], starts[j + 1]):
                    slope[rows[k]] += step * h[rows[k]] * values[k]
                total += step * pulled[j]
        trail[sweep] = x
        if sweep == 0:
            report[0] = worst
        report[1] = sweep + 1
        if worst <= tol:
            break
    report[2] = total
