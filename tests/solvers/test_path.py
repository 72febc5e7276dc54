"""Regularisation paths: against scikit-learn, closed forms, and degenerate data."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import ElasticNetCV, LassoCV, enet_path, lasso_path
from sklearn.model_selection import KFold

import wellposed as wp
from wellposed.solvers.zero_weight import zero_weight

WEIGHT = wp.Parameter("weight", 1.0)


def data(n: int = 60, p: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :5] @ np.array([3.0, -2.0, 2.0, 1.0, -1.0]) + rng.normal(size=n)


def fit(X, y: np.ndarray, **options) -> wp.LeastSquares:
    return wp.LeastSquares(wp.operators.Matrix(X), y, **options)


# --- the path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csc_array])
def test_lasso_path_agrees_with_scikit_learn(kind) -> None:
    X, y = data()
    found = wp.path(fit(kind(X), y) + WEIGHT * wp.L1(), WEIGHT, count=30, tol=1e-10)
    alphas, coefficients, _ = lasso_path(X, y, alphas=found.values / 60, tol=1e-12, max_iter=100_000)
    np.testing.assert_allclose(found.values / 60, alphas)
    np.testing.assert_allclose(found.x, coefficients.T, atol=1e-6)
    assert np.all(found.gap <= 1e-10 * found.objective)
    assert found.x.shape == (30, 100)
    np.testing.assert_array_equal(found.df, np.count_nonzero(found.x, axis=1))


def test_elastic_net_path_agrees_with_scikit_learn() -> None:
    X, y = data()
    found = wp.path(fit(X, y) + WEIGHT * wp.ElasticNet(0.5, 0.5), WEIGHT, count=20, tol=1e-13)
    _, coefficients, _ = enet_path(X, y, l1_ratio=0.5, alphas=found.values / 60, tol=1e-12, max_iter=100_000)
    np.testing.assert_allclose(found.x, coefficients.T, atol=1e-6)


def test_each_point_is_verified_from_its_own_objective() -> None:
    X, y = data()
    found = wp.path(fit(X, y, intercept=True) + WEIGHT * wp.L1(), WEIGHT, count=10, tol=1e-6)
    for point in found.points:
        assert wp.verify(point.objective, point.result).relative <= 1.01e-6
        assert point.intercept == pytest.approx((y - X @ point.x).mean(), abs=1e-9)


def test_given_values_in_any_order_are_solved_in_decreasing_order() -> None:
    X, y = data()
    values = [3.0, 30.0, 10.0]
    found = wp.path(fit(X, y) + WEIGHT * wp.L1(), "weight", values, tol=1e-9)
    np.testing.assert_array_equal(found.values, [30.0, 10.0, 3.0])
    alone = wp.minimize(fit(X, y) + 3.0 * wp.L1(), tol=1e-9)
    np.testing.assert_allclose(found.points[-1].x, alone.x, atol=1e-5)
    assert values == [3.0, 30.0, 10.0]


def test_any_parameter_of_any_objective_can_be_walked() -> None:
    noisy = np.kron(np.eye(3), np.ones((4, 4))) + 0.1 * np.random.default_rng(0).normal(size=(12, 12))
    image = wp.path(wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation(), WEIGHT, count=4, tol=1e-4)
    assert np.all(np.diff(image.objective) < 0)
    assert np.ptp(image.points[0].x) < 1e-2
    X, y = data()
    l2 = wp.Parameter("l2", 1.0)
    net = wp.path(fit(X, y) + wp.ElasticNet(5.0, l2), l2, [1.0, 10.0], tol=1e-8)
    expected = wp.minimize(fit(X, y) + wp.ElasticNet(5.0, 10.0), tol=1e-8)
    np.testing.assert_allclose(net.points[0].x, expected.x, atol=1e-4)


def test_float32_and_read_only_data() -> None:
    X, y = (a.astype(np.float32) for a in data())
    X.setflags(write=False)
    y.setflags(write=False)
    found = wp.path(fit(X, y) + WEIGHT * wp.L1(), WEIGHT, count=5, tol=1e-4, folds=3)
    assert found.x.dtype == np.float32
    assert not found.points[0].x.any()
    assert found.losses is not None
    assert found.losses.shape == (5, 3)


# --- where it begins ----------------------------------------------------------------------------------


PENALTIES = {
    "l1": wp.L1(),
    "weighted l1": wp.L1(np.linspace(0.5, 2.0, 100)),
    "net": wp.ElasticNet(0.3, 0.7),
    "groups": wp.GroupL2(np.arange(100) // 4),
    "sparse groups": wp.SparseGroup(np.arange(100) // 4, l1=0.5),
    "doubled": 2.0 * wp.L1(),
}


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("intercept", [False, True])
def test_it_begins_at_the_smallest_weight_whose_solution_is_zero(penalty, intercept: bool) -> None:
    X, y = data()
    for loss in (
        fit(X, y + 2, intercept=intercept),
        wp.LogisticLoss(wp.operators.Matrix(X), np.sign(y), intercept=intercept),
    ):
        top = zero_weight(loss + WEIGHT * penalty, "weight")
        assert not wp.minimize(loss + top * penalty, tol=1e-10).x.any()
        assert wp.minimize(loss + 0.999 * top * penalty, tol=1e-10).x.any()


def test_the_largest_weight_with_a_sign_constraint() -> None:
    X, y = data()
    objective = fit(X, y) + WEIGHT * wp.L1() + wp.NonNegative()
    assert zero_weight(objective, "weight") == pytest.approx((X.T @ y).max(), rel=1e-12)
    found = wp.path(objective, WEIGHT, count=5, tol=1e-9)
    assert not found.points[0].x.any()
    assert found.points[1].x.max() > 0
    assert found.x.min() == 0


# --- degrees of freedom and criteria ------------------------------------------------------------------


def test_degrees_of_freedom_of_ridge_regression_on_the_support() -> None:
    X, y = data()
    point = wp.path(fit(X, y, intercept=True) + wp.Parameter("w", 1.0) * wp.ElasticNet(1.0, 2.0), "w", [4.0],
                    tol=1e-10).points[0]  # fmt: skip
    S = np.flatnonzero(point.x)
    Z = X[:, S] - X[:, S].mean(axis=0)
    expected = np.trace(Z @ np.linalg.solve(Z.T @ Z + 8.0 * np.eye(len(S)), Z.T))
    assert point.df == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("penalty", [PENALTIES["groups"], PENALTIES["sparse groups"]], ids=["g", "sg"])
def test_degrees_of_freedom_are_the_divergence_of_the_prediction(penalty) -> None:
    X, y = data(40, 100)
    weight = wp.Parameter("w", 1.0)

    def prediction(b: np.ndarray) -> np.ndarray:
        return X @ wp.minimize(fit(X, b) + 12.0 * penalty, tol=1e-14).x

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        df = wp.path(fit(X, y) + weight * penalty, weight, [12.0], tol=1e-14).df[0]
        step = 1e-4
        moved = [(prediction(y + step * e)[i] - prediction(y - step * e)[i]) / (2 * step)
                 for i, e in enumerate(np.eye(40))]  # fmt: skip
    assert df == pytest.approx(sum(moved), rel=1e-3)


def test_information_criteria_by_their_formulas() -> None:
    X, y = data(60, 20)
    found = wp.path(fit(X, y, intercept=True) + WEIGHT * wp.L1(), WEIGHT, count=15, tol=1e-8)
    rss = np.array([np.sum((y - X @ p.x - p.intercept) ** 2) for p in found.points])
    k = np.count_nonzero(found.x, axis=1) + 1
    np.testing.assert_allclose(found.criterion("aic"), 60 * np.log(rss / 60) + 2 * k)
    np.testing.assert_allclose(found.criterion("bic", noise_variance=2.0), rss / 2 + k * math.log(60))
    choices = np.array([math.log(math.comb(20, int(v) - 1)) for v in k])
    extended = found.criterion("ebic", gamma=1.0) - found.criterion("bic")
    np.testing.assert_allclose(extended, 2 * choices, atol=1e-8)
    best = {rule: set(np.flatnonzero(found.best(rule).x)) for rule in ("aic", "ebic")}
    assert {0, 1, 2, 3, 4} <= best["ebic"] <= best["aic"]


def test_criteria_of_a_likelihood_and_of_what_is_none() -> None:
    X, y = data(60, 20)
    A = wp.operators.Matrix(X)
    found = wp.path(wp.LogisticLoss(A, np.sign(y)) + WEIGHT * wp.L1(), WEIGHT, count=5, tol=1e-6)
    expected = [2 * p.objective.terms[0](p.x) + 2 * p.df for p in found.points]
    np.testing.assert_allclose(found.criterion("aic"), expected)
    huber = wp.path(wp.HuberLoss(A, y, 1.0) + WEIGHT * wp.L1(), WEIGHT, count=3)
    with pytest.raises(ValueError, match="HuberLoss is no likelihood"):
        huber.best("bic")
    lines = wp.path(fit(X, y) + WEIGHT * wp.TotalVariation(), WEIGHT, [1.0], tol=1e-2)
    assert math.isnan(lines.df[0])
    with pytest.raises(ValueError, match="degrees of freedom"):
        lines.best("aic")


# --- cross-validation -----------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [False, True])
def test_cross_validation_agrees_with_scikit_learn_on_the_same_folds(intercept: bool) -> None:
    X, y = data()
    folds = list(KFold(4, shuffle=True, random_state=1).split(X))
    found = wp.path(
        fit(X, y + 3, intercept=intercept) + WEIGHT * wp.L1(), WEIGHT, count=20, tol=1e-9, folds=folds
    )
    other = LassoCV(
        alphas=found.values / 60, cv=folds, tol=1e-10, max_iter=100_000, fit_intercept=intercept
    ).fit(X, y + 3)
    np.testing.assert_allclose(2 * found.losses, other.mse_path_, rtol=1e-5)
    assert found.best("cv").value / 60 == pytest.approx(other.alpha_)
    np.testing.assert_allclose(found.best().x, other.coef_, atol=1e-5)
    simple = found.best("cv-1se")
    assert simple.value >= found.best("cv").value
    assert np.count_nonzero(simple.x) <= np.count_nonzero(found.best().x)


def test_cross_validation_with_weights_and_elastic_net() -> None:
    X, y = data()
    w = np.random.default_rng(3).uniform(0.5, 2.0, 60)
    folds = list(KFold(3).split(X))
    net = wp.ElasticNet(0.8, 0.2)
    objective = (1 / w.sum()) * fit(X, y, weights=w, intercept=True) + WEIGHT * net
    found = wp.path(objective, WEIGHT, count=10, tol=1e-9, folds=folds)
    other = ElasticNetCV(l1_ratio=0.8, alphas=found.values, cv=folds, tol=1e-10, max_iter=100_000).fit(
        X, y, w
    )
    np.testing.assert_allclose(2 * found.losses, other.mse_path_, rtol=1e-5)


def test_folds_of_losses_without_weights_and_of_several_classes() -> None:
    X, y = data(60, 20)
    A = wp.operators.Matrix(X)
    counts = np.random.default_rng(0).poisson(2.0, 60).astype(float)
    for loss in (
        wp.LogisticLoss(A, np.sign(y), intercept=True),
        wp.HuberLoss(A, y, 1.0, intercept=True),
        wp.PoissonLoss(A, counts, intercept=True),
        wp.MultinomialLoss(wp.operators.MatrixProduct(X, 3), np.arange(60) % 3),
    ):
        found = wp.path(loss + WEIGHT * wp.L1(), WEIGHT, count=4, ratio=0.2, tol=1e-4, folds=3)
        assert found.losses is not None
        assert np.all(np.isfinite(found.losses))
    alone = wp.path(loss + WEIGHT * wp.L1(), WEIGHT, [1e3], folds=3)
    np.testing.assert_allclose(alone.losses, math.log(3))


def test_an_operator_of_least_squares_is_masked() -> None:
    X, y = data()
    operator = wp.operators.from_scipy(X)
    weight = wp.Parameter("weight", 1.0)
    folds = list(KFold(3).split(X))
    values = [30.0, 10.0]
    by_rows = wp.path(fit(X, y) + weight * wp.L1(), weight, values, tol=1e-7, folds=folds)
    masked = wp.path(wp.LeastSquares(operator, y) + weight * wp.L1(), weight, values, tol=1e-7, folds=folds)
    np.testing.assert_allclose(masked.losses, by_rows.losses, rtol=1e-3)


def test_the_number_of_folds_is_enough_and_the_seed_decides() -> None:
    X, y = data()
    objective = fit(X, y) + WEIGHT * wp.L1()
    first, again, other = (
        wp.path(objective, WEIGHT, count=4, folds=5, seed=seed).losses for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_processes_find_what_one_finds() -> None:
    X, y = data()
    objective = fit(X, y) + WEIGHT * wp.L1()
    here = wp.path(objective, WEIGHT, count=5, folds=2)
    there = wp.path(objective, WEIGHT, count=5, folds=2, workers=2)
    np.testing.assert_allclose(here.losses, there.losses, rtol=1e-12)


# --- degenerate and wrong input ----------------------------------------------------------------------------


def test_constant_duplicated_and_zero_columns() -> None:
    X, y = data(40, 10)
    X = np.column_stack([X, np.full(40, 0.1), X[:, 0], np.zeros(40)])
    found = wp.path(fit(X, y + 5, intercept=True) + WEIGHT * wp.L1(), WEIGHT, count=10, tol=1e-8, folds=3)
    assert not found.x[:, [10, 12]].any()
    assert np.all(found.gap <= 1e-8 * found.objective)


def test_weights_beyond_the_largest_leave_zero() -> None:
    X, y = data()
    found = wp.path(fit(X, y) + WEIGHT * wp.L1(), WEIGHT, np.abs(X.T @ y).max() * np.array([1.0, 2.0, 1e6]))
    assert not found.x.any()
    assert np.all(found.df == 0)
    np.testing.assert_allclose(found.objective, 0.5 * y @ y)


def test_data_of_zeros() -> None:
    X, y = data()
    objective = fit(X, 0 * y) + WEIGHT * wp.L1()
    with pytest.raises(ValueError, match="zero at every weight"):
        wp.path(objective, WEIGHT)
    found = wp.path(objective, WEIGHT, [1.0, 0.1], folds=2)
    assert not found.x.any()
    assert found.best().value == 1.0


def test_what_is_wrong_is_named_before_any_solve(monkeypatch) -> None:
    X, y = data()
    objective = fit(X, y) + WEIGHT * wp.L1()
    monkeypatch.setattr("wellposed.solvers.warm.minimize", None)

    def refused(match: str, *arguments, error: type[Exception] = ValueError, **options) -> None:
        with pytest.raises(error, match=match):
            wp.path(*arguments, **options)

    refused("no parameter named 'other'", objective, "other")
    refused("count must be", objective, WEIGHT, count=0)
    refused("ratio must be", objective, WEIGHT, ratio=1.0)
    refused("values is empty", objective, WEIGHT, [])
    refused("values", objective, WEIGHT, [math.nan])
    refused("must be in", objective, WEIGHT, [-1.0])
    refused("folds must be from 2", objective, WEIGHT, folds=1)
    refused("folds must be from 2", objective, WEIGHT, folds=61)
    refused("pairs", objective, WEIGHT, folds=[1, 2], error=TypeError)
    refused("outside 0 to 59", objective, WEIGHT, folds=[([0, 1], [60])])
    refused("non-empty", objective, WEIGHT, folds=[([0, 1], [])])
    refused("does not multiply", fit(X, y) + wp.ElasticNet(WEIGHT, 1.0), WEIGHT)
    labels = np.r_[np.ones(30), -np.ones(30)]
    one_kind = wp.LogisticLoss(wp.operators.Matrix(X), labels, intercept=True) + WEIGHT * wp.L1()
    refused("labels of both kinds", one_kind, WEIGHT, folds=[(np.arange(30), np.arange(30, 60))])
    bounded = wp.Parameter("weight", 1.0, high=1.0)
    refused("in the bounds of weight", fit(X, y) + bounded * wp.L1(), bounded)


def test_rules_that_cannot_be_used_are_named() -> None:
    X, y = data()
    found = wp.path(fit(X, y) + WEIGHT * wp.L1(), WEIGHT, [20.0])
    with pytest.raises(ValueError, match="unknown rule 'best'"):
        found.best("best")
    with pytest.raises(ValueError, match="no cross-validation"):
        found.best("cv")
    with pytest.raises(ValueError, match="noise_variance"):
        found.best("aic", noise_variance=0.0)
    with pytest.raises(ValueError, match="gamma"):
        found.best("ebic", gamma=2.0)


def test_solves_that_fall_short_warn_once() -> None:
    X, y = data()
    with pytest.warns(wp.ConvergenceWarning, match="of 3 solves ended") as caught:
        found = wp.path(fit(X, y) + WEIGHT * wp.L1(), WEIGHT, [20.0, 10.0, 5.0], tol=1e-9, max_iter=1)
    assert len(caught) == 1
    assert found.points[-1].result.status == "max_iter"


def test_the_picture_and_the_text() -> None:
    X, y = data()
    objective = fit(X, y) + WEIGHT * wp.L1()
    assert len(wp.path(objective, WEIGHT, count=4).plot().axes) == 2
    found = wp.path(objective, WEIGHT, count=4, folds=2)
    assert "cv" in found.plot().axes[1].get_legend_handles_labels()[1][0]
    assert repr(found).startswith("RegularisationPath(4 values of weight")
