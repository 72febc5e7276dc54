r"""Alternating direction method of multipliers, linearised or with inner conjugate gradients.

For :math:`\min G(x) + \sum_i f_i(z_i)` subject to :math:`z_i = K_i x`, with scaled duals ``u_i``, the
penalty :math:`\rho` and the weights :math:`w_i = 1/\|K_i\|^2`:

.. math::

    x &\leftarrow \arg\min_x G(x) + \tfrac{\rho}{2} \sum_i w_i \|K_i x - z_i + u_i\|^2 \\
    z_i &\leftarrow \mathrm{prox}_{f_i/(\rho w_i)}(K_i x + u_i), \qquad u_i \leftarrow u_i + K_i x - z_i

(Boyd et al., 2011). The ``x`` step is done by conjugate gradients (`InnerCG`; ``G`` then gets a
split variable of its own), or replaced by one proximal gradient step of length
:math:`1/(\rho \sum_i w_i \|K_i\|^2)` (`Linearised`). The dual variables are :math:`y_i = \rho w_i u_i`.
``rho`` is balanced so that primal and dual residuals stay within a factor 10 of each other, less and
less often, so that it settles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.result import Certificate

BALANCE = 10.0
"""Ratio of the residuals from which ``rho`` changes."""

FIRST_BALANCE = 4
"""Iteration at which ``rho`` may change first."""


@dataclass
class State:
    """Buffers of an ADMM run."""

    x: Array  # primal variable
    z: tuple[Array, ...]  # one copy of K_i x per term
    u: tuple[Array, ...]  # scaled dual variables
    rho: float  # penalty
    primal: float  # norm of K x - z
    dual: float  # norm of rho K* (z - z_old)
    primal_scale: float  # norm of z, to compare the primal residual with
    dual_scale: float  # norm of y times that of K, to compare the dual residual with
    next_balance: int  # iteration at which rho may change again
    count: int  # iterations so far


class XStep(Protocol):
    """How the ``x`` step is solved."""

    def __call__(self, iteration: ADMM, x: Array, targets: tuple[Array, ...], rho: float) -> Array:
        """An (approximate) minimiser of ``G(x) + rho/2 sum ||K_i x - targets_i||^2``, from ``x``."""


@dataclass(frozen=True)
class InnerCG:
    """Conjugate gradients on ``sum w_i K_i* K_i``, warm-started, to a hundredth of the first residual.

    Parameters
    ----------
    max_iter : int
        Steps at most in one ``x`` step.
    """

    max_iter: int = 20

    def __call__(self, iteration: ADMM, x: Array, targets: tuple[Array, ...], rho: float) -> Array:
        blocks = tuple(zip(iteration.terms, iteration.weights, strict=True))
        r = x * 0
        for (t, w), target in zip(blocks, targets, strict=True):
            r = r + w * t.backward(target - t.forward(x))
        p, rr = r, arrays.inner(r, r)
        goal = 1e-4 * rr
        for _ in range(self.max_iter):
            if rr <= goal or rr == 0.0:
                break
            q = x * 0
            for t, w in blocks:
                q = q + w * t.backward(t.forward(p))
            curvature = arrays.inner(p, q)
            if curvature <= 0.0:
                break
            alpha = rr / curvature
            x, r = x + alpha * p, r - alpha * q
            rr, old = arrays.inner(r, r), rr
            p = r + (rr / old) * p
        return x


@dataclass(frozen=True)
class Linearised:
    """One proximal gradient step."""

    def __call__(self, iteration: ADMM, x: Array, targets: tuple[Array, ...], rho: float) -> Array:
        step = 1 / (rho * len(iteration.terms))
        gradient = x * 0
        for t, w, target in zip(iteration.terms, iteration.weights, targets, strict=True):
            gradient = gradient + w * t.backward(t.forward(x) - target)
        return iteration.problem.simple.prox(x - step * rho * gradient, step)


@dataclass(frozen=True)
class ADMM:
    """The alternating direction method of multipliers. See the module."""

    problem: Problem
    x_step: XStep
    check_every: int = 10

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """The terms that get a split variable."""
        p = self.problem
        if isinstance(self.x_step, Linearised) or isinstance(p.simple, Zero):
            return p.terms
        return (*p.terms, Term(p.simple, None))

    @cached_property
    def weights(self) -> tuple[float, ...]:
        """``w_i``: they make all blocks equally long."""
        return tuple(1 / max(t.norm**2, 1e-300) for t in self.terms)

    def _first_penalty(self, images: tuple[Array, ...]) -> float:
        """The curvature of the smooth terms along their gradients, or 1 where there are none."""
        curvatures = []
        for t, u in zip(self.terms, images, strict=True):
            if t.f.traits.smooth and not math.isinf(t.f.traits.lipschitz or 0.0):
                slope = t.backward(t.f.gradient(0 * u))
                length = arrays.norm(slope)
                if length > 0:
                    curvatures.append(
                        (t.f.traits.lipschitz or 0.0) * (arrays.norm(t.forward(slope)) / length) ** 2
                    )
        return max(curvatures, default=0.0) or 1.0

    def _length(self, parts: tuple[Array, ...]) -> float:
        """Norm of all blocks together, each with its weight."""
        squares = (w * arrays.inner(a, a) for w, a in zip(self.weights, parts, strict=True))
        return math.sqrt(max(sum(squares), 0.0))

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0`` or at zero, with the given duals or zero."""
        p = self.problem
        x = p.zeros() if x0 is None else p.embed(x0)
        z = tuple(t.forward(x) for t in self.terms)
        rho = self._first_penalty(z)
        given = dual0 if dual0 else (None,) * len(p.terms)
        given = (*given, *(None,) * (len(self.terms) - len(given)))
        blocks = zip(self.terms, self.weights, given, strict=True)
        u = tuple(p.dual_zeros(t) if y is None else y / (rho * w) for t, w, y in blocks)
        return State(x, z, u, rho, math.inf, math.inf, 1.0, 1.0, FIRST_BALANCE, 0)

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        targets = tuple(z - u for z, u in zip(s.z, s.u, strict=True))
        s.x = self.x_step(self, s.x, targets, s.rho)
        images = tuple(t.forward(s.x) for t in self.terms)
        z_old = s.z
        blocks = zip(self.terms, self.weights, images, s.u, strict=True)
        s.z = tuple(t.f.prox(a + u, 1 / (s.rho * w)) for t, w, a, u in blocks)
        s.u = tuple(u + a - z for u, a, z in zip(s.u, images, s.z, strict=True))
        s.primal = self._length(tuple(a - z for a, z in zip(images, s.z, strict=True)))
        back = s.x * 0
        for t, w, z, old in zip(self.terms, self.weights, s.z, z_old, strict=True):
            back = back + w * t.backward(z - old)
        s.dual = s.rho * arrays.norm(back)
        s.primal_scale = self._length(s.z)
        s.dual_scale = s.rho * self._length(s.u) * math.sqrt(len(s.u))
        s.count += 1
        if s.count >= s.next_balance:
            self._balance(s)

    def _balance(self, s: State) -> None:
        ratio = s.primal * math.sqrt(len(s.u)) * s.rho / max(s.dual, 1e-300)
        if not 1 / BALANCE <= ratio <= BALANCE and ratio > 0:
            factor = min(max(math.sqrt(ratio), 1 / BALANCE), BALANCE)
            s.rho *= factor
            s.u = tuple(u / factor for u in s.u)
        s.next_balance = s.count + max(FIRST_BALANCE, s.count // 2)

    def solution(self, state: State) -> Array:
        """The iterate, brought into the domain of ``G``."""
        return self.problem.simple.prox(state.x, 1e-30)

    def dual(self, state: State) -> tuple[Array, ...]:
        """``rho u_i``, for the terms of the problem."""
        return tuple(
            state.rho * w * u for t, w, u in zip(self.problem.terms, self.weights, state.u, strict=False)
        )

    def residual(self, state: State) -> tuple[float, float]:
        """The primal or the dual residual, whichever is larger beside its scale."""
        primal, dual = (state.primal, state.primal_scale), (state.dual, state.dual_scale)
        return max(primal, dual, key=lambda pair: pair[0] / max(pair[1], 1e-300))

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
