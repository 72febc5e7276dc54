"""Parallel-beam projection of an image by shears: every inner loop runs over contiguous memory.

Rays of one angle that meet the rows of the image at no less than 45 degrees cut all rows at the
same spacing; only the shift differs from row to row. So each row is added, shifted, into one fine
profile (the *shear*), and the profile is then smoothed by the footprint of a pixel and sampled at
the detectors. The other angles do the same on the transposed image. The adjoint takes the same
steps backwards with the same numbers.

The profile has `SUBPIXELS` samples per pixel and is stored as ``profile[phase, cell]``, so that a
row, whose pixels are one cell apart, falls on contiguous samples. A row between two phases is
split linearly between them. Positions are fixed-point integers with 32 fractional bits, which
makes forward and adjoint agree to the last bit of each coefficient in every dtype.

``lines`` holds one row of integers per angle, see `TRANSPOSED` to `END`; ``taps`` the footprint of
a pixel on the profile, an odd number of samples per angle, times the length of a ray in a pixel.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels._compile import inline, kernel, prange

PHASE_BITS = 2
SUBPIXELS = 1 << PHASE_BITS
"""Samples of the profile per pixel."""

FRACTION_BITS = 32
FRACTION_MASK = (1 << FRACTION_BITS) - 1
FRACTION_UNIT = 2.0**-FRACTION_BITS

TRANSPOSED, BASE, SLOPE, FIRST, STEP, BEGIN, END = range(7)
"""Columns of ``lines``: is the transposed image sheared; position on the profile of pixel 0 of row
0, and its change per row; position of detector 0, and its change per detector; first and last
(exclusive) detector on the profile. Positions count samples, in fixed point."""

TILE = 16
"""Rows that the adjoint finishes together: they stay in the first cache, and a float32 tile that is
written transposed fills whole cache lines."""


@inline
def sample_at(position: Any) -> Any:
    """Whole sample and fraction of a fixed-point position."""
    return position >> FRACTION_BITS, (position & FRACTION_MASK) * FRACTION_UNIT


@inline
def phase_and_cell(sample: Any) -> Any:
    """Where a sample of the profile is stored."""
    return sample & (SUBPIXELS - 1), sample >> PHASE_BITS


@inline
def shear_rows(image: Any, base: Any, slope: Any, profile: Any) -> None:
    """Add every row of the image, shifted, to the profile."""
    real = profile.dtype.type
    n_rows, n_columns = image.shape
    for i in range(n_rows):
        sample, fraction = sample_at(base + i * slope)
        phase, cell = phase_and_cell(sample)
        next_phase, next_cell = phase_and_cell(sample + 1)
        far = real(fraction)
        near = real(1) - far
        row = image[i]
        here = profile[phase, cell : cell + n_columns]
        there = profile[next_phase, next_cell : next_cell + n_columns]
        for j in range(n_columns):
            here[j] += near * row[j]
            there[j] += far * row[j]


@inline
def unshear_rows(profile: Any, base: Any, slope: Any, first_row: Any, tile: Any) -> None:
    """Add to each row of the tile what the profile holds at its shift: the adjoint of `shear_rows`."""
    real = profile.dtype.type
    n_rows, n_columns = tile.shape
    for r in range(n_rows):
        sample, fraction = sample_at(base + (first_row + r) * slope)
        phase, cell = phase_and_cell(sample)
        next_phase, next_cell = phase_and_cell(sample + 1)
        far = real(fraction)
        near = real(1) - far
        row = tile[r]
        here = profile[phase, cell : cell + n_columns]
        there = profile[next_phase, next_cell : next_cell + n_columns]
        for j in range(n_columns):
            row[j] += near * here[j] + far * there[j]


@inline
def smooth(samples: Any, taps: Any, smoothed: Any) -> None:
    """Add the symmetric filter ``taps`` of ``samples`` to ``smoothed``; it is its own adjoint."""
    reach = taps.shape[0] // 2
    size = samples.shape[0] - 2 * reach
    for d in range(taps.shape[0]):
        tap = taps[d]
        shifted = samples[d : d + size]
        inner = smoothed[reach : reach + size]
        for k in range(size):
            inner[k] += tap * shifted[k]


@kernel("r2 w2")
def transpose(image: Any, transposed: Any) -> None:
    """Write the transpose of the image, tile by tile."""
    n, m = image.shape
    for block in prange((n + TILE - 1) // TILE):
        top = block * TILE
        bottom = min(n, top + TILE)
        for left in range(0, m, TILE):
            for i in range(top, bottom):
                for j in range(left, min(m, left + TILE)):
                    transposed[j, i] = image[i, j]


@kernel("r2 r2 j2 r2 i w2", work=32)
def forward(image: Any, transposed: Any, lines: Any, taps: Any, n_cells: Any, sinogram: Any) -> None:
    """Line integrals of the image; ``transposed`` is its transpose."""
    real = sinogram.dtype.type
    n_detectors = sinogram.shape[1]
    for a in prange(lines.shape[0]):
        profile = np.zeros((SUBPIXELS, n_cells), sinogram.dtype)
        source = transposed if lines[a, TRANSPOSED] == 1 else image
        shear_rows(source, lines[a, BASE], lines[a, SLOPE], profile)
        samples = np.empty(SUBPIXELS * n_cells, sinogram.dtype)
        for cell in range(n_cells):
            for phase in range(SUBPIXELS):
                samples[SUBPIXELS * cell + phase] = profile[phase, cell]
        smoothed = np.zeros(SUBPIXELS * n_cells, sinogram.dtype)
        smooth(samples, taps[a], smoothed)
        for k in range(n_detectors):
            sinogram[a, k] = 0
        for k in range(lines[a, BEGIN], lines[a, END]):
            sample, fraction = sample_at(lines[a, FIRST] + k * lines[a, STEP])
            far = real(fraction)
            sinogram[a, k] = (real(1) - far) * smoothed[sample] + far * smoothed[sample + 1]


@kernel("r2 j2 r2 w3", work=32)
def spread(sinogram: Any, lines: Any, taps: Any, profiles: Any) -> None:
    """First half of the adjoint: the profile of each angle, ``profiles[angle, phase, cell]``."""
    real = sinogram.dtype.type
    n_cells = profiles.shape[2]
    for a in prange(lines.shape[0]):
        samples = np.zeros(SUBPIXELS * n_cells, sinogram.dtype)
        for k in range(lines[a, BEGIN], lines[a, END]):
            sample, fraction = sample_at(lines[a, FIRST] + k * lines[a, STEP])
            far = real(fraction)
            samples[sample] += (real(1) - far) * sinogram[a, k]
            samples[sample + 1] += far * sinogram[a, k]
        smoothed = np.zeros(SUBPIXELS * n_cells, sinogram.dtype)
        smooth(samples, taps[a], smoothed)
        for cell in range(n_cells):
            for phase in range(SUBPIXELS):
                profiles[a, phase, cell] = smoothed[SUBPIXELS * cell + phase]


@kernel("r3 j2 w2", work=32)
def back_project(profiles: Any, lines: Any, image: Any) -> None:
    """Second half of the adjoint: sum over the angles of the profiles, read along the rays."""
    n, m = image.shape
    for block in prange((n + TILE - 1) // TILE):
        top = block * TILE
        tile = image[top : min(n, top + TILE)]
        tile[:] = 0
        for a in range(lines.shape[0]):
            if lines[a, TRANSPOSED] == 0:
                unshear_rows(profiles[a], lines[a, BASE], lines[a, SLOPE], top, tile)
    for block in prange((m + TILE - 1) // TILE):
        left = block * TILE
        right = min(m, left + TILE)
        columns = np.zeros((right - left, n), image.dtype)
        for a in range(lines.shape[0]):
            if lines[a, TRANSPOSED] == 1:
                unshear_rows(profiles[a], lines[a, BASE], lines[a, SLOPE], left, columns)
        for i in range(n):
            for j in range(right - left):
                image[i, left + j] += columns[j, i]
