"""Finite dual bounds where the conjugate of the simple part is infinite."""

from __future__ import annotations

import math

from wellposed.arrays import Array
from wellposed.solvers.problem import Problem


def repaired_bound(
    problem: Problem, x: Array, objective: float, y: tuple[Array, ...], w: Array
) -> tuple[float, str]:
    """A lower bound of the minimum from an infeasible dual point, with a note on how it was made feasible."""
    return -math.inf, "no repair known for this objective"
