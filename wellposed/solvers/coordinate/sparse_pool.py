r"""The columns of a working set of a sparse design, and the quadratic problem on them.

Sweeps of coordinate descent are extrapolated after every fifth (Anderson acceleration, as in
Q. Bertrand and M. Massias, Anderson acceleration of coordinate descent, 2021), where that decreases
the objective.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.kernels import coordinate_sparse
from wellposed.solvers.coordinate.design import SparseDesign
from wellposed.solvers.coordinate.penalty import Penalty

MEMORY = 5
"""Sweeps that one extrapolation joins."""

MOST = 1000
"""Extrapolations at most for one quadratic problem."""

NOTHING = 10.0
"""Squared length of a centred column, in rounding errors of the plain one, below which it is constant."""


class SparsePool:
    """Columns of a sparse design, gathered once and kept."""

    def __init__(self, design: SparseDesign, penalty: Penalty, centred: bool):
        self.design, self.penalty, self.centred = design, penalty, centred
        self.units = self.ids = np.empty(0, np.int64)
        self.columns: Any = design.columns(self.ids)
        self._starts = self._rows = np.zeros(1, np.int64)

    def extend(self, units: np.ndarray) -> None:
        """Add columns."""
        if len(units) == 0:
            return
        self.units = self.ids = np.concatenate([self.ids, units])
        self.columns = self.design.columns(self.ids)
        self._starts = self.columns.indptr.astype(np.int64)
        self._rows = self.columns.indices.astype(np.int64)

    def combine(self, x: np.ndarray) -> np.ndarray:
        """The sum of the columns times ``x``."""
        return np.asarray(x @ self.columns)

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser on the working set of the quadratic with curvature ``h``, from ``x``, at ``slope``."""
        p, ids = self.penalty, self.ids
        w, a, q = p.w[ids], p.a[ids], p.q[ids]
        mass = h.sum() if self.centred else 0.0
        pulled, curvature = self._curvature(h, mass)
        curvature += a
        x, m = x.copy(), slope.copy()
        trail = np.empty((MEMORY, len(x)), x.dtype)
        report = np.zeros(3, x.dtype)
        report[2] = m.sum() if self.centred else 0.0
        values = self.columns.data
        for _ in range(MOST):
            start = x.copy()
            coordinate_sparse.sweeps(
                x, m, values, self._rows, self._starts, h, curvature, pulled, a, q, w, p.low, p.high, mass, tol,
                trail, report,
            )  # fmt: skip
            if report[0] <= tol:
                break
            better = _extrapolated(np.concatenate([start[None], trail]))
            if better is not None:
                self._try(np.clip(better, p.low, p.high).astype(x.dtype), x, m, h, mass, report)
        return x

    def _curvature(self, h: np.ndarray, mass: float) -> tuple[np.ndarray, np.ndarray]:
        """Sums over each column of ``h`` times it and its (centred) square."""
        squares = self.columns.copy()
        squares.data = squares.data**2
        length = np.asarray(squares @ h)
        pulled = np.asarray(self.columns @ h)
        if not (self.centred and mass > 0):
            return pulled, length
        # sum h (a - mean)^2 over the stored entries, plus mean^2 for the others.
        mean = pulled / mass
        counts = np.diff(self._starts)
        shifted = self.columns.copy()
        shifted.data = (shifted.data - np.repeat(mean, counts)) ** 2
        stored = self.columns.copy()
        stored.data = np.ones_like(stored.data)
        centred = np.asarray(shifted @ h) + mean**2 * np.maximum(mass - np.asarray(stored @ h), 0)
        eps = np.finfo(h.dtype).eps
        return pulled, np.where(centred <= (NOTHING * eps) ** 2 * length, 0, centred).astype(h.dtype)

    def _try(
        self, better: np.ndarray, x: np.ndarray, m: np.ndarray, h: np.ndarray, mass: float, report: np.ndarray
    ) -> None:
        """Move ``x`` and its slope ``m`` to ``better`` if that decreases the objective."""
        p, ids = self.penalty, self.ids
        step = better - x
        image = self.combine(step)
        if mass > 0:
            image -= (image @ h) / mass
            m = self._centre(m, h, mass, report)
        change = m @ image + 0.5 * (h * image) @ image
        change += 0.5 * p.a[ids] @ (better**2 - x**2) - p.q[ids] @ step
        change += p.w[ids] @ (np.abs(better) - np.abs(x))
        if change < 0:
            x[...] = better
            m += h * image

    @staticmethod
    def _centre(m: np.ndarray, h: np.ndarray, mass: float, report: np.ndarray) -> np.ndarray:
        """Take the mean out of the slope in place."""
        m -= h * (m.sum() / mass)
        report[2] = 0.0
        return m


def _extrapolated(trail: np.ndarray) -> np.ndarray | None:
    """The affine combination of iterates whose steps cancel best, or ``None`` where there is none."""
    steps = np.diff(trail, axis=0).astype(np.float64)
    products = steps @ steps.T
    size = np.trace(products)
    if not size > 0:
        return None
    products[np.diag_indices_from(products)] += 1e-12 * size
    try:
        c = np.linalg.solve(products, np.ones(len(steps)))
    except np.linalg.LinAlgError:
        return None
    total = c.sum()
    if not np.isfinite(total) or total == 0:
        return None
    return np.asarray((c / total) @ trail[1:])
