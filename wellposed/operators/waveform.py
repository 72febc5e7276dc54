"""Acoustic waves: from a map of velocities to the traces that receivers record, and its linearisation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import as_shape
from wellposed.operators._host import HostOperator
from wellposed.operators._projector import check_count, check_positive

if TYPE_CHECKING:
    from wellposed.operators._waves import Run

COURANT = math.sqrt(3 / 8)
"""Largest stable ``velocity dt / spacing`` in two dimensions, of fourth order in space."""


class AcousticWaves:
    r"""Traces of sound waves in a medium, as a (nonlinear) function of its velocities.

    .. math:: \frac{1}{c^2}\big(u_{tt} + \gamma u_t\big) = \Delta u + q(t)\,\delta(x - x_s),
              \qquad d_{s,r}(t) = u_s(x_r, t)

    Parameters
    ----------
    shape : (int, int)
        Rows (depth) and columns of the grid of velocities.
    spacing : float
        Distance between grid points, the same along both axes, for example in km.
    dt : float
        Time step, for example in s; then velocities are in km/s.
    wavelet : array of shape (n_times,) or (n_sources, n_times)
        The source at times ``0, dt, 2 dt, ...``; see `ricker`. Traces have as many times.
    sources, receivers : array of shape (n, 2)
        Row and column of each, integers. Every receiver hears every source.
    max_velocity : float
        The largest velocity that will be asked for; the time step must be stable for it.
    layer : int
        Points of the absorbing layer that is added on all four sides; with 0, waves are reflected (and
        ``u = 0`` beyond the border).

    Raises
    ------
    ValueError, TypeError
        If the time step is unstable (the message names the largest one that is not), a source or receiver
        is outside of the grid, or a size or number is out of range.

    Notes
    -----
    Second order in time, fourth in space, by explicit steps; stable for
    ``max_velocity * dt / spacing <= sqrt(3/8)``. Take at least 5 points in the shortest wavelength and
    ``dt`` well below a tenth of the shortest period. In the layer :math:`\gamma` grows with the third
    power of the depth and velocities are those of the border; of a wave that meets a layer one and a half
    wavelengths deep one to two percent come back, from three wavelengths half a percent. The adjoint of
    the linearisation is the exact adjoint of these steps; it repeats them from fields kept every so
    often, so that the memory grows with the square root of the number of steps. Shots run in parallel.
    It computes in host memory.
    Source: the adjoint-state method as in R.-E. Plessix, A review of the adjoint-state method for
    computing the gradient of a functional with geophysical applications, 2006.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wavelet = wp.operators.ricker(5.0, 0.004, 200)
    >>> waves = wp.operators.AcousticWaves((20, 30), 0.04, 0.004, wavelet, [[1, 5]], [[1, 25]], 3.0)
    >>> traces = waves(np.full((20, 30), 2.0))
    >>> traces.shape
    (1, 1, 200)
    >>> bool(0.4 < waves.times[np.argmax(abs(traces[0, 0]))] < 0.8)  # 0.8 km at 2 km/s, and the delay
    True
    """

    def __init__(
        self,
        shape: Any,
        spacing: float,
        dt: float,
        wavelet: Any,
        sources: Any,
        receivers: Any,
        max_velocity: float,
        layer: int = 20,
    ):
        self.shape = as_shape(shape, "shape")
        if len(self.shape) != 2:
            raise ValueError(f"shape must be (rows, columns), got {self.shape}")
        self.spacing = check_positive(spacing, "spacing")
        self.dt = check_positive(dt, "dt")
        self.max_velocity = check_positive(max_velocity, "max_velocity")
        self.layer = 0 if layer == 0 else check_count(layer, "layer")
        longest = COURANT * self.spacing / self.max_velocity
        if self.dt > longest:
            raise ValueError(
                f"dt={self.dt:g} is unstable (Courant-Friedrichs-Lewy): for velocities up to "
                f"{self.max_velocity:g} on a grid of spacing {self.spacing:g} it may be at most {longest:.4g}"
            )
        self.sources = _positions(sources, self.shape, "source")
        self.receivers = _positions(receivers, self.shape, "receiver")
        self.wavelets = _wavelets(wavelet, len(self.sources))

    @property
    def range_shape(self) -> tuple[int, int, int]:
        """Shape of the traces: sources, receivers, times."""
        return len(self.sources), len(self.receivers), self.wavelets.shape[1]

    @property
    def times(self) -> np.ndarray:
        """The time of each sample of a trace."""
        return self.dt * np.arange(self.wavelets.shape[1])

    def allows(self, velocity: Array) -> bool:
        """Whether all velocities are above 0 and at most ``max_velocity``."""
        host = arrays.numpy_view(velocity)
        return bool(np.all(host > 0) and np.all(host <= self.max_velocity))

    def __call__(self, velocity: Array) -> Array:
        """The traces for a map of velocities, of shape (sources, receivers, times).

        Raises
        ------
        ValueError
            If the shape is wrong, or a velocity is not positive or above ``max_velocity``.
        """
        velocity = self._checked(velocity)
        from wellposed.operators._waves import Run

        run = Run(self, arrays.numpy_view(velocity), keep=False)
        return arrays.from_numpy(run.traces, like=velocity)

    def linearised(self, velocity: Array) -> LinearisedWaves:
        """The derivative of the traces at a map of velocities, a linear operator; it has the traces too."""
        return LinearisedWaves(self, self._checked(velocity))

    def _checked(self, velocity: Any) -> Array:
        velocity = arrays.contiguous(arrays.as_floating(velocity, "velocity"))
        if arrays.is_gpu(velocity):
            raise TypeError(f"{self!r} computes in host memory, got a {arrays.describe(velocity)}")
        if tuple(velocity.shape) != self.shape:
            raise ValueError(f"{self!r} takes velocities of shape {self.shape}, got {tuple(velocity.shape)}")
        arrays.check_finite(velocity, "velocity")
        if not self.allows(velocity):
            host = arrays.numpy_view(velocity)
            raise ValueError(
                f"velocities must be above 0 and at most max_velocity={self.max_velocity:g}, which the time "
                f"step is checked for; these are in [{host.min():.4g}, {host.max():.4g}]: limit them with "
                "Box, or choose another max_velocity and dt"
            )
        return velocity

    def __repr__(self) -> str:
        sources, receivers, times = self.range_shape
        return f"AcousticWaves({self.shape}, {sources} sources, {receivers} receivers, {times} times)"


class LinearisedWaves(HostOperator):
    """The derivative of `AcousticWaves` at a map of velocities (Born modelling), and its exact adjoint.

    Parameters
    ----------
    waves : AcousticWaves
    velocity : array
        Checked by ``waves``.
    """

    def __init__(self, waves: AcousticWaves, velocity: Array):
        super().__init__(waves.shape, waves.range_shape)
        self.waves = waves
        self.velocity = np.array(arrays.numpy_view(velocity), copy=True)
        self._like = velocity
        self._runs: dict[Any, Run] = {}

    @property
    def traces(self) -> Array:
        """The traces at the velocities themselves, a copy."""
        return arrays.from_numpy(self._run(self.velocity.dtype).traces.copy(), like=self._like)

    def is_at(self, velocity: Array) -> bool:
        """Whether these are the velocities of this operator, in the same kind of array and dtype."""
        if type(velocity) is not type(self._like) or velocity.dtype != self._like.dtype:
            return False
        return np.array_equal(arrays.numpy_view(velocity), self.velocity)

    def _run(self, dtype: Any) -> Run:
        """Waves through these velocities in a precision, simulated once."""
        from wellposed.operators._waves import Run

        if dtype not in self._runs:
            self._runs[dtype] = Run(self.waves, self.velocity.astype(dtype), keep=True)
        return self._runs[dtype]

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        self._run(x.dtype).scatter(x, out)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        self._run(y.dtype).backpropagate(y, out)


def ricker(frequency: float, dt: float, n_times: int, delay: float | None = None) -> np.ndarray:
    r"""A Ricker wavelet, the second derivative of a Gaussian, with peak 1.

    .. math:: w(t) = (1 - 2 a)\, e^{-a}, \qquad a = (\pi f (t - t_0))^2

    Parameters
    ----------
    frequency : float
        Peak frequency ``f``; the spectrum is negligible from about ``2.5 f`` on.
    dt : float
    n_times : int
    delay : float, optional
        Time of the peak, by default ``1.5 / frequency``: then it starts from zero.

    Returns
    -------
    array of shape (n_times,)

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.operators.ricker(10.0, 0.05, 5).round(3)
    array([-0.   , -0.001, -0.334,  1.   , -0.334])
    """
    frequency, dt = check_positive(frequency, "frequency"), check_positive(dt, "dt")
    start = 1.5 / frequency if delay is None else float(delay)
    a = (np.pi * frequency * (dt * np.arange(check_count(n_times, "n_times")) - start)) ** 2
    return np.asarray((1 - 2 * a) * np.exp(-a))


def _positions(places: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """Rows and columns inside of a grid, or an error that names the first one that is not."""
    given = np.asarray(places)
    if given.ndim != 2 or given.shape[1:] != (2,) or len(given) == 0:
        raise ValueError(f"{name}s must be an array of shape (n, 2), rows and columns, got {given.shape}")
    if not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"{name}s must be integers, indices of grid points, got {given.dtype}")
    outside = np.flatnonzero(((given < 0) | (given >= np.array(shape))).any(axis=1))
    if outside.size:
        k = int(outside[0])
        row, column = (int(v) for v in given[k])
        raise ValueError(f"{name} {k} at ({row}, {column}) is outside of the grid of shape {shape}")
    checked = np.array(given, np.int64)
    checked.flags.writeable = False
    return checked


def _wavelets(wavelet: Any, n_sources: int) -> np.ndarray:
    """One wavelet for each source."""
    given = np.array(arrays.numpy_view(arrays.as_floating(wavelet, "wavelet")), np.float64)
    arrays.check_finite(given, "wavelet")
    if given.ndim == 1:
        given = np.tile(given, (n_sources, 1))
    if given.ndim != 2 or len(given) != n_sources or given.shape[1] < 2:
        raise ValueError(
            f"wavelet must have shape (n_times,) or ({n_sources}, n_times) with at least 2 times, "
            f"got {given.shape}"
        )
    given.flags.writeable = False
    return given
