"""A functional at each row of a matrix: values, subgradients and proximal points of many vectors at once.

Functionals that are sums over entries, and those with the methods ``row_values`` and ``row_subgradients``,
take all rows together; others take one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel


def row_values(f: Functional, x: Array) -> Array:
    """The value at each vector along the last axis of ``x``."""
    weight, inner = peel(f)
    if hasattr(inner, "row_values"):
        return weight * inner.row_values(x)
    xp = arrays.namespace(x)
    flat = xp.reshape(x, (-1, x.shape[-1]))
    values = np.asarray([f(flat[i, :]) for i in range(flat.shape[0])])
    return xp.reshape(arrays.as_namespace(values, x, "values"), tuple(x.shape[:-1]))


def row_subgradients(f: Functional, x: Array) -> Array:
    """One of the subgradients at each vector along the last axis of ``x``."""
    weight, inner = peel(f)
    if hasattr(inner, "row_subgradients"):
        return weight * inner.row_subgradients(x)
    if inner.traits.separable:
        return f.subgradient(x)
    return _one_by_one(f.subgradient, x)


def row_prox(f: Functional, x: Array, step: float = 1.0) -> Array:
    """The proximal point of each vector along the last axis of ``x``."""
    if f.traits.separable:
        return f.prox(x, step)
    return _one_by_one(lambda row: f.prox(row, step), x)


def _one_by_one(function: Callable[[Any], Any], x: Array) -> Array:
    xp = arrays.namespace(x)
    flat = xp.reshape(x, (-1, x.shape[-1]))
    rows = [function(flat[i, :]) for i in range(flat.shape[0])]
    return xp.reshape(xp.stack(rows), tuple(x.shape)) if rows else x
