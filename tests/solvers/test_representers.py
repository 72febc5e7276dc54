"""Representers against the formulas of the paper, finite differences and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import wellposed as wp

TIGHT = 1e-12


def data(seed=0, n=40, p=25):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p))
    y = X[:, :4] @ [3.0, -2.0, 1.5, 1.0] + 0.3 * rng.standard_normal(n)
    return X, y, rng.standard_normal((5, p))


def lasso(X, y, lam=4.0, **options):
    return wp.LeastSquares(wp.operators.Matrix(X), y, **options) + lam * wp.L1()


def test_the_lasso_has_the_kernel_of_the_paper():
    X, y, targets = data()
    objective = lasso(X, y)
    result = wp.minimize(objective, tol=TIGHT)
    explained = wp.representers(objective, result)
    theta = result.x
    assert 0 < np.count_nonzero(theta) < len(theta)
    assert explained.importance == pytest.approx(y - X @ theta)
    assert explained.residual < 1e-5
    for target in targets:
        kernel = X @ (np.abs(theta) * target) / 4.0
        assert explained.kernel(target) == pytest.approx(kernel, rel=1e-5, abs=1e-6)
        assert explained.values(target).sum() == pytest.approx(target @ theta, rel=1e-12)
        assert abs(explained.remainder(target)) < 1e-11


def test_logistic_regression_of_scikit_learn():
    X, y, targets = data()
    labels = np.where(y > 0, 1.0, -1.0)
    model = LogisticRegression(
        l1_ratio=1.0, C=0.5, fit_intercept=False, solver="liblinear", tol=1e-10, max_iter=10000
    ).fit(X, labels)
    objective = 0.5 * wp.LogisticLoss(wp.operators.Matrix(X), labels) + 1.0 * wp.L1()
    theta = model.coef_[0]
    explained = wp.representers(objective, theta)
    slopes = -labels / (1 + np.exp(labels * (X @ theta)))
    assert explained.importance == pytest.approx(-0.5 * slopes)
    for target in targets:
        by_hand = -0.5 * slopes * (X @ (np.abs(theta) * target))
        assert explained.values(target) == pytest.approx(by_hand, rel=1e-3, abs=1e-4)
        assert explained.values(target).sum() == pytest.approx(model.decision_function([target])[0])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 20.0), st.floats(0.1, 5.0), st.booleans(), st.booleans())
def test_values_add_up_for_all_penalties_on_coefficients(seed, l1, l2, intercept, positive):
    X, y, targets = data(seed % 97, n=15, p=8)
    objective = wp.LeastSquares(wp.operators.Matrix(X), y + 1.0, intercept=intercept) + wp.ElasticNet(l1, l2)
    if positive:
        objective = objective + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-9)
    explained = wp.representers(objective, result)
    for target in targets:
        assert explained.values(target).sum() == pytest.approx(target @ result.x, abs=1e-9)
    gram = np.stack([explained.kernel(row) for row in X])
    assert np.abs(gram - gram.T).max() < 1e-9 * max(1.0, np.abs(gram).max())
    assert np.linalg.eigvalsh(gram)[0] > -1e-9


def test_values_of_ridge_are_the_classical_ones():
    X, y, targets = data()
    objective = wp.LeastSquares(wp.operators.Matrix(X), y) + 2.0 * wp.SquaredL2()
    result = wp.minimize(objective, tol=1e-13)
    values = wp.representers(objective, result).values(targets[0])
    assert values == pytest.approx((y - X @ result.x) * (X @ targets[0]) / 2.0, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("side", ["rows", "columns", "two-sided", "both"])
def test_ratings(side):
    ratings = wp.problems.low_rank_ratings(20, 15, 3, 0.5, 0.1)
    objective = wp.LeastSquares(wp.operators.Mask(ratings.observed), ratings.values) + 1.5 * wp.NuclearNorm()
    result = wp.minimize(objective, tol=1e-14, max_iter=20_000, solver="fista")
    explained = wp.representers(objective, result, side)
    target = np.zeros((20, 15))
    target[3, 4] = 1.0
    values = explained.values(target)
    assert values.sum() == pytest.approx(result.x[3, 4], abs=1e-6)
    assert explained.prediction(target) == result.x[3, 4]
    away = np.ones((20, 15), bool)
    if side in ("columns", "both"):
        away[3] = False
    if side in ("rows", "both"):
        away[:, 4] = False
    if side != "two-sided":
        assert np.all(values[away] == 0)
    assert np.all(values[~ratings.observed] == 0)


def test_users_are_compared_by_their_embeddings():
    """The formula for collaborative filtering, with embeddings from the singular value decomposition."""
    ratings = wp.problems.low_rank_ratings(12, 10, 2, 0.6, 0.1, seed=3)
    objective = wp.LeastSquares(wp.operators.Mask(ratings.observed), ratings.values) + 1.0 * wp.NuclearNorm()
    result = wp.minimize(objective, tol=1e-13, max_iter=20_000)
    U, s, _ = np.linalg.svd(result.x)
    users = U[:, :10] * np.sqrt(s)
    target = np.zeros((12, 10))
    target[2, 5] = 1.0
    slope = np.where(ratings.observed, result.x - ratings.values, 0.0)
    values = wp.representers(objective, result, "rows").values(target)
    assert values[:, 5] == pytest.approx(-slope[:, 5] * (users @ users[2]), abs=1e-9)


def test_classes_have_values_for_each_score(rng):
    X, _, _ = data(p=6)
    classes = rng.integers(0, 3, len(X))
    objective = wp.MultinomialLoss(wp.operators.MatrixProduct(X, 3), classes) + 2.0 * wp.L1()
    result = wp.minimize(objective, tol=1e-9, max_iter=20_000)
    explained = wp.representers(objective, result)
    target = np.zeros((6, 3))
    target[:, 1] = rng.standard_normal(6)
    assert explained.values(target).shape == (len(X), 3)
    assert explained.values(target).sum() == pytest.approx(float(np.sum(target * result.x)))


def test_dtype_is_kept_and_read_only_targets_are_taken():
    X, y, targets = (a.astype(np.float32) for a in data())
    objective = lasso(X, y)
    explained = wp.representers(objective, wp.minimize(objective, tol=1e-5))
    targets.flags.writeable = False
    values = explained.values(targets[0])
    assert values.dtype == np.float32
    assert values.sum() == pytest.approx(explained.prediction(targets[0]), rel=1e-3)


def test_a_model_of_zeros_has_values_of_zero():
    X, y, targets = data()
    objective = lasso(X, y, 1e5)
    explained = wp.representers(objective, wp.minimize(objective))
    assert np.all(explained.values(targets[0]) == 0)
    assert explained.residual == 0


def test_bad_input():
    X, y, _ = data()
    objective = lasso(X, y)
    result = wp.minimize(objective, tol=1e-9)
    with pytest.raises(ValueError, match="not near the minimum"):
        wp.representers(objective, -result.x)
    with pytest.raises(ValueError, match="side is one of"):
        wp.representers(objective, result, "left")
    with pytest.raises(TypeError, match="one smooth data fit"):
        wp.representers(wp.L1(), result.x)
    with pytest.raises(TypeError, match="sums over coefficients"):
        wp.representers(
            wp.LeastSquares(wp.operators.Matrix(X), y) + 1.0 * wp.GroupL2([[0, 1], list(range(2, 25))]),
            result,
        )
    with pytest.raises(TypeError, match="an operator"):
        wp.representers(wp.LeastSquares(None, y[:25]) + 1.0 * wp.L1(), result.x)
    explained = wp.representers(objective, result)
    with pytest.raises(ValueError, match="target has shape"):
        explained.kernel(np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        explained.kernel(np.full(25, np.nan))
    with pytest.raises(ValueError, match="used <= features"):
        wp.problems.sparse_classification(used=30, features=20)
    with pytest.raises(ValueError, match="share"):
        wp.problems.low_rank_ratings(share=0.0)
