"""The command ``wellposed reconstruct``: a scan in, an image or volume with its certificate out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import scan_task
from wellposed.app.checkpoints import CheckpointFile
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError
from wellposed.app.files import require_memory
from wellposed.app.images import read_image
from wellposed.app.scan_objective import plan_of
from wellposed.app.scan_report import Request, settings_of, write
from wellposed.app.scan_task import Outcome, Prepared, Task
from wellposed.app.scans import Scan
from wellposed.parallel import Done, TaskError, map_tasks

__all__ = ["Request", "parse_slices", "run"]

INTERRUPTED = 130


def parse_slices(text: str, rows: int) -> range:
    """Slices of the option ``--slice``.

    Raises
    ------
    InputError
        If the text is no number or range, or outside the scan.

    Examples
    --------
    >>> parse_slices("3", 8), parse_slices("2:5", 8), parse_slices(":", 8)
    (range(3, 4), range(2, 5), range(0, 8))
    """
    parts = text.split(":")
    try:
        if len(parts) == 1:
            start = int(parts[0])
            stop = start + 1
        elif len(parts) == 2:
            start, stop = int(parts[0] or 0), int(parts[1] or rows)
        else:
            raise ValueError
    except ValueError:
        raise InputError(f"--slice {text} is no slice; write a number like 3, or a range like 0:8") from None
    if not 0 <= start < stop <= rows:
        raise InputError(
            f"--slice {text} is out of range: the scan has {rows} slice(s); choose from 0 to {rows - 1}"
        )
    return range(start, stop)


def run(request: Request, console: Console) -> int:
    """Do it.

    Returns
    -------
    int
        Exit code: 0, or 130 after Ctrl-C.

    Raises
    ------
    InputError
        For bad input, before work starts where it can be known.
    """
    begun = time.perf_counter()
    if not request.plan_only:
        request.outputs.check()
    if request.resume and request.checkpoint is None:
        raise InputError("--resume needs --checkpoint FILE, the file to go on from")
    scan = request.task.source.open()
    rows = parse_slices(request.slices, scan.shape[1])
    if len(rows) > 1 and request.checkpoint is not None:
        raise InputError(
            "--checkpoint takes one slice at a time; give --slice NUMBER, once for each slice of the volume"
        )
    middle = rows[len(rows) // 2]
    task = replace(request.task, row=middle)
    truth = None if request.truth is None else read_image(request.truth).pixels
    prepared = scan_task.prepare(task, scan, console)
    _check_truth(truth, request, prepared, len(rows))
    if request.plan_only:
        return _print_plan(task, prepared, console)
    size = prepared.operator.domain_shape
    require_memory(3 * 8 * len(rows) * size[0] * size[1], f"a volume of {len(rows)} slices")
    checkpoint = _checkpoint(request, task, scan)
    views = f"{len(prepared.chosen)} of {len(prepared.angles)} views"
    console.stage(
        f"slice {middle}: {views}, {size[0]} x {size[1]} pixels, axis at column {prepared.center.value:.2f}"
    )
    if checkpoint is not None and checkpoint.resumes:
        console.stage(f"resuming from {checkpoint.path}")
    with Interrupt().listening() as interrupt:
        outcome = scan_task.reconstruct(task, prepared, console, interrupt, checkpoint)
        volume, others = _other_slices(request, rows, outcome, console, interrupt)
    if checkpoint is not None and outcome.solution is not None and outcome.solution.result.converged:
        checkpoint.remove()
    seconds = time.perf_counter() - begun
    write(request, scan, prepared, outcome, others, volume, rows, truth, seconds, console)
    return INTERRUPTED if interrupt.requested else 0


def _check_truth(truth: NDArray[Any] | None, request: Request, prepared: Prepared, slices: int) -> None:
    if truth is not None and (truth.shape != prepared.operator.domain_shape or slices > 1):
        raise InputError(
            f"the truth {request.truth} has shape {truth.shape}, the reconstruction "
            f"{prepared.operator.domain_shape} and {slices} slice(s); give one image of the same size"
        )


def _print_plan(task: Task, prepared: Prepared, console: Console) -> int:
    if task.prior == "none":
        print("filtered back-projection: nothing is minimised")
    else:
        if task.options.weight is None:
            console.note(
                f"the weight will be chosen from the data (rule {task.options.rule}); 1 stands for it here"
            )
        print(plan_of(task, prepared))
    return 0


def _checkpoint(request: Request, task: Task, scan: Scan) -> CheckpointFile | None:
    if request.checkpoint is None:
        return None
    if task.prior == "none":
        raise InputError("--checkpoint has nothing to save without a prior; leave it out")
    if task.prior == "learned":
        raise InputError("--checkpoint does not go with --params; leave it out")
    if task.prior in ("weighted-tv", "graph"):
        raise InputError(
            f"--checkpoint does not save the initial image of --prior {task.prior}; leave it out"
        )
    settings = {k: v for k, v in settings_of(request, task).items() if k not in ("tol", "max-iter")}
    settings["sha256 of the scan"] = scan.provenance.sha256
    return CheckpointFile(
        request.checkpoint, resume=request.resume, settings=settings, seconds=request.checkpoint_seconds
    )


def _one_slice(task: Task) -> Outcome:
    """Reconstruct a slice in a process of its own."""
    console = Console(quiet=True)
    with Interrupt(quiet=True).listening() as interrupt:
        return scan_task.reconstruct(
            task, scan_task.prepare(task, task.source.open(), console), console, interrupt
        )


def _other_slices(
    request: Request, rows: range, first: Outcome, console: Console, interrupt: Interrupt
) -> tuple[NDArray[np.floating[Any]], dict[int, Outcome]]:
    """Reconstruct the slices of a volume with the axis and the weight of the first one.

    Returns
    -------
    volume : ndarray
        The image where there is one slice, else (slices, rows, columns), NaN where Ctrl-C came first.
    outcomes : dict
        Slice to outcome.
    """
    outcomes = {first.row: first}
    if len(rows) == 1:
        return first.image, outcomes
    options = request.task.options
    if first.solution is not None:
        options = replace(options, weight=first.solution.weight)
    geometry = replace(request.task.geometry, center=first.center.value)
    tasks = [replace(request.task, row=r, options=options, geometry=geometry) for r in rows if r != first.row]
    if not interrupt.requested:
        with console.counting("slices", len(rows)) as show:

            def keep(done: Done[Outcome]) -> None:
                outcomes[done.result.row] = done.result
                show(done.finished + 1, f"{done.finished + 1} of {len(rows)} done")
                if interrupt.requested:
                    raise _Enough

            try:
                map_tasks(_one_slice, tasks, workers=request.workers, progress=keep)
            except _Enough:
                pass  # what is finished is in `outcomes`; the note on the volume names what is missing
            except (TaskError, KeyboardInterrupt) as error:
                # Ctrl-C in a terminal reaches the other processes too, and may end some of them.
                if interrupt.requested:
                    pass
                elif isinstance(error.__cause__, InputError):
                    raise error.__cause__ from error
                else:
                    raise
    volume = np.full((len(rows), *first.image.shape), np.nan, first.image.dtype)
    for row, outcome in outcomes.items():
        volume[row - rows.start] = outcome.image
    return volume, outcomes


class _Enough(Exception):  # noqa: N818
    """Ctrl-C was pressed while slices were mapped."""
