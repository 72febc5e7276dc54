"""Finite differences: the gradient and the symmetrised gradient."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._fft import filter_cosines
from wellposed.operators._host import host_array

if TYPE_CHECKING:
    from wellposed.kernels._compile import Kernel


class Gradient(LinearOperator):
    r"""Forward differences of an array along each of its axes, zero across the far edge.

    .. math:: (D x)_{k, i} = x_{i + e_k} - x_i \text{ where } i + e_k \text{ is in the array, else } 0

    Parameters
    ----------
    shape : tuple of int
        Shape of the array, of any dimension.
    axes : tuple of int, optional
        Take differences along these axes only (default: all).

    Notes
    -----
    The output has shape ``(len(axes), *shape)``, that is ``(ndim, *shape)`` by default. ``-D.T`` is
    the divergence with backward differences.
    The norm has a closed form: :math:`\|D\|^2 = \sum_k 4 \sin^2(\pi (n_k - 1) / (2 n_k))`,
    below 4 per axis. Units: per pixel.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.Gradient((3,))(np.array([1.0, 4.0, 9.0]))
    array([[3., 5., 0.]])
    """

    def __init__(self, shape: Any, axes: tuple[int, ...] | None = None):
        shape = as_shape(shape, "shape")
        self.axes = tuple(range(len(shape))) if axes is None else tuple(axes)
        different = len(set(self.axes)) == len(self.axes)
        if not (self.axes and different and set(self.axes) <= set(range(len(shape)))):
            raise ValueError(f"axes must be different numbers from 0 to {len(shape) - 1}, got {axes}")
        super().__init__(shape, (len(self.axes), *shape))

    @cached_property
    def _kernels(self) -> tuple[Kernel, Kernel] | None:
        """The fused loops over host arrays, for all axes of an image or volume."""
        if self.axes not in ((0, 1), (0, 1, 2)) or len(self.axes) < len(self.domain_shape):
            return None
        from wellposed.kernels import differences

        if len(self.axes) == 2:
            return differences.gradient_plane, differences.adjoint_plane
        return differences.gradient_volume, differences.adjoint_volume

    def _apply(self, x: Array, out: Array) -> None:
        if self._kernels and type(x) is np.ndarray:
            self._kernels[0](x, out)
            return
        for k, axis in enumerate(self.axes):
            near, far, last = _slices(axis, len(self.domain_shape))
            component = out[k, ...]
            component[near] = x[far] - x[near]
            component[last] = 0.0

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        if self._kernels and type(y) is np.ndarray:
            self._kernels[1](y, out)
            return
        out[...] = 0.0
        for k, axis in enumerate(self.axes):
            near, far, _ = _slices(axis, len(self.domain_shape))
            component = y[k, ...]
            out[near] -= component[near]
            out[far] += component[near]

    def _norm(self) -> float:
        sizes = [self.domain_shape[axis] for axis in self.axes]
        return math.sqrt(sum(4 * math.sin(math.pi * (n - 1) / (2 * n)) ** 2 for n in sizes))

    def _solve_normal(self, tau: float, y: Array) -> Array:
        """The cosine transform diagonalises D*D."""
        host = host_array(self, y)
        factors = 1 / (1 + tau * self._symbol.like(host))
        return arrays.from_numpy(filter_cosines(host, factors, self.axes), like=y)

    @cached_property
    def _symbol(self) -> arrays.Constant:
        return arrays.Constant(laplacian_symbol(self.domain_shape, self.axes))

    def __repr__(self) -> str:
        axes = "" if len(self.axes) == len(self.domain_shape) else f", axes={self.axes}"
        return f"Gradient({self.domain_shape}{axes})"


def laplacian_symbol(shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    """Eigenvalues of D*D in the basis of the cosine transform along ``axes``, broadcastable to ``shape``."""
    symbol = np.zeros([n if k in axes else 1 for k, n in enumerate(shape)])
    for axis in axes:
        waves = 4 * np.sin(np.pi * np.arange(shape[axis]) / (2 * shape[axis])) ** 2
        symbol += waves.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return symbol


class SymmetrisedGradient(LinearOperator):
    r"""Symmetric part of the backward differences of a vector field.

    .. math:: (E v)_{kl} = \tfrac12 (\partial_k v_l + \partial_l v_k)

    Parameters
    ----------
    shape : tuple of int
        Shape of the image; the field has shape ``(ndim, *shape)``.

    Notes
    -----
    The output has shape ``(ndim, ndim, *shape)`` and keeps both off-diagonal copies, so that its
    Euclidean norm per pixel is the Frobenius norm of the matrix. The differences are minus the
    adjoint of those of `Gradient` along each axis. The norm is at most that of `Gradient`.
    """

    def __init__(self, shape: Any):
        shape = as_shape(shape, "shape")
        super().__init__((len(shape), *shape), (len(shape), len(shape), *shape))

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = 0.0
        ndim = x.shape[0]
        for k in range(ndim):
            near, far, _ = _slices(k, ndim)
            for component in range(ndim):
                for row, column in ((k, component), (component, k)):
                    target = out[row, column, ...]
                    target[near] += 0.5 * x[component, ...][near]
                    target[far] -= 0.5 * x[component, ...][near]

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        out[...] = 0.0
        ndim = out.shape[0]
        for k in range(ndim):
            near, far, _ = _slices(k, ndim)
            for component in range(ndim):
                for row, column in ((k, component), (component, k)):
                    source = y[row, column, ...]
                    out[component, ...][near] += 0.5 * (source[near] - source[far])

    def _norm(self) -> float:
        return Gradient(self.domain_shape[1:]).norm()


def _slices(axis: int, ndim: int) -> tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]:
    """Index of all but the last, all but the first, and only the last layer along an axis."""
    whole = [slice(None)] * ndim
    near, far, last = whole.copy(), whole.copy(), whole.copy()
    near[axis], far[axis], last[axis] = slice(None, -1), slice(1, None), slice(-1, None)
    return tuple(near), tuple(far), tuple(last)
