"""Orthogonal matching pursuit, against scikit-learn, a naive twin and the lasso of its equivalence."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, orthogonal_mp

import wellposed as wp
from wellposed.solvers.sequential_attention import attention


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


# --- the sequential Lasso and sequential attention ------------------------------------------------

RULES = ("lasso", "attention")


def lasso_value(X: np.ndarray, y: np.ndarray, free: list[int], weight: float) -> float:
    """The least value of a round, by a cone solver that knows nothing of projections."""
    x = cp.Variable(X.shape[1])
    rest = np.setdiff1d(np.arange(X.shape[1]), free)
    objective = 0.5 * cp.sum_squares(X @ x - y) + weight * cp.norm1(x[rest])
    problem = cp.Problem(cp.Minimize(objective))
    return float(problem.solve(solver="CLARABEL", tol_gap_abs=1e-13, tol_gap_rel=1e-13, tol_feas=1e-13))


@pytest.mark.parametrize("select", RULES)
@pytest.mark.parametrize("seed", range(6))
def test_other_rules_choose_as_the_correlations_do(select: str, seed: int) -> None:
    X, y = problem(seed=seed)
    expected = wp.orthogonal_matching_pursuit(X, y, 6)
    found = wp.orthogonal_matching_pursuit(X, y, 6, select=select)
    assert found.support.tolist() == expected.support.tolist() == naive(X, y, 6)
    np.testing.assert_allclose(found.x, expected.x, atol=1e-12)
    for one, other in zip(found.rounds, expected.rounds, strict=True):
        assert one.features == other.features
        assert one.margin == pytest.approx(other.margin)
        assert one.proven
        assert one.certificate.relative < 1e-9


@pytest.mark.parametrize("select", RULES)
@pytest.mark.parametrize("below", [0.1, 0.5])
def test_the_gap_bounds_the_error_of_each_round(select: str, below: float) -> None:
    X, y = problem()
    found = wp.orthogonal_matching_pursuit(X, y, 9, select=select, below=below)
    free: list[int] = []
    for one in found.rounds:
        r = y - X[:, free] @ np.linalg.lstsq(X[:, free], y, rcond=None)[0]
        weight = (1 - below) * np.abs(np.delete(X, free, axis=1).T @ r).max()
        best = lasso_value(X, y, free, weight)
        assert one.certificate.lower_bound <= best + 1e-9
        assert one.certificate.primal >= best - 1e-9
        assert one.certificate.relative < 1e-6
        free += one.features
    assert max(len(one.features) for one in found.rounds) > 1


@pytest.mark.parametrize("select", RULES)
def test_what_enters_is_what_the_lasso_takes(select: str) -> None:
    X, y = problem(seed=3)
    first = wp.orthogonal_matching_pursuit(X, y, select=select, below=0.5).rounds[0]
    weight = 0.5 * np.abs(X.T @ y).max()
    x = Lasso(weight / len(y), fit_intercept=False, tol=1e-12, max_iter=10**5).fit(X, y).coef_
    assert first.proven
    assert first.features == tuple(np.argsort(-np.abs(x))[: np.count_nonzero(x)])


@pytest.mark.parametrize("select", RULES)
def test_ties_enter_together_and_are_reported(select: str) -> None:
    y = np.array([2.0, 2.0, -2.0, 1.0, 1.0, 0.0])
    found = wp.orthogonal_matching_pursuit(np.eye(6), y, select=select)
    assert [set(one.features) for one in found.rounds] == [{0, 1, 2}, {3, 4}]
    assert [one.margin for one in found.rounds] == [0, 0]
    assert found.status == "tolerance"
    np.testing.assert_allclose(found.x, y, atol=1e-14)
    cut = wp.orthogonal_matching_pursuit(np.eye(6), y, 2, select=select)
    assert len(cut.support) == 2
    greedy = wp.orthogonal_matching_pursuit(np.eye(6), y)
    assert greedy.support.tolist() == [0, 1, 2, 3, 4]
    assert [one.margin for one in greedy.rounds] == pytest.approx([0, 0, 0.5, 0, 1])
    assert [one.proven for one in greedy.rounds] == [False, False, True, False, True]


@pytest.mark.parametrize("select", ["correlation", *RULES])
def test_copies_of_a_column_are_taken_once(select: str) -> None:
    X, y = problem()
    double = np.hstack([X, X])
    found = wp.orthogonal_matching_pursuit(double, y, 6, select=select)
    assert (found.support % 25).tolist() == naive(X, y, 6)
    assert [one.margin for one in found.rounds] == pytest.approx([0] * 6, abs=1e-12)


@pytest.mark.parametrize("select", RULES)
def test_kinds_and_precisions_agree(select: str) -> None:
    X, y = problem()
    expected = naive(X, y, 5)
    for A in (scipy.sparse.csc_array(X), scipy.sparse.csr_array(X), wp.operators.from_scipy(X)):
        assert wp.orthogonal_matching_pursuit(A, y, 5, select=select).support.tolist() == expected
    for A in (X.astype(np.float32), scipy.sparse.csc_array(X.astype(np.float32))):
        single = wp.orthogonal_matching_pursuit(A, y.astype(np.float32), 5, select=select)
        assert single.x.dtype == np.float32
        assert single.support.tolist() == expected
        assert all(one.proven for one in single.rounds)


@pytest.mark.parametrize("select", ["correlation", *RULES])
def test_several_targets_share_their_features(select: str) -> None:
    X, y = problem()
    Y = np.stack([y, y[::-1], X[:, 3]], axis=1)
    found = wp.orthogonal_matching_pursuit(X, Y, 5, select=select)
    support: list[int] = []
    for _ in range(5):
        rest = Y - X[:, support] @ np.linalg.lstsq(X[:, support], Y, rcond=None)[0]
        pull = np.linalg.norm(X.T @ rest, axis=1)
        pull[support] = -1
        support.append(int(np.argmax(pull)))
    assert found.support.tolist() == support
    least = np.linalg.lstsq(X[:, support], Y, rcond=None)[0]
    np.testing.assert_allclose(found.x[support], least, atol=1e-12)
    assert found.x.shape == (25, 3)
    assert all(one.proven for one in found.rounds)
    one = wp.orthogonal_matching_pursuit(X, y[:, None], 5, select=select)
    assert one.support.tolist() == naive(X, y, 5)


def test_groups_of_several_targets_enter_together_when_close() -> None:
    X, y = problem()
    Y = np.stack([y, y[::-1]], axis=1)
    found = [wp.orthogonal_matching_pursuit(X, Y, 8, select=rule, below=0.4) for rule in RULES]
    assert [one.features for one in found[0].rounds] == [one.features for one in found[1].rounds]
    assert max(len(one.features) for one in found[0].rounds) > 1
    A = wp.operators.MatrixProduct(X, 2)
    weight = 0.6 * np.linalg.norm(X.T @ Y, axis=1).max()
    penalty = wp.GroupL2(np.repeat(np.arange(25), 2).reshape(25, 2), np.ones(25))
    best = wp.minimize(wp.LeastSquares(A, Y) + weight * penalty, tol=1e-10)
    for pursuit in found:
        assert pursuit.rounds[0].certificate.primal == pytest.approx(best.objective, rel=1e-8)


@given(seed=st.integers(0, 10**6), select=st.sampled_from(RULES), below=st.sampled_from([1e-3, 0.03, 0.3]))
@settings(max_examples=30, deadline=None)
def test_a_proven_round_with_a_margin_is_a_step_of_matching_pursuit(
    seed: int, select: str, below: float
) -> None:
    """Columns of any lengths and correlations: what is said of ``proven`` holds."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(12, 3)) @ rng.normal(size=(3, 9)) + 0.3 * rng.normal(size=(12, 9))
    X *= np.exp(rng.normal(size=9))
    y = rng.normal(size=12)
    free: list[int] = []
    for one in wp.orthogonal_matching_pursuit(X, y, 6, select=select, below=below).rounds:
        if one.proven and len(one.features) == 1 and one.margin > below:
            r = y - X[:, free] @ np.linalg.lstsq(X[:, free], y, rcond=None)[0]
            pull = np.abs(X.T @ r)
            pull[free] = 0
            assert one.features == (int(np.argmax(pull)),)
        free += one.features


def test_the_attention_starts_again_where_it_was_caught_in_the_saddle() -> None:
    """Two features, one far stronger: the weaker one must not stay at 0 when it belongs to the Lasso."""
    G, q = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0], [0.52]])
    np.testing.assert_allclose(attention(G, q, 0.5, 0.5), [[0.5], [0.02]], atol=1e-6)
    again = attention(G, 1e-150 * q, 0.5e-150, 0.5)
    np.testing.assert_allclose(1e150 * again, [[0.5], [0.02]], atol=1e-6)


@pytest.mark.parametrize("select", ["correlation", *RULES])
def test_it_ends_where_the_data_are_explained(select: str) -> None:
    X, _ = problem()
    found = wp.orthogonal_matching_pursuit(X, X[:, :3] @ np.array([2.0, 1.0, -1.0]), 20, select=select)
    assert found.status == "tolerance"
    assert len(found.support) < 10
    assert wp.orthogonal_matching_pursuit(X, 0 * X[:, 0], select=select).rounds == ()


def test_the_scale_of_the_data_does_not_matter() -> None:
    X, y = problem()
    expected = wp.orthogonal_matching_pursuit(X, y, 6, select="attention")
    for factor in (1e-6, 1e6):
        found = wp.orthogonal_matching_pursuit(factor * X, y / factor**2, 6, select="attention")
        assert found.support.tolist() == expected.support.tolist()
        assert all(one.proven for one in found.rounds)


def test_wrong_rules_are_named() -> None:
    X, y = problem()
    with pytest.raises(ValueError, match="select must be one of correlation, lasso, attention"):
        wp.orthogonal_matching_pursuit(X, y, select="ridge")  # type: ignore[arg-type]
    for below in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="below must be between 0 and 1"):
            wp.orthogonal_matching_pursuit(X, y, select="lasso", below=below)
    with pytest.raises(ValueError, match="b has shape"):
        wp.orthogonal_matching_pursuit(X, np.zeros((40, 0)))


@pytest.mark.parametrize("select", ["correlation", *RULES])
def test_awkward_data_end_well(select: str) -> None:
    X, y = problem(30, 50)
    for factor in (1e150, 1e-150):
        scaled = wp.orthogonal_matching_pursuit(factor * X, factor * y, 10, select=select)
        assert scaled.support.tolist() == naive(X, y, 10)
    assert wp.orthogonal_matching_pursuit(np.ones((30, 5)), y, select=select).support.tolist() == [0]
    nothing = wp.orthogonal_matching_pursuit(np.zeros((30, 5)), y, select=select)
    assert (nothing.status, nothing.rounds) == ("orthogonal", ())
    whole = wp.orthogonal_matching_pursuit(X, y, select=select)
    assert len(whole.support) == 30
    np.testing.assert_allclose(X @ whole.x, y, atol=1e-10)


@pytest.mark.parametrize("select", RULES)
@pytest.mark.parametrize("below", [1e-8, 0.999])
def test_weights_far_from_and_too_close_to_the_largest_end_too(select: str, below: float) -> None:
    X, y = (a.astype(np.float32) for a in problem(30, 50))
    found = wp.orthogonal_matching_pursuit(X, y, select=select, below=below)
    assert len(found.support) == 30
    assert sum(len(one.features) for one in found.rounds) == 30
