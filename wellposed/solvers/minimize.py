"""The front door: `minimize` and `explain`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers.choice import SOLVERS, choose
from wellposed.solvers.loop import Control, Info, run
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem, canonical
from wellposed.solvers.result import Result


def minimize(
    objective: Functional,
    x0: Array | Result | None = None,
    tol: float = 1e-3,
    max_iter: int | None = None,
    solver: str = "auto",
    callback: Callable[[Info], Any] | None = None,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
) -> Result:
    r"""Minimise a sum of functionals, with a certificate of how close the result is.

    .. math:: \min_x \sum_i f_i(K_i x)

    Parameters
    ----------
    objective : Functional
        A term, or a sum of terms: ``wp.LeastSquares(A, b) + 0.1 * wp.TotalVariation()``.
    x0 : array or Result, optional
        Where to start; a `Result` of a similar problem hands over its dual variables too.
    tol : float
        The run ends when the relative certificate is at most ``tol``.
    max_iter : int, optional
        Iterations at most (default: a limit of the solver, which `explain` shows).
    solver : str
        ``"auto"`` chooses; the other names are listed by ``explain(objective).rejected``.
    callback : callable, optional
        Called with an `Info` whenever the certificate is evaluated; return ``False`` to stop.
    progress : bool, optional
        Show progress on standard error: a live line in a terminal, plain lines in a pipe. By default
        only in a terminal, and only for runs of more than two seconds.
    checkpoint : path, optional
        Save the run there every five seconds; if the file exists, the run is taken up from it and
        ends with the same result as if it had not been broken off.

    Returns
    -------
    Result
        With ``x`` of the kind, dtype and device of the data.

    Raises
    ------
    TypeError, ValueError
        Before any work: if shapes do not fit, a number is out of range, or the solver asked for
        cannot minimise this objective; the message says why and which solvers can.

    Warns
    -----
    ConvergenceWarning
        If the run ends before the tolerance is reached; ``status`` and ``message`` say why.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> result = wp.minimize(wp.LeastSquares(None, np.array([3.0, 0.2])) + 1.0 * wp.L1(), tol=1e-6)
    >>> result.x
    array([2., 0.])
    >>> result.status
    'converged'
    """
    tol, wanted = _positive(tol, "tol"), _limit(max_iter)
    problem, start, dual0 = _start(objective, x0)
    plan, entry = choose(problem, solver, tol)
    control = Control(
        tol=tol,
        max_iter=entry.max_iter if wanted is None else wanted,
        callback=callback,
        progress=progress,
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
    if entry.run is not None:
        return entry.run(problem, plan, control, start)
    return run(entry.build(problem, control.tol), plan, control, start, dual0)


def explain(objective: Functional, x0: Array | None = None, tol: float = 1e-3, solver: str = "auto") -> Plan:
    """Say what `minimize` would do, and why, without doing it.

    Parameters
    ----------
    objective : Functional
    x0 : array, optional
        Needed only where the objective does not tell the shape of ``x``.
    tol, solver
        As for `minimize`.

    Returns
    -------
    Plan
        Solver, reason, splitting, step rule, cost per iteration, memory; ``print`` it.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.explain(wp.LeastSquares(None, np.ones(3)) + 0.5 * wp.L1()).solver
    'prox'
    """
    return choose(canonical(objective, x0), solver, _positive(tol, "tol"))[0]


Start = tuple[Problem, Array | None, tuple[Array | None, ...] | None]


def _start(objective: Functional, x0: Array | Result | None) -> Start:
    """The canonical problem, the checked starting point, and the dual variables that come with it."""
    if x0 is None:
        return canonical(objective), None, None
    given = x0.x if isinstance(x0, Result) else arrays.as_floating(x0, "x0")
    problem = canonical(objective, given)
    arrays.namespace(given, problem.like)
    if given.dtype != problem.like.dtype:
        raise TypeError(f"x0 is {given.dtype}, the data are {problem.like.dtype}: convert one of them")
    arrays.check_finite(given, "x0")
    if not isinstance(x0, Result):
        return problem, given, None
    whole = x0.variable is not None and tuple(x0.variable.shape) == problem.shape
    return problem, x0.variable if whole else given, _fitting(problem, x0.dual)


def _fitting(problem: Problem, dual: tuple[Array | None, ...]) -> tuple[Array | None, ...] | None:
    """The dual variables of an earlier result, where they have the shapes of this problem."""
    if len(dual) != len(problem.terms):
        return None
    shapes = [t.range_shape(problem.shape) for t in problem.terms]
    fits = all(y is None or tuple(y.shape) == shape for y, shape in zip(dual, shapes, strict=True))
    return dual if fits else None


def _positive(value: float, name: str) -> float:
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value!r}")
    return float(value)


def _limit(max_iter: int | None) -> int | None:
    if max_iter is None:
        return None
    number = isinstance(max_iter, (int, float)) and not isinstance(max_iter, bool) and math.isfinite(max_iter)
    if not number or int(max_iter) != max_iter or max_iter < 0:
        raise ValueError(f"max_iter must be an integer of at least 0, got {max_iter!r}")
    return int(max_iter)


__all__ = ["SOLVERS", "explain", "minimize"]
