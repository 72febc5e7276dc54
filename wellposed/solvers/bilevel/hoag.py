r"""HOAG: gradient descent with hypergradients whose tolerance follows a schedule.

At iteration ``k`` the lower level is solved to within ``eps_k`` and the linear system to a residual of
``eps_k``; then :math:`\theta_{k+1} = P(\theta_k - p_k / L)`. The step adapts: with ``d`` the length of the
last step, if

.. math:: g_k \le g_{k-1} + C \epsilon_k + \epsilon_{k-1} (C + L) d - c L d^2

then ``L`` is multiplied by ``shrink``, else by ``grow``; the point is accepted in either case. F. Pedregosa,
Hyperparameter optimization with approximate gradient, 2016, with ``c = 1/2``, for which the condition is
that of the descent lemma: true as soon as ``L`` is a Lipschitz constant of the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wellposed.solvers.bilevel.maid import free_part
from wellposed.solvers.bilevel.method import State, Step, positive, qs_of, xs_of
from wellposed.solvers.bilevel.training import Training
from wellposed.solvers.bilevel.vector import length

SCHEDULES = ("quadratic", "cubic", "exponential", "exact")


@dataclass
class Memory:
    """What the test of the step compares with."""

    L: float = 0.0
    value: float = math.inf  # the loss at the last point
    eps: float = 0.0  # the tolerance there
    moved: float = 0.0  # length of the last step


@dataclass(frozen=True)
class Hoag:
    """The method; see the module.

    Parameters
    ----------
    schedule : {"quadratic", "cubic", "exponential", "exact"}
        ``eps / k^2``, ``eps / k^3``, ``eps * rate^(k - 1)``, or the floor throughout.
    eps : float
        First tolerance.
    rate : float
        Of the exponential schedule.
    floor : float
        Least tolerance.
    lipschitz : float, optional
        A first ``L``; by default such that the first step has length ``sqrt(p)``.
    fixed_step : bool
        Keep ``L`` as it is.
    C, c : float
        Of the test of the step.
    shrink, grow : float
        Factors for ``L``.
    """

    schedule: str = "quadratic"
    eps: float = 0.1
    rate: float = 0.9
    floor: float = 1e-12
    lipschitz: float | None = None
    fixed_step: bool = False
    C: float = 0.25
    c: float = 0.5
    shrink: float = 0.95
    grow: float = 2.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        positive(self.rate, "rate", below=1.0)
        positive(self.shrink, "shrink", below=1.0)
        for name in ("eps", "floor", "C", "c"):
            positive(getattr(self, name), name)
        if not 1 <= self.grow < math.inf:
            raise ValueError(f"grow must be at least 1, got {self.grow!r}")
        if self.lipschitz is not None:
            positive(self.lipschitz, "lipschitz")

    @property
    def name(self) -> str:
        """``"hoag"``."""
        return "hoag"

    @property
    def descends(self) -> bool:
        """True: the last vector whose loss is known is handed back."""
        return True

    def tolerance(self, k: int) -> float:
        """``eps_k`` for ``k = 1, 2, ...``."""
        eps = {
            "quadratic": self.eps / k**2,
            "cubic": self.eps / k**3,
            "exponential": self.eps * self.rate ** (k - 1),
            "exact": self.floor,
        }[self.schedule]
        return max(eps, self.floor)

    def memory(self, training: Training, state: State) -> Memory:
        """Nothing is known yet."""
        return Memory(self.lipschitz or 0.0)

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """Solve the lower levels at the start."""
        at = training.solve(state.t, self.tolerance(1), state.x)
        state.spend(at)
        state.x[:] = xs_of(at)
        return Step(at.value, self.tolerance(1), self.tolerance(1))

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """One step, the point at its beginning being what is reported."""
        eps = self.tolerance(state.iteration + 1)
        at = training.solve(state.t, eps, state.x)
        slope = training.differentiate(at, eps, state.q, bound=False)
        state.spend(at, slope)
        state.x[:], state.q[:] = xs_of(at), qs_of(slope)
        reduced = free_part(training, state.t, slope.z)
        size = length(reduced)
        value = at.value
        if size == 0.0 and slope.iterations == 0 and eps > self.floor and any(s.size > 0 for s in at.solved):
            # A residual as large as the slope of the loss is met by q = 0, which says nothing yet.
            return Step(value, eps, eps, notes={"t": state.t})
        self._adapt(memory, value, eps, length(slope.z), math.sqrt(training.vector.size))
        new = training.vector.project(state.t - slope.z / memory.L)
        memory.value, memory.eps, memory.moved = value, eps, length(new - state.t)
        report = Step(value, eps, eps, 1 / memory.L, size, notes={"optimality": size, "t": state.t})
        state.t = new
        if memory.moved == 0.0:
            report.status = "converged"
        return report

    def _adapt(self, memory: Memory, value: float, eps: float, size: float, root: float) -> None:
        if memory.L == 0.0:
            memory.L = size / root if size > 1e-3 else 1.0
        elif not self.fixed_step and memory.moved > 0.0:
            L, d = memory.L, memory.moved
            limit = memory.value + self.C * eps + memory.eps * (self.C + L) * d - self.c * L * d * d
            memory.L = L * (self.shrink if value <= limit else self.grow)
