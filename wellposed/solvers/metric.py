r"""Accelerated proximal gradient in the metric of the data fit, for total variation problems.

For :math:`f(A x) + \varphi(D x) + G(x)` (`tv_form`) each iteration minimises, with ``g`` the gradient
of the data fit at ``z``,

.. math:: \langle g, x - z\rangle + \tfrac12 \langle x - z, B (x - z)\rangle + \varphi(D x) + G(x)

where ``B`` is diagonal in the basis of the cosine transform and close to the Hessian
:math:`A^* W A` (``gram_symbol`` of the operator). So one application of ``A`` and one of its adjoint
do what dozens do when ``B`` is a multiple of the identity. The inner problem is solved to sufficient
accuracy by a few warm-started steps (`metric_inner`) that do not apply ``A``.

``B`` must dominate the Hessian along each step: :math:`\|A d\|_W^2 \le \langle d, B d\rangle`, which
is checked at no cost. A step that breaks this is kept, but ``B`` grows and momentum starts again;
while it holds, ``B`` shrinks slowly, and ever less. Momentum and restart are those of FISTA in the
metric ``B``. No rate is proven for this; the duality gap, computed from an exactly feasible dual
point, vouches for the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero
from wellposed.operators._fft import filter_cosines
from wellposed.solvers.certificates import Proof
from wellposed.solvers.metric_inner import Inner, Split
from wellposed.solvers.problem import Problem
from wellposed.solvers.repair import Repair
from wellposed.solvers.result import Certificate
from wellposed.solvers.tv_form import TVForm, tv_form

PENALTY = 100.0
"""The inner penalty on ``D x``: this over the range of the image, times the weight of the norm."""

SHRINK = 0.03
"""Share by which ``B`` shrinks after a step that it dominated; halved with each step that it did not."""

GROW_AT_MOST = 2.0


@dataclass
class State:
    """Buffers of a run."""

    x: Array  # iterate, in the domain of G
    Ax: Array  # its image
    z: Array  # extrapolated point
    Az: Array  # its image
    inner: tuple[Array, ...]  # the splits of the inner problem
    c: float  # factor on B
    r1: float  # inner penalty on D x
    r2: float  # inner penalty on x
    t: float  # momentum counter
    shrink: float  # share by which B shrinks while it dominates
    moved: float  # length of the last step in the metric


@dataclass(frozen=True)
class MetricFISTA:
    """Accelerated proximal gradient in a cosine metric. See the module."""

    problem: Problem
    steps: int = 12
    """Inner steps in each iteration."""
    tol: float = 1e-3
    """Relative gap that is wanted: how hard the dual point is worked on."""
    check_every: int = 5

    @cached_property
    def form(self) -> TVForm:
        """The parts of the problem."""
        form = tv_form(self.problem)
        assert isinstance(form, TVForm), form
        return form

    @cached_property
    def _symbol(self) -> Array:
        """Eigenvalues of ``B`` for ``c = 1``."""
        data = self.form.data
        gram = None if data.K is None else data.K.gram_symbol()
        if gram is None:
            gram = np.full(self.problem.shape, data.norm**2)
        return (self._curvature * gram).astype(self.problem.like.dtype)

    @cached_property
    def _curvature(self) -> float:
        """A number in place of the Hessian of the data fit: the mean of its diagonal, if it has nothing else.

        Otherwise its largest eigenvalue, since the mean over constants says nothing of other frequencies.
        """
        data = self.form.data
        if not data.f.traits.separable:
            assert data.f.traits.lipschitz is not None
            return data.f.traits.lipschitz
        ones = np.ones(data.range_shape(self.problem.shape), self.problem.like.dtype)
        return float(np.mean(data.f.hessian_product(ones, ones)))

    @cached_property
    def _repair(self) -> Repair:
        return Repair(self.problem, self.form)

    def _inner(self, s: State) -> tuple[Inner, Split]:
        return Inner(self.problem, self.form, self._symbol, s.r1, s.r2, self.steps), Split(*s.inner)

    def describe(self) -> str:
        """The step rule with its constants."""
        known = self.form.data.K is None or self.form.data.K.gram_symbol() is not None
        source = "the operator's spectrum" if known else "the squared norm"
        return (
            f"metric B from {source} in the cosine basis, kept above A*A by a check; {self.steps} inner steps"
        )

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0``, or at the unconstrained minimiser of the quadratic model at zero."""
        p, data = self.problem, self.form.data
        if x0 is None:
            slope = data.backward(data.f.gradient(data.forward(p.zeros())))
            floor = 1e-3 * float(self._symbol.mean())
            x0 = filter_cosines(-slope, 1 / (self._symbol + p.like.dtype.type(floor)))
        x = p.simple.prox(np.array(x0, copy=True), 1e-30)
        Ax = data.forward(x)
        r1 = PENALTY * self.form.mean_weight / (4 * float(x.std()) or 1.0)
        r2 = 0.0 if isinstance(p.simple, Zero) else float(np.median(self._symbol))
        q = None if not dual0 else dual0[self.form.tv_index]
        split = Inner(p, self.form, self._symbol, r1, r2, self.steps).start(x, q)
        return State(x, Ax, x, Ax, tuple(vars(split).values()), 1.0, r1, r2, 1.0, SHRINK, math.inf)

    def _metric_inner(self, a: Array, b: Array) -> float:
        from scipy.fft import dctn

        waves = dctn(a, norm="ortho")
        return arrays.inner(self._symbol * waves, waves if b is a else dctn(b, norm="ortho"))

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` iterations."""
        inner, split = self._inner(state)
        for _ in range(count):
            self._step(state, inner, split)
        state.inner = tuple(vars(split).values())

    def _step(self, s: State, inner: Inner, split: Split) -> None:
        data = self.form.data
        gradient = data.backward(data.f.gradient(s.Az))
        x = inner.solve(split, s.z, gradient, s.c)
        Ax = data.forward(x)
        d, Ad = x - s.z, Ax - s.Az
        curvature = arrays.inner(data.f.hessian_product(Ad, Ad), Ad)
        allowed = s.c * self._metric_inner(d, d)
        rounding = 1e2 * arrays.epsilon(x) * arrays.norm(s.Az)
        violated = curvature > allowed and arrays.norm(Ad) > rounding
        uphill = self._metric_inner(d, x - s.x) < 0
        s.moved = math.sqrt(max(allowed, 0.0))
        if violated:
            s.c *= min(1.05 * curvature / max(allowed, 1e-300), GROW_AT_MOST)
            s.shrink /= 2
        else:
            s.c *= 1 - s.shrink
        t = 1.0 if violated or uphill else s.t
        t_next = (1 + math.sqrt(1 + 4 * t * t)) / 2
        beta = (t - 1) / t_next
        s.z, s.Az = x + beta * (x - s.x), Ax + beta * (Ax - s.Ax)
        s.x, s.Ax, s.t = x, Ax, t_next

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> Proof:
        """A dual point made feasible by `repair`, which uses the multiplier of the constraint as well."""
        form, simple = self.form, self.problem.simple
        inner, split = self._inner(state)
        q, m = inner.duals(split)
        p = form.data.f.gradient(state.Ax)
        objective = form.data.f(state.Ax) + form.tv.f(form.gradient(state.x)) + simple(state.x)
        scale = max(abs(objective), self.problem.scale_floor)
        feasible = form.tv.f.project_dual(q), simple.project_dual(m)
        repaired = self._repair.run(p, *feasible, objective, self.tol * scale)
        gap = max(objective - repaired.bound, 0.0)
        certificate = Certificate("duality gap", gap, scale, objective, repaired.bound, repaired.note)
        return Proof(certificate, self._repair.in_order(repaired))

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step in the metric, against that of the iterate."""
        return state.moved, max(math.sqrt(state.c * self._metric_inner(state.x, state.x)), 1e-300)

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
