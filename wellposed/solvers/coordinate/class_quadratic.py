r"""The quadratic model of the cross-entropy on some coefficients, and its minimum with a penalty.

With probabilities ``p`` of the classes and the weight ``m`` of a sample, ``h = m p``, its curvature in the
scores is :math:`\operatorname{diag}(h) - h h^T / m`. With free intercepts it is taken at the best ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed.kernels import coordinate_classes
from wellposed.solvers.coordinate.penalty import Penalty
from wellposed.solvers.coordinate.pool import MEMORY, MOST, extrapolated


@dataclass(frozen=True, eq=False)
class ClassQuadratic:
    """Coefficient ``j`` is of row ``feature[j]`` of ``features``, and of class ``kind[j]``."""

    features: np.ndarray
    feature: np.ndarray
    kind: np.ndarray
    h: np.ndarray  # samples x classes
    centred: bool

    @cached_property
    def mass(self) -> np.ndarray:
        """The weight of each sample, 1 where it is 0."""
        mass = self.h.sum(axis=1)
        return np.asarray(np.where(mass > 0, mass, mass.dtype.type(1)))

    def solve(self, p: Penalty, x: np.ndarray, slope: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser from ``x`` with slope of the scores ``slope``, to slopes of ``tol``."""
        groups, x = p.groups, x.copy()
        first = np.arange(len(x) + 1) if groups is None else groups.first
        omega = np.zeros_like(x) if groups is None else groups.w
        h = np.ascontiguousarray(self.h.T)
        share, free = h / self.mass, self._free()
        m = np.ascontiguousarray(slope.reshape(self.h.shape).T)
        mean = np.zeros(len(self.mass), x.dtype)
        curvature = self._curvature(first, p.a)
        trail = np.empty((MEMORY, len(x)), x.dtype)
        report = np.zeros(2, x.dtype)
        for _ in range(MOST):
            start = x.copy()
            coordinate_classes.sweeps(
                x, m, mean, self.features, self.feature, self.kind, first, h, share, free, curvature,
                p.a, p.q, omega, p.w, p.low, p.high, tol, trail, report,
            )  # fmt: skip
            if report[0] <= tol:
                break
            better = extrapolated(np.concatenate([start[None], trail[: int(report[1])]]))
            if better is not None:
                self._try(np.clip(better, p.low, p.high), p, x, m, mean, h)
        return x

    def _free(self) -> np.ndarray:
        if not self.centred:
            return np.zeros(self.h.shape[1], self.h.dtype)
        return np.asarray((self.h * (1 - self.h / self.mass[:, None])).sum(axis=0))

    def _curvature(self, first: np.ndarray, a: np.ndarray) -> np.ndarray:
        """Of each coefficient, or a bound of the largest eigenvalue of each group's block."""
        squares, classes = self.features**2, self.h.shape[1]
        products = np.einsum("ik,il->ikl", self.h, self.h / self.mass[:, None]).reshape(-1, classes**2)
        blocks = -(squares @ products).reshape(-1, classes, classes)
        blocks[:, np.arange(classes), np.arange(classes)] += squares @ self.h
        starts, each = first[:-1], blocks[self.feature, self.kind, self.kind] + a
        if len(starts) == len(each):
            return np.asarray(each)
        largest = (np.linalg.eigvalsh(blocks)[:, -1] * (1 + 1e-6)).astype(a.dtype)[self.feature]
        one_feature = np.minimum.reduceat(self.feature, starts) == np.maximum.reduceat(self.feature, starts)
        together = np.maximum.reduceat(largest + a, starts)
        return np.where(one_feature, together, np.add.reduceat(each, starts))

    def _try(
        self,
        better: np.ndarray,
        p: Penalty,
        x: np.ndarray,
        m: np.ndarray,
        mean: np.ndarray,
        h: np.ndarray,
    ) -> None:
        """Move ``x`` and the slopes to ``better`` if that decreases the objective."""
        rows = np.zeros((self.h.shape[1], len(self.features)), x.dtype)
        rows[self.kind, self.feature] = better - x
        image = rows @ self.features
        centre = np.einsum("ki,ki->i", h, image) / self.mass
        change = float(((m - h * mean) * image).sum())
        change += 0.5 * float((h * image * image).sum() - (self.mass * centre * centre).sum())
        if change + p.value(better) - p.value(x) < 0:
            x[...] = better
            m += h * image
            mean += centre
