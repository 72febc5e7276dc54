"""Classification with the logistic loss and an elastic net penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from wellposed.functionals._base import Functional
from wellposed.functionals.datafits import DataFit
from wellposed.functionals.logistic import LogisticLoss
from wellposed.functionals.multinomial import MultinomialLoss
from wellposed.functionals.objective import Objective
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import Matrix
from wellposed.operators.matrix_product import MatrixProduct
from wellposed.sklearn._base import LinearModel, Weight, elastic_net, weights_of_samples
from wellposed.solvers.path_folds import mass

SMALL = 2**20
"""Entries of a sparse matrix up to which it is made dense for coordinate descent of several classes."""


class SparseLogisticRegression(ClassifierMixin, LinearModel):  # type: ignore[misc]
    r"""Classification by the logistic model with an L1 or elastic net penalty.

    .. math:: \min_{w, c} \; \frac1n \sum_i \log\big(1 + e^{-y_i (x_i^T w + c)}\big)
        + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2, \qquad y_i = \pm 1

    With more than two classes the loss is the cross-entropy of the softmax of one score per class.

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0. The ``C`` of `sklearn.linear_model.LogisticRegression` is
        ``1 / (n * alpha)``.
    l1_ratio : float
        :math:`\rho`, between 0 and 1; 1 is the L1 norm alone.
    class_weight : dict or "balanced", optional
        The weight of each class (1 where the dictionary has none), beside those of the samples;
        ``"balanced"`` makes that of all samples of a class the same for each.
    fit_intercept, tol, max_iter, warm_start
        As for `Lasso`; the intercept has no penalty.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
    coef_ : array of shape (1, n_features), or (n_classes, n_features) for more than two classes
    intercept_ : array of shape (1,) or (n_classes,)
    n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.array([[-2.0, 0.1], [-1.0, -0.1], [1.0, 0.1], [2.0, -0.1]])
    >>> model = wp.sklearn.SparseLogisticRegression().fit(X, ["no", "no", "yes", "yes"])
    >>> model.predict([[3.0, 0.0]]), bool(model.coef_[0, 1] == 0)
    (array(['yes'], dtype='<U3'), True)
    """

    def __init__(
        self,
        alpha: float = 0.01,
        *,
        l1_ratio: float = 1.0,
        class_weight: Any = None,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.class_weight = class_weight
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SparseLogisticRegression:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)
            In float32 or float64, which the coefficients keep.
        y : array of shape (n_samples,)
            Labels of at least two classes.
        sample_weight : array of shape (n_samples,), optional
            At least 0; the mean loss is a weighted one.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight)

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores: of the second class for two classes, else of each class.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)
        """
        scores = np.asarray(self._scores(X))
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class with the largest score.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,)
        """
        scores = self.decision_function(X)
        return np.asarray(
            self.classes_[(scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)]
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([expit(-scores), expit(scores)])
        return np.asarray(softmax(scores, axis=1))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples, n_classes)
        """
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack([log_expit(-scores), log_expit(scores)])
        return np.asarray(log_softmax(scores, axis=1))

    # --- from data to the objective -----------------------------------------------------------------

    def _read(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, np.ndarray, np.ndarray | None]:
        X, y = validate_data(self, X, y, accept_sparse=["csc", "csr"], dtype=[np.float64, np.float32])
        check_classification_targets(y)
        self.classes_, number = np.unique(y, return_inverse=True)
        weights = self._weights(number, weights_of_samples(sample_weight, X), X.dtype)
        seen = np.unique(number if weights is None else number[weights > 0])
        if len(seen) < 2:
            one, name = self.classes_[seen], type(self).__name__
            raise ValueError(
                f"{name} needs samples with a weight of at least 2 classes, got one class: {one}"
            )
        if len(self.classes_) == 2:
            return X, (2.0 * number - 1.0).astype(X.dtype), weights
        return X, number, weights

    def _weights(self, number: np.ndarray, given: np.ndarray | None, dtype: Any) -> np.ndarray | None:
        """Weights of samples times those of their classes."""
        if self.class_weight is None:
            return given
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise ValueError(
                    f"class_weight must be a dictionary, 'balanced' or None, got {self.class_weight!r}"
                )
            totals = np.bincount(number, given, len(self.classes_))
            of_classes = totals.sum() / (len(totals) * np.where(totals > 0, totals, 1.0))
        else:
            y = self.classes_[number]
            of_classes = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            if not np.all(np.isfinite(of_classes) & (of_classes >= 0)):
                raise ValueError(f"class_weight must hold numbers of at least 0, got {self.class_weight!r}")
        weights = np.asarray(of_classes[number], dtype)
        return weights if given is None else weights * given

    def _penalty(self, features: int) -> Functional:
        return elastic_net(self)

    def _loss(self, A: LinearOperator, y: np.ndarray, sample_weight: np.ndarray | None) -> DataFit:
        return LogisticLoss(A, y, sample_weight, intercept=bool(self.fit_intercept))

    def _objective(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, weight: Weight
    ) -> Objective:
        if y.dtype == X.dtype:
            return super()._objective(X, y, sample_weight, weight)
        count = len(self.classes_)
        known = np.eye(count, dtype=X.dtype)[y]
        loss = MultinomialLoss(_scores_of(X, count), known, sample_weight, intercept=bool(self.fit_intercept))
        return Objective.of((1 / mass(loss)) * loss, weight * self._penalty(X.shape[1]))

    def _keep(self, x: np.ndarray, intercept: Any) -> None:
        if x.ndim == 1:
            self.coef_, self.intercept_ = x[None], np.array([intercept], x.dtype)
        else:
            self.coef_ = np.ascontiguousarray(x.T)
            self.intercept_ = np.zeros(x.shape[1], x.dtype) + intercept

    def _start(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
        if len(shape) == 1:
            return super()._start(shape, dtype)
        if not (self.warm_start and hasattr(self, "coef_") and self.coef_.T.shape == shape):
            return None
        return np.ascontiguousarray(self.coef_.T, dtype=dtype)


def _scores_of(X: Any, classes: int) -> LinearOperator:
    """From one row of coefficients per feature to one score per class."""
    if scipy.sparse.issparse(X) and X.shape[0] * X.shape[1] <= SMALL:
        X = X.toarray(order="F")
    if scipy.sparse.issparse(X):
        rows = scipy.sparse.csr_array(X)
        each = scipy.sparse.kron(rows, scipy.sparse.eye_array(classes, dtype=X.dtype), format="csr")
        return Matrix(each, (X.shape[1], classes), (X.shape[0], classes))
    return MatrixProduct(X, classes)
