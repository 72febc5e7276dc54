"""Where rays and pixels are: the geometry of a scan and its rotation axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import preprocess
from wellposed.app.center import find_center
from wellposed.app.console import Console
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.scans import Scan

if TYPE_CHECKING:
    from wellposed.operators.tomography import FanBeam, ParallelBeam

__all__ = ["Center", "Geometry", "locate_center"]


@dataclass(frozen=True)
class Geometry:
    """Rays and pixels; lengths in the unit of `pixel_size`.

    Attributes
    ----------
    kind : {"parallel", "fan"}
    views : int or None
        Number of views to use, evenly spread; None: all.
    center : float or None
        Rotation axis in detector columns; None: from the file, or found.
    source_origin, origin_detector : float or None
        For a fan beam: distances from the axis.
    pixel_size : float or None
        Spacing of the detector columns; None: from the file, or 1.
    size : int or None
        Rows and columns of the image, which covers the width of the detector; None: the number of columns.
    """

    kind: str = "parallel"
    views: int | None = None
    center: float | None = None
    source_origin: float | None = None
    origin_detector: float | None = None
    pixel_size: float | None = None
    size: int | None = None

    def check(self) -> None:
        """Refuse options that do not go together.

        Raises
        ------
        InputError
        """
        lengths = (self.source_origin, self.origin_detector)
        if self.kind == "fan" and None in lengths:
            raise InputError(
                "--geometry fan needs the distances of source and detector from the rotation axis: give "
                "--source-origin and --origin-detector in the unit of --pixel-size"
            )
        if self.kind == "parallel" and lengths != (None, None):
            raise InputError("--source-origin and --origin-detector are for a fan beam: add --geometry fan")

    def operator(
        self, angles: NDArray[np.float64], columns: int, center: float, spacing: float
    ) -> ParallelBeam | FanBeam:
        """Build the projector for these angles, detector and axis."""
        from wellposed.operators.tomography import FanBeam, ParallelBeam

        size = columns if self.size is None else self.size
        offset = preprocess.center_offset(center, columns, spacing)
        pixel = self.image_pixel(columns, spacing)
        with as_input_error():
            if self.source_origin is None or self.origin_detector is None:
                return ParallelBeam((size, size), angles, columns, spacing, pixel, offset)
            return FanBeam(
                (size, size),
                angles,
                self.source_origin,
                self.origin_detector,
                n_detectors=columns,
                detector_spacing=spacing,
                pixel_size=pixel,
                detector_offset=offset,
            )

    def image_pixel(self, columns: int, spacing: float) -> float:
        """Side of an image pixel: the detector's width, seen at the axis, over the pixels of a row."""
        width = columns * spacing
        if self.source_origin is not None and self.origin_detector is not None:
            width *= self.source_origin / (self.source_origin + self.origin_detector)
        return width / (columns if self.size is None else self.size)


@dataclass(frozen=True)
class Center:
    """Rotation axis in detector columns, and where it comes from."""

    value: float
    origin: str
    notes: tuple[str, ...] = ()


def locate_center(geometry: Geometry, scan: Scan, values: NDArray[Any], console: Console) -> Center:
    """The axis that was given, or stored in the file, or is found in the line integrals of all views.

    Raises
    ------
    InputError
        If the given one is off the detector, or none can be found.
    """
    columns = scan.shape[2]
    if geometry.center is not None:
        if not 0 <= geometry.center <= columns - 1:
            raise InputError(
                f"--center {geometry.center:g} is off the detector, whose columns are 0 to {columns - 1}"
            )
        return Center(geometry.center, "given")
    if scan.center is not None:
        return Center(scan.center, "stored in the file")
    if geometry.kind == "fan":
        middle = (columns - 1) / 2
        note = f"the axis of a fan beam is not searched: the middle of the detector, {middle:g}, is taken"
        return Center(
            middle, "middle of the detector", (f"{note}; give it with --center if it is elsewhere",)
        )
    console.stage("finding the centre of rotation")
    assert scan.angles is not None
    found = find_center(values, scan.angles)
    return Center(found.value, f"found by the {found.method} method", found.notes)
