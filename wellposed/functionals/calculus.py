"""The calculus of functionals: zero, multiples, composition with an operator, shifts, conjugates."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.parameter import Parameter, added, current, positive

if TYPE_CHECKING:
    from wellposed.operators._base import LinearOperator


@dataclass(frozen=True, eq=False)
class Zero(Functional):
    """The functional that is 0 everywhere."""

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=0.0, quadratic=True, separable=True, homogeneous=True)

    def __call__(self, x: Array) -> float:
        return 0.0

    def gradient(self, x: Array) -> Array:
        return arrays.zeros(tuple(x.shape), x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return arrays.zeros(tuple(x.shape), x)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return x

    def _conjugate(self, y: Array) -> float:
        return 0.0 if not bool(arrays.namespace(y).any(y != 0)) else math.inf

    def project_dual(self, y: Array) -> Array:
        return arrays.zeros(tuple(y.shape), y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if self._conjugate(y) == 0.0 else 0.0

    def __str__(self) -> str:
        return "0"


@dataclass(frozen=True, eq=False)
class Weighted(Functional):
    """``weight * f`` with a number at least 0 or a `Parameter`."""

    weight: float | Parameter
    f: Functional

    def __post_init__(self) -> None:
        positive(self.weight, f"the weight of {self.f}", zero_allowed=True)

    @property
    def c(self) -> float:
        """The weight as a number."""
        return float(current(self.weight))

    @property
    def traits(self) -> Traits:
        t = self.f.traits
        return dataclasses.replace(
            t,
            lipschitz=None if t.lipschitz is None else (self.c * t.lipschitz if self.c else 0.0),
            strong_convexity=self.c * t.strong_convexity,
        )

    @property
    def shape(self) -> Shape | None:
        return self.f.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.f.data

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        f, K = self.f.factor(shape)
        return Weighted(self.weight, f), K

    def __call__(self, x: Array) -> float:
        if self.c == 0 and not self.f.traits.indicator:
            return 0.0
        value = self.f(x)
        return value if math.isinf(value) else self.c * value

    def at_zero(self, zero: Array) -> float:
        value = self.f.at_zero(zero)
        return value if math.isinf(value) else self.c * value

    def gradient(self, x: Array) -> Array:
        return self.c * self.f.gradient(x)

    def subgradient(self, x: Array) -> Array:
        return self.c * self.f.subgradient(x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.c * self.f.hessian_product(x, v)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        inside = {name: self.c * d for name, d in self.f.parameter_product(x, v).items()}
        if not isinstance(self.weight, Parameter):
            return inside
        return added(inside, {self.weight.name: arrays.inner(self.f.gradient(x), v)})

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        inside = {name: self.c * d for name, d in self.f.parameter_gradient(x).items()}
        return added(inside, {self.weight.name: self.f(x)}) if isinstance(self.weight, Parameter) else inside

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        inner = self.f.hessian_lipschitz_on(shape)
        return None if inner is None else self.c * inner

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self.f.prox(x, self.c * step) if self.c > 0 else self._prox_of_zero(x)

    def _prox_of_zero(self, x: Array) -> Array:
        """0 * f is 0 on the domain of f: the indicator of an indicator's set, else the zero functional."""
        return self.f.prox(x, 1.0) if self.f.traits.indicator else x

    def _conjugate(self, y: Array) -> float:
        if self.c == 0:
            return self.f._conjugate(y) if self.f.traits.indicator else Zero()._conjugate(y)
        return self.c * self.f._conjugate(y / self.c)

    def _conjugate_prox(self, y: Array, step: Any) -> Array:
        if self.c == 0:
            return self.project_dual(y)
        return self.c * self.f._conjugate_prox(y / self.c, step / self.c)

    def _conjugate_gradient(self, y: Array) -> Array:
        return self.f._conjugate_gradient(y / self.c)

    def project_dual(self, y: Array) -> Array:
        if self.c == 0:
            return self.f.project_dual(y) if self.f.traits.indicator else Zero().project_dual(y)
        return self.c * self.f.project_dual(y / self.c)

    def dual_scale(self, y: Array) -> float:
        if self.c == 0:
            return self.f.dual_scale(y) if self.f.traits.indicator else Zero().dual_scale(y)
        return self.f.dual_scale(y / self.c)

    def __str__(self) -> str:
        name = self.weight.name if isinstance(self.weight, Parameter) else f"{self.c:g}"
        return f"{name} * {self.f}"


@dataclass(frozen=True, eq=False)
class Composed(Functional):
    """``(f @ A)(x) = f(A x)``."""

    f: Functional
    operator: LinearOperator

    def __post_init__(self) -> None:
        if self.f.shape is not None and self.f.shape != self.operator.range_shape:
            raise ValueError(
                f"{self.f} takes arrays of shape {self.f.shape}, "
                f"{self.operator!r} gives {self.operator.range_shape}"
            )

    @property
    def traits(self) -> Traits:
        t = self.f.traits
        lipschitz = t.lipschitz
        if lipschitz is not None and lipschitz not in (0.0, math.inf):
            lipschitz = lipschitz * self.operator.norm() ** 2
        return Traits(
            convex=t.convex,
            lipschitz=lipschitz,
            quadratic=t.quadratic,
            indicator=t.indicator,
            homogeneous=t.homogeneous,
            prox=False,
            conjugate=False,
        )

    @property
    def shape(self) -> Shape | None:
        return self.operator.domain_shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.f.data

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        f, K = self.f.factor(self.operator.range_shape)
        return f, self.operator if K is None else K @ self.operator

    def __call__(self, x: Array) -> float:
        return self.f(self.operator(x))

    def gradient(self, x: Array) -> Array:
        return self.operator.apply_adjoint(self.f.gradient(self.operator(x)))

    def hessian_product(self, x: Array, v: Array) -> Array:
        A = self.operator
        return A.apply_adjoint(self.f.hessian_product(A(x), A(v)))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        A = self.operator
        u, w = A(x), A(v)
        inside = self.f.parameter_product(u, w)
        if not A.parameters:
            return inside
        # Both places where the operator stands in <A* f'(A x), v>.
        first = A.parameter_product(x, self.f.hessian_product(u, w))
        return added(inside, first, A.parameter_product(v, self.f.gradient(u)))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        A = self.operator
        u = A(x)
        inside = self.f.parameter_gradient(u)
        return added(inside, A.parameter_product(x, self.f.gradient(u))) if A.parameters else inside

    def __str__(self) -> str:
        return f"{self.f} @ {self.operator!r}"


@dataclass(frozen=True, eq=False)
class Shifted(Functional):
    """``x -> f(x - b)``."""

    f: Functional
    b: Array

    @property
    def traits(self) -> Traits:
        return dataclasses.replace(self.f.traits, homogeneous=False)

    @property
    def shape(self) -> Shape | None:
        return tuple(self.b.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.b,)

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        f, K = self.f.factor(shape)
        return Shifted(f, self.b if K is None else K(self.b)), K

    def __call__(self, x: Array) -> float:
        return self.f(x - self.b)

    def gradient(self, x: Array) -> Array:
        return self.f.gradient(x - self.b)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.f.hessian_product(x - self.b, v)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        return self.f.parameter_product(x - self.b, v)

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return self.f.parameter_gradient(x - self.b)

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        return self.f.hessian_lipschitz_on(shape)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self.b + self.f.prox(x - self.b, step)

    def _conjugate(self, y: Array) -> float:
        return self.f._conjugate(y) + arrays.inner(y, self.b)

    def _conjugate_gradient(self, y: Array) -> Array:
        return self.b + self.f._conjugate_gradient(y)

    def project_dual(self, y: Array) -> Array:
        return self.f.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        return self.f.dual_scale(y)

    def __str__(self) -> str:
        return f"{self.f}(x - b)"


@dataclass(frozen=True, eq=False)
class Conjugate(Functional):
    """The convex conjugate of a convex functional; its own conjugate is that functional."""

    f: Functional

    def __post_init__(self) -> None:
        if not self.f.traits.convex:
            raise TypeError(f"{self.f} is not convex: it has no use for a convex conjugate")

    @property
    def traits(self) -> Traits:
        t = self.f.traits
        return Traits(
            lipschitz=1 / t.strong_convexity if t.strong_convexity > 0 else None,
            strong_convexity=1 / t.lipschitz if t.lipschitz else 0.0,
            quadratic=t.quadratic,
            indicator=t.homogeneous,
            homogeneous=t.indicator,
            separable=t.separable,
            prox=t.prox,
            conjugate=True,
        )

    @property
    def shape(self) -> Shape | None:
        return self.f.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.f.data

    @property
    def conjugate(self) -> Functional:
        return self.f

    def __call__(self, y: Array) -> float:
        return self.f._conjugate(y)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        """The proximal map of the conjugate, by Moreau's identity unless ``f`` knows better."""
        return self.f._conjugate_prox(x, step_for(x, step))

    def gradient(self, x: Array) -> Array:
        return self.f._conjugate_gradient(x)

    def _conjugate(self, y: Array) -> float:
        return self.f(y)

    def project_dual(self, y: Array) -> Array:
        return y if math.isfinite(self.f(y)) else self.f.prox(y, 1.0)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self.f(y)) else 0.0

    def __str__(self) -> str:
        return f"({self.f})*"


def peel(f: Functional) -> tuple[float, Functional]:
    """The number in front of a functional, and the functional behind it."""
    weight = 1.0
    while isinstance(f, Weighted):
        weight, f = weight * f.c, f.f
    return weight, f
