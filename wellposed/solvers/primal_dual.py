r"""Primal-dual splitting (Chambolle and Pock, 2011; Condat and Vu, 2013 with a smooth term).

.. math::

    x^+ &= \mathrm{prox}_{\tau G}\big(x - \tau (\nabla h(x) + \textstyle\sum_i K_i^* y_i)\big) \\
    y_i^+ &= \mathrm{prox}_{\sigma_i f_i^*}\big(y_i + \sigma_i K_i (x^+ + \theta (x^+ - x))\big)

with steps :math:`\sigma_i = \omega / S_i` and :math:`1/\tau = \omega \sum_i C_i + L_h`. For a block with a
norm only, :math:`S_i = \|K_i\|^2` and :math:`C_i = 1`. Where the entries of ``K_i`` are at least 0 and all
functionals involved are separable, each row and column has a step of its own (Pock and Chambolle, 2011):
:math:`S_i = \|K_i\| K_i 1` and :math:`C_i = K_i^* 1 / \|K_i\|`. In both cases
:math:`\sum_i \|\sigma_i^{1/2} K_i x\|^2 \le \langle x, (1/\tau - L_h) x\rangle`, which suffices. Terms
without a proximal map but with a Lipschitz gradient form ``h``.

The balance :math:`\omega` is not for the user to set: at growing intervals it becomes the ratio of
the distances that dual and primal variables have moved since the last time (as in Applegate et al.,
2021), damped, so that it is scale free and settles. When ``G`` is strongly convex and there is no
``h``, the steps are accelerated instead: :math:`\theta = 1/\sqrt{1 + 2 \mu \tau}`,
:math:`\tau \leftarrow \theta \tau`, :math:`\sigma \leftarrow \sigma / \theta`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers import smooth
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.result import Certificate

Arrays = tuple[Array, ...]

LEAST = 1e-2
"""Row and column sums below this share of the largest are taken as that."""


@dataclass
class State:
    """Buffers of a primal-dual run."""

    x: Array  # primal variable
    y: Arrays  # one dual variable per block
    images: Arrays  # K_i x, for the blocks and then for the smooth terms
    pulled: Array  # sum of K_i* y_i over the blocks
    omega: float  # balance of dual and primal steps
    tau: Any  # primal step, or one for each entry
    x_anchor: Array  # x when omega was last set
    y_anchor: Arrays  # y when omega was last set
    next_balance: int  # iteration at which omega is set again
    count: int  # iterations so far
    residual: float  # length of the last step, in the metric of the steps
    scale: float  # length of the variables in that metric


@dataclass(frozen=True)
class PrimalDual:
    """Primal-dual splitting with automatic steps. See the module."""

    problem: Problem
    check_every: int = 10

    @cached_property
    def blocks(self) -> tuple[Term, ...]:
        """The terms that have a dual variable."""
        return tuple(t for t in self.problem.terms if t.f.traits.prox)

    @cached_property
    def smooth_terms(self) -> tuple[Term, ...]:
        """The terms that enter by their gradient."""
        return tuple(t for t in self.problem.terms if not t.f.traits.prox)

    @cached_property
    def _preconditioners(self) -> tuple[tuple[Any, ...], Any]:
        """``S_i`` for each block, and the sum of the ``C_i``."""
        rows: list[Any] = []
        columns: Any = 0.0
        for t in self.blocks:
            # Of an operator that is 0 the dual variable moves nothing, and any step will do.
            norm = max(t.norm, 1e-150) if t.norm > 0 else 1.0
            if self._has_row_steps(t) and t.norm > 0:
                ones = self.problem.zeros() + 1
                row, column = t.forward(ones), t.backward(t.forward(0 * ones) + 1)
                xp = arrays.namespace(ones)
                # Rows and columns of zeros, or nearly so, get a finite step: shorter ones are always safe.
                rows.append(norm * xp.maximum(row, 0 * row + LEAST * float(xp.max(row))))
                columns = columns + xp.maximum(column, 0 * column + LEAST * float(xp.max(column))) / norm
            else:
                rows.append(norm**2)
                columns = columns + 1.0
        return tuple(rows), columns

    def _has_row_steps(self, t: Term) -> bool:
        separable = t.f.traits.separable and self.problem.simple.traits.separable
        return t.K is not None and t.K.nonnegative and separable and self._mu == 0

    @property
    def _squares(self) -> tuple[Any, ...]:
        return self._preconditioners[0]

    @cached_property
    def _lipschitz(self) -> float:
        return smooth.lipschitz(self.smooth_terms)

    @cached_property
    def _mu(self) -> float:
        return 0.0 if self.smooth_terms else self.problem.simple.traits.strong_convexity

    def describe(self) -> str:
        """The step rule with its constants."""
        norms = ", ".join(f"{t.norm:.6g}" for t in self.blocks)
        rule = f"sigma_i = omega/||K_i||^2 with ||K_i|| = {norms}; 1/tau = {len(self.blocks)} omega"
        if any(self._has_row_steps(t) for t in self.blocks):
            rule = f"one for each row and column, scaled by omega; ||K_i|| = {norms}"
        rule += f" + {self._lipschitz:.6g}" if self.smooth_terms else ""
        return rule + (
            "; accelerated by strong convexity" if self._mu > 0 else "; omega balanced along the run"
        )

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0`` or zero with the given duals or zero."""
        p = self.problem
        x = p.simple.prox(p.zeros() if x0 is None else p.embed(x0), 1e-30)
        by_term = dict(zip(map(id, p.terms), dual0, strict=True)) if dual0 else {}
        y = tuple(p.dual_zeros(t) if by_term.get(id(t)) is None else by_term[id(t)] for t in self.blocks)
        images = smooth.images((*self.blocks, *self.smooth_terms), x)
        pulled = smooth.pull_back(self.blocks, y)
        omega = self._mu if self._mu > 0 else self._first_balance(x, images)
        return State(x, y, images, pulled, omega, self._tau(omega), x, y, 10, 0, math.inf, 1.0)

    def _first_balance(self, x: Array, images: Arrays) -> float:
        """Typical size of slopes over that of ``x``, from the terms whose minimum is away from zero."""
        slope = size = 0.0
        simple = Term(self.problem.simple, None)
        for t, u in zip((simple, *self.blocks, *self.smooth_terms), (x, *images), strict=True):
            known = not t.f.traits.indicator and math.isfinite(t.f(0 * u))
            length, distance = _pull(t, 0 * u) if known else (0.0, 0.0)
            if distance > 0:
                slope, size = slope + length, size + distance
        return slope / size / len(self.blocks) if slope > 0 and size > 0 else 1.0

    def _tau(self, omega: float) -> Any:
        return 1 / (omega * self._preconditioners[1] + self._lipschitz)

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for k in range(count):
            before = (state.x, state.y, state.tau, state.omega)
            self._step(state)
            if k == count - 1:
                self._measure(state, *before)

    def _measure(self, s: State, x: Array, y: Arrays, tau: Any, omega: float) -> None:
        """Set the residual: the length of a step in the metric of the steps."""
        moved, length = _square(s.x - x, 1 / tau), _square(s.x, 1 / tau)
        for new, old, square in zip(s.y, y, self._squares, strict=True):
            moved += _square(new - old, square) / omega
            length += _square(new, square) / omega
        s.residual, s.scale = math.sqrt(moved), max(math.sqrt(length), 1e-300)

    def _step(self, s: State) -> None:
        p = self.problem
        m = len(self.blocks)
        slope = s.pulled
        if self.smooth_terms:
            at = s.images[m:]
            slope = slope + smooth.pull_back(self.smooth_terms, smooth.slopes(self.smooth_terms, at))
        x = p.simple.prox(s.x - s.tau * slope, s.tau)
        images = smooth.images((*self.blocks, *self.smooth_terms), x)
        theta = 1 / math.sqrt(1 + 2 * self._mu * s.tau) if self._mu > 0 else 1.0
        tau, omega = (s.tau * theta, s.omega / theta) if self._mu > 0 else (s.tau, s.omega)
        y = []
        for t, dual, new, old, square in zip(
            self.blocks, s.y, images[:m], s.images[:m], self._squares, strict=True
        ):
            sigma = omega / square
            v = dual + sigma * (new + theta * (new - old))
            y.append(v - sigma * t.f.prox(v / sigma, 1 / sigma))
        s.x, s.images = x, images
        s.pulled = smooth.pull_back(self.blocks, tuple(y))
        s.y, s.tau, s.omega = tuple(y), tau, omega
        s.count += 1
        if s.count >= s.next_balance and self._mu == 0:
            self._balance(s)

    def _balance(self, s: State) -> None:
        """Set omega to the ratio of the distances moved, half-way on a log scale."""
        primal = math.sqrt(_square(s.x - s.x_anchor, self._preconditioners[1]) / len(self.blocks))
        squares = zip(s.y, s.y_anchor, self._squares, strict=True)
        dual = math.sqrt(sum(_square(a - b, k) for a, b, k in squares))
        if primal > 0 and dual > 0:
            s.omega = math.sqrt(s.omega * dual / primal)
            s.tau = self._tau(s.omega)
        s.x_anchor, s.y_anchor = s.x, s.y
        s.next_balance = s.count + max(10, s.count // 2)

    def solution(self, state: State) -> Array:
        """The primal variable, which is in the domain of ``G``."""
        return state.x

    def dual(self, state: State) -> tuple[Array | None, ...]:
        """The dual variables, in the order of the terms; smooth terms use their slopes."""
        by_term = dict(zip(map(id, self.blocks), state.y, strict=True))
        return tuple(by_term.get(id(t)) for t in self.problem.terms)

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step, against that of the variables, in the metric of the steps."""
        return state.residual, state.scale

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt beyond the balance."""


def _square(a: Array, weight: Any) -> float:
    """Weighted squared norm."""
    return weight * arrays.norm(a) ** 2 if isinstance(weight, float) else arrays.inner(a, weight * a)


def _pull(t: Term, zero: Array) -> tuple[float, float]:
    """Length of the slope of a term at zero, and how far along it its minimum is, roughly."""
    if t.f.traits.smooth:
        slope = t.backward(t.f.gradient(zero))
        length, curve = arrays.norm(slope), arrays.norm(t.forward(slope))
        return (length, length * (length / curve) ** 2) if curve > 0 else (0.0, 0.0)
    far = t.f.prox(zero, 1e30)
    distance = arrays.norm(far) / max(t.norm, 1e-300)
    if distance == 0.0:
        return 0.0, 0.0
    step = 1e-2 * arrays.norm(far) / math.sqrt(math.prod(far.shape))
    return arrays.norm(t.backward(t.f.prox(zero, step))) / step, distance
