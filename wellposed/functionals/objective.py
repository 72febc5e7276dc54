"""`Objective`: a sum of functionals."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import added, is_weight

if TYPE_CHECKING:
    from wellposed.operators._base import LinearOperator


@dataclass(frozen=True, eq=False)
class Objective(Functional):
    """The sum of its ``terms``, kept flat: what ``f + g`` makes and what solvers take.

    Parameters
    ----------
    terms : tuple of Functional
    """

    terms: tuple[Functional, ...]

    def __post_init__(self) -> None:
        shapes = {term.shape for term in self.terms} - {None}
        if len(shapes) > 1:
            listed = ", ".join(f"{term} takes {term.shape}" for term in self.terms if term.shape is not None)
            raise ValueError(f"the terms of an objective must take arrays of one shape: {listed}")
        if self.data:
            arrays.namespace(*self.data)
        # Two different parameters of one name are an error, which shows here.
        _ = self.parameters

    @classmethod
    def of(cls, *functionals: Functional) -> Objective:
        """The flat sum of ``functionals``, each a term or itself an objective."""
        terms: list[Functional] = []
        for f in functionals:
            terms.extend(f.terms if isinstance(f, Objective) else [f])
        return cls(tuple(terms))

    @property
    def shape(self) -> Shape | None:
        return next((term.shape for term in self.terms if term.shape is not None), None)

    @property
    def data(self) -> tuple[Array, ...]:
        return tuple(a for term in self.terms for a in term.data)

    @property
    def traits(self) -> Traits:
        each = [term.traits for term in self.terms]
        smooth = all(t.smooth for t in each)
        return Traits(
            convex=all(t.convex for t in each),
            lipschitz=sum(t.lipschitz or 0.0 for t in each) if smooth else None,
            strong_convexity=sum(t.strong_convexity for t in each),
            quadratic=all(t.quadratic for t in each),
            indicator=all(t.indicator for t in each),
            separable=all(t.separable for t in each),
            homogeneous=all(t.homogeneous for t in each),
            prox=len(each) == 1 and each[0].prox,
            conjugate=len(each) == 1 and each[0].conjugate,
        )

    def traits_on(self, shape: Shape) -> Traits:
        each = [term.traits_on(shape) for term in self.terms]
        if any(t.lipschitz is None for t in each):
            return self.traits
        return dataclasses.replace(self.traits, lipschitz=sum(t.lipschitz or 0.0 for t in each))

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        return self.terms[0].factor(shape) if len(self.terms) == 1 else (self, None)

    def __call__(self, x: Array) -> float:
        return math.fsum(values) if math.inf not in (values := [term(x) for term in self.terms]) else math.inf

    def gradient(self, x: Array) -> Array:
        first, *others = self.terms
        result = first.gradient(x)
        for term in others:
            result = result + term.gradient(x)
        return result

    def hessian_product(self, x: Array, v: Array) -> Array:
        first, *others = self.terms
        result = first.hessian_product(x, v)
        for term in others:
            result = result + term.hessian_product(x, v)
        return result

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        return added(*(term.parameter_product(x, v) for term in self.terms if term.parameters))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return added(*(term.parameter_gradient(x) for term in self.terms if term.parameters))

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        each = [term.hessian_lipschitz_on(shape) for term in self.terms]
        return None if None in each else math.fsum(constant or 0.0 for constant in each)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        if len(self.terms) > 1:
            raise TypeError(
                f"the sum {self} has no proximal map in closed form; minimise it with wellposed.minimize"
            )
        return self.terms[0].prox(x, step)

    def _conjugate(self, y: Array) -> float:
        if len(self.terms) > 1:
            raise TypeError(f"the conjugate of the sum {self} has no known value")
        return self.terms[0]._conjugate(y)

    def project_dual(self, y: Array) -> Array:
        return self.terms[0].project_dual(y) if len(self.terms) == 1 else y

    def dual_scale(self, y: Array) -> float:
        return self.terms[0].dual_scale(y) if len(self.terms) == 1 else 1.0

    def shifted(self, b: Array) -> Functional:
        return Objective(tuple(term.shifted(b) for term in self.terms))

    def __matmul__(self, operator: Any) -> Functional:
        return Objective(tuple(term @ operator for term in self.terms))

    def __rmul__(self, weight: Any) -> Functional:
        if not is_weight(weight):
            return NotImplemented
        return Objective(tuple(weight * term for term in self.terms))

    __mul__ = __rmul__

    def with_parameters(self, values: dict[str, Any]) -> Objective:
        unknown = sorted(set(values) - {p.name for p in self.parameters})
        if unknown:
            known = sorted(p.name for p in self.parameters)
            raise ValueError(f"the objective has no parameter named {', '.join(unknown)}; it has {known}")
        return dataclasses.replace(self, terms=tuple(term.with_parameters(values) for term in self.terms))

    def __str__(self) -> str:
        return " + ".join(str(term) for term in self.terms)
