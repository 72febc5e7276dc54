"""Fan-beam projection ray by ray with linear interpolation (Joseph, 1982), and its exact adjoint.

Every ray crosses the rows of the image at no less than 45 degrees, or the columns; the latter are
the rows of the transposed image. Ray ``k`` meets row ``i`` at column ``offsets[k] + i * slopes[k]``,
with ``i`` counted from the middle row, where it takes the two nearest pixels with linear weights.
``groups`` lists runs of neighbouring rays of one angle that cross the same way, as rows of five
integers, see `ANGLE` to `RISING`. Within a group the columns met are in order, so the rays that hit
a row are a range, found by a few steps from that of the row before, and the loop over it has no tests.

The adjoint walks over the same rays in the same order; each thread owns some rows of the image.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels._compile import inline, kernel, prange

ANGLE, TRANSPOSED, BEGIN, END, RISING = range(5)
"""Columns of ``groups``: angle; 1 if the rays cross columns; first and last (exclusive) ray; 1 if the
column met grows with the ray."""

TILE = 16
"""Rows of the image that one thread finishes before it takes others."""

MARGIN = 2
"""Pixels beside each row: rays at its ends take one, and rounding may take them to the next."""


@inline
def pixels_met(offset: Any, slope: Any, row: Any) -> Any:
    """Where a ray meets a padded row: the left of two pixels, and the weight of the right one."""
    # Small integers as float32 keep the dtype of the ray, where int64 would make it float64.
    column = offset + row * slope + np.float32(MARGIN)
    left = np.int32(column)
    return np.uint32(left), column - np.float32(left)


@inline
def met(offsets: Any, slopes: Any, row: Any, lefts: Any, fractions: Any) -> None:
    """`pixels_met` of many rays, ahead of the loop that reads or writes there and cannot be vectorised."""
    for k in range(offsets.shape[0]):
        lefts[k], fractions[k] = pixels_met(offsets[k], slopes[k], row)


@inline
def is_beyond(offset: Any, slope: Any, row: Any, rising: Any, bound: Any) -> Any:
    """Whether a ray meets the row after ``bound`` in the order of the group."""
    return (offset + row * slope > bound) == rising


@inline
def first_beyond(offsets: Any, slopes: Any, row: Any, group: Any, rising: Any, bound: Any, guess: Any) -> Any:
    """First ray of the group that is beyond the bound, by steps from a guess: the last row's answer."""
    k = guess
    while k < group[END] and not is_beyond(offsets[k], slopes[k], row, rising, bound):
        k += 1
    while k > group[BEGIN] and is_beyond(offsets[k - 1], slopes[k - 1], row, rising, bound):
        k -= 1
    return k


@inline
def rays_on_row(
    offsets: Any, slopes: Any, row: Any, group: Any, n_columns: Any, first: Any, last: Any
) -> Any:
    """First and last (exclusive) ray of the group that meets the row from column -1 to ``n_columns``."""
    rising = group[RISING] == 1
    real = offsets.dtype.type
    before, after = (real(-1), real(n_columns)) if rising else (real(n_columns), real(-1))
    first = first_beyond(offsets, slopes, row, group, rising, before, first)
    last = first_beyond(offsets, slopes, row, group, rising, after, last)
    return first, last


@kernel("r2 r2 j2 j1 r2 r2 r2 w2", work=32)
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
            source = transposed if group[TRANSPOSED] == 1 else image
            sample_rows(source, offsets[a], slopes[a], group, line)
        for k in range(line.shape[0]):
            line[k] *= lengths[a, k]


@inline
def sample_rows(image: Any, offsets: Any, slopes: Any, group: Any, line: Any) -> None:
    """Add to each ray of the group the pixels that it takes in every row of the image."""
    n_rows, n_columns = image.shape
    real = line.dtype.type
    padded = np.zeros(n_columns + 2 * MARGIN, line.dtype)
    lefts = np.empty(line.shape[0], np.uint32)
    fractions = np.empty(line.shape[0], line.dtype)
    first = last = group[BEGIN]
    for i in range(n_rows):
        padded[MARGIN : MARGIN + n_columns] = image[i]
        row = real(i - (n_rows - 1) * 0.5)
        first, last = rays_on_row(offsets, slopes, row, group, n_columns, first, last)
        met(offsets[first:last], slopes[first:last], row, lefts, fractions)
        hit = line[first:last]
        for k in range(last - first):
            p = lefts[k]
            hit[k] += padded[p] + fractions[k] * (padded[p + np.uint32(1)] - padded[p])


@inline
def scatter_rows(
    offsets: Any, slopes: Any, group: Any, weighted: Any, top: Any, n_rows: Any, near: Any, far: Any
) -> None:
    """Add each ray's value to the left (``near``) and right (``far``) pixels of a tile of rows.

    ``top`` is the first row of the tile in the image of ``n_rows``. Two targets, since one would make
    each ray wait for the pixel that the ray before it has just written.
    """
    real = near.dtype.type
    lefts = np.empty(weighted.shape[0], np.uint32)
    fractions = np.empty(weighted.shape[0], near.dtype)
    first = last = group[BEGIN]
    for r in range(near.shape[0]):
        row = real(top + r - (n_rows - 1) * 0.5)
        n_columns = near.shape[1] - 2 * MARGIN
        first, last = rays_on_row(offsets, slopes, row, group, n_columns, first, last)
        met(offsets[first:last], slopes[first:last], row, lefts, fractions)
        values = weighted[first:last]
        near_row, far_row = near[r], far[r]
        for k in range(last - first):
            p = lefts[k]
            share = fractions[k] * values[k]
            near_row[p] += values[k] - share
            far_row[p] += share


@kernel("r2 j2 r2 r2 w2", work=32)
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
                scatter_rows(offsets[a], slopes[a], groups[g], weighted[a], top, n, near, far)
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
                scatter_rows(offsets[a], slopes[a], groups[g], weighted[a], left, m, near, far)
        for i in range(n):
            for c in range(columns):
                image[i, left + c] += near[c, i + MARGIN] + far[c, i + MARGIN - 1]


@inline
def interpolate(padded: Any, position: Any) -> Any:
    """Linear interpolation between the bins of a detector, which falls to zero one bin beyond its ends."""
    at = min(max(position + np.float32(MARGIN), np.float32(0)), np.float32(padded.shape[0] - 2))
    left = np.int32(at)
    p = np.uint32(left)
    return padded[p] + (at - np.float32(left)) * (padded[p + np.uint32(1)] - padded[p])


@kernel("r2 r1 r1 s s s s w2", work=32)
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
    for block in prange((n + TILE - 1) // TILE):
        top = block * TILE
        bottom = min(n, top + TILE)
        abscissae = np.empty(m, image.dtype)
        for j in range(m):
            abscissae[j] = (j - (m - 1) * 0.5) * pixel_size
        padded = np.zeros(n_detectors + 2 * MARGIN, image.dtype)
        image[top:bottom] = 0
        for a in range(filtered.shape[0]):
            padded[MARGIN : MARGIN + n_detectors] = filtered[a]
            cosine, sine = cosines[a], sines[a]
            for i in range(top, bottom):
                y = real(((n - 1) * 0.5 - i) * pixel_size)
                row = image[i]
                for j in range(m):
                    x = abscissae[j]
                    inverse_depth = distance / (distance - x * sine + y * cosine)
                    position = ((x * cosine + y * sine) * inverse_depth - first) / step
                    row[j] += inverse_depth * inverse_depth * interpolate(padded, position)
