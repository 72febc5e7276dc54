r"""Newton's method with conjugate gradients, projected, for a quadratic data fit and a smoothed norm.

For :math:`\min_x f(A x) + \varphi(L x) + G(x)` with ``G`` either 0 or the indicator of :math:`x \ge 0`,
``g`` the gradient of the smooth part and ``d`` the diagonal of its Hessian ``H``:

.. math::

    \mathcal{A} = \{i : g_i > 0,\; x_i \le g_i / d_i\}, \qquad
    H_{\mathcal{F}\mathcal{F}}\, s_\mathcal{F} = -g_\mathcal{F}, \quad
    s_\mathcal{A} = -g_\mathcal{A} / d_\mathcal{A}, \quad x \leftarrow \max(x + t s, 0)

with the first ``t`` of 1, 1/2, 1/4, ... that gives sufficient decrease; :math:`\mathcal{F}` is the rest of
the pixels. Newton's equations are solved by preconditioned conjugate gradients to a share of their
right-hand side.

Since a smoothed norm of small values is nearly quadratic, few steps suffice, whatever the weight. A proof of
optimality costs as much as a step or two, and is tried once the objective has nearly stopped falling.

Source: D. P. Bertsekas, Projected Newton methods for optimization problems with simple constraints, SIAM
Journal on Control and Optimization 20 (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero, peel
from wellposed.functionals.indicators import NonNegative
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.solvers.certificates import Proof
from wellposed.solvers.loop import StalledError
from wellposed.solvers.normal_equations import (
    ConjugateGradients,
    NormalEquations,
    data_mean,
    prior_diagonal,
)
from wellposed.solvers.normal_repair import NormalForm, normal_form
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Certificate

INNER = 200
"""Conjugate gradients at most in one step."""

FORCING, FORCING_FREE = 0.1, 1e-2
"""They end at this share of the first residual; the second number where there is no constraint."""

SUFFICIENT = 1e-4
"""Share of the decrease that the gradient promises."""

HALVINGS = 40
"""Of a step at most."""

READY = 0.3
"""A proof is tried when the last step lowered the objective by less than this share of the gap wanted."""


def newton_form(problem: Problem) -> NormalForm | str:
    """The parts of a problem, or the reason why the method does not take it."""
    form = normal_form(problem)
    if form is None:
        return "the objective is no quadratic data fit plus a norm behind a graph Laplacian"
    norm = peel(form.prior.f)[1]
    if not isinstance(norm, SmoothedL21) or norm.axes:
        return f"{form.prior.f} is not an L1 norm that is rounded off near zero (SmoothedL21 without axes)"
    if not isinstance(problem.simple, Zero | NonNegative):
        return f"it takes no constraint but x >= 0, not {problem.simple}"
    return form


@dataclass
class State:
    """Buffers of a run."""

    x: Array  # iterate
    objective: float  # there
    gain: float  # by which the last step lowered the objective
    moved: float  # length of the last step
    count: int  # iterations so far


@dataclass(frozen=True)
class ProjectedNewton:
    """Projected Newton steps by conjugate gradients. See the module.

    Parameters
    ----------
    problem : Problem
        With a `newton_form`.
    tol : float
        The relative gap wanted.
    """

    problem: Problem
    tol: float = 1e-3
    check_every: int = 1

    @cached_property
    def form(self) -> NormalForm:
        """Data fit and norm."""
        form = newton_form(self.problem)
        if isinstance(form, str):
            raise TypeError(form)
        return form

    @property
    def _bounded(self) -> bool:
        return isinstance(self.problem.simple, NonNegative)

    @cached_property
    def _data_mean(self) -> float:
        return data_mean(self.form.data, self.problem)

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0`` or at zero."""
        x = self.problem.zeros() if x0 is None else self._project(x0)
        return State(x, self.problem.value(x), math.inf, math.inf, 0)

    def _project(self, x: Array) -> Array:
        return self.problem.simple.prox(x, 1.0) if self._bounded else x

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        data, prior = self.form.data, self.form.prior
        values = prior.forward(s.x)
        gradient = data.backward(data.f.gradient(data.forward(s.x))) + prior.backward(
            prior.f.gradient(values)
        )
        curvature = prior.f.hessian_product(values, 0.0 * values + 1.0)
        assert prior.K is not None
        diagonal = self._data_mean + prior_diagonal(prior.K, curvature)  # type: ignore[arg-type]
        equations = NormalEquations(data, prior, curvature, 0.0, diagonal)
        direction = self._direction(equations, s.x, gradient)
        x, objective = self._search(s, gradient, direction)
        s.gain, s.moved = s.objective - objective, arrays.norm(x - s.x)
        s.x, s.objective = x, objective
        s.count += 1

    def _direction(self, equations: NormalEquations, x: Array, gradient: Array) -> Array:
        if not self._bounded:
            solve = ConjugateGradients(equations, -gradient)
            solve.advance(INNER, FORCING_FREE)
            return solve.solution
        xp = arrays.namespace(x)
        short = gradient / equations.diagonal
        free = xp.astype(~((gradient > 0) & (x <= short)), x.dtype)
        solve = ConjugateGradients(equations, -free * gradient, free)
        solve.advance(INNER, FORCING)
        return solve.solution - (1 - free) * short

    def _search(self, s: State, gradient: Array, direction: Array) -> tuple[Array, float]:
        """The first of the points along the direction that is low enough, and the objective there."""
        step = 1.0
        for _ in range(HALVINGS):
            x = self._project(s.x + step * direction)
            promised = arrays.inner(gradient, x - s.x)
            if promised >= 0.0:
                break
            objective = self.problem.value(x)
            if objective <= s.objective + SUFFICIENT * promised:
                return x, objective
            step *= 0.5
        raise StalledError("no step lowers the objective")

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> tuple[None, ...] | Proof:
        """The slopes at the solution; before it is near, the dual point 0."""
        if state.gain <= READY * self.tol * abs(state.objective):
            return (None,) * len(self.problem.terms)
        zeros = tuple(self.problem.dual_zeros(t) for t in self.problem.terms)
        bound = -math.fsum(t.f._conjugate(y) for t, y in zip(self.problem.terms, zeros, strict=True))
        scale = max(abs(state.objective), self.problem.scale_floor)
        gap = max(state.objective - bound, 0.0)
        note = "of the dual point 0: the objective still falls"
        return Proof(Certificate("duality gap", gap, scale, state.objective, bound, note), zeros)

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step, against that of the iterate."""
        return state.moved, max(arrays.norm(state.x), 1e-300)

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
