"""Matching pursuit as an estimator: the checks of scikit-learn, and its own estimator."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import OrthogonalMatchingPursuit as Theirs
from sklearn.utils.estimator_checks import parametrize_with_checks

from wellposed.sklearn import OrthogonalMatchingPursuit


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([OrthogonalMatchingPursuit(), OrthogonalMatchingPursuit(select="lasso")])
def test_it_passes_the_checks_of_scikit_learn(estimator, check) -> None:
    check(estimator)


def data(dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 40)) + rng.normal(size=40)
    y = X[:, :4] @ [2.0, -1.0, 1.5, 0.7] + 5 + 0.1 * rng.normal(size=60)
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("count", [None, 6])
@pytest.mark.parametrize("select", ["correlation", "lasso", "attention"])
def test_it_agrees_with_the_estimator_of_scikit_learn(fit_intercept, count, select) -> None:
    X, y = data()
    ours = OrthogonalMatchingPursuit(count, fit_intercept=fit_intercept, select=select).fit(X, y)
    theirs = Theirs(n_nonzero_coefs=count, fit_intercept=fit_intercept).fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-10)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-10)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-9)
    assert ours.n_nonzero_coefs_ == theirs.n_nonzero_coefs_ == np.count_nonzero(ours.coef_)
    assert ours.n_iter_ == len(ours.pursuit_.rounds)


def test_it_ends_at_a_small_residual_and_keeps_the_precision() -> None:
    X, y = data(np.float32)
    model = OrthogonalMatchingPursuit(30, tol=0.1).fit(X, y)
    assert model.coef_.dtype == model.predict(X).dtype == np.float32
    assert model.pursuit_.status == "tolerance"
    assert np.linalg.norm(y - model.predict(X)) <= 0.1001 * np.linalg.norm(y - y.mean())
    assert 0 < np.count_nonzero(model.coef_) < 30


def test_bad_options_are_named() -> None:
    X, y = data()
    with pytest.raises(ValueError, match="tol must be"):
        OrthogonalMatchingPursuit(tol=-1.0).fit(X, y)
    with pytest.raises(ValueError, match="n_nonzero_coefs must be an integer from 1 to 40, got 50"):
        OrthogonalMatchingPursuit(50).fit(X, y)
    with pytest.raises(ValueError, match="select must be one of"):
        OrthogonalMatchingPursuit(select="best").fit(X, y)
