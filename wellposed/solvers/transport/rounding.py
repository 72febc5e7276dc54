"""A feasible plan near one whose sums are wrong."""

from __future__ import annotations

import numpy as np

from wellposed.arrays import Array
from wellposed.functionals.feasible import rounded
from wellposed.solvers.transport.data import check_transport


def round_plan(plan: Array, a: Array, b: Array) -> Array:
    """The plan nearby with the sums of rows ``a`` and of columns ``b``.

    Rows and then columns that are too large are scaled down, and what is missing is added as a
    product (J. Altschuler, J. Weed and P. Rigollet, Near-linear time approximation algorithms for
    optimal transport via Sinkhorn iteration, 2017, algorithm 2). The change is at most twice the sum of
    the errors of the sums.

    Parameters
    ----------
    plan : array of shape (n, m)
        Not negative.
    a, b : array
        Weights of equal sum.

    Returns
    -------
    array of shape (n, m)

    Raises
    ------
    ValueError
        If the plan has negative entries or its shape does not fit the weights.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.round_plan(np.eye(2), np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    array([[0.5 , 0.  ],
           [0.25, 0.25]])
    """
    data = check_transport(plan, a, b)
    if data.full_cost.min() < 0:
        raise ValueError(f"a plan must not be negative, its smallest entry is {data.full_cost.min():g}")
    return data.give_back(data.plan(rounded(data.cost, data.a, data.b)))


def marginal_errors(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Sums of the absolute errors of the sums of rows and of columns."""
    return float(np.abs(plan.sum(axis=1) - a).sum()), float(np.abs(plan.sum(axis=0) - b).sum())
