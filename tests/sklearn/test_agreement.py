"""The estimators against those of scikit-learn, on the same data."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn import linear_model
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import wellposed as wp
from wellposed import sklearn as ws

TIGHT = {"tol": 1e-13}
PEER = {"tol": 1e-12, "max_iter": 100_000}


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 30)) + 1
    return X, X[:, :4] @ np.array([2.0, -1.0, 1.0, 0.5]) + 5 + 0.5 * rng.normal(size=80)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
def test_lasso(data, fit_intercept: bool, positive: bool, kind) -> None:
    X, y = data
    options = {"alpha": 0.1, "fit_intercept": fit_intercept, "positive": positive}
    mine = ws.Lasso(**options, **TIGHT).fit(kind(X), y)
    other = linear_model.Lasso(**options, **PEER).fit(X, y)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    assert mine.intercept_ == pytest.approx(other.intercept_, abs=1e-6)
    np.testing.assert_allclose(mine.predict(kind(X)), other.predict(X), atol=1e-6)
    assert mine.score(kind(X), y) == pytest.approx(other.score(X, y))


@pytest.mark.parametrize("positive", [True, False])
def test_elastic_net_with_sample_weights(data, positive: bool) -> None:
    X, y = data
    w = np.random.default_rng(1).uniform(0, 3, 80)
    options = {"alpha": 0.2, "l1_ratio": 0.7, "positive": positive}
    mine = ws.ElasticNet(**options, **TIGHT).fit(X, y, w)
    other = linear_model.ElasticNet(**options, **PEER).fit(X, y, w)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    assert mine.intercept_ == pytest.approx(other.intercept_, abs=1e-6)


def test_the_gap_is_in_the_units_of_the_documented_objective(data) -> None:
    X, y = data
    model = ws.Lasso(0.1, tol=1e-3).fit(X, y)
    r = y - model.predict(X)
    value = r @ r / 160 + 0.1 * np.abs(model.coef_).sum()
    assert model.certificate_.primal == pytest.approx(value, rel=1e-12)
    assert model.certificate_.kind == "duality gap"
    best = ws.Lasso(0.1, **TIGHT).fit(X, y).certificate_.primal
    assert value - best <= model.dual_gap_ <= 1e-3 * value


def test_group_lasso_of_single_features_is_the_lasso(data) -> None:
    X, y = data
    lasso = ws.Lasso(0.1, **TIGHT).fit(X, y)
    for model in (ws.GroupLasso(0.1, **TIGHT), ws.SparseGroupLasso(0.1, l1_ratio=0.3, **TIGHT)):
        np.testing.assert_allclose(model.fit(X, y).coef_, lasso.coef_, atol=1e-6)


def test_groups_satisfy_their_optimality_condition(data) -> None:
    X, y = data
    labels = np.arange(30) // 3
    model = ws.GroupLasso(0.15, groups=3, tol=1e-12).fit(X, y)
    pull = X.T @ (y - model.predict(X)) / 80
    for g in range(10):
        at, w = labels == g, 0.15 * np.sqrt(3)
        size = np.linalg.norm(model.coef_[at])
        if size > 0:
            np.testing.assert_allclose(pull[at], w * model.coef_[at] / size, atol=1e-5)
        else:
            assert np.linalg.norm(pull[at]) <= w * (1 + 1e-6)
    assert 0 < np.count_nonzero(model.coef_) < 30


def test_forms_of_groups_are_the_same(data) -> None:
    X, y = data
    expected = ws.GroupLasso(0.15, groups=3, tol=1e-10).fit(X, y).coef_
    listed = [np.arange(3 * g, 3 * g + 3) for g in range(10)]
    for groups in (np.arange(30) // 3, 7 * (np.arange(30) // 3), listed):
        np.testing.assert_allclose(
            ws.GroupLasso(0.15, groups=groups, tol=1e-10).fit(X, y).coef_, expected, atol=1e-6
        )


def test_two_classes_agree_with_scikit_learn(data) -> None:
    X, y = data
    labels = np.where(y > np.median(y), "high", "low")
    mine = ws.SparseLogisticRegression(0.05, **TIGHT).fit(X, labels)
    other = linear_model.LogisticRegression(
        C=1 / (80 * 0.05), l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=200_000, random_state=0
    ).fit(X, labels)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(mine.intercept_, other.intercept_, atol=1e-6)
    np.testing.assert_allclose(mine.predict_proba(X), other.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(mine.predict_log_proba(X), other.predict_log_proba(X), atol=1e-5)
    assert (mine.predict(X) == other.predict(X)).all()
    assert mine.dual_gap_ < 1e-12


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_three_classes_agree_with_scikit_learn(data, kind) -> None:
    X, y = data
    Z = StandardScaler().fit_transform(X)[:, :8]
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    mine = ws.SparseLogisticRegression(0.05, tol=1e-9).fit(kind(Z), labels)
    other = linear_model.LogisticRegression(
        C=1 / (80 * 0.05), l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=200_000, random_state=0
    ).fit(Z, labels)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(mine.predict_proba(Z), other.predict_proba(Z), atol=1e-6)
    assert mine.certificate_.kind == "duality gap"
    assert mine.dual_gap_ <= 1e-9 * mine.certificate_.primal


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("l1_ratio", [0.5, 0.0])
def test_the_elastic_net_of_three_classes_agrees_with_scikit_learn(data, kind, l1_ratio: float) -> None:
    X, y = data
    Z = StandardScaler().fit_transform(X)[:, :8]
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    mine = ws.SparseLogisticRegression(0.05, l1_ratio=l1_ratio, tol=1e-12).fit(kind(Z), labels)
    other = linear_model.LogisticRegression(
        C=1 / (80 * 0.05), l1_ratio=l1_ratio, solver="saga", tol=1e-10, max_iter=200_000, random_state=0
    ).fit(Z, labels)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-5)
    np.testing.assert_allclose(mine.predict_proba(Z), other.predict_proba(Z), atol=1e-5)
    assert mine.dual_gap_ <= 1e-11 * mine.certificate_.primal


@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
def test_cross_validation_of_three_classes_begins_where_coefficients_are_zero(data, l1_ratio: float) -> None:
    X, y = data
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    options = {"l1_ratio": l1_ratio, "n_alphas": 5, "cv": 3}
    model = ws.SparseLogisticRegressionCV(**options).fit(X, labels)
    assert model.score(X, labels) > 0.8
    largest = model.alphas_[0]
    assert not ws.SparseLogisticRegression(largest * (1 + 1e-9), l1_ratio=l1_ratio).fit(X, labels).coef_.any()
    assert ws.SparseLogisticRegression(0.95 * largest, l1_ratio=l1_ratio).fit(X, labels).coef_.any()


def test_poisson_without_penalty_agrees_with_scikit_learn(data) -> None:
    X, _ = data
    y = np.random.default_rng(2).poisson(np.exp(0.3 * X[:, 0]))
    mine = ws.PoissonRegressor(0.1, l1_ratio=0.0, **TIGHT).fit(X, y)
    other = linear_model.PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    assert mine.score(X, y) == pytest.approx(other.score(X, y), abs=1e-8)


def test_huber_with_a_large_delta_is_the_lasso_and_a_small_one_ignores_an_outlier(data) -> None:
    X, y = data
    lasso = ws.Lasso(0.1, **TIGHT).fit(X, y)
    np.testing.assert_allclose(
        ws.HuberRegressor(0.1, delta=1e3, **TIGHT).fit(X, y).coef_, lasso.coef_, atol=1e-5
    )
    far = y.copy()
    far[0] += 1e4
    robust = ws.HuberRegressor(0.01, delta=0.5).fit(X, far)
    np.testing.assert_allclose(robust.coef_[:4], [2.0, -1.0, 1.0, 0.5], atol=0.2)


# --- cross-validation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_lasso_cv_chooses_what_scikit_learn_chooses(data, fit_intercept: bool) -> None:
    X, y = data
    folds = KFold(4, shuffle=True, random_state=0)
    mine = ws.LassoCV(cv=folds, n_alphas=30, fit_intercept=fit_intercept, tol=1e-11).fit(X, y)
    other = linear_model.LassoCV(cv=folds, alphas=30, fit_intercept=fit_intercept, **PEER).fit(X, y)
    np.testing.assert_allclose(mine.alphas_, other.alphas_, rtol=1e-10)
    np.testing.assert_allclose(mine.mse_path_, other.mse_path_, rtol=1e-5)
    assert mine.alpha_ == pytest.approx(other.alpha_)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-5)


def test_elastic_net_cv_chooses_what_scikit_learn_chooses(data) -> None:
    X, y = data
    mine = ws.ElasticNetCV(l1_ratio=0.6, n_alphas=20, tol=1e-11).fit(scipy.sparse.csc_array(X), y)
    other = linear_model.ElasticNetCV(l1_ratio=0.6, alphas=20, **PEER).fit(X, y)
    assert mine.alpha_ == pytest.approx(other.alpha_)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-5)


def test_one_standard_error_takes_a_larger_weight(data) -> None:
    X, y = data
    least, simple = (ws.LassoCV(n_alphas=30, selection=s).fit(X, y) for s in ("min", "1se"))
    assert simple.alpha_ > least.alpha_
    assert np.count_nonzero(simple.coef_) < np.count_nonzero(least.coef_)


def test_cross_validated_classification_uses_stratified_folds(data) -> None:
    X, y = data
    labels = y > np.quantile(y, 0.8)
    model = ws.SparseLogisticRegressionCV(n_alphas=8, cv=StratifiedKFold(4)).fit(X, labels)
    same = ws.SparseLogisticRegressionCV(n_alphas=8, cv=4).fit(X, labels)
    assert model.alpha_ == same.alpha_
    assert model.score(X, labels) > 0.85
    assert model.loss_path_.shape == (8, 4)


def test_groups_and_counts_are_cross_validated(data) -> None:
    X, y = data
    assert ws.GroupLassoCV(groups=3, n_alphas=8, cv=3).fit(X, y).score(X, y) > 0.9
    assert ws.SparseGroupLassoCV(groups=3, n_alphas=8, cv=3).fit(X, y).score(X, y) > 0.9
    assert ws.HuberRegressorCV(n_alphas=8, cv=3).fit(X, y).score(X, y) > 0.9
    counts = np.random.default_rng(2).poisson(np.exp(0.5 * X[:, 0]))
    assert ws.PoissonRegressorCV(n_alphas=8, cv=3).fit(X, counts).score(X, counts) > 0.1


# --- behaviour of an estimator --------------------------------------------------------------------------


def test_float32_stays_float32(data) -> None:
    X, y = (a.astype(np.float32) for a in data)
    model = ws.Lasso(0.1, tol=1e-4).fit(X, y)
    assert model.coef_.dtype == np.float32
    assert model.predict(X).dtype == np.float32
    exact = ws.Lasso(0.1, **TIGHT).fit(*data)
    np.testing.assert_allclose(model.coef_, exact.coef_, atol=1e-2)


def test_a_warm_start_takes_fewer_iterations(data) -> None:
    X, y = data
    model = ws.Lasso(0.1, tol=1e-8, warm_start=True).fit(X, y)
    first = model.n_iter_
    assert model.fit(X, y).n_iter_ <= 1 <= first
    np.testing.assert_allclose(model.set_params(alpha=0.09).fit(X, y).coef_,
                               ws.Lasso(0.09, tol=1e-8).fit(X, y).coef_, atol=1e-4)  # fmt: skip
    three = ws.SparseLogisticRegression(0.05, warm_start=True).fit(X, np.arange(80) % 3)
    first = three.n_iter_
    assert three.fit(X, np.arange(80) % 3).n_iter_ < first


def test_pickles_clones_pipelines_and_searches(data) -> None:
    X, y = data
    model = ws.GroupLasso(0.1, groups=3).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.certificate_ == model.certificate_
    assert not hasattr(clone(model), "coef_")
    search = GridSearchCV(make_pipeline(StandardScaler(), ws.Lasso()), {"lasso__alpha": [1.0, 0.01]}, cv=3)
    assert search.fit(X, y).best_params_ == {"lasso__alpha": 0.01}


def test_a_fit_that_falls_short_warns_as_scikit_learn_does(data) -> None:
    X, y = data
    with pytest.warns(ConvergenceWarning, match="raise max_iter or tol"):
        ws.SparseLogisticRegression(1e-4, max_iter=1, tol=1e-12).fit(X, y > y.mean())


def test_degenerate_data(data) -> None:
    X, y = data
    X = np.column_stack([X, np.full(80, 2.0), X[:, 0], np.zeros(80)])
    mine = ws.Lasso(0.1, **TIGHT).fit(X, y)
    assert mine.coef_[30] == mine.coef_[32] == 0
    other = linear_model.Lasso(0.1, **PEER).fit(X, y)
    np.testing.assert_allclose(mine.predict(X), other.predict(X), atol=1e-6)
    for flat in (np.zeros(80), np.full(80, 3.0)):
        model = ws.LassoCV(cv=3).fit(X, flat)
        assert not model.coef_.any()
        assert model.intercept_ == pytest.approx(flat[0])
    largest = np.abs((X - X.mean(axis=0)).T @ (y - y.mean())).max() / 80
    assert not ws.Lasso(largest * (1 + 1e-12)).fit(X, y).coef_.any()
    assert ws.Lasso(0.999 * largest, **TIGHT).fit(X, y).coef_.any()
    free = ws.Lasso(0.0, tol=1e-12).fit(X[:, :30], y)
    np.testing.assert_allclose(free.coef_, linear_model.LinearRegression().fit(X[:, :30], y).coef_, atol=1e-5)


def test_what_is_wrong_is_named(data) -> None:
    X, y = data

    def refused(match: str, model, *arguments) -> None:
        with pytest.raises(ValueError, match=match):
            model.fit(*(arguments or (X, y)))

    refused("alpha must be a number of at least 0", ws.Lasso(-1.0))
    refused("alpha must be", ws.Lasso("auto"))
    refused("tol must be a number of at least 0", ws.Lasso(tol="small"))
    refused("tol must be a number of at least 0", ws.LassoCV(tol=-1.0))
    refused("l1_ratio must be between 0 and 1", ws.ElasticNet(l1_ratio=2.0))
    refused("l1_ratio must be", ws.SparseGroupLasso(l1_ratio=1.5))
    refused("groups of 7 features do not divide 30", ws.GroupLasso(groups=7))
    refused("feature 2 is in no group", ws.GroupLasso(groups=[[0, 1], list(range(3, 30))]))
    refused("in a group already", ws.GroupLasso(groups=[[0, 1], list(range(1, 30))]))
    refused("from 0 to 29", ws.GroupLasso(groups=[[0, 30]]))
    refused("one integer for each", ws.GroupLasso(groups=np.zeros(3, int)))
    refused("group_weights must hold 10", ws.GroupLasso(groups=3, group_weights=[1.0]))
    refused("delta", ws.HuberRegressor(delta=0.0))
    refused("at least 0", ws.PoissonRegressor(), X, -np.abs(y))
    refused("only|at least 2 classes", ws.SparseLogisticRegression(), X, np.zeros(80))
    refused("selection must be", ws.LassoCV(selection="best"))
    refused("alphas must hold positive", ws.LassoCV(alphas=[0.0]))
    refused("non-zero", ws.Lasso(), X, y, np.zeros(80))
    refused("Negative values", ws.Lasso(), X, y, -np.ones(80))
    refused("NaN", ws.Lasso(), X, np.full(80, np.nan))


def test_the_estimators_are_reached_from_the_front_door() -> None:
    assert wp.sklearn.Lasso is ws.Lasso
    assert set(ws.__all__) <= set(dir(wp.sklearn))


# --- weights of samples and of classes -------------------------------------------------------------------

MODELS = {
    "huber": lambda **o: ws.HuberRegressor(0.05, delta=0.5, **o),
    "poisson": lambda **o: ws.PoissonRegressor(0.05, l1_ratio=0.8, **o),
    "two classes": lambda **o: ws.SparseLogisticRegression(0.02, **o),
    "three classes": lambda **o: ws.SparseLogisticRegression(0.02, **o),
}


def target(kind: str, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    return {
        "huber": y,
        "poisson": np.random.default_rng(2).poisson(np.exp(0.3 * X[:, 0])),
        "two classes": y > np.median(y),
        "three classes": np.digitize(y, np.quantile(y, [0.3, 0.6])),
    }[kind]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("matrix", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_integer_weights_are_repeated_samples(data, kind: str, matrix, fit_intercept: bool) -> None:
    X, y = data
    b, counts = target(kind, X, y), np.arange(80) % 4
    again = np.repeat(np.arange(80), counts)
    options = {"fit_intercept": fit_intercept, **TIGHT}
    one = MODELS[kind](**options).fit(matrix(X), b, counts)
    other = MODELS[kind](**options).fit(matrix(X[again]), b[again])
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(one.intercept_, other.intercept_, atol=1e-6)
    assert one.certificate_.primal == pytest.approx(other.certificate_.primal, rel=1e-10)
    unit = MODELS[kind](**options).fit(matrix(X), b, 1e3 * counts)
    np.testing.assert_allclose(unit.coef_, one.coef_, atol=1e-6)


@pytest.mark.parametrize("kind", ["poisson", "two classes"])
def test_weighted_fits_agree_with_scikit_learn(data, kind: str) -> None:
    X, y = data
    b, w = target(kind, X, y), np.random.default_rng(1).uniform(0, 3, 80)
    if kind == "poisson":
        mine = ws.PoissonRegressor(0.1, l1_ratio=0.0, **TIGHT).fit(X, b, w)
        other = linear_model.PoissonRegressor(alpha=0.1, tol=1e-12, max_iter=10_000).fit(X, b, w)
        assert mine.score(X, b, w) == pytest.approx(other.score(X, b, w), abs=1e-8)
    else:
        mine = ws.SparseLogisticRegression(0.05, **TIGHT).fit(X, b, w)
        other = linear_model.LogisticRegression(
            C=1 / (w.sum() * 0.05), l1_ratio=1.0, solver="saga", tol=1e-10, max_iter=200_000, random_state=0
        ).fit(X, b, w)
    np.testing.assert_allclose(mine.coef_, other.coef_, atol=1e-6)
    np.testing.assert_allclose(mine.intercept_, other.intercept_, atol=1e-6)


@pytest.mark.parametrize("kind", ["two classes", "three classes"])
def test_weights_of_classes_are_weights_of_their_samples(data, kind: str) -> None:
    X, y = data
    b, w = target(kind, X, y).astype(int), np.random.default_rng(1).uniform(0, 3, 80)
    given = {0: 2.0, 1: 0.5}
    one = ws.SparseLogisticRegression(0.02, class_weight=given, **TIGHT).fit(X, b, w)
    other = ws.SparseLogisticRegression(0.02, **TIGHT).fit(X, b, w * np.array([2.0, 0.5, 1.0])[b])
    np.testing.assert_allclose(one.coef_, other.coef_, atol=1e-6)
    totals = np.bincount(b, w)
    balanced = ws.SparseLogisticRegression(0.02, class_weight="balanced", **TIGHT).fit(X, b, w)
    other = ws.SparseLogisticRegression(0.02, **TIGHT).fit(X, b, w / totals[b])
    np.testing.assert_allclose(balanced.coef_, other.coef_, atol=1e-6)
    for wrong in ("even", {0: -1.0}, {0: np.nan}):
        with pytest.raises(ValueError, match="class_weight must"):
            ws.SparseLogisticRegression(class_weight=wrong).fit(X, b)


def test_weights_of_no_sample_and_of_one_class_are_refused(data) -> None:
    X, y = data
    for model, kind in ((m(), kind) for kind, m in MODELS.items()):
        with pytest.raises(ValueError, match="at least one non-zero number"):
            model.fit(X, target(kind, X, y), np.zeros(80))
    labels = y > np.median(y)
    with pytest.raises(ValueError, match="samples with a weight of at least 2 classes, got one class"):
        ws.SparseLogisticRegression().fit(X, labels, labels.astype(float))


@pytest.mark.parametrize("kind", ["huber", "poisson", "two classes"])
def test_cross_validation_of_integer_weights_is_that_of_repeated_samples(data, kind: str) -> None:
    X, y = data
    b, counts = target(kind, X, y), 1 + np.arange(80) % 3
    again = np.repeat(np.arange(80), counts)
    folds = list(KFold(3, shuffle=True, random_state=0).split(X))
    copied = [tuple(np.flatnonzero(np.isin(again, rows)) for rows in pair) for pair in folds]
    make = {
        "huber": ws.HuberRegressorCV,
        "poisson": ws.PoissonRegressorCV,
        "two classes": ws.SparseLogisticRegressionCV,
    }[kind]
    options = {"n_alphas": 6, "eps": 0.05, "tol": 1e-9}
    one = make(cv=folds, **options).fit(X, b, sample_weight=counts)
    other = make(cv=copied, **options).fit(X[again], b[again])
    np.testing.assert_allclose(one.alphas_, other.alphas_, rtol=1e-9)
    np.testing.assert_allclose(one.loss_path_, other.loss_path_, rtol=1e-3)
    assert one.alpha_ == pytest.approx(other.alpha_)


@pytest.mark.parametrize("name", ["Lasso", "LassoCV", "HuberRegressor", "OrthogonalMatchingPursuit"])
def test_options_that_are_neither_true_nor_false_are_refused(data, name: str) -> None:
    with pytest.raises(ValueError, match="fit_intercept must be True or False, got 'no'"):
        getattr(ws, name)(fit_intercept="no").fit(*data)
    getattr(ws, name)(fit_intercept=np.True_).fit(*data)
