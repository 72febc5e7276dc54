r"""Quasi-Newton steps with inexact hypergradients: few outer iterations, each to a moderate accuracy.

The direction is that of L-BFGS, built of the last hypergradients; a step is accepted where the loss falls by

.. math:: f(\theta_+) - f(\theta) \le c \, \langle z, \theta_+ - \theta \rangle

as computed at lower levels of accuracy ``eps``. That is no proof of a decrease, as MAID has one; instead
the accuracy follows the progress: the next ``eps`` is such that the error of the loss is about a tenth of
what the last step gained. A run has settled when a full step along a direction with curvature gains, or can
be expected to gain, no more than a given share of the loss. J. Nocedal and S. J. Wright, Numerical
Optimization, 2006, Algorithms 7.4 and 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.solvers.bilevel.maid import free_part
from wellposed.solvers.bilevel.method import State, Step, at_least, positive, qs_of, xs_of
from wellposed.solvers.bilevel.training import Minimisers, Training
from wellposed.solvers.bilevel.vector import length

CURVATURE = 1e-8
"""Least cosine of a change of the vector and the change of the hypergradient, to be kept."""


@dataclass
class Memory:
    """The accuracy, the reach of steps without curvature, and changes of the vector and the hypergradient."""

    eps: float
    reach: float
    steps: np.ndarray
    changes: np.ndarray
    t: np.ndarray
    z: np.ndarray


@dataclass(frozen=True)
class QuasiNewton:
    """The method; see the module.

    Parameters
    ----------
    eps : float
        First accuracy of the lower level (distance of ``x``).
    floor : float
        Least accuracy.
    relative : float
        Residual of the linear systems, relative to their right-hand sides.
    first : float
        Length of the first step, on the scale of learning.
    longest : float
        No entry of the vector moves by more in one step.
    decrease : float
        ``c``.
    gain : float
        Share of the loss whose gain is not worth a step; 0 goes on until rounding hides every gain. With
        mini-batches, whose losses differ, take 0.
    kept : int
        Changes that are remembered.
    max_backtracking : int
        Times that a step is shortened, by half, before the accuracy is tightened tenfold.
    max_failures : int
        Times that this may happen in one iteration before the run ends as ``"stalled"``.
    """

    eps: float = 1e-1
    floor: float = 1e-10
    relative: float = 3e-2
    first: float = 1.0
    longest: float = 3.0
    decrease: float = 1e-4
    gain: float = 1e-5
    kept: int = 10
    max_backtracking: int = 5
    max_failures: int = 10

    def __post_init__(self) -> None:
        for name in ("eps", "floor", "first", "longest"):
            positive(getattr(self, name), name)
        for name in ("relative", "decrease"):
            positive(getattr(self, name), name, below=1.0)
        if not 0 <= self.gain < 1:
            raise ValueError(f"gain must be at least 0 and below 1, got {self.gain!r}")
        for name in ("kept", "max_backtracking", "max_failures"):
            at_least(getattr(self, name), name, 0)

    @property
    def name(self) -> str:
        """``"quasi-newton"``."""
        return "quasi-newton"

    @property
    def descends(self) -> bool:
        """True: every step decreases the loss."""
        return True

    def memory(self, training: Training, state: State) -> Memory:
        """No curvature yet."""
        none = np.zeros((0, training.vector.size))
        return Memory(self.eps, self.first, none, none.copy(), none.copy(), none.copy())

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """Solve the lower levels at the start."""
        at = training.solve(state.t, memory.eps, state.x)
        state.spend(at)
        state.x[:] = xs_of(at)
        return Step(at.value, memory.eps)

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """One accepted step."""
        for _ in range(self.max_failures + 1):
            at = training.solve(state.t, memory.eps, state.x)
            delta = self.relative * max(min(s.size for s in at.solved), self.floor)
            slope = training.differentiate(at, delta, state.q, bound=False)
            state.spend(at, slope)
            state.x[:], state.q[:] = xs_of(at), qs_of(slope)
            z = free_part(training, state.t, slope.z)
            report = Step(at.value, memory.eps, delta, 0.0, length(z), notes={"optimality": length(z)})
            if not np.any(z):
                report.status = "converged"
                return report
            self._remember(memory, state.t, slope.z)
            d, negligible = self._direction(memory, z), self.gain * abs(at.value)
            found = self._search(training, state, memory, at, z, d)
            if found is not None:
                new, alpha = found
                gained, size = at.value - new.value, max(s.size for s in at.solved)
                memory.reach = 2 * memory.reach if alpha == 1.0 else memory.reach
                # Solves that rounding ends before their accuracy gain nothing from a finer one.
                if new.complete:
                    memory.eps = max(self.floor, min(memory.eps, 0.1 * gained / max(size, self.floor)))
                state.t, state.x[:] = new.t, xs_of(new)
                report.loss, report.step = new.value, alpha
                if len(memory.steps) and alpha == 1.0 and gained <= negligible:
                    report.status = "settled"
                return report
            # The quadratic model along d, whose curvature is that of the last steps.
            if len(memory.steps) and -0.5 * float(z @ d) <= negligible:
                report.status = "settled"
                return report
            if memory.eps <= self.floor or not at.complete:
                break
            memory.eps = max(self.floor, 0.1 * memory.eps)
            memory.steps, memory.changes = memory.steps[:0], memory.changes[:0]
        report.status = "stalled"
        return report

    def _remember(self, memory: Memory, t: np.ndarray, z: np.ndarray) -> None:
        """Add the change since the last hypergradient, where it is one of a convex function."""
        if len(memory.t) and np.any(t != memory.t[0]):
            s, y = t - memory.t[0], z - memory.z[0]
            if s @ y > CURVATURE * length(s) * length(y) > 0:
                memory.steps = np.vstack([memory.steps, s])[-self.kept :] if self.kept else memory.steps
                memory.changes = np.vstack([memory.changes, y])[-self.kept :] if self.kept else memory.changes
        memory.t, memory.z = t[np.newaxis].copy(), z[np.newaxis].copy()

    def _search(
        self,
        training: Training,
        state: State,
        memory: Memory,
        at: Minimisers,
        z: np.ndarray,
        d: np.ndarray,
    ) -> tuple[Minimisers, float] | None:
        """The first halved step along ``d`` whose loss is low enough."""
        vector: Any = training.vector
        alpha = 1.0
        for _ in range(self.max_backtracking + 1):
            t = vector.project(state.t + alpha * d)
            expected = float(z @ (t - state.t))
            if expected >= 0:
                return None
            new = training.solve(t, memory.eps, xs_of(at))
            state.spend(new)
            if new.value <= at.value + self.decrease * expected:
                return new, alpha
            alpha *= 0.5
        return None

    def _direction(self, memory: Memory, z: np.ndarray) -> np.ndarray:
        """That of L-BFGS; without curvature that of steepest descent, as far as the reach."""
        pairs = list(zip(memory.steps, memory.changes, strict=True))
        if not pairs:
            d = -memory.reach / length(z) * z
        else:
            d, shares = -z, []
            for s, y in reversed(pairs):
                share = (s @ d) / (s @ y)
                d = d - share * y
                shares.append(share)
            s, y = pairs[-1]
            d = (s @ y) / (y @ y) * d
            for (s, y), share in zip(pairs, reversed(shares), strict=True):
                d = d + (share - (y @ d) / (s @ y)) * s
            # An entry that pushes against a bound stays, whatever the others suggest.
            d = np.where(z == 0.0, 0.0, d)
        most = float(np.max(np.abs(d)))
        return d if most <= self.longest else self.longest / most * d
