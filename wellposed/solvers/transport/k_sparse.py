r"""What sparsity-constrained transport is made of: columns with at most ``k`` entries, and the relaxation.

The penalty :math:`\tfrac{\mathrm{reg}}{2}\|t\|^2` of columns with at most ``k`` entries is not convex; its
convex envelope is :math:`\tfrac{\mathrm{reg}}{2}` times the square of the k-support norm, with the same dual.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


def smoothed_dual(
    problem: KSparse, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray, mu: float
) -> tuple[float, np.ndarray]:
    r"""A smooth function above the dual, and the plan whose errors of sums are its gradient.

    The sum of the ``k`` largest squares is a maximum over shares :math:`0 \le u \le 1,\ \sum u \le k`; from
    it :math:`\tfrac{\mu}{2}\|u\|^2` is taken, which costs at most :math:`\mu k / 2` for each column.
    """
    s = np.maximum(f[:, None] + g - cost, 0.0)
    gains = s * s / (2 * problem.reg)
    u = _shares(gains, problem.k, mu)
    value = float(f @ a + g @ b) - float(np.einsum("ij,ij->", u, gains))
    value += 0.5 * mu * float(np.einsum("ij,ij->", u, u))
    return value, u * s / problem.reg


def _shares(gains: np.ndarray, k: int, mu: float) -> np.ndarray:
    """``clip((gains - tau) / mu, 0, 1)`` with the least ``tau >= 0`` that leaves sums of at most ``k``."""
    # The sum falls with tau between the (k + 1)-th largest gain less mu and the k-th largest.
    ranked = np.partition(gains, (len(gains) - k - 1, len(gains) - k), axis=0)
    low, high = np.maximum(ranked[len(gains) - k - 1] - mu, 0.0), ranked[len(gains) - k].copy()
    high = np.maximum(high, low)
    for _ in range(60):
        tau = 0.5 * (low + high)
        over = np.clip((gains - tau) / mu, 0.0, 1.0).sum(axis=0) > k
        low, high = np.where(over, tau, low), np.where(over, high, tau)
        if np.all(high - low <= 1e-14 * (high + mu)):
            break
    free = np.clip(gains / mu, 0.0, 1.0)
    return np.where(free.sum(axis=0) <= k, free, np.clip((gains - high) / mu, 0.0, 1.0))
