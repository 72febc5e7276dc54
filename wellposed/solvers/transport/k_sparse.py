r"""What sparsity-constrained transport is made of: columns with at most ``k`` entries, and the relaxation.

The penalty :math:`\tfrac{\mathrm{reg}}{2}\|t\|^2` of columns with at most ``k`` entries is not convex; its
convex envelope is :math:`\tfrac{\mathrm{reg}}{2}` times the square of the k-support norm, with the same dual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellposed.functionals.semidual import direction
from wellposed.functionals.sparse_envelope import SparseEnvelope


@dataclass(frozen=True)
class KSparse:
    """The convex envelope of the quadratic penalty of columns with at most ``k`` entries."""

    reg: float
    k: int

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        """The value at a plan."""
        envelope = SparseEnvelope(self.k)
        return self.reg * sum(envelope(column) for column in np.ascontiguousarray(plan.T))

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        """The dual value; it is below the best plan with ``k`` entries per column too."""
        s = np.maximum(f[:, None] + g - cost, 0.0)
        kept = s if self.k >= len(f) else np.partition(s, len(f) - self.k, axis=0)[len(f) - self.k :]
        return float(f @ a + g @ b) - float(np.einsum("ij,ij->", kept, kept)) / (2 * self.reg)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Potentials of columns for which the kept entries have the right sum."""
        return self.columns(cost, b, f)[1]

    def columns(self, cost: np.ndarray, b: np.ndarray, f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The best columns for ``f``, which sum to ``b``, and their potentials.

        Entries are those of the ``k`` largest ``f_i - cost_ij``, projected onto the simplex of size ``b_j``.
        """
        s = f[:, None] - cost
        k = min(self.k, len(f))
        order = np.argsort(-s, axis=0, kind="stable")[:k]
        top = np.take_along_axis(s, order, axis=0)
        target = self.reg * b
        thresholds = (np.cumsum(top, axis=0) - target) / np.arange(1, k + 1)[:, None]
        # A very small reg is lost in rounding, and then the largest entry is the only one.
        count = np.maximum((top > thresholds).sum(axis=0), 1)
        g = -thresholds[count - 1, np.arange(len(b))]
        kept = np.maximum(top + g, 0.0)
        kept[0] = np.where(kept[0] > 0, kept[0], 1.0)
        plan = np.zeros_like(cost)
        np.put_along_axis(plan, order, kept * (b / kept.sum(axis=0)), axis=0)
        return plan, g

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        """The value is nowhere 0."""
        return 0.0

    def __str__(self) -> str:
        return f"at most {self.k} entries per column, reg = {self.reg:g}"


@dataclass(frozen=True)
class SmoothedDual:
    r"""A smooth function above the dual, at one point.

    The sum of the ``k`` largest squares is a maximum over shares :math:`0 \le u \le 1,\ \sum u \le k`; from
    it :math:`\tfrac{\mu}{2}\|u\|^2` is taken, which costs at most :math:`\mu k / 2` for each column.
    """

    f: np.ndarray
    g: np.ndarray
    value: float
    plan: np.ndarray
    """Its errors of sums are the gradient."""
    slack: np.ndarray
    """The positive part of ``f + g - cost``."""
    shares: np.ndarray
    capped: np.ndarray
    """The columns whose shares would sum to more than ``k``."""
    mu: float
    reg: float

    def gradient(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the sums of rows, and of columns, lack."""
        return a - self.plan.sum(axis=1), b - self.plan.sum(axis=0)

    def step(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Newton's direction; potentials of columns are eliminated, each has a curvature of its own."""
        by_f, by_g = self.gradient(a, b)
        free = (self.shares > 0) & (self.shares < 1)
        pull = np.where(free, self.slack / self.reg, 0.0) / np.sqrt(self.mu)
        d = self.shares * (self.slack > 0) / self.reg + pull * pull
        common = pull / np.sqrt(np.maximum(free.sum(axis=0), 1)) * self.capped
        sums = common.sum(axis=0)
        across = d - common * sums
        alone = d.sum(axis=0) - sums * sums
        alone = np.where(alone > 0, alone, 1 / self.reg)
        curvature = -(common @ common.T) - (across / alone) @ across.T
        curvature[np.diag_indices_from(curvature)] += d.sum(axis=1)
        wanted = by_f - across @ (by_g / alone)
        error = float((np.abs(by_f).sum() + np.abs(by_g).sum()) / a.sum())
        df = direction(curvature, float(d.sum()) / len(a), wanted, error)
        return df, (by_g - across.T @ df) / alone


def smoothed_dual(
    problem: KSparse, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray, mu: float
) -> SmoothedDual:
    """The smoothed dual at a pair of potentials."""
    s = np.maximum(f[:, None] + g - cost, 0.0)
    gains = s * s / (2 * problem.reg)
    u, capped = _shares(gains, problem.k, mu)
    value = float(f @ a + g @ b) - float(np.einsum("ij,ij->", u, gains))
    value += 0.5 * mu * float(np.einsum("ij,ij->", u, u))
    return SmoothedDual(f, g, value, u * s / problem.reg, s, u, capped, mu, problem.reg)


def _shares(gains: np.ndarray, k: int, mu: float) -> tuple[np.ndarray, np.ndarray]:
    """``clip((gains - tau) / mu, 0, 1)`` with the least ``tau >= 0`` that leaves sums of at most ``k``.

    And the columns for which that ``tau`` is not 0.
    """
    # The sum falls with tau between the (k + 1)-th largest gain less mu and the k-th largest.
    ranked = np.partition(gains, (len(gains) - k - 1, len(gains) - k), axis=0)
    low, high = np.maximum(ranked[len(gains) - k - 1] - mu, 0.0), ranked[len(gains) - k].copy()
    high = np.maximum(high, low)
    tau = low
    for _ in range(60):
        u = np.clip((gains - tau) / mu, 0.0, 1.0)
        lacking = u.sum(axis=0) - k
        done = (np.abs(lacking) <= 1e-14 * k) | ((tau == 0) & (lacking <= 0)) | (high - low <= 1e-15 * high)
        if done.all():
            break
        low, high = np.where(lacking > 0, tau, low), np.where(lacking > 0, high, tau)
        # Newton's step is exact where no entry becomes free or bound on the way; else the middle.
        count = ((u > 0) & (u < 1)).sum(axis=0)
        there = tau + lacking * mu / np.maximum(count, 1)
        inside = (there > low) & (there < high) & (count > 0)
        tau = np.where(done, tau, np.where(inside, there, 0.5 * (low + high)))
    return u, tau > 0
