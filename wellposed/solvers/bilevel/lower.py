"""The lower level: an objective that is minimised over ``x``, at any value of its parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.merge import merge
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import added
from wellposed.functionals.smoothed_planes import SmoothedPlanes
from wellposed.solvers.problem import Term, canonical

DENSE_BELOW = 256
"""Entries of ``x`` up to which the Hessian of quadratic terms is assembled for its least eigenvalue."""

KEPT = 2
"""Values of the parameters for which a lower level is kept: those of an iterate and of a trial step."""

StrongConvexity = float | Callable[[dict[str, Any]], float] | None


class Lower:
    """A lower level before its parameters have values.

    Parameters
    ----------
    objective : Functional
        Convex.
    x0 : array, optional
        Needed where the objective does not tell the shape of ``x``.
    strong_convexity : float or callable, optional
        A constant ``mu`` known to the caller, or a function that gives it for values of the parameters.
    """

    def __init__(
        self, objective: Functional, x0: Array | None = None, strong_convexity: StrongConvexity = None
    ):
        problem = canonical(objective, x0)
        if problem.lifted is not None:
            raise TypeError(f"a lower level with auxiliary fields has no hypergradient: {objective}")
        self.objective = problem.objective
        self.like = problem.like
        self.shape = problem.shape
        self.strong_convexity = strong_convexity
        self.names = frozenset(p.name for p in self.objective.parameters)
        self._recent: dict[Any, LowerAt] = {}
        for term in self.objective.terms:
            self._check(term)

    def _check(self, term: Functional) -> None:
        f, K = term.factor(self.shape)
        if f.traits.smooth or (K is None and f.traits.separable and f.traits.prox):
            return
        raise TypeError(
            f"{term} in the lower level is neither smooth nor separable, so its minimiser has no known "
            "derivative: smooth it (SmoothedTotalVariation), or take L1, NonNegative, Box, ElasticNet"
        )

    @property
    def convex(self) -> bool:
        """Whether all terms are convex."""
        return all(t.traits.convex for t in self.objective.terms)

    @cached_property
    def _fixed(self) -> tuple[frozenset[int], float]:
        """The quadratic terms without parameters, and the least eigenvalue of their joint Hessian."""
        terms = self.objective.terms
        fixed = [k for k, t in enumerate(terms) if t.traits.quadratic and not t.parameters]
        n = math.prod(self.shape)
        declared = sum(terms[k].traits_on(self.shape).strong_convexity for k in fixed)
        largest = sum(terms[k].traits_on(self.shape).lipschitz or 0.0 for k in fixed)
        if not fixed or n > DENSE_BELOW or declared == largest:
            return frozenset(fixed), declared
        product = LowerAt(self, tuple(terms[k] for k in fixed)).hessian(self.zeros())
        H = np.stack([arrays.to_host(product(e)).reshape(-1) for e in _units(self.like)]).astype(np.float64)
        eigenvalues = np.linalg.eigvalsh((H + H.T) / 2)
        rounding = n * arrays.epsilon(self.like) * float(eigenvalues[-1])
        return frozenset(fixed), max(float(eigenvalues[0]) - rounding, declared)

    def mu(self, values: dict[str, Any], terms: tuple[Functional, ...]) -> float:
        """A strong convexity constant at values of the parameters; 0 if none is known."""
        if self.strong_convexity is not None:
            given = self.strong_convexity
            mu = float(given(values) if callable(given) else given)
            if not (math.isfinite(mu) and mu > 0):
                raise ValueError(f"strong_convexity must be a positive number, got {mu}")
            return mu
        fixed, mu = self._fixed
        others = (t for k, t in enumerate(terms) if k not in fixed)
        return mu + sum(t.traits_on(self.shape).strong_convexity for t in others)

    def zeros(self) -> Array:
        """A fresh zero ``x``."""
        return arrays.zeros(self.shape, self.like)

    def at(self, values: dict[str, Any], moved: dict[int, Functional] | None = None) -> LowerAt:
        """The lower level at values of the parameters, of which it takes those that it has.

        ``moved`` holds terms that other lower levels share with this one, at those values, and takes its own.
        """
        mine = {name: value for name, value in values.items() if name in self.names}
        key = tuple((name, np.asarray(value).tobytes()) for name, value in mine.items())
        bound = self._recent.pop(key, None) or self.fresh(values, mine, moved)
        self._recent[key] = bound
        if len(self._recent) > KEPT:
            del self._recent[next(iter(self._recent))]
        return bound

    def fresh(
        self, values: dict[str, Any], mine: dict[str, Any], moved: dict[int, Functional] | None = None
    ) -> LowerAt:
        """The lower level at values, which is not kept."""
        terms = self.objective.terms
        if mine:
            known = {} if moved is None else moved
            for t in terms:
                if id(t) not in known:
                    known[id(t)] = t.with_parameters(mine)
            terms = tuple(known[id(t)] for t in terms)
        bound = LowerAt(self, terms)
        bound.mu = self.mu(values, terms)
        return bound

    def __getstate__(self) -> dict[str, Any]:
        """All but what is kept from the last call."""
        return {**self.__dict__, "_recent": {}}


class LowerAt:
    """A lower level whose parameters have values: ``smooth(x) + simple(x)``.

    Its operators are built once, and arrays pass unchecked between its terms.
    """

    def __init__(self, lower: Lower, every: tuple[Functional, ...]):
        self.lower = lower
        self.every = every
        self.mu = 0.0
        smooth: list[Term] = []
        self.smooth_terms: list[Functional] = []
        rough: list[Functional] = []
        for term in every:
            f, K = term.factor(lower.shape)
            if f.traits.smooth:
                smooth.append(Term(f, K))
                self.smooth_terms.append(term)
            else:
                rough.append(term)
        self.terms = tuple(smooth)
        self.simple = _joint(rough, lower.like) if rough else None

    @cached_property
    def L(self) -> float:
        """Lipschitz constant of the gradient of the smooth part; infinite where none is known."""
        total = sum(term.traits_on(self.lower.shape).lipschitz or 0.0 for term in self.smooth_terms)
        # At least the strong convexity constant, which a caller may have declared.
        return max(total, self.mu, 1e-300)

    @property
    def size(self) -> float:
        """``L`` where it has been asked for, else ``mu``: a size of the Hessian that costs nothing."""
        known: float = self.__dict__.get("L", self.mu)
        return known if math.isfinite(known) else self.mu

    @cached_property
    def objective(self) -> Objective:
        """The sum of all terms."""
        return Objective(self.every)

    @cached_property
    def gradient(self) -> Callable[[Array], Array]:
        """The gradient of the smooth part."""
        if not self.terms:
            return lambda x: 0.0 * x
        parts = [_gradient_of(t, self.lower.like) for t in self.terms]
        if len(parts) == 1:
            return parts[0]
        return lambda x: _total(part(x) for part in parts)

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """The objective and its gradient."""
        return self.objective(x), self.gradient(x)

    def hessian(self, x: Array) -> Callable[[Array], Array]:
        """Products with the Hessian of the smooth part at ``x``."""
        if not self.terms:
            return lambda v: 0.0 * v
        parts = [_hessian_of(t, x) for t in self.terms]
        if len(parts) == 1:
            return parts[0]
        return lambda v: _total(part(v) for part in parts)

    def mixed(self, x: Array, v: Array) -> dict[str, Any]:
        """Derivative of ``<grad smooth(x), v>`` with respect to each parameter."""
        return added(*(term.parameter_product(x, v) for term in self.learned))

    @cached_property
    def learned(self) -> list[Functional]:
        """The smooth terms with parameters."""
        return [term for term in self.smooth_terms if term.parameters]


def _joint(rough: list[Functional], like: Array) -> Functional:
    if len(rough) == 1:
        return rough[0]
    joint, rest = merge(rough, like)
    if rest:
        named = ", ".join(str(f) for f in rest)
        raise TypeError(f"these terms of the lower level have no joint proximal map: {named}")
    return joint


def _gradient_of(t: Term, like: Array) -> Callable[[Array], Array]:
    f, K = t.f, t.K
    if K is None:
        return f.gradient
    if (loops := SmoothedPlanes.of(f, K, like)) is not None:
        return loops.gradient
    return lambda x: K.apply_adjoint(f.gradient(K(x)))


def _hessian_of(t: Term, x: Array) -> Callable[[Array], Array]:
    f, K = t.f, t.K
    if K is None and (at := getattr(f, "hessian_at", None)) is not None:
        products: Callable[[Array], Array] = at(x)
        return products
    if K is None:
        return lambda v: f.hessian_product(x, v)
    if (loops := SmoothedPlanes.of(f, K, x)) is not None:
        return lambda v: loops.hessian_product(x, v)
    image = K(x)
    return lambda v: K.apply_adjoint(f.hessian_product(image, K(v)))


def _total(parts: Any) -> Array:
    iterator = iter(parts)
    total = next(iterator)
    for part in iterator:
        total = total + part
    return total


def _units(like: Array) -> Any:
    n = math.prod(tuple(like.shape))
    for k in range(n):
        unit = np.zeros(n)
        unit[k] = 1.0
        host = unit.reshape(tuple(like.shape)).astype(arrays.to_host(like).dtype)
        yield arrays.from_host(host, like=like)
