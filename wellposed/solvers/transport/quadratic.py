"""Quadratically regularised transport by Newton's method on the semi-dual."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.semidual import QuadraticColumns, newton
from wellposed.solvers.transport.data import check_control, check_positive, check_transport
from wellposed.solvers.transport.regularisers import Quadratic
from wellposed.solvers.transport.result import Clock, TransportResult, finish


def quadratic(
    cost: Any, a: Any = None, b: Any = None, *, reg: float, tol: float = 1e-9, max_iter: int = 500
) -> TransportResult:
    r"""Transport with a quadratic regulariser, whose plans are sparse.

    .. math:: \min_P \langle C, P\rangle + \frac{\mathrm{reg}}{2} \|P\|_F^2
        \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b

    Parameters
    ----------
    cost : array of shape (n, m)
    a, b : array, optional
        As for `exact`.
    reg : float
        Positive. Entries of a plan of mass 1 are of size ``1 / (n m)``, so a regulariser that shows has
        ``reg`` of about ``n m`` hundredths of the costs.
    tol : float
        Bound of the sum of all errors of sums of rows and columns, relative to the mass.
    max_iter : int
        Newton steps.

    Returns
    -------
    TransportResult
        The plan is ``max(f_i + g_j - C_ij, 0) / reg``.

    Raises
    ------
    ValueError
        As for `exact`, or if ``reg`` is not positive.

    Notes
    -----
    The semi-smooth Newton method of D. Lorenz, P. Manns and C. Meyer, Quadratically regularized optimal
    transport, 2021, after one of the two potentials has been eliminated exactly
    (M. Blondel, V. Seguy and A. Rolet, Smooth and sparse optimal transport, 2018), from the potentials of
    the exact plan. Some libraries report ``reg |P|^2`` without the half.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.quadratic(np.array([[0.0, 1.0], [1.0, 0.0]]), reg=4.0).plan
    array([[0.375, 0.125],
           [0.125, 0.375]])
    """
    data = check_transport(cost, a, b)
    reg = check_positive(reg, "reg")
    check_control(tol, max_iter)
    inner, units = data.scaled()
    clock = Clock(units)
    turned = len(inner.a) > len(inner.b)
    # The eliminated potential is that of the larger side; the Newton systems have the size of the smaller.
    C = inner.cost if turned else np.ascontiguousarray(inner.cost.T)
    a, b = (inner.b, inner.a) if turned else (inner.a, inner.b)
    P, f, g, _ = exact_transport(inner.cost, inner.a, inner.b)
    start = units.back(P, f, g)
    if turned:
        f, g = g, f

    def watch(k: int, value: float, error: float) -> bool:
        clock.record(k, value, error)
        return False

    method = QuadraticColumns(reg * units.mass / units.cost)
    at, count, status = newton(method, C, a, b, f, g, tol * inner.mass, max_iter, watch)
    plan, f, g = (at.plan, at.g, at.f) if turned else (np.ascontiguousarray(at.plan.T), at.f, at.g)
    return finish(data, Quadratic(reg), *units.back(plan, f, g), clock, count, status, start=start)
