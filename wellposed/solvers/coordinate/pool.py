r"""The columns of a working set, and what the quadratic problems on them have in common.

.. math:: \min_d \langle m, A d\rangle + \tfrac12\|A d\|_h^2 + g(x + d)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.solvers.coordinate.design import Design
from wellposed.solvers.coordinate.penalty import Penalty

MEMORY = 5
"""Sweeps that one extrapolation joins."""

MOST = 1000
"""Extrapolations at most for one quadratic problem."""

NOTHING = 16.0
"""Size of what centring leaves of a column, in rounding errors of its entries, below which it is constant."""


class Pool:
    """Columns of a design, gathered once and kept; subclasses minimise quadratics over them."""

    columns: Any

    def __init__(self, design: Design, penalty: Penalty, centred: bool, quadratic: bool):
        self.design, self.whole = design, penalty
        self.centred, self.quadratic = centred, quadratic
        self.units = self.ids = np.empty(0, np.int64)
        self.penalty = penalty.restricted(self.units)
        self.columns = design.columns(self.ids)

    def extend(self, units: np.ndarray) -> None:
        """Add coefficients, or groups of them."""
        if len(units) == 0:
            return
        ids = units if self.whole.groups is None else self.whole.groups.entries(units)
        self.units = np.concatenate([self.units, units])
        self.ids = np.concatenate([self.ids, ids])
        self.penalty = self.whole.restricted(self.units)
        self._gather(ids)

    def _gather(self, new: np.ndarray) -> None:
        """Bring ``columns`` up to date with ``ids``, of which the last ones are ``new``."""
        raise NotImplementedError

    def used(self, x: np.ndarray) -> np.ndarray:
        """Which coefficients, or groups of them, are not zero."""
        groups = self.penalty.groups
        return np.asarray(
            x != 0 if groups is None else np.bincount(groups.of, x != 0, self.penalty.count) > 0
        )

    def combine(self, x: np.ndarray) -> np.ndarray:
        """The sum of the columns times ``x``."""
        return np.asarray(x @ self.columns)

    def pull(self, slope: np.ndarray) -> np.ndarray:
        """The products of minus ``slope`` with the columns."""
        return np.asarray(-(self.columns @ slope))

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser of the quadratic with curvature ``h`` plus the penalty, from ``x``.

        ``slope`` is the gradient of the loss there, and ``v`` the pull on ``x``.
        """
        raise NotImplementedError

    def _try(
        self, better: np.ndarray, x: np.ndarray, m: np.ndarray, h: np.ndarray, mass: float, report: np.ndarray
    ) -> None:
        """Move ``x`` and the slope ``m`` to ``better`` if that decreases the objective."""
        image = self.combine(better - x)
        if mass > 0:
            image -= (image @ h) / mass
            m -= h * (m.sum() / mass)
            report[2] = 0.0
        change = float(m @ image) + 0.5 * float((h * image) @ image)
        if change + self.penalty.value(better) - self.penalty.value(x) < 0:
            x[...] = better
            m += h * image


def without_means(columns: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Columns, as rows, minus their means weighted with ``h``."""
    centred = columns - ((columns @ h) / h.sum())[:, None]
    # What is left of a constant column is rounding.
    size = np.abs(columns).max(axis=1, initial=0)
    noise = NOTHING * np.finfo(columns.dtype).eps * size
    centred[np.abs(centred).max(axis=1, initial=0) <= noise] = 0
    return np.asarray(centred)


def extrapolated(trail: np.ndarray) -> np.ndarray | None:
    """The affine combination of iterates whose steps cancel best, or ``None`` where there is none.

    Anderson acceleration, as in Q. Bertrand and M. Massias, Anderson acceleration of coordinate
    descent, 2021.
    """
    steps = np.diff(trail, axis=0).astype(np.float64)
    products = steps @ steps.T
    size = np.trace(products)
    if len(steps) < 2 or not size > 0:
        return None
    products[np.diag_indices_from(products)] += 1e-12 * size
    try:
        c = np.linalg.solve(products, np.ones(len(steps)))
    except np.linalg.LinAlgError:
        return None
    total = c.sum()
    if not np.isfinite(total) or total == 0:
        return None
    return np.asarray(((c / total) @ trail[1:]).astype(trail.dtype))
