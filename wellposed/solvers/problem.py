r"""The canonical form that every solver takes.

.. math:: \min_x \; G(x) + \sum_i f_i(K_i x)

``G`` is the sum of what acts on the variable itself and has a joint proximal map (`merge`); every
other term is factored into an outer functional and an operator.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape
from wellposed.functionals.calculus import Weighted, Zero, peel
from wellposed.functionals.merge import merge
from wellposed.functionals.objective import Objective
from wellposed.functionals.tgv import Lifted
from wellposed.operators._base import LinearOperator
from wellposed.operators.diagonal import Identity


@dataclass(frozen=True)
class Term:
    """One term ``f(K x)``; ``K`` is ``None`` where it is the identity."""

    f: Functional
    K: LinearOperator | None

    def forward(self, x: Array, out: Array | None = None) -> Array:
        """``K x``."""
        return x if self.K is None else self.K(x, out)

    def backward(self, y: Array) -> Array:
        """``K* y``."""
        return y if self.K is None else self.K.apply_adjoint(y)

    @property
    def norm(self) -> float:
        """Upper bound of the norm of ``K``."""
        return 1.0 if self.K is None else self.K.norm()

    def range_shape(self, shape: Shape) -> Shape:
        """Shape of ``K x``."""
        return shape if self.K is None else self.K.range_shape

    def __str__(self) -> str:
        return f"{self.f}" if self.K is None else f"{self.f} of {self.K!r} x"


@dataclass(frozen=True)
class Problem:
    """The canonical form of an objective.

    Parameters
    ----------
    objective : Objective
        What the user wrote.
    like : array
        A zero array of the kind, dtype, device and shape of the variable.
    simple : Functional
        ``G``.
    terms : tuple of Term
        ``f_i`` and ``K_i``.
    image_part : LinearOperator, optional
        From the variable to the user's ``x``, where they differ because auxiliary fields were added.
    """

    objective: Objective
    like: Array
    simple: Functional
    terms: tuple[Term, ...]
    image_part: LinearOperator | None = None
    lifted: tuple[Lifted, tuple[int, ...]] | None = None
    """The term with auxiliary fields and where its parts stand among the terms."""

    @property
    def shape(self) -> Shape:
        """Shape of the variable."""
        return tuple(self.like.shape)

    @cached_property
    def convex(self) -> bool:
        """Whether all terms are convex."""
        return self.simple.traits.convex and all(t.f.traits.convex for t in self.terms)

    def extract(self, variable: Array) -> Array:
        """The user's ``x`` in the variable."""
        return variable if self.image_part is None else self.image_part(variable)

    def embed(self, x: Array) -> Array:
        """A variable that holds ``x``, with auxiliary fields at zero; a whole variable as it is."""
        if self.image_part is None or tuple(x.shape) == self.shape:
            return x
        return self.image_part.apply_adjoint(x)

    def value(self, x: Array) -> float:
        """The objective at a variable."""
        values = [self.simple(x)]
        if math.isfinite(values[0]):
            values += [t.f(t.forward(x)) for t in self.terms]
        return math.inf if math.inf in values else math.fsum(values)

    @cached_property
    def value_at_zero(self) -> float:
        """The objective at zero without its constraints: a size to compare rounding errors with."""
        zero = arrays.zeros(self.shape, self.like)
        each = [self.simple.at_zero(zero)]
        each += [t.f.at_zero(self.dual_zeros(t)) for t in self.terms if not t.f.traits.homogeneous]
        return math.fsum(abs(v) for v in each if math.isfinite(v))

    @cached_property
    def scale_floor(self) -> float:
        """The least scale of a relative certificate: an objective below this is made of rounding errors."""
        return arrays.epsilon(self.like) ** 2 * self.value_at_zero

    def rounding(self, objective: float) -> float:
        """Size of the rounding errors in the objective near a value of it.

        Residuals of size ``sqrt(2 objective)`` are differences of data of size ``sqrt(2 value_at_zero)``.
        """
        size = abs(objective)
        return (
            arrays.epsilon(self.like) * (size + 2 * math.sqrt(size * self.value_at_zero)) + self.scale_floor
        )

    @cached_property
    def findings(self) -> dict[Callable[[Problem], Any], Any]:
        """What `found_once` keeps."""
        return {}

    def zeros(self) -> Array:
        """A fresh zero variable."""
        return arrays.zeros(self.shape, self.like)

    def dual_zeros(self, term: Term) -> Array:
        """A fresh zero dual variable of a term."""
        dtype = None
        if term.K is not None and term.K.complex_range:
            dtype = arrays.complex_dtype(self.like)
        return arrays.zeros(term.range_shape(self.shape), self.like, dtype)


Found = TypeVar("Found")


def found_once(find: Callable[[Problem], Found]) -> Callable[[Problem], Found]:
    """``find`` for problems that are asked about more than once, on the way from the choice to the solver."""

    @functools.wraps(find)
    def known(problem: Problem) -> Found:
        if find not in problem.findings:
            problem.findings[find] = find(problem)
        found: Found = problem.findings[find]
        return found

    return known


def canonical(objective: Functional, x0: Array | None = None) -> Problem:
    """Bring an objective to canonical form.

    Raises
    ------
    TypeError
        If ``objective`` is no functional.
    ValueError
        If the shape of ``x`` is not known from the terms nor from ``x0``, or ``x0`` does not fit.
    """
    if not isinstance(objective, Functional):
        raise TypeError(f"expected an objective (a sum of functionals), got {type(objective).__name__}")
    objective = Objective.of(objective)
    like = _template(objective, x0)
    lifted = [t for t in objective.terms if hasattr(peel(t)[1], "auxiliary")]
    if lifted:
        return _lifted(objective, like)
    on_x: list[Functional] = []
    terms: list[Term] = []
    for functional in objective.terms:
        if _vanishes(functional):
            continue
        f, K = functional.factor(tuple(like.shape))
        K = None if isinstance(K, Identity) and not K.complex_domain else K
        if K is None and f.traits.prox:
            on_x.append(f)
        else:
            terms.append(Term(f, K))
    simple, rest = merge(on_x, like) if on_x else (Zero(), [])
    return Problem(objective, like, simple, (*terms, *(Term(f, None) for f in rest)))


def _lifted(objective: Objective, like: Array) -> Problem:
    """Auxiliary fields of terms such as total generalised variation become parts of the variable."""
    from wellposed.operators.algebra import Part

    shape = tuple(like.shape)
    auxiliary = [peel(t)[1].auxiliary(shape) for t in objective.terms if hasattr(peel(t)[1], "auxiliary")]  # type: ignore[attr-defined]
    if len(auxiliary) > 1:
        raise TypeError(
            "an objective can hold one term with auxiliary fields (such as TotalGeneralizedVariation)"
        )
    lifted = auxiliary[0]
    image = Part(lifted.shapes, 0)
    terms: list[Term] = []
    where: tuple[int, ...] = ()
    for functional in objective.terms:
        if hasattr(peel(functional)[1], "auxiliary"):
            where = tuple(range(len(terms), len(terms) + len(lifted.terms)))
            terms += [Term(Weighted(peel(functional)[0], f), K) for f, K in lifted.terms]
        else:
            f, K = functional.factor(shape)
            terms.append(Term(f, image if K is None else K @ image))
    variable = arrays.zeros(image.domain_shape, like)
    return Problem(objective, variable, Zero(), tuple(terms), image, (lifted, where))


def _template(objective: Objective, x0: Array | None) -> Array:
    """A zero array like the solution."""
    _check_one_precision(objective)
    source: Any = objective.data[0] if objective.data else x0
    if source is None:
        raise ValueError("the objective holds no data to take the kind of array from: give x0")
    shape = objective.shape
    if shape is None:
        if x0 is None:
            raise ValueError("the shape of x is not known from the terms of the objective: give x0")
        shape = tuple(x0.shape)
    if x0 is not None and tuple(x0.shape) != shape:
        raise ValueError(f"x0 has shape {tuple(x0.shape)}, the objective takes {shape}")
    return arrays.zeros(shape, source, arrays.real_dtype(source))


def _check_one_precision(objective: Objective) -> None:
    if len({arrays.epsilon(a) for a in objective.data}) > 1:
        kinds = " and ".join(sorted({str(a.dtype) for a in objective.data}))
        raise TypeError(f"the data of the objective differ in precision, {kinds}: convert one of them")


def _vanishes(f: Functional) -> bool:
    """Whether a weight of 0 leaves nothing of a term; of an indicator it leaves the set."""
    weight, inner = peel(f)
    return weight == 0.0 and not inner.traits.indicator
