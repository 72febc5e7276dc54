"""The columns of a working set for one score per class, and the quadratic problem on them.

With one row of coefficients per feature, coefficient ``(j, k)`` adds feature ``j`` to the scores of class
``k``.
"""

from __future__ import annotations

import numpy as np

from wellposed.solvers.coordinate.class_quadratic import ClassQuadratic
from wellposed.solvers.coordinate.design import ClassDesign, Design
from wellposed.solvers.coordinate.penalty import Penalty
from wellposed.solvers.coordinate.pool import Pool, without_means


class ClassPool(Pool):
    """Features as the rows of an array, and for each coefficient its feature and its class.

    Where intercepts are free the features are centred: predictions then differ by constants of the classes.
    """

    design: ClassDesign

    def __init__(self, design: Design, penalty: Penalty, centred: bool, quadratic: bool):
        assert isinstance(design, ClassDesign)
        self._features = self._feature = self._kind = np.empty(0, np.int64)
        super().__init__(design, penalty, centred, quadratic)

    def _gather(self, new: np.ndarray) -> None:
        features = np.setdiff1d(new // self.design.classes, self._features)
        columns = self.design.features.columns(features)
        columns = columns if isinstance(columns, np.ndarray) else columns.toarray()
        if self.centred:
            # Free intercepts make up for it, and need not follow each step of a feature far from zero.
            columns = without_means(columns, np.ones(columns.shape[1], columns.dtype))
        self._features = np.concatenate([self._features, features])
        self.columns = np.concatenate([self.columns, columns]) if len(self.columns) else columns
        order = np.argsort(self._features)
        feature, self._kind = np.divmod(self.ids, self.design.classes)
        self._feature = order[np.searchsorted(self._features, feature, sorter=order)]

    def combine(self, x: np.ndarray) -> np.ndarray:
        """As `Pool.combine`."""
        rows = np.zeros((len(self.columns), self.design.classes), x.dtype)
        rows[self._feature, self._kind] = x
        return np.asarray(self.columns.T @ rows).reshape(-1)

    def pull(self, slope: np.ndarray) -> np.ndarray:
        """As `Pool.pull`."""
        products = self.columns @ slope.reshape(-1, self.design.classes)
        return np.asarray(-products[self._feature, self._kind])

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """As `Pool.solve`; what is zero and violates nothing is left to the next Newton step."""
        p = self.penalty
        units = np.flatnonzero((p.violation(x, v) > 0) | self.used(x))
        part = p.restricted(units)
        ids = units if p.groups is None else p.groups.entries(units)
        quadratic = ClassQuadratic(
            self.columns,
            self._feature[ids],
            self._kind[ids],
            h.reshape(-1, self.design.classes),
            self.centred,
        )
        x = x.copy()
        x[ids] = quadratic.solve(part, x[ids], slope, tol)
        return x
