"""Array namespaces, devices, dtypes, and the bridge between array libraries.

Every public function of the library takes NumPy, CuPy, PyTorch or any other array-API arrays
and gives back the same kind, on the same device, in the same floating dtype. This module holds
the rules that make it so: what may be mixed (nothing), what is converted (lists and integer
arrays become floating arrays; nothing else), and how memory is shared between libraries.
"""

from __future__ import annotations

import importlib
import math
import sys
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from array_api_compat import (
    array_namespace,
    device,
    is_array_api_obj,
    is_cupy_array,
    is_jax_array,
    is_numpy_array,
    is_numpy_namespace,
    is_torch_array,
)

Array: TypeAlias = Any
"""An array of any library that follows the array API standard."""

Namespace: TypeAlias = Any
"""A module with the functions of the array API standard."""

__all__ = [
    "Array",
    "Constant",
    "Namespace",
    "as_array",
    "as_floating",
    "as_namespace",
    "check_finite",
    "complex_dtype",
    "contiguous",
    "convert",
    "device_of",
    "empty",
    "epsilon",
    "from_numpy",
    "inner",
    "is_complex",
    "is_contiguous",
    "is_gpu",
    "is_numpy_array",
    "is_numpy_namespace",
    "is_torch_array",
    "namespace",
    "norm",
    "numpy_view",
    "real_dtype",
    "to_numpy",
    "total",
    "zeros",
]


def describe(a: Array) -> str:
    """Library, device, dtype and shape of an array, in words for messages."""
    library = type(a).__module__.partition(".")[0]
    return f"{library} array of shape {tuple(a.shape)}, {a.dtype}, on {device(a)}"


class _NumPy(ModuleType):
    """NumPy's own functions, which follow the standard but for a few.

    Those of ``array_api_compat.numpy``, whose import alone takes as long as that of all this package, are
    slower on small arrays, and taken only where NumPy's take other arguments or are missing.
    """

    OTHER = ("argsort", "sort")

    @staticmethod
    def clip(x: np.ndarray, low: Any = None, high: Any = None) -> np.ndarray:
        """``x`` between two bounds, in its own dtype whatever theirs is."""
        return np.asarray(np.clip(x, low, high, dtype=x.dtype))

    def __getattr__(self, name: str) -> Any:
        if name in self.OTHER or not hasattr(np, name):
            value = getattr(importlib.import_module("array_api_compat.numpy"), name)
        else:
            value = getattr(np, name)
        setattr(self, name, value)
        return value


_NUMPY = _NumPy("numpy")


def namespace(*arrays: Array) -> Namespace:
    """The common namespace of ``arrays``; a mixture of libraries or devices is an error."""
    if type(arrays[0]) is np.ndarray and (len(arrays) == 1 or all(type(a) is np.ndarray for a in arrays)):
        return _NUMPY
    for a in arrays:
        if not is_array_api_obj(a):
            raise TypeError(f"expected an array (NumPy, CuPy, PyTorch, ...), got {type(a).__name__}")
    first = arrays[0]
    for other in arrays[1:]:
        if type(other).__module__.partition(".")[0] != type(first).__module__.partition(".")[0]:
            raise TypeError(
                f"arrays of two libraries: {describe(first)} and {describe(other)}; "
                "convert one with wellposed.arrays.convert"
            )
        if device(other) != device(first):
            raise ValueError(
                f"arrays on two devices: {describe(first)} and {describe(other)}; move one of them"
            )
    return array_namespace(*arrays)


def device_of(a: Array) -> Any:
    """The device an array lives on."""
    return device(a)


def as_array(a: Any, name: str) -> Array:
    """``a`` itself if it is an array, else a NumPy array made from a list or number."""
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array, whose mask would be lost: pass array.filled(value)")
    if is_array_api_obj(a) and not isinstance(a, np.generic):
        return a.view(np.ndarray) if isinstance(a, np.ndarray) and type(a) is not np.ndarray else a
    try:
        made = np.asarray(a)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from None
    if made.dtype.kind not in "biufc":
        raise TypeError(f"{name} must hold numbers, got {made.dtype}")
    return made


def as_floating(a: Any, name: str, complex_allowed: bool = False) -> Array:
    """``a`` as a floating array: float32 and float64 are kept, integers become float64.

    Raises
    ------
    TypeError
        For complex input where only real makes sense, and for other floating widths.
    """
    a = as_array(a, name)
    xp = namespace(a)
    if isinstance(a, np.ndarray) and not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    if a.dtype in (xp.float32, xp.float64):
        return a
    if xp.isdtype(a.dtype, ("bool", "integral")):
        return xp.astype(a, xp.float64)
    if complex_allowed and a.dtype in (xp.complex64, xp.complex128):
        return a
    allowed = "float32 or float64" + (", complex64 or complex128" if complex_allowed else "")
    raise TypeError(f"{name} must be {allowed}, got {a.dtype}; convert it explicitly")


def check_finite(a: Array, name: str) -> None:
    """Raise `ValueError` that counts the non-finite entries of ``a`` and says where the first is."""
    xp = namespace(a)
    if type(a) is np.ndarray and a.dtype.kind == "f":
        # A finite sum has finite terms, and takes a third of the time.
        with np.errstate(all="ignore"):
            if np.isfinite(a.sum()):
                return
    finite = xp.isfinite(a)
    if bool(xp.all(finite)):
        return
    where = xp.nonzero(xp.reshape(~finite, (-1,)))[0]
    first = tuple(int(k) for k in np.unravel_index(int(where[0]), tuple(a.shape)))
    raise ValueError(
        f"{name} has {where.shape[0]} non-finite entries (NaN or infinity), the first at index {first}"
    )


def is_complex(a: Array) -> bool:
    """Whether the dtype of ``a`` is complex."""
    return bool(namespace(a).isdtype(a.dtype, "complex floating"))


def real_dtype(a: Array) -> Any:
    """The real floating dtype of the same precision as ``a``."""
    xp = namespace(a)
    # Compared one by one: NumPy's dtypes and its scalar types are equal, but differ as keys.
    return xp.float32 if a.dtype == xp.complex64 else xp.float64 if a.dtype == xp.complex128 else a.dtype


def complex_dtype(a: Array) -> Any:
    """The complex dtype of the same precision as ``a``."""
    xp = namespace(a)
    return xp.complex64 if a.dtype == xp.float32 else xp.complex128 if a.dtype == xp.float64 else a.dtype


def empty(shape: tuple[int, ...], like: Array, dtype: Any = None) -> Array:
    """An uninitialised array of the kind, device and (unless given) dtype of ``like``."""
    if type(like) is np.ndarray:
        return np.empty(shape, dtype=like.dtype if dtype is None else dtype)
    dtype = like.dtype if dtype is None else dtype
    return namespace(like).empty(shape, dtype=dtype, device=device(like))


def zeros(shape: tuple[int, ...], like: Array, dtype: Any = None) -> Array:
    """A zero array of the kind, device and (unless given) dtype of ``like``."""
    if type(like) is np.ndarray:
        return np.zeros(shape, dtype=like.dtype if dtype is None else dtype)
    dtype = like.dtype if dtype is None else dtype
    return namespace(like).zeros(shape, dtype=dtype, device=device(like))


def as_namespace(a: Any, like: Array, name: str) -> Array:
    """``a`` (a host array or number) as an array of the kind, device and dtype of ``like``.

    Only host constants (angles, weights given as lists or NumPy arrays) may pass here: an array of
    another library or device is an error, never a hidden copy.
    """
    xp = namespace(like)
    if isinstance(a, (int, float)):
        return xp.asarray(a, dtype=real_dtype(like), device=device(like))
    a = as_array(a, name)
    if type(a) is np.ndarray and not is_numpy_array(like):
        # A copy: PyTorch would share read-only memory and could write to it.
        return xp.asarray(a, dtype=real_dtype(like), device=device(like), copy=True)
    namespace(a, like)
    return xp.astype(a, real_dtype(like), copy=False)


class Constant:
    """An array that an operator holds, handed out in the kind, device and precision of its input.

    A host array (NumPy) goes to any library and device, converted once and kept; an array of
    another library meets only arrays of that library and device.
    """

    def __init__(self, a: Array):
        self.array = a
        self.complex = is_complex(a)
        self._converted: dict[Any, Array] = {}

    def like(self, x: Array) -> Array:
        """This constant for use beside ``x``."""
        dtype = complex_dtype(x) if self.complex else real_dtype(x)
        if type(x) is np.ndarray and type(self.array) is np.ndarray:
            if self.array.dtype == dtype:
                return self.array
            key: Any = np.dtype(dtype)
        else:
            key = (type(x), str(device(x)), str(dtype))
        if key not in self._converted:
            self._converted[key] = self._convert(x, dtype)
        return self._converted[key]

    def _convert(self, x: Array, dtype: Any) -> Array:
        if type(self.array) is np.ndarray and type(x) is not np.ndarray:
            return namespace(x).asarray(self.array, dtype=dtype, device=device(x), copy=True)
        return namespace(self.array, x).astype(self.array, dtype, copy=False)


def is_contiguous(a: Array) -> bool:
    """Whether the entries of ``a`` lie in memory row by row; true for libraries that hide their memory."""
    if hasattr(a, "flags"):
        return bool(a.flags.c_contiguous)
    return bool(a.is_contiguous()) if is_torch_array(a) else True


def contiguous(a: Array) -> Array:
    """``a`` itself if its entries lie in memory row by row, else a copy of which that is true."""
    if is_contiguous(a):
        return a
    return a.contiguous() if is_torch_array(a) else namespace(a).ascontiguousarray(a)


def epsilon(a: Array) -> float:
    """The rounding unit of the dtype of ``a``."""
    return float(namespace(a).finfo(a.dtype).eps)


def total(a: Array) -> float:
    """Sum of all entries, accumulated in double precision."""
    if type(a) is np.ndarray:
        return float(a.sum(dtype=np.float64))
    xp = namespace(a)
    return float(xp.sum(a, dtype=xp.float64))


def inner(a: Array, b: Array) -> float:
    """Real inner product ``Re sum(conj(a) * b)``, accumulated in double precision."""
    if type(a) is np.ndarray and type(b) is np.ndarray:
        u, v = a.reshape(-1), b.reshape(-1)
        if u.dtype == v.dtype and u.dtype.kind == "c":
            real = np.float32 if u.dtype == np.complex64 else np.float64
            u, v = u.view(real), v.view(real)
        if u.dtype == v.dtype == np.float32:
            return _chunked_dot(u, v)
        if u.dtype.kind == v.dtype.kind == "f":
            # Not BLAS, whose threads stall for milliseconds on short vectors when a core is busy.
            return float(np.einsum("i,i->", u, v))
        return float(np.vdot(u, v).real)
    xp = namespace(a, b)
    if is_complex(a) or is_complex(b):
        return total(xp.real(xp.conj(a) * b))
    return total(xp.astype(a, xp.float64) * xp.astype(b, xp.float64))


def norm(a: Array) -> float:
    """Euclidean norm of all entries, accumulated in double precision."""
    return math.sqrt(max(inner(a, a), 0.0))


def _chunked_dot(u: np.ndarray, v: np.ndarray, chunk: int = 128) -> float:
    """Dot product of float32 vectors: single precision within a chunk, double between chunks.

    Chunks of this size lose 5e-8 on a constant vector, where chunks of 4096 lose 1e-5 and are no quicker.
    """
    whole = u.size // chunk * chunk
    parts = np.einsum("ij,ij->i", u[:whole].reshape(-1, chunk), v[:whole].reshape(-1, chunk))
    return float(parts.sum(dtype=np.float64)) + float(np.dot(u[whole:], v[whole:]))


# --- the bridge between libraries ------------------------------------------------------------


def numpy_view(a: Array) -> np.ndarray:
    """A NumPy view of an array in host memory, sharing it; an array on a GPU is an error.

    The view is read-only if the source is. Writing to a writable view writes to the source.
    """
    if isinstance(a, np.ndarray):
        return a
    if is_torch_array(a):
        if a.device.type != "cpu":
            raise ValueError(f"expected host memory, got a {describe(a)}; move it with .cpu()")
        _check_no_gradient(a)
        return np.asarray(a.detach().numpy())
    if is_cupy_array(a):
        raise ValueError(f"expected host memory, got a {describe(a)}; copy it with cupy.asnumpy")
    if hasattr(a, "__dlpack__"):
        return np.from_dlpack(a)
    raise TypeError(f"expected an array, got {type(a).__name__}")


def to_numpy(a: Array) -> np.ndarray:
    """An array in host memory: a view where it is there already, else a copy from the GPU."""
    if is_cupy_array(a):
        return np.asarray(a.get())
    return numpy_view(a.cpu() if is_torch_array(a) else a)


def from_numpy(a: np.ndarray, like: Array) -> Array:
    """A host NumPy array as an array of the kind of ``like``: shared memory where the device allows."""
    if is_numpy_array(like):
        return a
    if is_torch_array(like) and like.device.type == "cpu":
        return convert(a, "torch")
    return namespace(like).asarray(a, device=device(like))


def convert(a: Array, library: str) -> Array:
    """Hand an array to another library through shared memory, without a copy.

    Parameters
    ----------
    a : array
        The source. It stays on its device; the result shares its memory.
    library : {"numpy", "torch", "cupy", "jax"}
        The target. NumPy takes host memory only, CuPy GPU memory only.

    Raises
    ------
    ValueError
        If sharing is impossible: other device, negative strides (which abort the interpreter in
        some versions of PyTorch), byte order, read-only memory that the target would make
        writable, or a tensor that requires gradients. The message names the remedy.

    Examples
    --------
    >>> import numpy as np
    >>> from wellposed.arrays import convert
    >>> convert(np.ones(3), "numpy")
    array([1., 1., 1.])
    """
    if library not in ("numpy", "torch", "cupy", "jax"):
        raise ValueError(f"library must be 'numpy', 'torch', 'cupy' or 'jax', got {library!r}")
    _check_shareable(a, library)
    if library == "numpy":
        return numpy_view(a)
    if library == "torch":
        return a if is_torch_array(a) else importlib.import_module("torch").from_dlpack(a)
    if library == "cupy":
        return a if is_cupy_array(a) else importlib.import_module("cupy").from_dlpack(a)
    return a if is_jax_array(a) else importlib.import_module("jax.dlpack").from_dlpack(a)


def _check_shareable(a: Array, library: str) -> None:
    if is_torch_array(a) and library != "torch":
        _check_no_gradient(a)
        if library == "cupy" and a.device.type != "cuda":
            raise ValueError("the tensor is in host memory: move it to the GPU with tensor.cuda()")
    if not isinstance(a, np.ndarray):
        return
    if any(stride < 0 for stride in a.strides):
        raise ValueError(
            "the array has negative strides (a flipped view): pass numpy.ascontiguousarray(array)"
        )
    if not a.dtype.isnative:
        raise ValueError(
            f"the array has foreign byte order ({a.dtype}): pass array.astype(array.dtype.newbyteorder('='))"
        )
    if library in ("torch", "jax") and not a.flags.writeable:
        raise ValueError(f"the array is read-only, which {library} would ignore: pass array.copy()")
    if library == "cupy":
        raise ValueError("the array is in host memory: copy it to the GPU with cupy.asarray")


def _check_no_gradient(a: Array) -> None:
    """PyTorch records operations on such a tensor, and another library's would be missing from the record."""
    if a.requires_grad and sys.modules["torch"].is_grad_enabled():
        raise ValueError("the tensor requires gradients, which sharing would lose: pass tensor.detach()")


def is_gpu(a: Array) -> bool:
    """Whether the memory of ``a`` is on a CUDA device."""
    return is_cupy_array(a) or (is_torch_array(a) and a.device.type == "cuda")


def to_host(a: Array) -> np.ndarray:
    """A NumPy array with the values of ``a``: an explicit copy from a GPU, a view in host memory."""
    if is_cupy_array(a):
        return np.asarray(a.get())
    if is_torch_array(a):
        return np.asarray(a.detach().cpu().numpy())
    return numpy_view(a)


def from_host(a: np.ndarray, like: Array) -> Array:
    """A copy of a NumPy array as an array of the kind and device of ``like``."""
    return a if is_numpy_array(like) else namespace(like).asarray(a, device=device(like))
