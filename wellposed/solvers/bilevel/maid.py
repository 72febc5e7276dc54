r"""MAID: gradient descent with inexact hypergradients whose accuracy adapts itself.

A step along ``-z`` of length ``a`` is accepted when bounds of the loss prove the decrease

.. math:: f(\theta_+) - f(\theta) \le -\frac{\lambda}{a} \|\theta - \theta_+\|^2,
          \qquad \theta_+ = P(\theta - a z)

(without bounds on the parameters :math:`-\lambda a \|z\|^2`). When no step is accepted the accuracies are
tightened, after an accepted one they are relaxed, and the next step is tried longer. M. S. Salehi,
S. Mukherjee, L. Roberts and M. J. Ehrhardt, An adaptively inexact first-order method for bilevel
optimization, 2025, Algorithms 3.1 and 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.solvers.bilevel.method import State, Step, at_least, positive, qs_of, xs_of
from wellposed.solvers.bilevel.training import Minimisers, Slope, Training
from wellposed.solvers.bilevel.vector import length

SHORTEST = 1e-15
"""Step, relative to the vector, that moves nothing but rounding."""


@dataclass
class Memory:
    """Accuracies and step of the next iteration, and constants measured so far."""

    eps: float
    delta: float
    alpha: float
    L_J: float = 0.0
    L_H: float = 0.0


@dataclass(frozen=True)
class Maid:
    r"""The method; see the module.

    Parameters
    ----------
    alpha : float or None
        First step; ``None`` takes :math:`1 / \|z_0\|`, a step of length 1 on the scale of learning. The paper
        takes 0.01, for its logistic problem that of HOAG, :math:`\sqrt p / \|z_0\|`.
    eps, delta : float
        First accuracies of the lower level (distance of ``x``) and of the linear system (residual);
        ``delta=None`` takes ``eps``.
    shrink, grow : float
        ``rho`` and ``rhobar``: the step is multiplied by ``shrink`` when refused, and by ``grow`` for the
        next iteration.
    tighten, relax : float
        ``nu`` and ``nubar``, the same for the accuracies.
    eta : float
        The hypergradient is trusted when ``omega <= (1 - eta) ||z||``.
    decrease : float
        ``lambda``, of the decrease that is proven; below ``eta``.
    max_backtracking : int
        Steps tried at first before the accuracies are tightened; one more each time.
    max_refine : int
        Times that the accuracies may be tightened for the sake of the hypergradient in one iteration.
        Where the bound could not hold after that many, it is of no use, and the proof of decrease in the
        line search stands alone.
    max_failures : int
        Times that the line search may fail in one iteration before the run ends as ``"stalled"``.
    adaptive : bool
        False keeps the accuracies fixed, for comparison.
    descent_test : bool
        False leaves out the bound of the hypergradient (and what it costs).
    """

    alpha: float | None = None
    eps: float = 1e-1
    delta: float | None = None
    shrink: float = 0.5
    grow: float = 10 / 9
    tighten: float = 0.5
    relax: float = 1.05
    eta: float = 1e-4
    decrease: float = 1e-8
    max_backtracking: int = 10
    max_refine: int = 10
    max_failures: int = 40
    adaptive: bool = True
    descent_test: bool = True

    def __post_init__(self) -> None:
        for name in ("shrink", "tighten", "eta", "decrease"):
            positive(getattr(self, name), name, below=1.0)
        for name in ("alpha", "eps", "delta"):
            if getattr(self, name) is not None:
                positive(getattr(self, name), name)
        for name in ("grow", "relax"):
            if not 1 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if not self.decrease < self.eta:
            raise ValueError(f"decrease must be below eta, got {self.decrease} and {self.eta}")
        for name in ("max_backtracking", "max_refine", "max_failures"):
            at_least(getattr(self, name), name, 0)

    @property
    def name(self) -> str:
        """``"maid"``."""
        return "maid"

    @property
    def descends(self) -> bool:
        """True: every step decreases the loss."""
        return True

    def memory(self, training: Training, state: State) -> Memory:
        """The first accuracies and step."""
        return Memory(self.eps, self.eps if self.delta is None else self.delta, self.alpha or 0.0)

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """Solve the lower levels at the start."""
        at = training.solve(state.t, memory.eps, state.x)
        state.spend(at)
        state.x[:] = xs_of(at)
        return Step(at.value, memory.eps, memory.delta)

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """One accepted step, at accuracies that let it be proven."""
        for tries in range(self.max_backtracking, self.max_backtracking + self.max_failures + 1):
            at, slope, reduced, trusted = self._gradient(training, state, memory)
            size = length(reduced)
            report = Step(
                at.value, memory.eps, memory.delta, 0.0, size, slope.error, slope.certified and trusted
            )
            report.notes = {"optimality": size + (slope.error if math.isfinite(slope.error) else 0.0)}
            if size == 0.0:
                # A residual as large as the slope of the loss is met by q = 0, which says nothing yet.
                report.status = "converged"
                if slope.error == 0.0 or not self.adaptive:
                    return report
                memory.eps, memory.delta = self.tighten * memory.eps, self.tighten * memory.delta
                state.x[:], state.q[:] = xs_of(at), qs_of(slope)
                continue
            if memory.alpha == 0.0:
                memory.alpha = 1 / size
            found = self._search(training, state, memory, at, slope.z, tries)
            if found is not None:
                new, alpha, proven = found
                state.t, state.x[:], state.q[:] = new.t, xs_of(new), qs_of(slope)
                memory.alpha = self.grow * alpha
                report.loss, report.step = new.value, alpha
                report.certified = report.certified and proven
                if self.adaptive:
                    memory.eps, memory.delta = self.relax * memory.eps, self.relax * memory.delta
                return report
            state.x[:], state.q[:] = xs_of(at), qs_of(slope)
            report.status = "stalled"
            if not self.adaptive or self._at_rounding(at, memory.alpha * size**2):
                return report
            memory.eps, memory.delta = self.tighten * memory.eps, self.tighten * memory.delta
        return report

    def _at_rounding(self, at: Minimisers, decrease: float) -> bool:
        """Whether rounding hides the decrease that a step promises, or stopped a lower level."""
        small = decrease <= 8 * arrays.epsilon(at.solved[0].x) * abs(at.value)
        return small or any(s.status == "stalled" for s in at.solved)

    def _gradient(
        self, training: Training, state: State, memory: Memory
    ) -> tuple[Minimisers, Slope, np.ndarray, bool]:
        """The inexact hypergradient, refined until it is surely a direction of descent, where that pays."""
        xs, qs = list(state.x), list(state.q)
        refinements = 0
        while True:
            at = training.solve(state.t, memory.eps, xs)
            slope = training.differentiate(at, memory.delta, qs, self.descent_test, (memory.L_J, memory.L_H))
            state.spend(at, slope)
            xs, qs = xs_of(at), qs_of(slope)
            if self.descent_test:
                memory.L_J, memory.L_H = (
                    max(a, b) for a, b in zip(slope.measured, (memory.L_J, memory.L_H), strict=True)
                )
            reduced = free_part(training, state.t, slope.z)
            wanted = (1 - self.eta) * length(reduced)
            left = self.max_refine - refinements
            if slope.error <= wanted:
                return at, slope, reduced, True
            # The bound falls in proportion to the accuracies.
            hopeless = slope.error * self.tighten**left > wanted
            if not (self.descent_test and self.adaptive) or left == 0 or hopeless:
                return at, slope, reduced, False
            memory.eps, memory.delta = self.tighten * memory.eps, self.tighten * memory.delta
            refinements += 1

    def _search(
        self, training: Training, state: State, memory: Memory, at: Minimisers, z: np.ndarray, tries: int
    ) -> tuple[Minimisers, float, bool] | None:
        """The first of ``tries`` shrinking steps whose decrease is proven."""
        below = at.below(memory.eps)
        xs = xs_of(at)
        alpha = memory.alpha
        for _ in range(tries):
            t = training.vector.project(state.t - alpha * z)
            moved = length(t - state.t)
            if moved <= SHORTEST * length(state.t):
                return None
            new = training.solve(t, memory.eps, xs)
            state.spend(new)
            if new.above(memory.eps) - below + self.decrease / alpha * moved**2 <= 0:
                return new, alpha, at.complete and new.complete and _known(at)
            alpha *= self.shrink
        return None


def free_part(training: Training, t: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The hypergradient without the entries that push against a bound."""
    vector: Any = training.vector
    stuck = ((t <= vector.low) & (z > 0)) | ((t >= vector.high) & (z < 0))
    return np.where(stuck, 0.0, z)


def _known(at: Minimisers) -> bool:
    return all(L is not None for L, _ in at.losses)
