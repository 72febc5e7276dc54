"""Transport with at most ``k`` entries in each column."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals.network_simplex import exact_transport
from wellposed.solvers.transport.data import TransportData, check_control, check_positive, check_transport
from wellposed.solvers.transport.k_sparse import KSparse, smoothed_dual
from wellposed.solvers.transport.quadratic import quadratic
from wellposed.solvers.transport.result import Clock, TransportResult, finish


def sparsity_constrained(
    cost: Any,
    a: Any = None,
    b: Any = None,
    *,
    reg: float,
    k: int,
    tol: float = 1e-5,
    max_iter: int = 5000,
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
        in the smoothed dual ends the run near 1e-6: a smaller ``tol`` gives the status ``"stalled"``.
    max_iter : int
        Evaluations of the dual.

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
    Here it is smoothed, with a width that comes down until the gap is closed.

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
    """L-BFGS on the smoothed dual, whose width comes down by tenths until the gap is closed."""
    from scipy.optimize import minimize

    from wellposed.solvers.transport.certify import certify

    n, count = len(data.a), 0
    mu = problem.reg * (data.mass / len(data.b) / problem.k) ** 2 / 2
    g = problem.best_g(data.cost, data.a, data.b, f)
    # Potentials in units of the spread and the dual per unit of mass, so that scales do not matter.
    unit = max(data.spread, problem.reg * data.mass / len(data.b))
    # The best plan and the best potentials may come from different widths, or be the exact ones.
    first = certify(data, problem, plan, f, g).certificate
    if first.relative <= tol:
        return plan, f, g, 0, "converged"
    least, highest, best, at = first.primal, first.lower_bound, plan, (f, g)
    while True:

        def negative(v: np.ndarray, mu: float = mu) -> tuple[float, np.ndarray]:
            value, plan = smoothed_dual(problem, data.cost, data.a, data.b, unit * v[:n], unit * v[n:], mu)
            slope = np.concatenate([data.a - plan.sum(axis=1), data.b - plan.sum(axis=0)])
            return -value / (unit * data.mass), -slope / data.mass

        start = np.concatenate([f, g]) / unit
        options = {
            "maxiter": 2000,
            "maxfun": max(max_iter - count, 1),
            "ftol": 1e-15,
            "gtol": 1e-10,
            "maxcor": 30,
        }
        found = minimize(negative, start, jac=True, method="L-BFGS-B", options=options)
        count += int(found.nfev)
        f, g = unit * found.x[:n], unit * found.x[n:]
        _, plan = smoothed_dual(problem, data.cost, data.a, data.b, f, g, mu)
        certificate = certify(
            data, problem, plan, f, problem.best_g(data.cost, data.a, data.b, f)
        ).certificate
        error = float(np.abs(plan.sum(axis=1) - data.a).sum() + np.abs(plan.sum(axis=0) - data.b).sum())
        clock.record(count, certificate.lower_bound, error)
        if certificate.primal < least:
            least, best = certificate.primal, plan
        if certificate.lower_bound > highest:
            highest, at = certificate.lower_bound, (f, g)
        status = ""
        if least - highest <= tol * certificate.scale:
            status = "converged"
        elif count >= max_iter:
            status = "max_iter"
        elif mu * problem.k * len(data.b) < 1e-14 * unit * data.mass:
            status = "stalled"
        if status:
            return best, *at, count, status
        mu *= 0.1
