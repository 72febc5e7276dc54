"""Paths solved many weights at a time, against solves one after the other, with degenerate columns."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.sparse

import wellposed as wp
from wellposed.solvers import path_blocks, path_columns
from wellposed.solvers.path_blocks import squares_of

T = wp.Parameter("t", 1.0)

PENALTIES = {
    "L1": lambda p: T * wp.L1(),
    "weighted": lambda p: 2.0 * (T * wp.L1(np.linspace(0.5, 2, p))),
    "elastic net": lambda p: T * wp.ElasticNet(1.0, 0.5),
    "nonnegative": lambda p: T * wp.L1() + wp.NonNegative(),
    "box": lambda p: T * wp.L1() + wp.Box(-0.5, 0.3),
    "half a box": lambda p: T * wp.ElasticNet(1.0, 0.1) + wp.Box(0.0, 0.3),
    "nonpositive": lambda p: T * wp.L1() + wp.Box(-np.inf, 0.0),
}

# Jumps of all sizes: within one block of weights, a factor of 30.
VALUES = 60.0 * np.concatenate([np.geomspace(1, 0.5, 4), [0.3, 0.01], np.geomspace(0.009, 0.005, 10)])


def data(kind: str) -> tuple:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 60))
    X[:, 5] = X[:, 6]
    X[:, 7], X[:, 8] = 2.0, 0.0
    y = X[:, :4] @ [1.0, -2.0, 3.0, 1.0] + 0.1 * rng.normal(size=40) + 3
    if kind == "sparse":
        return scipy.sparse.csc_array(np.where(np.abs(X) > 1, X, 0)), y
    dtype = np.float32 if kind == "single" else np.float64
    return X.astype(dtype), y.astype(dtype)


def fit(kind: str, **options) -> wp.LeastSquares:
    X, y = data(kind)
    return wp.LeastSquares(wp.operators.Matrix(X), y, **options)


@pytest.mark.parametrize("kind", ["dense", "sparse", "single"])
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_agrees_with_one_solve_after_the_other(
    kind: str, intercept: bool, weighted: bool, penalty: str
) -> None:
    tol = 1e-4 if kind == "single" else 1e-9
    y = data(kind)[1]
    weights = np.linspace(0, 2, 40).astype(y.dtype) if weighted else None
    objective = fit(kind, weights=weights, intercept=intercept) + PENALTIES[penalty](60)
    assert squares_of(objective, "t", 1.0) is not None
    found = wp.path(objective, T, VALUES, tol=tol)
    single = wp.path(objective, T, VALUES, tol=tol, callback=lambda info: True)
    assert found.x.dtype == y.dtype
    np.testing.assert_allclose(found.objective, single.objective, rtol=2 * tol)
    np.testing.assert_allclose(found.intercept, single.intercept, rtol=100 * np.sqrt(tol), atol=1e-6)
    for point in found.points:
        checked = wp.verify(point.objective, point.result)
        claimed = point.result.certificate
        assert claimed.relative <= tol
        assert checked.value == pytest.approx(
            claimed.value, abs=20 * float(np.finfo(y.dtype).eps) * claimed.scale
        )


def test_single_weights_agree_with_minimize() -> None:
    objective = fit("dense", intercept=True) + T * wp.L1()
    for point in wp.path(objective, T, VALUES, tol=1e-12).points:
        alone = wp.minimize(objective.with_parameters({"t": point.value}), tol=1e-12)
        np.testing.assert_allclose(point.x[:5], alone.x[:5], atol=1e-6)
        assert point.result.plan == alone.plan


def test_missing_columns_are_found(monkeypatch) -> None:
    monkeypatch.setattr(path_blocks, "NEAR", 1e9)
    found = wp.path(fit("dense") + T * wp.L1(), T, VALUES, tol=1e-9)
    assert max(p.result.certificate.relative for p in found.points) <= 1e-9
    assert max(p.result.iterations for p in found.points) > 1


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_too_many_columns_are_solved_one_weight_after_the_other(kind: str, monkeypatch) -> None:
    engine = path_columns.SparseColumns if kind == "sparse" else path_columns.DenseColumns
    monkeypatch.setattr(engine, "LARGEST", 4)
    found = wp.path(fit(kind) + T * wp.L1(), T, VALUES, tol=1e-9)
    assert len(found.points) == len(VALUES)
    assert max(p.result.certificate.relative for p in found.points) <= 1e-9


def test_what_differs_in_more_than_the_weight_is_left_to_other_solvers() -> None:
    known = partial(squares_of, name="t", value=1.0)
    assert known(fit("dense") + T * wp.L1()) is not None
    assert known(fit("dense") + wp.ElasticNet(T, 0.5)) is None
    assert known(fit("dense") + T * wp.L1() + 0.1 * wp.SquaredL2()) is None
    assert known(fit("dense") + T * wp.GroupL2(groups=np.arange(60) // 3)) is None
    assert known(T * fit("dense") + wp.L1()) is None
    assert known(wp.LogisticLoss(wp.operators.Matrix(data("dense")[0]), np.ones(40)) + T * wp.L1()) is None


def test_points_travel_between_processes() -> None:
    objective = fit("dense") + T * wp.L1()
    point = wp.path(objective, T, VALUES, tol=1e-6).points[3]
    copy = pickle.loads(pickle.dumps(point.result))
    assert copy.plan == point.result.plan
    assert str(copy.plan) == str(wp.explain(point.objective, tol=1e-6))
    np.testing.assert_array_equal(copy.x, point.x)


def test_single_precision_bounds_hold_where_data_are_far_from_zero():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25, 40)).astype(np.float32)
    y = (X[:, 0] + 1e5 + rng.normal(size=25)).astype(np.float32)

    def objective(dtype, weight):
        A = wp.operators.Matrix(X.astype(dtype))
        return wp.LeastSquares(A, y.astype(dtype), intercept=True) + weight * wp.L1()

    weight = wp.Parameter("weight", 1.0)
    least = wp.minimize(objective(np.float64, 0.3), tol=1e-9).objective
    point = wp.path(objective(np.float32, weight), weight, values=[0.6, 0.3], tol=1e-4).points[-1]
    single = wp.minimize(objective(np.float32, 0.3), tol=1e-4)
    for result in (point.result, single):
        assert result.certificate.lower_bound <= least * (1 + 1e-6)
        np.testing.assert_allclose(result.objective, least, rtol=1.1e-4)
