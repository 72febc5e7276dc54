"""The columns of a working set in memory, and the quadratic problem on them, column by column."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from wellposed.kernels import coordinate_blocks
from wellposed.solvers.coordinate.gram import Gram
from wellposed.solvers.coordinate.pool import MEMORY, MOST, Pool, extrapolated, without_means

WIDE = 2.0
"""Columns of the working set, relative to the rows, from which the Gram matrix is not formed."""

WIDE_GROUPS = 0.5
"""The same for groups, where Newton's method needs more steps."""

PATIENCE = 20
"""Extrapolations after which a Gram matrix is formed all the same."""

MANY = 3000
"""Columns above which it never is."""


class DensePool(Pool):
    """Columns as the rows of an array, or groups of them.

    For a quadratic loss and not too many columns their Gram matrix is formed; otherwise sweeps keep the
    slope in data space up to date.
    """

    def _gather(self, new: np.ndarray) -> None:
        columns = self.design.columns(new)
        # Groups of sparse columns overlap in most rows.
        columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
        known = self.columns if isinstance(self.columns, np.ndarray) else self.columns.toarray()
        self.columns = np.concatenate([known, columns])

    @cached_property
    def _gram(self) -> Gram:
        return Gram()

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """As `Pool.solve`."""
        limit = WIDE if self.penalty.groups is None else WIDE_GROUPS
        if self.quadratic and len(self.ids) <= limit * self.columns.shape[1]:
            self._gram.extend(self.columns, self.penalty.a, h, self._centred)
            return self._gram.solve(self.penalty, x, v, tol)
        return self._solve_by_columns(x, slope, h, tol)

    def _centred(self, columns: np.ndarray, h: np.ndarray) -> np.ndarray:
        mass = h.sum() if self.centred else 0.0
        if not mass > 0:
            return columns
        return without_means(columns, h)

    def _solve_by_columns(self, x: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        p, columns, groups = self.penalty, self.columns, self.penalty.groups
        mass = float(h.sum()) if self.centred else 0.0
        pulled = columns @ h
        curvature = self._curvature(h)
        first = np.arange(len(x) + 1) if groups is None else groups.first
        omega = np.zeros_like(x) if groups is None else groups.w
        x, m = x.copy(), slope.copy()
        trail = np.empty((MEMORY, len(x)), x.dtype)
        report = np.array([0.0, 0.0, m.sum() if self.centred else 0.0], x.dtype)
        for _ in range(PATIENCE if len(x) <= MANY else MOST):
            start = x.copy()
            coordinate_blocks.sweeps(
                x, m, columns, first, h, curvature, pulled,
                p.a, p.q, omega, p.w, p.low, p.high, mass, tol, trail, report,
            )  # fmt: skip
            if report[0] <= tol:
                return x
            better = extrapolated(np.concatenate([start[None], trail[: int(report[1])]]))
            if better is not None:
                self._try(np.clip(better, p.low, p.high), x, m, h, mass, report)
        return self._solve_by_gram(x, m, h, mass, tol) if len(x) <= MANY else x

    def _solve_by_gram(
        self, x: np.ndarray, m: np.ndarray, h: np.ndarray, mass: float, tol: float
    ) -> np.ndarray:
        """Where sweeps are slow; what is zero and violates nothing is left to the next quadratic problem."""
        p = self.penalty
        slope = m - h * (m.sum() / mass) if mass > 0 else m
        v = p.q - p.a * x + self.pull(slope)
        units = np.flatnonzero((p.violation(x, v) > 0) | self.used(x))
        ids = units if p.groups is None else p.groups.entries(units)
        gram, part = Gram(), p.restricted(units)
        gram.extend(self.columns[ids], part.a, h, self._centred)
        x[ids] = gram.solve(part, x[ids], v[ids], tol)
        return x

    def _curvature(self, h: np.ndarray) -> np.ndarray:
        """Of each column, or the largest eigenvalue of each group's block, a little above."""
        groups, a = self.penalty.groups, self.penalty.a
        if groups is None:
            if not self.centred:
                return np.asarray(np.einsum("ji,ji,i->j", self.columns, self.columns, h, optimize=False) + a)
            columns = self._centred(self.columns, h)
            return np.asarray(np.einsum("ji,ji,i->j", columns, columns, h, optimize=False) + a)
        known = self._known_curvature if self.quadratic else np.empty(0)
        new = []
        for start, end in zip(groups.first[len(known) : -1], groups.first[len(known) + 1 :], strict=True):
            block = self._centred(self.columns[start:end], h)
            new.append(np.linalg.eigvalsh((block * h) @ block.T)[-1] + a[start:end].max())
        self._known_curvature = np.concatenate([known, new])
        return (self._known_curvature * (1 + 1e-6)).astype(self.columns.dtype)

    _known_curvature = np.empty(0)
