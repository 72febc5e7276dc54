r"""Derivatives without a linear system, for comparison: of one step of gradient descent, or of a run.

A step is :math:`x^+ = \mathrm{prox}_{\tau r}(x - \tau \nabla s(x))`. In reverse, with ``D`` the derivative
of the proximal map (1 where the lower level is smooth), a slope ``a`` at ``x^+`` passes on as

.. math:: \bar a = D a, \qquad z \leftarrow z - \tau J^T \bar a + (\partial_\theta \mathrm{prox})^T a, \qquad
          a \leftarrow \bar a - \tau \nabla^2 s\, \bar a
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.bilevel import nonsmooth
from wellposed.solvers.bilevel.lower import Lower, LowerAt
from wellposed.solvers.bilevel.pair import Pair, Sensitivity, Solved, _no_constants
from wellposed.solvers.bilevel.training import Minimisers, Slope, Training
from wellposed.solvers.bilevel.vector import ParameterVector


def one_step(training: Training, at: Minimisers) -> Slope:
    """The derivative of one step at each minimiser."""
    each = [
        _reverse(pair, training.vector, at.t, [s.x], s.slope)
        for pair, s in zip(training.pairs, at.solved, strict=True)
    ]
    return Slope(np.mean([s.z for s in each], axis=0), math.inf, tuple(each))


def unroll(
    training: Training, t: np.ndarray, xs: Sequence[Array | None], steps: int
) -> tuple[Minimisers, Slope]:
    """The derivative of ``steps`` steps from ``xs``, which keeps all iterates in memory."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a positive integer, got {steps!r}")
    solved, each = [], []
    values = training.vector.values(t)
    for pair, start in zip(training.pairs, xs, strict=True):
        at = pair.lower.at(values)
        x = pair.lower.zeros() if start is None else start
        path = [x]
        for _ in range(steps):
            x = _step(at, x)
            path.append(x)
        # How far the last point is from a fixed point, in units of a gradient.
        residual = at.L * arrays.norm(path[-1] - path[-2])
        loss = pair.loss_at(values)
        slope = loss.gradient(x)
        value, size = loss(x), arrays.norm(slope)
        if not math.isfinite(value + size + residual):
            raise ValueError(f"pair {pair.number}: the loss is not finite after {steps} steps")
        distance = residual / at.mu if at.mu > 0 else math.inf
        solved.append(Solved(x, distance, residual, value, slope, size, steps, "converged", path[0]))
        each.append(_reverse(pair, training.vector, t, path[:-1], slope))
    losses = training.losses(values)
    z = np.mean([s.z for s in each], axis=0)
    return Minimisers(t, tuple(solved), losses), Slope(z, math.inf, tuple(each))


def _step(at: LowerAt, x: Array) -> Array:
    tau = 1 / at.L
    x = x - tau * at.gradient(x)
    return x if at.simple is None else at.simple.prox(x, tau)


def _reverse(
    pair: Pair, vector: ParameterVector, t: np.ndarray, path: list[Array], slope: Array
) -> Sensitivity:
    """Pull the slope of the loss back through the steps that began at the points of ``path``."""
    lower, at = pair.lower, pair.lower.at(vector.values(t))
    z, a = np.zeros(vector.size), slope
    for x in reversed(path):
        z_step, a = _pull_back(lower, at, vector, t, x, a)
        z = z + z_step
    z = vector.slopes(t) * z
    if any(p.name in vector.names for p in pair.loss.parameters):
        direct = pair.loss_at(vector.values(t)).parameter_gradient(path[-1])
        z = z + vector.slopes(t) * vector.pack(direct)
    return Sensitivity(z, math.inf, _no_constants(at.mu), a, 0.0, len(path), "converged")


def _pull_back(
    lower: Lower, at: LowerAt, vector: ParameterVector, t: np.ndarray, x: Array, a: Array
) -> tuple[np.ndarray, Array]:
    tau = 1 / at.L
    z = np.zeros(vector.size)
    if at.simple is not None:
        argument = x - tau * at.gradient(x)
        z = nonsmooth.through_prox(lower, vector, t, argument, tau, a)
        a = nonsmooth.prox_derivative(at.simple, argument, tau) * a
    return z - tau * vector.pack(at.mixed(x, a)), a - tau * at.hessian(x)(a)
