"""The command ``wellposed reconstruct``: a scan in, an image or volume with its certificate out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import scan_task
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError
from wellposed.app.files import require_memory
from wellposed.app.images import read_image
from wellposed.app.outputs import Outputs, quality
from wellposed.app.report import Report, certificate_sentence
from wellposed.app.scan_task import Outcome, Prepared, Task
from wellposed.app.scans import Scan
from wellposed.app.solve import CheckpointFile
from wellposed.parallel import Done, TaskError, map_tasks

__all__ = ["Request", "parse_slices", "run"]

_PRIORS = {"tv": "total variation", "tgv": "total generalised variation", "none": "filtered back-projection"}
INTERRUPTED = 130


@dataclass(frozen=True)
class Request:
    """Everything that ``wellposed reconstruct`` was asked for.

    Attributes
    ----------
    task : Task
        Settings of a slice; its row is filled in from `slices`.
    slices : str
        ``"3"`` or a range ``"0:8"``, its end excluded.
    outputs : Outputs
    checkpoint : Path or None
    resume : bool
    checkpoint_seconds : float
        Time between two saves.
    workers : int or None
        Processes for the slices of a volume.
    truth : Path or None
        Image to compare with.
    plan_only : bool
        Print the plan and do nothing else.
    """

    task: Task
    slices: str
    outputs: Outputs
    checkpoint: Path | None = None
    resume: bool = False
    checkpoint_seconds: float = 5.0
    workers: int | None = None
    truth: Path | None = None
    plan_only: bool = False


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
    _write(request, scan, prepared, outcome, others, volume, rows, truth, seconds, console)
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
        print(scan_task.plan_of(task, prepared))
    return 0


def _checkpoint(request: Request, task: Task, scan: Scan) -> CheckpointFile | None:
    if request.checkpoint is None:
        return None
    if task.prior == "none":
        raise InputError("--checkpoint has nothing to save without a prior; leave it out")
    settings = {k: v for k, v in _settings(request, task).items() if k not in ("tol", "max-iter")}
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


def _settings(request: Request, task: Task) -> dict[str, str]:
    source, geometry, options = task.source, task.geometry, task.options
    automatic = {"weight": "auto", "center": "auto", "noise": "estimated", "views": "all"}
    values: dict[str, Any] = {
        "scan": source.path.resolve(),
        "slice": request.slices,
        "views": geometry.views,
        "prior": task.prior,
        "weight": options.weight,
        "rule": options.rule,
        "noise": options.noise,
        "nonnegative": task.nonnegative,
        "center": geometry.center,
        "rings": source.rings,
        "angles": source.angles,
        "white": source.white,
        "dark": source.dark,
        "allow-saturated": source.allow_saturated,
        "geometry": geometry.kind,
        "source-origin": geometry.source_origin,
        "origin-detector": geometry.origin_detector,
        "pixel-size": geometry.pixel_size,
        "size": geometry.size,
        "double": source.double,
        "tol": f"{options.tol:g}",
        "max-iter": options.max_iter,
    }
    return {
        label: automatic.get(label, "default") if value is None else str(value)
        for label, value in values.items()
    }


def _write(
    request: Request,
    scan: Scan,
    prepared: Prepared,
    outcome: Outcome,
    others: dict[int, Outcome],
    volume: NDArray[np.floating[Any]],
    rows: range,
    truth: NDArray[Any] | None,
    seconds: float,
    console: Console,
) -> None:
    task = replace(request.task, row=outcome.row)
    label = task.prior.upper() if outcome.solution is not None else "FBP"
    few = f", {len(prepared.chosen)} views"
    images: dict[str, NDArray[Any]] = {}
    reference, about = (
        (truth, f"the image {request.truth}")
        if truth is not None
        else (outcome.reference, f"the filtered back-projection of all {len(prepared.angles)} views")
    )
    if reference is not None:
        images["truth" if truth is not None else f"FBP, all {len(prepared.angles)} views"] = reference
    if outcome.solution is not None and outcome.fbp is not None:
        images[f"FBP{few}"] = outcome.fbp
    images[f"{label}{few}"] = outcome.image
    metrics = (
        {}
        if reference is None
        else {name: quality(image, reference) for name, image in images.items() if image is not reference}
    )
    pixel = prepared.geometry.image_pixel(prepared.sinogram.shape[1], prepared.spacing)
    notes = [*scan.notes, *outcome.notes, *_volume_notes(rows, others)]
    facts = _facts(task, prepared, outcome, others, rows, pixel)
    summary, good = _summary(task, prepared, outcome, others, rows)
    attributes = {"summary": summary, "command": request.outputs.command, **facts}
    if notes:
        attributes["notes"] = " | ".join(notes)
    attributes["sha256 of the scan"] = scan.provenance.sha256
    report = Report(
        title=f"Reconstruction of {scan.path.name}, slice {outcome.row}"
        + (f" of {rows.start}:{rows.stop}" if len(rows) > 1 else ""),
        summary=summary,
        good=good,
        images=images,
        command=request.outputs.command,
        plan=outcome.plan,
        history=_history(outcome),
        tol=task.options.tol if outcome.solution is not None else None,
        sinogram=prepared.data,
        angles=prepared.angles[prepared.chosen],
        center=prepared.center.value,
        notes=notes,
        outcome=facts,
        provenance=_provenance(scan),
        settings=_settings(request, task),
        timings=outcome.timings,
        metrics=metrics,
        reference=about,
    )
    console.result(summary)
    request.outputs.write(volume, attributes, report, console, pixel_size=pixel, notes=notes)
    console.result(f"total time {seconds:.1f} s")


def _volume_notes(rows: range, others: dict[int, Outcome]) -> list[str]:
    missing = [str(r) for r in rows if r not in others]
    notes = [f"interrupted: the slices {', '.join(missing)} are missing (NaN)"] if missing else []
    for row, outcome in sorted(others.items()):
        if len(others) > 1 and outcome.solution is not None and outcome.solution.notes:
            notes.append(f"slice {row}: {outcome.solution.notes[0]}")
    return notes


def _facts(
    task: Task, prepared: Prepared, outcome: Outcome, others: dict[int, Outcome], rows: range, pixel: float
) -> dict[str, str]:
    facts: dict[str, str] = {}
    solution = outcome.solution
    if solution is not None:
        result = solution.result
        facts["status"] = "interrupted" if solution.interrupted else result.status
        facts["certificate"] = str(result.certificate)
        facts["solver"] = f"{result.plan.solver}, {result.iterations} iterations"
        facts["objective"] = f"{result.objective:.8g}"
        facts["weight"] = f"{solution.weight:.5g}"
        facts["weight chosen by"] = solution.chosen_by
        if len(rows) > 1:
            worst = max(
                o.solution.result.certificate.relative for o in others.values() if o.solution is not None
            )
            facts["worst certificate of all slices"] = f"relative {worst:.2g}"
            facts["axis and weight"] = f"those of slice {outcome.row}, for all slices"
    facts["views"] = f"{len(prepared.chosen)} of {len(prepared.angles)}"
    facts["rotation axis"] = f"detector column {prepared.center.value:.3f}, {prepared.center.origin}"
    facts["pixel size"] = f"{pixel:g}"
    return facts


def _summary(
    task: Task, prepared: Prepared, outcome: Outcome, others: dict[int, Outcome], rows: range
) -> tuple[str, bool]:
    what = f"The {_PRIORS[task.prior]} of {len(prepared.chosen)} views"
    if outcome.solution is None:
        return f"{what}; nothing was minimised, so that there is no certificate.", True
    what = f"The {_PRIORS[task.prior]} reconstruction from {len(prepared.chosen)} views"
    results = [o.solution.result for o in others.values() if o.solution is not None]
    worst = max(results, key=lambda r: r.certificate.relative)
    early = len(others) < len(rows) or any(
        o.solution is not None and o.solution.interrupted for o in others.values()
    )
    sentence = certificate_sentence(
        what + (f" of {len(rows)} slices (the worst of them)" if len(rows) > 1 else ""),
        worst.certificate.kind,
        worst.certificate.relative,
        task.options.tol,
        iterations=worst.iterations,
        seconds=worst.seconds,
        finished=not early,
    )
    return sentence, not early and worst.certificate.relative <= task.options.tol


def _history(outcome: Outcome) -> Sequence[dict[str, float]]:
    if outcome.solution is None:
        return ()
    from wellposed.app.outputs import history_of

    return history_of(outcome.solution.result)


def _provenance(scan: Scan) -> dict[str, str]:
    origin = scan.provenance
    table = {"file": origin.path, "format": scan.format, "bytes": f"{origin.size}"}
    table[f"sha256 ({origin.sha256_of})"] = origin.sha256
    for dataset in origin.datasets:
        table[dataset.name] = f"{' x '.join(map(str, dataset.shape)) or 'number'}, {dataset.dtype}"
    return table
