r"""Effective degrees of freedom of a sparse solution.

On the entries ``S`` of ``x`` that may move, with the Hessian :math:`H` of the data fit and :math:`C` of the
penalty there, the estimate is :math:`\mathrm{tr}\,(H + C)^{-1} H`: the number of entries for an L1 norm,
that of ridge regression for the elastic net, and for groups as in S. Vaiter et al., The degrees of freedom
of partly smooth regularizers, 2017.
"""

from __future__ import annotations

import math

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.datafits import DataFit
from wellposed.functionals.elastic_net import ElasticNet
from wellposed.functionals.groups import GroupL2
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.norms import L1, SquaredL2
from wellposed.functionals.objective import Objective
from wellposed.functionals.slope import SLOPE
from wellposed.functionals.sparse_group import SparseGroup
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, SparseMatrix
from wellposed.solvers.selection_data import fits_in


def degrees_of_freedom(objective: Objective, x: Array) -> float:
    """Of a solution, without the intercept; NaN for penalties of which they are not known."""
    host = arrays.to_host(x).reshape(-1).astype(np.float64)
    free, curved = host != 0, np.zeros((0, 0))
    fits: list[tuple[float, DataFit]] = []
    penalties: list[tuple[float, Functional]] = []
    for term in objective.terms:
        c, f = peel(term)
        if isinstance(f, DataFit):
            fits.append((c, f))
        elif isinstance(f, Box):
            free &= (host > f.low) & (host < f.high)
        elif not isinstance(f, NonNegative):
            penalties.append((c, f))
    inside = [fit for term in objective.terms for fit in fits_in(term)]
    if len(fits) != 1 or len(inside) != 1 or not _sparse(penalties):
        return math.nan
    if any(isinstance(f, SLOPE) for _, f in penalties):
        return float(len(np.unique(np.abs(host[free]))))
    support = np.flatnonzero(free)
    curved = sum((c * _curvature(f, host, support) for c, f in penalties), np.zeros((len(support),) * 2))
    fit = fits[0][1]
    if not curved.any():
        return float(min(len(support), math.prod(fit.b.shape)))
    return _trace(fits[0][0], fit, x, support, curved)


def _sparse(penalties: list[tuple[float, Functional]]) -> bool:
    known = (L1, ElasticNet, GroupL2, SparseGroup, SquaredL2, SLOPE)
    return bool(penalties) and all(isinstance(f, known) for _, f in penalties)


def _curvature(f: Functional, x: np.ndarray, support: np.ndarray) -> np.ndarray:
    """The Hessian of a penalty along the entries that may move."""
    if isinstance(f, ElasticNet):
        return f._weights[1] * np.eye(len(support))
    if isinstance(f, SquaredL2):
        weights = np.ones(len(x)) if f.weights is None else np.broadcast_to(arrays.to_host(f._w(x)), x.shape)
        return np.diag(weights[support])
    if isinstance(f, (GroupL2, SparseGroup)):
        return _of_groups(f, x, support)
    return np.zeros((len(support),) * 2)


def _of_groups(f: GroupL2 | SparseGroup, x: np.ndarray, support: np.ndarray) -> np.ndarray:
    shape, count = f._layout[1], f._layout[2]
    numbers = np.asarray(f._numbers(x if shape is None else x.reshape(shape))).reshape(-1)[support]
    values = x[support]
    sizes = np.sqrt(np.bincount(numbers, values**2, count + 1))
    weights = np.append(np.asarray(f._radii(np.zeros(count))), 0.0)
    ratio = (weights / np.where(sizes > 0, sizes, 1.0))[numbers]
    direction = values / sizes[numbers]
    same = numbers[:, None] == numbers[None, :]
    return np.asarray(np.diag(ratio) - np.where(same, np.outer(ratio * direction, direction), 0.0))


def _trace(c: float, fit: DataFit, x: Array, support: np.ndarray, curved: np.ndarray) -> float:
    u = (x if fit.A is None else fit.A(x)) + fit.intercept_at(x)
    h = c * arrays.to_host(fit._curvature(u) + 0.0 * fit.b).reshape(-1).astype(np.float64)
    columns = _columns(fit.A, len(curved), support, x)
    if getattr(fit, "intercept", False) and h.sum() > 0:
        columns = columns - (h @ columns) / h.sum()
    H = (columns.T * h) @ columns
    return float(np.trace(np.linalg.lstsq(H + curved, H, rcond=None)[0]))


def _columns(A: LinearOperator | None, count: int, support: np.ndarray, x: Array) -> np.ndarray:
    """The columns of an operator at some entries, in double precision."""
    if isinstance(A, DenseMatrix):
        return np.asarray(arrays.to_host(A.matrix)[:, support], dtype=np.float64)
    if isinstance(A, SparseMatrix):
        return np.asarray(A.matrix[:, support].toarray(), dtype=np.float64)
    columns = []
    for j in support:
        unit = np.zeros(math.prod(x.shape), arrays.to_host(x).dtype)
        unit[j] = 1
        e = arrays.from_host(unit.reshape(tuple(x.shape)), x)
        columns.append(arrays.to_host(e if A is None else A(e)).reshape(-1).astype(np.float64))
    return np.stack(columns, axis=1) if columns else np.zeros((0, count))
