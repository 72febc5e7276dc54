"""Coordinate descent for one quadratic after another, which differ in the weight of the penalty alone."""

from __future__ import annotations

from wellposed.kernels._compile import kernel
from wellposed.kernels.coordinate_gram import minimiser


@kernel("w2 w1 r2 r1 r1 r1 r1 s s i i r1 w1", work=0)
def sweeps_along(X, v, G, w, a, q, weights, low, high, begin, most, tols, report):  # type: ignore[no-untyped-def]
    r"""Minimise the quadratic plus ``t`` times a penalty, for each ``t`` in ``weights``.

    .. math:: \tfrac12 x^T G x - (c + q)^T x + t \sum_j \big(w_j |x_j| + \tfrac{a_j}2 x_j^2\big)

    Row ``k`` of ``X`` gets the minimiser of weight ``k``, found from row ``k - 1``, for ``k >= begin``;
    row ``begin`` holds where to start. ``v`` is ``c - G x`` of the latest row. Sweeps over the entries that
    are not zero follow each sweep over all. ``report`` gets the first row that ``most`` sweeps do not bring
    to slopes below its tolerance, after which the rest is left as it is.
    """
    count, rows = X.shape[1], X.shape[0]
    for k in range(begin, rows):
        t, tol = weights[k], tols[k]
        if k > begin:
            for j in range(count):
                X[k, j] = X[k - 1, j]
        everywhere, done = True, False
        for _ in range(most):
            worst = 0 * tol
            for j in range(count):
                x = X[k, j]
                if everywhere or x != 0:
                    ridge = t * a[j]
                    curvature = G[j, j] + ridge
                    step = minimiser(x, v[j] + q[j] - ridge * x, curvature, t * w[j], low, high) - x
                    if step != 0:
                        X[k, j] = x + step
                        worst = max(worst, abs(step) * curvature)
                        for i in range(count):
                            v[i] -= step * G[j, i]
            if worst <= tol:
                if everywhere:
                    done = True
                    break
                everywhere = True
            else:
                everywhere = False
        if not done:
            report[0] = k
            return
    report[0] = rows
