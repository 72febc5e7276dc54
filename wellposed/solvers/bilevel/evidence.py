r"""Linear regression with normal noise and a normal prior: posteriors, variational bound and evidence.

For data ``y = A w + noise`` of ``N`` numbers and ``R`` weights, with noise variance ``v`` and prior variance
``l`` of the weights around a centre (0 here), and a normal ``q(w)``,

.. math:: J_\kappa = E_q[\log p(y | w)] - \tfrac1\kappa \mathrm{KL}(q \| p)

In the basis of the singular vectors of ``A`` all of it is sums over singular values. The covariance of ``q``
is a multiple of the identity (``"iso"``), diagonal (``"diag"``) or any (``"full"``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

FAMILIES = ("full", "diag", "iso")


@dataclass(frozen=True)
class Moments:
    """What the bound needs to know of ``q``.

    Parameters
    ----------
    power : float
        Squared distance of the mean from the centre of the prior.
    misfit : float
        Squared norm of ``y - A mean``.
    spread : float
        Trace of the covariance.
    pushed : float
        Trace of the covariance of ``A w``.
    log_det : float
        Of the covariance.
    """

    power: float
    misfit: float
    spread: float
    pushed: float
    log_det: float


@dataclass(frozen=True, eq=False)
class Regression:
    """The data of one example.

    Parameters
    ----------
    A : array of shape (N, R)
    y : array of shape (N,)
        Less what the centre of the prior predicts.
    """

    A: np.ndarray
    y: np.ndarray

    @cached_property
    def _svd(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        U, s, V = np.linalg.svd(self.A, full_matrices=False)
        return U, s, V

    @cached_property
    def singular(self) -> np.ndarray:
        """Singular values."""
        return self._svd[1]

    @cached_property
    def _seen(self) -> tuple[np.ndarray, float]:
        """Coefficients of ``y`` in the left singular vectors, and the squared norm of the rest."""
        c = self._svd[0].T @ self.y
        rest = self.y - self._svd[0] @ c
        return c, float(rest @ rest)

    @cached_property
    def column_squares(self) -> np.ndarray:
        """Squared norms of the columns."""
        squares: np.ndarray = np.einsum("ij,ij->j", self.A, self.A)
        return squares

    def mean(self, ridge: float) -> np.ndarray:
        """The minimiser of ``||A w - y||^2 + ridge ||w||^2``."""
        s = self.singular
        found: np.ndarray = self._svd[2].T @ (s * self._seen[0] / (s * s + ridge))
        return found

    def of_mean(self, ridge: float) -> tuple[float, float]:
        """Squared norms of that minimiser and of its residual."""
        c, rest = self._seen
        s = self.singular
        w, r = s * c / (s * s + ridge), ridge * c / (s * s + ridge)
        return float(w @ w), float(r @ r) + rest


@dataclass(frozen=True, eq=False)
class Evidence:
    """Examples that share the variances of prior and noise.

    Parameters
    ----------
    examples : tuple of Regression
    family : {"full", "diag", "iso"}
    kappa : float
        How many times the data are counted.
    """

    examples: tuple[Regression, ...]
    family: str = "full"
    kappa: float = 1.0

    @cached_property
    def N(self) -> int:
        """Numbers of data."""
        return sum(e.A.shape[0] for e in self.examples)

    @cached_property
    def R(self) -> int:
        """Numbers of weights."""
        return sum(e.A.shape[1] for e in self.examples)

    @cached_property
    def _squares(self) -> np.ndarray:
        """Squared singular values (``"full"``) or squared norms of columns, one for each weight."""
        if self.family != "full":
            return np.concatenate([e.column_squares for e in self.examples])
        parts = []
        for e in self.examples:
            part = np.zeros(e.A.shape[1])
            part[: len(e.singular)] = e.singular**2
            parts.append(part)
        return np.concatenate(parts)

    def ridge(self, prior: float, noise: float) -> float:
        """Weight of the squared norm beside the squared residual, whose minimiser is the mean."""
        return noise / (self.kappa * prior)

    def posterior(self, prior: float, noise: float) -> Moments:
        """The best ``q`` of the family at variances of prior and noise."""
        both = [e.of_mean(self.ridge(prior, noise)) for e in self.examples]
        power, misfit = (math.fsum(column) for column in zip(*both, strict=True))
        squares = self._squares
        if self.family == "iso":
            total = float(squares.sum())
            s2 = 1 / (self.kappa * total / (self.R * noise) + 1 / prior)
            return Moments(power, misfit, self.R * s2, s2 * total, self.R * math.log(s2))
        variances = 1 / (self.kappa * squares / noise + 1 / prior)
        spread, pushed = float(variances.sum()), float(variances @ squares)
        return Moments(power, misfit, spread, pushed, float(np.log(variances).sum()))

    def bound(self, m: Moments, prior: float, noise: float) -> float:
        """``J_kappa`` of all examples."""
        kl = 0.5 * ((m.spread + m.power) / prior - self.R + self.R * math.log(prior) - m.log_det)
        fit = -0.5 * self.N * math.log(2 * math.pi * noise) - (m.misfit + m.pushed) / (2 * noise)
        return fit - kl / self.kappa

    def best_prior(self, m: Moments) -> float:
        """The prior variance at which the bound is largest, for this ``q``."""
        return (m.spread + m.power) / self.R

    def best_noise(self, m: Moments) -> float:
        """The same for the noise variance."""
        return (m.misfit + m.pushed) / self.N

    def log_evidence(self, prior: float, noise: float) -> float:
        """``log N(y; 0, prior A A^T + noise I)`` of all examples."""
        total = 0.0
        for e in self.examples:
            c, rest = e._seen
            variances = prior * e.singular**2 + noise
            unseen = e.A.shape[0] - len(c)
            total -= float(np.log(variances).sum() + c**2 @ (1 / variances))
            total -= unseen * math.log(noise) + rest / noise + e.A.shape[0] * math.log(2 * math.pi)
        return 0.5 * total
