"""The undecimated wavelet transform."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import pywt

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, Shape, as_shape
from wellposed.operators._fft import fft_of
from wellposed.operators._scales import weights_per_scale
from wellposed.operators.fourier import as_axes


class UndecimatedWavelet(LinearOperator):
    r"""The wavelet transform without downsampling (stationary, a trous): it commutes with shifts.

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``.
    name : str
        A discrete wavelet of PyWavelets: ``"haar"``, ``"db4"``, ``"sym8"``, ``"bior4.4"``, ...
    level : int
        Number of levels; the sizes along ``axes`` are multiples of ``2**level``.
    axes : tuple of int, optional
        Transform along these axes only (default: all); leave out a channel axis.

    Raises
    ------
    ValueError
        For an unknown wavelet, a level below 1, or sizes that are not multiples of ``2**level``.

    Notes
    -----
    The output has shape ``(bands, *shape)``: first the approximation, then the details from the
    coarsest level to the finest (as ``pywt.swtn(..., trim_approx=True, norm=True)``), ``2**d - 1`` of
    them for each level of a transform along ``d`` axes; `scales` tells the level of each band, and
    `weights_per_scale` makes weights of them. The border is periodic.

    Filters are normalised so that for an orthogonal wavelet ``A.T @ A`` is the identity (a Parseval
    frame): the norm is 1 and the adjoint a left inverse. For every wavelet the norm and `solve_normal`
    have a closed form, since ``A.T @ A`` is a convolution. Computed by Fourier transforms.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> W = wp.operators.UndecimatedWavelet((4,), "haar", level=1)
    >>> W(np.array([1.0, 1.0, 5.0, 5.0])).round(6) + 0.0
    array([[ 1.,  3.,  5.,  3.],
           [ 0., -2.,  0.,  2.]])
    >>> W.T(W(np.array([1.0, 1.0, 5.0, 5.0])))
    array([1., 1., 5., 5.])
    """

    def __init__(self, shape: Any, name: str = "haar", level: int = 3, axes: tuple[int, ...] | None = None):
        shape = as_shape(shape, "shape")
        self.axes = as_axes(axes, len(shape))
        try:
            self.wavelet = pywt.Wavelet(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is no discrete wavelet of PyWavelets: {error}") from None
        sizes = [shape[axis] for axis in self.axes]
        most = min((n & -n).bit_length() - 1 for n in sizes)
        if int(level) != level or not 1 <= level <= most:
            allowed = f"be from 1 to {most}" if most else "be at least 1"
            raise ValueError(
                f"level must {allowed}, got {level}; "
                f"the sizes {sizes} must be multiples of 2**level: pad or crop"
            )
        self.name = name
        self.level = int(level)
        super().__init__(shape, (1 + self.level * (2 ** len(self.axes) - 1), *shape))

    @cached_property
    def scales(self) -> np.ndarray:
        """The level of each band, from 1 (the finest details) to ``level``; 0 is the approximation."""
        each = 2 ** len(self.axes) - 1
        return np.concatenate([[0], np.repeat(np.arange(self.level, 0, -1), each)])

    @cached_property
    def atom_norms(self) -> np.ndarray:
        """The norm of each band's filter: the deviation of its coefficients under white noise of level 1."""
        last = self.domain_shape[self.axes[-1]]
        # Columns of the half grid that stand for two of the whole one; the sizes are even.
        twice = np.full(last // 2 + 1, 2.0)
        twice[[0, -1]] = 1.0
        norms = []
        for band in self._filters:
            norm = 1.0
            for axis, f in zip(self.axes, band, strict=True):
                power = np.abs(f.array).ravel() ** 2
                norm *= math.sqrt(float(twice @ power) / last if axis == self.axes[-1] else power.mean())
            norms.append(norm)
        return np.array(norms)

    weights_per_scale = weights_per_scale

    @cached_property
    def _parseval(self) -> bool:
        return bool(np.abs(self._gram.array - 1).max() < 1e-9)

    @property
    def isometry(self) -> bool:
        return self._parseval

    def gram_symbol(self) -> np.ndarray | None:
        """Ones for an orthogonal wavelet, whose ``A* A`` is the identity."""
        return np.ones(self.domain_shape) if self._parseval else None

    # --- filters ------------------------------------------------------------------------------

    @cached_property
    def _filters(self) -> list[tuple[arrays.Constant, ...]]:
        """Of each band the factors along the axes, which broadcast to the grid of the transform."""
        # Along each axis: what the low-pass filters of the finer levels leave, then both filters.
        responses = [[self._responses(axis, level) for axis in self.axes] for level in range(self.level)]
        passed = [[np.ones((1,) * len(self.domain_shape)) for _ in self.axes]]
        for pairs in responses:
            passed.append([p * low for p, (low, _) in zip(passed[-1], pairs, strict=True)])
        bands = [passed[-1]]
        for level in reversed(range(self.level)):
            for letters in itertools.islice(itertools.product((0, 1), repeat=len(self.axes)), 1, None):
                picked = zip(passed[level], responses[level], letters, strict=True)
                bands.append([p * pair[letter] for p, pair, letter in picked])
        return [tuple(arrays.Constant(f) for f in band) for band in bands]

    def _responses(self, axis: int, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Frequency responses along an axis of the two filters with ``2**level - 1`` zeros between taps."""
        n = self.domain_shape[axis]
        count = n // 2 + 1 if axis == self.axes[-1] else n
        taps = np.arange(self.wavelet.dec_len)
        # PyWavelets centres its filters so: output k holds x[k + (len / 2 - tap) * 2**level].
        shifts = (taps - self.wavelet.dec_len // 2) * 2**level
        turns = np.outer(np.arange(count), shifts) % n
        waves = np.exp(-2j * np.pi / n * turns) / math.sqrt(2.0)
        form = [-1 if k == axis else 1 for k in range(len(self.domain_shape))]
        low, high = (waves @ np.array(f) for f in (self.wavelet.dec_lo, self.wavelet.dec_hi))
        return low.reshape(form), high.reshape(form)

    @cached_property
    def _gram(self) -> arrays.Constant:
        """Eigenvalues of ``A* A`` on the grid of the transform."""
        total: Any = 0.0
        for band in self._filters:
            total = total + math.prod(abs(f.array) ** 2 for f in band)
        return arrays.Constant(np.asarray(total))

    # --- application --------------------------------------------------------------------------

    def _bands_like(self, x: Array) -> Iterator[tuple[Array, ...]]:
        for band in self._filters:
            yield tuple(f.like(x) for f in band)

    def _apply(self, x: Array, out: Array) -> None:
        fft = fft_of(x)
        waves = fft.rfftn(x, axes=self.axes)
        for k, band in enumerate(self._bands_like(x)):
            filtered = waves
            for f in band:
                filtered = filtered * f
            out[k, ...] = self._back(fft, filtered)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        fft = fft_of(y)
        xp = arrays.namespace(y)
        total: Any = 0.0
        for k, band in enumerate(self._bands_like(y)):
            filtered = fft.rfftn(y[k, ...], axes=self.axes)
            for f in band:
                filtered = filtered * xp.conj(f)
            total = filtered + total
        out[...] = self._back(fft, total)

    def _back(self, fft: Any, waves: Array) -> Array:
        sizes: Shape = tuple(self.domain_shape[axis] for axis in self.axes)
        return fft.irfftn(waves, s=sizes, axes=self.axes)

    def _norm(self) -> float:
        return math.sqrt(float(self._gram.array.max()))

    def _solve_normal(self, tau: float, y: Array) -> Array:
        fft = fft_of(y)
        waves = fft.rfftn(y, axes=self.axes)
        waves *= arrays.Constant(1 / (1 + tau * self._gram.array)).like(y)
        return self._back(fft, waves)

    def __repr__(self) -> str:
        return f"UndecimatedWavelet({self.domain_shape}, {self.name!r}, level={self.level})"
