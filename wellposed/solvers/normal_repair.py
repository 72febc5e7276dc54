r"""Feasible dual points for a data fit plus a norm behind a graph Laplacian.

The dual constraint :math:`A^* p + L^* q + m = 0` fails at an iterate by a residual ``r``. It is spread over
both dual variables by one symmetric linear system,

.. math:: (A^* W A + L^* C L)\, z = r, \qquad
    p \leftarrow p - W A z, \qquad q \leftarrow q - C L z,

the step of least weighted length onto the constraint. ``W`` is the curvature of the data fit, ``C`` that
of a smoothed norm, so that the step is Newton's; of a norm that is not smooth ``C`` is one number. The part
of ``r`` along the kernel of ``L`` (the mean over each component of the graph, and nearly so where components
hang together by weights next to 0) goes to ``p``, the rest mostly to ``q``. Then all is scaled by the best
``s <= 1`` that brings ``q`` into its ball. The system is solved by preconditioned conjugate gradients
(`normal_equations`), until what is left of ``r`` can change the bound by a small share of the gap only, which
is then taken off the bound. It is ``||r|| ||x*||`` for a minimiser ``x*``, whose norm is not known: the
larger of the norm of the present point and that of a first step on the data fit stands in its place. So far
the bound is an estimate, and the note of the certificate says which norm it assumes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import peel
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators.graph import GraphLaplacian
from wellposed.operators.periodic import PeriodicGradient
from wellposed.solvers.normal_equations import (
    ConjugateGradients,
    NormalEquations,
    data_mean,
    prior_diagonal,
)
from wellposed.solvers.problem import Problem, Term

BALANCE = 0.1
"""``C ||L||^2 / ||A||^2`` where the norm is not smooth."""

MAX_STEPS = 2000

CHUNK = 25
"""Steps between two looks at the bound."""

SHARE = 0.02
"""What is left of the residual may cost this share of the gap."""

REST, ALMOST = 0.3, 0.4
"""What is left may be so much of the gap wanted, and of the gap of a point that is taken as it is."""

BEST = 1e-10
"""The residual need not become smaller than this share of what it was."""

SWEEP = 10.0
"""Conjugate gradients reduce a residual to this times the root of rounding, then it is computed afresh."""

FIRST_STEPS, FIRST_ACCURACY = 30, 1e-2
"""So much shows what bound there will be."""


@dataclass(frozen=True)
class NormalForm:
    """A data fit and a norm whose operators have no common kernel, and where they stand."""

    data: Term
    prior: Term
    data_index: int

    def first_length(self, problem: Problem) -> float:
        """The length of the image that one step of steepest descent on the data fit takes 0 to."""
        data, origin = self.data, problem.dual_zeros(self.data)
        slope = data.backward(data.f.gradient(origin))
        image = data.forward(slope)
        curvature, size = arrays.inner(image, data.f.hessian_product(origin, image)), arrays.norm(slope)
        return size**3 / curvature if curvature > 0.0 else 0.0

    def in_order(self, p: Any, q: Any) -> tuple[Any, Any]:
        """What belongs to data and prior in the order of the problem's terms."""
        return (p, q) if self.data_index == 0 else (q, p)


def normal_form(problem: Problem) -> NormalForm | None:
    """The parts of a problem of this form."""
    if problem.image_part is not None or len(problem.terms) != 2:
        return None
    for k, (data, prior) in enumerate((problem.terms, problem.terms[::-1])):
        smooth = data.K is not None and data.f.traits.quadratic and data.f.traits.conjugate
        if smooth and isinstance(prior.K, GraphLaplacian | PeriodicGradient) and _is_norm(prior):
            return NormalForm(data, prior, k)
    return None


def _is_norm(t: Term) -> bool:
    weight, f = peel(t.f)
    known = f.traits.homogeneous and f.traits.conjugate and not f.traits.indicator
    return weight > 0 and (known or isinstance(f, SmoothedL21))


@dataclass
class Correction:
    """Conjugate gradients on their way from a dual point to the constraint.

    They run in the precision of the problem; the residual is computed afresh in double precision
    whenever they have reduced it as far as that precision allows.

    Parameters
    ----------
    problem : Problem
    form : NormalForm
    p, q : array
        The dual point, in double precision.
    m : array
        The rest of the constraint, which stays.
    x : array, optional
        A point near the minimum, where curvatures are taken.
    """

    problem: Problem
    form: NormalForm
    p: Array
    q: Array
    m: Array
    x: Array | None

    def __post_init__(self) -> None:
        data, prior = self.form.data, self.form.prior
        self._curvature = self._prior_curvature()
        assert prior.K is not None
        diagonal = prior_diagonal(prior.K, self._curvature)  # type: ignore[arg-type]
        self._diagonal = diagonal + data_mean(data, self.problem)
        self._z, self._residual = 0.0 * self.m, data.backward(self.p) + prior.backward(self.q) + self.m
        self.size = self._before = arrays.norm(self._residual)
        self._stuck = False
        self._inner = self._sweep()

    def _prior_curvature(self) -> Array:
        """Of a smoothed norm its own; else one number, which balances both operators."""
        data, prior = self.form.data, self.form.prior
        ones = 0.0 * self.q + 1.0
        if self.x is not None and prior.f.traits.smooth:
            x = arrays.namespace(self.m).astype(self.x, self.m.dtype)
            return prior.f.hessian_product(prior.forward(x), ones)
        return (BALANCE * peel(data.f)[0] * (data.norm / prior.norm) ** 2) * ones

    def _sweep(self) -> ConjugateGradients:
        data, prior = self.form.data, self.form.prior
        xp, dtype = arrays.namespace(self.m), self.problem.like.dtype
        curvature, diagonal, residual = (
            xp.astype(v, dtype) for v in (self._curvature, self._diagonal, self._residual)
        )
        return ConjugateGradients(NormalEquations(data, prior, curvature, 0.0, diagonal), residual)

    @property
    def left(self) -> float:
        """Norm of what is left of the residual, over its first norm."""
        return arrays.norm(self._inner.residual) / self.size if self.size > 0 else 0.0

    def advance(self, steps: int, accuracy: float) -> bool:
        """Take steps until the residual is that small; whether rounding leaves a way on."""
        while steps > 0 and self.left > accuracy and not self._stuck:
            count, goal = self._inner.steps, SWEEP * math.sqrt(arrays.epsilon(self._inner.residual))
            moving = self._inner.advance(min(steps, CHUNK), goal)
            steps -= max(self._inner.steps - count, 1)
            if not moving or self._inner.left <= goal:
                self._fold()
        if self.left <= accuracy:
            self._fold()
        return not self._stuck

    def _fold(self) -> None:
        """Add what the sweep has found, and begin another one from the residual in double precision."""
        data, prior = self.form.data, self.form.prior
        self._z = self._z + arrays.namespace(self.m).astype(self._inner.solution, self.m.dtype)
        p, q = self.point(folded=True)
        self._residual = data.backward(p) + prior.backward(q) + self.m
        now = arrays.norm(self._residual)
        self._stuck, self._before = not now < self._before, now
        self._inner = self._sweep()

    def point(self, folded: bool = False) -> tuple[Array, Array]:
        """Where the dual point has come."""
        data, prior = self.form.data, self.form.prior
        z = self._z
        if not folded:
            z = z + arrays.namespace(self.m).astype(self._inner.solution, self.m.dtype)
        image = data.forward(z)
        p = self.p - data.f.hessian_product(image, image)
        return p, self.q - self._curvature * prior.forward(z)
