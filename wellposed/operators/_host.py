"""Operators that compute in host memory: the one place where they bridge arrays of other libraries."""

from __future__ import annotations

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator


class HostOperator(LinearOperator):
    """An operator written for NumPy arrays; a subclass has `_apply_host` and `_apply_adjoint_host`.

    PyTorch tensors and other arrays in host memory share their memory with NumPy, in both
    directions. An array on a GPU is an error: nothing is copied behind the user's back.
    """

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        """Write ``A x`` into ``out``, every entry of it."""
        raise TypeError(f"{type(self).__name__} does not define _apply_host")

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        """Write ``A* y`` into ``out``, every entry of it."""
        raise TypeError(f"{type(self).__name__} does not define _apply_adjoint_host")

    def _apply(self, x: Array, out: Array) -> None:
        self._apply_host(host_array(self, x), host_array(self, out))

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self._apply_adjoint_host(host_array(self, y), host_array(self, out))


def host_array(A: LinearOperator, x: Array) -> np.ndarray:
    """A NumPy view of the input or output of ``A``, or an error that says that ``A`` needs host memory."""
    if type(x) is np.ndarray:
        return x
    if arrays.is_gpu(x):
        raise TypeError(
            f"{A!r} computes in host memory, got a {arrays.describe(x)}: copy it to the host first"
        )
    return arrays.numpy_view(x)
