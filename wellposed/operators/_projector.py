"""What all 2-D tomographic projectors share: the scan's geometry, its checks, and host arrays."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.kernels import projector_parallel
from wellposed.operators._base import as_shape
from wellposed.operators._host import HostOperator
from wellposed.operators.calculus import laplacian_symbol


class Projector(HostOperator):
    """Line integrals of an ``(n, m)`` image as a sinogram ``(n_angles, n_detectors)``.

    Pixel ``(i, j)`` is a square around ``x = (j - (m-1)/2) * pixel_size``,
    ``y = ((n-1)/2 - i) * pixel_size``; the rotation axis is the origin. A subclass says where its
    rays run in `rays`.
    """

    nonnegative = True

    def __init__(
        self, image_shape: Any, angles: Any, n_detectors: int, detector_spacing: float, pixel_size: float
    ):
        image_shape = check_image_shape(image_shape)
        self.angles = check_angles(angles)
        self.n_detectors = check_count(n_detectors, "n_detectors")
        self.detector_spacing = check_positive(detector_spacing, "detector_spacing")
        self.pixel_size = check_positive(pixel_size, "pixel_size")
        super().__init__(image_shape, (len(self.angles), self.n_detectors))
        self.image_shape = (image_shape[0], image_shape[1])

    @property
    def detectors(self) -> np.ndarray:
        """Coordinates of the detector bins' centres, in units of length."""
        raise TypeError(f"{type(self).__name__} does not define detectors")

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """A point on each ray and the ray's unit direction, each ``(n_angles, n_detectors, 2)`` as (x, y)."""
        raise TypeError(f"{type(self).__name__} does not define rays")

    @cached_property
    def row_sums(self) -> np.ndarray:
        """Sum of the matrix entries of each ray: the length of the ray within the image, as a sinogram."""
        return np.asarray(self(np.ones(self.domain_shape)))

    @cached_property
    def column_sums(self) -> np.ndarray:
        """Sum of the matrix entries of each pixel, as an image: the back-projection of ones."""
        return np.asarray(self.apply_adjoint(np.ones(self.range_shape)))

    def gram_symbol(self) -> np.ndarray:
        r"""The symbol of ``A* A``: one over frequency, plus the plateau of rays that do not overlap.

        .. math:: \kappa_0 \left( (1 + \Lambda N / 4)^{-1/2} + 0.3 / n_{views} \right)

        with :math:`\kappa_0 = \|A 1\|^2 / N` for ``N`` pixels and :math:`\Lambda` the symbol of the
        Laplacian.
        """
        size = math.prod(self.domain_shape)
        strength = float(np.sum(self.row_sums**2)) / size
        waves = laplacian_symbol(self.domain_shape, (0, 1))
        return strength * (1 / np.sqrt(1 + waves * size / 4) + 0.3 / len(self.angles))

    def __repr__(self) -> str:
        n_angles, n_detectors = self.range_shape
        return f"{type(self).__name__}({self.image_shape}, {n_angles} angles, {n_detectors} detectors)"


def transposed(image: np.ndarray) -> np.ndarray:
    """The transpose of an image, contiguous."""
    turned = np.empty(image.shape[::-1], image.dtype)
    projector_parallel.transpose(image, turned)
    return turned


def check_image_shape(image_shape: Any) -> tuple[int, ...]:
    """Two positive sizes, or an error."""
    shape = as_shape(image_shape, "image_shape")
    if len(shape) != 2:
        raise ValueError(f"image_shape must hold two sizes (rows, columns), got {image_shape!r}")
    return shape


def check_angles(angles: Any) -> np.ndarray:
    """The angles as a read-only float64 vector, or an error."""
    checked = np.array(arrays.numpy_view(arrays.as_array(angles, "angles")), dtype=np.float64)
    if checked.ndim != 1 or checked.size == 0:
        raise ValueError(f"angles must be a non-empty 1-D list of radians, got shape {checked.shape}")
    arrays.check_finite(checked, "angles")
    checked.flags.writeable = False
    return checked


def check_count(value: Any, name: str) -> int:
    """A positive integer, or an error."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return int(value)


def check_positive(value: Any, name: str) -> float:
    """A positive finite length, or an error."""
    number = check_length(value, name)
    if number <= 0:
        raise ValueError(f"{name} must be positive, got {number}")
    return number


def check_length(value: Any, name: str) -> float:
    """A finite length, or an error."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number
