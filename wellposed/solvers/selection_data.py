"""What the rules for choosing a weight need of an objective: its data fit, the residual, other data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape
from wellposed.functionals.calculus import Composed, Weighted
from wellposed.functionals.datafits import DataFit, LeastSquares
from wellposed.functionals.intercept import FreeIntercept
from wellposed.functionals.kullback_leibler import KullbackLeibler
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter, current
from wellposed.operators._base import LinearOperator


@dataclass(frozen=True)
class DataTerm:
    """The one data fit of an objective.

    Parameters
    ----------
    fit : DataFit
        As it stands in the objective.
    A : LinearOperator or None
        From ``x`` to the data, with operators around the data fit, without a free intercept.
    """

    fit: DataFit
    A: LinearOperator | None

    @property
    def least_squares(self) -> bool:
        """Whether the fit is `LeastSquares`."""
        return isinstance(self.fit, LeastSquares)

    @property
    def weights(self) -> Array | None:
        """The weights of the squares."""
        return self.fit.weights if isinstance(self.fit, LeastSquares) else None

    @cached_property
    def seen(self) -> np.ndarray | None:
        """Which data count: not those of weight 0, nor those that the operator leaves at 0 (a mask's)."""
        seen = np.ones(tuple(self.fit.b.shape), bool)
        if self.weights is not None:
            seen &= arrays.to_host(self.weights) > 0
        if self.A is not None:
            x = np.random.default_rng(0).normal(size=self.A.domain_shape)
            like = arrays.zeros((), self.fit.b, arrays.real_dtype(self.fit.b))
            Ax = self.predict(arrays.from_host(x.astype(arrays.to_host(like).dtype), like))
            seen &= (arrays.to_host(Ax) != 0) | (arrays.to_host(self.fit.b) != 0)
        return None if seen.all() else seen

    @property
    def count(self) -> int:
        """Number of data that count."""
        return math.prod(self.fit.b.shape) if self.seen is None else int(self.seen.sum())

    def forward(self, x: Array) -> Array:
        """``A x``."""
        return x if self.A is None else self.A(x)

    def predict(self, x: Array) -> Array:
        """What stands for the data: ``A x``, plus the best constant where an intercept is free."""
        Ax = self.forward(x)
        return Ax + FreeIntercept(self.fit._plain()).best(Ax) if self.fit._profiled else Ax

    def residual(self, Ax: Array) -> Array:
        """``Ax - b`` of a prediction, in units of white noise: with weights, or of counts by their mean."""
        r = Ax - self.fit.b
        xp = arrays.namespace(r)
        if self.weights is not None:
            return xp.sqrt(self.weights) * r
        if isinstance(self.fit, KullbackLeibler):
            mean = Ax + self.fit.background
            floor = 1e-3 * max(float(xp.max(self.fit.b)), 1e-300)
            return r / xp.sqrt(xp.clip(mean, floor, None))
        return r

    def perturbed(self, objective: Objective, change: Array) -> tuple[Objective, DataTerm]:
        """The objective with ``b + change`` in place of ``b``, and its data fit."""
        moved = dataclasses.replace(self.fit, b=self.fit.b + change)
        terms = tuple(replaced(term, self.fit, moved) for term in objective.terms)
        return Objective(terms), DataTerm(moved, self.A)


def data_term(objective: Objective) -> DataTerm:
    """The one data fit of an objective; an error if there is none, or more than one."""
    found = [(term, fit) for term in objective.terms for fit in fits_in(term)]
    if len(found) != 1:
        what = "no data fit" if not found else f"{len(found)} data fits"
        raise ValueError(
            f"choosing a weight needs one data fit such as LeastSquares(A, b), but the objective has {what}"
        )
    term, fit = found[0]
    plain = dataclasses.replace(fit, intercept=False) if fit._profiled else fit  # type: ignore[call-arg]
    return DataTerm(fit, replaced(term, fit, plain).factor(shape_of(objective))[1])


def shape_of(objective: Objective) -> Shape:
    """The shape of the variable, which a data fit tells."""
    shape = objective.shape
    assert shape is not None
    return shape


def fits_in(f: Functional) -> Iterator[DataFit]:
    """The data fits inside a term."""
    if isinstance(f, DataFit):
        yield f
    elif isinstance(f, (Weighted, Composed)):
        yield from fits_in(f.f)


def replaced(f: Functional, old: DataFit, new: Functional) -> Functional:
    """A term with ``new`` in the place of one of its data fits."""
    if f is old:
        return new
    if isinstance(f, (Weighted, Composed)):
        return dataclasses.replace(f, f=replaced(f.f, old, new))
    return f


# --- the parameter --------------------------------------------------------------------------------


@dataclass(frozen=True)
class WeightedTerm:
    """A term ``outer * parameter * f(K x)``; ``term`` is ``outer * f(K x)``."""

    parameter: Parameter
    term: Functional

    def value(self, x: Array) -> float:
        """The term without the parameter."""
        return self.term(x)


def find_parameter(objective: Objective, parameter: Parameter | str) -> Parameter:
    """The parameter of that name in the objective."""
    if not isinstance(parameter, (Parameter, str)):
        raise TypeError(f"parameter must be a Parameter or its name, got {type(parameter).__name__}")
    name = parameter if isinstance(parameter, str) else parameter.name
    known = {p.name: p for p in objective.parameters}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none: write Parameter('weight', 1.0) * term"
        raise ValueError(f"the objective has no parameter named {name!r}; it has {listed}")
    found = known[name]
    if np.ndim(current(found)) != 0:
        raise ValueError(f"parameter {name!r} holds an array: only single numbers can be chosen")
    return found


def weighted_term(objective: Objective, name: str) -> WeightedTerm | None:
    """The one term that the parameter multiplies, or ``None`` if it stands elsewhere or in several."""
    holders = [t for t in objective.terms if any(p.name == name for p in t.parameters)]
    if len(holders) != 1:
        return None
    outer, f = 1.0, holders[0]
    while isinstance(f, Weighted):
        if isinstance(f.weight, Parameter) and f.weight.name == name:
            held = any(p.name == name for p in f.f.parameters) or any(True for _ in fits_in(f.f))
            return None if held else WeightedTerm(f.weight, f.f if outer == 1.0 else Weighted(outer, f.f))
        outer, f = outer * f.c, f.f
    return None


def noise_like(data: DataTerm, rng: np.random.Generator) -> Array:
    """Independent signs of modulus 1 for the data that count, else 0: a probe of unit variance."""
    b = data.fit.b
    shape = tuple(b.shape)
    signs: Any = rng.integers(0, 2, shape) * 2.0 - 1.0
    if arrays.is_complex(b):
        signs = (signs + 1j * (rng.integers(0, 2, shape) * 2.0 - 1.0)) / math.sqrt(2.0)
    if data.seen is not None:
        signs = signs * data.seen
    return arrays.from_host(signs.astype(arrays.to_host(b).dtype), b)
