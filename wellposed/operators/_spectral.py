"""Self-adjoint operators that the Fourier or cosine transform diagonalises."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, Shape, as_shape
from wellposed.operators._fft import fft_of, filter_cosines
from wellposed.operators._host import host_array
from wellposed.operators.fourier import as_axes

BOUNDARIES = ("periodic", "reflect")
SYMBOLS = ("differences", "frequencies")


class SpectralOperator(LinearOperator):
    r"""A real function of the Laplacian along some axes; a subclass has `_eigenvalues_at`.

    Parameters
    ----------
    shape : tuple of int
    boundary : {"periodic", "reflect"}
        By the Fourier or the cosine transform (of type 2, with mirror images ``b a | a b``).
    axes : tuple of int or None
    spacing : float
        Distance between neighbours.
    symbol : {"differences", "frequencies"}
        Eigenvalues of minus the Laplacian: of second differences, or the squared frequencies.
    """

    def __init__(self, shape: Any, boundary: str, axes: Any, spacing: float, symbol: str):
        shape = as_shape(shape, "shape")
        super().__init__(shape, shape)
        check_spectral(boundary, spacing, symbol)
        self.boundary = boundary
        self.axes = as_axes(axes, len(shape))
        self.spacing = float(spacing)
        self.symbol = symbol

    def _eigenvalues_at(self, laplacian: np.ndarray) -> np.ndarray:
        """Eigenvalues of this operator, given those of minus the Laplacian."""
        raise TypeError(f"{type(self).__name__} does not define its eigenvalues")

    @cached_property
    def _eigenvalues(self) -> arrays.Constant:
        """On the grid of the transform, broadcastable over the other axes."""
        squares = laplacian_eigenvalues(
            self.domain_shape, self.axes, self.boundary, self.spacing, self.symbol
        )
        return arrays.Constant(self._eigenvalues_at(squares))

    def gram_symbol(self) -> np.ndarray | None:
        """The squared eigenvalues with "reflect"; other borders spoil the approximation."""
        if self.boundary == "periodic":
            return None
        return np.broadcast_to(self._eigenvalues.array**2, self.domain_shape).copy()

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = self.filtered(x, self._eigenvalues)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self._apply(y, out)

    @property
    def adjoint(self) -> LinearOperator:
        return self

    def _norm(self) -> float:
        return float(np.abs(self._eigenvalues.array).max())

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return self.filtered(y, arrays.Constant(1 / (1 + tau * self._eigenvalues.array**2)))

    def filtered(self, x: Array, factors: arrays.Constant) -> Array:
        """``x`` with its transform multiplied by ``factors``, which stand on the grid of the transform."""
        if self.boundary == "periodic":
            fft = fft_of(x)
            waves = fft.rfftn(x, axes=self.axes)
            waves *= factors.like(x)
            sizes = tuple(self.domain_shape[axis] for axis in self.axes)
            return fft.irfftn(waves, s=sizes, axes=self.axes)
        host = host_array(self, x)
        return arrays.from_numpy(filter_cosines(host, factors.like(host), self.axes), like=x)


def laplacian_eigenvalues(
    shape: Shape, axes: tuple[int, ...], boundary: str, spacing: float, symbol: str
) -> np.ndarray:
    """Eigenvalues of minus the Laplacian, on the grid of the transform and broadcastable to it."""
    total = np.zeros((1,) * len(shape))
    for axis in axes:
        n = shape[axis]
        if boundary == "reflect":
            angles = np.asarray(np.pi * np.arange(n) / n)
        else:
            halved = axis == axes[-1]
            angles = 2 * np.pi * np.asarray(np.fft.rfftfreq(n) if halved else np.fft.fftfreq(n))
        squares = 4 * np.sin(angles / 2) ** 2 if symbol == "differences" else angles**2
        total = total + (squares / spacing**2).reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return total


def check_spectral(boundary: str, spacing: float, symbol: str) -> None:
    """Raise `ValueError` unless boundary, spacing and symbol are allowed."""
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary must be one of {', '.join(BOUNDARIES)}, got {boundary!r}")
    if symbol not in SYMBOLS:
        raise ValueError(f"symbol must be one of {', '.join(SYMBOLS)}, got {symbol!r}")
    if not (math.isfinite(spacing) and spacing > 0):
        raise ValueError(f"spacing must be finite and positive, got {spacing}")
