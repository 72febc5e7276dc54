"""The one loop that runs every solver: stop, certificate, history, callback, checkpoint, Ctrl-C.

An `Iteration` is frozen: problem and parameters. Its `State` is a dataclass of named buffers that
``advance`` updates. The `Monitor` looks at the state now and then, evaluates the certificate, keeps
the best primal and dual points, and decides when to stop.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.certificates import Proof, certify
from wellposed.solvers.checkpoint import Checkpoint
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem
from wellposed.solvers.progress import Display
from wellposed.solvers.result import Certificate, ConvergenceWarning, Record, Result

Duals = tuple[Array | None, ...]

Residual = tuple[float, float]
"""Length of the last step of the fixed-point map, and the length to compare it with."""

MESSAGES = {
    "converged": "The certificate reached the tolerance.",
    "stationary": "A stationary point was reached; the objective is not convex, so it need not be a minimum.",
    "max_iter": "The iteration limit came before the tolerance: raise max_iter, or accept this certificate.",
    "stalled": "Rounding stops further progress at this precision: use float64 data, or a larger tol.",
    "stopped": "The callback asked to stop.",
    "interrupted": "Interrupted; the best iterate so far is returned. Pass the result as x0 to go on.",
    "failed": "The iterates became non-finite; the best finite one is returned. Rescale the data.",
}


class StalledError(ArithmeticError):
    """Raised by an iteration, its state whole, when rounding leaves it no way on."""


class Iteration(Protocol):
    """What a solver gives to the loop."""

    @property
    def problem(self) -> Problem:
        """What is minimised."""

    @property
    def check_every(self) -> int:
        """Iterations between the first looks at the certificate."""

    def start(self, x0: Array | None, dual0: Duals | None) -> Any:
        """The first state."""

    def advance(self, state: Any, count: int) -> None:
        """Take ``count`` iterations, updating the state in place."""

    def solution(self, state: Any) -> Array:
        """The primal iterate."""

    def dual(self, state: Any) -> Duals | Proof | None:
        """One dual variable per term of the problem (``None`` where the slope serves), or ``None``.

        A solver that knows a better dual point than `certify` would find gives its proof instead.
        """

    def residual(self, state: Any) -> Residual:
        """How much the last step moved."""

    def observe(self, state: Any, certificate: Certificate) -> None:
        """Adapt to what the certificate says (restarts, balance); most iterations do nothing."""


@dataclass(frozen=True)
class Info:
    """What a callback sees: where the run stands. Return ``False`` from the callback to stop."""

    iteration: int
    seconds: float
    objective: float
    certificate: Certificate
    x: Array


@dataclass(frozen=True)
class Control:
    """How a run is stopped, watched and saved."""

    tol: float
    max_iter: int
    callback: Callable[[Info], Any] | None = None
    progress: bool | None = None
    checkpoint: Path | None = None


@dataclass
class Best:
    """The best points so far; saved with a checkpoint."""

    iteration: int = 0
    seconds: float = 0.0
    objective: float = math.inf
    x: Array = None
    lower_bound: float = -math.inf
    dual: Duals | None = None
    kind: str = "duality gap"
    note: str = ""
    gap: float = math.inf
    """The certificate's value when it last fell by a hundredth, and the iteration of that."""
    improved_at: int = 0
    checked_at: int = 0
    relative: float = math.inf
    """The relative certificate when it was last evaluated, from which the next look is planned."""
    next_check: int = 0

    def plan_next(self, iteration: int, relative: float, tol: float, every: int) -> None:
        """Set ``next_check`` to where the decay so far, a power of the iteration, meets ``tol``.

        Not before ``every`` iterations, nor after a quarter as many as there have been.
        """
        wait: float = max(every, iteration // 20)
        if 0 < self.checked_at < iteration and tol < relative < self.relative < math.inf:
            power = math.log(self.relative / relative) / math.log(iteration / self.checked_at)
            meets = iteration * ((relative / tol) ** (1 / power) - 1) if power > 0.1 else math.inf
            wait = max(wait, min(meets, iteration // 4))
        self.checked_at, self.relative = iteration, relative
        self.next_check = iteration + -(-int(wait) // every) * every


class Monitor:
    """Watches a run: `look` evaluates the certificate, keeps the best points, and sets the final status."""

    def __init__(self, problem: Problem, plan: Plan, control: Control, best: Best):
        self.problem = problem
        self.plan = plan
        self.control = control
        self.best = best
        self.history: list[Record] = []
        self.status = ""
        self.certificate: Certificate | None = None
        self.unsettled = False
        """Whether the last look was a `glance` whose points have not been written out."""
        self._start = time.perf_counter() - best.seconds
        self._display = Display(control.progress, control.tol, plan.solver)

    @property
    def seconds(self) -> float:
        """Time of the run so far, earlier parts of a resumed run included."""
        return time.perf_counter() - self._start

    def look(self, iteration: int, x: Array, dual: Duals | Proof | None, residual: Residual) -> Certificate:
        """Evaluate the certificate at this iteration; sets ``status`` when the run is over."""
        best = self.best
        objective = dual.certificate.primal if isinstance(dual, Proof) else self.problem.value(x)
        finite = math.isfinite(arrays.norm(x)) and not math.isnan(objective) and not math.isnan(residual[0])
        if finite:
            self.certificate = self._certify(x, objective, dual, residual)
        else:
            self._fail(x)
        certificate = self.certificate
        assert certificate is not None
        best.iteration, best.seconds = iteration, self.seconds
        record = Record(iteration, best.seconds, best.objective, certificate)
        self.history.append(record)
        self._display.update(record)
        if finite:
            self.status = self._verdict(record)
        return certificate

    def glance(self, iteration: int, proof: Proof, solution: Callable[[], Array]) -> Certificate:
        """`look` for a solver whose proof needs neither the point nor the dual point written out.

        They are written out only when the run ends, or a callback wants to see them.
        """
        best, certificate = self.best, proof.certificate
        best.iteration, best.seconds, self.certificate = iteration, self.seconds, certificate
        self.unsettled = True
        if self.control.callback is not None:
            best.x = solution()
        record = Record(iteration, best.seconds, certificate.primal, certificate)
        self.history.append(record)
        self._display.update(record)
        self.status = "failed" if math.isnan(certificate.primal) else self._verdict(record)
        if self.status:
            self.settle(proof, solution)
        return certificate

    def settle(self, proof: Proof, solution: Callable[[], Array]) -> None:
        """Write out the points that a proof rests on."""
        best, self.certificate, self.unsettled = self.best, proof.certificate, False
        best.x, best.dual = solution(), proof.dual
        best.objective, best.lower_bound = proof.certificate.primal, proof.certificate.lower_bound

    def _fail(self, x: Array) -> None:
        self.status = "failed"
        if self.best.x is None:
            self.best.x = _copy(x)
        if self.certificate is None:
            self.certificate = Certificate("fixed-point residual", math.inf, 1.0)

    def _certify(
        self, x: Array, objective: float, dual: Duals | Proof | None, residual: Residual
    ) -> Certificate:
        best = self.best
        proof = (
            dual if isinstance(dual, Proof) else certify(self.problem, x, objective, dual, self.control.tol)
        )
        if proof is not None and proof.certificate.lower_bound > best.lower_bound:
            best.lower_bound, best.kind = proof.certificate.lower_bound, proof.certificate.kind
            best.note = proof.certificate.note
            best.dual = tuple(None if y is None else _copy(y) for y in proof.dual)
        # The bound at the start may be finite and trivial where no later dual point can be made feasible.
        bounded = proof is not None and math.isfinite(proof.certificate.lower_bound)
        bounded = bounded or best.objective - best.lower_bound <= self.control.tol * abs(best.objective)
        if objective < best.objective or not (bounded and math.isfinite(best.objective)):
            # Without a bound the objective alone does not rank the points: the latest is kept.
            best.x, best.objective = _copy(x), objective
        if bounded and math.isfinite(best.objective):
            scale = max(abs(best.objective), self.problem.scale_floor)
            gap = max(best.objective - best.lower_bound, 0.0)
            return Certificate(best.kind, gap, scale, best.objective, best.lower_bound, best.note)
        best.dual = None
        scale = max(residual[1], self.problem.scale_floor)
        note = self._why_no_bound(objective)
        return Certificate("fixed-point residual", residual[0], scale, objective, note=note)

    def _why_no_bound(self, objective: float) -> str:
        if not self.problem.convex:
            return "the objective is not convex"
        if math.isinf(objective):
            return "a constraint behind an operator is met in the limit only"
        return "no finite dual bound here"

    def _verdict(self, record: Record) -> str:
        status = self._limit(record)
        if self.control.callback is not None:
            x = self.problem.extract(self.best.x)
            info = Info(record.iteration, record.seconds, record.objective, record.certificate, x)
            if self.control.callback(info) is False:
                status = status or "stopped"
        return status

    def _limit(self, record: Record) -> str:
        c, best = record.certificate, self.best
        if c.relative <= self.control.tol:
            return "converged" if self.problem.convex else "stationary"
        if c.value < 0.99 * best.gap:
            best.gap, best.improved_at = c.value, record.iteration
        if c.is_bound and self._at_rounding(c.value, record):
            return "stalled"
        return "max_iter" if record.iteration >= self.control.max_iter else ""

    def _at_rounding(self, gap: float, record: Record) -> bool:
        """Whether a gap is as small as rounding, or nearly so and no longer falling."""
        rounding = self.problem.rounding(record.objective)
        idle = record.iteration >= 2 * self.best.improved_at + 100
        return gap <= rounding or (gap <= 100 * rounding and idle)

    def result(self) -> Result:
        """The result of the run, with a warning if it did not converge."""
        self._display.close()
        best, certificate = self.best, self.certificate
        assert certificate is not None
        if self.status not in ("converged", "stationary"):
            warnings.warn(
                f"{self.plan.solver}: {MESSAGES[self.status]} ({certificate})",
                ConvergenceWarning,
                stacklevel=4,
            )
        return Result(
            x=self.problem.extract(best.x),
            dual=best.dual or (),
            objective=best.objective,
            certificate=certificate,
            status=self.status,
            message=MESSAGES[self.status],
            iterations=best.iteration,
            seconds=best.seconds,
            history=tuple(self.history),
            plan=self.plan,
            variable=best.x,
        )


def run(iteration: Iteration, plan: Plan, control: Control, x0: Array | None, dual0: Duals | None) -> Result:
    """Run an iteration until its certificate reaches the tolerance, or a limit, or the user, stops it."""
    state, best = iteration.start(x0, dual0), Best()
    problem = iteration.problem
    file = None if control.checkpoint is None else Checkpoint(control.checkpoint, problem, plan.solver)
    resumed = file is not None and file.load(state, best)
    monitor = Monitor(problem, plan, control, best)
    k = best.iteration

    def look() -> Certificate:
        dual = iteration.dual(state)
        if isinstance(dual, Proof) and dual.lazy:
            return monitor.glance(k, dual, lambda: iteration.solution(state))
        return monitor.look(k, iteration.solution(state), dual, iteration.residual(state))

    try:
        if not resumed:
            look()
            best.next_check = iteration.check_every
        while not monitor.status:
            target, stalled = min(best.next_check, control.max_iter), False
            while k < target and not stalled:
                count = min(target - k, iteration.check_every)
                stalled = _advance(iteration, state, count)
                k += count
            certificate = look()
            if stalled:
                monitor.status = monitor.status or "stalled"
            iteration.observe(state, certificate)
            best.plan_next(k, certificate.relative, control.tol, iteration.check_every)
            if file is not None and not monitor.status:
                file.save_if_due(state, best)
        if file is not None and monitor.status in ("max_iter", "stopped"):
            file.save(state, best)
    except KeyboardInterrupt:
        if monitor.certificate is None:
            raise
        # The state may be half-way through an iteration; the best points and the last checkpoint are whole.
        if monitor.unsettled and isinstance(proof := iteration.dual(state), Proof):
            monitor.settle(proof, lambda: iteration.solution(state))
        monitor.status = "interrupted"
    return monitor.result()


def _advance(iteration: Iteration, state: Any, count: int) -> bool:
    """Take ``count`` iterations; true if rounding stopped them."""
    try:
        iteration.advance(state, count)
    except StalledError:
        return True
    return False


def _copy(a: Array) -> Array:
    return arrays.namespace(a).asarray(a, copy=True)
