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
from wellposed.solvers.certificates import certify
from wellposed.solvers.checkpoint import load_state, save_state
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem
from wellposed.solvers.progress import Display
from wellposed.solvers.result import Certificate, ConvergenceWarning, Record, Result

Duals = tuple[Array | None, ...]

SECONDS_BETWEEN_CHECKPOINTS = 5.0

MESSAGES = {
    "converged": "The certificate reached the tolerance.",
    "stationary": "A stationary point was reached; the objective is not convex, so it need not be a minimum.",
    "max_iter": "The iteration limit came before the tolerance: raise max_iter, or accept the certificate as it is.",
    "stalled": "Rounding stops further progress at this precision: use float64 data, or a larger tol.",
    "stopped": "The callback asked to stop.",
    "interrupted": "Interrupted; the best iterate so far is returned. Pass it as x0, or a checkpoint, to go on.",
    "failed": "The iterates became non-finite; the best finite iterate is returned. Rescale the data, or report this.",
}


class Iteration(Protocol):
    """What a solver gives to the loop."""

    problem: Problem
    check_every: int
    """Iterations between the first looks at the certificate."""

    def start(self, x0: Array | None, dual0: Duals | None) -> Any:
        """The first state."""

    def advance(self, state: Any, count: int) -> None:
        """Take ``count`` iterations, updating the state in place."""

    def solution(self, state: Any) -> Array:
        """The primal iterate."""

    def dual(self, state: Any) -> Duals | None:
        """One dual variable per term of the problem (``None`` where the slope serves), or ``None``."""

    def residual(self, state: Any) -> tuple[float, float]:
        """Length of the last step of the fixed-point map, and the length to compare it with."""

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
    next_check: int = 0


class Monitor:
    """Watches a run: call `look` every ``due`` iterations; it says whether to go on."""

    def __init__(self, problem: Problem, plan: Plan, control: Control, best: Best):
        self.problem = problem
        self.plan = plan
        self.control = control
        self.best = best
        self.history: list[Record] = []
        self.status = ""
        self.certificate: Certificate | None = None
        self._start = time.perf_counter() - best.seconds
        self._display = Display(control.progress, control.tol, plan.solver)

    @property
    def seconds(self) -> float:
        """Time of the run so far, earlier parts of a resumed run included."""
        return time.perf_counter() - self._start

    def look(self, iteration: int, x: Array, dual: Duals | None, residual: tuple[float, float]) -> Certificate:
        """Evaluate the certificate at this iteration; sets ``status`` when the run is over."""
        best = self.best
        best.iteration, best.seconds = iteration, self.seconds
        certificate = self._certify(x, dual, residual)
        if self.status == "failed":
            return certificate
        self.certificate = certificate
        record = Record(iteration, best.seconds, certificate.primal, certificate)
        self.history.append(record)
        self._display.update(record)
        self.status = self._verdict(record)
        return certificate

    def _certify(self, x: Array, dual: Duals | None, residual: tuple[float, float]) -> Certificate:
        best = self.best
        objective = self.problem.value(x)
        if math.isnan(objective) or math.isnan(residual[0]):
            self.status = "failed"
            return self.certificate or Certificate("fixed-point residual", math.inf, 1.0)
        proof = certify(self.problem, x, objective, dual)
        if proof is None or not math.isfinite(proof.certificate.value):
            if best.x is None or proof is None or not math.isfinite(best.lower_bound):
                best.x, best.objective = _copy(x), objective
                kind = "fixed-point residual"
                scale = max(residual[1], self.problem.scale_floor)
                return Certificate(kind, residual[0], scale, objective, note="no finite dual bound here")
        if objective < best.objective or best.x is None:
            best.x, best.objective = _copy(x), objective
        if proof is not None and proof.certificate.lower_bound > best.lower_bound:
            best.lower_bound = proof.certificate.lower_bound
            best.dual = tuple(None if y is None else _copy(y) for y in proof.dual)
        scale = max(abs(best.objective), self.problem.scale_floor)
        note = "" if proof is None else proof.certificate.note
        kind = "duality gap" if proof is None else proof.certificate.kind
        gap = max(best.objective - best.lower_bound, 0.0)
        return Certificate(kind, gap, scale, best.objective, best.lower_bound, note)

    def _verdict(self, record: Record) -> str:
        c = record.certificate
        if c.relative <= self.control.tol:
            return "converged"
        if c.is_bound and c.value <= 2 * self.problem.scale_floor:
            return "stalled"
        if record.iteration >= self.control.max_iter:
            return "max_iter"
        if self.control.callback is not None:
            info = Info(record.iteration, record.seconds, record.objective, c, self.problem.extract(self.best.x))
            if self.control.callback(info) is False:
                return "stopped"
        return ""

    def result(self) -> Result:
        """The result of the run, with a warning if it did not converge."""
        self._display.close()
        best, certificate = self.best, self.certificate
        assert certificate is not None
        if self.status not in ("converged", "stationary"):
            warnings.warn(
                f"{self.plan.solver}: {MESSAGES[self.status]} ({certificate})", ConvergenceWarning, stacklevel=4
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
    if control.checkpoint is not None and control.checkpoint.exists():
        load_state(control.checkpoint, plan.fingerprint, state, best)
    monitor = Monitor(iteration.problem, plan, control, best)
    saved_at = time.perf_counter()
    k = best.iteration
    try:
        if best.x is None:
            monitor.look(0, iteration.solution(state), iteration.dual(state), iteration.residual(state))
            best.next_check = iteration.check_every
        while not monitor.status:
            target = min(best.next_check, control.max_iter)
            while k < target:
                count = min(target - k, iteration.check_every)
                iteration.advance(state, count)
                k += count
            certificate = monitor.look(k, iteration.solution(state), iteration.dual(state), iteration.residual(state))
            iteration.observe(state, certificate)
            best.next_check = k + max(iteration.check_every, k // 20)
            if control.checkpoint is not None and time.perf_counter() - saved_at > SECONDS_BETWEEN_CHECKPOINTS:
                save_state(control.checkpoint, plan.fingerprint, state, best)
                saved_at = time.perf_counter()
    except KeyboardInterrupt:
        if best.x is None:
            raise
        monitor.status = "interrupted"
        if control.checkpoint is not None:
            # The state may be half-way through an iteration: only the best points are safe to keep.
            best.seconds = monitor.seconds
    return monitor.result()


def _copy(a: Array) -> Array:
    return arrays.namespace(a).asarray(a, copy=True)
