"""Tables that turn a scan geometry into the numbers that the projector kernels run on."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from wellposed.kernels.projector_parallel import FRACTION_BITS, SUBPIXELS

NARROWEST = 1e-4
"""Width in pixels below which one side of a pixel's footprint counts as vertical."""

FARTHEST = 2.0**30
"""Samples from the rotation axis that fixed-point positions can count."""


class ShearTables(NamedTuple):
    """What the parallel-beam kernels need: see `wellposed.kernels.projector_parallel`."""

    lines: np.ndarray
    taps: np.ndarray
    n_cells: int
    scales: np.ndarray
    """Detector length per pixel of shift, with its sign, for each angle."""
    origins: np.ndarray
    """Sample of the profile that the rotation axis falls on, for each angle."""


def shear_tables(
    shape: tuple[int, int], angles: np.ndarray, detectors: np.ndarray, pixel_size: float
) -> ShearTables:
    """Tables for parallel rays at ``detectors`` (equally spaced coordinates) under each angle.

    An angle is written as a shear of the rows: the pixel at column offset ``X`` and row offset
    ``Y`` (upwards) is hit at detector coordinate ``scale * (X + tan * Y)``. For the other half of
    the angles the same holds with rows and columns exchanged.
    """
    n, m = shape
    cosines, sines = np.cos(angles), np.sin(angles)
    transposed = np.abs(cosines) < np.abs(sines)
    main = np.where(transposed, -sines, cosines)
    slope = np.where(transposed, cosines, sines) / np.where(transposed, sines, cosines)
    scales = pixel_size * main
    n_rows, n_columns = np.where(transposed, m, n), np.where(transposed, n, m)
    taps = np.array([_footprint(abs(w)) for w in slope]) * (pixel_size**2 / np.abs(scales))[:, None]
    reach = taps.shape[1] // 2

    half_width = SUBPIXELS * ((n_columns - 1) / 2 + np.abs(slope) * (n_rows - 1) / 2)
    # The shadows of the outermost pixels end one reach beyond them; smoothing needs another one.
    origins = np.ceil(half_width).astype(np.int64) + 2 * reach + 3
    n_samples = 2 * origins + 2
    base = SUBPIXELS * (slope * (n_rows - 1) / 2 - (n_columns - 1) / 2) + origins
    position = SUBPIXELS * detectors[None, :] / scales[:, None] + origins[:, None]
    if np.abs(position).max() > FARTHEST:
        raise ValueError(
            f"the detector reaches {np.abs(detectors).max() / pixel_size:.3g} pixels from the rotation axis: "
            "detector_spacing, center_offset and pixel_size must be in the same unit"
        )
    seen = (position >= reach) & (position < (n_samples - reach - 1)[:, None])
    begin = np.where(seen.any(axis=1), seen.argmax(axis=1), 0)
    end = np.where(seen.any(axis=1), len(detectors) - seen[:, ::-1].argmax(axis=1), 0)
    step = (position[:, -1] - position[:, 0]) / max(len(detectors) - 1, 1)
    columns = [
        transposed,
        _fixed(base),
        _fixed(-SUBPIXELS * slope),
        _fixed(position[:, 0]),
        _fixed(step),
        begin,
        end,
    ]
    return ShearTables(
        lines=np.ascontiguousarray(np.stack([np.asarray(c, np.int64) for c in columns], axis=1)),
        taps=np.ascontiguousarray(taps),
        n_cells=-(-math.ceil(int(n_samples.max()) / SUBPIXELS + 1) // 16) * 16,
        scales=scales,
        origins=origins,
    )


def _footprint(width: float) -> np.ndarray:
    """Samples of the shadow of a unit pixel: a box of width 1 smeared over ``width`` (at most 1).

    The shadow is averaged against the hat function of each sample, that is, twice over one sample;
    so the second difference of its second antiderivative (a cubic spline) gives it exactly.
    """
    width = max(width, NARROWEST)
    outer, inner = (1 + width) / 2, (1 - width) / 2
    reach = SUBPIXELS + 1
    x = np.arange(-reach - 1, reach + 2) / SUBPIXELS
    cubes = [np.maximum(x + shift, 0) ** 3 for shift in (outer, inner, -inner, -outer)]
    antiderivative = (cubes[0] - cubes[1] - cubes[2] + cubes[3]) / (6 * width)
    shadow = np.diff(antiderivative, 2) * SUBPIXELS
    shadow = (shadow + shadow[::-1]) / 2
    return np.asarray(np.maximum(shadow, 0) / shadow.sum() * SUBPIXELS)


def _fixed(position: np.ndarray) -> np.ndarray:
    return np.rint(position * 2.0**FRACTION_BITS).astype(np.int64)


class RayTables(NamedTuple):
    """What the fan-beam kernels need: see `wellposed.kernels.projector_fan`."""

    groups: np.ndarray
    starts: np.ndarray
    offsets: np.ndarray
    slopes: np.ndarray
    lengths: np.ndarray


def ray_tables(
    shape: tuple[int, int], points: np.ndarray, directions: np.ndarray, pixel_size: float
) -> RayTables:
    """Tables for the rays of a fan, from its source at ``points`` along ``directions``.

    Both are ``(n_angles, n_detectors, 2)`` and hold (x, y); directions point from source to detector.
    """
    n, m = shape
    x, y = points[..., 0] / pixel_size, points[..., 1] / pixel_size
    dx, dy = directions[..., 0], directions[..., 1]
    transposed = np.abs(dx) > np.abs(dy)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Row i counted from the middle lies at y = -i; column j of the transposed image at x = j.
        slopes = np.where(transposed, -dy / dx, -dx / dy)
        offsets = np.where(transposed, (n - 1) / 2 - y + x * dy / dx, (m - 1) / 2 + x - y * dx / dy)
    lengths = pixel_size * np.sqrt(1 + slopes**2)
    # Seen from the source the columns met are in order; behind it, where no pixel is, the order turns.
    with np.errstate(divide="ignore", invalid="ignore"):
        across = np.where(transposed, -dy / np.abs(dx), dx / np.abs(dy))
    groups, starts = [], [0]
    for a in range(len(x)):
        turns = np.flatnonzero(np.diff(transposed[a])) + 1
        edges = [0, *turns.tolist(), x.shape[1]]
        for begin, end in itertools.pairwise(edges):
            rising = across[a, end - 1] > across[a, begin]
            groups.append((a, transposed[a, begin], begin, end, rising))
        starts.append(len(groups))
    return RayTables(
        np.array(groups, dtype=np.int64),
        np.array(starts, dtype=np.int64),
        np.ascontiguousarray(offsets),
        np.ascontiguousarray(slopes),
        lengths,
    )
