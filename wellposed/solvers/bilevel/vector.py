"""All parameters that are learned, as one vector on the scale on which learning moves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.functionals.parameter import Parameter


class ParameterVector:
    """A bijection between the values of some parameters and a vector.

    Parameters
    ----------
    parameters : sequence of Parameter
        Of different names.
    natural : bool
        The vector holds the values themselves; otherwise each on the scale of its transform.
    """

    def __init__(self, parameters: Sequence[Parameter], natural: bool = False):
        self.parameters = tuple(parameters)
        self.names = tuple(p.name for p in self.parameters)
        self.natural = natural
        ends = np.cumsum([p.size for p in self.parameters]).tolist()
        self._parts = [slice(end - p.size, end) for p, end in zip(self.parameters, ends, strict=True)]
        self.size = int(ends[-1])
        self.start = self.pack({p.name: p.value if natural else p.to_scale(p.value) for p in self.parameters})
        bounds = [(p.low, p.high) if natural else p.scale_bounds for p in self.parameters]
        self.low = self.pack({p.name: low for p, (low, _) in zip(self.parameters, bounds, strict=True)})
        self.high = self.pack({p.name: high for p, (_, high) in zip(self.parameters, bounds, strict=True)})

    @property
    def bounded(self) -> bool:
        """Whether a bound may stop a step."""
        return bool(np.any(np.isfinite(self.low)) or np.any(np.isfinite(self.high)))

    def pack(self, entries: dict[str, Any]) -> np.ndarray:
        """A vector from one number or array for each parameter; what is missing is 0."""
        vector = np.zeros(self.size)
        for p, part in zip(self.parameters, self._parts, strict=True):
            if p.name in entries:
                entry = entries[p.name]
                vector[part] = entry.reshape(-1) if np.ndim(entry) else entry
        return vector

    def unpack(self, vector: np.ndarray) -> dict[str, Any]:
        """The parts of a vector by name, each a number or an array of the shape of the parameter."""
        return {
            p.name: vector[part].reshape(p.shape).copy() if p.shape else float(vector[part][0])
            for p, part in zip(self.parameters, self._parts, strict=True)
        }

    def values(self, vector: np.ndarray) -> dict[str, Any]:
        """The values of the parameters at a vector."""
        parts = self.unpack(vector)
        return parts if self.natural else {p.name: p.from_scale(parts[p.name]) for p in self.parameters}

    def slopes(self, vector: np.ndarray) -> np.ndarray:
        """The derivative of the values along each entry of the vector."""
        if self.natural:
            return np.ones(self.size)
        values = self.values(vector)
        return self.pack({p.name: p.scale_derivative(values[p.name]) for p in self.parameters})

    def project(self, vector: np.ndarray) -> np.ndarray:
        """The nearest vector within the bounds."""
        inside: np.ndarray = np.clip(vector, self.low, self.high)
        return inside


def parameter_vector(
    parameters: Any, functionals: Sequence[Functional], natural: bool = False
) -> ParameterVector:
    """The vector of the parameters that a user asked for, checked against those that occur.

    Raises
    ------
    TypeError
        If an entry is neither a `Parameter` nor a name.
    ValueError
        If there is none, or one is asked for twice, or is in no functional.
    """
    found: dict[str, Parameter] = {}
    for f in functionals:
        for p in f.parameters:
            if not found.setdefault(p.name, p).equals(p):
                raise ValueError(f"two parameters are named {p.name!r} but differ: {found[p.name]} and {p}")
    wanted = (
        list(found.values())
        if parameters is None
        else [parameters]
        if isinstance(parameters, (Parameter, str))
        else list(parameters)
    )
    names: list[str] = []
    for asked in wanted:
        if not isinstance(asked, (Parameter, str)):
            raise TypeError(
                f"parameters must be Parameter objects or their names, got {type(asked).__name__}"
            )
        name = asked if isinstance(asked, str) else asked.name
        if name not in found:
            known = ", ".join(sorted(found)) or "none"
            raise ValueError(f"no functional has a parameter named {name!r}; there are: {known}")
        if name in names:
            raise ValueError(f"parameter {name!r} is listed twice")
        if isinstance(asked, Parameter) and not asked.equals(found[name]):
            raise ValueError(f"parameter {name!r} differs from the one in the objective, {found[name]}")
        names.append(name)
    if not names:
        raise ValueError("there is nothing to learn: put a wellposed.Parameter into the objective")
    return ParameterVector([found[name] for name in names], natural)


def length(vector: np.ndarray) -> float:
    """The Euclidean norm of a vector of parameters."""
    return math.sqrt(float(np.dot(vector, vector)))
