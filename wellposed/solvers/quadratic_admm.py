r"""Alternating directions with a quadratic data fit kept whole in the ``x`` step.

For :math:`\min_x f(A x) + \varphi(L x) + G(x)` with quadratic ``f``, split variables
:math:`z = L x` and :math:`v = x`, scaled duals ``u`` and ``s``, and penalties :math:`\rho, \eta`:

.. math::

    x &\leftarrow \arg\min_x f(A x) + \tfrac{\rho}{2} \|L x - z + u\|^2 + \tfrac{\eta}{2} \|x - v + s\|^2 \\
    z &\leftarrow \mathrm{prox}_{\varphi/\rho}(L x + u), \quad u \leftarrow u + L x - z, \qquad
    v \leftarrow \mathrm{prox}_{G/\eta}(x + s), \quad s \leftarrow s + x - v

(Boyd et al., 2011; ``v`` and ``s`` are left out where ``G`` is 0.) The ``x`` step takes a few
preconditioned conjugate gradients from the last ``x``. Since ``A`` is not split, the poorly conditioned
directions that it leaves to ``L`` do not slow the outer iteration, and :math:`f'(A x)` and :math:`\rho u` are
dual variables that nearly meet the constraint :math:`A^* p + L^* q + m = 0`. Each penalty is balanced by the
residuals of its own split variable, less and less often, so that it settles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero
from wellposed.solvers.normal_equations import (
    ConjugateGradients,
    NormalEquations,
    data_mean,
    prior_diagonal,
)
from wellposed.solvers.normal_repair import NormalForm, normal_form
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Certificate

INNER = 10
"""Conjugate gradients at most in one ``x`` step."""

INNER_GOAL = 1e-3
"""They end at this share of the first residual."""

BALANCE = 3.0
"""Ratio of the residuals from which a penalty changes."""

FIRST_BALANCE = 4
"""Iteration at which penalties may change first."""

FAR = 1e12
"""Where a norm has its full slope, and squares do not overflow in single precision."""

LEAST_MEAN = 1e-3
"""The mean of ``|L x|`` counts as at least this share of what the norm of ``L`` allows."""

SPARSE = 10.0
"""The first threshold is the mean of ``|L x|`` times this."""


@dataclass
class State:
    """Buffers of a run."""

    x: Array  # primal variable
    z: Array  # copy of L x
    u: Array  # scaled dual of z = L x
    v: Array  # copy of x in the domain of G
    s: Array  # scaled dual of v = x
    rho: float  # penalty of z = L x
    eta: float  # penalty of v = x, 0 without G
    moved: float  # length of the last step
    next_balance: int  # iteration at which penalties may change again
    count: int  # iterations so far


@dataclass(frozen=True)
class QuadraticADMM:
    """Alternating directions with a whole quadratic. See the module."""

    problem: Problem
    check_every: int = 20

    @cached_property
    def form(self) -> NormalForm:
        """Data fit and norm."""
        form = normal_form(self.problem)
        if form is None:
            raise TypeError("the objective is no quadratic data fit plus a norm behind a graph Laplacian")
        return form

    @property
    def _split(self) -> bool:
        return not isinstance(self.problem.simple, Zero)

    @cached_property
    def _pull(self) -> Array:
        """Minus the gradient of the data fit at 0."""
        data = self.form.data
        return -data.backward(data.f.gradient(0 * data.forward(self.problem.zeros())))

    def _curved(self, x: Array) -> Array:
        """The Hessian of the data fit."""
        data = self.form.data
        image = data.forward(x)
        return data.backward(data.f.hessian_product(image, image))

    def _x_step(self, s: State) -> Array:
        prior = self.form.prior
        target = self._pull + s.rho * prior.backward(s.z - s.u) + s.eta * (s.v - s.s)
        return self._conjugate_gradients(s.x, target, s.rho, s.eta, INNER)

    @cached_property
    def _diagonals(self) -> tuple[float, Array]:
        """The mean of the diagonal of the Hessian of the data fit, and the diagonal of ``L* L``."""
        data, prior = self.form.data, self.form.prior
        assert prior.K is not None
        ones = self.problem.dual_zeros(prior) + 1.0
        return data_mean(data, self.problem), prior_diagonal(prior.K, ones)  # type: ignore[arg-type]

    def _conjugate_gradients(self, x: Array, target: Array, rho: float, eta: float, steps: int) -> Array:
        mean, graph = self._diagonals
        diagonal = mean + rho * graph + eta if rho > 0.0 else 1.0
        equations = NormalEquations(self.form.data, self.form.prior, rho, eta, diagonal)
        solve = ConjugateGradients(equations, target - equations.product(x))
        solve.advance(steps, INNER_GOAL)
        return x + solve.solution

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0``, or at a few conjugate gradients on the data fit; with the given duals or zero."""
        problem, prior = self.problem, self.form.prior
        x = x0
        if x is None:
            x = self._conjugate_gradients(problem.zeros(), self._pull, 0.0, 0.0, INNER)
        z, v = prior.forward(x), problem.simple.prox(x, 1e-30)
        rho = self._first_penalty(x, z)
        length = arrays.norm(x)
        eta = arrays.norm(self._curved(x)) / length if self._split and length > 0 else 0.0
        eta = max(eta, 1e-300) if self._split else 0.0
        duals = self.form.in_order(*dual0) if dual0 else (None, None)
        u = 0 * z if duals[1] is None else duals[1] / rho
        return State(x, z, u, v, 0 * x, rho, eta, float("inf"), FIRST_BALANCE, 0)

    def _first_penalty(self, x: Array, z: Array) -> float:
        """The one for which the first threshold is a multiple of the mean of ``|L x|``."""
        f = self.form.prior.f
        mean = arrays.total(arrays.namespace(z).abs(z)) / math.prod(z.shape)
        largest = self.form.prior.norm * arrays.norm(x) / math.sqrt(math.prod(z.shape))
        mean = max(mean, LEAST_MEAN * largest)
        # Far away the slope of a norm has its full size, its weight.
        steepest = arrays.norm(f.project_dual(0 * z + FAR)) / math.sqrt(math.prod(z.shape))
        return steepest / (SPARSE * mean) if mean > 0 and steepest > 0 else 1.0

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        prior, G = self.form.prior, self.problem.simple
        before, s.x = s.x, self._x_step(s)
        s.moved = arrays.norm(s.x - before)
        s.count += 1
        balancing = s.count >= s.next_balance
        image, z = prior.forward(s.x), s.z
        s.z = prior.f.prox(image + s.u, 1 / s.rho)
        s.u = s.u + image - s.z
        if balancing:
            primal = arrays.norm(image - s.z) / max(arrays.norm(s.z), arrays.norm(image), 1e-300)
            moved, length = arrays.norm(prior.backward(s.z - z)), arrays.norm(prior.backward(s.u))
            factor = _factor(primal, moved / max(length, 1e-300))
            s.rho, s.u = s.rho * factor, s.u / factor
            s.next_balance = s.count + max(FIRST_BALANCE, s.count // 2)
        if self._split:
            v = s.v
            s.v = G.prox(s.x + s.s, 1 / s.eta)
            s.s = s.s + s.x - s.v
            if balancing:
                primal = arrays.norm(s.x - s.v) / max(arrays.norm(s.x), 1e-300)
                factor = _factor(primal, arrays.norm(s.v - v) / max(arrays.norm(s.s), 1e-300))
                s.eta, s.s = s.eta * factor, s.s / factor

    def solution(self, state: State) -> Array:
        """The iterate, brought into the domain of ``G``."""
        return self.problem.simple.prox(state.x, 1e-30)

    def dual(self, state: State) -> tuple[Array | None, ...]:
        """``rho u``; the slope of the data fit at the solution serves as its dual variable."""
        return self.form.in_order(None, state.rho * state.u)

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step, against that of the iterate."""
        return state.moved, max(arrays.norm(state.x), 1e-300)

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt beyond the balance."""


def _factor(primal: float, dual: float) -> float:
    """By how much a penalty changes for relative primal and dual residuals."""
    if primal <= 0 or dual <= 0 or 1 / BALANCE < (ratio := (primal / dual) ** 0.5) < BALANCE:
        return 1.0
    return float(min(max(ratio, 0.1), 10.0))
