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

import numpy as np

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
    # Balanced factors of the solution of the best feature alone set the scale of the variables.
    pulls = np.linalg.norm(q, axis=1)
    best = int(np.argmax(pulls))
    unit = float(np.sqrt((pulls[best] - weight) / G[best, best]))
    value_scale = 1 / (weight * unit**2 * below)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        s, u = _factors(flat, count, targets)
        c = s * u
        slope = unit**2 * (G @ c) - q
        value = np.sum(c * (0.5 * unit**2 * (G @ c) - q)) + 0.5 * weight * (np.sum(s**2) + np.sum(u**2))
        grad_s = np.sum(slope * u, axis=1, keepdims=True) + weight * s
        grad_u = slope * s + weight * u
        factor = unit**2 * value_scale
        return float(factor * value), factor * np.concatenate([grad_s.ravel(), grad_u.ravel()])

    flat = np.concatenate([np.full(count, START), np.zeros(count * targets)])
    for _ in range(RESTARTS):
        # A stop on the change of the value would come early: growth away from the saddle is slow.
        options = {"maxiter": STEPS, "maxcor": 20, "ftol": 0.0, "gtol": 1e-7, "maxls": 50}
        flat = minimize(objective, flat, jac=True, method="L-BFGS-B", options=options).x
        s, u = _factors(flat, count, targets)
        c = unit**2 * s * u
        caught = np.linalg.norm(q - G @ c, axis=1) > weight * (1 + 1e-3 * below)
        caught &= np.linalg.norm(c, axis=1) <= NEGLIGIBLE * unit**2
        if not caught.any():
            break
        flat[:count][caught] = START
        flat[count:].reshape(count, targets)[caught] = 0.0
    size = np.linalg.norm(c, axis=1, keepdims=True)
    return np.where(size > NEGLIGIBLE * size.max(), c, 0.0)


def _factors(flat: np.ndarray, count: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    return flat[:count, None], flat[count:].reshape(count, targets)


__all__ = ["attention"]
