r"""Finite dual bounds where the conjugate of the simple part is infinite.

For a data fit plus total variation (`tv_form`) the dual constraint
:math:`A^* p + D^* q + m = 0` with ``m`` in the domain of :math:`G^*` can be met exactly, at no cost
in applications of ``A``:

1. ``p`` moves along ``A 1`` so that the means agree: :math:`D^* q` has mean zero;
2. ``q`` takes up the rest by a Poisson equation, which the cosine transform solves exactly:
   :math:`q \leftarrow q - D (D^* D)^+ (A^* p + D^* q + m)`;
3. all of it is scaled by the largest ``s <= 1`` that brings ``q`` back into its balls.

The bound loses :math:`(1 - s)` of the dual value, so before that ``q`` is brought nearer to its balls
by Douglas-Rachford steps between them and the affine set of (2). All of this runs in double precision.

For a constraint ``x >= 0`` and a data fit :math:`\tfrac12 \|A x - b\|^2` with entries of ``A`` at
least 0, any minimiser has :math:`c^T x^* \le M` with ``c`` the column sums and
:math:`M = 1^T b + \sqrt{2 m F(x)}`, which bounds the conjugate from above by
:math:`M \max_j (w_j)_+ / c_j`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.fft import dctn, idctn

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Weighted
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.indicators import NonNegative
from wellposed.operators.calculus import laplacian_symbol
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.tv_form import TVForm, tv_form

POLISH = 40
"""Douglas-Rachford steps at most."""

SPREAD = 0.6
"""The balls aimed at are larger than those wanted by this share of the present excess."""

Bound = tuple[float, str]


def repaired_bound(
    problem: Problem, x: Array, objective: float, y: tuple[Array, ...], w: Array
) -> tuple[float, str, tuple[Array, ...]]:
    """A lower bound of the minimum from an infeasible dual point, how it was made, and the feasible point."""
    form = tv_form(problem)
    if isinstance(form, TVForm):
        p, q = y[form.data_index], y[form.tv_index]
        repaired = Repair(problem, form).run(p, q, problem.simple.project_dual(w))
        dual = tuple(v.astype(problem.like.dtype) for v in (repaired.p, repaired.q))
        note = f"dual point made feasible by a Poisson equation, scaled by {repaired.scale:.6g}"
        return repaired.bound, note, dual if form.data_index < form.tv_index else dual[::-1]
    mass = _mass_bound(problem, objective, y, w)
    if mass is not None:
        return mass, "minimisers have bounded mass, since A and x are nonnegative", y
    return -math.inf, "no repair is known for the dual constraint of this objective", y


# --- data fit plus total variation -----------------------------------------------------------------


@dataclass(frozen=True)
class Repaired:
    """A feasible dual point and the bound that it proves."""

    bound: float
    p: Array
    q: Array
    m: Array
    scale: float


@dataclass(frozen=True)
class Repair:
    """Makes dual points of a problem in `tv_form` feasible. See the module."""

    problem: Problem
    form: TVForm

    @cached_property
    def _inverse_symbol(self) -> Array:
        symbol = laplacian_symbol(self.problem.shape, self.form.gradient.axes)
        symbol[(0,) * symbol.ndim] = 1.0
        inverse = 1 / symbol
        inverse[(0,) * symbol.ndim] = 0.0
        return inverse

    @cached_property
    def _constant(self) -> tuple[Array, Array]:
        """``A 1`` and ``A* A 1``."""
        image = self.form.data.forward(np.ones(self.problem.shape))
        return image, self.form.data.backward(image)

    def run(self, p: Array, q: Array, m: Array, steps: int = POLISH) -> Repaired:
        """The best feasible point found near ``(p, q, m)``."""
        p, q, m = (v.astype(np.float64) for v in (p, q, m))
        p, rest = self._balance_means(p, m)
        f, dual_value = self.form.tv.f, _DualValue(self.form.data, self.problem, p, m)
        best: Repaired | None = None
        auxiliary = q
        for k in range(steps + 1):
            q = self._on_constraint(auxiliary, rest)
            scale = f.dual_scale(q)
            if best is None or scale > best.scale:
                s, bound = dual_value.best(scale)
                best = Repaired(bound, s * p, s * q, s * m, scale)
            if best.scale >= 1 - 1e-6 or k == steps:
                break
            radius = 1 + SPREAD * (1 / max(best.scale, 1e-300) - 1)
            auxiliary = auxiliary + radius * f.project_dual((2 * q - auxiliary) / radius) - q
        assert best is not None
        return best

    def _balance_means(self, p: Array, m: Array) -> tuple[Array, Array]:
        """``p`` moved so that ``A* p + m`` has mean zero, and that sum."""
        image, pulled = self._constant
        rest = self.form.data.backward(p) + m
        shift = -float(rest.sum()) / float(pulled.sum())
        return p + shift * image, rest + shift * pulled

    def _on_constraint(self, q: Array, rest: Array) -> Array:
        """The point nearest to ``q`` with ``D* q = -rest``."""
        D = self.form.gradient
        residual = rest + D.apply_adjoint(q)
        return q - D(idctn(dctn(residual, norm="ortho") * self._inverse_symbol, norm="ortho"))


class _DualValue:
    """The dual objective on the ray ``s (p, q, m)``: quadratic data fit, so two values give the parabola."""

    def __init__(self, data: Term, problem: Problem, p: Array, m: Array):
        whole, half = data.f._conjugate(p), data.f._conjugate(0.5 * p)
        self.quadratic = 2 * whole - 4 * half
        self.linear = 4 * half - whole
        self.simple = problem.simple
        self.m = m

    def best(self, limit: float) -> tuple[float, float]:
        """The scale up to ``limit`` with the largest dual value, and that value."""
        slope = self.linear + self._simple(1.0)
        wanted = -slope / (2 * self.quadratic) if self.quadratic > 0 else limit
        scale = min(limit, max(wanted, 0.0))
        value = -(self.quadratic * scale**2 + self.linear * scale + self._simple(scale))
        return scale, value

    def _simple(self, scale: float) -> float:
        return self.simple._conjugate(scale * self.m)


# --- nonnegative data fit ---------------------------------------------------------------------------


def _mass_bound(problem: Problem, objective: float, y: tuple[Array, ...], w: Array) -> float | None:
    if not isinstance(problem.simple, NonNegative) or any(_lowest(t) is None for t in problem.terms):
        return None
    for t in problem.terms:
        f, c = t.f, 1.0
        while isinstance(f, Weighted):
            f, c = f.f, c * f.c
        if not (isinstance(f, LeastSquares) and f.weights is None and c > 0):
            continue
        if t.K is not None and not t.K.nonnegative:
            continue
        xp = arrays.namespace(w)
        columns = t.backward(0 * f.b + 1)
        if bool(xp.any(columns <= 0)):
            continue
        mass = arrays.total(f.b) + math.sqrt(2 * arrays.inner(0 * f.b + 1, 0 * f.b + 1) * objective / c)
        worst = float(xp.max(w / columns))
        values = [s.f._conjugate(v) for s, v in zip(problem.terms, y, strict=True)]
        return -math.fsum(values) - max(mass, 0.0) * max(worst, 0.0)
    return None


def _lowest(t: Term) -> float | None:
    """A lower bound of a term that is known to exist: norms and distances are at least 0."""
    f = t.f
    while isinstance(f, Weighted):
        f = f.f
    return 0.0 if f.traits.homogeneous or f.traits.quadratic or f.traits.indicator else None
