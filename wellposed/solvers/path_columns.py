"""The columns in use along a path of weights, and the minimisers on them, one weight after another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.kernels import coordinate_path
from wellposed.solvers.coordinate.gram import Gram
from wellposed.solvers.coordinate.penalty import Penalty
from wellposed.solvers.coordinate.sparse_pool import SparsePool

if TYPE_CHECKING:
    from wellposed.solvers.path_blocks import Squares

SWEEPS = 30
"""Sweeps for one weight after which Newton's method takes over, at least."""

UPDATES = 20_000
"""Updates of single coefficients up to which sweeps cost less than a step of Newton's method."""

NOTHING = 64.0
"""Squared length that centring leaves of a constant column, in rounding errors of the whole, at most."""


class DenseColumns:
    """Columns with their Gram matrix."""

    LARGEST = 4096
    """Columns from which it would be too large."""

    def __init__(self, squares: Squares, pull: np.ndarray):
        self.squares, self.pull = squares, pull
        self.dtype = pull.dtype
        self.mass = float(squares.h.sum()) if squares.centred else 0.0
        self.ids = np.empty(0, np.int64)
        self.columns = squares.form.design.columns(self.ids)
        self.G = np.empty((0, 0), self.dtype)

    def extend(self, new: np.ndarray) -> None:
        """Take columns into use."""
        known, count = len(self.ids), len(self.ids) + len(new)
        self.ids = np.concatenate([self.ids, new])
        columns = self.squares.form.design.columns(new)
        self.columns = np.concatenate([self.columns, columns])
        grown = np.empty((count, count), self.dtype)
        grown[:known, :known] = self.G
        grown[known:] = self._products(columns)
        grown[:known, known:] = grown[known:, :known].T
        self.G = grown

    def _products(self, new: np.ndarray) -> np.ndarray:
        """The products of new columns with all in use, weighted, and centred where an intercept is free."""
        h, columns = self.squares.h, self.columns
        block = (new * h) @ columns.T
        if not self.mass > 0:
            return np.asarray(block)
        means, all_means = new @ h, columns @ h
        own = np.arange(len(means)), np.arange(len(all_means) - len(means), len(all_means))
        whole = block[own].copy()
        block -= np.outer(means, all_means / self.dtype.type(self.mass))
        # What is left of a constant column is rounding.
        nothing = block[own] <= NOTHING * np.finfo(self.dtype).eps * whole
        block[nothing] = 0
        block[:, own[1][nothing]] = 0
        return np.asarray(block)

    def minimisers(self, x: np.ndarray, weights: np.ndarray, slope: float) -> np.ndarray:
        """One row for each weight, to slopes relative to the weights; ``x`` is a guess of the first."""
        p = self.squares.unit.restricted(self.ids)
        X = np.zeros((len(weights), len(self.ids)), self.dtype)
        if len(self.ids) == 0:
            return X
        X[0] = x
        c = self.pull[self.ids]
        v = c - x @ self.G
        tols = (slope * float(np.median(p.w)) * weights).astype(self.dtype)
        report = np.zeros(1, self.dtype)
        begin, most = 0, max(SWEEPS, UPDATES // len(x))
        while True:
            coordinate_path.sweeps_along(
                X, v, self.G, p.w, p.a, p.q, weights, p.low, p.high, begin, most, tols, report
            )
            stuck = int(report[0])
            if stuck == len(weights):
                return X
            X[stuck] = self._newton(X[stuck], v, _times(p, weights[stuck]), float(tols[stuck]))
            if stuck + 1 == len(weights):
                return X
            X[stuck + 1], begin = X[stuck], stuck + 1
            v = c - X[stuck] @ self.G

    def _newton(self, x: np.ndarray, v: np.ndarray, p: Penalty, tol: float) -> np.ndarray:
        G = self.G + np.diag(p.a) if p.a.any() else self.G
        return Gram(G).solve(p, x, v + p.q - p.a * x, tol)


class SparseColumns:
    """Columns of a sparse matrix, for which sweeps in data space cost less than a Gram matrix."""

    LARGEST = 1 << 30

    def __init__(self, squares: Squares, pull: np.ndarray):
        self.squares, self.dtype = squares, pull.dtype
        self.mass = float(squares.h.sum()) if squares.centred else 0.0
        self._pool = SparsePool(squares.form.design, squares.unit, squares.centred, quadratic=False)

    @property
    def ids(self) -> np.ndarray:
        """Which columns are in use."""
        return self._pool.ids

    @property
    def columns(self) -> Any:
        """They, as the rows of a sparse array."""
        return self._pool.columns

    def extend(self, new: np.ndarray) -> None:
        """As `DenseColumns.extend`."""
        self._pool.extend(new)

    def minimisers(self, x: np.ndarray, weights: np.ndarray, slope: float) -> np.ndarray:
        """As `DenseColumns.minimisers`."""
        s, pool = self.squares, self._pool
        X = np.zeros((len(weights), len(self.ids)), self.dtype)
        if len(self.ids) == 0:
            return X
        unit = s.unit.restricted(self.ids)
        level = slope * float(np.median(unit.w))
        for k, weight in enumerate(weights):
            u = pool.combine(x)
            if self.mass > 0:
                u -= (u @ s.h) / self.dtype.type(self.mass)
            pool.penalty = _times(unit, weight)
            X[k] = x = pool.solve(x, x, s.h * (u - s.b), s.h, level * float(weight))
        return X


def _times(unit: Penalty, weight: Any) -> Penalty:
    """A penalty times a weight."""
    return Penalty(weight * unit.w, weight * unit.a, unit.q, unit.low, unit.high)
