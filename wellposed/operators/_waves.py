"""One simulation of all shots through a map of velocities, with what its derivative needs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.kernels import waves as kernels
from wellposed.kernels._compile import threads

if TYPE_CHECKING:
    from wellposed.operators.waveform import AcousticWaves

FLOORS = {np.dtype(np.float32): 1e-18, np.dtype(np.float64): 1e-150}
"""Fields below this, for sources of peak 1, count as zero: products of two such are no denormal numbers."""

LEFT = 0.03
"""Amplitude left of a wave that crosses the absorbing layer twice; a stronger one would reflect more."""


class Run:
    """Traces for a map of velocities; with ``keep`` also the fields from which the adjoint starts.

    Everything is in the precision of the velocities.
    """

    def __init__(self, waves: AcousticWaves, velocity: np.ndarray, keep: bool):
        self.waves = waves
        self.velocity = velocity
        self.dtype = velocity.dtype
        self.threads = threads()
        shots, _, times = waves.range_shape
        # The least memory is used where `isqrt` steps are repeated at a time; half as many are quicker.
        even = math.isqrt(2 * times * shots // min(self.threads, shots))
        self.every = min(max(even // 2, 1), times - 1) if keep else times
        wide = np.pad(velocity, waves.layer, mode="edge")
        self.speed = np.square(wide * self.dtype.type(waves.dt / waves.spacing))
        self.damping = (1 / (1 + _half_damping(waves))).astype(self.dtype)
        # Sources and residuals are scaled to a peak of 1, so that the floor of the kernels is relative.
        self.peak = _peak(waves.wavelets)
        self.wavelets = (waves.wavelets / self.peak).astype(self.dtype)
        self.floor = FLOORS[self.dtype]
        offset = waves.layer + kernels.BORDER
        self.sources, self.receivers = waves.sources + offset, waves.receivers + offset
        self.traces = np.empty(waves.range_shape, self.dtype)
        blocks = -(-(times - 1) // self.every)
        self.kept = np.empty((shots, blocks, 2, *self._field), self.dtype)
        self._propagate()

    @property
    def _field(self) -> tuple[int, int]:
        """Shape of a field with its border."""
        rows, columns = self.speed.shape
        return rows + 2 * kernels.BORDER, columns + 2 * kernels.BORDER

    def _zeros(self, *shape: int) -> np.ndarray:
        return np.zeros(shape, self.dtype)

    def _batches(self) -> Any:
        """Slices of shots, as many as there are threads."""
        return (slice(k, k + self.threads) for k in range(0, len(self.sources), self.threads))

    def _propagate(self) -> None:
        for shots in self._batches():
            count = len(self.sources[shots])
            kernels.propagate(
                self.speed,
                self.damping,
                self.wavelets[shots],
                self.sources[shots],
                self.receivers,
                self.floor,
                self._zeros(count, 2, *self._field),
                self._zeros(count, self.speed.shape[1]),
                self.kept[shots],
                self.traces[shots],
                self.every,
            )
        self.traces *= self.dtype.type(self.peak)

    def scatter(self, change: np.ndarray, traces: np.ndarray) -> None:
        """Write the derivative of the traces along a change of the velocities."""
        relative = np.pad(2 * change / self.velocity, self.waves.layer, mode="edge")
        for shots in self._batches():
            count = len(self.sources[shots])
            kernels.scatter(
                self.speed,
                self.damping,
                self.wavelets[shots],
                self.sources[shots],
                self.receivers,
                self.floor,
                relative,
                self._zeros(count, 4, *self._field),
                self._zeros(count, 2, self.speed.shape[1]),
                traces[shots],
            )
        traces *= self.dtype.type(self.peak)

    def backpropagate(self, residuals: np.ndarray, gradient: np.ndarray) -> None:
        """Write the adjoint of `scatter`: the gradient along the velocities for these residuals."""
        total, largest = self._zeros(*self.speed.shape), _peak(residuals)
        scaled = residuals / self.dtype.type(largest)
        stretch = np.empty((min(self.threads, len(self.sources)), self.every, *self.speed.shape), self.dtype)
        for shots in self._batches():
            count = len(self.sources[shots])
            each = self._zeros(count, *self.speed.shape)
            kernels.backpropagate(
                self.speed,
                self.damping,
                self.wavelets[shots],
                self.sources[shots],
                self.receivers,
                self.floor,
                scaled[shots],
                self.kept[shots],
                self._zeros(count, 4, *self._field),
                self._zeros(count, self.speed.shape[1]),
                stretch[:count],
                each,
                self.every,
            )
            total += each.sum(axis=0)
        scale = self.dtype.type(2 * largest * self.peak)
        gradient[...] = scale * _fold(total, self.waves.layer) / self.velocity


def _peak(a: np.ndarray) -> float:
    """The largest absolute value, or 1 for an array of zeros."""
    return float(np.abs(a).max()) or 1.0


def _half_damping(waves: AcousticWaves) -> np.ndarray:
    """``gamma dt / 2`` on the grid with its layer, where it grows with the third power of the depth."""
    if waves.layer == 0:
        return np.zeros(waves.shape)
    rate = 4 * waves.max_velocity / (waves.layer * waves.spacing) * math.log(1 / LEFT)
    profiles = []
    for n in waves.shape:
        k = np.arange(n + 2 * waves.layer)
        depth = np.maximum(waves.layer - k, k - (n + waves.layer - 1)).clip(0) / waves.layer
        profiles.append(rate * depth**3)
    return np.asarray(0.5 * waves.dt * np.add.outer(*profiles))


def _fold(wide: np.ndarray, layer: int) -> np.ndarray:
    """The adjoint of repeating the border: the layer is added to the border."""
    for axis in (0, 1):
        n = wide.shape[axis] - 2 * layer
        inner = np.take(wide, np.arange(layer, layer + n), axis)
        first, last = (slice(None),) * axis + (0,), (slice(None),) * axis + (-1,)
        inner[first] += np.take(wide, np.arange(layer), axis).sum(axis)
        inner[last] += np.take(wide, np.arange(layer + n, wide.shape[axis]), axis).sum(axis)
        wide = inner
    return wide
