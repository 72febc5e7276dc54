"""Orthogonal matching pursuit, against scikit-learn, a naive twin and the lasso of its equivalence."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import orthogonal_mp

import wellposed as wp


def problem(n: int = 40, p: int = 25, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    X /= np.linalg.norm(X, axis=0)
    return X, X[:, :6] @ rng.normal(size=6) + 0.1 * rng.normal(size=n)


def naive(X: np.ndarray, y: np.ndarray, count: int) -> list[int]:
    support: list[int] = []
    for _ in range(count):
        S = X[:, support]
        residual = y - S @ np.linalg.lstsq(S, y, rcond=None)[0] if support else y
        pull = np.abs(X.T @ residual)
        pull[support] = -1
        support.append(int(np.argmax(pull)))
    return support


@pytest.mark.parametrize("seed", range(5))
def test_it_agrees_with_scikit_learn_and_with_a_naive_twin(seed: int) -> None:
    X, y = problem(seed=seed)
    found = wp.orthogonal_matching_pursuit(X, y, count=8)
    assert found.support.tolist() == naive(X, y, 8)
    np.testing.assert_allclose(found.x, orthogonal_mp(X, y, n_nonzero_coefs=8), atol=1e-10)
    assert found.residuals[-1] == pytest.approx(np.linalg.norm(y - X @ found.x))
    assert np.all(np.diff(found.residuals) < 0)


def test_operators_and_sparse_matrices_give_the_same() -> None:
    X, y = problem()
    expected = wp.orthogonal_matching_pursuit(X, y, count=5)
    kinds = (scipy.sparse.csc_array(X), wp.operators.Matrix(np.asfortranarray(X)), wp.operators.from_scipy(X))
    for A in kinds:
        found = wp.orthogonal_matching_pursuit(A, y, count=5)
        assert found.support.tolist() == expected.support.tolist()
        np.testing.assert_allclose(found.x, expected.x, atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_each_step_is_that_of_the_sequential_lasso(seed: int) -> None:
    """Just below the largest weight of the lasso of what the selected features leave, one feature enters."""
    X, y = problem(seed=seed)
    support = wp.orthogonal_matching_pursuit(X, y, count=5).support
    for k in range(5):
        S = X[:, support[:k]]
        Q = np.linalg.qr(S)[0]
        Z, r = X - Q @ (Q.T @ X), y - Q @ (Q.T @ y)
        rest = np.setdiff1d(np.arange(25), support[:k])
        top = np.abs(Z[:, rest].T @ r).max()
        fit = wp.LeastSquares(wp.operators.Matrix(Z[:, rest]), r)
        x = wp.minimize(fit + (1 - 1e-3) * top * wp.L1(), tol=1e-10).x
        assert rest[np.argmax(np.abs(x))] == support[k]


def test_it_ends_early_and_says_why() -> None:
    X, y = problem()
    small = wp.orthogonal_matching_pursuit(X, X[:, :2] @ np.array([2.0, 1.0]), tol=1e-8)
    assert small.status == "tolerance"
    assert set(small.support) == {0, 1}
    double = np.column_stack([X[:, 0], X[:, 0], X[:, 0]])
    assert wp.orthogonal_matching_pursuit(double, y).status == "dependent"
    zero = wp.orthogonal_matching_pursuit(X, 0 * y, count=3)
    assert zero.status == "tolerance"
    assert not zero.x.any()
    across = wp.orthogonal_matching_pursuit(np.eye(3)[:, :2], np.array([0.0, 0.0, 1.0]))
    assert across.status == "orthogonal"


def test_float32_and_read_only_input() -> None:
    X, y = (a.astype(np.float32) for a in problem())
    X.setflags(write=False)
    y.setflags(write=False)
    found = wp.orthogonal_matching_pursuit(X, y, count=5)
    assert found.x.dtype == np.float32
    assert found.support.tolist() == wp.orthogonal_matching_pursuit(*problem(), count=5).support.tolist()


def test_what_is_wrong_is_named() -> None:
    X, y = problem()
    for count in (0, 26, 1.5, True):
        with pytest.raises(ValueError, match="count must be an integer from 1 to 25"):
            wp.orthogonal_matching_pursuit(X, y, count=count)
    with pytest.raises(ValueError, match="b has shape"):
        wp.orthogonal_matching_pursuit(X, y[:3])
    with pytest.raises(ValueError, match="tol"):
        wp.orthogonal_matching_pursuit(X, y, tol=-1.0)
    with pytest.raises(TypeError, match="real operators"):
        wp.orthogonal_matching_pursuit(X * 1j, y)
