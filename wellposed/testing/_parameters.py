"""Checks of derivatives with respect to parameters by finite differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.parameter import Parameter
from wellposed.testing._probe import Probe

DIRECTIONS = 3
SHORTER = 0.1


def check_parameters_at(probe: Probe, f: Functional, x: Array) -> None:
    """The derivatives of the value, and of a smooth functional's gradient, with respect to its parameters."""
    if not f.parameters:
        return
    if has_parameter_gradient(f, x):
        probe.call("parameter_gradient", f.parameter_gradient, x)
        _check(probe, f, "parameter_gradient", lambda g: g.parameter_gradient(x), lambda g: g(x), abs(f(x)))
    v = probe.sample(tuple(x.shape))
    if f.traits.smooth and has_parameter_product(f, x, v):
        probe.call("parameter_product", f.parameter_product, x, v)
        size = arrays.norm(f.gradient(x)) * arrays.norm(v)
        _check(
            probe,
            f,
            "parameter_product",
            lambda g: g.parameter_product(x, v),
            lambda g: arrays.inner(g.gradient(x), v),
            size,
        )


def has_parameter_gradient(f: Functional, x: Array) -> bool:
    """Whether ``f`` knows the derivative of its value; one that does not refuses with `TypeError`."""
    try:
        f.parameter_gradient(x)
    except TypeError:
        return False
    return True


def has_parameter_product(f: Functional, x: Array, v: Array) -> bool:
    """Whether ``f`` knows the derivative of its gradient; one that does not refuses with `TypeError`."""
    try:
        f.parameter_product(x, v)
    except TypeError:
        return False
    return True


def _check(
    probe: Probe,
    f: Functional,
    name: str,
    derive: Callable[[Functional], dict[str, Any]],
    value: Callable[[Functional], float],
    size: float,
) -> None:
    """Each derivative that ``derive`` gives, against differences of ``value``, a number of size ``size``."""
    derivatives = derive(f)
    if set(derivatives) != {p.name for p in f.parameters}:
        raise probe.fail(f"{name} names {sorted(derivatives)}, not {sorted(p.name for p in f.parameters)}")
    for p in f.parameters:
        d = derivatives[p.name]
        kind = float if not p.shape else np.ndarray
        if type(d) is not kind or np.shape(d) != p.shape:
            raise probe.fail(
                f"{name} gives {type(d).__name__} of shape {np.shape(d)} for {p.name}, "
                f"not {kind.__name__} of shape {p.shape}"
            )
        # The best of several directions and steps: one may cross a kink, or be long for how fast slopes bend,
        # while a wrong derivative is always wrong.
        errors = []
        slack = 100 * probe.eps ** (2 / 3)
        for factor in (1.0, SHORTER) * DIRECTIONS:
            h = float(probe.eps ** (1 / 3)) * factor
            errors.append(_compare(probe, f, p, derive, value, size, h))
            if abs(errors[-1][0] - errors[-1][1]) <= slack * errors[-1][2]:
                break
        slope, change, scale = min(errors, key=lambda e: abs(e[0] - e[1]) / e[2] if e[2] else 0.0)
        probe.equal(f"{name} of {p.name} against central differences", slope, change, scale, slack)


def _compare(
    probe: Probe,
    f: Functional,
    p: Parameter,
    derive: Callable[[Functional], dict[str, Any]],
    value: Callable[[Functional], float],
    size: float,
    h: float,
) -> tuple[float, float, float]:
    """A directional derivative, the central difference, and the size that errors are measured by."""
    here = np.asarray(p.value)
    t = np.asarray(p.to_scale(here))
    length = h
    if p.transform == "identity":
        length *= max(1.0, float(np.abs(here).max(initial=0.0))) / math.sqrt(max(p.size, 1))
    direction = length * probe.rng.standard_normal(p.shape)
    above, below = (np.asarray(p.from_scale(t + sign * direction)) for sign in (1, -1))
    # Bounds may cut a step short: the derivative belongs to the middle.
    at, difference = 0.5 * (above + below), (above - below) / (2 * h)
    derivative = np.asarray(derive(f.with_parameters({p.name: at}))[p.name])
    slope = float(np.sum(derivative * difference))
    ends = [value(f.with_parameters({p.name: end})) for end in (above, below)]
    if not all(map(math.isfinite, ends)):
        raise probe.fail(f"the value next to {p.name} = {p.value} is not finite")
    change = (ends[0] - ends[1]) / (2 * h)
    terms = float(np.abs(derivative * difference).sum())
    # Values that are rounded to their size, divided by the step.
    return slope, change, terms + abs(change) + 0.01 * size
