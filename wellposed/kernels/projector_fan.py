"""Fan-beam projection ray by ray with linear interpolation (Joseph, 1982), and its exact adjoint.

Every ray crosses the rows of the image at no less than 45 degrees, or the columns; the latter are
the rows of the transposed image. Ray ``k`` meets row ``i`` at column ``offsets[k] + i * slopes[k]``,
with ``i`` counted from the middle row, where it takes the two nearest pixels with linear weights.
``groups`` lists runs of neighbouring rays of one angle that cross the same way, as rows of five
integers, see `ANGLE` to `RISING`. Within a group the columns met are in order, so the rays that hit
a row are found by bisection and the loop over them has no tests.

The adjoint walks over the same rays in the same order; each thread owns some rows of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from wellposed.kernels._compile import inline, kernel

ANGLE, TRANSPOSED, BEGIN, END, RISING = range(5)
"""Columns of ``groups``: angle; 1 if the rays cross columns; first and last (exclusive) ray; 1 if the
column met grows with the ray."""

TILE = 8
"""Rows of the image that one thread finishes before it takes others."""

MARGIN = 2
"""Pixels beside each row: rays at its ends take one, and rounding may take them to the next."""


@inline
def column_met(offset: Any, slope: Any, row: Any) -> Any:
    """Where a ray meets a row: the left of two pixels, and the weight of the right one."""
    column = offset + row * slope
    left = np.int64(np.floor(column))
    return left, column - left


@inline
def first_beyond(offsets: Any, slopes: Any, row: Any, begin: Any, end: Any, rising: Any, bound: Any) -> Any:
    """First ray of the group that meets the row right of ``bound`` (rising) or not right of it."""
    low, high = begin, end
    while low < high:
        middle = (low + high) // 2
        if (offsets[middle] + row * slopes[middle] > bound) == rising:
            high = middle
        else:
            low = middle + 1
    return low


@inline
def rays_on_row(offsets: Any, slopes: Any, row: Any, group: Any, n_columns: Any) -> Any:
    """First and last (exclusive) ray of the group that meets the row from column -1 to ``n_columns``."""
    rising = group[RISING] == 1
    real = offsets.dtype.type
    before, after = (real(-1), real(n_columns)) if rising else (real(n_columns), real(-1))
    first = first_beyond(offsets, slopes, row, group[BEGIN], group[END], rising, before)
    last = first_beyond(offsets, slopes, row, first, group[END], rising, after)
    return first, last


@kernel("r2 r2 j2 j1 r2 r2 r2 w2")
def forward(
    image: Any,
    transposed: Any,
    groups: Any,
    starts: Any,
    offsets: Any,
    slopes: Any,
    lengths: Any,
    sinogram: Any,
) -> None:
    """Line integrals of the image. ``starts[a] : starts[a + 1]`` are the groups of angle ``a``."""
    for a in prange(sinogram.shape[0]):
        line = sinogram[a]
        line[:] = 0
        for g in range(starts[a], starts[a + 1]):
            group = groups[g]
            if group[TRANSPOSED] == 1:
                sample_rows(transposed, offsets[a], slopes[a], group, line)
            else:
                sample_rows(image, offsets[a], slopes[a], group, line)
        for k in range(line.shape[0]):
            line[k] *= lengths[a, k]


@inline
def sample_rows(image: Any, offsets: Any, slopes: Any, group: Any, line: Any) -> None:
    """Add to each ray of the group the pixels that it takes in every row of the image."""
    n_rows, n_columns = image.shape
    real = line.dtype.type
    padded = np.zeros(n_columns + 2 * MARGIN, line.dtype)
    for i in range(n_rows):
        padded[MARGIN : MARGIN + n_columns] = image[i]
        row = real(i - (n_rows - 1) * 0.5)
        first, last = rays_on_row(offsets, slopes, row, group, n_columns)
        for k in range(first, last):
            left, far = column_met(offsets[k], slopes[k], row)
            p = np.uint64(left + MARGIN)
            line[k] += padded[p] + real(far) * (padded[p + np.uint64(1)] - padded[p])


@inline
def scatter_row(offsets: Any, slopes: Any, row: Any, group: Any, weighted: Any, near: Any, far: Any) -> None:
    """Add each ray's value to the left pixels (``near``) and right pixels (``far``) of one row."""
    first, last = rays_on_row(offsets, slopes, row, group, near.shape[0] - 2 * MARGIN)
    real = near.dtype.type
    for k in range(first, last):
        left, fraction = column_met(offsets[k], slopes[k], row)
        p = np.uint64(left + MARGIN)
        share = real(fraction) * weighted[k]
        near[p] += weighted[k] - share
        far[p] += share


@inline
def scatter_group(
    offsets: Any, slopes: Any, group: Any, weighted: Any, top: Any, n_rows: Any, near: Any, far: Any
) -> None:
    """`scatter_row` for the rows of a tile that starts at row ``top`` of ``n_rows``."""
    real = near.dtype.type
    for r in range(near.shape[0]):
        row = real(top + r - (n_rows - 1) * 0.5)
        scatter_row(offsets, slopes, row, group, weighted, near[r], far[r])


@kernel("r2 j2 r2 r2 w2")
def adjoint(weighted: Any, groups: Any, offsets: Any, slopes: Any, image: Any) -> None:
    """Adjoint of `forward` for a sinogram that was multiplied by the ``lengths`` already."""
    n, m = image.shape
    for block in prange((n + TILE - 1) // TILE):
        top = block * TILE
        rows = min(n, top + TILE) - top
        near = np.zeros((rows, m + 2 * MARGIN), image.dtype)
        far = np.zeros((rows, m + 2 * MARGIN), image.dtype)
        for g in range(groups.shape[0]):
            a = groups[g, ANGLE]
            if groups[g, TRANSPOSED] == 0:
                scatter_group(offsets[a], slopes[a], groups[g], weighted[a], top, n, near, far)
        for r in range(rows):
            for j in range(m):
                image[top + r, j] = near[r, j + MARGIN] + far[r, j + MARGIN - 1]
    for block in prange((m + TILE - 1) // TILE):
        left = block * TILE
        columns = min(m, left + TILE) - left
        near = np.zeros((columns, n + 2 * MARGIN), image.dtype)
        far = np.zeros((columns, n + 2 * MARGIN), image.dtype)
        for g in range(groups.shape[0]):
            a = groups[g, ANGLE]
            if groups[g, TRANSPOSED] == 1:
                scatter_group(offsets[a], slopes[a], groups[g], weighted[a], left, m, near, far)
        for i in range(n):
            for c in range(columns):
                image[i, left + c] += near[c, i + MARGIN] + far[c, i + MARGIN - 1]


@kernel("r2 r1 r1 s s s s w2")
def back_project_weighted(
    filtered: Any, cosines: Any, sines: Any, distance: Any, first: Any, step: Any, pixel_size: Any, image: Any
) -> None:
    """Fan-beam back-projection with the weight ``1 / U**2`` and linear interpolation.

    The detector stands at the rotation centre: coordinate ``first + k * step`` of ray ``k``;
    ``distance`` is that of the source. ``U`` is the depth of a pixel below the source over ``distance``.
    """
    n, m = image.shape
    real = image.dtype.type
    n_detectors = filtered.shape[1]
    for i in prange(n):
        y = ((n - 1) * real(0.5) - i) * pixel_size
        row = np.zeros(m, image.dtype)
        for a in range(filtered.shape[0]):
            line = filtered[a]
            for j in range(m):
                x = (j - (m - 1) * real(0.5)) * pixel_size
                inverse_depth = distance / (distance - x * sines[a] + y * cosines[a])
                s = (x * cosines[a] + y * sines[a]) * inverse_depth
                position = (s - first) / step
                if position >= 0 and position <= n_detectors - 1:
                    k = min(np.int64(position), n_detectors - 2) if n_detectors > 1 else 0
                    other = min(k + 1, n_detectors - 1)
                    far = position - k
                    row[j] += inverse_depth * inverse_depth * ((1 - far) * line[k] + far * line[other])
        image[i] = row
