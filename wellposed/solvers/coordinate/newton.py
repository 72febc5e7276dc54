"""Minimising on a working set: Newton's method around coordinate descent on quadratic problems."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.solvers.coordinate.form import Form

STEPS = 50
"""Newton steps at most on one working set."""

SUFFICIENT = 1e-4
"""Part of the predicted decrease that a step must bring."""

SHORTEST = 1e-10
"""Part of a Newton step below which rounding stops the line search."""

FLAT = 1e-6
"""Least curvature, relative to the largest, of the quadratic models."""


def minimise(
    form: Form, pool: Any, x: np.ndarray, u: np.ndarray, pull: np.ndarray, slope: np.ndarray, tol: float
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise over the columns of ``pool``, from ``x`` with predictions ``u``: the new ``x`` and ``u``.

    ``tol`` bounds the slope that is left, relative to a weight of the penalty.
    """
    ids, p = pool.ids, form.penalty
    at, v = x[ids], pull[ids]
    level = tol * (p.scale or float(np.abs(v).max(initial=0)))
    if form.loss.quadratic:
        at = pool.solve(at, v, slope, form.loss.curvature(u), level)
        u = pool.combine(at)
    else:
        at, u = _newton(form, pool, at, u, v, slope, level)
    x = x.copy()
    x[ids] = at
    return x, u


def _newton(
    form: Form, pool: Any, at: np.ndarray, u: np.ndarray, v: np.ndarray, slope: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    p, ids, loss = form.penalty, pool.ids, form.loss
    whole = np.zeros(form.design.shape[1], at.dtype)

    def penalty(z: np.ndarray) -> float:
        whole[ids] = z
        return p.value(whole, ids)

    value = loss.value(u) + penalty(at)
    for step in range(STEPS):
        if step > 0:
            slope = loss.value_and_slope(u)[1]
            v = p.q[ids] - p.a[ids] * at - pool.columns @ loss.pulled_back(slope)
        whole[ids] = at
        if step > 0 and _worst(form, pool, whole, v) <= level:
            break
        h = loss.curvature(u)
        h = np.maximum(h, FLAT * h.max(initial=0)).astype(at.dtype)
        inner = level if step else 0.3 * level
        target = pool.solve(at, v, slope, h, max(0.3 * inner, np.finfo(at.dtype).tiny))
        direction = target - at
        image = pool.combine(direction)
        old = penalty(at)
        # The directional derivative of the loss plus the change of the penalty: negative.
        predicted = float(-(v + p.a[ids] * at - p.q[ids]) @ direction) + penalty(target) - old
        if not predicted < 0:
            break
        share = 1.0
        while share > SHORTEST:
            new_u = u + at.dtype.type(share) * image
            new = at + at.dtype.type(share) * direction
            new_value = loss.value(new_u) + penalty(new)
            if new_value <= value + SUFFICIENT * share * predicted:
                break
            share *= 0.5
        else:
            break
        at, u, value = new, new_u, new_value
    return at, pool.combine(at)


def _worst(form: Form, pool: Any, whole: np.ndarray, v: np.ndarray) -> float:
    full = np.zeros_like(whole)
    full[pool.ids] = v
    return float(form.penalty.violation(whole, full).max(initial=0))
