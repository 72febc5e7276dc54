"""The checks of scikit-learn for estimators."""

from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from wellposed import sklearn as ws

TIGHT = {"tol": 1e-13}
"""For checks that compare two fits to seven digits."""

QUICK = {"n_alphas": 4, "eps": 0.05, "cv": 3}

ONE = [
    ws.Lasso(**TIGHT),
    ws.ElasticNet(**TIGHT),
    ws.GroupLasso(**TIGHT),
    ws.SparseGroupLasso(**TIGHT),
    ws.HuberRegressor(**TIGHT),
    ws.PoissonRegressor(**TIGHT),
    ws.SparseLogisticRegression(**TIGHT),
]
MANY = [
    ws.LassoCV(**QUICK),
    ws.ElasticNetCV(**QUICK),
    ws.GroupLassoCV(**QUICK),
    ws.SparseGroupLassoCV(**QUICK),
    ws.HuberRegressorCV(max_iter=50, **TIGHT, **QUICK),
    ws.PoissonRegressorCV(max_iter=50, **TIGHT, **QUICK),
    ws.SparseLogisticRegressionCV(tol=1e-11, max_iter=50, **QUICK),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(ONE)
def test_estimators_pass_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(MANY)
def test_cross_validated_estimators_pass_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)
