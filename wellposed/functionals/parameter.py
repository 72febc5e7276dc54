"""`Parameter`: a named number or array inside an objective that can be learned."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional


@dataclass(frozen=True)
class Parameter:
    """A named value with bounds, living inside functionals: weights, smoothing constants, orders.

    Parameters
    ----------
    name : str
        Two parameters of one name in an objective are the same parameter.
    value : float or array
        The current value.
    low, high : float
        Bounds, which the value must respect.
    transform : {"log", "identity"}
        The scale on which learning and search move: ``log`` needs ``value > 0`` and ``low >= 0``.

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
        value = np.asarray(self.value, dtype=float)
        if not np.all(np.isfinite(value)):
            raise ValueError(f"parameter {self.name} must be finite, got {self.value}")
        if np.any(value < self.low) or np.any(value > self.high):
            raise ValueError(f"parameter {self.name} must be in [{self.low}, {self.high}], got {self.value}")
        if self.transform == "log" and np.any(value <= 0):
            raise ValueError(f"parameter {self.name} on a log scale must be positive, got {self.value}")

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


def is_weight(value: Any) -> bool:
    """Whether ``value`` can multiply a functional."""
    return isinstance(value, (int, float, np.floating, np.integer, Parameter)) and not isinstance(value, bool)


def positive(value: Any, name: str, zero_allowed: bool = False) -> None:
    """Raise `ValueError` unless a number or a scalar parameter is finite and positive."""
    if np.ndim(current(value)) > 0:
        raise ValueError(f"{name} must be one number, got an array of shape {np.shape(current(value))}")
    number = float(current(value))
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero_allowed):
        raise ValueError(
            f"{name} must be finite and {'at least 0' if zero_allowed else 'positive'}, got {number}"
        )
