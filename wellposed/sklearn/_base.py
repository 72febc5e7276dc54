"""What the estimators share: from data to an objective, and from its result to fitted attributes."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning as SklearnConvergenceWarning
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from wellposed.functionals._base import Functional
from wellposed.functionals.datafits import DataFit
from wellposed.functionals.elastic_net import ElasticNet
from wellposed.functionals.indicators import NonNegative
from wellposed.functionals.norms import L1
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import Matrix
from wellposed.solvers.minimize import minimize
from wellposed.solvers.path_folds import mass
from wellposed.solvers.result import ConvergenceWarning, Result

Weight = float | Parameter

LEAST_TOL = 128.0
"""Least tolerance of a fit, in rounding errors of its precision."""


class LinearModel(BaseEstimator):  # type: ignore[misc]
    """A linear model with a penalty; subclasses give the penalty, and the loss of the prediction."""

    alpha: float
    tol: float
    max_iter: int
    warm_start: bool
    fit_intercept: bool

    coef_: np.ndarray
    intercept_: Any

    # --- what a subclass gives ------------------------------------------------------------------

    def _penalty(self, features: int) -> Functional:
        raise NotImplementedError

    def _loss(self, A: LinearOperator, y: np.ndarray, sample_weight: np.ndarray | None) -> DataFit:
        raise NotImplementedError

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
        """The data, checked, with the target as the loss takes it."""
        raise NotImplementedError

    def _keep(self, x: np.ndarray, intercept: Any) -> None:
        """Set ``coef_`` and ``intercept_``."""
        self.coef_, self.intercept_ = x, x.dtype.type(intercept)

    # --- objective and result ---------------------------------------------------------------------

    def _objective(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, weight: Weight
    ) -> Objective:
        loss = self._loss(Matrix(X), y, sample_weight)
        terms = Objective.of((1 / mass(loss)) * loss, weight * self._penalty(X.shape[1]))
        return Objective.of(terms, NonNegative()) if getattr(self, "positive", False) else terms

    def _start(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
        """The coefficients of the last fit, if they are to be used and fit."""
        if not (self.warm_start and hasattr(self, "coef_") and self.coef_.size == math.prod(shape)):
            return None
        return np.array(self.coef_, dtype=dtype).reshape(shape)

    def _tolerance(self, dtype: Any) -> float:
        """``tol``, or what the precision allows (about 1.5e-5 in float32)."""
        return max(self.tol, LEAST_TOL * float(np.finfo(dtype).eps))

    def _finish(self, objective: Objective, x0: np.ndarray | None) -> Self:
        tol = self._tolerance(objective.data[0].dtype)
        with sklearn_warnings():
            result = minimize(objective, x0=x0, tol=tol, max_iter=self.max_iter, progress=False)
        # Adding 0 turns -0 into 0.
        self._keep(result.x + 0, _intercept(objective, result))
        self.certificate_ = result.certificate
        self.dual_gap_ = result.certificate.value if result.certificate.is_bound else math.nan
        self.n_iter_ = max(1, result.iterations)
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        at_least(self, "alpha", 0.0)
        at_least(self, "tol", 0.0)
        check_flags(self)
        X, y, sample_weight = self._read(X, y, sample_weight)
        objective = self._objective(X, y, sample_weight, float(self.alpha))
        assert objective.shape is not None
        return self._finish(objective, self._start(objective.shape, X.dtype))

    def _scores(self, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csc", "csr"], dtype=[np.float64, np.float32], reset=False)
        return safe_sparse_dot(X, self.coef_.T, dense_output=True) + self.intercept_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class Regression(RegressorMixin, LinearModel):  # type: ignore[misc]
    """A linear model of a number."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In float32 or float64, which the coefficients keep.
        y : array of shape (n_samples,)
        sample_weight : array of shape (n_samples,), optional
            At least 0, not all 0; the mean loss is a weighted one.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)

    def predict(self, X: Any) -> np.ndarray:
        """Predict the target: ``X @ coef_ + intercept_``.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        return np.asarray(self._scores(X))

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
        X, y = validate_data(
            self, X, y, accept_sparse=["csc", "csr"], dtype=[np.float64, np.float32], y_numeric=True
        )
        return X, np.asarray(y).astype(X.dtype), weights_of_samples(sample_weight, X)


def elastic_net(model: Any) -> Functional:
    """The penalty of ``l1_ratio``."""
    ratio = model.l1_ratio
    if not (isinstance(ratio, (int, float, np.number)) and 0 <= ratio <= 1):
        raise ValueError(f"l1_ratio must be between 0 and 1, got {ratio!r}")
    return L1() if ratio == 1 else ElasticNet(float(ratio), 1 - float(ratio))


def at_least(model: Any, name: str, least: float) -> None:
    """Refuse an option of an estimator that is no finite number, or too small."""
    value = getattr(model, name)
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value >= least):
        raise ValueError(f"{name} must be a number of at least {least:g}, got {value!r}")


def check_flags(model: Any) -> None:
    """Refuse an option that is a choice between True and False, but is neither."""
    options = model.get_params()
    for name in ("fit_intercept", "positive", "warm_start"):
        if not isinstance(options.get(name, False), (bool, np.bool_)):
            raise ValueError(f"{name} must be True or False, got {options[name]!r}")


def weights_of_samples(given: Any, X: Any) -> np.ndarray | None:
    """Weights of samples in the precision of ``X``, checked."""
    if given is None:
        return None
    weights = np.asarray(_check_sample_weight(given, X, dtype=X.dtype, ensure_non_negative=True))
    if not weights.any():
        # Later versions of scikit-learn say so themselves.
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


def _intercept(objective: Objective, result: Result) -> Any:
    loss = objective.terms[0].f  # type: ignore[attr-defined]
    return loss.intercept_at(result.x)


@contextlib.contextmanager
def sklearn_warnings() -> Iterator[None]:
    """Turn a warning that a solve fell short into that of scikit-learn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            text = f"{warning.message}: raise max_iter or tol"
            warnings.warn(text, SklearnConvergenceWarning, stacklevel=4)
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
