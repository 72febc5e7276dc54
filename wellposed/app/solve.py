"""Solve one imaging problem as the commands do: weight chosen or given, progress, Ctrl-C, checkpoint."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wellposed.app.checkpoints import CheckpointFile
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import as_input_error
from wellposed.app.files import require_memory

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional
    from wellposed.functionals.parameter import Parameter
    from wellposed.solvers.plan import Plan
    from wellposed.solvers.result import Result
    from wellposed.solvers.selection import Choice, Record

__all__ = ["RULES", "Options", "Search", "Solution", "planned", "solution_of", "solve"]

RULES = ("auto", "discrepancy", "gcv", "upre", "sure", "lcurve", "residual-whiteness")
"""Rules that choose a weight, see `wellposed.choose`."""

_SEARCH_TOL = 1e-2
_UNSETTLED = ("interrupted", "stopped")

Build = Callable[["float | Parameter"], "Functional"]
"""The objective for a weight."""


@dataclass(frozen=True)
class Options:
    """How to solve.

    Attributes
    ----------
    weight : float or None
        None: let `rule` choose it.
    rule : str
        One of `RULES`.
    noise : float or None
        Standard deviation of the noise in the data; None: estimated where the rule needs it.
    tol : float
        Of the relative certificate.
    max_iter : int or None
        None: the solver's own limit.
    """

    weight: float | None = None
    rule: str = "auto"
    noise: float | None = None
    tol: float = 1e-3
    max_iter: int | None = None


@dataclass(frozen=True)
class Solution:
    """A result and how it came about.

    Attributes
    ----------
    result : Result
    weight : float
    chosen_by : str
        ``"given"``, or the rule and what it says about its choice.
    interrupted : bool
        Ctrl-C ended the run early.
    notes : tuple of str
        Warnings of the run.
    timings : dict
        Stage to seconds.
    """

    result: Result
    weight: float
    chosen_by: str
    interrupted: bool
    notes: tuple[str, ...]
    timings: dict[str, float]


@dataclass(frozen=True)
class Search:
    """A smaller problem on which the weight is chosen.

    Attributes
    ----------
    build : callable
        Its objective for a weight; the weight must mean the same as in the whole problem.
    enlarge : callable
        Turns its solution into a starting point of the whole problem.
    note : str
        What it is.
    """

    build: Build
    enlarge: Callable[[Any], Any]
    note: str


def planned(build: Build, options: Options) -> Plan:
    """Plan of the run; a weight that is still to be chosen does not change it.

    Raises
    ------
    InputError
        If the problem cannot be solved, or its solver needs more memory than there is.
    """
    from wellposed.solvers.minimize import explain

    with as_input_error():
        plan = explain(build(1.0 if options.weight is None else options.weight), tol=options.tol)
    require_memory(plan.memory, f"the solver {plan.solver}")
    return plan


def solve(
    build: Build,
    options: Options,
    console: Console,
    interrupt: Interrupt,
    checkpoint: CheckpointFile | None = None,
    search: Search | None = None,
    high: float | None = None,
) -> Solution:
    """Choose the weight if it is not given, and minimise the objective.

    With a checkpoint the solver starts afresh after the choice, so that a run that was killed and resumed
    ends with the same numbers as one that was not.

    Parameters
    ----------
    build : callable
        The objective for a weight, a number or a `Parameter`.
    options : Options
    console, interrupt
        Progress, and Ctrl-C.
    checkpoint : CheckpointFile, optional
    search : Search, optional
        Where to choose the weight; by default in the whole problem.
    high : float, optional
        Upper end of the search for the weight; by default from the data.

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        If the library refuses the problem, e.g. a noise level that cannot be estimated.
    """
    timings: dict[str, float] = {}
    start: Any = None
    known = None if checkpoint is None else checkpoint.weight
    cut, fresh = False, checkpoint is not None
    with warnings.catch_warnings():
        # What a warning says is told by the status of the result, in the report and on the screen.
        warnings.simplefilter("ignore", _convergence_warning())
        if known is not None:
            weight, chosen_by = known
        elif options.weight is not None:
            weight, chosen_by = options.weight, "given"
        else:
            begun = time.perf_counter()
            choice = _choose(build if search is None else search.build, options, console, interrupt, high)
            timings["choose the weight"] = time.perf_counter() - begun
            cut = interrupt.requested
            fresh = fresh and not cut
            weight = choice.value
            start = choice.result if search is None else search.enlarge(choice.result.x)
            about = choice.note if search is None else f"{search.note}; {choice.note}"
            chosen_by = f"{choice.solves} weights tried by the rule {choice.rule}; {about}"
        if cut:
            # A weight that nobody chose is nothing to resume with.
            checkpoint = None
        if checkpoint is not None and known is None:
            checkpoint.remember(weight, chosen_by)
        begun = time.perf_counter()
        objective = build(weight)
        result = _minimize(objective, None if fresh else start, options, console, interrupt, checkpoint)
        timings["solve"] = time.perf_counter() - begun
    return solution_of(result, weight, chosen_by, options, interrupt, timings, cut)


def _convergence_warning() -> type[Warning]:
    from wellposed.solvers.result import ConvergenceWarning

    return ConvergenceWarning


def _choose(
    build: Build, options: Options, console: Console, interrupt: Interrupt, high: float | None
) -> Choice:
    from wellposed.functionals.parameter import Parameter
    from wellposed.solvers.selection import choose

    parameter = Parameter("weight", 1.0)
    tried = 0
    with console.counting("choosing the weight") as show:

        def watch(record: Record) -> bool:
            nonlocal tried
            tried += 1
            show(tried, f"{record.value:.3g}, criterion {record.criterion:.4g}")
            return not interrupt.requested

        with as_input_error():
            # Loose here: the last solve, which has progress and a checkpoint, goes on from it.
            return choose(
                build(parameter),
                parameter,
                rule=options.rule,
                noise_level=options.noise,
                high=high,
                tol=max(options.tol, _SEARCH_TOL),
                callback=watch,
                progress=False,
            )


def _minimize(
    objective: Functional,
    start: Any,
    options: Options,
    console: Console,
    interrupt: Interrupt,
    checkpoint: CheckpointFile | None,
) -> Result:
    from wellposed.solvers import checkpoint as saving
    from wellposed.solvers.minimize import minimize

    with console.solving(options.tol) as show:

        def watch(info: Any) -> bool:
            show(info)
            return not interrupt.requested

        if checkpoint is not None:
            saving.SECONDS_BETWEEN_SAVES = checkpoint.seconds
        with as_input_error():
            return minimize(
                objective,
                # After Ctrl-C in the search this stops at its first look, with the search's image.
                x0=start,
                tol=options.tol,
                max_iter=options.max_iter,
                callback=watch,
                progress=False,
                checkpoint=None if checkpoint is None else checkpoint.path,
            )


def solution_of(
    result: Result,
    weight: float,
    chosen_by: str,
    options: Options,
    interrupt: Interrupt,
    timings: dict[str, float],
    cut: bool = False,
) -> Solution:
    """What came of a run, with its notes; ``cut`` if Ctrl-C came before the weight was chosen."""
    reached = result.converged and result.certificate.relative <= options.tol
    early = cut or (not reached and (interrupt.requested or result.status in _UNSETTLED))
    notes: tuple[str, ...] = ()
    if cut:
        notes = (
            "interrupted by Ctrl-C while the weight was chosen: the image is for the best weight so far",
        )
    elif early:
        notes = ("interrupted by Ctrl-C: this is the best image so far, not the end of the run",)
    elif not result.converged:
        notes = (f"{result.message} ({result.certificate})",)
    return Solution(result, weight, chosen_by, early, notes, timings)
