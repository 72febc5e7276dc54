"""Transport with at most ``k`` entries in each column."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals.network_simplex import exact_transport
from wellposed.solvers.transport.certify import certify
from wellposed.solvers.transport.data import TransportData, check_control, check_positive, check_transport
from wellposed.solvers.transport.k_sparse import KSparse, SmoothedDual, smoothed_dual
from wellposed.solvers.transport.quadratic import quadratic
from wellposed.solvers.transport.result import Clock, TransportResult, finish

NARROWER = 0.2
"""Factor of the width of the smoothing from level to level."""

STEPS = 100
"""Newton steps at one width, at most."""


def sparsity_constrained(
    cost: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: float,
    k: int,
    tol: float = 1e-6,
    max_iter: int = 2000,
) -> TransportResult:
    r"""Quadratically regularised transport with at most ``k`` entries in each column.

    .. math:: \min_P \langle C, P\rangle + \frac{\mathrm{reg}}{2} \|P\|_F^2
        \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b,\ \|p_j\|_0 \le k \text{ for each column } j

    Parameters
    ----------
    cost : array of shape (n, m)
        Transpose it (and swap the weights) for rows in place of columns.
    a, b : array, optional
        As for `exact`.
    reg : float
        Positive.
    k : int
        At least 1; from the number of rows on it says nothing, and this is `quadratic`.
    tol : float
        Bound of the duality gap of the convex relaxation, relative to its value. For small ``k`` rounding
        ends the run near 1e-9: a smaller ``tol`` gives the status ``"stalled"``.
    max_iter : int
        Newton steps.

    Returns
    -------
    TransportResult
        ``plan`` has at most ``k`` entries per column and exact sums of columns. Its sums of rows err
        (``marginal_errors``): for small ``k`` there may be no plan of the kind with exact sums. ``rounded``,
        ``value`` and the certificate belong to the convex relaxation, whose minimum is a lower bound.

    Raises
    ------
    ValueError
        As for `exact`, or if ``k`` is less than 1.

    Notes
    -----
    The dual of T. Liu, J. Puigcerver and M. Blondel, Sparsity-constrained optimal transport, 2023, is not
    smooth where the ``k`` largest entries are not unique, and that is where its maximum is for small ``k``.
    Here it is smoothed, with a width that comes down until the gap is closed, and Newton's method is used.

    The relaxation is convex, so its gap closes for every ``k``. The least value with at most ``k`` entries
    may lie above (or there is no such plan at all): that difference is not in the certificate, and no
    potentials can close it, as the dual is the same.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cost = (np.arange(4.0)[:, None] - np.arange(4.0)) ** 2
    >>> result = wp.transport.sparsity_constrained(cost, reg=10.0, k=2)
    >>> int((result.plan > 0).sum(axis=0).max()), result.certificate.relative < 1e-5
    (2, True)
    """
    data = check_transport(cost, a, b)
    reg = check_positive(reg, "reg")
    check_control(tol, max_iter)
    if isinstance(k, bool) or int(k) != k or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, got {k}")
    if k >= len(data.a):
        return quadratic(cost, a, b, reg=reg, tol=min(tol, 1e-9))
    scaled, units = data.scaled()
    clock, problem = Clock(units), KSparse(reg * units.mass / units.cost, int(k))
    relaxed, f, g, _ = exact_transport(scaled.cost, scaled.a, scaled.b)
    count, status = 0, "converged"
    if k > 1:
        # For k = 1 the penalty of the relaxation is the same for all plans.
        relaxed, f, g, count, status = _smoothing(scaled, problem, relaxed, f, g, tol, max_iter, clock)
    plan, g = problem.columns(scaled.cost, scaled.b, f)
    note = "of the convex relaxation, whose minimum bounds that of plans with k entries per column"
    return finish(
        data,
        KSparse(reg, int(k)),
        *units.back(plan, f, g),
        clock,
        count,
        status,
        note=note,
        feasible=units.mass * relaxed,
    )


def _smoothing(
    data: TransportData,
    problem: KSparse,
    plan: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    tol: float,
    max_iter: int,
    clock: Clock,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, str]:
    """Newton's method on the smoothed dual, whose width comes down until the gap is closed."""
    g = problem.best_g(data.cost, data.a, data.b, f)
    first = certify(data, problem, plan, f, g).certificate
    if first.relative <= tol:
        return plan, f, g, 0, "converged"
    # The best plan and the best potentials may come from different widths, or be the exact ones.
    least, highest, best, proof = first.primal, first.lower_bound, plan, (f, g)
    mu, count, idle = problem.reg * (data.mass / len(data.b) / problem.k) ** 2 / 2, 0, 0
    unit = max(data.spread, problem.reg * data.mass / len(data.b))
    while True:
        # Errors of sums that are seen less than the smoothing.
        wanted = max(1e-12 * data.mass, 1e-2 * mu * problem.k * len(data.b) / unit)
        at, steps = _ascend(data, problem, f, g, mu, wanted, max_iter - count)
        count += max(steps, 1)
        f, g = at.f, at.g
        certificate = certify(
            data, problem, at.plan, f, problem.best_g(data.cost, data.a, data.b, f)
        ).certificate
        clock.record(count, certificate.lower_bound, _error(at, data))
        idle = 0 if certificate.primal < least or certificate.lower_bound > highest else idle + 1
        if certificate.primal < least:
            least, best = certificate.primal, at.plan
        if certificate.lower_bound > highest:
            highest, proof = certificate.lower_bound, (f, g)
        status = ""
        if least - highest <= tol * certificate.scale:
            status = "converged"
        elif count >= max_iter:
            status = "max_iter"
        elif idle == 2 or mu * problem.k * len(data.b) < 1e-15 * certificate.scale:
            status = "stalled"
        if status:
            return best, *proof, count, status
        mu *= NARROWER


def _ascend(
    data: TransportData,
    problem: KSparse,
    f: np.ndarray,
    g: np.ndarray,
    mu: float,
    wanted: float,
    max_iter: int,
) -> tuple[SmoothedDual, int]:
    """Newton steps at one width until the sums err little, or rounding stops them; and their number."""
    a, b = data.a, data.b
    at = smoothed_dual(problem, data.cost, a, b, f, g, mu)
    for k in range(min(max_iter, STEPS)):
        error = _error(at, data)
        if error <= wanted:
            return at, k
        df, dg = at.step(a, b)
        by_f, by_g = at.gradient(a, b)
        slope = float(by_f @ df + by_g @ dg)
        length, moved = 1.0, None
        rounding = 1e-15 * float(np.abs(at.f) @ a + np.abs(at.g) @ b)
        while slope > 0 and length > 1e-6:
            there = smoothed_dual(problem, data.cost, a, b, at.f + length * df, at.g + length * dg, mu)
            by_f, by_g = there.gradient(a, b)
            left = float(by_f @ df + by_g @ dg)
            # Concave: it rose all the way where it still rises. Within rounding a smaller error decides.
            rose = 0 <= left <= slope or there.value >= at.value + 1e-4 * length * slope
            if rose or (there.value >= at.value - rounding and _error(there, data) < 0.9 * error):
                moved = there
                break
            secant = slope / (slope - left) if left < 0 else 0.5
            length *= min(max(secant, 0.1), 0.5)
        if moved is None:
            return at, k
        at = moved
    return at, min(max_iter, STEPS)


def _error(at: SmoothedDual, data: TransportData) -> float:
    """Sum of the absolute errors of all sums."""
    return float(sum(np.abs(part).sum() for part in at.gradient(data.a, data.b)))
