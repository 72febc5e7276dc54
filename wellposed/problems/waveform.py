"""Full waveform inversion: a map of velocities from the traces that receivers at the surface record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.indicators import Box
from wellposed.functionals.waveform import WaveformLeastSquares
from wellposed.operators._projector import check_count, check_positive
from wellposed.operators.waveform import COURANT, AcousticWaves, ricker
from wellposed.problems.metrics import relative_error

MARGIN = 1.3
"""Largest velocity that is allowed, over that of the truth."""

MARGIN_OF_STEP = 0.9
"""Time step, over the largest stable one."""


@dataclass(frozen=True)
class WaveformProblem:
    """An inverse problem for velocities whose answer is known.

    Parameters
    ----------
    name : str
    data : array of shape (sources, receivers, times)
        ``F(truth) + noise``.
    operator : AcousticWaves
        ``F``.
    truth : array
        Velocities, in km/s.
    start : array
        Smooth velocities from which to start.
    noise_level : float
        Standard deviation of the noise in each entry of the data.
    """

    name: str
    data: Array
    operator: AcousticWaves
    truth: Array
    start: Array
    noise_level: float

    @property
    def data_fit(self) -> WaveformLeastSquares:
        """``WaveformLeastSquares(operator, data)``."""
        return WaveformLeastSquares(self.operator, self.data)

    @property
    def limits(self) -> Box:
        """Velocities from half the least of the truth to the largest that the time step allows."""
        return Box(0.5 * float(self.truth.min()), self.operator.max_velocity)

    def relative_error(self, x: Array) -> float:
        """Norm of ``x - truth`` over that of ``truth``."""
        return relative_error(arrays.numpy_view(x), self.truth)


def waveform_inversion(
    image: Array | None = None,
    sources: int = 8,
    frequency: float = 4.0,
    noise: float = 0.05,
    spacing: float = 0.03,
    smoothing: float = 6.0,
    seed: int = 0,
) -> WaveformProblem:
    """A seismic survey: sources and receivers along the surface above an unknown medium.

    Parameters
    ----------
    image : array, optional
        Velocities in km/s, positive, depth along the rows; by default 48 x 96 points of dipping layers
        with a fault, a slow and a fast body.
    sources : int
        Evenly spaced in the second row; a receiver is at every other point of that row.
    frequency : float
        Peak frequency of the Ricker wavelet, in Hz.
    noise : float
        Standard deviation of the noise over the root mean square of the traces.
    spacing : float
        Distance between grid points in km; there should be 5 in the wavelength of 2.5 times ``frequency``.
    smoothing : float
        Standard deviation, in grid points, of the Gaussian that makes the starting velocities from the
        true ones.
    seed : int

    Returns
    -------
    WaveformProblem
        Records last until waves have come back from the far lower corners.

    Raises
    ------
    ValueError, TypeError
        If velocities are not positive, or a number is out of range.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> velocities = np.full((16, 24), 2.0)
    >>> velocities[8:] = 2.2
    >>> problem = wp.problems.waveform_inversion(velocities, sources=2, noise=0.0)
    >>> problem.data_fit(problem.truth) < 1e-6 * problem.data_fit(problem.start)
    True
    """
    from scipy.ndimage import gaussian_filter

    truth = _velocities(image)
    frequency, spacing = check_positive(frequency, "frequency"), check_positive(spacing, "spacing")
    sources = check_count(sources, "sources")
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be finite and at least 0, got {noise}")
    if not (np.isfinite(smoothing) and smoothing >= 0):
        raise ValueError(f"smoothing must be finite and at least 0, got {smoothing}")
    rows, columns = truth.shape
    largest = MARGIN * float(truth.max())
    dt = MARGIN_OF_STEP * COURANT * spacing / largest
    seconds = 1.5 / frequency + 1.2 * spacing * np.hypot(columns, 2 * rows) / float(truth.mean())
    wavelet = ricker(frequency, dt, int(np.ceil(seconds / dt)))
    places = np.linspace(1, columns - 2, sources + 2).round().astype(int)[1:-1]
    waves = AcousticWaves(
        truth.shape,
        spacing,
        dt,
        wavelet,
        [[1, int(j)] for j in places],
        [[1, j] for j in range(0, columns, 2)],
        largest,
    )
    clean: Any = waves(truth)
    level = noise * float(np.sqrt(np.mean(np.square(clean, dtype=np.float64))))
    error = np.random.default_rng(seed).standard_normal(clean.shape)
    data = (clean + level * error).astype(truth.dtype)
    start = gaussian_filter(truth, smoothing, mode="nearest")
    return WaveformProblem("waveform inversion", data, waves, truth, start, level)


def _velocities(image: Array | None) -> np.ndarray:
    if image is None:
        return layers((48, 96))
    checked: Any = np.ascontiguousarray(arrays.numpy_view(arrays.as_floating(image, "image")))
    arrays.check_finite(checked, "image")
    if checked.ndim != 2 or min(checked.shape) < 4:
        raise ValueError(f"image must have two axes of at least 4 points, got shape {checked.shape}")
    if not checked.min() > 0:
        raise ValueError(f"image holds velocities, which must be positive; the smallest is {checked.min():g}")
    return np.asarray(checked)


def layers(shape: tuple[int, int]) -> np.ndarray:
    """Velocities from 1.6 to 3.5 km/s: dipping layers with a fault, a slow and a fast body.

    Parameters
    ----------
    shape : (int, int)
        Depth and width.

    Returns
    -------
    array of float32

    Examples
    --------
    >>> from wellposed.problems.waveform import layers
    >>> layers((4, 6)).shape
    (4, 6)
    """
    z, x = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
    depth = z + 0.05 * np.sin(2 * np.pi * x) + 0.08 * (x > 0.5 + 0.25 * z)
    velocity = np.select([depth < d for d in (0.22, 0.42, 0.6, 0.8)], (1.6, 1.9, 2.2, 2.6), 3.0)
    velocity[((x - 0.28) / 0.1) ** 2 + ((z - 0.5) / 0.07) ** 2 < 1] = 1.8
    velocity[((x - 0.75) / 0.12) ** 2 + ((z - 0.7) / 0.08) ** 2 < 1] = 3.5
    return velocity.astype(np.float32)
