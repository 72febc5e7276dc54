"""Sums of filters convolved with coefficient maps: the dictionary of convolutional sparse coding."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._border import crop
from wellposed.operators._fft import fft_of, good_size

BOUNDARIES = ("periodic", "zero", "valid")


class ConvolutionalDictionary(LinearOperator):
    r"""Synthesis of an array from one map of coefficients per filter.

    .. math:: (D z)_i = \sum_k \sum_j d_{k, j} \, z_{k,\, i - (j - c)}, \qquad c_a = \lfloor s_a / 2 \rfloor

    Parameters
    ----------
    filters : array
        Real, in host memory: ``m`` filters of sizes ``s`` as ``(m, *s)``, or ``(m, channels, *s)``
        for an array of several channels, such as a colour image or the maps of another dictionary.
    shape : tuple of int
        Shape of one channel of the result.
    boundary : {"periodic", "zero", "valid"}
        Maps of the shape of the image that go on at the opposite side ("periodic") or end at its border
        ("zero"), or maps that are larger than the image by ``s - 1``, so that atoms of every position
        that touch it take part ("valid").

    Raises
    ------
    ValueError
        If the filters have a wrong number of dimensions, are empty, or hold non-finite entries, or the
        boundary is none of the three.

    Notes
    -----
    The domain has shape ``(m, *shape)`` (with "valid" ``(m, *(shape + s - 1))``), the range ``shape`` or
    ``(channels, *shape)``. Dictionaries compose: ``D1 @ D2`` is a dictionary of two layers, where
    the filters of ``D2`` have as many channels as ``D1`` has filters.

    The norm is exact for "periodic": the largest singular value of the ``channels x m`` matrices of the
    transformed filters over all frequencies, ``max sqrt(sum_k |d_k|^2)`` for one channel; otherwise it is the
    same on a larger grid, an upper bound. `solve_normal` for "periodic" inverts a ``channels x channels``
    matrix for each frequency (for one channel a division: the formula of Sherman and Morrison).

    Sources: B. Wohlberg, Efficient algorithms for convolutional sparse representations, 2016;
    V. Papyan, J. Sulam and M. Elad, Working locally thinking globally: theoretical guarantees for
    convolutional sparse coding, 2017.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> D = wp.operators.ConvolutionalDictionary([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]], (5,))
    >>> z = np.zeros((2, 5))
    >>> z[0, 1], z[1, 4] = 1.0, -1.0
    >>> D(z).round(6) + 0.0
    array([ 1.,  2.,  3.,  0., -1.])
    """

    def __init__(self, filters: Any, shape: Any, boundary: str = "periodic"):
        shape = as_shape(shape, "shape")
        if boundary not in BOUNDARIES:
            raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, got {boundary!r}")
        filters = arrays.numpy_view(arrays.as_floating(filters, "filters"))
        lead = filters.ndim - len(shape)
        if lead not in (1, 2):
            raise ValueError(
                f"filters for the shape {shape} need {len(shape) + 1} dimensions (filters first), or "
                f"{len(shape) + 2} with channels second, got {filters.ndim}"
            )
        if filters.size == 0:
            raise ValueError(f"the filters are empty, of shape {filters.shape}")
        arrays.check_finite(filters, "filters")
        self.filters = filters
        self.boundary = boundary
        self._sizes = filters.shape[lead:]
        larger = tuple(n + s - 1 for n, s in zip(shape, self._sizes, strict=True))
        maps = larger if boundary == "valid" else shape
        self._grid = shape if boundary == "periodic" else tuple(map(good_size, larger))
        # Where the result stands on the grid; the first tap of a filter is at 0 there, unless periodic.
        first = BOUNDARIES.index(boundary)
        self._start = tuple((0, s // 2, s - 1)[first] for s in self._sizes)
        self.nonnegative = bool(np.all(filters >= 0))
        super().__init__((filters.shape[0], *maps), (*filters.shape[1:lead], *shape))

    @property
    def atom_norms(self) -> np.ndarray:
        """The Euclidean norm of each filter, for use as weights of its coefficients: ``(m, 1, ..., 1)``."""
        flat = self.filters.reshape(self.filters.shape[0], -1).astype(np.float64)
        return np.asarray(np.linalg.norm(flat, axis=1).reshape(-1, *(1,) * len(self._sizes)))

    # --- symbols ------------------------------------------------------------------------------

    @cached_property
    def _spectrum(self) -> arrays.Constant:
        """The transformed filters on the half grid, ``(m, channels, ...)`` or ``(m, ...)``."""
        placed = np.zeros((*self.filters.shape[: -len(self._sizes)], *self._grid))
        shift = tuple(s // 2 if self.boundary == "periodic" else 0 for s in self._sizes)
        where = [(np.arange(s) - o) % n for s, o, n in zip(self._sizes, shift, self._grid, strict=True)]
        # Filters larger than the grid wrap around: their taps add up.
        np.add.at(placed, (..., *np.ix_(*where)), self.filters)
        return arrays.Constant(self._forward(placed))

    @cached_property
    def _conjugate_spectrum(self) -> arrays.Constant:
        return arrays.Constant(self._spectrum.array.conj())

    @cached_property
    def _gram(self) -> np.ndarray:
        """``D D*`` at each frequency: a number, or a matrix in the last two axes for several channels."""
        spectrum = self._spectrum.array
        if spectrum.ndim == len(self._sizes) + 1:
            return np.asarray((np.abs(spectrum) ** 2).sum(axis=0))
        matrices = np.moveaxis(spectrum, (0, 1), (-1, -2))
        return np.asarray(matrices @ np.conj(np.swapaxes(matrices, -1, -2)))

    @property
    def _channels(self) -> bool:
        return bool(self.filters.ndim == len(self._sizes) + 2)

    # --- application --------------------------------------------------------------------------

    def _apply(self, x: Array, out: Array) -> None:
        waves = self._synthesise(self._forward(self._widened(x, (0,) * len(self._sizes))), x)
        out[...] = self._cropped(self._backward(waves), self._start, tuple(out.shape))

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        waves = self._analyse(self._forward(self._widened(y, self._start)), y)
        out[...] = self._cropped(self._backward(waves), (0,) * len(self._sizes), tuple(out.shape))

    def _synthesise(self, waves: Array, like: Array) -> Array:
        spectrum = self._spectrum.like(like)
        if self._channels:
            waves = waves[:, None, ...]
        return arrays.namespace(waves).sum(spectrum * waves, axis=0)

    def _analyse(self, waves: Array, like: Array) -> Array:
        product = self._conjugate_spectrum.like(like) * waves
        return arrays.namespace(waves).sum(product, axis=1) if self._channels else product

    def _widened(self, x: Array, start: tuple[int, ...]) -> Array:
        """``x`` on the grid at ``start``, zeros around it."""
        if self.boundary == "periodic":
            return x
        lead = len(x.shape) - len(self._sizes)
        wide = arrays.zeros((*x.shape[:lead], *self._grid), x)
        self._cropped(wide, start, tuple(x.shape))[...] = x
        return wide

    def _cropped(self, wide: Array, start: tuple[int, ...], shape: tuple[int, ...]) -> Array:
        lead = len(shape) - len(self._sizes)
        return crop(wide, (*(0,) * lead, *start), shape)

    def _forward(self, x: Array) -> Array:
        lead = len(x.shape) - len(self._sizes)
        return fft_of(x).rfftn(x, axes=tuple(range(lead, len(x.shape))))

    def _backward(self, waves: Array) -> Array:
        lead = len(waves.shape) - len(self._sizes)
        return fft_of(waves).irfftn(waves, s=self._grid, axes=tuple(range(lead, len(waves.shape))))

    # --- norm and inverse ---------------------------------------------------------------------

    def _norm(self) -> float:
        largest = np.linalg.eigvalsh(self._gram)[..., -1] if self._channels else self._gram
        return math.sqrt(float(largest.max()))

    @property
    def has_solve_normal(self) -> bool:
        """Whether the Fourier transform diagonalises the dictionary: the boundary is periodic."""
        return self.boundary == "periodic"

    def _solve_normal(self, tau: float, y: Array) -> Array:
        waves = self._forward(y)
        # (I + tau D*D)^-1 = I - tau D* (I + tau D D*)^-1 D.
        image = self._synthesise(waves, y)
        if self._channels:
            inverse = np.linalg.inv(np.eye(self.range_shape[0]) + tau * self._gram)
            factors = arrays.Constant(np.moveaxis(tau * inverse, (-2, -1), (0, 1))).like(y)
            image = arrays.namespace(y).sum(factors * image[None, ...], axis=1)
        else:
            image = image * arrays.Constant(tau / (1 + tau * self._gram)).like(y)
        return self._backward(waves - self._analyse(image, y))

    def __repr__(self) -> str:
        return f"ConvolutionalDictionary({self.filters.shape} filters, {self.range_shape}, {self.boundary!r})"
