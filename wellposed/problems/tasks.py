"""Regression tasks that share a subspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class RelatedTasks:
    """Linear source tasks and a target, all in one subspace.

    Parameters
    ----------
    basis : array of shape (features, rank)
        With orthonormal columns.
    heads : array of shape (rank, tasks)
        The coefficients of the source tasks.
    target : array of shape (rank,)
        Those of the target.
    noise : float
        Standard deviation of what is observed.
    """

    basis: np.ndarray
    heads: np.ndarray
    target: np.ndarray
    noise: float

    def samples(
        self, counts: Sequence[int] | np.ndarray, rng: np.random.Generator
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """So many samples of each source task, with Gaussian features."""
        return [self._draw(head, int(n), rng) for head, n in zip(self.heads.T, counts, strict=True)]

    def target_samples(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Samples of the target."""
        return self._draw(self.target, count, rng)

    def excess_risk(self, coefficients: np.ndarray) -> float:
        """Mean squared error of noise-free predictions by coefficients of the features."""
        return float(np.sum((coefficients - self.basis @ self.target) ** 2))

    def _draw(self, head: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        X = rng.standard_normal((n, len(self.basis)))
        return X, X @ (self.basis @ head) + self.noise * rng.standard_normal(n)


def related_tasks(
    features: int = 60, tasks: int = 30, rank: int = 5, noise: float = 0.7, seed: int = 0
) -> RelatedTasks:
    """Heads uniform on the unit sphere; the target is 1.5 times the first plus the second, normalised.

    Parameters
    ----------
    features, tasks, rank : int
    noise : float
        Standard deviation.
    seed : int

    Returns
    -------
    RelatedTasks

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.problems.related_tasks(features=10, tasks=4, rank=2).heads.shape
    (2, 4)
    """
    if not (1 <= rank <= min(features, tasks) and tasks >= 2 and noise >= 0):
        raise ValueError(
            f"need 1 <= rank <= min(features, tasks), two tasks and noise >= 0; got rank={rank}, "
            f"features={features}, tasks={tasks}, noise={noise}"
        )
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((features, rank)))[0]
    heads = rng.standard_normal((rank, tasks))
    heads /= np.linalg.norm(heads, axis=0)
    target = 1.5 * heads[:, 0] + heads[:, 1]
    return RelatedTasks(basis, heads, target / np.linalg.norm(target), noise)
