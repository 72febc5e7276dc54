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

Numba takes longer to import than the rest of the package together, so that it is imported by the first
kernel that is called. What the kernels of a file have in common is marked with `inline` or `part`, and
their ``prange`` is the one from here; a kernel sees Numba's versions of these when it is compiled.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from functools import cached_property
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numba import types

# libgomp spins this many rounds before a waiting thread sleeps. Its default (millions) stalls for
# milliseconds when another process needs the core; none at all costs about 60 microseconds a region.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

PARALLEL_FROM = 1 << 17
"""Elements in the largest array, times the work for each, from which a second thread pays. Below it, a
thread that another process has pushed off its core costs more than it brings."""

FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
"""Rounding may differ from the text of the kernel; NaN and infinity still mean what they say."""

_one_region_at_a_time = threading.Lock()

_REAL = {np.dtype(np.float32): "float32", np.dtype(np.float64): "float64"}


def prange(*limits: int) -> range:
    """A loop whose rounds may run on several threads."""
    return range(*limits)


def threads() -> int:
    """How many threads a kernel may use."""
    import numba

    return int(numba.get_num_threads())


class Part:
    """Arithmetic that kernels have in common: a function of its own, or written into each kernel."""

    def __init__(self, function: Callable[..., Any], **options: Any):
        self.function = function
        self.options = options
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    @cached_property
    def compiled(self) -> Callable[..., Any]:
        """As Numba takes it."""
        import numba

        lowered: Callable[..., Any] = numba.njit(error_model="numpy", fastmath=FASTMATH, **self.options)(
            _lowered(self.function)
        )
        return lowered

    def __call__(self, *args: Any) -> Any:
        return self.compiled(*args)


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
        divided = self.parallel_from < math.inf
        parallel = divided and max(args[k].size for k in self._arrays) >= self.parallel_from
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
        import numba

        real = getattr(numba.types, _REAL[dtype])
        signature = numba.types.void(*(_numba_type(code, real) for code in self.codes))
        compiled: Callable[..., None] = numba.njit(
            signature,
            parallel=parallel,
            fastmath=self.fastmath,
            error_model="numpy",
            nogil=True,
            cache=True,
        )(_lowered(self.function, "_threads" if parallel else "_serial"))
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


def inline(function: Callable[..., Any]) -> Part:
    """Mark the arithmetic of one pixel, ray or row, which is written into every kernel that calls it."""
    return Part(function, inline="always")


def part(function: Callable[..., Any]) -> Part:
    """Mark a function that kernels call, compiled once for each set of types."""
    return Part(function)


def _numba_type(code: str, real: types.Type) -> types.Type:
    from numba import types

    if code == "s":
        return real
    if code == "i":
        return types.int64
    element = types.int64 if code[0] == "j" else real
    return types.Array(element, int(code[1:]), "C", readonly=code[0] != "w")


def _lowered(function: Callable[..., Any], suffix: str = "") -> FunctionType:
    """A copy that sees Numba's versions of `prange` and of each `Part`.

    ``suffix`` is added to its name: the disk cache tells functions apart by name, not by options.
    """
    import numba

    seen = dict(function.__globals__)
    for name in _names(function.__code__):
        if seen.get(name) is prange:
            seen[name] = numba.prange
        elif isinstance(value := seen.get(name), Part):
            seen[name] = value.compiled
    copy = FunctionType(
        function.__code__, seen, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__qualname__ = function.__qualname__ + suffix
    copy.__module__ = function.__module__
    return copy


def _names(code: CodeType) -> set[str]:
    """The global names in a function and in what is defined inside it."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)
