r"""The Lasso on a working set, over-parametrised: attention weights times coefficients, each with a ridge.

.. math:: \min_{s, u} \; \tfrac12 \Bigl\|\sum_j s_j\, x_j u_j^T - r\Bigr\|_2^2
          + \tfrac{\lambda}{2} \sum_j \bigl(s_j^2 + \|u_j\|_2^2\bigr)

Over all ways to write :math:`c_j = s_j u_j`, the least penalty is :math:`\lambda \|c_j\|_2`, at
:math:`|s_j| = \|u_j\|_2`: the minimum is that of the Lasso. The problem is not convex, but the product is a
point of one that is, and the gap there is a bound here.

Source: T. Yasuda, M. Bateni, L. Chen, M. Fahrbach, G. Fu and V. Mirrokni, Sequential attention for feature
selection, ICLR 2023, section 3; P. D. Hoff, Lasso, fractional norm and structured sparse estimation using a
Hadamard product parametrization, 2017.
"""

from __future__ import annotations

import math

import numpy as np

from wellposed.solvers.sequential_basis import row_sizes

START = 0.1
"""Attention at the start, relative to that of the largest feature at the end: 0 would be a saddle."""

NEGLIGIBLE = 1e-4
"""Product that counts as 0, relative to the largest."""

RESTARTS = 5
"""How often features that were caught near the saddle are started again, at most."""

STEPS = 2000
"""Iterations of each run, at most."""


def attention(G: np.ndarray, q: np.ndarray, weight: float, below: float) -> np.ndarray:
    """The products of attention and coefficients, from the Gram matrix and the correlations."""
    # Heavy, and not needed for the other rules.
    from scipy.optimize import minimize

    count, targets = q.shape
    # In units in which the best feature alone has Gram matrix, correlation and solution of about 1.
    pulls = row_sizes(q)
    best = int(np.argmax(pulls))
    top, curvature = float(pulls[best]), float(G[best, best])
    G, q, weight = G / curvature, q / top, weight / top
    unit = math.sqrt(max(1 - weight, float(np.finfo(np.float64).eps)))
    factor = 1 / (weight * below)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        s, u = _factors(flat, count, targets)
        c = s * u
        bent = 0.5 * unit**2 * (G @ c)
        slope = 2 * bent - q
        value = np.sum(c * (bent - q)) + 0.5 * weight * (np.sum(s**2) + np.sum(u**2))
        grad_s = np.sum(slope * u, axis=1, keepdims=True) + weight * s
        grad_u = slope * s + weight * u
        return float(factor * value), factor * np.concatenate([grad_s.ravel(), grad_u.ravel()])

    flat = np.concatenate([np.full(count, START), np.zeros(count * targets)])
    for _ in range(RESTARTS):
        # A stop on the change of the value would come early: growth away from the saddle is slow.
        options = {"maxiter": STEPS, "maxcor": 20, "ftol": 0.0, "gtol": 1e-7, "maxls": 50}
        flat = minimize(objective, flat, jac=True, method="L-BFGS-B", options=options).x
        s, u = _factors(flat, count, targets)
        c = unit**2 * s * u
        caught = row_sizes(q - G @ c) > weight * (1 + 1e-3 * below)
        caught &= row_sizes(c) <= NEGLIGIBLE * unit**2
        if not caught.any():
            break
        flat[:count][caught] = START
        flat[count:].reshape(count, targets)[caught] = 0.0
    size = row_sizes(c)[:, None]
    return (top / curvature) * np.where(size > NEGLIGIBLE * size.max(), c, 0.0)


def _factors(flat: np.ndarray, count: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    return flat[:count, None], flat[count:].reshape(count, targets)


__all__ = ["attention"]
