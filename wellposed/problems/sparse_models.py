"""Problems whose models are sparse or of low rank: labels from few features, ratings from few tastes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SparseClassification:
    """Labels that depend on few of many features.

    Parameters
    ----------
    features, test_features : array of shape (samples, features)
    labels, test_labels : array
        -1 and 1.
    truth : array
        The weights that the labels were drawn with.
    """

    features: np.ndarray
    labels: np.ndarray
    test_features: np.ndarray
    test_labels: np.ndarray
    truth: np.ndarray


def sparse_classification(
    samples: int = 400, features: int = 1000, used: int = 15, tests: int = 100, seed: int = 0
) -> SparseClassification:
    """Gaussian features of variance 1/10, weights of standard deviation 3, labels by the logistic model.

    Parameters
    ----------
    samples, features : int
    used : int
        How many features have a weight: the first ones.
    tests : int
        Samples for testing.
    seed : int

    Returns
    -------
    SparseClassification

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.sparse_classification(samples=50, features=20, used=3)
    >>> problem.features.shape, int((problem.truth != 0).sum())
    ((50, 20), 3)
    """
    if not (1 <= used <= features and samples >= 2 and tests >= 0):
        raise ValueError(
            f"need 1 <= used <= features, two samples and tests >= 0; got used={used}, features={features}, "
            f"samples={samples}, tests={tests}"
        )
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((samples + tests, features)) / np.sqrt(10)
    truth = np.zeros(features)
    truth[:used] = 3 * rng.standard_normal(used)
    y = np.where(rng.uniform(size=len(X)) < 1 / (1 + np.exp(-X @ truth)), 1.0, -1.0)
    return SparseClassification(X[:samples], y[:samples], X[samples:], y[samples:], truth)


@dataclass(frozen=True, eq=False)
class Ratings:
    """Some entries of a matrix of low rank, with noise.

    Parameters
    ----------
    truth : array of shape (users, items)
    observed : array of bool
    values : array
        The noisy entries where ``observed``, 0 elsewhere.
    """

    truth: np.ndarray
    observed: np.ndarray
    values: np.ndarray


def low_rank_ratings(
    users: int = 60, items: int = 40, rank: int = 3, share: float = 0.4, noise: float = 0.2, seed: int = 0
) -> Ratings:
    """Products of Gaussian factors of which a share is observed with Gaussian noise.

    Parameters
    ----------
    users, items, rank : int
    share : float
        Of the entries, in (0, 1].
    noise : float
        Standard deviation.
    seed : int

    Returns
    -------
    Ratings

    Examples
    --------
    >>> import wellposed as wp
    >>> ratings = wp.problems.low_rank_ratings(users=10, items=8, rank=2)
    >>> ratings.values.shape
    (10, 8)
    """
    if not (1 <= rank <= min(users, items) and 0 < share <= 1 and noise >= 0):
        raise ValueError(
            f"need 1 <= rank <= min(users, items), 0 < share <= 1 and noise >= 0; got rank={rank}, "
            f"users={users}, items={items}, share={share}, noise={noise}"
        )
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((users, rank)) @ rng.standard_normal((rank, items))
    observed = rng.uniform(size=truth.shape) < share
    values = np.where(observed, truth + noise * rng.standard_normal(truth.shape), 0.0)
    return Ratings(truth, observed, values)
