"""Ellipse phantoms: images and exact line integrals from one list of ellipses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.operators._base import as_shape
from wellposed.operators.tomography import FanBeam, ParallelBeam


@dataclass(frozen=True)
class Ellipse:
    """An ellipse that adds ``value`` to every point within it.

    Parameters
    ----------
    value : float
        What it adds; overlapping ellipses add up.
    a, b : float
        Semi-axes, positive lengths.
    x, y : float
        Centre; ``y`` points upwards and the origin is the middle of the image.
    angle : float
        Turns the axis ``a`` from the x axis, counter-clockwise, in radians.
    """

    value: float
    a: float
    b: float
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.value, self.a, self.b, self.x, self.y, self.angle)):
            raise ValueError(f"an ellipse needs finite numbers, got {self}")
        if self.a <= 0 or self.b <= 0:
            raise ValueError(f"the semi-axes of an ellipse must be positive, got a={self.a}, b={self.b}")

    def local(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors turned into the frame of the ellipse and scaled to make it the unit circle."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return (x * cosine + y * sine) / self.a, (y * cosine - x * sine) / self.b


def shepp_logan_ellipses(radius: float = 1.0) -> list[Ellipse]:
    """The ten ellipses of the Shepp-Logan head within a square of half side ``radius``.

    Values are those of the high-contrast version (P. Toft, The Radon Transform, 1996): from 0 to 1,
    0.2 in the brain.
    """
    table = [
        (1.0, 0.69, 0.92, 0.0, 0.0, 0.0),
        (-0.8, 0.6624, 0.874, 0.0, -0.0184, 0.0),
        (-0.2, 0.11, 0.31, 0.22, 0.0, -18.0),
        (-0.2, 0.16, 0.41, -0.22, 0.0, 18.0),
        (0.1, 0.21, 0.25, 0.0, 0.35, 0.0),
        (0.1, 0.046, 0.046, 0.0, 0.1, 0.0),
        (0.1, 0.046, 0.046, 0.0, -0.1, 0.0),
        (0.1, 0.046, 0.023, -0.08, -0.605, 0.0),
        (0.1, 0.023, 0.023, 0.0, -0.606, 0.0),
        (0.1, 0.023, 0.046, 0.06, -0.605, 0.0),
    ]
    return [
        Ellipse(value, a * radius, b * radius, x * radius, y * radius, math.radians(degrees))
        for value, a, b, x, y, degrees in table
    ]


def rasterize(
    ellipses: Sequence[Ellipse], image_shape: Any, pixel_size: float = 1.0, supersampling: int = 8
) -> np.ndarray:
    """The image of some ellipses: the mean over each pixel of ``supersampling**2`` points.

    Pixel ``(i, j)`` is a square of side ``pixel_size`` around ``x = (j - (m-1)/2) * pixel_size``,
    ``y = ((n-1)/2 - i) * pixel_size``, as in `ParallelBeam`. Only pixels near a border are sampled
    more than once.

    Returns
    -------
    array of shape (n, m), float64

    Raises
    ------
    ValueError
        If sizes are not positive or the image has not two axes.

    Examples
    --------
    >>> from wellposed.problems.phantoms import Ellipse, rasterize
    >>> rasterize([Ellipse(2.0, 1.5, 0.5)], (3, 5), supersampling=64).round(1)
    array([[0. , 0. , 0. , 0. , 0. ],
           [0. , 1.4, 2. , 1.4, 0. ],
           [0. , 0. , 0. , 0. , 0. ]])
    """
    shape = as_shape(image_shape, "image_shape")
    if len(shape) != 2:
        raise ValueError(f"image_shape must hold two sizes (rows, columns), got {image_shape!r}")
    if not (math.isfinite(pixel_size) and pixel_size > 0):
        raise ValueError(f"pixel_size must be positive, got {pixel_size}")
    if supersampling < 1:
        raise ValueError(f"supersampling must be at least 1, got {supersampling}")
    n, m = shape
    x = (np.arange(m) - (m - 1) / 2)[None, :] * pixel_size
    y = ((n - 1) / 2 - np.arange(n))[:, None] * pixel_size
    offsets = ((np.arange(supersampling) + 0.5) / supersampling - 0.5) * pixel_size
    image = np.zeros((n, m))
    for ellipse in ellipses:
        radius = np.hypot(*ellipse.local(x - ellipse.x, y - ellipse.y))
        margin = pixel_size * math.sqrt(0.5) / min(ellipse.a, ellipse.b)
        cover = (radius <= 1).astype(np.float64)
        i, j = np.nonzero(np.abs(radius - 1) <= margin)
        dx = (x[0, j] - ellipse.x)[:, None, None] + offsets[None, None, :]
        dy = (y[i, 0] - ellipse.y)[:, None, None] + offsets[None, :, None]
        cover[i, j] = (np.hypot(*ellipse.local(dx, dy)) <= 1).mean(axis=(1, 2))
        image += ellipse.value * cover
    return image


def shepp_logan(image_shape: Any, pixel_size: float = 1.0, supersampling: int = 8) -> np.ndarray:
    """The Shepp-Logan phantom that fills the largest centred square of the image; float64.

    Examples
    --------
    >>> from wellposed.problems.phantoms import shepp_logan
    >>> image = shepp_logan((64, 64))
    >>> image.shape, round(float(image[32, 26]), 3)
    ((64, 64), 0.0)
    """
    shape = as_shape(image_shape, "image_shape")
    ellipses = shepp_logan_ellipses(min(shape) / 2 * pixel_size)
    # Where values of overlapping ellipses cancel, rounding must not leave negative densities.
    return np.asarray(np.maximum(rasterize(ellipses, shape, pixel_size, supersampling), 0.0))


def line_integrals(ellipses: Sequence[Ellipse], points: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Exact integrals of the ellipses along lines through ``points`` with unit ``directions``.

    Both are of shape ``(..., 2)`` and hold (x, y). The value is in the units of length of the
    ellipses: the chord of each one, times its value.
    """
    total = np.zeros(np.broadcast_shapes(points.shape, directions.shape)[:-1])
    for ellipse in ellipses:
        px, py = ellipse.local(points[..., 0] - ellipse.x, points[..., 1] - ellipse.y)
        dx, dy = ellipse.local(directions[..., 0], directions[..., 1])
        # |p + t d| = 1 in the frame of the unit circle; t is a length, since d was of length one.
        square = dx**2 + dy**2
        half_chord_squared = square - (px * dy - py * dx) ** 2
        total += 2 * ellipse.value * np.sqrt(np.maximum(half_chord_squared, 0)) / square
    return total


def analytic_sinogram(ellipses: Sequence[Ellipse], operator: ParallelBeam | FanBeam) -> np.ndarray:
    """The exact sinogram of the ellipses at the rays of a parallel or fan beam; float64.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> from wellposed.problems.phantoms import Ellipse, analytic_sinogram
    >>> A = wp.operators.ParallelBeam((8, 8), [0.3], n_detectors=3, detector_spacing=2.0)
    >>> analytic_sinogram([Ellipse(1.0, 2.5, 2.5)], A)
    array([[3., 5., 3.]])
    """
    return line_integrals(ellipses, *operator.rays())
