"""The loop that runs a learning method: history, limits, validation, progress, checkpoint, Ctrl-C."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers import checkpoint
from wellposed.solvers.bilevel.learned import Learned, Progress
from wellposed.solvers.bilevel.method import ROW_FIELDS, Method, Row, State, Step, Subset, xs_of
from wellposed.solvers.bilevel.training import Training
from wellposed.solvers.progress import SECONDS_BETWEEN_LINES

MESSAGES = {
    "converged": "The hypergradient, with the bound of its error, is below the tolerance.",
    "finished": "All points of the search were tried.",
    "max_iter": "The limit on the iterations was reached.",
    "max_work": "The limit on lower-level and linear iterations was reached.",
    "max_seconds": "The time was over.",
    "stalled": "No step is proven to decrease the loss: the accuracies are fixed, or rounding hides it.",
    "settled": "The last step gained, or the next would gain, a negligible share of the loss.",
    "stopped": "The callback asked to stop.",
    "interrupted": "Interrupted; what was learned so far is returned.",
}


@dataclass(frozen=True)
class Control:
    """How a run is stopped, watched and saved."""

    tol: float = 0.0
    max_iter: int = 100
    max_work: float = math.inf
    max_seconds: float = math.inf
    batch: int | None = None
    seed: int = 0
    callback: Callable[[Progress], Any] | None = None
    progress: bool | None = None
    checkpoint: Path | None = None
    mark: str = ""


class Run:
    """One run of a method.

    Parameters
    ----------
    method : Method
    training : Training
    validation : Training or None
    control : Control
    starts : sequence of array or None, optional
        Where the lower levels of the training pairs start; ``None`` is zero.
    """

    def __init__(
        self,
        method: Method,
        training: Training,
        validation: Training | None,
        control: Control,
        starts: Sequence[Array | None] | None = None,
    ):
        self.method, self.training, self.validation, self.control = method, training, validation, control
        pairs = len(training.pairs)
        t = training.vector.start.copy()
        aside = 0 if validation is None else len(validation.pairs)
        self.state = State(
            t,
            [None] * pairs if starts is None else list(starts),
            [None] * pairs,
            [None] * aside,
            np.zeros((0, len(ROW_FIELDS))),
            t.copy(),
        )
        self.memory = method.memory(training, self.state)
        self._begin = self._saved = time.perf_counter()
        self._shown = 0.0

    def run(self) -> Learned:
        """Until a limit, the method, or the user, ends it."""
        state = self.state
        if not self._resume():
            self._begin = time.perf_counter()
            self._record(self.method.start(self.training, state, self.memory))
        try:
            while not (state.status or self._over()):
                self._iterate()
                self._save(checkpoint.SECONDS_BETWEEN_SAVES)
        except KeyboardInterrupt:
            state.status = "interrupted"
        else:
            self._save(0.0)
        return self._result()

    # --- one iteration ------------------------------------------------------------------------

    def _iterate(self) -> None:
        state, indices = self.state, self._batch()
        if indices is None:
            step = self.method.step(self.training, state, self.memory)
        else:
            xs, qs = state.x, state.q
            x_part, q_part = Subset(indices, xs), Subset(indices, qs)
            state.x, state.q = x_part.get(), q_part.get()
            try:
                step = self.method.step(self.training.subset(indices), state, self.memory)
            finally:
                x_part.put(state.x)
                q_part.put(state.q)
                state.x, state.q = xs, qs
        if step.status == "converged" and not self.method.descends:
            state.status = "finished"
            return
        state.iteration += 1
        optimality = step.notes.get("optimality", math.inf)
        state.status = step.status
        if optimality <= self.control.tol:
            state.status = "converged"
        self._record(step)

    def _batch(self) -> list[int] | None:
        """The pairs of this iteration, drawn afresh from the seed and the iteration."""
        count, size = len(self.training.pairs), self.control.batch
        if size is None or size >= count:
            return None
        rng = np.random.default_rng([self.control.seed, self.state.iteration])
        return sorted(int(k) for k in rng.choice(count, size, replace=False))

    def _over(self) -> str:
        state, c = self.state, self.control
        if state.iteration >= c.max_iter:
            state.status = "max_iter"
        elif self._work() >= c.max_work:
            state.status = "max_work"
        elif self._seconds() >= c.max_seconds:
            state.status = "max_seconds"
        return state.status

    def _work(self) -> float:
        return (self.state.lower + self.state.linear) / len(self.training.pairs)

    def _seconds(self) -> float:
        return self.state.seconds + time.perf_counter() - self._begin

    # --- history ------------------------------------------------------------------------------

    def _record(self, step: Step) -> None:
        state = self.state
        t = step.notes.get("t", state.t)
        if math.isinf(step.loss) and state.iteration == 0:
            raise ValueError("the loss is infinite at the first values of the parameters: start elsewhere")
        validation = self._validate(t, step)
        row = Row(
            state.iteration,
            self._work(),
            step.loss,
            validation,
            step.eps,
            step.delta,
            step.step,
            step.slope,
            step.error,
            float(step.certified),
            state.lower,
            state.linear,
            self._seconds(),
        )
        state.rows = np.vstack([state.rows, [getattr(row, name) for name in ROW_FIELDS]])
        judged = validation if self.validation is not None else step.loss
        last = self.method.descends and self.validation is None
        if last or judged < state.best_loss:
            state.best_loss, state.best_t = judged, np.array(t)
        self._show(row)
        if self.control.callback is not None:
            seen = Progress(row, self.training.vector.values(t))
            if self.control.callback(seen) is False:
                state.status = state.status or "stopped"

    def _validate(self, t: np.ndarray, step: Step) -> float:
        if self.validation is None:
            return math.nan
        at = self.validation.solve(t, step.eps, self.state.x_validation)
        self.state.x_validation[:] = xs_of(at)
        return at.value

    def _show(self, row: Row) -> None:
        terminal = sys.stderr.isatty()
        wanted = terminal if self.control.progress is None else self.control.progress
        now = time.perf_counter()
        if not wanted or now - self._shown < (0.1 if terminal else SECONDS_BETWEEN_LINES):
            return
        self._shown = now
        seen = "" if math.isnan(row.validation) else f", validation {row.validation:.6g}"
        line = (
            f"{self.method.name}: iteration {row.iteration:.0f}, loss {row.loss:.6g}{seen}, "
            f"hypergradient {row.slope:.2e}, work {row.work:.0f}, {row.seconds:.1f} s"
        )
        sys.stderr.write(f"\r\x1b[2K{line}" if terminal else line + "\n")
        sys.stderr.flush()

    # --- checkpoint ---------------------------------------------------------------------------

    def _resume(self) -> bool:
        path, state = self.control.checkpoint, self.state
        if path is None or not path.exists():
            return False
        checkpoint.load_state(path, self.control.mark, state, self.memory)
        for pairs, starts in (
            (self.training.pairs, (state.x, state.q)),
            (self.validation.pairs if self.validation else (), (state.x_validation,)),
        ):
            for start in starts:
                start[:] = [
                    None if a is None else arrays.from_host(a, like=pair.lower.like)
                    for a, pair in zip(start, pairs, strict=True)
                ]
        if state.status in ("max_iter", "max_work", "max_seconds", "stopped", "interrupted"):
            state.status = ""
        self._begin = time.perf_counter()
        return True

    def _save(self, wait: float) -> None:
        now = time.perf_counter()
        if self.control.checkpoint is None or now - self._saved < wait:
            return
        self.state.seconds, self._begin = self._seconds(), now
        checkpoint.save_state(self.control.checkpoint, self.control.mark, self.state, self.memory)
        self._saved = time.perf_counter()

    # --- the end ------------------------------------------------------------------------------

    def _result(self) -> Learned:
        state, vector = self.state, self.training.vector
        if self._shown and sys.stderr.isatty():
            sys.stderr.write("\n")
        values = vector.values(state.best_t)
        rows = tuple(Row(*(float(v) for v in row)) for row in state.rows)
        chosen = self._chosen(rows)
        return Learned(
            parameters=tuple(p.with_value(values[p.name]) for p in vector.parameters),
            loss=chosen.loss,
            validation=chosen.validation,
            x=tuple(state.x),
            method=self.method.name,
            status=state.status,
            message=MESSAGES[state.status],
            history=rows,
            work=self._work(),
            lower_iterations=state.lower,
            linear_iterations=state.linear,
            seconds=self._seconds(),
        )

    def _chosen(self, rows: tuple[Row, ...]) -> Row:
        """The line of the history that belongs to the vector that is handed back."""
        if self.validation is not None:
            return min(rows, key=lambda row: row.validation)
        return rows[-1] if self.method.descends else min(rows, key=lambda row: row.loss)
