"""Least squares with an L1, elastic net or group penalty."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.groups import GroupL2
from wellposed.functionals.norms import L1
from wellposed.functionals.sparse_group import SparseGroup
from wellposed.operators._base import LinearOperator
from wellposed.sklearn._base import Regression, at_least, elastic_net


class Squares(Regression):
    """Least squares."""

    def _loss(self, A: LinearOperator, y: np.ndarray, sample_weight: np.ndarray | None) -> LeastSquares:
        return LeastSquares(A, y, sample_weight, intercept=bool(self.fit_intercept))


class Lasso(Squares):
    r"""Linear regression with an L1 penalty.

    .. math:: \min_{w, c} \; \frac{1}{2n} \|y - X w - c\|_2^2 + \alpha \|w\|_1

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    fit_intercept : bool
        Whether ``c`` is free; else it is 0.
    positive : bool
        Whether all coefficients must be at least 0.
    tol : float
        Relative duality gap at which the fit ends (in float32 at least 1.5e-5).
    max_iter : int
        Iterations of the solver at most.
    warm_start : bool
        Whether a fit begins at the coefficients of the one before.

    Attributes
    ----------
    coef_ : array of shape (n_features,)
    intercept_ : float
    n_iter_ : int
        Working sets that were solved (at least 1).
    dual_gap_ : float
        Bound of the distance of the objective from its least value.
    certificate_ : Certificate
        The same with its scale, the lower bound, and what it rests on.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> model = wp.sklearn.Lasso(alpha=0.1).fit(np.eye(3), [3.0, 0.0, 0.1])
    >>> model.coef_.round(3), bool(model.dual_gap_ < 1e-6)
    (array([2.5, 0. , 0. ]), True)
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        return L1()


class ElasticNet(Squares):
    r"""Linear regression with an L1 and a squared L2 penalty.

    .. math:: \min_{w, c} \; \frac{1}{2n} \|y - X w - c\|_2^2
        + \alpha \rho \|w\|_1 + \frac{\alpha (1 - \rho)}{2} \|w\|_2^2

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    l1_ratio : float
        :math:`\rho`, between 0 and 1.
    fit_intercept, positive, tol, max_iter, warm_start
        As for `Lasso`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.sklearn.ElasticNet(0.1).fit(np.eye(3), [3.0, 0.0, 0.1]).coef_.round(3)
    array([ 1.87 , -0.478, -0.391])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        fit_intercept: bool = True,
        positive: bool = False,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.fit_intercept = fit_intercept
        self.positive = positive
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        return elastic_net(self)


class GroupLasso(Squares):
    r"""Linear regression with a group lasso penalty, which leaves whole groups of features out.

    .. math:: \min_{w, c} \; \frac{1}{2n} \|y - X w - c\|_2^2 + \alpha \sum_g \omega_g \|w_g\|_2

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    groups : int, array of int, or list of index arrays, optional
        The size of groups that stand one after the other, a label for each feature, or the features of
        each group. By default each feature is a group.
    group_weights : array, optional
        :math:`\omega_g`, one per group in the order of the list, or of increasing label. Default: the
        square root of the size of the group.
    fit_intercept, tol, max_iter, warm_start
        As for `Lasso`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.sklearn.GroupLasso(0.1, groups=2).fit(np.eye(4), [4.0, 3.0, 0.0, 0.1]).coef_.round(2)
    array([3.1 , 2.23, 0.  , 0.  ])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        groups: Any = None,
        group_weights: Any = None,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.groups = groups
        self.group_weights = group_weights
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        labels = labels_of(self.groups, features)
        return GroupL2(labels, group_weights(labels, self.group_weights))


class SparseGroupLasso(Squares):
    r"""Linear regression with a sparse group lasso penalty: few groups, and few features in each.

    .. math:: \min_{w, c} \; \frac{1}{2n} \|y - X w - c\|_2^2
        + \alpha (1 - \rho) \sum_g \omega_g \|w_g\|_2 + \alpha \rho \|w\|_1

    Parameters
    ----------
    alpha : float
        Weight of the penalty, at least 0.
    l1_ratio : float
        :math:`\rho`, between 0 and 1.
    groups, group_weights
        As for `GroupLasso`.
    fit_intercept, tol, max_iter, warm_start
        As for `Lasso`.

    Attributes
    ----------
    coef_, intercept_, n_iter_, dual_gap_, certificate_
        As for `Lasso`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.sklearn.SparseGroupLasso(0.1, groups=2).fit(np.eye(4), [4.0, 1.0, 0.0, 0.1]).coef_.round(2)
    array([3.11, 0.36, 0.  , 0.  ])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        l1_ratio: float = 0.5,
        groups: Any = None,
        group_weights: Any = None,
        fit_intercept: bool = True,
        tol: float = 1e-6,
        max_iter: int = 1000,
        warm_start: bool = False,
    ):
        self.alpha = alpha
        self.l1_ratio = l1_ratio
        self.groups = groups
        self.group_weights = group_weights
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.max_iter = max_iter
        self.warm_start = warm_start

    def _penalty(self, features: int) -> Functional:
        at_least(self, "l1_ratio", 0.0)
        ratio = float(self.l1_ratio)
        if ratio > 1:
            raise ValueError(f"l1_ratio must be between 0 and 1, got {self.l1_ratio!r}")
        labels = labels_of(self.groups, features)
        return SparseGroup(labels, ratio, (1 - ratio) * group_weights(labels, self.group_weights))


def labels_of(groups: Any, features: int) -> np.ndarray:
    """The group of each feature."""
    if groups is None:
        return np.arange(features)
    if isinstance(groups, (int, np.integer)) and not isinstance(groups, bool):
        if groups < 1 or features % groups:
            raise ValueError(f"groups of {groups} features do not divide {features} features")
        return np.arange(features) // groups
    if isinstance(groups, (list, tuple)) and any(np.ndim(group) > 0 for group in groups):
        return _from_lists(groups, features)
    labels = np.asarray(groups)
    if labels.shape != (features,) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"groups must be one integer for each of {features} features, got shape {labels.shape}"
        )
    return np.unique(labels, return_inverse=True)[1]


def _from_lists(groups: Any, features: int) -> np.ndarray:
    labels = np.full(features, -1)
    for k, group in enumerate(groups):
        index = np.atleast_1d(np.asarray(group))
        if index.size == 0 or index.dtype.kind not in "iu" or index.min() < 0 or index.max() >= features:
            raise ValueError(f"group {k} must hold indices from 0 to {features - 1}, got {group}")
        if (labels[index] >= 0).any() or len(np.unique(index)) < index.size:
            raise ValueError(f"group {k} has a feature that is in a group already")
        labels[index] = k
    if (labels < 0).any():
        raise ValueError(f"feature {int(np.argmin(labels))} is in no group: give it one of its own")
    return labels


def group_weights(labels: np.ndarray, given: Any) -> np.ndarray:
    """The weights of the groups: as given, or the roots of their sizes."""
    sizes = np.bincount(labels)
    if given is None:
        return np.sqrt(sizes.astype(np.float64))
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != sizes.shape:
        raise ValueError(f"group_weights must hold {len(sizes)} numbers, got shape {weights.shape}")
    return weights
