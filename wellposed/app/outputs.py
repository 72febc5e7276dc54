"""The files that a command leaves: result, quick look, report; checked before the work, written after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.console import Console
from wellposed.app.errors import InputError
from wellposed.app.files import check_writable, full_suffix
from wellposed.app.report import Report, write_report
from wellposed.app.writers import check_output, write_png, write_result
from wellposed.problems.metrics import psnr, ssim

if TYPE_CHECKING:
    from wellposed.solvers.result import Result

__all__ = ["Outputs", "history_of", "quality"]

_SSIM_LEAST = 11


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes
    ----------
    result : Path
        Its suffix chooses the format, see `write_result`. A PNG of the same name lies beside it.
    report : Path or None
        HTML.
    command : str
        The command line that repeats the run.
    """

    result: Path
    report: Path | None
    command: str

    @property
    def picture(self) -> Path:
        """The quick look."""
        suffix = full_suffix(self.result)
        return self.result.with_name(self.result.name[: len(self.result.name) - len(suffix)] + ".png")

    def check(self) -> None:
        """Make sure that all files can be written.

        Raises
        ------
        InputError
        """
        check_output(self.result)
        if self.picture.is_dir():
            raise InputError(f"the picture {self.picture} is a folder; choose another name for --output")
        if self.report is not None:
            if full_suffix(self.report) not in (".html", ".htm"):
                raise InputError(f"the report {self.report} is an HTML page; give it the suffix .html")
            check_writable(self.report)

    def write(
        self,
        array: NDArray[np.floating[Any]],
        attributes: Mapping[str, str],
        report: Report,
        console: Console,
        *,
        pixel_size: float = 1.0,
        window: tuple[float, float] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Write everything and say so.

        Parameters
        ----------
        array : ndarray
            The result.
        attributes : mapping
            Texts to store with it.
        report : Report
        console : Console
        pixel_size : float
        window : (float, float), optional
            Grey window of the picture.
        notes : sequence of str
            What the user should know.
        """
        if report.metrics:
            for line in _metric_lines(report):
                console.result(line)
        for note in notes:
            console.note(note)
        write_result(self.result, array, attributes=attributes, pixel_size=pixel_size, window=window)
        written = [self.result]
        if self.picture != self.result:
            write_png(self.picture, np.nan_to_num(array), window=window)
            written.append(self.picture)
        if self.report is not None:
            write_report(self.report, report)
            written.append(self.report)
        console.result("wrote " + ", ".join(map(str, written)))


def _metric_lines(report: Report) -> list[str]:
    labels = list(next(iter(report.metrics.values())))
    width = max(map(len, report.metrics))
    lines = [" " * width + "".join(f"{label:>12}" for label in labels) + f"   against {report.reference}"]
    for name, row in report.metrics.items():
        lines.append(f"{name:{width}}" + "".join(f"{row[label]:12.4g}" for label in labels))
    return lines


def quality(
    image: NDArray[Any],
    reference: NDArray[Any],
    data_range: float | None = None,
    channel_axis: int | None = None,
) -> dict[str, float]:
    """PSNR and SSIM; the data range is the reference's span if it is not given.

    Small images, and references without contrast, come without what is not defined for them.
    """
    span = float(np.ptp(reference)) if data_range is None else data_range
    if not span > 0:
        return {}
    values = {"PSNR / dB": psnr(image, reference, data_range=span)}
    if (
        min(n for k, n in enumerate(image.shape) if channel_axis is None or k != channel_axis % image.ndim)
        >= _SSIM_LEAST
    ):
        values["SSIM"] = ssim(image, reference, data_range=span, channel_axis=channel_axis)
    return values


def history_of(result: Result) -> list[dict[str, float]]:
    """The run's records as the report takes them."""
    return [
        {
            "iteration": record.iteration,
            "seconds": record.seconds,
            "objective": record.objective,
            "certificate": record.certificate.relative,
        }
        for record in result.history
    ]
