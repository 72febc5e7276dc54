"""Correlations that are kept up to date: their error bound, and pursuits with and without them."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.sequential_basis import Basis
from wellposed.solvers.sequential_products import Products


def problem(
    n: int = 60, p: int = 150, seed: int = 0, closeness: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = (1 - closeness) * rng.normal(size=(n, p)) + closeness * rng.normal(size=(n, 1))
    return X, X[:, :8] @ rng.normal(size=8) + 0.2 * rng.normal(size=n)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small matrices as if they were large."""
    monkeypatch.setattr(Products, "pay", staticmethod(lambda K, capacity: hasattr(K, "matrix")))


def naive(X: np.ndarray, y: np.ndarray, count: int) -> list[int]:
    support: list[int] = []
    for _ in range(count):
        S = X[:, support]
        pull = np.abs(X.T @ (y - S @ np.linalg.lstsq(S, y, rcond=None)[0]))
        pull[support] = -1
        support.append(int(np.argmax(pull)))
    return support


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("closeness", [0.0, 0.9])
def test_correlations_are_right_within_their_bound(dtype: type, closeness: float) -> None:
    X, y = (a.astype(dtype) for a in problem(closeness=closeness))
    basis = Basis(wp.operators.Matrix(X), y[:, None].astype(float), y, 20)
    drifts = 0
    for _ in range(20):
        pull, doubt = basis.pull()
        exact = X.T.astype(float) @ basis.residual
        exact[basis.barred] = 0
        rounding = basis.rounding(basis.norms[-1], len(y))
        assert np.all(np.abs(pull - exact)[:, 0] <= doubt + rounding)
        drifts += bool(doubt.any())
        assert basis.add(int(np.argmax(np.abs(pull))))
    assert drifts > 10 or dtype == np.float32


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("select", ["correlation", "lasso", "attention"])
@pytest.mark.parametrize("seed", range(4))
def test_the_choice_is_that_of_a_naive_pursuit(select: str, seed: int) -> None:
    X, y = problem(seed=seed, closeness=0.2 * seed)
    found = wp.orthogonal_matching_pursuit(X, y, 15, select=select, below=1e-5)
    assert found.support.tolist() == naive(X, y, 15)
    assert all(one.proven for one in found.rounds)
    single = wp.orthogonal_matching_pursuit(X.astype(np.float32), y.astype(np.float32), 8)
    assert single.support.tolist() == naive(X, y, 8)


@pytest.mark.usefixtures("always")
def test_ties_are_decided_as_without() -> None:
    X, y = problem()
    double = np.hstack([X, X])
    found = wp.orthogonal_matching_pursuit(double, y, 12)
    assert (found.support % 150).tolist() == naive(X, y, 12)
    assert found.support[1:].max() < 150
    assert not any(one.proven for one in found.rounds)


@pytest.mark.usefixtures("always")
def test_several_targets() -> None:
    X, y = problem()
    Y = np.stack([y, y[::-1]], axis=1)
    found = wp.orthogonal_matching_pursuit(X, Y, 10)
    plain = wp.orthogonal_matching_pursuit(wp.operators.from_scipy(X), Y, 10)
    assert found.support.tolist() == plain.support.tolist()
    np.testing.assert_allclose(found.x, plain.x, atol=1e-12)


def test_columns_that_are_nearly_dependent_are_given_up(
    always: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of the error grows, the correlations are computed again, and from then on always."""
    seen = []
    refresh = Products.refresh
    monkeypatch.setattr(Products, "refresh", lambda self, pull: (seen.append(1), refresh(self, pull)))
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 1)) + 3e-5 * rng.normal(size=(60, 80))
    y = X[:, :6] @ rng.normal(size=6) + 1e-7 * rng.normal(size=60)
    found = wp.orthogonal_matching_pursuit(X.astype(np.float32), y.astype(np.float32), 12)
    assert len(seen) == 3
    assert len(set(found.support)) == len(found.support) > 3


def test_it_pays_for_large_dense_matrices_only() -> None:
    large = wp.operators.Matrix(np.zeros((512, 1024)))
    assert Products.pay(large, 64)
    assert not Products.pay(large, 65)
    assert not Products.pay(wp.operators.Matrix(np.zeros((512, 1023))), 5)
    assert not Products.pay(wp.operators.from_scipy(np.zeros((512, 1024))) @ large.T @ large, 5)
