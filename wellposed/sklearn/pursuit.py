"""Orthogonal matching pursuit as an estimator."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from wellposed.sklearn._base import at_least, check_flags
from wellposed.solvers.matching_pursuit import Select, orthogonal_matching_pursuit


class OrthogonalMatchingPursuit(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Linear regression on features that are selected one by one.

    Parameters
    ----------
    n_nonzero_coefs : int, optional
        Features at most; by default a tenth of them, at least one.
    tol : float
        End when the norm of the residual is at most ``tol`` times that of the centred target. Unlike in
        scikit-learn's estimator of this name, it is relative, not squared, and an end beside the other one.
    fit_intercept : bool
        Whether target and features are centred; else the intercept is 0.
    select : {"correlation", "lasso", "attention"}
        The rule of `orthogonal_matching_pursuit`.
    below : float
        Its option for the last two.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    n_nonzero_coefs_ : int
        Features at most.
    n_iter_ : int
        Rounds.
    pursuit_ : Pursuit
        With the features in the order of selection, residuals, margins and certificates.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    >>> model = wp.sklearn.OrthogonalMatchingPursuit(n_nonzero_coefs=1).fit(X, 2 * X[:, 1] + 1)
    >>> model.coef_.round(6), round(float(model.intercept_), 6)
    (array([0., 2., 0.]), 1.0)
    """

    coef_: np.ndarray
    intercept_: Any

    def __init__(
        self,
        n_nonzero_coefs: int | None = None,
        *,
        tol: float = 0.0,
        fit_intercept: bool = True,
        select: Select = "correlation",
        below: float = 1e-3,
    ):
        self.n_nonzero_coefs = n_nonzero_coefs
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.select = select
        self.below = below

    def fit(self, X: Any, y: Any) -> Self:
        """Select features and fit.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
            In float32 or float64, which the coefficients keep.
        y : array of shape (n_samples,)

        Returns
        -------
        self
        """
        at_least(self, "tol", 0.0)
        check_flags(self)
        X, y = validate_data(self, X, y, dtype=[np.float64, np.float32], y_numeric=True)
        y = np.asarray(y).astype(X.dtype)
        x_mean = X.mean(axis=0) if self.fit_intercept else np.zeros(X.shape[1], X.dtype)
        y_mean = y.mean() if self.fit_intercept else X.dtype.type(0)
        count = self._count(X.shape[1])
        self.pursuit_ = orthogonal_matching_pursuit(
            X - x_mean if self.fit_intercept else X,
            y - y_mean,
            count,
            float(self.tol),
            select=self.select,
            below=self.below,
        )
        self.n_nonzero_coefs_, self.n_iter_ = count, max(len(self.pursuit_.rounds), 1)
        self.coef_ = self.pursuit_.x
        self.intercept_ = y_mean - x_mean @ self.coef_
        return self

    def _count(self, features: int) -> int:
        given = self.n_nonzero_coefs
        if given is None:
            return max(features // 10, 1)
        whole = isinstance(given, (int, np.integer)) and not isinstance(given, bool)
        if not (whole and 1 <= given <= features):
            raise ValueError(f"n_nonzero_coefs must be an integer from 1 to {features}, got {given!r}")
        return int(given)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target: ``X @ coef_ + intercept_``.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return np.asarray(X @ self.coef_ + self.intercept_)
