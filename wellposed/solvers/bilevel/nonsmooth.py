r"""Lower levels with a separable part that is not smooth: L1 norms, bounds, elastic nets.

The minimiser of ``s(x) + r(x)`` is a fixed point of ``x -> prox_{tau r}(x - tau grad s(x))``. Where the
proximal map has the derivative ``D`` (a diagonal, 0 for entries at a kink or bound), the entries with
``D > 0`` are active and the derivative of the minimiser solves, on them,

.. math:: \big(\nabla^2 s + \tfrac{1}{\tau}(D^{-1} - 1)\big)\, dx
          = \big(\tfrac{1}{\tau} D^{-1}\, \partial_\theta \mathrm{prox}
            - \partial_\theta \nabla s\big)\, d\theta

(Q. Bertrand et al., Implicit differentiation for fast hyperparameter selection in non-smooth convex
learning, 2022). The derivatives of the proximal map are differences of it, one entry at a time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers.bilevel.descent import PATIENCE, Descent, momentum
from wellposed.solvers.bilevel.linear import LinearSolve, solve
from wellposed.solvers.bilevel.lower import Lower, LowerAt
from wellposed.solvers.bilevel.vector import ParameterVector

RELATIVE_STEP = 1e-6
"""Step of the differences of a proximal map, relative to the size of its argument."""


def minimise(at: LowerAt, x: Array, eps: float, max_iter: int) -> tuple[Descent, float]:
    r"""Accelerated proximal gradient until the minimiser is known to within ``eps``; the distance reached.

    With ``u = (z - x^+)/tau - grad s(z) + grad s(x^+)``, a subgradient at ``x^+``, the distance is at most
    ``||u|| / mu``. Where no ``mu > 0`` is known it is the length ``||u|| tau`` of one step, no bound.
    Momentum restarts where it points uphill, unless ``mu`` is known.
    """
    if math.isinf(at.L):
        raise ValueError(
            f"the smooth part of {at.objective} has no Lipschitz gradient: a lower level that is not smooth "
            "needs one"
        )
    tau, mu = 1 / at.L, at.mu
    assert at.simple is not None
    prox = at.simple.prox
    beta = momentum(at.L, mu) if mu > 0 else 0.0
    per_residual = 1 / mu if mu > 0 else tau
    patience = 100 + PATIENCE * math.ceil(math.sqrt(at.L / mu)) if mu > 0 else max_iter
    z, x_old, t, k = x, x, 1.0, 0
    g = at.gradient(z)
    best, best_at, best_x = math.inf, 0, x
    while True:
        x_new = prox(z - tau * g, tau)
        g_new = at.gradient(x_new)
        residual = arrays.norm((z - x_new) / tau - g + g_new)
        if not math.isfinite(residual):
            return Descent(best_x, best, k, "failed"), math.inf
        k += 1
        if residual < best:
            best, best_at, best_x = residual, k, x_new
        if residual * per_residual <= eps:
            return Descent(x_new, residual, k, "converged"), residual * per_residual
        if k >= max_iter or k - best_at > patience:
            status = "max_iter" if k >= max_iter else "stalled"
            return Descent(best_x, best, k, status), best * per_residual
        if mu == 0.0:
            t, beta = _counter(t, arrays.inner(z - x_new, x_new - x_old) > 0)
        z = x_new + beta * (x_new - x_old)
        g = at.gradient(z) if beta else g_new
        x_old = x_new


def _counter(t: float, uphill: bool) -> tuple[float, float]:
    """The next counter of FISTA and its momentum."""
    if uphill:
        return 1.0, 0.0
    t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
    return t_next, (t - 1) / t_next


def differentiate(
    lower: Lower,
    at: LowerAt,
    vector: ParameterVector,
    t: np.ndarray,
    x: Array,
    slope: Array,
    delta: float,
    q: Array | None,
    max_linear: int,
) -> tuple[np.ndarray, LinearSolve]:
    """The derivative of the loss with respect to the values of the parameters, and the linear solve."""
    tau = 1 / at.L
    xp = arrays.namespace(x)
    argument = x - tau * at.gradient(x)
    assert at.simple is not None
    D = prox_derivative(at.simple, argument, tau)
    active = D > 0.5 * RELATIVE_STEP
    safe = xp.where(active, D, xp.ones_like(D))
    extra = (1 / safe - 1) / tau
    H = at.hessian(x)
    none = xp.zeros_like(x)

    def product(v: Array) -> Array:
        v = xp.where(active, v, none)
        return xp.where(active, H(v) + extra * v, none)

    b = xp.where(active, slope, none)
    start = None if q is None else xp.where(active, q, none)
    found = solve(product, b, start, delta, max_linear)
    z = -vector.pack(at.mixed(x, found.q))
    # Entries at rest answer to their own derivative alone, such as that of a learned bound.
    reaction = xp.where(active, found.q / (tau * safe), slope - H(found.q))
    return z + through_prox(lower, vector, t, argument, tau, reaction), found


def prox_derivative(simple: Functional, u: Array, tau: float) -> Array:
    """The derivative of a separable proximal map in each entry."""
    xp = arrays.namespace(u)
    # In single precision rounding would be a tenth of such a step.
    v = xp.astype(u, xp.float64)
    h = RELATIVE_STEP * (xp.abs(v) + tau)
    return xp.astype((simple.prox(v + h, tau) - simple.prox(v - h, tau)) / (2 * h), u.dtype)


def through_prox(
    lower: Lower, vector: ParameterVector, t: np.ndarray, u: Array, tau: float, reaction: Array
) -> np.ndarray:
    """The product of ``reaction`` with the derivative of the proximal map for the parameters."""
    values = vector.values(t)
    simple = lower.at(values).simple
    result: dict[str, Any] = {}
    for p in vector.parameters:
        if simple is None or not _inside(lower, p.name):
            continue
        value = np.asarray(values[p.name], dtype=float)
        h = RELATIVE_STEP * np.where(value != 0, np.abs(value), 1e-3)
        high, low = np.minimum(value + h, p.high), np.maximum(value - h, p.low)
        above, below = (_prox_at(lower, values, p.name, v, u, tau) for v in (high, low))
        change = arrays.to_host((above - below) * reaction).astype(np.float64)
        if not p.shape:
            result[p.name] = float(change.sum()) / float(high - low)
        elif p.shape == tuple(u.shape):
            result[p.name] = change / (high - low)
        else:
            raise TypeError(
                f"parameter {p.name} of shape {p.shape} inside a term that is not smooth: it must be one "
                f"number, or have the shape {tuple(u.shape)} of x"
            )
    return vector.pack(result)


def _inside(lower: Lower, name: str) -> bool:
    rough = (term for term in lower.objective.terms if not term.factor(lower.shape)[0].traits.smooth)
    return any(p.name == name for term in rough for p in term.parameters)


def _prox_at(lower: Lower, values: dict[str, Any], name: str, value: Any, u: Array, tau: float) -> Array:
    moved = value if np.ndim(value) else float(value)
    simple = lower.at({**values, name: moved}).simple
    assert simple is not None
    xp = arrays.namespace(u)
    return simple.prox(xp.astype(u, xp.float64), tau)
