"""Solves that follow one another with slightly different objectives, each started from the last."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wellposed.functionals.objective import Objective
from wellposed.solvers.loop import Info
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import ConvergenceWarning, Result


def solve_near(
    objective: Objective,
    start: Result | None,
    tol: float,
    callback: Callable[[Info], Any] | None = None,
    **options: Any,
) -> Result:
    """Minimise from the result of a similar objective; that a solve falls short shows in its status alone."""
    if start is not None and start.plan.solver == "prox":
        # A closed form needs no start; one that meets the tolerance would stand for the solution.
        start = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return minimize(objective, x0=start, tol=tol, callback=callback, progress=False, **options)


def solve_along(
    objective: Objective, name: str, values: Iterable[float], tol: float, options: dict[str, Any]
) -> Iterator[tuple[Objective, Result]]:
    """The objective at one value of a parameter after another, each with its result."""
    last: Result | None = None
    for value in values:
        at = objective.with_parameters({name: float(value)})
        last = solve_near(at, last, tol, **options)
        yield at, last
