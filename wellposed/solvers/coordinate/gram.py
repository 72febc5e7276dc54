"""The columns of a working set with their Gram matrix, and the quadratic problem on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg

from wellposed.kernels import coordinate_gram
from wellposed.solvers.coordinate.design import Design
from wellposed.solvers.coordinate.penalty import Penalty

BURST = 5
"""Sweeps between two looks at the support."""

MOST = 4000
"""Sweeps at most for one quadratic problem."""

NOTHING = 16.0
"""Size of what centring leaves of a column, in rounding errors of its entries, below which it is constant."""


class GramPool:
    """Columns of a design, gathered once and kept, with their Gram matrix."""

    def __init__(self, design: Design, penalty: Penalty, centred: bool):
        self.design, self.penalty, self.centred = design, penalty, centred
        self.units = self.ids = np.empty(0, np.int64)
        self.columns = design.columns(self.ids)
        self._gram = np.empty((0, 0), self.columns.dtype)
        self._weights: np.ndarray | None = None
        self._grew = False
        """Whether the last Gram matrix only added to the one before."""

    def extend(self, units: np.ndarray) -> None:
        """Add columns."""
        if len(units) > 0:
            self._add(units, units)

    def _add(self, units: np.ndarray, ids: np.ndarray) -> None:
        new = self.design.columns(ids)
        # The Gram matrix of groups of sparse columns is dense in any case.
        new = new if isinstance(new, np.ndarray) else new.toarray()
        self.columns = np.concatenate([_dense(self.columns), new])
        self.units = np.concatenate([self.units, units])
        self.ids = np.concatenate([self.ids, ids])

    def combine(self, x: np.ndarray) -> np.ndarray:
        """The sum of the columns times ``x``."""
        return np.asarray(x @ self.columns)

    def gram(self, h: np.ndarray) -> np.ndarray:
        """The Gram matrix with weights ``h`` on the rows; what is known of it is not computed again."""
        self._grew = self._weights is not None and np.array_equal(h, self._weights)
        if not self._grew:
            self._gram = self._gram[:0, :0]
            self._weights = h
        known, count = len(self._gram), len(self.ids)
        if known < count:
            scaled = self._centred(self.columns[known:], h) * h
            block = scaled @ self._centred(self.columns, h).T
            grown = np.empty((count, count), block.dtype)
            grown[:known, :known] = self._gram
            grown[known:] = block
            grown[:known, known:] = block[:, :known].T
            new = np.arange(known, count)
            grown[new, new] += self.penalty.a[self.ids[known:]]
            self._gram = grown
        return self._gram

    def _centred(self, columns: np.ndarray, h: np.ndarray) -> np.ndarray:
        mass = h.sum() if self.centred else 0.0
        if not mass > 0:
            return columns
        centred = columns - ((columns @ h) / mass)[:, None]
        # What is left of a constant column is rounding.
        size = np.abs(columns).max(axis=1, initial=0)
        noise = NOTHING * np.finfo(columns.dtype).eps * size
        centred[np.abs(centred).max(axis=1, initial=0) <= noise] = 0
        return np.asarray(centred)

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser on the working set of the quadratic with curvature ``h``, from ``x`` with pull ``v``."""
        G = self.gram(h)
        x, v = x.copy(), v.copy()
        w = self.penalty.w[self.ids]
        report = np.zeros(2, x.dtype)
        tried: np.ndarray | None = None
        signs = np.sign(x)
        for _ in range(0, MOST, BURST):
            coordinate_gram.sweeps(x, v, G, w, self.penalty.low, self.penalty.high, BURST, tol, report)
            if report[0] <= tol:
                break
            before, signs = signs, np.sign(x)
            settled = np.array_equal(before, signs)
            if settled and (tried is None or not np.array_equal(tried, signs)):
                tried = signs
                self._newton(x, v, G, w)
        return x

    def _newton(self, x: np.ndarray, v: np.ndarray, G: np.ndarray, w: np.ndarray) -> None:
        """Solve for the coefficients that are neither 0 nor at a bound, where that decreases the objective."""
        p = self.penalty
        S = np.flatnonzero((x != 0) & (x > p.low) & (x < p.high))
        if len(S) == 0:
            return
        H = G[np.ix_(S, S)]
        try:
            factor = scipy.linalg.cho_factor(H, lower=True, overwrite_a=False, check_finite=False)
        except scipy.linalg.LinAlgError:
            return
        d = scipy.linalg.cho_solve(factor, v[S] - w[S] * np.sign(x[S]), check_finite=False)
        for target in self._targets(x[S], d):
            step = target - x[S]
            away = H @ step
            change = 0.5 * step @ away - v[S] @ step + w[S] @ (np.abs(target) - np.abs(x[S]))
            if change < 0:
                x[S] = target
                v -= step @ G[S]
                return

    def _targets(self, x: np.ndarray, d: np.ndarray) -> list[np.ndarray]:
        """The full step with crossings of 0 and of bounds cut off, then the step to the first of them."""
        p = self.penalty
        full = np.clip(x + d, p.low, p.high)
        crossed = full * x < 0
        full = np.where(crossed, 0, full).astype(x.dtype)
        low = np.where(x > 0, max(p.low, 0.0), p.low)
        high = np.where(x < 0, min(p.high, 0.0), p.high)
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(d > 0, (high - x) / d, np.where(d < 0, (low - x) / d, np.inf))
        first = min(1.0, float(room.min()))
        short = np.clip(x + first * d, low, high).astype(x.dtype)
        return [full, short] if first < 1 else [full]


def _dense(columns: Any) -> np.ndarray:
    return columns if isinstance(columns, np.ndarray) else np.asarray(columns.toarray())
