"""The model: gates, experts, densities; and what a fit hands back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from wellposed.functionals.multinomial import softmax


@dataclass(frozen=True, eq=False)
class MixtureOfExperts:
    r"""A conditional density: Gaussian linear experts, mixed by a softmax of linear scores.

    .. math:: s(y | x) = \sum_k \pi_k(x)\, N(y;\, b_k + \beta_k^\top x,\, \sigma^2), \qquad
              \pi_k(x) = \frac{\exp(g_k + \gamma_k^\top x)}{\sum_l \exp(g_l + \gamma_l^\top x)}

    Parameters
    ----------
    gate_intercepts : array of shape (experts,)
        ``g``; the last one is 0, the others are relative to it.
    gate : array of shape (experts, features)
        ``gamma``; the last row is 0.
    intercepts : array of shape (experts,)
        ``b``.
    slopes : array of shape (experts, features)
        ``beta``.
    variance : float
        ``sigma**2``, shared by the experts.

    Raises
    ------
    ValueError
        If shapes do not fit, numbers are not finite, or the variance is not positive.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> two = np.zeros(2), np.array([[8.0], [0.0]]), np.zeros(2), np.array([[1.0], [-1.0]])
    >>> model = wp.MixtureOfExperts(*two, variance=0.25)
    >>> model.predict(np.array([[-1.0], [0.0], [1.0]])).round(3)
    array([0.999, 0.   , 0.999])
    """

    gate_intercepts: np.ndarray
    gate: np.ndarray
    intercepts: np.ndarray
    slopes: np.ndarray
    variance: float

    def __post_init__(self) -> None:
        for name in ("gate_intercepts", "gate", "intercepts", "slopes"):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if not np.all(np.isfinite(value)):
                raise ValueError(f"{name} of a mixture must be finite")
            object.__setattr__(self, name, value)
        if self.slopes.ndim != 2 or self.gate.shape != self.slopes.shape:
            raise ValueError(
                f"gate and slopes have one row for each expert: got {self.gate.shape} and {self.slopes.shape}"
            )
        count = (self.experts,)
        if self.gate_intercepts.shape != count or self.intercepts.shape != count:
            raise ValueError(
                f"there is one intercept for each of {self.experts} experts: got "
                f"{self.gate_intercepts.shape} and {self.intercepts.shape}"
            )
        if not (math.isfinite(self.variance) and self.variance > 0):
            raise ValueError(f"the variance of the experts must be positive, got {self.variance!r}")

    @property
    def experts(self) -> int:
        """How many there are."""
        return len(self.slopes)

    @property
    def size(self) -> float:
        """The sum of the absolute values of all slopes, of the gate and of the experts."""
        return float(np.abs(self.gate).sum() + np.abs(self.slopes).sum())

    @property
    def nonzeros(self) -> int:
        """How many slopes, of the gate and of the experts, are not 0."""
        return int(np.count_nonzero(self.gate) + np.count_nonzero(self.slopes))

    def scores(self, X: np.ndarray) -> np.ndarray:
        """The linear scores that gates are the softmax of, of shape (samples, experts)."""
        return np.asarray(self.gate_intercepts + X @ self.gate.T)

    def gates(self, X: np.ndarray) -> np.ndarray:
        """The probability of each expert, of shape (samples, experts)."""
        return np.asarray(softmax(self.scores(X)))

    def means(self, X: np.ndarray) -> np.ndarray:
        """What each expert predicts, of shape (samples, experts)."""
        return np.asarray(self.intercepts + X @ self.slopes.T)

    def predict(self, X: np.ndarray) -> np.ndarray:
        """The conditional mean of ``y``."""
        return np.asarray((self.gates(X) * self.means(X)).sum(axis=1))

    def _log_parts(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Logarithms of the terms of the density."""
        scores = self.scores(X)
        top = scores.max(axis=1, keepdims=True)
        log_gates = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        squares = (np.asarray(y)[:, None] - self.means(X)) ** 2 / self.variance
        return np.asarray(log_gates - 0.5 * (squares + math.log(2 * math.pi * self.variance)))

    def log_density(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """``log s(y | x)`` of each sample."""
        parts = self._log_parts(X, y)
        top = parts.max(axis=1)
        return np.asarray(top + np.log(np.exp(parts - top[:, None]).sum(axis=1)))

    def responsibilities(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The probability that each expert made each sample, of shape (samples, experts)."""
        return np.asarray(softmax(self._log_parts(X, y)))

    def draw(self, X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Random ``y``, one for each row of ``X``."""
        chosen = (self.gates(X).cumsum(axis=1) < rng.uniform(size=(len(X), 1))).sum(axis=1)
        means = self.means(X)[np.arange(len(X)), np.minimum(chosen, self.experts - 1)]
        return np.asarray(means + math.sqrt(self.variance) * rng.standard_normal(len(X)))

    def relabelled(self, order: list[int] | np.ndarray) -> MixtureOfExperts:
        """The same density with its experts in another order."""
        g, gamma = self.gate_intercepts[order], self.gate[order]
        return MixtureOfExperts(
            g - g[-1], gamma - gamma[-1], self.intercepts[order], self.slopes[order], self.variance
        )


@dataclass(frozen=True, eq=False)
class MixtureFit:
    r"""The outcome of `mixture_of_experts`.

    Parameters
    ----------
    model : MixtureOfExperts
    log_likelihood : float
        The sum of ``log s(y | x)`` over the samples, without penalty.
    objective : float
        The same minus the penalties: what was maximised.
    history : tuple of float
        The objective before the first and after each iteration of the best start; it never falls.
    optimality : float
        How far the model is from a stationary point: the largest violation of the optimality conditions of
        the slopes, over the weight of their penalty.
    gap : float
        The largest relative duality gap of the convex problems that were solved in the last iteration.
    status : {"converged", "max_iter"}
    samples : int
    starts : tuple of float
        The objective that each start was judged by.
    at_floor : bool
        Whether the variance is at its lower bound, without which the likelihood may be unbounded.
    """

    model: MixtureOfExperts
    log_likelihood: float
    objective: float
    history: tuple[float, ...] = field(repr=False)
    optimality: float
    gap: float
    status: str
    samples: int
    starts: tuple[float, ...] = field(repr=False)
    at_floor: bool = False

    @property
    def iterations(self) -> int:
        """Of the best start."""
        return len(self.history) - 1

    @property
    def converged(self) -> bool:
        """Whether the objective settled within the tolerance."""
        return self.status == "converged"

    @cached_property
    def bic(self) -> float:
        """Log-likelihood minus ``log(samples) / 2`` for each slope that is not 0: larger is better."""
        return self.log_likelihood - 0.5 * math.log(self.samples) * self.model.nonzeros
