"""Entropic transport: stabilised Sinkhorn iterations, then Newton's method where they are slow."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.semidual import EntropicColumns, levels_down, newton
from wellposed.solvers.transport.data import check_control, check_positive, check_transport
from wellposed.solvers.transport.regularisers import Entropic
from wellposed.solvers.transport.result import Clock, TransportResult, finish

CHECK_EVERY = 10
SHARP = 0.01
"""``eps`` over the spread of the costs, below which Sinkhorn iterations are not tried."""
NEWTON_UP_TO = 4000
"""Unknowns from which the dense Newton systems are too large."""


def entropic(
    cost: Any, a: Any = None, b: Any = None, *, eps: float, tol: float = 1e-9, max_iter: int = 10_000
) -> TransportResult:
    r"""Entropic transport, stable for every ``eps``.

    .. math:: \min_P \langle C, P\rangle + \varepsilon \sum_{ij} P_{ij} \log\frac{P_{ij}}{a_i b_j / M}
        \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b,\qquad M = \sum_i a_i

    Parameters
    ----------
    cost : array of shape (n, m)
    a, b : array, optional
        As for `exact`.
    eps : float
        Positive, in units of the cost.
    tol : float
        Bound of the sum of all errors of sums of rows and columns, relative to the mass.
    max_iter : int
        Iterations of Sinkhorn and Newton steps together.

    Returns
    -------
    TransportResult
        The plan is ``a_i b_j exp((f_i + g_j - C_ij) / eps) / M``; ``f`` and ``g`` are in units of the cost.

    Raises
    ------
    ValueError
        As for `exact`, or if ``eps`` is not positive.

    Notes
    -----
    The entropy is relative to the independent plan. With :math:`\sum P \log P` in its place (POT) the plan
    is the same for mass 1; the value is larger by :math:`\varepsilon(\sum a \log a + \sum b \log b)`.

    For ``eps`` from a hundredth of the spread of the costs, Sinkhorn iterations whose scalings are absorbed
    into the potentials before they overflow (B. Schmitzer, Stabilized sparse scaling algorithms, 2019).
    For smaller ones, or where the measured rate is too slow, Newton's method on the semi-dual from the
    potentials of the exact plan: a handful of steps for every ``eps``. With more than 4000 points on
    both sides, Sinkhorn iterations for every ``eps``, which comes down in steps.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> result = wp.transport.entropic(np.array([[0.0, 1.0], [1.0, 0.0]]), eps=0.5)
    >>> result.plan.round(4), result.certificate.relative < 1e-8
    (array([[0.4404, 0.0596],
           [0.0596, 0.4404]]), True)
    """
    data = check_transport(cost, a, b)
    eps = check_positive(eps, "eps")
    check_control(tol, max_iter)
    scaled, units = data.scaled()
    width, wanted, clock = eps / units.cost, tol * scaled.mass, Clock(units)
    turned = len(scaled.a) > len(scaled.b)
    inner = scaled.cost if turned else np.ascontiguousarray(scaled.cost.T)
    a, b = (scaled.b, scaled.a) if turned else (scaled.a, scaled.b)
    state = Scaling(np.zeros_like(a), np.zeros_like(b))
    status, small = "slow", len(a) <= NEWTON_UP_TO
    if not small:
        for level in levels_down(scaled.spread / 4, width, 4.0):
            sinkhorn(state, inner, a, b, level, 0.05 * scaled.mass, min(state.count + 50, max_iter), clock, 0)
    if not small or width >= SHARP * scaled.spread:
        patience = 1.2 * len(a) if small else 0
        status = sinkhorn(state, inner, a, b, width, wanted, max_iter, clock, patience)
    count, known = state.count, None
    if status == "slow":
        P, f, g, _ = exact_transport(scaled.cost, scaled.a, scaled.b)
        known = units.back(P, f, g)

        def watch(k: int, value: float, error: float) -> bool:
            clock.record(count + k, value, error)
            return False

        method, left = EntropicColumns(width), max(max_iter - count, 1)
        start = (g, f) if turned else (f, g)
        at, steps, status = newton(method, inner, a, b, *start, wanted, left, watch)
        f, g, count, plan = at.f, at.g, count + steps, at.plan
    else:
        f, g = state.f, state.g
        plan = scaled_plan(inner, a, b, f, g, width)
    plan, f, g = (plan, g, f) if turned else (np.ascontiguousarray(plan.T), f, g)
    return finish(data, Entropic(eps), *units.back(plan, f, g), clock, count, status, start=known)


@dataclass
class Scaling:
    """Potentials, and the iterations spent on them."""

    f: np.ndarray
    g: np.ndarray
    count: int = 0


def scaled_plan(
    cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray, eps: float
) -> np.ndarray:
    """The plan of two potentials, one row per target."""
    plan: np.ndarray = f + g[:, None] - cost
    plan /= eps
    np.exp(plan, out=plan)
    plan *= b[:, None]
    plan *= a / a.sum()
    return plan


def _log_step(state: Scaling, cost: np.ndarray, a: np.ndarray, b: np.ndarray, eps: float) -> None:
    """One iteration in the domain of logarithms, from any potentials."""
    columns = EntropicColumns(eps)
    state.g = columns.columns(cost, a, b, state.f, state.g).g
    turned = np.ascontiguousarray(cost.T)
    state.f = columns.columns(turned, b, a, state.g, state.f).g


def sinkhorn(
    state: Scaling,
    cost: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    eps: float,
    tol: float,
    max_iter: int,
    clock: Clock,
    patience: float,
) -> str:
    """Iterate until the sums of the targets err by ``tol``; ``"slow"`` if more than ``patience`` are needed.

    A patience of 0 means not to care.
    """
    _log_step(state, cost, a, b, eps)
    scaled = scaled_plan(cost, a, b, state.f, state.g, eps)
    u, v = np.ones_like(a), np.ones_like(b)
    sums = scaled.sum(axis=1)
    before = math.inf
    while True:
        error = float(np.abs(v * sums - b).sum())
        if state.count % CHECK_EVERY == 0 or error <= tol:
            clock.record(state.count, math.nan, error)
            if patience and 0 < error < before < math.inf:
                rate = math.log(before / error) / CHECK_EVERY
                if math.log(error / tol) > patience * rate:
                    break
            elif patience and before <= error < math.inf:
                break
            before = error
        if error <= tol or state.count >= max_iter:
            break
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            v = b / sums
            u = a / (v @ scaled)
            sums = scaled @ u
        state.count += 1
        largest = max(float(np.abs(np.log(u)).max()), float(np.abs(np.log(v)).max()))
        if not largest < 100 or not sums.min() > 0:
            _absorb(state, u, v, eps)
            _log_step(state, cost, a, b, eps)
            scaled = scaled_plan(cost, a, b, state.f, state.g, eps)
            u, v, sums = np.ones_like(a), np.ones_like(b), scaled.sum(axis=1)
    status = "converged" if error <= tol else "max_iter" if state.count >= max_iter else "slow"
    _absorb(state, u, v, eps)
    return status


def _absorb(state: Scaling, u: np.ndarray, v: np.ndarray, eps: float) -> None:
    """Scalings into potentials, if they are still numbers."""
    f, g = state.f + eps * np.log(u), state.g + eps * np.log(v)
    if np.isfinite(f).all() and np.isfinite(g).all():
        state.f, state.g = f, g
