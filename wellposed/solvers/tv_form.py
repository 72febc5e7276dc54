r"""Problems of the form *smooth data fit + a norm of the gradient + something simple*.

.. math:: \min_x \; f(A x) + \varphi(D x) + G(x)

with ``f`` smooth, ``D`` the gradient along all axes and :math:`\varphi` a weighted L1 or L21 norm,
smoothed or not: total variation of all kinds, with any constraint that has a projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed.arrays import Array, is_numpy_array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.norms import L1, L21
from wellposed.functionals.parameter import current
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators.calculus import Gradient
from wellposed.solvers.problem import Problem, Term


@dataclass(frozen=True)
class TVForm:
    """The parts of such a problem, and where they stand among its terms."""

    data: Term
    tv: Term
    simple: Functional
    data_index: int
    tv_index: int

    @property
    def gradient(self) -> Gradient:
        """``D``."""
        assert isinstance(self.tv.K, Gradient)
        return self.tv.K

    def in_order(self, p: Array, q: Array) -> tuple[Array, Array]:
        """The dual variables of data and gradient in the order of the problem's terms."""
        return (p, q) if self.data_index < self.tv_index else (q, p)

    @cached_property
    def norm(self) -> tuple[float, L1 | L21 | SmoothedL21]:
        """The number in front of the norm of the gradient, and the norm."""
        weight, f = peel(self.tv.f)
        assert isinstance(f, (L1, L21, SmoothedL21))
        return weight, f

    @property
    def isotropic(self) -> bool:
        """Whether the norm of a difference is Euclidean."""
        return not isinstance(self.norm[1], L1)

    @property
    def mean_weight(self) -> float:
        """The weight of the norm, averaged over the pixels (with a floor where most of them have none)."""
        weight, norm = self.norm
        w = current(norm.weights)
        return weight if w is None else weight * max(float(np.mean(w)), 1e-3 * float(np.max(w)), 1e-300)

    def plane_radius(self, dtype: Any) -> Array | None:
        """The weight at each pixel of an image for the fused loops, ``None`` where they do not apply."""
        weight, norm = self.norm
        shape = self.gradient.domain_shape
        if len(shape) != 2 or isinstance(norm, SmoothedL21):
            return None
        if norm.weights is None:
            return np.full(shape, weight, dtype)
        if tuple(norm.weights.shape) != (1, *shape):
            return None
        return (weight * np.asarray(norm.weights)[0]).astype(dtype)


def tv_form(problem: Problem) -> TVForm | str:
    """The parts of a problem of this form, or the reason why it is none."""
    if problem.image_part is not None or len(problem.terms) != 2:
        return "the objective is not a data fit plus one norm of the gradient"
    found = [k for k, t in enumerate(problem.terms) if _is_tv(t, len(problem.shape))]
    if len(found) != 1:
        return "the objective has no total variation over all axes"
    tv_index = found[0]
    data = problem.terms[1 - tv_index]
    if not (data.f.traits.smooth and data.f.traits.conjugate):
        return f"{data.f} is not smooth, or its conjugate is not known"
    if not problem.simple.traits.prox:
        return f"{problem.simple} has no proximal map"
    if not is_numpy_array(problem.like):
        return "it works on NumPy arrays only"
    return TVForm(data, problem.terms[tv_index], problem.simple, 1 - tv_index, tv_index)


def _is_tv(t: Term, ndim: int) -> bool:
    weight, f = peel(t.f)
    known = weight > 0 and isinstance(f, (L1, L21, SmoothedL21))
    # Vectorial TV, whose norm joins channels, takes differences along some of the axes only.
    return known and isinstance(t.K, Gradient) and len(t.K.axes) == ndim
