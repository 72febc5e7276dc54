"""Robust and count regression with an elastic net penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import d2_tweedie_score

from wellposed.functionals._base import Functional
from wellposed.functionals.poisson import PoissonLoss
from wellposed.functionals.robust import HuberLoss
from wellposed.operators._base import LinearOperator
from wellposed.sklearn._base import Regression, at_least, elastic_net


class HuberRegressor(Regression):
    r"""Linear regression that outliers move little, with an elastic net penalty.

    .. math:: \min_{w, c} \; \frac1n \sum_i h_\delta(y_i - x_i^T w - c)
        + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2

    with :math:`h_\delta(r) = r^2 / 2` up to :math:`|r| = \delta` and linear beyond.

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    delta : float
        The residual from which the loss is linear, in the units of ``y``. (The estimator of the same
        name in scikit-learn estimates a scale beside it, and penalises squares.)
    l1_ratio : float
        :math:`\rho`, between 0 and 1; 1 is the L1 norm alone.
    fit_intercept, tol, max_iter, warm_start
        As for `Lasso`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X, y = np.arange(6.0)[:, None], np.array([0.0, 1.0, 2.0, 3.0, 4.0, 50.0])
    >>> wp.sklearn.HuberRegressor(1e-4, delta=0.1).fit(X, y).coef_.round(1)
    array([1.])
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        delta: float = 1.35,
        l1_ratio: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.delta = delta
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        return elastic_net(self)

    def _loss(self, A: LinearOperator, y: np.ndarray, sample_weight: np.ndarray | None) -> HuberLoss:
        at_least(self, "delta", 0.0)
        return HuberLoss(A, y, float(self.delta), sample_weight, intercept=bool(self.fit_intercept))


class PoissonRegressor(Regression):
    r"""Regression of counts with a logarithmic link and an elastic net penalty.

    .. math:: \min_{w, c} \; \frac1n \sum_i \big(\mu_i - y_i \log \mu_i\big)
        + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2, \qquad \mu_i = e^{x_i^T w + c}

    The loss is half the mean deviance, up to a constant, as in scikit-learn.

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    l1_ratio : float
        :math:`\rho`, between 0 and 1; 1 is the L1 norm alone.
    fit_intercept, tol, max_iter, warm_start
        As for `Lasso`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> model = wp.sklearn.PoissonRegressor(1e-6).fit([[0.0], [1.0], [2.0]], [1.0, 2.0, 4.0])
    >>> model.predict([[3.0]]).round(2)
    array([8.])
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        l1_ratio: float = 1.0,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        return elastic_net(self)

    def _loss(self, A: LinearOperator, y: np.ndarray, sample_weight: np.ndarray | None) -> PoissonLoss:
        return PoissonLoss(A, y, sample_weight, intercept=bool(self.fit_intercept))

    def predict(self, X: Any) -> np.ndarray:
        """Predict the mean count: ``exp(X @ coef_ + intercept_)``.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        return np.asarray(np.exp(self._scores(X)))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of the deviance that the model explains (D squared).

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,)
        sample_weight : array of shape (n_samples,), optional

        Returns
        -------
        float
            At most 1; 0 for a constant prediction of the mean.
        """
        return float(d2_tweedie_score(y, self.predict(X), sample_weight=sample_weight, power=1))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = True
        return tags
