"""`Functional`: a function of an array with its gradient, proximal map and conjugate; its calculus.

A new functional is a frozen dataclass in one file, with its `traits` and those of the methods
below that it has. Weights, shifts and operators come from the calculus: ``2.0 * f``,
``parameter * f``, ``f.shifted(b)``, ``f @ A``, ``f + g``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.parameter import Parameter, is_weight

if TYPE_CHECKING:
    from wellposed.functionals.objective import Objective
    from wellposed.operators._base import LinearOperator

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Traits:
    """What is known of a functional; solvers are chosen by these and by nothing else.

    Parameters
    ----------
    convex : bool
    lipschitz : float or None
        Lipschitz constant of the gradient on the whole space; ``inf`` where the functional is
        differentiable without such a constant, ``None`` where it is not differentiable.
    strong_convexity : float
        Largest known ``mu`` with ``f - mu/2 ||.||^2`` convex.
    quadratic : bool
        The gradient is affine.
    indicator : bool
        The value is 0 or infinity.
    separable : bool
        A sum over entries, so that ``prox`` takes one step per entry.
    homogeneous : bool
        ``f(s x) = s f(x)`` for ``s >= 0``.
    prox, conjugate : bool
        Whether ``prox`` and the value of the conjugate can be computed.
    """

    convex: bool = True
    lipschitz: float | None = None
    strong_convexity: float = 0.0
    quadratic: bool = False
    indicator: bool = False
    separable: bool = False
    homogeneous: bool = False
    prox: bool = True
    conjugate: bool = True

    @property
    def smooth(self) -> bool:
        """Differentiable, with a Lipschitz gradient or not."""
        return self.lipschitz is not None


class Functional:
    """A function from arrays to numbers (or ``+inf``). See the module for how to write one."""

    # NumPy leaves `array @ f` and `number * f` to this class.
    __array_ufunc__ = None

    # --- what a subclass writes ---------------------------------------------------------------

    @property
    def traits(self) -> Traits:
        """What is known of this functional."""
        raise TypeError(f"{type(self).__name__} does not declare its traits")

    def __call__(self, x: Array) -> float:
        """The value at ``x``."""
        raise TypeError(f"{type(self).__name__} does not define its value")

    def at_zero(self, zero: Array) -> float:
        """The value at ``zero``, an array of zeros; overridden where that is cheaper than any other value."""
        return self(zero)

    def gradient(self, x: Array) -> Array:
        """The gradient at ``x``."""
        raise TypeError(f"{self} has no gradient: it is not differentiable")

    def subgradient(self, x: Array) -> Array:
        """One of the subgradients at ``x``, 0 where 0 is one; the gradient where there is one."""
        return self.gradient(x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at ``x`` applied to ``v``."""
        raise TypeError(f"{self} has no Hessian product")

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        r"""The derivative of :math:`\langle \nabla f(x; \theta), v\rangle` with respect to each parameter.

        By name, with the shape of the parameter's value: a number, or an array in host memory in double
        precision. It is the derivative with respect to the value itself, whatever its transform; times
        `Parameter.scale_derivative` it is that on the scale of learning.

        Raises
        ------
        TypeError
            If ``f`` has parameters, but not this derivative (it names them), or is not differentiable.
        """
        return self._without_parameters("the derivative of <gradient, v>")

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        r"""The derivative of the value :math:`f(x; \theta)` with respect to each parameter inside.

        By name, as `parameter_product` gives it.

        Raises
        ------
        TypeError
            If ``f`` has parameters, but not this derivative; it names them.
        """
        return self._without_parameters("the derivative of the value")

    def _without_parameters(self, what: str) -> dict[str, Any]:
        names = ", ".join(p.name for p in self.parameters)
        if names:
            raise TypeError(f"{self} does not know {what} with respect to its parameters: {names}")
        return {}

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        r"""The proximal map :math:`\arg\min_z f(z) + \frac{1}{2\,\mathrm{step}}\|z - x\|^2`.

        ``step`` is a positive number, or for a separable functional an array of the shape of ``x``.
        """
        raise TypeError(f"{self} has no proximal map in closed form")

    def _conjugate(self, y: Array) -> float:
        """The value of the convex conjugate at ``y``, infinite outside its domain."""
        raise TypeError(f"the conjugate of {self} has no known value")

    def project_dual(self, y: Array) -> Array:
        """A point near ``y`` in the domain of the conjugate (``y`` itself where it is in there)."""
        return y

    def dual_scale(self, y: Array) -> float:
        """The largest ``s <= 1`` with ``s * y`` in the domain of the conjugate; 0 if none is known."""
        return 1.0

    def _conjugate_prox(self, y: Array, step: Any) -> Array:
        """The proximal map of the conjugate: ``y - step * prox(f, y / step, 1 / step)``, kept inside."""
        return self.project_dual(y - step * self.prox(y / step, 1 / step))

    def _conjugate_gradient(self, y: Array) -> Array:
        """The gradient of the conjugate, for strongly convex functionals."""
        raise TypeError(f"the conjugate of {self} has no known gradient")

    # --- structure ----------------------------------------------------------------------------

    @property
    def shape(self) -> Shape | None:
        """Shape of the arrays this functional takes; ``None`` where it takes any."""
        return None

    @property
    def data(self) -> tuple[Array, ...]:
        """The user's data inside, which set the kind, device and dtype of the solution."""
        return ()

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        """This functional on arrays of ``shape`` as ``(f, K)``, value ``f(K x)``; ``None``: the identity."""
        return self, None

    def traits_on(self, shape: Shape) -> Traits:
        """The traits on arrays of ``shape``: the norm of an operator inside may depend on it."""
        f, K = self.factor(shape)
        traits = self.traits
        if K is None or traits.lipschitz is None or not f.traits.lipschitz:
            return traits
        return dataclasses.replace(
            traits, lipschitz=min(traits.lipschitz, f.traits.lipschitz * K.norm() ** 2)
        )

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        r"""A Lipschitz constant of the Hessian on arrays of ``shape``, in the norm of operators.

        0 for a quadratic; ``None`` where there is no such constant, or none is known.
        """
        if self.traits.quadratic:
            return 0.0
        f, K = self.factor(shape)
        inner = None if f is self else f.hessian_lipschitz_on(shape if K is None else K.range_shape)
        return inner if K is None or inner is None else inner * K.norm() ** 3

    def prox_and_value(self, x: Array, step: Any = 1.0) -> tuple[Array, float]:
        """The proximal point and the value there."""
        point = self.prox(x, step)
        return point, self(point)

    @property
    def conjugate(self) -> Functional:
        r"""The convex conjugate :math:`f^*(y) = \sup_x \langle x, y\rangle - f(x)`."""
        from wellposed.functionals.calculus import Conjugate

        return Conjugate(self)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All `Parameter` objects inside, each once, in order of appearance."""
        found: dict[str, Parameter] = {}
        for value in _fields(self):
            inner = (value,) if isinstance(value, Parameter) else getattr(value, "parameters", ())
            for parameter in inner:
                known = found.setdefault(parameter.name, parameter)
                if not known.equals(parameter):
                    raise ValueError(
                        f"two parameters are named {parameter.name!r} but differ: {known} and {parameter}; "
                        "use one object in both places, or two names"
                    )
        return tuple(found.values())

    def with_parameters(self, values: dict[str, Any]) -> Any:
        """A copy in which the parameters named in ``values`` have those values."""
        if not dataclasses.is_dataclass(self):
            return self
        changes: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Parameter):
                if value.name in values:
                    changes[field.name] = value.with_value(values[value.name])
            elif getattr(value, "parameters", ()):
                changes[field.name] = value.with_parameters(values)
            elif isinstance(value, tuple) and any(isinstance(v, Functional) for v in value):
                changes[field.name] = tuple(v.with_parameters(values) for v in value)
        return dataclasses.replace(self, **changes) if changes else self

    # --- calculus -----------------------------------------------------------------------------

    def __add__(self, other: Any) -> Objective:
        if not isinstance(other, Functional):
            return NotImplemented
        from wellposed.functionals.objective import Objective

        return Objective.of(self, other)

    def __radd__(self, other: Any) -> Functional:
        """``0 + f``, so that ``sum`` adds functionals up."""
        if isinstance(other, int) and other == 0:
            return self
        return NotImplemented

    def __rmul__(self, weight: Any) -> Functional:
        if not is_weight(weight):
            return NotImplemented
        from wellposed.functionals.calculus import Weighted

        return Weighted(weight, self)

    __mul__ = __rmul__

    def __matmul__(self, operator: Any) -> Functional:
        from wellposed.operators._base import LinearOperator

        if not isinstance(operator, LinearOperator):
            raise TypeError(
                f"{self} @ A needs a LinearOperator A, got {type(operator).__name__}; "
                "wrap a matrix with wellposed.operators.Matrix"
            )
        from wellposed.functionals.calculus import Composed

        return Composed(self, operator)

    def shifted(self, b: Array) -> Functional:
        """The functional ``x -> f(x - b)``."""
        from wellposed.functionals.calculus import Shifted

        return Shifted(self, arrays.as_floating(b, "b"))


def step_for(x: Array, step: Any) -> Any:
    """``step`` as a Python number or an array like ``x``, so that it does not widen the dtype of ``x``."""
    if getattr(step, "shape", ()) != ():
        return arrays.as_namespace(step, x, "step")
    step = float(step)
    if not step > 0:
        raise ValueError(f"the step of a proximal map must be positive, got {step}")
    return step


def _fields(f: Functional) -> list[Any]:
    if not dataclasses.is_dataclass(f):
        return []
    values: list[Any] = []
    for field in dataclasses.fields(f):
        value = getattr(f, field.name)
        values.extend(value if isinstance(value, tuple) else [value])
    return values
