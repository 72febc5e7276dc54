r"""Accelerated proximal gradient in the metric of the data fit, for total variation problems.

For :math:`f(A x) + \varphi(D x) + G(x)` (`tv_form`) each iteration minimises, with ``g`` the gradient
of the data fit at ``z``,

.. math:: \langle g, x - z\rangle + \tfrac12 \langle x - z, B (x - z)\rangle + \varphi(D x) + G(x)

where ``B`` is diagonal in the basis of the cosine transform and close to the Hessian
:math:`A^* W A` (``gram_symbol`` of the operator). So one application of ``A`` and one of its adjoint
do what dozens do when ``B`` is a multiple of the identity. ``D* D`` is diagonal in the same basis,
so a few warm-started steps of over-relaxed ADMM with penalties ``r1`` on ``D x`` and ``r2`` on ``x``,
each one cosine transform and its inverse, solve the inner problem.

``B`` must dominate the Hessian along each step: :math:`\|A d\|_W^2 \le \langle d, B d\rangle`, which
is checked at no cost. A step that breaks this is kept, but ``B`` grows and momentum starts again;
while it holds, ``B`` shrinks slowly. Momentum and restart are those of FISTA in the metric ``B``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.fft import dctn, idctn

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Weighted, Zero
from wellposed.operators.calculus import laplacian_symbol
from wellposed.solvers.problem import Problem
from wellposed.solvers.repair import Repair
from wellposed.solvers.result import Certificate
from wellposed.solvers.tv_form import TVForm, tv_form

RELAXATION = 1.8
"""Over-relaxation of the inner ADMM."""

PENALTY = 100.0
"""``r1`` is this over the range of the image, times the weight of the norm."""

SHRINK = 0.97
"""Factor on ``B`` after a step that it dominated."""

GROW_AT_MOST = 2.0


@dataclass
class State:
    """Buffers of a run."""

    x: Array  # iterate, in the domain of G
    Ax: Array  # its image
    z: Array  # extrapolated point
    Az: Array  # its image
    u: Array  # inner split of D x
    q: Array  # its dual variable
    v: Array  # inner split of x
    m: Array  # its dual variable
    c: float  # factor on B
    r1: float  # inner penalty on D x
    r2: float  # inner penalty on x
    t: float  # momentum counter
    moved: float  # length of the last step in the metric, relative to the iterate
    pairs: int  # applications of A and its adjoint


@dataclass(frozen=True)
class MetricFISTA:
    """Accelerated proximal gradient in a cosine metric. See the module."""

    problem: Problem
    inner: int = 12
    """ADMM steps in each iteration."""
    check_every: int = 5

    @cached_property
    def form(self) -> TVForm:
        """The parts of the problem."""
        form = tv_form(self.problem)
        assert isinstance(form, TVForm), form
        return form

    @cached_property
    def _constrained(self) -> bool:
        return not isinstance(self.problem.simple, Zero)

    @cached_property
    def _symbol(self) -> Array:
        """Eigenvalues of ``B`` for ``c = 1``."""
        data = self.form.data
        ones = np.ones(data.range_shape(self.problem.shape), self.problem.like.dtype)
        curvature = data.f.hessian_product(ones, ones)
        gram = None if data.K is None else data.K.gram_symbol()
        if gram is None:
            gram = np.full(self.problem.shape, data.norm**2)
        return (float(np.mean(curvature)) * gram).astype(self.problem.like.dtype)

    @cached_property
    def _waves(self) -> Array:
        """Eigenvalues of ``D* D``."""
        symbol = laplacian_symbol(self.problem.shape, self.form.gradient.axes)
        return symbol.astype(self.problem.like.dtype)

    @cached_property
    def _repair(self) -> Repair:
        return Repair(self.problem, self.form)

    def describe(self) -> str:
        """The step rule with its constants."""
        known = self.form.data.K is None or self.form.data.K.gram_symbol() is not None
        source = "the operator's symbol" if known else "the squared norm"
        return f"metric B from {source} in the cosine basis, kept above A*A by a check; {self.inner} inner steps"

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0``, or at the unconstrained solution of the quadratic model at zero."""
        p, data = self.problem, self.form.data
        pairs = 1
        if x0 is None:
            slope = data.backward(data.f.gradient(data.forward(p.zeros())))
            x0 = -self._transformed(slope, self._symbol + float(self._symbol.mean()) * 1e-3)
            pairs = 2
        x = p.simple.prox(np.array(x0, copy=True), 1e-30)
        Ax = data.forward(x)
        spread = 4 * float(x.std()) or 1.0
        r1 = PENALTY * self._weight() / spread
        r2 = float(np.median(self._symbol))
        u = self.form.gradient(x)
        q = np.zeros_like(u) if not dual0 else self.form.tv.f.project_dual(dual0[self.form.tv_index])
        return State(x, Ax, x, Ax, u, q, x, np.zeros_like(x), 1.0, r1, r2, 1.0, math.inf, pairs)

    def _weight(self) -> float:
        """The weight in front of the norm, averaged where it varies."""
        f, weight = self.form.tv.f, 1.0
        while isinstance(f, Weighted):
            f, weight = f.f, weight * f.c
        w = getattr(f, "weights", None)
        return weight if w is None else weight * max(float(np.mean(w)), 1e-3 * float(np.max(w)))

    def _transformed(self, a: Array, symbol: Array) -> Array:
        """``a`` divided by a symbol in the cosine basis."""
        waves = dctn(a, norm="ortho")
        waves /= symbol
        return idctn(waves, norm="ortho", overwrite_x=True)

    def _metric_inner(self, a: Array, b: Array, c: float) -> float:
        return c * arrays.inner(self._symbol * dctn(a, norm="ortho"), dctn(b, norm="ortho"))

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` iterations."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        data = self.form.data
        gradient = data.backward(data.f.gradient(s.Az))
        x = self._inner(s, gradient)
        Ax = data.forward(x)
        s.pairs += 1
        d, Ad = x - s.z, Ax - s.Az
        curvature = arrays.inner(data.f.hessian_product(Ad, Ad), Ad)
        allowed = self._metric_inner(d, d, s.c)
        rounding = 1e2 * arrays.epsilon(x) * arrays.norm(s.Az)
        violated = curvature > allowed and arrays.norm(Ad) > rounding
        uphill = self._metric_inner(s.z - x, x - s.x, s.c) > 0
        s.moved = math.sqrt(max(allowed, 0.0))
        if violated:
            s.c *= min(1.05 * curvature / max(allowed, 1e-300), GROW_AT_MOST)
        else:
            s.c *= SHRINK
        t = 1.0 if violated or uphill else s.t
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        beta = (t - 1) / t_next
        s.z, s.Az = x + beta * (x - s.x), Ax + beta * (Ax - s.Ax)
        s.x, s.Ax, s.t = x, Ax, t_next

    def _inner(self, s: State, gradient: Array) -> Array:
        """ADMM on the model around ``z``, in the increment ``d = x - z``, which rounding does not drown."""
        p, D, f = self.problem, self.form.gradient, self.form.tv.f
        symbol = s.c * self._symbol + s.r1 * self._waves
        if self._constrained:
            symbol += s.r2
        Dz = D(s.z)
        x = s.z
        for _ in range(self.inner):
            right = D.apply_adjoint(s.r1 * (s.u - Dz) - s.q) - gradient
            if self._constrained:
                right += s.r2 * (s.v - s.z) - s.m
            d = self._transformed(right, symbol)
            x = s.z + d
            a = RELAXATION * (D(d) + Dz) + (1 - RELAXATION) * s.u + s.q / s.r1
            s.u = f.prox(a, 1 / s.r1)
            s.q = s.r1 * (a - s.u)
            if self._constrained:
                a = RELAXATION * x + (1 - RELAXATION) * s.v + s.m / s.r2
                s.v = p.simple.prox(a, 1 / s.r2)
                s.m = s.r2 * (a - s.v)
        return s.v if self._constrained else x

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> tuple[Array, ...]:
        """The slope of the data fit and the dual variable of the norm, made feasible."""
        slope = self.form.data.f.gradient(state.Ax)
        m = self.problem.simple.project_dual(state.m)
        repaired = self._repair.run(slope, self.form.tv.f.project_dual(state.q), m)
        p, q = (a.astype(self.problem.like.dtype) for a in (repaired.p, repaired.q))
        return (p, q) if self.form.data_index < self.form.tv_index else (q, p)

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step in the metric, against that of the iterate."""
        return state.moved, max(math.sqrt(self._metric_inner(state.x, state.x, state.c)), 1e-300)

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
