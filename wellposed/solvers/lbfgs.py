"""L-BFGS for smooth objectives: SciPy's implementation under this library's monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.checkpoint import load_state, save_state
from wellposed.solvers.loop import Best, Control, Monitor
from wellposed.solvers.plan import Plan
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Result

CHECK_EVERY = 5


@dataclass
class State:
    """What a checkpoint keeps; a resumed run starts from here with fresh curvature."""

    x: Array


def run_lbfgs(problem: Problem, plan: Plan, control: Control, x0: Array | None) -> Result:
    """Minimise a smooth objective with ``scipy.optimize``'s L-BFGS-B, which works in double precision."""
    from scipy.optimize import minimize

    state, best = State(problem.zeros() if x0 is None else problem.embed(x0)), Best()
    if control.checkpoint is not None and control.checkpoint.exists():
        load_state(control.checkpoint, plan.fingerprint, state, best)
    monitor = Monitor(problem, plan, control, best)
    objective = problem.objective
    start = best.iteration
    scale = arrays.norm(objective.gradient(problem.zeros()))

    def as_variable(flat: np.ndarray) -> Array:
        xp = arrays.namespace(problem.like)
        host = flat.reshape(problem.shape)
        return xp.asarray(host, dtype=problem.like.dtype, device=arrays.device_of(problem.like))

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = as_variable(flat)
        gradient = arrays.to_host(objective.gradient(x))
        return objective(x), gradient.reshape(-1).astype(np.float64)

    def look(iteration: int, flat: np.ndarray) -> None:
        state.x = as_variable(flat)
        residual = arrays.norm(objective.gradient(state.x))
        monitor.look(start + iteration, state.x, (None,) * len(problem.terms), (residual, scale))
        if control.checkpoint is not None:
            save_state(control.checkpoint, plan.fingerprint, state, best)

    iteration = 0

    def after_step(intermediate_result: Any) -> None:
        nonlocal iteration
        iteration += 1
        if iteration % CHECK_EVERY == 0 or start + iteration >= control.max_iter:
            look(iteration, intermediate_result.x)
            if monitor.status:
                raise StopIteration

    flat = arrays.to_host(state.x).reshape(-1).astype(np.float64)
    try:
        look(0, flat)
        if not monitor.status:
            options = {"maxiter": control.max_iter, "maxfun": 10 * control.max_iter, "ftol": 0.0, "gtol": 0.0}
            answer = minimize(
                value_and_gradient, flat, jac=True, method="L-BFGS-B", callback=after_step, options=options
            )
            if not monitor.status:
                look(iteration, answer.x)
                monitor.status = monitor.status or "stalled"
    except KeyboardInterrupt:
        monitor.status = "interrupted"
    return monitor.result()
