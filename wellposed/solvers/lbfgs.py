"""L-BFGS for smooth objectives: SciPy's implementation under this library's monitor.

SciPy keeps its curvature pairs to itself, so the run is cut into segments that each begin with fresh
ones. A checkpoint is written between segments, and a resumed run follows the same path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers import smooth
from wellposed.solvers.checkpoint import Checkpoint
from wellposed.solvers.loop import Best, Control, Monitor
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.result import Result

CHECK_EVERY = 5
SEGMENT = 100
"""Iterations between fresh starts of the curvature."""


@dataclass
class State:
    """What a checkpoint keeps."""

    x: Array  # iterate
    scale: float  # norm of the gradient at zero or at the start, the larger one


def run_lbfgs(problem: Problem, plan: Plan, control: Control, x0: Array | None) -> Result:
    """Minimise a smooth objective with ``scipy.optimize``'s L-BFGS-B, which works in double precision."""
    driver = _Driver(problem, plan, control, x0)
    try:
        driver.run()
    except KeyboardInterrupt:
        if driver.monitor.certificate is None:
            raise
        driver.monitor.status = "interrupted"
    return driver.monitor.result()


class _Driver:
    """Hands SciPy values and gradients, and the monitor what SciPy reports."""

    def __init__(self, problem: Problem, plan: Plan, control: Control, x0: Array | None):
        self.problem = problem
        self.control = control
        self.terms = (*problem.terms, Term(problem.simple, None))
        x = problem.zeros() if x0 is None else problem.embed(x0)
        scale = self._slope(x)[1]
        if math.isfinite(self._value(problem.zeros())):
            scale = max(scale, self._slope(problem.zeros())[1])
        self.state, best = State(x, scale), Best()
        self.file = (
            None if control.checkpoint is None else Checkpoint(control.checkpoint, problem, plan.solver)
        )
        self.resumed = self.file is not None and self.file.load(self.state, best)
        self.monitor = Monitor(problem, plan, control, best)
        self.iteration = best.iteration

    def run(self) -> None:
        """Segments until the monitor says stop, or one of them gets nowhere."""
        monitor = self.monitor
        if not self.resumed:
            self._look()
        while not monitor.status:
            before = self.iteration
            self._segment(min(SEGMENT, self.control.max_iter - before))
            if self.iteration != monitor.best.iteration:
                self._look()
            if self.iteration == before:
                monitor.status = monitor.status or "stalled"
            self._save()

    def _save(self) -> None:
        if self.file is not None and self.monitor.status in ("", "max_iter", "stopped"):
            save = self.file.save if self.monitor.status else self.file.save_if_due
            save(self.state, self.monitor.best)

    def _segment(self, count: int) -> None:
        from scipy.optimize import minimize

        flat = arrays.to_host(self.state.x).reshape(-1).astype(np.float64)
        options = {"maxiter": count, "maxfun": 20 * count + 20, "ftol": 0.0, "gtol": 0.0}
        minimize(
            self._value_and_gradient, flat, jac=True, method="L-BFGS-B", callback=self._after, options=options
        )

    def _after(self, intermediate_result: Any) -> None:
        self.iteration += 1
        self.state.x = self._as_variable(intermediate_result.x)
        if self.iteration % CHECK_EVERY == 0 or self.iteration >= self.control.max_iter:
            self._look()
            if self.monitor.status:
                raise StopIteration

    def _look(self) -> None:
        residual = self._slope(self.state.x)[1]
        dual = (None,) * len(self.problem.terms)
        self.monitor.look(self.iteration, self.state.x, dual, (residual, self.state.scale))

    def _value_and_gradient(self, flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = self._as_variable(flat)
        at = smooth.images(self.terms, x)
        value = smooth.value(self.terms, at)
        if value == math.inf:
            # The line search cannot reckon with infinity; it steps back from a large number too.
            return 1e3 * (1 + abs(self._value(self.state.x))), np.zeros(flat.shape)
        gradient = smooth.pull_back(self.terms, smooth.slopes(self.terms, at))
        return value, arrays.to_host(gradient).reshape(-1).astype(np.float64)

    def _value(self, x: Array) -> float:
        return smooth.value(self.terms, smooth.images(self.terms, x))

    def _slope(self, x: Array) -> tuple[Array, float]:
        gradient = smooth.pull_back(self.terms, smooth.slopes(self.terms, smooth.images(self.terms, x)))
        return gradient, arrays.norm(gradient)

    def _as_variable(self, flat: np.ndarray) -> Array:
        like = self.problem.like
        host = flat.reshape(self.problem.shape)
        return arrays.namespace(like).asarray(
            host, dtype=like.dtype, device=arrays.device_of(like), copy=True
        )
