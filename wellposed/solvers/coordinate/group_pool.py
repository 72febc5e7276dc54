r"""The groups of a working set with their Gram matrix, and the quadratic problem on them.

Sweeps of block coordinate descent find the groups that are not zero; Newton's method on these, where
the penalty is smooth, then needs few steps: its curvature is
:math:`G + \omega_g (I / r - x_g x_g^T / r^3)` with :math:`r = \|x_g\|`.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg

from wellposed.kernels import coordinate_gram
from wellposed.solvers.coordinate.design import Design
from wellposed.solvers.coordinate.gram import BURST, MOST, GramPool
from wellposed.solvers.coordinate.penalty import Groups, Penalty

SHORTEST = 1.0 / 64
"""Part of a Newton step below which it is given up."""


class GroupPool(GramPool):
    """Groups of columns, gathered once and kept, with their Gram matrix."""

    def __init__(self, design: Design, penalty: Penalty, centred: bool):
        super().__init__(design, penalty, centred)
        assert penalty.groups is not None
        self.groups: Groups = penalty.groups
        self.first = np.zeros(1, np.int64)
        self._eigenvalues = np.empty(0)
        self._of_gram: np.ndarray | None = None

    def extend(self, units: np.ndarray) -> None:
        """Add groups."""
        if len(units) == 0:
            return
        sizes = self.groups.first[units + 1] - self.groups.first[units]
        self.first = np.concatenate([self.first, self.first[-1] + np.cumsum(sizes)])
        self._add(units, self.groups.entries(units))

    def solve(self, x: np.ndarray, v: np.ndarray, slope: np.ndarray, h: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser on the working set of the quadratic with curvature ``h``, from ``x`` with pull ``v``."""
        G = self.gram(h)
        x, v = x.copy(), v.copy()
        omega = self.groups.w[self.units]
        l1 = self.penalty.w[self.ids]
        curvature = self._curvature(G)
        report = np.zeros(2, x.dtype)
        signs = np.sign(x)
        for _ in range(0, MOST, BURST):
            coordinate_gram.group_sweeps(x, v, G, self.first, curvature, omega, l1, BURST, tol, report)
            if report[0] <= tol:
                break
            before, signs = signs, np.sign(x)
            if np.array_equal(before != 0, signs != 0):
                self._newton(x, v, G, omega, l1)
        return x

    def _curvature(self, G: np.ndarray) -> np.ndarray:
        """The largest eigenvalue of each group's block, a little above."""
        if self._of_gram is not G:
            known = len(self._eigenvalues) if self._grew else 0
            spans = zip(self.first[known:-1], self.first[known + 1 :], strict=True)
            new = [np.linalg.eigvalsh(G[a:b, a:b])[-1] for a, b in spans]
            self._eigenvalues = np.concatenate([self._eigenvalues[:known], new])
            self._of_gram = G
        return (self._eigenvalues * (1 + 1e-6)).astype(G.dtype)

    def _newton(self, x: np.ndarray, v: np.ndarray, G: np.ndarray, omega: np.ndarray, l1: np.ndarray) -> None:
        """A Newton step in the entries that are not zero, where that decreases the objective."""
        S = np.flatnonzero(x)
        if len(S) == 0:
            return
        group = np.repeat(np.arange(len(omega)), np.diff(self.first))[S]
        xs, count = x[S], len(omega)
        sizes = np.sqrt(np.bincount(group, xs * xs, count)).astype(x.dtype)[group]
        H = G[np.ix_(S, S)]
        bend = np.where(group[:, None] == group[None], np.outer(xs, xs), 0) * (omega[group] / sizes**3)
        H -= bend
        H[np.diag_indices_from(H)] += omega[group] / sizes
        try:
            factor = scipy.linalg.cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
        except scipy.linalg.LinAlgError:
            return
        pull = v[S] - omega[group] * xs / sizes - l1[S] * np.sign(xs)
        d = scipy.linalg.cho_solve(factor, pull, check_finite=False).astype(x.dtype)
        share = 1.0
        while share >= SHORTEST:
            target = xs + x.dtype.type(share) * d
            target = np.where((target * xs < 0) & (l1[S] > 0), 0, target)
            step = target - xs
            new = np.sqrt(np.bincount(group, target * target, count))
            change = 0.5 * step @ (G[np.ix_(S, S)] @ step) - v[S] @ step
            change += l1[S] @ (np.abs(target) - np.abs(xs))
            change += omega @ (new - np.sqrt(np.bincount(group, xs * xs, count)))
            if change < 0:
                x[S] = target
                v -= step @ G[S]
                return
            share /= 4
