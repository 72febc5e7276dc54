"""Random arrays, guarded calls and errors that all checks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array, Namespace

SEED = 20240229
ROUNDINGS = 2000
"""Accumulated rounding that an identity is allowed, in units of the resolution of the dtype."""


class CheckError(AssertionError):
    """A part that does not keep what it promises."""


class Probe:
    """Draws arrays of one kind and calls the part under test, watching what it does to its arguments.

    Parameters
    ----------
    subject : object
        What is tested; its ``str`` opens every error.
    xp : namespace
        The library of the arrays.
    dtype : str
        Name of their dtype.
    rng : numpy.random.Generator
    device : object, optional
        Where the arrays live, as the library names it.
    """

    def __init__(self, subject: Any, xp: Namespace, dtype: str, rng: np.random.Generator, device: Any = None):
        self.device = device
        self.subject = subject
        self.xp = xp
        self.dtype = dtype
        self.rng = rng
        self.eps = float(np.finfo(dtype).eps)

    def fail(self, message: str) -> CheckError:
        """The error to raise."""
        return CheckError(f"{self.subject} ({self.dtype}): {message}")

    def freeze(self, host: np.ndarray) -> Array:
        """A host array in the library and dtype of this probe, read-only where the library knows that."""
        host = host.astype(self.dtype)
        a = self.xp.asarray(host, device=self.device)
        if isinstance(a, np.ndarray):
            a = a.copy()
            a.setflags(write=False)
        return a

    def sample(self, shape: tuple[int, ...], scale: float = 1.0) -> Array:
        """A normally distributed array."""
        host = scale * self.rng.standard_normal(shape)
        if np.dtype(self.dtype).kind == "c":
            host = host + 1j * scale * self.rng.standard_normal(shape)
        return self.freeze(host)

    def call(self, name: str, function: Callable[..., Any], *args: Any, shape: Any = None) -> Any:
        """``function(*args)``, which must keep the arguments, and give arrays of their kind and precision."""
        given = [(k, a, self.xp.asarray(a, copy=True)) for k, a in enumerate(args) if hasattr(a, "dtype")]
        try:
            result = function(*args)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise self.fail(f"{name} writes into its input, or needs it to be writable: {error}") from error
        for k, a, before in given:
            if not bool(self.xp.all(a == before)):
                raise self.fail(f"{name} changes its argument number {k + 1}")
        if given and hasattr(result, "dtype") and hasattr(result, "shape") and result.shape != ():
            self._check_kind(name, result, given[0][1], shape)
        return result

    def _check_kind(self, name: str, result: Array, like: Array, shape: Any) -> None:
        if type(result) is not type(like):
            raise self.fail(f"{name} gives {type(result).__name__} for {type(like).__name__}")
        if arrays.real_dtype(result) != arrays.real_dtype(like):
            raise self.fail(f"{name} gives {result.dtype} for an input of {like.dtype}")
        if shape is not None and tuple(result.shape) != tuple(shape):
            raise self.fail(f"{name} gives an array of shape {tuple(result.shape)}, expected {tuple(shape)}")

    def at_most(self, name: str, left: float, right: float, scale: float, slack: float | None = None) -> None:
        """Demand ``left <= right`` up to rounding of numbers of size ``scale``."""
        allowed = (ROUNDINGS * self.eps if slack is None else slack) * abs(scale)
        if not left <= right + allowed:
            raise self.fail(f"{name}: {left:.9g} must be at most {right:.9g} (rounding allows {allowed:.1e})")

    def equal(self, name: str, left: float, right: float, scale: float, slack: float | None = None) -> None:
        """Demand ``left == right`` up to rounding of numbers of size ``scale``."""
        allowed = (ROUNDINGS * self.eps if slack is None else slack) * abs(scale)
        if not (abs(left - right) <= allowed or left == right):
            raise self.fail(
                f"{name}: {left:.9g} and {right:.9g} must be equal, they differ by {abs(left - right):.2e} "
                f"(rounding allows {allowed:.1e})"
            )


def generator(rng: Any) -> np.random.Generator:
    """The caller's generator, or one with a fixed seed."""
    return (
        rng if isinstance(rng, np.random.Generator) else np.random.default_rng(SEED if rng is None else rng)
    )
