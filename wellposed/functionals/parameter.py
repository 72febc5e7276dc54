"""`Parameter`: a named number or array inside an objective that can be learned."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional

LEAST, GREATEST = float(np.finfo(float).tiny), float(np.finfo(float).max)
"""The positive numbers that double precision holds."""


@dataclass(frozen=True, eq=False)
class Parameter:
    """A named value with bounds, living inside functionals: weights, smoothing constants, orders.

    Parameters
    ----------
    name : str
        Two parameters of one name in an objective are the same parameter.
    value : float or array
        The current value: a number, or an array, which is kept as a read-only copy in host memory, in
        double precision. Functionals bring it to the kind and dtype of their input.
    low, high : float
        Bounds, which the value must respect. Entries of any sign, such as those of filters, need
        ``low=-math.inf`` and the transform ``identity``.
    transform : {"log", "identity"}
        The scale on which learning and search move: ``log`` needs ``value > 0`` and ``high > 0``.

    Raises
    ------
    ValueError
        If the value is not finite or out of bounds, or not positive on a log scale, or the bounds exclude
        each other.

    Examples
    --------
    >>> import wellposed as wp
    >>> weight = wp.Parameter("weight", 0.05)
    >>> print(weight * wp.L1())
    weight * L1
    """

    name: str
    value: Any
    low: float = 0.0
    high: float = math.inf
    transform: str = "log"

    def __post_init__(self) -> None:
        if self.transform not in ("log", "identity"):
            raise ValueError(f"transform of {self.name} must be 'log' or 'identity', got {self.transform!r}")
        if not self.low <= self.high or (self.transform == "log" and not self.high > 0):
            raise ValueError(f"the bounds of {self.name} leave no value: [{self.low}, {self.high}]")
        value = np.array(self.value, dtype=float)
        if not np.all(np.isfinite(value)):
            raise ValueError(f"parameter {self.name} must be finite, got {self.value}")
        if np.any(value < self.low) or np.any(value > self.high):
            raise ValueError(f"parameter {self.name} must be in [{self.low}, {self.high}], got {self.value}")
        if self.transform == "log" and np.any(value <= 0):
            raise ValueError(f"parameter {self.name} on a log scale must be positive, got {self.value}")
        value.setflags(write=False)
        object.__setattr__(self, "value", value if value.ndim else float(value))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value; empty for a number."""
        return tuple(np.shape(self.value))

    @property
    def size(self) -> int:
        """How many numbers the value holds."""
        return math.prod(self.shape)

    # --- the scale on which learning moves ----------------------------------------------------

    def to_scale(self, value: Any) -> Any:
        """A value on the scale of learning: its logarithm, or itself."""
        return _plain(np.log(value) if self.transform == "log" else np.asarray(value, dtype=float))

    def from_scale(self, t: Any) -> Any:
        """The value at a point of the scale of learning, within the bounds in spite of rounding."""
        with np.errstate(over="ignore"):
            value = np.exp(t) if self.transform == "log" else np.asarray(t, dtype=float)
        smallest = LEAST if self.transform == "log" else -GREATEST
        return _plain(np.clip(value, max(self.low, smallest), min(self.high, GREATEST)))

    def scale_derivative(self, value: Any) -> Any:
        """The derivative of the value along the scale of learning, entry by entry.

        A derivative with respect to the value times this is that with respect to the scale.
        """
        return _plain(np.array(value, dtype=float) if self.transform == "log" else np.ones(np.shape(value)))

    @property
    def scale_bounds(self) -> tuple[float, float]:
        """``low`` and ``high`` on the scale of learning."""
        if self.transform == "identity":
            return self.low, self.high
        return (math.log(self.low) if self.low > 0 else -math.inf), math.log(self.high)

    # ------------------------------------------------------------------------------------------

    def equals(self, other: Parameter) -> bool:
        """Whether ``other`` has the same name, value, bounds and scale."""
        mine, theirs = (
            (p.name, p.low, p.high, p.transform, np.asarray(p.value).tolist()) for p in (self, other)
        )
        return self is other or mine == theirs

    def with_value(self, value: Any) -> Parameter:
        """The same parameter with another value."""
        return dataclasses.replace(self, value=value)

    def __mul__(self, other: Functional) -> Functional:
        from wellposed.functionals._base import Functional
        from wellposed.functionals.calculus import Weighted

        if not isinstance(other, Functional):
            return NotImplemented
        return Weighted(self, other)

    __rmul__ = __mul__


def current(value: Any) -> Any:
    """The value of a parameter, or the argument itself if it is a plain number or array."""
    return value.value if isinstance(value, Parameter) else value


def summed(a: Array, parameter: Parameter) -> Any:
    """Entries of ``a`` summed over the axes along which the value of ``parameter`` was repeated to its shape.

    What a derivative with respect to each entry of an array says of the parameter that filled it: a number,
    or an array in host memory of the shape of the value, in double precision.
    """
    if not parameter.shape:
        return arrays.total(a)
    host = arrays.to_numpy(a).astype(np.float64, copy=False)
    new = host.ndim - len(parameter.shape)
    repeated = [k for k in range(host.ndim) if k < new or parameter.shape[k - new] < host.shape[k]]
    return host.sum(axis=tuple(repeated), keepdims=True).reshape(parameter.shape)


def added(*derivatives: dict[str, Any]) -> dict[str, Any]:
    """The sum of derivatives by name: a parameter may stand in several places."""
    total: dict[str, Any] = {}
    for part in derivatives:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def _plain(a: Any) -> Any:
    """A number as a ``float``, an array as it is."""
    return float(a) if np.ndim(a) == 0 else np.asarray(a)


def is_weight(value: Any) -> bool:
    """Whether ``value`` can multiply a functional."""
    return isinstance(value, (int, float, np.floating, np.integer, Parameter)) and not isinstance(value, bool)


LEAST_WEIGHT = 1e-100
"""Positive numbers below this are refused: products and quotients with them leave the range of numbers."""


def positive(value: Any, name: str, zero_allowed: bool = False) -> None:
    """Raise `ValueError` unless a number or a scalar parameter is finite and positive."""
    if np.ndim(current(value)) > 0:
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(current(value))}")
    number = float(current(value))
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero_allowed):
        raise ValueError(
            f"{name} must be finite and {'at least 0' if zero_allowed else 'positive'}, got {number}"
        )
    if 0 < number < LEAST_WEIGHT and not isinstance(value, Parameter):
        allowed = (
            f"give 0, or at least {LEAST_WEIGHT:g}" if zero_allowed else f"give at least {LEAST_WEIGHT:g}"
        )
        raise ValueError(f"{name} is too small to compute with, got {number:g}: {allowed}")
