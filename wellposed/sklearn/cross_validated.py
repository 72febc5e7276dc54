"""The same estimators with ``alpha`` chosen by cross-validation."""

from __future__ import annotations

from typing import Any

from wellposed.sklearn._cross_validation import CrossValidated, SquaresCV
from wellposed.sklearn.generalised import HuberRegressor, PoissonRegressor
from wellposed.sklearn.linear import ElasticNet, GroupLasso, Lasso, SparseGroupLasso
from wellposed.sklearn.logistic import SparseLogisticRegression


class LassoCV(SquaresCV, Lasso):
    r"""`Lasso` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas : sequence of float, optional
        Weights to try. By default ``n_alphas`` ones, evenly spaced on a log scale from the smallest
        whose coefficients are all zero down to ``eps`` times that.
    n_alphas : int
    eps : float
    cv : int, splitter or iterable, optional
        As in scikit-learn; 5 folds by default.
    n_jobs : int, optional
        Processes for the folds: 1 by default, -1 for one per core.
    selection : {"min", "1se"}
        Take the weight of the least mean loss, or the largest one within one standard error of it.
    fit_intercept, positive, max_iter
        As for `Lasso`.
    tol : float
        As for `Lasso`, but smaller by default: at the smallest weights the objective is flat, and fits
        within 1e-6 of its minimum, and the choice with them, can differ visibly.

    Attributes
    ----------
    alpha_ : float
        The chosen weight.
    alphas_ : array of shape (n_alphas,)
        The weights that were tried, decreasing.
    loss_path_ : array of shape (n_alphas, n_folds)
        Mean loss of a sample that was left out.
    mse_path_ : array of shape (n_alphas, n_folds)
        Twice ``loss_path_``: the mean squared errors.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 10))
    >>> model = wp.sklearn.LassoCV().fit(X, 3 * X[:, 2] + 0.1 * rng.normal(size=40))
    >>> int(np.abs(model.coef_).argmax()), model.mse_path_.shape
    (2, (100, 5))
    """

    def __init__(
        self,
        *,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-8,
        max_iter: int = 1000,
    ):
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter


class ElasticNetCV(SquaresCV, ElasticNet):
    r"""`ElasticNet` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection, tol
        As for `LassoCV`.
    l1_ratio, fit_intercept, positive, max_iter
        As for `ElasticNet`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    mse_path_ : array of shape (n_alphas, n_folds)
        Mean squared errors.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `ElasticNet`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.random.default_rng(0).normal(size=(40, 10))
    >>> wp.sklearn.ElasticNetCV(n_alphas=10).fit(X, 3 * X[:, 2]).score(X, 3 * X[:, 2]) > 0.99
    True
    """

    def __init__(
        self,
        *,
        l1_ratio: float = 0.5,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-8,
        max_iter: int = 1000,
    ):
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter


class GroupLassoCV(SquaresCV, GroupLasso):
    r"""`GroupLasso` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection, tol
        As for `LassoCV`.
    groups, group_weights, fit_intercept, max_iter
        As for `GroupLasso`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    mse_path_ : array of shape (n_alphas, n_folds)
        Mean squared errors.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `GroupLasso`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.random.default_rng(0).normal(size=(40, 10))
    >>> model = wp.sklearn.GroupLassoCV(groups=2, n_alphas=10).fit(X, X[:, 2] - X[:, 3])
    >>> model.score(X, X[:, 2] - X[:, 3]) > 0.99
    True
    """

    def __init__(
        self,
        *,
        groups: Any = None,
        group_weights: Any = None,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int = 1000,
    ):
        self.groups = groups
        self.group_weights = group_weights
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter


class SparseGroupLassoCV(SquaresCV, SparseGroupLasso):
    r"""`SparseGroupLasso` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection, tol
        As for `LassoCV`.
    l1_ratio, groups, group_weights, fit_intercept, max_iter
        As for `SparseGroupLasso`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    mse_path_ : array of shape (n_alphas, n_folds)
        Mean squared errors.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `SparseGroupLasso`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.random.default_rng(0).normal(size=(40, 10))
    >>> model = wp.sklearn.SparseGroupLassoCV(groups=2, n_alphas=10).fit(X, X[:, 2])
    >>> model.score(X, X[:, 2]) > 0.99
    True
    """

    def __init__(
        self,
        *,
        l1_ratio: float = 0.5,
        groups: Any = None,
        group_weights: Any = None,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        tol: float = 1e-8,
        max_iter: int = 1000,
    ):
        self.l1_ratio = l1_ratio
        self.groups = groups
        self.group_weights = group_weights
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter


class HuberRegressorCV(CrossValidated, HuberRegressor):
    r"""`HuberRegressor` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection
        As for `LassoCV`.
    delta, l1_ratio, fit_intercept, tol, max_iter
        As for `HuberRegressor`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `HuberRegressor`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.random.default_rng(0).normal(size=(40, 10))
    >>> wp.sklearn.HuberRegressorCV(n_alphas=10).fit(X, X[:, 2]).score(X, X[:, 2]) > 0.99
    True
    """

    def __init__(
        self,
        *,
        delta: float = 1.35,
        l1_ratio: float = 1.0,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ):
        self.delta = delta
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter


class PoissonRegressorCV(CrossValidated, PoissonRegressor):
    r"""`PoissonRegressor` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection
        As for `LassoCV`.
    l1_ratio, fit_intercept, tol, max_iter
        As for `PoissonRegressor`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `PoissonRegressor`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 5))
    >>> y = rng.poisson(np.exp(1 + X[:, 0]))
    >>> wp.sklearn.PoissonRegressorCV(n_alphas=10).fit(X, y).score(X, y) > 0.5
    True
    """

    def __init__(
        self,
        *,
        l1_ratio: float = 1.0,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-3,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ):
        self.l1_ratio = l1_ratio
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter


class SparseLogisticRegressionCV(CrossValidated, SparseLogisticRegression):
    r"""`SparseLogisticRegression` with ``alpha`` chosen by cross-validation.

    Parameters
    ----------
    alphas, n_alphas, eps, cv, n_jobs, selection
        As for `LassoCV`, but for ``eps``: where classes can be separated, smaller weights fit them exactly.
    l1_ratio, class_weight, fit_intercept, tol, max_iter
        As for `SparseLogisticRegression`.

    Attributes
    ----------
    alpha_, alphas_, loss_path_
        As for `LassoCV`.
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `SparseLogisticRegression`, of the fit to all samples.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X = np.random.default_rng(0).normal(size=(60, 5))
    >>> model = wp.sklearn.SparseLogisticRegressionCV(n_alphas=10).fit(X, X[:, 1] > 0)
    >>> model.score(X, X[:, 1] > 0) > 0.9
    True
    """

    def __init__(
        self,
        *,
        l1_ratio: float = 1.0,
        class_weight: Any = None,
        alphas: Any = None,
        n_alphas: int = 100,
        eps: float = 1e-2,
        cv: Any = None,
        n_jobs: int | None = None,
        selection: str = "min",
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
    ):
        self.l1_ratio = l1_ratio
        self.class_weight = class_weight
        self.alphas = alphas
        self.n_alphas = n_alphas
        self.eps = eps
        self.cv = cv
        self.n_jobs = n_jobs
        self.selection = selection
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
