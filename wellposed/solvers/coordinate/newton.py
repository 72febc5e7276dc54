"""Minimising on a working set: Newton's method around coordinate descent on quadratic problems."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from wellposed.solvers.coordinate.form import Form, Loss
from wellposed.solvers.coordinate.pool import Pool

STEPS = 50
"""Newton steps at most on one working set."""

SUFFICIENT = 1e-4
"""Part of the predicted decrease that a step must bring."""

SHORTEST = 1e-10
"""Part of a Newton step below which rounding stops the line search."""

SHARPER = 0.1
"""Slope that a quadratic problem is solved to, relative to the one where it begins."""

NOISE = 16.0
"""Rounding of an objective, in units of the precision: a step may increase it by that."""

FLAT = 1e-2
"""Least curvature of a sample of weight 1, relative to the largest, in the quadratic models."""

RARE = 1e-4
"""Least probability of a class in those of the cross-entropy, where small ones are the rule."""


def minimise(
    form: Form, pool: Pool, x: np.ndarray, u: np.ndarray, pull: np.ndarray, slope: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise over the columns of ``pool``, from ``x`` with predictions ``u``: the new ``x`` and ``u``.

    ``tol`` bounds the slope that is left, relative to a weight of the penalty.
    """
    at, v = x[pool.ids], pull[pool.ids]
    level = tol * (form.penalty.scale or float(np.abs(v).max(initial=0)))
    slope = form.loss.pulled_back(slope)
    if form.loss.quadratic:
        at = pool.solve(at, v, slope, form.loss.curvature(u), level)
    else:
        at = _newton(form.loss, pool, at, u, v, slope, level)
    x = x.copy()
    x[pool.ids] = at
    return x, pool.combine(at)


def _newton(
    loss: Loss, pool: Pool, at: np.ndarray, u: np.ndarray, v: np.ndarray, slope: np.ndarray, level: float
) -> np.ndarray:
    p, eps = pool.penalty, np.finfo(at.dtype).eps
    value = loss.value(u) + p.value(at)
    for step in range(STEPS):
        if step > 0:
            slope = loss.pulled_back(loss.value_and_slope(u)[1])
            v = pool.pull(slope) + p.q - p.a * at
        worst = float(p.violation(at, v).max(initial=0))
        if worst <= level:
            break
        noise = NOISE * eps * abs(value)
        for h in _curvatures(loss, u, at.dtype):
            target = pool.solve(at, v, slope, h, max(SHARPER * worst, 0.3 * level))
            direction = target - at
            # The slope of the loss along the step, plus the change of the penalty: negative.
            predicted = float((p.q - p.a * at - v) @ direction) + p.value(target) - p.value(at)
            found = _searched(loss, pool, at, u, direction, value, predicted, noise)
            if found is not None:
                break
        else:
            break
        at, u, value = found
    return at


def _curvatures(loss: Loss, u: np.ndarray, dtype: np.dtype[Any]) -> Iterator[np.ndarray]:
    """Newton's curvature, and where that leads nowhere (a loss with straight pieces) an upper bound."""
    h = loss.curvature(u)
    shares = loss.shares
    each = h if shares is None else np.divide(h, shares, out=np.zeros_like(h), where=shares > 0)
    largest = float(each.max(initial=0))
    if largest > 0:
        least = (RARE if loss.multinomial else FLAT) * largest
        yield np.maximum(h, least if shares is None else least * shares).astype(dtype)
    bound = loss.f.traits.lipschitz
    if bound is not None and math.isfinite(bound) and bound > 0:
        yield np.full(h.shape, bound, dtype) if shares is None else (bound * shares).astype(dtype)


def _searched(
    loss: Loss,
    pool: Pool,
    at: np.ndarray,
    u: np.ndarray,
    direction: np.ndarray,
    value: float,
    predicted: float,
    noise: float,
) -> tuple[np.ndarray, np.ndarray, float] | None:
    """The longest of ever shorter steps that decreases the objective enough, with predictions and value."""
    image, share = pool.combine(direction), 1.0
    while predicted < noise and share > SHORTEST:
        new, new_u = at + at.dtype.type(share) * direction, u + at.dtype.type(share) * image
        new_value = loss.value(new_u) + pool.penalty.value(new)
        if new_value <= value + SUFFICIENT * share * predicted + noise:
            return new, new_u, new_value
        share *= 0.5
    return None
