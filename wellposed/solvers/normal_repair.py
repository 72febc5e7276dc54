r"""Feasible dual points for a data fit plus a norm behind a graph Laplacian.

The dual constraint :math:`A^* p + L^* q + m = 0` fails at an iterate by a residual ``r``. It is spread over
both dual variables by one symmetric linear system,

.. math:: (\alpha A^* A + \beta L^* L)\, z = r, \qquad
    p \leftarrow p - \alpha A z, \qquad q \leftarrow q - \beta L z,

the step of least weighted length onto the constraint. The part of ``r`` along the kernel of ``L`` (the mean
over each component of the graph, and nearly so where components hang together by weights next to 0) goes to
``p``, the rest mostly to ``q``. Then all is scaled by the best ``s <= 1`` that brings ``q`` into its ball.
The system is solved by conjugate gradients in double precision.
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
from wellposed.solvers.problem import Problem, Term

BALANCE = 0.1
"""``beta ||L||^2 / (alpha ||A||^2)``."""

MAX_STEPS = 2000
BEST, LEAST = 1e-10, 1e-6
SHARE = 1e-4
"""What may be left of the residual, over its norm: this share of the relative gap wanted, within limits."""

FIRST_STEPS, FIRST_ACCURACY = 30, 1e-2
"""So much shows what bound there will be."""


@dataclass(frozen=True)
class NormalForm:
    """A data fit and a norm whose operators have no common kernel, and where they stand."""

    data: Term
    prior: Term
    data_index: int

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


def accuracy_for(relative_gap: float) -> float:
    """How far the residual is to be reduced, so that what is left of it is small beside a relative gap."""
    return min(max(SHARE * relative_gap, BEST), LEAST)


@dataclass
class Correction:
    """Conjugate gradients on their way from a dual point to the constraint, in double precision.

    Parameters
    ----------
    form : NormalForm
    p, q : array
        The dual point.
    m : array
        The rest of the constraint, which stays.
    """

    form: NormalForm
    p: Array
    q: Array
    m: Array

    def __post_init__(self) -> None:
        data, prior = self.form.data, self.form.prior
        self._alpha, self._beta = data.norm**-2, BALANCE * prior.norm**-2
        self._residual = data.backward(self.p) + prior.backward(self.q) + self.m
        self._size = self._left = arrays.inner(self._residual, self._residual)
        self._z, self._direction = 0.0 * self._residual, self._residual

    @property
    def left(self) -> float:
        """Norm of what is left of the residual, over its first norm."""
        return math.sqrt(self._left / self._size) if self._size > 0 else 0.0

    def advance(self, steps: int, accuracy: float) -> None:
        """Take steps until the residual is that small."""
        data, prior = self.form.data, self.form.prior
        for _ in range(steps):
            if self.left <= accuracy:
                break
            x = self._direction
            image = self._alpha * data.backward(data.forward(x))
            image = image + self._beta * prior.backward(prior.forward(x))
            curvature = arrays.inner(x, image)
            if curvature <= 0.0:
                break
            step = self._left / curvature
            self._z, self._residual = self._z + step * x, self._residual - step * image
            before, self._left = self._left, arrays.inner(self._residual, self._residual)
            self._direction = self._residual + (self._left / before) * x

    def point(self) -> tuple[Array, Array]:
        """Where the dual point has come."""
        data, prior = self.form.data, self.form.prior
        return self.p - self._alpha * data.forward(self._z), self.q - self._beta * prior.forward(self._z)
