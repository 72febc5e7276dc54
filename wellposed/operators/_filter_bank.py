"""Banks of filters with real spectra: all bands of an image by one batch of Fourier transforms."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, Shape
from wellposed.operators._fft import fft_of

BATCH = 1 << 18
"""Entries that are transformed at a time: they stay in the cache."""

THREADS_FROM = 1 << 17
"""Entries of all bands from which the transforms run on two threads."""


class FilterBank(LinearOperator):
    """Periodic convolutions of one array with several symmetric filters.

    A subclass has `spectra`. The output has shape ``(bands, *shape)``.

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``.
    axes : tuple of int
        The axes that are filtered; the spectra hold half of the last one.
    bands : int
    """

    def __init__(self, shape: Shape, axes: tuple[int, ...], bands: int):
        super().__init__(shape, (bands, *shape))
        self.axes = axes

    @property
    def spectra(self) -> np.ndarray:
        """Real, even transfer functions: one per band, of the shape of ``rfftn`` along the axes."""
        raise TypeError(f"{type(self).__name__} does not define its spectra")

    @cached_property
    def symbol(self) -> np.ndarray:
        """Eigenvalues of ``A* A``, on the half grid of the real transform."""
        return np.asarray(np.einsum("b...,b...->...", self.spectra, self.spectra))

    @cached_property
    def frame_bounds(self) -> tuple[float, float]:
        """The largest ``a`` and the least ``b`` with ``a ||x||^2 <= ||A x||^2 <= b ||x||^2``."""
        return float(self.symbol.min()), float(self.symbol.max())

    @cached_property
    def atom_norms(self) -> np.ndarray:
        """The norm of each band's filter: the deviation of its coefficients under white noise of level 1."""
        last = self.domain_shape[self.axes[-1]]
        # Columns of the half grid that stand for two of the whole one.
        twice = np.full(last // 2 + 1, 2.0)
        twice[0] = 1.0
        if last % 2 == 0:
            twice[-1] = 1.0
        powers = (self.spectra**2 * twice).reshape(self.spectra.shape[0], -1).sum(axis=1)
        return np.asarray(np.sqrt(powers / math.prod(self.domain_shape[axis] for axis in self.axes)))

    # --- application --------------------------------------------------------------------------

    @cached_property
    def _placed(self) -> arrays.Constant:
        """The spectra, in a shape that broadcasts against ``(bands, *shape)``."""
        return arrays.Constant(self._place(self.spectra))

    def _place(self, half: np.ndarray) -> np.ndarray:
        """Arrays on the half grid, with further axes in front, among the axes of ``x``."""
        lead = half.ndim - len(self.axes)
        order = sorted(range(len(self.axes)), key=lambda k: self.axes[k])
        moved = half.transpose(*range(lead), *(lead + k for k in order))
        sizes = iter(moved.shape[lead:])
        filled = [next(sizes) if k in self.axes else 1 for k in range(len(self.domain_shape))]
        return np.ascontiguousarray(moved.reshape(*moved.shape[:lead], *filled))

    def _batches(self) -> list[slice]:
        each = max(1, BATCH // math.prod(self.domain_shape))
        return [slice(k, min(k + each, self.range_shape[0])) for k in range(0, self.range_shape[0], each)]

    def _apply(self, x: Array, out: Array) -> None:
        fft = fft_of(x)
        spectra = self._placed.like(x)
        waves = fft.rfftn(x, axes=self.axes)
        for batch in self._batches():
            out[batch, ...] = self._back(waves * spectra[batch, ...], 1)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        fft, xp = fft_of(y), arrays.namespace(y)
        spectra = self._placed.like(y)
        axes = tuple(axis + 1 for axis in self.axes)
        total: Any = 0.0
        for batch in self._batches():
            waves = fft.rfftn(y[batch, ...], axes=axes, **self._options(y))
            waves *= spectra[batch, ...]
            total = xp.sum(waves, axis=0) + total
        out[...] = self._back(total, 0)

    def _back(self, waves: Array, lead: int) -> Array:
        sizes = tuple(self.domain_shape[axis] for axis in self.axes)
        axes = tuple(axis + lead for axis in self.axes)
        return fft_of(waves).irfftn(waves, s=sizes, axes=axes, **self._options(waves))

    def _options(self, x: Array) -> dict[str, int]:
        if type(x) is np.ndarray and math.prod(self.range_shape) >= THREADS_FROM:
            return {"workers": 2}
        return {}

    # --- norm and inverse ---------------------------------------------------------------------

    def _norm(self) -> float:
        return math.sqrt(self.frame_bounds[1])

    def _solve_normal(self, tau: float, y: Array) -> Array:
        waves = fft_of(y).rfftn(y, axes=self.axes)
        waves *= arrays.Constant(self._place(1 / (1 + tau * self.symbol))).like(y)
        return self._back(waves, 0)


class DualBank(FilterBank):
    """The canonical dual of a bank: its adjoint undoes the bank."""

    def __init__(self, bank: FilterBank):
        super().__init__(bank.domain_shape, bank.axes, bank.range_shape[0])
        self.bank = bank

    @cached_property
    def spectra(self) -> np.ndarray:
        """Those of the bank over the eigenvalues of its frame operator."""
        return np.asarray(self.bank.spectra / self.bank.symbol)

    def __repr__(self) -> str:
        return f"{self.bank!r}.dual"
