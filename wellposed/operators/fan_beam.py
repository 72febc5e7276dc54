"""The fan-beam transform of an image with a flat detector, with its exact adjoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed.kernels import projector_fan as kernels
from wellposed.operators._angles import angular_weights, arc, covers_circle, short_scan_weights
from wellposed.operators._projector import (
    Projector,
    check_angles,
    check_image_shape,
    check_length,
    check_positive,
    transposed,
)
from wellposed.operators._ray_tables import ray_tables


class FanBeam(Projector):
    r"""Line integrals of an image along the rays from a point source to a flat detector.

    At angle :math:`\theta` the source is at ``source_origin * (sin, -cos)``, the middle of the
    detector at ``origin_detector * (-sin, cos)``, and bin ``k`` is
    :math:`s_k (\cos\theta, \sin\theta)` away from it. The central ray runs along
    :math:`(-\sin\theta, \cos\theta)` and is the central ray of `ParallelBeam` at the same angle.

    Parameters
    ----------
    image_shape : (int, int)
        Rows and columns; pixels as in `ParallelBeam`.
    angles : array of shape (n_angles,)
        Any angles, in radians, in any order.
    source_origin, origin_detector : float
        Distances of the source and of the detector from the rotation axis, on opposite sides of it.
        The source is outside the circle around the image; ``origin_detector`` may be 0 (a virtual
        detector at the axis).
    n_detectors : int, optional
        Bins of the detector. By default enough to see the whole image from everywhere.
    detector_spacing, pixel_size : float
        Lengths in one common unit, the spacing measured on the detector itself.
    detector_offset : float
        ``s_k = (k - (n_detectors-1)/2) * detector_spacing + detector_offset``: a shift of the
        detector along itself, in units of length.

    Raises
    ------
    ValueError, TypeError
        For angles that are empty, not finite or not 1-D, sizes and lengths that are not positive, and
        a source within the image's circle.

    Notes
    -----
    Each ray takes two pixels of every row (or column, if it runs flatter) with linear weights: P. M.
    Joseph, IEEE Trans. Med. Imaging 1 (1982). The adjoint uses the same coefficients. Per ray three
    numbers are stored, and no matrix. Rays go on beyond the detector if the image does.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = wp.operators.FanBeam((3, 3), [0.0], source_origin=10.0, origin_detector=5.0, n_detectors=1)
    >>> A(np.ones((3, 3)))
    array([[3.]])
    """

    def __init__(
        self,
        image_shape: Any,
        angles: Any,
        source_origin: float,
        origin_detector: float,
        n_detectors: int | None = None,
        detector_spacing: float = 1.0,
        pixel_size: float = 1.0,
        *,
        detector_offset: float = 0.0,
    ):
        shape = check_image_shape(image_shape)
        pixel = check_positive(pixel_size, "pixel_size")
        self.source_origin = check_positive(source_origin, "source_origin")
        self.origin_detector = check_length(origin_detector, "origin_detector")
        self.detector_offset = check_length(detector_offset, "detector_offset")
        if self.origin_detector < 0:
            raise ValueError(f"origin_detector must be at least 0, got {self.origin_detector}")
        # Pixels reach half a pixel further than their interpolation to zero, which takes a whole one.
        radius = math.hypot(shape[0] + 1, shape[1] + 1) / 2 * pixel
        if self.source_origin <= radius:
            raise ValueError(
                f"source_origin {self.source_origin} puts the source inside the circle of radius "
                f"{radius:.6g} around the image {shape}; move it out or use a smaller pixel_size"
            )
        if n_detectors is None:
            spacing = check_positive(detector_spacing, "detector_spacing")
            reach = self._reach * radius / math.sqrt(self.source_origin**2 - radius**2)
            n_detectors = math.ceil(2 * (reach + abs(self.detector_offset)) / spacing)
        super().__init__(shape, check_angles(angles), n_detectors, detector_spacing, pixel_size)
        points, directions = self.rays()
        self._tables = ray_tables(self.image_shape, points, directions, self.pixel_size)
        offsets, slopes, lengths = self._tables.offsets, self._tables.slopes, self._tables.lengths
        self._rays = {
            np.dtype(d): (offsets.astype(d), slopes.astype(d), lengths.astype(d))
            for d in (np.float32, np.float64)
        }

    @property
    def _reach(self) -> float:
        """Distance from source to detector."""
        return self.source_origin + self.origin_detector

    @property
    def detectors(self) -> np.ndarray:
        """Coordinates ``s_k`` of the bins' centres on the detector."""
        k = np.arange(self.n_detectors)
        return (k - (self.n_detectors - 1) / 2) * self.detector_spacing + self.detector_offset

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """The source of each ray and its unit direction, each ``(n_angles, n_detectors, 2)`` as (x, y)."""
        along = np.stack([-np.sin(self.angles), np.cos(self.angles)], axis=-1)[:, None, :]
        across = np.stack([np.cos(self.angles), np.sin(self.angles)], axis=-1)[:, None, :]
        toward = self._reach * along + self.detectors[None, :, None] * across
        directions = toward / np.linalg.norm(toward, axis=-1, keepdims=True)
        return np.broadcast_to(-self.source_origin * along, directions.shape), directions

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        groups, starts = self._tables.groups, self._tables.starts
        kernels.forward(x, transposed(x), groups, starts, *self._rays[x.dtype], out)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        offsets, slopes, lengths = self._rays[y.dtype]
        kernels.adjoint(y * lengths, self._tables.groups, offsets, slopes, out)

    def _filtered_back_projection(
        self, sinogram: np.ndarray, ramp: Callable[[np.ndarray, float], np.ndarray]
    ) -> np.ndarray:
        """Weighted filtered back-projection with the detector scaled to the rotation axis.

        A. C. Kak and M. Slaney, Principles of Computerized Tomographic Imaging (1988), section 3.4.2.
        """
        dtype = sinogram.dtype
        shrink = self.source_origin / self._reach
        s = self.detectors * shrink
        weighted = sinogram * (
            self._redundancy() * self.source_origin / np.hypot(self.source_origin, s)
        ).astype(dtype)
        weights = angular_weights(self.angles, 2 * math.pi)
        filtered = ramp(weighted, self.detector_spacing * shrink) * weights[:, None].astype(dtype)
        image = np.empty(self.image_shape, dtype)
        kernels.back_project_weighted(
            filtered,
            np.cos(self.angles).astype(dtype),
            np.sin(self.angles).astype(dtype),
            self.source_origin,
            s[0],
            self.detector_spacing * shrink,
            self.pixel_size,
            image,
        )
        return image

    def _redundancy(self) -> np.ndarray:
        """Share of each ray in its line, which another ray may see as well."""
        if covers_circle(self.angles):
            return np.full(self.range_shape, 0.5)
        fan_angles = np.arctan(self.detectors / self._reach)
        radius = math.hypot(*self.image_shape) / 2 * self.pixel_size
        half_fan = min(math.asin(radius / self.source_origin), float(np.abs(fan_angles).max()))
        counted, length = arc(self.angles)
        if length < math.pi + 2 * half_fan:
            needed, given = math.degrees(math.pi + 2 * half_fan), math.degrees(length)
            raise ValueError(
                f"fbp of this fan beam needs angles over {needed:.4g} degrees (half a circle and the fan), "
                f"these go over {given:.4g}; use a variational reconstruction instead (wellposed.minimize)"
            )
        return short_scan_weights(counted, length, fan_angles)
