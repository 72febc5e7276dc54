"""Which problems coordinate descent takes: one smooth loss of a matrix, and a sparse penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed import arrays
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.class_intercepts import ClassIntercepts
from wellposed.functionals.intercept import FreeIntercept
from wellposed.functionals.multinomial import MultinomialLoss, softmax
from wellposed.functionals.sample_weights import SampleWeighted
from wellposed.operators._base import LinearOperator
from wellposed.operators.algebra import Composition
from wellposed.operators.centring import Centring
from wellposed.solvers.coordinate.design import ClassDesign, Design, design_of
from wellposed.solvers.coordinate.penalty import Penalty, penalty_of
from wellposed.solvers.problem import Problem, found_once


@dataclass(frozen=True, eq=False)
class Loss:
    """A separable smooth loss of predictions ``u``, flattened; ``centred``: at its best intercept."""

    f: Functional
    range_shape: tuple[int, ...]
    centring: Centring | None

    @property
    def centred(self) -> bool:
        """Whether an intercept is free."""
        return self.centring is not None or isinstance(peel(self.f)[1], (FreeIntercept, ClassIntercepts))

    @property
    def quadratic(self) -> bool:
        """Whether one Newton step is exact."""
        return self.f.traits.quadratic

    @property
    def multinomial(self) -> bool:
        """Whether the loss is a cross-entropy, which couples the scores of the classes."""
        return is_multinomial(self.f)

    @cached_property
    def shares(self) -> np.ndarray | None:
        """Weights of the samples relative to the largest; ``None`` where all are the same."""
        inner = peel(self.f)[1]
        loss = inner.loss if isinstance(inner, FreeIntercept) else inner
        if not isinstance(loss, SampleWeighted) or loss.weights is None:
            return None
        return np.asarray(loss.weights / loss.weights.max()).reshape(-1)

    def value_and_slope(self, u: np.ndarray) -> tuple[float, np.ndarray]:
        """The loss of predictions, and its gradient with respect to the (centred) predictions."""
        v = self._shaped(u)
        return self.f(v), np.asarray(self.f.gradient(v)).reshape(-1)

    def value(self, u: np.ndarray) -> float:
        """The loss of predictions."""
        return self.f(self._shaped(u))

    def curvature(self, u: np.ndarray) -> np.ndarray:
        """Second derivatives; where an intercept is free, at the best one.

        Of the cross-entropy, which couples the classes, the weighted probabilities that they are made of.
        """
        c, inner = peel(self.f)
        v = self._shaped(u)
        if isinstance(inner, MultinomialLoss):
            return np.asarray(c * inner._each(v) * softmax(v)).reshape(-1)
        if isinstance(inner, (FreeIntercept, ClassIntercepts)):
            return np.asarray(c * inner.curvature(v)).reshape(-1)
        return np.asarray(self.f.hessian_product(v, np.ones_like(v)) + 0 * v).reshape(-1)

    def _shaped(self, u: np.ndarray) -> np.ndarray:
        v = u.reshape(self.range_shape)
        return v if self.centring is None else np.asarray(self.centring(v))

    def pulled_back(self, y: np.ndarray) -> np.ndarray:
        """The slope with respect to plain predictions."""
        if self.centring is None:
            return y
        return np.asarray(self.centring.apply_adjoint(y.reshape(self.range_shape))).reshape(-1)


@dataclass(frozen=True, eq=False)
class Form:
    """A problem as coordinate descent sees it."""

    loss: Loss
    design: Design
    penalty: Penalty


@found_once
def coordinate_form(problem: Problem) -> Form | str:
    """The problem as a loss of a matrix plus a penalty, or the reason why it is none."""
    if reason := _not_one_loss(problem):
        return reason
    (term,) = problem.terms
    assert term.K is not None
    K, centring = _split(term.K)
    design = design_of(K, problem.like.dtype)
    if design is None:
        return f"{K!r} is no matrix in host memory"
    if isinstance(design, ClassDesign) != is_multinomial(term.f):
        return f"{term.f} of {K!r} is neither one score per class nor one prediction per sample"
    penalty = penalty_of(problem.simple, problem.like)
    if isinstance(penalty, str):
        return penalty
    if reason := _no_bound(penalty):
        return reason
    return Form(Loss(term.f, K.range_shape, centring), design, penalty)


def _not_one_loss(problem: Problem) -> str:
    if type(problem.like) is not np.ndarray:
        return f"the data are a {arrays.describe(problem.like)}, not a NumPy array"
    if problem.lifted is not None or len(problem.terms) != 1 or problem.terms[0].K is None:
        return "the objective is not one loss of a matrix plus a penalty on x itself"
    f = problem.terms[0].f
    if not (problem.convex and f.traits.smooth and f.traits.conjugate):
        return f"{f} is not convex and smooth with a known conjugate"
    inner = peel(f)[1]
    loss = inner.loss if isinstance(inner, FreeIntercept) else inner
    if loss.traits.separable or is_multinomial(f):
        return ""
    return f"{f} is not a sum over single predictions"


def is_multinomial(f: Functional) -> bool:
    """Whether a loss couples the scores of the classes."""
    return isinstance(peel(f)[1], (MultinomialLoss, ClassIntercepts))


def _split(K: LinearOperator) -> tuple[LinearOperator, Centring | None]:
    """A matrix, and the centring that is applied to what it gives."""
    if isinstance(K, Composition) and isinstance(K.outer, Centring):
        return K.inner, K.outer
    return K, None


def _no_bound(p: Penalty) -> str:
    """Why no dual point could be made feasible: a coefficient that is free to grow at no cost."""
    if p.groups is not None:
        free = bool(np.any(p.groups.w <= 0)) and bool(np.any(p.w <= 0))
    else:
        bounded = math.isfinite(p.low) and math.isfinite(p.high)
        free = not bounded and bool(np.any((p.w <= 0) & (p.a <= 0)))
    return "some coefficients have no penalty" if free else ""


def starts_outside(problem: Problem) -> bool:
    """Whether the loss is infinite where all coefficients are zero, so that a descent cannot begin there."""
    form = coordinate_form(problem)
    if isinstance(form, str):
        return False
    return math.isinf(form.loss.value(np.zeros(form.design.shape[0], problem.like.dtype)))
