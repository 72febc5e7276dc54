r"""Proximal gradient: ISTA and FISTA with backtracking and adaptive restart.

.. math:: x_{k+1} = \mathrm{prox}_{s G}\big(z_k - s \nabla h(z_k)\big), \quad
          z_{k+1} = x_{k+1} + \frac{t_k - 1}{t_{k+1}} (x_{k+1} - x_k)

for ``h`` the sum of the smooth terms (Beck and Teboulle, 2009). An extrapolated point outside the
domain of ``h`` is replaced by ``x_k``. The step ``s`` starts from 1/L, may grow by a tenth each
iteration and is halved, to 1/L at first, until
:math:`h(x^+) \le h(z) + \langle \nabla h(z), x^+ - z\rangle + \|x^+ - z\|^2 / (2 s)`, which also
holds against a constant ``L`` that is too small. Momentum is dropped when it points uphill
(O'Donoghue and Candes, 2015).

Where the objective is not convex it never increases: a step from an extrapolated point is taken only if
it decreases the objective enough, else the step is taken from ``x_k`` instead (the monotone method of
H. Li and Z. Lin, Accelerated proximal gradient methods for nonconvex programming, 2015, which always
computes both). Steps are then a little shorter than 1/L, so that each decreases the objective by
at least a multiple of its squared length, and the limit points are stationary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers import smooth
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Certificate

SLACK = 1e-6
"""Relative rounding allowed in the condition on the step."""

DECREASE = 0.05
"""Part of ``||x^+ - x||^2 / (2 s)`` by which a step decreases an objective that is not convex, at least."""

GROWTH = 1.1
"""Factor by which a step is tried longer than the last one."""


ONE_PROX = 1e15
"""Step with which one proximal map is, to rounding, the minimiser."""


@dataclass
class State:
    """Buffers of a proximal gradient run."""

    x: Array  # iterate
    x_old: Array  # the one before
    images: tuple[Array, ...]  # K_i x
    images_old: tuple[Array, ...]  # K_i x_old
    step: float  # length of the last accepted step
    t: float  # momentum counter of FISTA
    mapping: float  # norm of the gradient mapping of the last step
    scale: float  # norm of the gradient at the start or at zero, to compare it with
    value: float  # least objective so far, where it must not increase; else infinite


@dataclass(frozen=True)
class ProximalGradient:
    """FISTA, or ISTA when ``accelerated`` is false. See the module for the method."""

    problem: Problem
    accelerated: bool = True
    check_every: int = 10

    @cached_property
    def safe_step(self) -> float:
        """1/L, or 0 where the gradient has no known constant; very long where there is nothing but ``G``.

        Shorter by the part of the decrease that is kept where the objective is not convex.
        """
        if not self.problem.terms:
            return ONE_PROX
        constant = smooth.lipschitz(self.problem.terms)
        return 0.0 if math.isinf(constant) else self.share / max(constant, 1e-300)

    @property
    def share(self) -> float:
        """Part of ``||x^+ - z||^2 / (2 s)`` that the smooth part may rise above its tangent."""
        return 1.0 if self.problem.convex else 1 - DECREASE

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0`` (brought into the domain of ``G``) or at zero."""
        p = self.problem
        x = p.simple.prox(p.zeros() if x0 is None else p.embed(x0), 1e-30)
        at = smooth.images(p.terms, x)
        step = self.safe_step or 1.0
        if math.isinf(smooth.value(p.terms, at)):
            raise ValueError("the objective is infinite at the start: give an x0 where it is finite")
        scale = smooth.slope_size(p.terms, at)
        at_zero = smooth.images(p.terms, p.zeros())
        if x0 is not None and math.isfinite(smooth.value(p.terms, at_zero)):
            scale = max(scale, smooth.slope_size(p.terms, at_zero))
        value = math.inf if self.problem.convex else self._value(x, at)
        return State(x, x, at, at, step, 1.0, math.inf, scale, value)

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        p = self.problem
        t_next = (1 + math.sqrt(1 + 4 * s.t**2)) / 2 if self.accelerated else 1.0
        beta = (s.t - 1) / t_next
        z = s.x + beta * (s.x - s.x_old) if beta > 0 else s.x
        at_z = smooth.extrapolate(s.images, s.images_old, beta) if beta > 0 else s.images
        if not self.safe_step and beta > 0 and not math.isfinite(smooth.value(p.terms, at_z)):
            z, at_z = s.x, s.images
        x, at_x, step = self._forward_backward(s.step, z, at_z)
        if not self.problem.convex:
            value = self._value(x, at_x)
            if beta > 0 and not value <= self._enough(s, x, step):
                z, at_z, t_next = s.x, s.images, 1.0
                x, at_x, step = self._forward_backward(s.step, z, at_z)
                value = self._value(x, at_x)
            s.value = min(value, s.value)
        uphill = arrays.inner(z - x, x - s.x) > 0
        s.mapping = arrays.norm(x - z) / step
        s.x_old, s.images_old, s.x, s.images = s.x, s.images, x, at_x
        s.step, s.t = step, 1.0 if uphill else t_next

    def _value(self, x: Array, at_x: tuple[Array, ...]) -> float:
        """The objective, of which the smooth part is known at the images of ``x``."""
        return self.problem.simple(x) + smooth.value(self.problem.terms, at_x)

    def _enough(self, s: State, x: Array, step: float) -> float:
        """The objective that an extrapolated step to ``x`` must reach: lower, up to rounding."""
        d = x - s.x
        return s.value - DECREASE * arrays.inner(d, d) / (2 * step) + 4 * arrays.epsilon(x) * abs(s.value)

    def _forward_backward(
        self, last_step: float, z: Array, at_z: tuple[Array, ...]
    ) -> tuple[Array, tuple[Array, ...], float]:
        p, safe = self.problem, self.safe_step
        slopes = smooth.slopes(p.terms, at_z)
        gradient = smooth.pull_back(p.terms, slopes)
        step = last_step * GROWTH
        while True:
            x = p.simple.prox(z - step * gradient, step)
            at_x = smooth.images(p.terms, x)
            d = x - z
            above, noise = smooth.bregman(p.terms, at_x, at_z, slopes)
            # NaN is not above anything: the monitor finds it in x.
            if not above > self.share * arrays.inner(d, d) / (2 * step) * (1 + SLACK) + noise:
                return x, at_x, step
            step = max(step / 2, safe) if step > safe else step / 2
            if step < 1e-300 or arrays.norm(d) <= 4 * arrays.epsilon(z) * arrays.norm(z):
                raise StalledError("no step decreases the objective")

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> tuple[Array, ...]:
        """The gradients of the outer functionals."""
        return smooth.slopes(self.problem.terms, state.images)

    def residual(self, state: State) -> tuple[float, float]:
        """Norm of the gradient mapping of the last step, against that of the gradient at the start.

        Where there is nothing but a proximal map: how far the point moved, against its norm.
        """
        if not self.problem.terms:
            return state.mapping, arrays.norm(state.x) / state.step
        return state.mapping, state.scale

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
