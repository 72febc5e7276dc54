"""One slice of a scan: settings, preparation, reconstruction; plain data, so that it can be mapped."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import preprocess
from wellposed.app.checkpoints import CheckpointFile
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.files import require_memory
from wellposed.app.geometry import Center, Geometry, locate_center
from wellposed.app.learned_file import LearnedFile
from wellposed.app.scan_objective import plan_of, solve_slice
from wellposed.app.scans import Scan, open_scan
from wellposed.app.solve import Options, Solution

if TYPE_CHECKING:
    from wellposed.operators.tomography import FanBeam, ParallelBeam

__all__ = ["Outcome", "Prepared", "Source", "Task", "Weighting", "prepare", "reconstruct"]

_FBP_COPIES = 12


@dataclass(frozen=True)
class Source:
    """Where the counts come from and how they become line integrals."""

    path: Path
    angles: str | None = None
    white: Path | None = None
    dark: Path | None = None
    allow_saturated: bool = False
    rings: bool = False
    double: bool = False

    def open(self) -> Scan:
        """Open the scan, see `open_scan`."""
        return open_scan(self.path, angles=self.angles, white=self.white, dark=self.dark)


@dataclass(frozen=True)
class Weighting:
    """The initial image of a prior that takes its weights from one, and how it takes them.

    ``eta`` and ``power`` are for ``weighted-tv``, see `wellposed.two_stage`; ``radius`` and ``sigma`` for
    ``graph``, see `wellposed.graph_regularised`.
    """

    initial: str = "tv"
    eta: float | None = None
    power: float = 0.1
    radius: int = 4
    sigma: float | None = None

    def weights(self, reference: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Weights that spare the edges of an image."""
        from wellposed.functionals.adaptive_weights import tv_weights_from

        with as_input_error():
            return np.asarray(tv_weights_from(reference, self.eta, self.power))


@dataclass(frozen=True)
class Task:
    """One slice to reconstruct, with a fixed or an automatic centre and weight."""

    row: int
    source: Source
    geometry: Geometry
    prior: str
    nonnegative: bool
    options: Options
    weighting: Weighting = Weighting()
    learned: LearnedFile | None = None

    @property
    def weighting_settings(self) -> dict[str, Any]:
        """Label to value of the settings of the weights, where there are any."""
        made = self.weighting
        if self.prior == "graph":
            sigma = "from the initial image" if made.sigma is None else made.sigma
            return {"initial": made.initial, "radius": made.radius, "sigma": sigma}
        if self.prior != "weighted-tv":
            return {}
        return {
            "initial": made.initial,
            "eta": "from the initial image" if made.eta is None else made.eta,
            "power": made.power,
        }

    def __repr__(self) -> str:
        return f"slice {self.row} of {self.source.path.name}"


@dataclass(frozen=True)
class Prepared:
    """Line integrals and geometry of one slice, checked.

    Attributes
    ----------
    sinogram : ndarray
        Of all views, (n_views, n_detectors).
    angles : ndarray
        Radians, of all views.
    chosen : ndarray
        Indices of the views in use.
    center : Center
    spacing : float
        Of the detector columns.
    operator : ParallelBeam or FanBeam
        For the views in use.
    """

    sinogram: NDArray[np.floating[Any]]
    angles: NDArray[np.float64]
    chosen: NDArray[np.intp]
    center: Center
    spacing: float
    operator: ParallelBeam | FanBeam
    geometry: Geometry
    notes: tuple[str, ...]
    timings: dict[str, float]

    @property
    def data(self) -> NDArray[np.floating[Any]]:
        """Line integrals of the views in use."""
        return np.ascontiguousarray(self.sinogram[self.chosen])

    @property
    def subset(self) -> bool:
        """Whether views are left out."""
        return len(self.chosen) < len(self.angles)


@dataclass(frozen=True)
class Outcome:
    """What came out of one slice.

    Attributes
    ----------
    row : int
    image : ndarray
        The result.
    fbp : ndarray or None
        Filtered back-projection of the same views, where it exists.
    reference : ndarray or None
        Filtered back-projection of all views, if views were left out.
    solution : Solution or None
        None without a prior.
    """

    row: int
    image: NDArray[np.floating[Any]]
    fbp: NDArray[np.floating[Any]] | None
    reference: NDArray[np.floating[Any]] | None
    solution: Solution | None
    plan: str
    center: Center
    notes: tuple[str, ...]
    timings: dict[str, float] = field(default_factory=dict)


def prepare(task: Task, scan: Scan, console: Console) -> Prepared:
    """Read a slice, correct it, find the axis, build the projector.

    Raises
    ------
    InputError
        For everything about the input that can be wrong.
    """
    task.geometry.check()
    assert scan.angles is not None
    columns = scan.shape[2]
    size = columns if task.geometry.size is None else task.geometry.size
    chosen = preprocess.choose_views(scan.shape[0], task.geometry.views)
    require_memory(
        _FBP_COPIES * (8 if task.source.double else 4) * size * size, f"an image of {size} x {size} pixels"
    )
    timings: dict[str, float] = {}
    begun = time.perf_counter()
    counts = scan.read(task.row, allow_saturated=task.source.allow_saturated)
    made = preprocess.line_integrals(counts, already=scan.line_integrals)
    values = preprocess.remove_rings(made.values) if task.source.rings else made.values
    timings["read and correct"] = time.perf_counter() - begun
    if task.source.double:
        values = values.astype(np.float64)
    begun = time.perf_counter()
    center = locate_center(task.geometry, scan, values, console)
    timings["centre of rotation"] = time.perf_counter() - begun
    spacing = task.geometry.pixel_size or scan.pixel_size or 1.0
    operator = task.geometry.operator(scan.angles[chosen], columns, center.value, spacing)
    return Prepared(
        values,
        scan.angles,
        chosen,
        center,
        spacing,
        operator,
        task.geometry,
        made.notes + center.notes,
        timings,
    )


def _fbp(
    sinogram: NDArray[Any], operator: ParallelBeam | FanBeam
) -> tuple[NDArray[np.floating[Any]] | None, tuple[str, ...]]:
    """Filtered back-projection, or why there is none (a fan beam that covers too few angles)."""
    from wellposed.operators.tomography import fbp

    try:
        return fbp(sinogram, operator), ()
    except ValueError as error:
        return None, (f"no filtered back-projection: {error}",)


def reconstruct(
    task: Task,
    prepared: Prepared,
    console: Console,
    interrupt: Interrupt,
    checkpoint: CheckpointFile | None = None,
) -> Outcome:
    """Reconstruct one slice by filtered back-projection and with the prior.

    Raises
    ------
    InputError
        If the problem cannot be solved as asked for.
    """
    timings = dict(prepared.timings)
    begun = time.perf_counter()
    quick, notes = _fbp(prepared.data, prepared.operator)
    reference = None
    if prepared.subset:
        whole = prepared.geometry.operator(
            prepared.angles, prepared.sinogram.shape[1], prepared.center.value, prepared.spacing
        )
        reference, _ = _fbp(prepared.sinogram, whole)
    timings["filtered back-projection"] = time.perf_counter() - begun
    outcome = Outcome(
        task.row, np.zeros(0), quick, reference, None, "", prepared.center, prepared.notes + notes, timings
    )
    if task.prior == "none":
        if quick is None:
            raise InputError(f"{notes[0]}; give a prior, e.g. --prior tv")
        return replace(outcome, image=quick)
    plan = plan_of(task, prepared)
    solution = solve_slice(task, prepared, console, interrupt, checkpoint, quick)
    timings.update(solution.timings)
    return replace(
        outcome,
        image=np.asarray(solution.result.x),
        solution=solution,
        plan=str(solution.result.plan or plan),
        notes=outcome.notes + solution.notes,
    )
