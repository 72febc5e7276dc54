"""The parallel-beam transform of an image, with its exact adjoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed.kernels import projector_parallel as kernels
from wellposed.operators._angles import angular_weights
from wellposed.operators._projector import (
    Projector,
    check_angles,
    check_image_shape,
    check_length,
    check_positive,
    transposed,
)
from wellposed.operators._ray_tables import shear_tables


class ParallelBeam(Projector):
    r"""Line integrals of an image along parallel rays (the Radon transform).

    .. math:: (A x)_{a, k} = \int x\,\mathrm{d}l \text{ over the line }
              \{(u, v) : u \cos\theta_a + v \sin\theta_a = s_k\}

    Parameters
    ----------
    image_shape : (int, int)
        Rows ``n`` and columns ``m``. Pixel ``(i, j)`` is a square around
        ``x = (j - (m-1)/2) * pixel_size``, ``y = ((n-1)/2 - i) * pixel_size``.
    angles : array of shape (n_angles,)
        Any angles, in radians, in any order.
    n_detectors : int, optional
        Bins of the detector. By default enough to see the whole image from everywhere.
    detector_spacing, pixel_size : float
        Lengths in one common unit; values are line integrals in that unit.
    center_offset : float
        Bin ``k`` is at ``s_k = (k - (n_detectors-1)/2) * detector_spacing + center_offset``. The
        rotation axis, ``s = 0``, so falls on bin ``(n_detectors-1)/2 - center_offset/detector_spacing``:
        a positive offset means an axis left of the middle of the detector.

    Raises
    ------
    ValueError, TypeError
        For angles that are empty, not finite or not 1-D, sizes and lengths that are not positive.

    Notes
    -----
    The image is constant on pixels and integrated along lines at the bins' centres; the shadow of
    a pixel, exact at every angle, is smoothed over a quarter of a pixel, which makes the sinogram
    continuous in all angles and offsets. Over a set of angles the error is of first order in the
    pixel size for objects with borders and of second order for smooth ones. Bins much wider than a
    pixel are sampled at their centres, not averaged. The adjoint uses the same coefficients. No
    matrix is stored.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = wp.operators.ParallelBeam((4, 4), angles=[0.0, np.pi / 2], n_detectors=4)
    >>> A(np.arange(16.0).reshape(4, 4)).round(6)
    array([[24., 28., 32., 36.],
           [54., 38., 22.,  6.]])
    """

    def __init__(
        self,
        image_shape: Any,
        angles: Any,
        n_detectors: int | None = None,
        detector_spacing: float = 1.0,
        pixel_size: float = 1.0,
        center_offset: float = 0.0,
    ):
        self.center_offset = check_length(center_offset, "center_offset")
        if n_detectors is None:
            spacing = check_positive(detector_spacing, "detector_spacing")
            diagonal = math.hypot(*check_image_shape(image_shape)) * check_positive(pixel_size, "pixel_size")
            n_detectors = math.ceil((diagonal + 2 * abs(self.center_offset)) / spacing)
        super().__init__(image_shape, check_angles(angles), n_detectors, detector_spacing, pixel_size)
        self._tables = shear_tables(self.image_shape, self.angles, self.detectors, self.pixel_size)
        self._taps = {np.dtype(d): self._tables.taps.astype(d) for d in (np.float32, np.float64)}

    @property
    def detectors(self) -> np.ndarray:
        """Coordinates ``s_k`` of the detector bins' centres."""
        k = np.arange(self.n_detectors)
        return (k - (self.n_detectors - 1) / 2) * self.detector_spacing + self.center_offset

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """A point on each ray and the ray's unit direction, each ``(n_angles, n_detectors, 2)`` as (x, y)."""
        normals = np.stack([np.cos(self.angles), np.sin(self.angles)], axis=-1)[:, None, :]
        along = np.stack([-normals[..., 1], normals[..., 0]], axis=-1)
        points = self.detectors[None, :, None] * normals
        return points, np.broadcast_to(along, points.shape)

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        tables = self._tables
        taps = self._taps[x.dtype]
        kernels.forward(x, transposed(x), tables.lines, taps, tables.n_cells, out)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        tables = self._tables
        profiles = np.empty((len(self.angles), kernels.SUBPIXELS, tables.n_cells), y.dtype)
        kernels.spread(y, tables.lines, self._taps[y.dtype], profiles)
        kernels.back_project(profiles, tables.lines, out)

    def _filtered_back_projection(
        self, sinogram: np.ndarray, ramp: Callable[[np.ndarray, float], np.ndarray]
    ) -> np.ndarray:
        """Sum over the angles of the filtered sinogram at each pixel, linearly interpolated."""
        tables = self._tables
        filtered = ramp(sinogram, self.detector_spacing) * angular_weights(self.angles, math.pi)[:, None]
        n_samples = kernels.SUBPIXELS * tables.n_cells
        samples = np.empty((len(self.angles), n_samples), sinogram.dtype)
        detectors = self.detectors
        for a, scale in enumerate(tables.scales):
            s = (np.arange(n_samples) - tables.origins[a]) / kernels.SUBPIXELS * scale
            samples[a] = np.interp(s, detectors, filtered[a], left=0.0, right=0.0)
        cells = samples.reshape(len(self.angles), tables.n_cells, kernels.SUBPIXELS)
        image = np.empty(self.image_shape, sinogram.dtype)
        kernels.back_project(np.ascontiguousarray(cells.transpose(0, 2, 1)), tables.lines, image)
        return image
