"""The discrete wavelet transform."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import pywt

from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, Shape, as_shape
from wellposed.operators._host import HostOperator
from wellposed.operators._scales import weights_per_scale
from wellposed.operators.fourier import as_axes


class Wavelet(HostOperator):
    r"""The discrete wavelet transform: coefficients of an array, in an array of the same shape.

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``; the sizes along ``axes`` are multiples of ``2**level``.
    name : str
        A discrete wavelet of PyWavelets: ``"haar"``, ``"db4"``, ``"sym8"``, ``"bior4.4"``, ...
    level : int, optional
        Number of levels (default: the most that the sizes and the filter's length allow).
    mode : {"periodization"}
        The border rule. It is the one for which the transform is a square matrix.
    axes : tuple of int, optional
        Transform along these axes only (default: all); leave out a channel axis.

    Raises
    ------
    ValueError
        For an unknown wavelet, another mode (its adjoint is not that of a filter bank), a level
        beyond what the sizes allow, or sizes that are not multiples of ``2**level``.

    Notes
    -----
    The approximation stands in the corner at index 0, the details of each level around it in
    blocks (the layout of ``pywt.coeffs_to_array``); `scales` tells the level of each coefficient, and
    `weights_per_scale` makes weights of them.
    For an orthogonal wavelet the transform is orthonormal: the norm is 1, and `inverse` is the
    adjoint. For a biorthogonal one the adjoint runs the analysis filters backwards, which is exact
    too, and differs from the inverse. Computed by PyWavelets, in host memory.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> W = wp.operators.Wavelet((4,), "haar", level=2)
    >>> W(np.ones(4)).round(6) + 0.0
    array([2., 0., 0., 0.])
    >>> W.scales
    array([0, 2, 1, 1])
    """

    def __init__(
        self,
        shape: Any,
        name: str = "db4",
        level: int | None = None,
        mode: str = "periodization",
        axes: tuple[int, ...] | None = None,
    ):
        shape = as_shape(shape, "shape")
        super().__init__(shape, shape)
        if mode != "periodization":
            raise ValueError(f"mode must be 'periodization', which has an exact adjoint, got {mode!r}")
        try:
            self.wavelet = pywt.Wavelet(name)
        except ValueError as error:
            raise ValueError(f"{name!r} is no discrete wavelet of PyWavelets: {error}") from None
        self.name = name
        self.axes = as_axes(axes, len(shape))
        self.level = _checked_level(shape, self.axes, self.wavelet, level)

    @cached_property
    def orthonormal(self) -> bool:
        """Whether the adjoint is the inverse, to rounding."""
        # The filters are asked, not their name: "dmey" is orthogonal to six digits only.
        low = np.array(self.wavelet.dec_lo)
        overlaps = np.correlate(low, low, "full")[low.size - 1 :: 2]
        mirrored = np.allclose(low[::-1], self.wavelet.rec_lo, rtol=0, atol=1e-12)
        return bool(mirrored and np.allclose(overlaps, np.eye(1, overlaps.size)[0], rtol=0, atol=1e-10))

    @cached_property
    def _reversed(self) -> pywt.Wavelet:
        """The filters backwards: their synthesis is the adjoint of the analysis, and the other way round."""
        w = self.wavelet
        bank = (w.rec_lo[::-1], w.rec_hi[::-1], w.dec_lo[::-1], w.dec_hi[::-1])
        return pywt.Wavelet(f"{w.name}, reversed", filter_bank=bank)

    def _block(self, level: int) -> Shape:
        """Shape of the approximation at a level."""
        return tuple(n >> level if k in self.axes else n for k, n in enumerate(self.domain_shape))

    def _parts(self, level: int) -> dict[str, tuple[slice, ...]]:
        """Where the coefficients of one level stand, by PyWavelets' names of the sub-bands."""
        small = self._block(level)
        parts = {"": tuple(slice(0, n) for n in small)}
        for axis in self.axes:
            halves = {"a": slice(0, small[axis]), "d": slice(small[axis], 2 * small[axis])}
            parts = {
                key + letter: (*where[:axis], half, *where[axis + 1 :])
                for key, where in parts.items()
                for letter, half in halves.items()
            }
        return parts

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        self._analyse(x, out, self.wavelet)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        self._synthesise(y, out, self.wavelet if self.orthonormal else self._reversed)

    def _analyse(self, x: np.ndarray, out: np.ndarray, wavelet: pywt.Wavelet) -> None:
        block = x
        for level in range(1, self.level + 1):
            bands = pywt.dwtn(block, wavelet, mode="periodization", axes=self.axes)
            block = bands.pop("a" * len(self.axes))
            parts = self._parts(level)
            for key, band in bands.items():
                out[parts[key]] = band
        out[tuple(slice(0, n) for n in block.shape)] = block

    def _synthesise(self, y: np.ndarray, out: np.ndarray, wavelet: pywt.Wavelet) -> None:
        block = y[tuple(slice(0, n) for n in self._block(self.level))]
        for level in range(self.level, 0, -1):
            bands = {key: y[where] for key, where in self._parts(level).items()}
            bands["a" * len(self.axes)] = block
            block = pywt.idwtn(bands, wavelet, mode="periodization", axes=self.axes)
        out[...] = block

    def _norm(self) -> float:
        return 1.0 if self.orthonormal else super()._norm()

    @property
    def isometry(self) -> bool:
        return self.orthonormal

    @property
    def has_solve_normal(self) -> bool:
        """Whether the transform is orthonormal."""
        return self.orthonormal

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return y / (1 + tau)

    @property
    def inverse(self) -> LinearOperator:
        """The inverse transform, from coefficients to arrays; `TypeError` for ``"dmey"``, which has none."""
        if self.orthonormal:
            return self.adjoint
        w = self.wavelet
        passed = np.convolve(w.dec_lo, w.rec_lo) + np.convolve(w.dec_hi, w.rec_hi)
        if abs(passed).sum() - abs(passed).max() > 1e-9:
            raise TypeError(f"the filters of {self.name!r} do not reconstruct: take another wavelet")
        return InverseWavelet(self)

    @cached_property
    def scales(self) -> np.ndarray:
        """The level of each coefficient: from 1 (the finest details) to ``level``; 0 is the approximation."""
        scales = np.zeros(self.range_shape, dtype=np.int64)
        for level in range(1, self.level + 1):
            scales[tuple(slice(0, n) for n in self._block(level - 1))] = level
        scales[tuple(slice(0, n) for n in self._block(self.level))] = 0
        return scales

    @cached_property
    def atom_norms(self) -> np.ndarray:
        """The norm of each row: the deviation of a coefficient under white noise of level 1."""
        norms = np.ones(self.range_shape)
        if self.orthonormal:
            return norms
        # The rows of a sub-band are shifts of each other.
        for level in range(1, self.level + 1):
            for key, where in self._parts(level).items():
                if key != "a" * len(self.axes) or level == self.level:
                    unit = np.zeros(self.range_shape)
                    unit[tuple(part.start or 0 for part in where)] = 1.0
                    norms[where] = np.linalg.norm(self.apply_adjoint(unit))
        return norms

    weights_per_scale = weights_per_scale

    def __repr__(self) -> str:
        return f"Wavelet({self.domain_shape}, {self.name!r}, level={self.level})"


class InverseWavelet(HostOperator):
    """The inverse of a biorthogonal wavelet transform."""

    def __init__(self, transform: Wavelet):
        super().__init__(transform.range_shape, transform.domain_shape)
        self.inverse = transform

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        self.inverse._synthesise(x, out, self.inverse.wavelet)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        self.inverse._analyse(y, out, self.inverse._reversed)

    def __repr__(self) -> str:
        return f"{self.inverse!r}.inverse"


def _checked_level(shape: Shape, axes: tuple[int, ...], wavelet: pywt.Wavelet, level: int | None) -> int:
    """The number of levels, within what the sizes and the filter's length allow."""
    sizes = [shape[axis] for axis in axes]
    longest = min(int(pywt.dwt_max_level(n, wavelet)) for n in sizes)
    halvings = min((n & -n).bit_length() - 1 for n in sizes)
    most = min(longest, halvings)
    if level is None:
        level = most
    if not 1 <= level <= most:
        if halvings < longest:
            remedy = f"the sizes {sizes} halve {halvings} times only: pad or crop to multiples of 2**level"
        else:
            remedy = f"sizes {sizes} are short for filters of {wavelet.dec_len} taps: take a shorter wavelet"
        allowed = f"must be from 1 to {most}" if most else "cannot be found"
        raise ValueError(f"level {allowed} for {wavelet.name!r}, got {level}; {remedy}")
    return int(level)
