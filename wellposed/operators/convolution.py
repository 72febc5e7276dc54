"""Convolution with a kernel under three rules for what lies beyond the border."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._border import crop, extend, fold
from wellposed.operators._fft import fft_of, filter_cosines, good_size

BOUNDARIES = ("periodic", "reflect", "zero")


class Convolution(LinearOperator):
    r"""Convolution of an array with a kernel; input and output have the same shape.

    .. math:: (A x)_i = \sum_j k_j \, x_{i - (j - c)}, \qquad c_a = \lfloor s_a / 2 \rfloor

    Parameters
    ----------
    kernel : array
        Real kernel in host memory, with as many dimensions as ``shape``, of any (odd or even)
        sizes ``s``; its centre is the index ``s // 2`` along each axis.
    shape : tuple of int
        Shape of ``x``.
    boundary : {"periodic", "reflect", "zero"}
        What lies beyond the border: the opposite side, the mirror image (``b a | a b``), or 0.
        These are the modes "wrap", "reflect" and "constant" of `scipy.ndimage.convolve`.

    Raises
    ------
    ValueError
        If the kernel has another number of dimensions than ``shape`` or non-finite entries, or the
        boundary is none of the three.

    Notes
    -----
    Everything runs by fast Fourier transforms in the precision of the input; the adjoint is exact
    for every boundary. A kernel of odd size that is symmetric along every axis commutes with
    reflection, and then the cosine transform diagonalises ``A``.

    Norm: exact (largest absolute value of the transformed kernel) for "periodic" and for symmetric
    kernels with "reflect"; for "zero" the same on a larger grid, an upper bound; otherwise the
    general bound of `LinearOperator.norm`. `solve_normal` has a closed form where the norm is exact.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = wp.operators.Convolution([0.25, 0.5, 0.25], (4,), boundary="zero")
    >>> A(np.array([0.0, 4.0, 0.0, 0.0])).round(6)
    array([1., 2., 1., 0.])
    """

    def __init__(self, kernel: Any, shape: Any, boundary: str = "periodic"):
        shape = as_shape(shape, "shape")
        super().__init__(shape, shape)
        if boundary not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, got {boundary!r}")
        kernel = arrays.numpy_view(arrays.as_floating(kernel, "kernel"))
        if kernel.ndim != len(shape):
            raise ValueError(f"the kernel has {kernel.ndim} dimensions, the shape {shape} has {len(shape)}")
        if kernel.size == 0:
            raise ValueError(f"the kernel is empty, of shape {kernel.shape}")
        arrays.check_finite(kernel, "kernel")
        self.kernel = kernel
        self.boundary = boundary
        self.nonnegative = bool(np.all(kernel >= 0))
        sizes = kernel.shape
        # x_{i-(j-c)} reaches s - 1 - c entries before i and c entries after it.
        self._before = tuple(s - 1 - s // 2 for s in sizes)
        self._after = tuple(s // 2 for s in sizes)
        self._padded = tuple(n + s - 1 for n, s in zip(shape, sizes, strict=True))
        self._grid = shape if boundary == "periodic" else tuple(map(good_size, self._padded))

    @property
    def symmetric(self) -> bool:
        """Whether the kernel is its own mirror image along every axis, about its centre."""
        odd = all(s % 2 == 1 for s in self.kernel.shape)
        return odd and all(
            np.array_equal(self.kernel, np.flip(self.kernel, axis)) for axis in range(self.kernel.ndim)
        )

    @cached_property
    def _by_cosines(self) -> bool:
        return self.boundary == "reflect" and self.symmetric

    # --- symbols ------------------------------------------------------------------------------

    @cached_property
    def _spectrum(self) -> arrays.Constant:
        """The transformed kernel on the grid, its centre at 0 if periodic, else its first entry."""
        from scipy.fft import rfftn

        placed = np.zeros(self._grid)
        shift = self._after if self.boundary == "periodic" else (0,) * self.kernel.ndim
        where = [(np.arange(s) - o) % n for s, o, n in zip(self.kernel.shape, shift, self._grid, strict=True)]
        np.add.at(placed, np.ix_(*where), self.kernel)
        return arrays.Constant(rfftn(placed))

    @cached_property
    def _conjugate_spectrum(self) -> arrays.Constant:
        return arrays.Constant(self._spectrum.array.conj())

    @cached_property
    def _cosine_symbol(self) -> arrays.Constant:
        """Eigenvalues in the basis of cosines: sum over o of k_o times the product of cos(pi m o / n)."""
        symbol = self.kernel.astype(np.float64)
        for n, s in zip(self.domain_shape, self.kernel.shape, strict=True):
            waves = np.cos(np.pi / n * np.outer(np.arange(s) - s // 2, np.arange(n)))
            symbol = np.tensordot(symbol, waves, axes=(0, 0))
        return arrays.Constant(symbol)

    # --- application --------------------------------------------------------------------------

    def _apply(self, x: Array, out: Array) -> None:
        if self._by_cosines and not arrays.is_gpu(x):
            out[...] = self._filter_cosines(x, self._cosine_symbol.array)
        elif self.boundary == "periodic":
            out[...] = self._filter(x, self._spectrum.like(x))
        else:
            wide = extend(x, self._before, self._after, self._grid, reflect=self.boundary == "reflect")
            start = tuple(s - 1 for s in self.kernel.shape)
            out[...] = crop(self._filter(wide, self._spectrum.like(x)), start, self.domain_shape)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        if self._by_cosines and not arrays.is_gpu(y):
            out[...] = self._filter_cosines(y, self._cosine_symbol.array)
            return
        spectrum = self._conjugate_spectrum.like(y)
        if self.boundary == "periodic":
            out[...] = self._filter(y, spectrum)
            return
        wide = arrays.zeros(self._grid, y)
        start = tuple(s - 1 for s in self.kernel.shape)
        crop(wide, start, self.domain_shape)[...] = y
        out[...] = fold(
            self._filter(wide, spectrum),
            self._before,
            self._after,
            self.domain_shape,
            self.boundary == "reflect",
        )

    def _filter(self, x: Array, symbol: Array) -> Array:
        fft = fft_of(x)
        axes = tuple(range(len(self._grid)))
        waves = fft.rfftn(x, axes=axes)
        waves *= symbol
        return fft.irfftn(waves, s=self._grid, axes=axes)

    def _filter_cosines(self, x: Array, symbol: np.ndarray) -> Array:
        host = arrays.numpy_view(x)
        return arrays.from_numpy(filter_cosines(host, symbol.astype(host.dtype, copy=False)), like=x)

    # --- norm and inverse ---------------------------------------------------------------------

    def _norm(self) -> float:
        if self._by_cosines:
            return float(np.abs(self._cosine_symbol.array).max())
        largest = float(np.abs(self._spectrum.array).max())
        if self.boundary == "periodic":
            return largest
        if self.boundary == "zero" and all(
            s <= n for s, n in zip(self.kernel.shape, self.domain_shape, strict=True)
        ):
            return largest
        # Reflection at most doubles the energy along each axis.
        growth = math.sqrt(2.0) ** self.kernel.ndim if self.boundary == "reflect" else 1.0
        return float(min(growth * largest, super()._norm()))

    @property
    def has_solve_normal(self) -> bool:
        """Whether a transform diagonalises this convolution: periodic, or reflected and symmetric."""
        return self.boundary == "periodic" or self._by_cosines

    def _solve_normal(self, tau: float, y: Array) -> Array:
        if self.boundary == "periodic":
            symbol = self._spectrum.like(y)
            power = arrays.namespace(y).abs(symbol) ** 2
            return self._filter(y, 1 / (1 + tau * power))
        if arrays.is_gpu(y):
            raise TypeError(f"solve_normal of {self!r} computes in host memory, got a {arrays.describe(y)}")
        return self._filter_cosines(y, 1 / (1 + tau * self._cosine_symbol.array**2))

    def __repr__(self) -> str:
        return f"Convolution({self.kernel.shape} kernel, {self.domain_shape}, {self.boundary!r})"


def gaussian_kernel(sigma: float | tuple[float, ...], ndim: int = 2, truncate: float = 4.0) -> np.ndarray:
    r"""A Gaussian kernel :math:`k_j \propto \exp(-\sum_a j_a^2 / (2 \sigma_a^2))` with sum 1.

    Parameters
    ----------
    sigma : float or tuple of float
        Standard deviation in pixels, one for all axes or one per axis; 0 is no blur along an axis.
    ndim : int
        Number of dimensions, where ``sigma`` is a single number.
    truncate : float
        The kernel ends ``truncate`` standard deviations from its centre, rounded to whole pixels.

    Returns
    -------
    ndarray
        Of odd sizes, ``float64``, symmetric along every axis; the same weights as
        `scipy.ndimage.gaussian_filter`.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.operators.gaussian_kernel(0.5, ndim=1, truncate=2.0).round(3)
    array([0.107, 0.787, 0.107])
    """
    sigmas = (float(sigma),) * ndim if isinstance(sigma, (int, float)) else tuple(map(float, sigma))
    if not sigmas or not all(math.isfinite(s) and s >= 0 for s in sigmas):
        raise ValueError(f"sigma must be finite and at least 0, got {sigma!r}")
    if not truncate > 0:
        raise ValueError(f"truncate must be positive, got {truncate}")
    kernel = np.ones(())
    for s in sigmas:
        radius = int(truncate * s + 0.5)
        offsets = np.arange(-radius, radius + 1)
        profile = np.exp(-0.5 * (offsets / s) ** 2) if radius else np.ones(1)
        kernel = np.multiply.outer(kernel, profile / profile.sum())
    return kernel


def disk_kernel(radius: float) -> np.ndarray:
    """The blur of a camera out of focus: a 2-D disk with sum 1, its edge smoothed over one pixel.

    Parameters
    ----------
    radius : float
        Radius of the disk in pixels, at least 0. The weight of a pixel is the part of the one-pixel
        edge that lies within the radius: ``clip(radius + 0.5 - distance, 0, 1)``.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.operators.disk_kernel(1.0).round(3)
    array([[0.026, 0.15 , 0.026],
           [0.15 , 0.299, 0.15 ],
           [0.026, 0.15 , 0.026]])
    """
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius must be finite and at least 0, got {radius}")
    reach = math.ceil(radius + 0.5) - 1
    offsets = np.arange(-reach, reach + 1)
    weights = np.clip(radius + 0.5 - np.hypot(offsets[:, None], offsets), 0.0, 1.0)
    return np.asarray(weights / weights.sum())
