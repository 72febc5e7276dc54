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
ACCURACY = 1e-10
"""Norm of what is left of the residual, over the residual's own."""


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


def onto_constraint(form: NormalForm, p: Array, q: Array, m: Array) -> tuple[Array, Array, float]:
    """The dual point moved onto the constraint, in double precision; what is left of the residual."""
    data, prior = form.data, form.prior
    r = data.backward(p) + prior.backward(q) + m
    alpha, beta = data.norm**-2, BALANCE * prior.norm**-2
    z, x, size = 0.0 * r, r, arrays.inner(r, r)
    left, residual = size, r
    for _ in range(MAX_STEPS):
        if left <= ACCURACY**2 * size:
            break
        Az, Lz = data.forward(x), prior.forward(x)
        image = alpha * data.backward(Az) + beta * prior.backward(Lz)
        curvature = arrays.inner(x, image)
        if curvature <= 0.0:
            break
        step = left / curvature
        z, residual = z + step * x, residual - step * image
        left, before = arrays.inner(residual, residual), left
        x = residual + (left / before) * x
    return p - alpha * data.forward(z), q - beta * prior.forward(z), (left / size) ** 0.5 if size > 0 else 0.0
