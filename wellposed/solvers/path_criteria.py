"""Information criteria of a solution from its likelihood and its degrees of freedom."""

from __future__ import annotations

import math

from scipy.special import gammaln

from wellposed.arrays import Array
from wellposed.functionals.datafits import DataFit, LeastSquares
from wellposed.functionals.kullback_leibler import KullbackLeibler
from wellposed.functionals.logistic import LogisticLoss
from wellposed.functionals.multinomial import MultinomialLoss
from wellposed.functionals.objective import Objective
from wellposed.functionals.poisson import PoissonLoss
from wellposed.solvers.selection_data import DataTerm, data_term

CRITERIA = ("aic", "bic", "ebic")

LIKELIHOODS = (LogisticLoss, MultinomialLoss, PoissonLoss, KullbackLeibler)
"""Data fits that are negative log-likelihoods up to a constant, besides least squares."""


def information_criterion(
    rule: str, objective: Objective, x: Array, df: float, noise_variance: float | None, gamma: float
) -> float:
    """The criterion at a solution; see `RegularisationPath.criterion`."""
    if noise_variance is not None and not (math.isfinite(noise_variance) and noise_variance > 0):
        raise ValueError(f"noise_variance must be positive, got {noise_variance!r}")
    if not 0 <= gamma <= 1:
        raise ValueError(f"gamma must be between 0 and 1, got {gamma!r}")
    if math.isnan(df):
        raise ValueError(
            f"the degrees of freedom of {objective} are not known, so {rule} cannot be used: cross-validate"
        )
    data = data_term(objective)
    n, p = samples(data.fit), math.prod(x.shape)
    k = df + float(bool(getattr(data.fit, "intercept", False)))
    value = _deviance(data, x, k, n, noise_variance)
    if rule == "aic":
        return value + 2 * k
    extended = 2 * gamma * _log_choices(p, df) if rule == "ebic" else 0.0
    return value + k * math.log(n) + extended


def samples(fit: DataFit) -> int:
    """Number of samples that have a weight; of the multinomial loss, all that have a class."""
    if isinstance(fit, MultinomialLoss):
        return int(fit.b.shape[0])
    weights = getattr(fit, "weights", None)
    return math.prod(fit.b.shape) if weights is None else int((weights > 0).sum())


def _deviance(data: DataTerm, x: Array, k: float, n: int, noise_variance: float | None) -> float:
    fit = data.fit
    if isinstance(fit, LeastSquares):
        rss = 2 * fit(x)
        if noise_variance is not None:
            return rss / noise_variance
        return math.inf if k >= n - 1 or rss == 0 else n * math.log(rss / n)
    if not isinstance(fit, LIKELIHOODS):
        raise ValueError(f"{type(fit).__name__} is no likelihood: cross-validate instead")
    if noise_variance is not None:
        raise ValueError(f"noise_variance is for least squares, not for {type(fit).__name__}")
    return 2 * fit(x)


def _log_choices(p: int, k: float) -> float:
    k = min(max(k, 0.0), float(p))
    return float(gammaln(p + 1) - gammaln(k + 1) - gammaln(p - k + 1))
