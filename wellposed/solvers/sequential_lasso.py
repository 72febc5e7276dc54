r"""One round of sequential selection: which features the Lasso takes just below its largest weight.

.. math:: \min_{x_S, x_R} \; \tfrac12 \|X x - b\|_2^2 + \lambda \sum_{j \in R} \|x_j\|_2,
          \qquad \lambda = (1 - \delta) \max_{j \in R} \|x_j^T r\|_2

The selected features :math:`S` are free, so that their columns can be projected away: with ``P`` that
projection, the columns become ``P X`` and the data the residual ``r = P b``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from wellposed.kernels.coordinate_gram import sweeps
from wellposed.solvers.result import Certificate
from wellposed.solvers.sequential_basis import Basis, row_sizes

ACCURACY = 1e-3
"""Violation of the optimality condition that is accepted, as a part of the distance to the largest weight."""

ROUNDS = 50
"""Working sets at most."""

SWEEPS = 20_000
"""Of coordinate descent on a working set, at most."""

Inner = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]
"""From Gram matrix, correlations, weight and accuracy to the coefficients of a working set."""


def lasso_round(
    basis: Basis, pull: np.ndarray, doubt: np.ndarray, below: float, inner: Inner
) -> tuple[list[int], Certificate, bool]:
    """The features that are active, the largest first, the gap, and whether no other can be.

    Parameters
    ----------
    basis : Basis
    pull : array of shape (features, count)
        Correlations with the residual.
    doubt : array of shape (features,)
        Bounds of their errors, 0 near the largest: not used, as the certificate computes its own.
    below : float
        The distance of the weight from the largest one, relative to it.
    inner : callable
    """
    size = row_sizes(pull)
    working = np.flatnonzero(size >= (1 - below) * size.max())
    columns = _columns(basis, working)
    # From the columns themselves: in single precision the correlations could miss a small ``below``.
    weight = (1 - below) * float(row_sizes(columns.T @ basis.residual).max())
    slack = weight * (1 + max(ACCURACY * below, 8 * basis.epsilon))
    for _ in range(ROUNDS):
        x = inner(columns.T @ columns, columns.T @ basis.residual, weight, below)
        rest = basis.residual - columns @ x
        back = basis.correlations(rest)
        size = row_sizes(back)
        size[working] = 0.0
        if not (size > slack).any():
            break
        more = np.flatnonzero(size > slack)
        working = np.concatenate([working, more])
        columns = np.concatenate([columns, _columns(basis, more)], axis=1)
    x = x * (row_sizes(x) > 0)[:, None]
    certificate, reach = _certificate(basis, below, weight, x, working, rest, back)
    length = row_sizes(x)
    order = np.argsort(-length, kind="stable")
    features = [int(working[k]) for k in order if length[k] > 0]
    reach[features] = 0.0
    return features, certificate, bool(reach.max() < weight)


def _columns(basis: Basis, features: np.ndarray) -> np.ndarray:
    return np.stack([basis.rest(basis.column(int(j))) for j in features], axis=1)


def _certificate(
    basis: Basis,
    below: float,
    weight: float,
    x: np.ndarray,
    working: np.ndarray,
    rest: np.ndarray,
    back: np.ndarray,
) -> tuple[Certificate, np.ndarray]:
    """The gap for the residual scaled until it is feasible, and how large each dual correlation can be.

    The gap is a sum of terms of one sign: as a difference of two values it would be lost in rounding, since
    the Lasso lowers the objective by a part of ``below ** 2`` only.
    """
    size = row_sizes(back)
    scale = min(1.0, weight / float(size.max()))
    lengths = row_sizes(x)
    slack = weight * lengths - scale * np.sum(x * back[working], axis=1)
    total = float(np.sum(rest**2))
    gap = 0.5 * (1 - scale) ** 2 * total + max(float(slack.sum()), 0.0)
    primal = 0.5 * total + weight * float(lengths.sum())
    # At 0, with the residual scaled, the gap is this: what there is to be gained at most.
    unit = 0.5 * below**2 * basis.norms[-1] ** 2
    note = "the residual, orthogonal to the selected columns, is scaled; relative to the gap at 0"
    certificate = Certificate("duality gap", gap, unit, primal, primal - gap, note)
    # The dual objective is strongly concave with constant 1.
    radius = math.sqrt(2 * gap)
    rounding = basis.rounding(math.sqrt(total), len(rest))
    return certificate, scale * size + radius * basis.lengths + rounding


def coordinate_descent(G: np.ndarray, q: np.ndarray, weight: float, below: float) -> np.ndarray:
    """The Lasso on a working set; for several targets, a group for each feature."""
    x, tol = np.zeros(q.shape), 1e-6 * below * weight
    if q.shape[1] > 1:
        return _blocks(G, q, weight, tol)
    line, v = x[:, 0].copy(), q[:, 0].copy()
    gram, weights = np.ascontiguousarray(G), np.full(len(G), weight)
    sweeps(line, v, gram, weights, -np.inf, np.inf, SWEEPS, tol, np.zeros(2))
    return line[:, None]


def _blocks(G: np.ndarray, q: np.ndarray, weight: float, tol: float) -> np.ndarray:
    x, v = np.zeros(q.shape), q.copy()
    for _ in range(SWEEPS):
        worst = 0.0
        for j, curvature in enumerate(np.diagonal(G)):
            if curvature == 0:
                continue
            z = v[j] + curvature * x[j]
            size = float(np.linalg.norm(z))
            new = z * (max(size - weight, 0.0) / (curvature * size)) if size > 0 else 0 * z
            step = new - x[j]
            if step.any():
                x[j] = new
                v -= np.outer(G[j], step)
                worst = max(worst, curvature * float(np.abs(step).max()))
        if worst <= tol:
            break
    return x


__all__ = ["coordinate_descent", "lasso_round"]
