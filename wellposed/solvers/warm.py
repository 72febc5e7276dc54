"""Solves that follow one another with slightly different objectives, each started from the last."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from wellposed.functionals.objective import Objective
from wellposed.solvers.choice import planned
from wellposed.solvers.loop import MESSAGES, Info
from wellposed.solvers.minimize import minimize
from wellposed.solvers.path_blocks import BLOCK, ROUNDS, Path, Solved, Squares, squares_of
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem, canonical
from wellposed.solvers.result import Certificate, ConvergenceWarning, Record, Result
from wellposed.solvers.selection_data import fits_in


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
    objective: Objective,
    name: str,
    values: np.ndarray,
    tol: float,
    options: dict[str, Any],
    enough: float = 0.0,
) -> Iterator[tuple[Result, float]]:
    """The result at one value of a parameter after another, each with the intercept that belongs to it.

    A gap of ``enough`` ends a solve even where it is large relative to the objective.
    """
    last: Result | None = None
    done = 0
    for last, intercept in _by_blocks(objective, name, values, tol, options, enough):
        done += 1
        yield last, intercept
    if enough > 0:
        options = {"callback": partial(_go_on, enough), **options}
    fits = [fit for term in objective.terms for fit in fits_in(term)]
    for value in values[done:]:
        last = solve_near(objective.with_parameters({name: float(value)}), last, tol, **options)
        yield last, fits[0].intercept_at(last.x) if len(fits) == 1 else 0.0


def _go_on(enough: float, info: Info) -> bool:
    return not (info.certificate.is_bound and info.certificate.value <= enough)


def _by_blocks(
    objective: Objective, name: str, values: np.ndarray, tol: float, options: dict[str, Any], enough: float
) -> Iterator[tuple[Result, float]]:
    """Those at the beginning that can be solved many at a time."""
    solver = options.get("solver", "auto")
    falling = bool(np.all(np.diff(values) < 0)) and values[-1] > 0
    if set(options) - {"solver", "max_iter"} or solver not in ("auto", "coordinate-descent") or not falling:
        return
    squares = squares_of(objective, name, float(values[0]))
    if squares is None:
        return
    limit = options.get("max_iter")
    if not (limit is None or isinstance(limit, (int, np.integer))):
        return
    path = Path(squares, tol, enough, ROUNDS if limit is None else min(int(limit), ROUNDS))
    for first in range(0, len(values), BLOCK):
        begin = time.perf_counter()
        weights = values[first : first + BLOCK]
        found = path.solve(weights)
        if found is None:
            return
        seconds = (time.perf_counter() - begin) / len(found)
        for value, solved in zip(weights, found, strict=True):
            plan = planned(
                "coordinate-descent", solver == "auto", tol, partial(_form, objective, name, float(value))
            )
            yield _result(squares, solved, plan, seconds), solved.intercept


def _form(objective: Objective, name: str, value: float) -> Problem:
    return canonical(objective.with_parameters({name: value}))


def _result(squares: Squares, solved: Solved, plan: Plan, seconds: float) -> Result:
    problem = squares.problem
    x = problem.zeros().reshape(-1)
    x[solved.ids] = solved.x
    scale = max(abs(solved.objective), problem.scale_floor)
    gap = max(solved.objective - solved.lower_bound, 0.0)
    certificate = Certificate("duality gap", gap, scale, solved.objective, solved.lower_bound)
    status = "converged" if certificate.relative <= plan.tol else "stopped"
    x = x.reshape(problem.shape)
    return Result(
        x=x,
        dual=(solved.dual.reshape(squares.form.loss.range_shape),),
        objective=solved.objective,
        certificate=certificate,
        status=status,
        message=MESSAGES[status],
        iterations=solved.rounds,
        seconds=seconds,
        history=(Record(solved.rounds, seconds, solved.objective, certificate),),
        plan=plan,
        variable=x,
    )
