"""Data of a mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellposed.solvers.mixture.model import MixtureOfExperts


@dataclass(frozen=True, eq=False)
class ExpertMixture:
    """Samples of a known mixture.

    Parameters
    ----------
    X : array of shape (samples, features)
    y : array of shape (samples,)
    truth : MixtureOfExperts
        The density that ``y`` was drawn from.
    """

    X: np.ndarray
    y: np.ndarray
    truth: MixtureOfExperts

    def divergence(self, model: MixtureOfExperts, samples: int = 20_000, seed: int = 0) -> float:
        """The Kullback-Leibler divergence of the truth to a model, by the mean over fresh samples."""
        rng = np.random.default_rng([seed, 17])
        X = _covariates(samples, self.X.shape[1], rng)
        y = self.truth.draw(X, rng)
        return float(np.mean(self.truth.log_density(X, y) - model.log_density(X, y)))


def expert_mixture(samples: int = 300, seed: int = 0) -> ExpertMixture:
    """Two sparse experts and a sparse gate in six correlated features.

    The simulation of the companion program of the estimator: coefficients (intercept first)
    (0, 0, 1.5, 0, 0, 0, 1) and (0, 1, -1.5, 0, 0, 2, 0), gate (1, 2, 0, 0, -1, 0, 0), variance 1, features
    with correlation ``0.5**abs(j - k)``.

    Parameters
    ----------
    samples : int
    seed : int

    Returns
    -------
    ExpertMixture

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.expert_mixture(samples=50)
    >>> problem.X.shape, problem.truth.nonzeros
    ((50, 6), 7)
    """
    if samples < 2:
        raise ValueError(f"there must be two samples at least, got {samples}")
    rng = np.random.default_rng(seed)
    truth = MixtureOfExperts(
        np.array([1.0, 0.0]),
        np.array([[2.0, 0, 0, -1, 0, 0], [0.0] * 6]),
        np.zeros(2),
        np.array([[0, 1.5, 0, 0, 0, 1], [1, -1.5, 0, 0, 2, 0]]),
        1.0,
    )
    X = _covariates(samples, 6, rng)
    return ExpertMixture(X, truth.draw(X, rng), truth)


def _covariates(samples: int, features: int, rng: np.random.Generator) -> np.ndarray:
    """Gaussian features with correlation ``0.5**abs(j - k)``."""
    j = np.arange(features)
    root = np.linalg.cholesky(0.5 ** np.abs(j[:, None] - j))
    return np.asarray(rng.standard_normal((samples, features)) @ root.T)
