"""Computed tomography in the plane: parallel and fan beam, and filtered back-projection."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators.fan_beam import FanBeam
from wellposed.operators.parallel_beam import ParallelBeam

__all__ = ["FILTERS", "FanBeam", "ParallelBeam", "fbp"]

FILTERS = ("ram-lak", "shepp-logan", "cosine", "hamming", "hann")
"""Names of the filters of `fbp`."""


def fbp(
    sinogram: Array, operator: ParallelBeam | FanBeam, filter: str = "ram-lak", cutoff: float = 1.0
) -> Array:
    r"""Filtered back-projection: a quick reconstruction, and a starting point for better ones.

    .. math:: x(p) = \sum_a w_a\, q_a(s_a(p)), \qquad \hat q_a(f) = |f|\, W(f)\, \hat b_a(f)

    Parameters
    ----------
    sinogram : array of shape (n_angles, n_detectors)
        Line integrals ``b`` in the units of the operator's ``pixel_size``.
    operator : ParallelBeam or FanBeam
        The geometry. The weights ``w`` are the gaps between the angles: any set of angles, over half
        a circle or more, is scaled rightly; a missing wedge stays missing. A fan beam gets the usual
        weights for divergence; it goes around the full circle, or over at least half a circle and
        the fan's opening angle (with Parker's weights).
    filter : {"ram-lak", "shepp-logan", "cosine", "hamming", "hann"}
        Window ``W`` on the ramp, from sharp to smooth.
    cutoff : float
        Frequency, as a fraction of the detector's Nyquist frequency, where the window ends.

    Returns
    -------
    array of shape (n, m)
        The image, of the kind and dtype of the sinogram.

    Raises
    ------
    TypeError
        If the operator is no projector of this module.
    ValueError
        For a sinogram of the wrong shape, an unknown filter, a cutoff outside (0, 1], and a fan beam
        that covers less than half a circle and its fan.

    Notes
    -----
    A. C. Kak and M. Slaney, Principles of Computerized Tomographic Imaging (1988), chapter 3. The
    ramp is the transform of its band-limited form on the detector, so that constant regions keep
    their values. Interpolation is linear.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> from wellposed.operators.tomography import fbp
    >>> A = wp.operators.ParallelBeam((32, 32), np.linspace(0, np.pi, 48, endpoint=False))
    >>> disc = (np.hypot(*np.mgrid[-15.5:16, -15.5:16]) < 12).astype(float)
    >>> print(f"{fbp(A(disc), A)[12:20, 12:20].mean():.2f}")
    1.00
    """
    if not isinstance(operator, (ParallelBeam, FanBeam)):
        raise TypeError(f"fbp needs a ParallelBeam or FanBeam operator, got {type(operator).__name__}")
    if filter not in FILTERS:
        raise ValueError(f"filter must be one of {', '.join(FILTERS)}; got {filter!r}")
    if not 0 < cutoff <= 1:
        raise ValueError(f"cutoff must be above 0 and at most 1, got {cutoff!r}")
    sinogram = arrays.as_floating(sinogram, "sinogram")
    if tuple(sinogram.shape) != operator.range_shape:
        raise ValueError(
            f"the sinogram has shape {tuple(sinogram.shape)}, but {operator!r} makes {operator.range_shape}"
        )
    host = np.ascontiguousarray(arrays.numpy_view(sinogram))

    def ramp(rows: np.ndarray, spacing: float) -> np.ndarray:
        return _ramp_filtered(rows, spacing, filter, cutoff)

    return arrays.from_numpy(operator._filtered_back_projection(host, ramp), like=sinogram)


def _ramp_filtered(rows: np.ndarray, spacing: float, window: str, cutoff: float) -> np.ndarray:
    """Each row convolved with the windowed ramp, zero-padded against wrap-around."""
    from scipy.fft import irfft, next_fast_len, rfft

    n = rows.shape[1]
    size = next_fast_len(2 * n, real=True)
    distance = np.minimum(np.arange(size), size - np.arange(size))
    ramp = np.zeros(size)
    ramp[0] = 0.25
    odd = distance % 2 == 1
    ramp[odd] = -1 / (np.pi * distance[odd]) ** 2
    response = np.fft.rfft(ramp).real / spacing * _window(np.fft.rfftfreq(size) / (0.5 * cutoff), window)
    return np.asarray(irfft(rfft(rows, size, axis=1) * response.astype(rows.dtype), size, axis=1)[:, :n])


def _window(frequency: np.ndarray, name: str) -> np.ndarray:
    """Values of a window at frequencies relative to its end; zero beyond it."""
    shapes: dict[str, Any] = {
        "ram-lak": np.ones_like,
        "shepp-logan": lambda f: np.sinc(f / 2),
        "cosine": lambda f: np.cos(np.pi / 2 * f),
        "hamming": lambda f: 0.54 + 0.46 * np.cos(np.pi * f),
        "hann": lambda f: 0.5 + 0.5 * np.cos(np.pi * f),
    }
    return np.where(frequency <= 1, shapes[name](frequency), 0.0)
