r"""Exact total variation denoising of lines, by dynamic programming.

.. math:: \min_x \tfrac12\|x - b\|^2 + \sum_k w_k |x_{k+1} - x_k|

The derivative of what the first ``k`` entries cost, as a function of the ``k``-th, is piecewise linear;
clipped to ``[-w_k, w_k]`` it goes on to the next entry. Source: N. A. Johnson, A dynamic programming
algorithm for the fused lasso and L0-segmentation, 2013, here with a weight for each difference.
"""

from __future__ import annotations

import numpy as np

from wellposed.kernels._compile import kernel


@kernel("r2 r2 w2", work=0)
def denoise(b, w, out):  # type: ignore[no-untyped-def]
    """Denoise each row of ``b`` with the weights in the same row of ``w``, one column fewer."""
    rows, n = b.shape
    # Knots of the derivative: position, and by how much slope and intercept change there.
    knot, da, db = np.empty(2 * n), np.empty(2 * n), np.empty(2 * n)
    low, high = np.empty(n), np.empty(n)
    for row in range(rows):
        first, last = n, n - 1
        a_left, b_left, a_right, b_right = 1.0, -b[row, 0], -1.0, b[row, 0]
        for k in range(n - 1):
            weight = w[row, k]
            while first <= last and a_left * knot[first] + b_left <= -weight:
                a_left += da[first]
                b_left += db[first]
                first += 1
            while last >= first and -a_right * knot[last] - b_right >= weight:
                a_right += da[last]
                b_right += db[last]
                last -= 1
            low[k] = (-weight - b_left) / a_left
            high[k] = (weight + b_right) / -a_right
            first -= 1
            last += 1
            knot[first], da[first], db[first] = low[k], a_left, b_left + weight
            knot[last], da[last], db[last] = high[k], a_right, b_right + weight
            a_left, b_left = 1.0, -weight - b[row, k + 1]
            a_right, b_right = -1.0, -weight + b[row, k + 1]
        while first <= last and a_left * knot[first] + b_left <= 0:
            a_left += da[first]
            b_left += db[first]
            first += 1
        out[row, n - 1] = -b_left / a_left
        for k in range(n - 2, -1, -1):
            out[row, k] = min(max(out[row, k + 1], low[k]), high[k])
