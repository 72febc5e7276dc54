"""The projector kernels against slow twins that are written from the definition, one ray at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wellposed.kernels import projector_fan, projector_parallel
from wellposed.operators._projector import transposed
from wellposed.operators._ray_tables import ray_tables, shear_tables

SAMPLES = projector_parallel.SUBPIXELS
ANGLES = np.array([0.0, 0.2, math.pi / 4, 1.2, math.pi / 2, 2.0, 3 * math.pi / 4, math.pi, -0.9, 7.5])


def chord(distance: float, angle: float) -> float:
    """Length of the line x cos + y sin = distance within the unit square around 0."""
    c, s = abs(math.cos(angle)), abs(math.sin(angle))
    outer, inner = (c + s) / 2, abs(c - s) / 2
    distance = abs(distance)
    if distance >= outer:
        return 0.0
    if distance <= inner:
        return 1 / max(c, s)
    return (outer - distance) / (c * s)


def smoothed_chord(distance: float, angle: float, points: int = 400) -> float:
    """The chord averaged with the hat function of one sample of the profile."""
    step = max(abs(math.cos(angle)), abs(math.sin(angle))) / SAMPLES
    u = (np.arange(points) + 0.5) / points * 2 - 1
    values = np.array([chord(distance + v * step, angle) for v in u])
    return float((values * (1 - np.abs(u))).sum() / points * 2)


def naive_parallel(shape: tuple[int, int], detectors: np.ndarray, pixel: float) -> np.ndarray:
    """Matrix of the parallel beam; both interpolations of the profile are written out."""
    n, m = shape
    matrix = np.zeros((len(ANGLES), len(detectors), n, m))
    for a, angle in enumerate(ANGLES):
        c, s = math.cos(angle), math.sin(angle)
        main = max(abs(c), abs(s))
        for k, detector in enumerate(detectors):
            for i in range(n):
                for j in range(m):
                    at = (j - (m - 1) / 2) * c + ((n - 1) / 2 - i) * s
                    # In samples of the profile, whose origin is the rotation axis.
                    pixel_at, detector_at = SAMPLES * at / main, SAMPLES * detector / pixel / main
                    p, d = math.floor(pixel_at), math.floor(detector_at)
                    for sample, share in ((p, 1 - pixel_at + p), (p + 1, pixel_at - p)):
                        for other, part in ((d, 1 - detector_at + d), (d + 1, detector_at - d)):
                            distance = (other - sample) * main / SAMPLES
                            matrix[a, k, i, j] += share * part * pixel * smoothed_chord(distance, angle)
    return matrix


@pytest.mark.parametrize(("shape", "pixel"), [((3, 4), 1.0), ((4, 1), 0.5)])
def test_parallel_matrix_is_that_of_the_definition(shape: tuple[int, int], pixel: float) -> None:
    detectors = (np.arange(5) - 2) * 0.9 * pixel + 0.13
    tables = shear_tables(shape, ANGLES, detectors, pixel)
    taps = tables.taps.astype(np.float64)
    expected = naive_parallel(shape, detectors, pixel)
    for i, j in np.ndindex(shape):
        unit = np.zeros(shape)
        unit[i, j] = 1
        sinogram = np.empty((len(ANGLES), len(detectors)))
        projector_parallel.forward(unit, transposed(unit), tables.lines, taps, tables.n_cells, sinogram)
        np.testing.assert_allclose(sinogram, expected[..., i, j], atol=3e-3 * pixel)
    profiles = np.empty((len(ANGLES), SAMPLES, tables.n_cells))
    image = np.empty(shape)
    for a, k in [(0, 2), (3, 1), (5, 4), (8, 0)]:
        unit = np.zeros((len(ANGLES), len(detectors)))
        unit[a, k] = 1
        projector_parallel.spread(unit, tables.lines, taps, profiles)
        projector_parallel.back_project(profiles, tables.lines, image)
        np.testing.assert_allclose(image, expected[a, k], atol=3e-3 * pixel)


def naive_fan(shape: tuple[int, int], source: np.ndarray, direction: np.ndarray, pixel: float) -> np.ndarray:
    """Weights of one ray: two neighbours in each row, or in each column for a flat ray."""
    n, m = shape
    weights = np.zeros(shape)
    (x0, y0), (dx, dy) = source / pixel, direction
    if abs(dx) > abs(dy):
        for j in range(m):
            y = y0 + (j - (m - 1) / 2 - x0) * dy / dx
            for i in range(n):
                weights[i, j] = max(0.0, 1 - abs((n - 1) / 2 - i - y)) * pixel / abs(dx)
    else:
        for i in range(n):
            x = x0 + ((n - 1) / 2 - i - y0) * dx / dy
            for j in range(m):
                weights[i, j] = max(0.0, 1 - abs(j - (m - 1) / 2 - x)) * pixel / abs(dy)
    return weights


@pytest.mark.parametrize("shape", [(5, 4), (1, 6), (20, 3)])
@pytest.mark.parametrize("distance", [1.02, 5.0])
def test_fan_weights_are_those_of_the_definition(
    shape: tuple[int, int], distance: float, rng: np.random.Generator
) -> None:
    pixel = 0.7
    # Close to the image the fan is so wide that its rays change from steep to flat, twice.
    radius = distance * math.hypot(shape[0] + 1, shape[1] + 1) / 2 * pixel
    fan = np.linspace(-1.5, 1.5, 61)
    heading = (ANGLES + math.pi / 2)[:, None] - fan[None, :]
    directions = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    sources = radius * np.stack([np.sin(ANGLES), -np.cos(ANGLES)], axis=-1)[:, None, :] + 0 * directions
    tables = ray_tables(shape, sources, directions, pixel)
    expected = np.array(
        [
            [naive_fan(shape, p, d, pixel) for p, d in zip(*row, strict=False)]
            for row in zip(sources, directions, strict=False)
        ]
    )

    x = rng.standard_normal(shape)
    sinogram = np.empty((len(ANGLES), len(fan)))
    projector_fan.forward(
        x,
        transposed(x),
        tables.groups,
        tables.starts,
        tables.offsets,
        tables.slopes,
        tables.lengths,
        sinogram,
    )
    np.testing.assert_allclose(sinogram, np.einsum("akij,ij->ak", expected, x), atol=1e-12)

    y = rng.standard_normal(sinogram.shape)
    image = np.empty(shape)
    projector_fan.adjoint(y * tables.lengths, tables.groups, tables.offsets, tables.slopes, image)
    np.testing.assert_allclose(image, np.einsum("akij,ak->ij", expected, y), atol=1e-11)


@pytest.mark.parametrize("shape", [(1, 1), (3, 70), (33, 16)])
def test_transpose(shape: tuple[int, int], rng: np.random.Generator) -> None:
    image = rng.standard_normal(shape).astype(np.float32)
    image.flags.writeable = False
    np.testing.assert_array_equal(transposed(image), image.T)


def test_fan_back_projection_of_ones_is_the_sum_of_the_weights() -> None:
    angles = np.array([0.3, 2.0])
    image = np.empty((4, 5))
    projector_fan.back_project_weighted(
        np.ones((2, 200)), np.cos(angles), np.sin(angles), 20.0, -10.0, 0.1, 1.0, image
    )
    x, y = np.meshgrid(np.arange(5) - 2.0, 1.5 - np.arange(4))
    expected = sum((20 / (20 - x * np.sin(t) + y * np.cos(t))) ** 2 for t in angles)
    np.testing.assert_allclose(image, expected, rtol=1e-12)
