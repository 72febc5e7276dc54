"""Lower levels that are not convex: the derivative of the stationary point near a given start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.bilevel import descent, linear
from wellposed.solvers.bilevel.pair import Pair, Sensitivity, Solved, _no_constants
from wellposed.solvers.bilevel.training import Minimisers, Slope, Training


def at_stationary_point(
    training: Training,
    t: np.ndarray,
    xs: Sequence[Array | None],
    qs: Sequence[Array | None],
    eps: float,
    delta: float,
) -> tuple[Minimisers, Slope]:
    """Descend from each start until the gradient is shorter than ``eps``, and solve with CG or MINRES.

    Nothing is known of the distance to the stationary point, so there is no bound.

    Raises
    ------
    ValueError
        If a start is missing, or the lower level is not smooth.
    """
    each = [
        _one(pair, training, t, x, q, eps, delta) for pair, x, q in zip(training.pairs, xs, qs, strict=True)
    ]
    losses = training.losses(training.vector.values(t))
    z = np.mean([s.z for _, s in each], axis=0)
    return Minimisers(t, tuple(s for s, _ in each), losses), Slope(z, math.inf, tuple(s for _, s in each))


def _one(
    pair: Pair, training: Training, t: np.ndarray, x: Array | None, q: Array | None, eps: float, delta: float
) -> tuple[Solved, Sensitivity]:
    values, vector, how = training.vector.values(t), training.vector, training.how
    at = pair.lower.at(values)
    if x is None or at.simple is not None:
        raise ValueError(
            f"pair {pair.number}: the lower level {pair.lower.objective} is not convex, so its minimiser "
            "need not be unique: give x near the stationary point that is meant (all terms must be smooth)"
        )
    found = descent.lbfgs(at.value_and_gradient, x, eps, how.max_lower)
    loss = pair.loss_at(values)
    slope, value = loss.gradient(found.x), loss(found.x)
    size = arrays.norm(slope)
    if found.status == "failed" or not math.isfinite(value + size):
        raise ValueError(f"pair {pair.number}: the loss or the lower level is not finite near x")
    solved = Solved(found.x, math.inf, found.residual, value, slope, size, found.iterations, found.status, x)
    solve = linear.solve(at.hessian(found.x), slope, q, delta, how.max_linear)
    z = -vector.slopes(t) * vector.pack(at.mixed(found.x, solve.q))
    sensitivity = Sensitivity(
        z, math.inf, _no_constants(0.0), solve.q, solve.residual, solve.iterations, solve.status
    )
    direct = [p for p in pair.loss.parameters if p.name in vector.names]
    if direct:
        inside = vector.slopes(t) * vector.pack(loss.parameter_gradient(found.x))
        sensitivity = replace(sensitivity, z=z + inside)
    return solved, sensitivity
