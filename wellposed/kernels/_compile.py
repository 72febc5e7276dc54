"""The one dispatch rule of the hot loops: compile on first use, one signature per dtype.

A kernel is a plain Python function over arrays, marked with `kernel` and a signature
made of one code per argument:

====== =====================================================================
``rN`` read-only real array of ``N`` dimensions, in the kernel's dtype
``wN`` array of ``N`` dimensions that the kernel writes, same dtype
``jN`` read-only ``int64`` array of ``N`` dimensions
``s``  real scalar, converted to the kernel's dtype
``i``  integer scalar
====== =====================================================================

The kernel's dtype (float32 or float64) is that of its first real array. All arrays are
C-contiguous. Inputs may be read-only: worker processes hand out such arrays, and they take
the same compiled code. Compiled code is cached on disk.

Every kernel is compiled twice, with and without threads, since waking a second core costs
more than a small array does. A ``prange`` loop is a plain loop in the version without.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

# libgomp spins this many rounds before a waiting thread sleeps. Its default (millions) stalls for
# milliseconds when another process needs the core; none at all costs about 60 microseconds a region.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import numba
from numba import types

PARALLEL_FROM = 1 << 17
"""Elements in the largest array, times the work for each, from which a second thread pays. Below it, a
thread that another process has pushed off its core costs more than it brings."""

FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Rounding may differ from the text of the kernel; NaN and infinity still mean what they say."""

_one_region_at_a_time = threading.Lock()

_REAL: dict[np.dtype[Any], types.Type] = {
    np.dtype(np.float32): types.float32,
    np.dtype(np.float64): types.float64,
}


class Kernel:
    """A hot loop, compiled on first use for each dtype; call it like the function it wraps."""

    def __init__(self, function: Callable[..., None], signature: str, fastmath: bool | set[str], work: int):
        self.function = function
        self.codes = signature.split()
        self.fastmath = fastmath
        self.parallel_from = PARALLEL_FROM // work if work else math.inf
        self._first_real = next(k for k, code in enumerate(self.codes) if code[0] in "rw")
        self._scalars = [k for k, code in enumerate(self.codes) if code == "s"]
        self._arrays = [k for k, code in enumerate(self.codes) if code[0] in "rw"]
        self._compiled: dict[tuple[np.dtype[Any], bool], Callable[..., None]] = {}
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __call__(self, *args: Any) -> None:
        dtype = args[self._first_real].dtype
        parallel = max(args[k].size for k in self._arrays) >= self.parallel_from
        compiled = self._compiled.get((dtype, parallel)) or self._compile(dtype, parallel)
        if self._scalars:
            args = tuple(dtype.type(a) if k in self._scalars else a for k, a in enumerate(args))
        if parallel:
            with _one_region_at_a_time:
                compiled(*args)
        else:
            compiled(*args)

    def _compile(self, dtype: np.dtype[Any], parallel: bool) -> Callable[..., None]:
        if dtype not in _REAL:
            raise TypeError(f"kernel {self.__name__} takes float32 or float64 arrays, not {dtype}")
        signature = types.void(*(_numba_type(code, _REAL[dtype]) for code in self.codes))
        compiled = numba.njit(
            signature,
            parallel=parallel,
            fastmath=self.fastmath,
            error_model="numpy",
            nogil=True,
            cache=True,
        )(_named(self.function, "threads" if parallel else "serial"))
        self._compiled[dtype, parallel] = compiled
        return compiled


def kernel(
    signature: str, fastmath: bool | set[str] = FASTMATH, work: int = 1
) -> Callable[[Callable[..., None]], Kernel]:
    """Mark a function as a kernel; ``signature`` holds one code per argument (see the module).

    ``work`` says how many times a few operations it does per element of its largest array; 0 marks a loop
    whose steps depend on each other, which is never divided between threads.
    """
    return lambda function: Kernel(function, signature, fastmath, work)


def inline(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark the arithmetic of one pixel, ray or row, which kernels of both devices call."""
    return numba.njit(inline="always", error_model="numpy", fastmath=FASTMATH)(function)


def _numba_type(code: str, real: types.Type) -> types.Type:
    if code == "s":
        return real
    if code == "i":
        return types.int64
    element = types.int64 if code[0] == "j" else real
    return types.Array(element, int(code[1:]), "C", readonly=code[0] != "w")


def _named(function: Callable[..., None], suffix: str) -> FunctionType:
    """A copy under another name: the disk cache tells functions apart by name, not by options."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = f"{function.__qualname__}_{suffix}"
    copy.__module__ = function.__module__
    return copy
