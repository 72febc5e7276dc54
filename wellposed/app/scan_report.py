"""What ``wellposed reconstruct`` was asked for, and what it writes and prints at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.console import Console
from wellposed.app.outputs import Outputs, history_of, quality
from wellposed.app.report import Report, certificate_sentence
from wellposed.app.scan_task import Outcome, Prepared, Task
from wellposed.app.scans import Scan

__all__ = ["Request", "settings_of", "write"]

_PRIORS = {
    "tv": "total variation",
    "tgv": "total generalised variation",
    "weighted-tv": "weighted total variation",
    "graph": "graph Laplacian",
    "none": "filtered back-projection",
    "learned": "learned",
}


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


def settings_of(request: Request, task: Task) -> dict[str, str]:
    """Label to text of every setting."""
    source, geometry, options = task.source, task.geometry, task.options
    automatic = {"weight": "auto", "center": "auto", "noise": "estimated", "views": "all"}
    values: dict[str, Any] = {
        "scan": source.path.resolve(),
        "slice": request.slices,
        "views": geometry.views,
        "prior": task.prior,
        **task.weighting_settings,
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


def write(
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
    """Write the result, its picture and its report, and print what came out."""
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
        settings=settings_of(request, task),
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
    return history_of(outcome.solution.result)


def _provenance(scan: Scan) -> dict[str, str]:
    origin = scan.provenance
    table = {"file": origin.path, "format": scan.format, "bytes": f"{origin.size}"}
    table[f"sha256 ({origin.sha256_of})"] = origin.sha256
    for dataset in origin.datasets:
        table[dataset.name] = f"{' x '.join(map(str, dataset.shape)) or 'number'}, {dataset.dtype}"
    return table
