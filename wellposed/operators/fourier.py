"""The discrete Fourier transform."""

from __future__ import annotations

from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._fft import fft_of


class FourierTransform(LinearOperator):
    r"""The orthonormal discrete Fourier transform.

    .. math:: (F x)_k = \frac{1}{\sqrt N} \sum_j x_j \exp(-2 \pi i \langle k, j / n \rangle)

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x`` and of the spectrum; frequency 0 stands at index 0, as in ``numpy.fft``.
    domain : {"real", "complex"}
        Kind of ``x``. The spectrum is complex and complete in both cases; for a real ``x`` the
        adjoint is the real part of the inverse transform.
    axes : tuple of int, optional
        Transform along these axes only (default: all).

    Notes
    -----
    :math:`F^*F = I`, so the norm is 1 and ``F.inverse`` is the adjoint.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.FourierTransform((4,))(np.ones(4)).real
    array([2., 0., 0., 0.])
    """

    complex_range = True

    def __init__(self, shape: Any, domain: str = "real", axes: tuple[int, ...] | None = None):
        shape = as_shape(shape, "shape")
        super().__init__(shape, shape)
        self.complex_domain = is_complex_domain(domain)
        self.axes = as_axes(axes, len(shape))

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = fft_of(x).fftn(x if self.complex_domain else _real_ready(x), axes=self.axes, norm="ortho")

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        x = fft_of(y).ifftn(y, axes=self.axes, norm="ortho")
        out[...] = x if self.complex_domain else arrays.namespace(y).real(x)

    def _norm(self) -> float:
        return 1.0

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return y / (1 + tau)

    @property
    def inverse(self) -> LinearOperator:
        """The inverse transform: the adjoint."""
        return self.adjoint

    def __repr__(self) -> str:
        return f"FourierTransform({self.domain_shape})"


def is_complex_domain(domain: str) -> bool:
    """Read the option ``domain``."""
    if domain not in ("real", "complex"):
        raise ValueError(f"domain must be 'real' or 'complex', got {domain!r}")
    return domain == "complex"


def as_axes(axes: tuple[int, ...] | None, ndim: int) -> tuple[int, ...]:
    """Axes as different numbers from 0 to ``ndim - 1``, all of them by default."""
    if axes is None:
        return tuple(range(ndim))
    chosen = tuple(int(axis) for axis in axes)
    if not chosen or len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(ndim)):
        raise ValueError(f"axes must be different numbers from 0 to {ndim - 1}, got {axes}")
    return chosen


def _real_ready(x: Array) -> Array:
    """The array standard transforms complex arrays only; NumPy's libraries take real ones, and gain by it."""
    if arrays.is_numpy_array(x):
        return x
    return arrays.namespace(x).astype(x, arrays.complex_dtype(x))
