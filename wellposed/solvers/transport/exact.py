"""Exact transport: the network simplex of POT, with a certificate."""

from __future__ import annotations

from typing import Any

from wellposed.functionals.network_simplex import exact_transport
from wellposed.solvers.transport.data import check_transport
from wellposed.solvers.transport.regularisers import Nothing
from wellposed.solvers.transport.result import Clock, TransportResult, finish


def exact(cost: Any, a: Any = None, b: Any = None, *, max_iter: int = 10_000_000) -> TransportResult:
    r"""Optimal transport without a regulariser, by the network simplex of POT.

    .. math:: \min_P \langle C, P\rangle \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b

    Parameters
    ----------
    cost : array of shape (n, m)
        Finite; may be negative.
    a, b : array, optional
        Weights of rows and of columns, at least 0, of equal sum (which need not be 1); by default all equal
        and of sum 1. They are compared with a relative tolerance of 1e-8 (single precision: 1e-5), and
        then ``b`` is scaled to the sum of ``a``.
    max_iter : int
        Pivots.

    Returns
    -------
    TransportResult
        With ``f_i + g_j <= C_ij``. The potential of a point of weight 0 is the largest feasible one.

    Raises
    ------
    ValueError
        If shapes do not fit, costs are not finite, weights are negative, or their sums differ.

    Notes
    -----
    Computed in double precision, handed back in the precision of ``cost``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.exact(np.array([[0.0, 1.0], [1.0, 0.5]]), [0.5, 0.5], [0.25, 0.75]).value
    0.5
    """
    data = check_transport(cost, a, b)
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")
    clock = Clock()
    plan, f, g, finished = exact_transport(data.cost, data.a, data.b, max_iter)
    return finish(data, Nothing(), plan, f, g, clock, 1, "converged" if finished else "max_iter")
