"""One self-contained HTML page about one run: what came out, how sure it is, and how to repeat it."""

from __future__ import annotations

import base64
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import plots
from wellposed.app.writers import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "certificate_sentence", "render", "versions", "write_report"]

_PACKAGES = ("wellposed", "numpy", "scipy", "numba", "scikit-image", "h5py", "algotom", "tifffile", "pillow")


@dataclass(frozen=True)
class Report:
    """Everything that a report shows, as plain texts, numbers and arrays.

    Attributes
    ----------
    title : str
        Heading, e.g. ``"Reconstruction of tooth.h5"``.
    summary : str
        One sentence with the certificate, see `certificate_sentence`.
    good : bool
        True if the certificate is within its tolerance; colours the summary.
    images : mapping
        Title to image, shown side by side in one window; the result last.
    command : str
        The exact command that repeats the run.
    plan : str
        The plan of the solver, as text.
    history : sequence of mapping
        Records with iteration, seconds, objective and certificate (relative).
    tol : float or None
        Tolerance of the relative certificate.
    window : (float, float) or None
        Grey window of the images.
    profile_row : int or None
        Row of the profile; the middle one by default.
    sinogram, angles, center
        Line integrals used, their angles in radians and the rotation axis in detector columns; the figure is
        left out if `sinogram` is None.
    notes : sequence of str
        What the user should know: clipped counts, disagreeing centres, early stops.
    outcome, provenance, settings, timings : mapping
        Label to text (timings: seconds), one table each.
    metrics : mapping
        Row (image) to label to number, where a reference exists; `reference` says which.
    reference : str
        What the metrics compare with.
    figures : mapping
        Caption to further figure.
    """

    title: str
    summary: str
    good: bool
    images: Mapping[str, NDArray[Any]]
    command: str
    plan: str = ""
    history: Sequence[Mapping[str, float]] = ()
    tol: float | None = None
    window: tuple[float, float] | None = None
    profile_row: int | None = None
    sinogram: NDArray[Any] | None = None
    angles: NDArray[np.float64] | None = None
    center: float | None = None
    notes: Sequence[str] = ()
    outcome: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reference: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)


def certificate_sentence(
    what: str,
    kind: str,
    relative: float,
    tol: float,
    *,
    iterations: int,
    seconds: float,
    finished: bool = True,
) -> str:
    """Summary of a run in one sentence.

    Parameters
    ----------
    what : str
        Beginning of the sentence, e.g. ``"The reconstruction from 45 views"``.
    kind : str
        Kind of certificate, ``"duality gap"`` or another bound on the error of the objective;
        one whose name contains ``"fixed-point"`` is
        called what it is, no bound.
    relative, tol : float
        Certificate relative to the objective, and its tolerance.
    iterations, seconds : int, float
        Effort.
    finished : bool
        False if the run was stopped early; the sentence then begins with that.

    Examples
    --------
    >>> certificate_sentence("The image", "duality gap", 8e-4, 1e-3, iterations=60, seconds=1.25)
    'The image has an objective at most 0.08 % above the best possible, proven by its duality gap \
(relative 8.0e-04, tolerance 1.0e-03), after 60 iterations in 1.2 s.'
    """
    effort = f"after {iterations} iterations in {seconds:.1f} s"
    numbers = f"relative {relative:.1e}, tolerance {tol:.1e}"
    start = "" if finished else "Stopped early: "
    if not math.isfinite(relative):
        return f"{start}{what} comes without a certificate, {effort}."
    if "fixed-point" in kind.lower():
        return f"{start}{what} has a {kind} ({numbers}), which is no bound on its error, {effort}."
    reached = "" if relative <= tol else "; the tolerance was not reached"
    claim = f"has an objective at most {100 * relative:.2g} % above the best possible, proven by its {kind}"
    return f"{start}{what} {claim} ({numbers}), {effort}{reached}."


def versions() -> dict[str, str]:
    """Versions of Python, the platform and the packages that take part; missing packages are left out."""
    found = {"Python": sys.version.split()[0], "platform": sys.platform}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def render(report: Report) -> str:
    """HTML text of a report; every text of the user is escaped, every image is inside.

    Raises
    ------
    ValueError
        If the report has no image.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    figures = {
        "images": plots.to_base64(plots.images(report.images, window=report.window, line=_row(report)))
    }
    figures["profile"] = plots.to_base64(plots.profile(report.images, row=_row(report)))
    if report.history:
        figures["convergence"] = plots.to_base64(plots.convergence(report.history, tol=report.tol))
    if report.sinogram is not None and report.angles is not None:
        figures["sinogram"] = plots.to_base64(
            plots.sinogram(report.sinogram, report.angles, center=report.center)
        )
    columns = list(dict.fromkeys(label for row in report.metrics.values() for label in row))
    return environment.get_template("report.html").render(
        report=report,
        figures=figures,
        further={text: plots.to_base64(figure) for text, figure in report.figures.items()},
        columns=columns,
        versions=versions(),
        icon=base64.b64encode(_ICON).decode("ascii"),
        total=sum(report.timings.values()),
    )


_ICON = (
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    b'<circle cx="8" cy="8" r="7" fill="#0b5fa5"/>'
    b'<path d="M4 8.5l3 3 5-6" fill="none" stroke="#fff" stroke-width="2"/></svg>'
)


def _row(report: Report) -> int:
    last = list(report.images.values())[-1] if report.images else np.zeros((1, 1))
    rows = last.shape[1] if last.ndim == 3 and last.shape[-1] != 3 else last.shape[0]
    return rows // 2 if report.profile_row is None else report.profile_row


def _number(value: float) -> str:
    """Four significant digits, an infinity sign, or a dash for what is not a number."""
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.4g}"


def write_report(path: Path, report: Report) -> None:
    """Write the report as one HTML file, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    write_text(path, render(report))
