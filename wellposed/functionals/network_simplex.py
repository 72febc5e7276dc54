"""Exact transport by the network simplex of POT, in any units of costs and weights."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np


class ExactPlan(NamedTuple):
    """An optimal plan, its potentials, and whether the limit of pivots came first."""

    plan: np.ndarray
    f: np.ndarray
    g: np.ndarray
    finished: bool


def power_of_two(value: float) -> float:
    """The largest power of two not above a positive number, 1 for 0: dividing by it keeps all digits."""
    return math.ldexp(1.0, max(math.frexp(value)[1] - 1, -1000)) if value > 0 else 1.0


def exact_transport(cost: np.ndarray, a: np.ndarray, b: np.ndarray, max_iter: int = 10_000_000) -> ExactPlan:
    """The plan of least cost between positive weights of equal sums.

    The tolerances of POT are absolute: it calls costs that are negative on average infeasible, and so masses
    far above 1, and it stops early where all costs are tiny. Hence it gets costs that are not
    negative, of a spread between a thousandth and a thousand, and a mass from 1 to below 2.

    Raises
    ------
    RuntimeError
        If POT fails for another reason.
    """
    import ot

    least = float(cost.min())
    unit, mass = power_of_two(float(cost.max()) - least), power_of_two(float(a.sum()))
    if not (0 <= least < 1e3 and 1e-3 < unit < 1e3):
        cost = (cost - least) / unit
    else:
        least, unit = 0.0, 1.0
    with warnings.catch_warnings():
        # What POT says in a warning is said in the outcome.
        warnings.simplefilter("ignore")
        plan, log = ot.emd(
            a / mass,
            b / mass,
            np.ascontiguousarray(cost),
            numItermax=max_iter,
            log=True,
            check_marginals=False,
        )
    if log["result_code"] not in (1, 3):
        raise RuntimeError(f"the network simplex of POT failed: {log['warning']}")
    plan *= mass
    return ExactPlan(plan, unit * log["u"] + least, unit * log["v"], log["result_code"] == 1)
