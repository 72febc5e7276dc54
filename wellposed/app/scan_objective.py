"""The objective of one slice of a scan, and how it is solved: its prior, its weights, its weight."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.checkpoints import CheckpointFile
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.learned_objective import image_scale, rescaled, solve_learned
from wellposed.app.learned_objective import objective as learned_objective
from wellposed.app.solve import Search, Solution, planned, solution_of, solve

if TYPE_CHECKING:
    from wellposed.app.learned_file import LearnedFile
    from wellposed.app.scan_task import Prepared, Task
    from wellposed.functionals._base import Functional
    from wellposed.functionals.parameter import Parameter
    from wellposed.operators.tomography import FanBeam, ParallelBeam
    from wellposed.solvers.plan import Plan

__all__ = ["objective", "plan_of", "prior_of", "solve_slice"]

_SEARCH_COLUMNS = 160


def objective(task: Task, prepared: Prepared, weight: float | Parameter) -> Functional:
    """Least squares of the views in use + weight * prior (+ the constraint)."""
    from wellposed.functionals.indicators import NonNegative

    if (learned := task.learned) is not None:
        first = learned.prior == "weighted-tv"
        prior, values = ("tv", learned.initial) if first else (learned.prior, learned.values)
        total = learned_objective(
            prior, values, prepared.operator, prepared.data, ridge=learned.ridge, channels=1
        )
        return total + NonNegative() if task.nonnegative else total
    if task.prior == "graph":
        return _total(task, prepared.operator, prepared.data, weight, _graph_prior(task, prepared))
    return _total(task, prepared.operator, prepared.data, weight, prior_of(task.prior))


def _total(
    task: Task,
    operator: ParallelBeam | FanBeam,
    data: NDArray[Any],
    weight: float | Parameter,
    prior: Functional,
) -> Functional:
    from wellposed.functionals.datafits import LeastSquares
    from wellposed.functionals.indicators import NonNegative

    total = LeastSquares(operator, data) + weight * prior
    return total + NonNegative() if task.nonnegative else total


PriorOn = Callable[["ParallelBeam | FanBeam", NDArray[Any]], "Functional"]
"""The prior for a scan; one with weights takes them from an image of that scan."""


def _binned(task: Task, prepared: Prepared, prior_on: PriorOn) -> Search | None:
    """The same slice with detector columns averaged in groups, where that is smaller and the rule allows it.

    With groups of k columns both terms of the objective shrink by the same factor for one and the same
    image: a sum over 1/k of the rays, and a total variation in pixels k times as wide. So the weight keeps
    its meaning.
    Rules that compare with the noise level would need that of the averages.
    """
    sinogram = prepared.data
    columns, size = sinogram.shape[1], prepared.operator.domain_shape[0]
    k = columns // _SEARCH_COLUMNS
    if k < 2 or size < k * _SEARCH_COLUMNS // 2 or task.prior == "tgv" or task.options.rule != "auto":
        return None
    few = columns // k
    binned = sinogram[:, : few * k].reshape(len(sinogram), few, k).mean(axis=2, dtype=sinogram.dtype)
    geometry = replace(prepared.geometry, size=max(1, round(size * few * k / columns / k)))
    center = (prepared.center.value + 0.5) / k - 0.5
    operator = geometry.operator(prepared.angles[prepared.chosen], few, center, k * prepared.spacing)
    shape = prepared.operator.domain_shape
    binned = np.ascontiguousarray(binned)
    prior = prior_on(operator, binned)

    def enlarge(image: NDArray[Any]) -> NDArray[Any]:
        rows, cols = (np.arange(n) * m // n for n, m in zip(shape, image.shape, strict=True))
        return np.ascontiguousarray(image[np.ix_(rows, cols)])

    return Search(
        lambda weight: _total(task, operator, binned, weight, prior),
        enlarge,
        f"searched with detector columns averaged in groups of {k}",
    )


def prior_of(name: str, channel_axis: int | None = None) -> Functional:
    """The regulariser of this name; ``"weighted-tv"`` before its weights are known is ``"tv"``."""
    from wellposed.functionals.tgv import TotalGeneralizedVariation
    from wellposed.functionals.tv import TotalVariation

    if name == "tgv":
        return TotalGeneralizedVariation(2.0, 1.0)
    return TotalVariation(channel_axis=channel_axis)


def _graph_prior(task: Task, prepared: Prepared) -> Functional:
    """The norm of the Laplacian of some graph of the size of the one to come, for a plan."""
    from wellposed.functionals.smoothed import SmoothedL21
    from wellposed.operators.graph import GraphLaplacian
    from wellposed.solvers.graph_regularised import SMOOTHING

    ramp = np.add.outer(*map(np.arange, prepared.operator.domain_shape)).astype(prepared.data.dtype)
    return SmoothedL21(SMOOTHING, axes=()) @ GraphLaplacian(ramp, task.weighting.radius, 1.0)


def plan_of(task: Task, prepared: Prepared) -> Plan:
    """Plan of the variational reconstruction, its memory checked."""
    return planned(lambda weight: objective(task, prepared, weight), task.options)


def solve_slice(
    task: Task,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    checkpoint: CheckpointFile | None,
    quick: NDArray[Any] | None,
) -> Solution:
    """Choose the weight if it is not given, and minimise.

    Parameters
    ----------
    task : Task
    prepared : Prepared
    console, interrupt, checkpoint
        As for `solve`.
    quick : ndarray or None
        The filtered back-projection, where it exists.

    Raises
    ------
    InputError
        If the problem cannot be solved as asked for.
    """
    if task.learned is not None:
        return _learned(task, task.learned, prepared, console, interrupt, quick)
    if task.prior == "weighted-tv":
        return _weighted(task, prepared, console, interrupt, quick)
    if task.prior == "graph":
        return _on_graph(task, prepared, console, interrupt, quick)
    return _plain(task, prepared, console, interrupt, checkpoint)


def _learned(
    task: Task,
    learned: LearnedFile,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    quick: NDArray[Any] | None,
) -> Solution:
    """Solve with learned parameters, brought to the size of the numbers in this image."""
    if quick is None:
        raise InputError(
            "learned parameters are brought to the scale of the image by its filtered back-projection, and "
            "this scan has none; use --prior tv"
        )
    factor = image_scale(quick) / learned.image_scale
    solution = solve_learned(
        rescaled(learned, factor),
        prepared.operator,
        prepared.data,
        task.options,
        console,
        interrupt,
        task.nonnegative,
    )
    notes = list(learned.warnings(task.options.noise))
    views = len(prepared.chosen)
    if (before := learned.setting.get("views")) != str(views):
        notes.append(f"the parameters were learned for {before} views, and {views} are used here")
    return replace(solution, notes=(*solution.notes, *notes))


def _plain(
    task: Task,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    checkpoint: CheckpointFile | None = None,
) -> Solution:
    """Solve with a prior that needs no other image."""
    return solve(
        lambda weight: objective(task, prepared, weight),
        task.options,
        console,
        interrupt,
        checkpoint,
        search=_binned(task, prepared, lambda operator, data: prior_of(task.prior)),
    )


def _on_graph(
    task: Task,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    quick: NDArray[Any] | None,
) -> Solution:
    """Solve with the graph Laplacian of an initial image."""
    from wellposed.functionals.datafits import LeastSquares
    from wellposed.functionals.indicators import NonNegative
    from wellposed.solvers.graph_regularised import graph_regularised
    from wellposed.solvers.result import ConvergenceWarning

    options, made = task.options, task.weighting
    initial: Any = made.initial
    if initial == "fbp":
        if quick is None:
            raise InputError("this scan has no filtered back-projection; use --initial tv or tikhonov")
        initial = quick
    fit: Functional = LeastSquares(prepared.operator, prepared.data)
    fit = fit + NonNegative() if task.nonnegative else fit
    rule = "discrepancy" if options.rule == "auto" else options.rule
    begun = time.perf_counter()
    console.stage(f"initial image ({made.initial}), graph and weight")
    with warnings.catch_warnings(), console.solving(options.tol) as show, as_input_error():
        # What a warning says is told by the status of the result, in the report and on the screen.
        warnings.simplefilter("ignore", ConvergenceWarning)

        def watch(info: Any) -> bool:
            show(info)
            return not interrupt.requested

        done = graph_regularised(
            fit,
            options.weight,
            initial,
            radius=made.radius,
            sigma=made.sigma,
            noise_level=options.noise,
            rule=rule,
            tol=options.tol,
            max_iter=500 if options.max_iter is None else options.max_iter,
            callback=watch,
        )
    if options.weight is not None:
        chosen_by = "given"
    elif done.choice is None:
        known = "given" if options.noise is not None else "estimated from the data"
        chosen_by = f"the discrepancy principle, noise level {done.noise_level:.3g} {known}"
    else:
        chosen_by = f"{done.choice.solves} weights tried by the rule {done.choice.rule}; {done.choice.note}"
    timings = {"initial image, graph, weight and solve": time.perf_counter() - begun}
    return solution_of(done.result, done.weight, chosen_by, options, interrupt, timings)


def _weighted(
    task: Task,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    quick: NDArray[Any] | None,
) -> Solution:
    """Solve with total variation whose weights come from ``quick`` or from total variation itself."""
    from wellposed.functionals.datafits import LeastSquares
    from wellposed.functionals.tv import TotalVariation
    from wellposed.operators.tomography import fbp
    from wellposed.solvers.minimize import minimize
    from wellposed.solvers.two_stage import upper_end

    first: Solution | None = None
    if task.weighting.initial == "fbp":
        if quick is None:
            raise InputError("this scan has no filtered back-projection; use --initial tv")
        reference = quick
    else:
        # The weight that the user gives is that of the second stage, which is of another size.
        options = replace(task.options, weight=None)
        first = _plain(replace(task, prior="tv", options=options), prepared, console, interrupt)
        if first.interrupted:
            return first
        reference = np.asarray(first.result.x)

    def prior_on(operator: ParallelBeam | FanBeam, data: NDArray[Any]) -> Functional:
        if first is None:
            image = fbp(data, operator)
        else:
            plain = _total(task, operator, data, first.weight, TotalVariation())
            from wellposed.solvers.result import ConvergenceWarning

            with warnings.catch_warnings():
                # Its certificate does not matter: only its edges are taken, for a search.
                warnings.simplefilter("ignore", ConvergenceWarning)
                image = minimize(plain, tol=task.options.tol, progress=False).x
        return TotalVariation(weights=task.weighting.weights(image))

    prior = TotalVariation(weights=task.weighting.weights(reference))
    automatic = task.options.weight is None
    fit = LeastSquares(prepared.operator, prepared.data)
    solution = solve(
        lambda weight: _total(task, prepared.operator, prepared.data, weight, prior),
        task.options,
        console,
        interrupt,
        search=_binned(task, prepared, prior_on) if automatic else None,
        high=upper_end(fit, prior) if automatic else None,
    )
    seconds = {} if first is None else {f"initial image: {k}": v for k, v in first.timings.items()}
    return replace(solution, timings=seconds | solution.timings)
