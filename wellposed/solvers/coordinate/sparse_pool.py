"""The columns of a working set of a sparse design, and the quadratic problem on them."""

from __future__ import annotations

import numpy as np

from wellposed.kernels import coordinate_sparse
from wellposed.solvers.coordinate.gram import Gram
from wellposed.solvers.coordinate.pool import MEMORY, MOST, Pool, extrapolated

THICK = 8
"""Columns, relative to their stored entries, up to which the Gram matrix of a quadratic loss is formed."""

LIGHT = 100_000
"""Stored entries that are swept over before an extrapolation, about."""

LONGEST = 20
"""Sweeps before one at most."""

PATIENCE = 20
"""Extrapolations after which the Gram matrix is formed all the same."""

MANY = 3000
"""Columns above which it never is."""

NOTHING = 10.0
"""Length of what centring leaves of a column, in rounding errors of it, below which it is constant."""


class SparsePool(Pool):
    """Columns of a sparse design; sweeps keep the slope in data space up to date."""

    def _gather(self, new: np.ndarray) -> None:
        self.columns = self.design.columns(self.ids)
        self._starts = self.columns.indptr.astype(np.int64)
        self._rows = self.columns.indices.astype(np.int64)

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """As `Pool.solve`."""
        p, columns = self.penalty, self.columns
        mass = float(h.sum()) if self.centred else 0.0
        pulled, curvature = self._curvature(h, mass)
        if self.quadratic and len(self.ids) ** 2 <= THICK * columns.nnz:
            return self._by_gram(h, mass, pulled, curvature).solve(p, x, v, tol)
        curvature = curvature + p.a
        x, m = x.copy(), slope.copy()
        trail = np.empty((max(MEMORY, min(LIGHT // (1 + columns.nnz), LONGEST)), len(x)), x.dtype)
        report = np.array([0.0, 0.0, m.sum() if self.centred else 0.0], x.dtype)
        for _ in range(PATIENCE if len(x) <= MANY else MOST):
            start = x.copy()
            coordinate_sparse.sweeps(
                x, m, columns.data, self._rows, self._starts, h, curvature, pulled,
                p.a, p.q, p.w, p.low, p.high, mass, tol, trail, report,
            )  # fmt: skip
            if report[0] <= tol:
                return x
            better = extrapolated(np.concatenate([start[None], trail[: int(report[1])]])[-MEMORY - 1 :])
            if better is not None:
                self._try(np.clip(better, p.low, p.high), x, m, h, mass, report)
        if len(x) > MANY:
            return x
        slope = m - h * (m.sum() / mass) if mass > 0 else m
        v = p.q - p.a * x + self.pull(slope)
        return self._by_gram(h, mass, pulled, curvature - p.a).solve(p, x, v, tol)

    def _by_gram(self, h: np.ndarray, mass: float, pulled: np.ndarray, curvature: np.ndarray) -> Gram:
        """The Gram matrix, with the mean products taken away where an intercept is free."""
        weighted = self.columns.copy()
        weighted.data = weighted.data * h[self._rows]
        G = (weighted @ self.columns.T).toarray()
        if mass > 0:
            G -= np.outer(pulled, pulled) / G.dtype.type(mass)
            constant = curvature == 0
            G[constant] = 0
            G[:, constant] = 0
        G[np.diag_indices_from(G)] = curvature + self.penalty.a
        return Gram(G)

    def _curvature(self, h: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
        """Sums over each column of ``h`` times it and its (centred) square."""
        data, starts = self.columns.data, self._starts
        at = h[self._rows]
        owner = np.repeat(np.arange(len(starts) - 1), np.diff(starts))

        def sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(owner, values, len(starts) - 1)

        pulled, length = sums(at * data), sums(at * data * data)
        if mass > 0:
            # sum h (a - mean)^2 over the stored entries, plus mean^2 for the others.
            mean = pulled / mass
            centred = sums(at * (data - mean[owner]) ** 2) + mean**2 * np.maximum(mass - sums(at), 0)
            noise = NOTHING * np.finfo(h.dtype).eps
            length = np.where(centred <= noise**2 * length, 0, centred)
        return pulled.astype(h.dtype), length.astype(h.dtype)
