"""Coordinate descent on working sets: larger problems, degenerate ones, and random ones."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse

import wellposed as wp

RNG = np.random.default_rng


def data(n: int = 40, p: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :5] @ rng.normal(size=5) * 3 + rng.normal(size=n)


def solve(objective: wp.Functional, tol: float = 1e-8, **options) -> wp.Result:
    return wp.minimize(objective, tol=tol, solver="coordinate-descent", **options)


def lasso(X, y: np.ndarray, lam: float, **options) -> wp.Functional:
    return wp.LeastSquares(wp.operators.Matrix(X), y, **options) + lam * wp.L1()


def test_it_is_chosen_for_the_lasso_family() -> None:
    X, y = data()
    A = wp.operators.Matrix(X)
    penalties = (wp.L1(), wp.ElasticNet(1.0, 1.0), wp.GroupL2(np.arange(120) // 4))
    for fit in (wp.LeastSquares(A, y, intercept=True), wp.LogisticLoss(A, np.sign(y))):
        for penalty in penalties:
            assert wp.explain(fit + penalty).solver == "coordinate-descent"


@pytest.mark.parametrize("order", ["C", "F", "csc", "csr"])
@pytest.mark.parametrize("intercept", [False, True])
def test_every_layout_gives_the_same_answer(order: str, intercept: bool) -> None:
    X, y = data()
    given = {"csc": scipy.sparse.csc_array, "csr": scipy.sparse.csr_array}.get(order)
    matrix = given(X) if given else np.array(X, order=order)
    lam = 8.0
    expected = solve(lasso(X, y + 4, lam, intercept=intercept), 1e-12)
    objective = lasso(matrix, y + 4, lam, intercept=intercept)
    result = solve(objective, 1e-12)
    np.testing.assert_allclose(result.x, expected.x, atol=1e-6)
    assert wp.verify(objective, result).relative <= 1e-11


def test_optimality_holds_entry_by_entry_with_intercept_and_weights() -> None:
    X, y = data()
    w = RNG(1).uniform(0.5, 2.0, 40)
    weights = RNG(2).uniform(0.5, 2.0, 120)
    fit = wp.LeastSquares(wp.operators.Matrix(X), y + 10, w, intercept=True)
    x = solve(fit + 5.0 * wp.L1(weights), 1e-12).x
    residual = w * (y + 10 - X @ x - fit.intercept_at(x))
    assert abs(residual.sum()) < 1e-9
    pull = X.T @ residual
    used = x != 0
    np.testing.assert_allclose(pull[used], 5.0 * (weights * np.sign(x))[used], atol=1e-4)
    assert np.all(np.abs(pull) <= 5.0 * weights * (1 + 1e-6))


def test_float32_stays_float32_and_reaches_its_precision() -> None:
    X, y = data()
    result = solve(lasso(X.astype(np.float32), y.astype(np.float32), 8.0), 1e-4)
    assert result.x.dtype == np.float32
    assert result.status == "converged"
    exact = solve(lasso(X, y, 8.0), 1e-10)
    assert exact.objective == pytest.approx(result.objective, rel=1e-4)


def test_wide_groups_take_the_route_by_columns() -> None:
    X, y = data(20, 200)
    groups = np.arange(200) // 10
    objective = wp.LeastSquares(wp.operators.Matrix(X), y, intercept=True) + 1.0 * wp.GroupL2(groups)
    result = solve(objective, 1e-8)
    assert np.count_nonzero(result.x) > 20
    other = wp.minimize(objective, tol=1e-7, solver="fista", max_iter=100_000)
    assert result.objective == pytest.approx(other.objective, rel=1e-6)
    assert wp.verify(objective, result).relative <= 1.1e-8


def test_a_warm_start_needs_fewer_iterations_and_one_at_the_solution_none() -> None:
    X, y = data(100, 2000)
    cold = solve(lasso(X, y, 20.0))
    assert solve(lasso(X, y, 20.0), 1e-7, x0=cold).iterations == 0
    near = solve(lasso(X, y, 19.5), x0=cold)
    assert near.iterations < solve(lasso(X, y, 19.5)).iterations


@pytest.mark.parametrize("sparse", [False, True])
def test_a_resumed_run_ends_like_one_that_was_not_broken_off(sparse: bool, tmp_path: Path) -> None:
    X, y = data(100, 2000)
    objective = lasso(scipy.sparse.csc_array(X) if sparse else X, y, 20.0)
    file = tmp_path / "run.npz"
    with pytest.warns(wp.ConvergenceWarning):
        solve(objective, 1e-10, max_iter=1, checkpoint=file)
    resumed = solve(objective, 1e-10, checkpoint=file)
    whole = solve(objective, 1e-10)
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert resumed.iterations == whole.iterations


@pytest.mark.parametrize("intercept", [False, True])
def test_from_the_largest_weight_on_the_solution_is_exactly_zero(intercept: bool) -> None:
    X, y = data()
    y = y + 3
    fit = wp.LeastSquares(wp.operators.Matrix(X), y, intercept=intercept)
    largest = np.abs(X.T @ (y - y.mean() if intercept else y)).max()
    result = solve(fit + largest * (1 + 1e-12) * wp.L1())
    assert not result.x.any()
    assert result.converged
    assert solve(fit + 0.999 * largest * wp.L1()).x.any()


def test_constant_and_duplicated_and_zero_columns() -> None:
    X, y = data(30, 10)
    X = np.column_stack([X, np.full(30, 0.1), X[:, 0], np.zeros(30)])
    for matrix in (X, scipy.sparse.csc_array(X)):
        for intercept in (False, True):
            objective = lasso(matrix, y + 2, 3.0, intercept=intercept)
            result = solve(objective)
            other = wp.minimize(objective, tol=1e-8, solver="fista", max_iter=50_000)
            assert result.objective == pytest.approx(other.objective, rel=1e-7)
            assert result.x[12] == 0
            if intercept:
                assert result.x[10] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
@pytest.mark.parametrize("intercept", [False, True])
def test_smallest_sizes(shape: tuple[int, int], intercept: bool) -> None:
    X = RNG(3).normal(size=shape)
    y = RNG(4).normal(size=shape[0])
    objective = lasso(X, y, 0.05, intercept=intercept)
    result = solve(objective)
    assert result.converged
    if shape[1] == 1:
        a, r = X[:, 0], y.copy()
        if intercept:
            a, r = a - a.mean(), r - r.mean()
        z = a @ r
        expected = np.sign(z) * max(abs(z) - 0.05, 0) / (a @ a) if a @ a > 0 else 0.0
        assert result.x[0] == pytest.approx(expected, abs=1e-7)


def test_data_of_zeros_and_data_that_an_intercept_explains() -> None:
    X, _ = data()
    for y in (np.zeros(40), np.full(40, 7.0)):
        result = solve(lasso(X, y, 1.0, intercept=True))
        assert not result.x.any()
        assert result.converged


def test_what_cannot_be_solved_is_refused_by_name() -> None:
    X, y = data()
    A = wp.operators.Matrix(X)
    with pytest.raises(ValueError, match="no penalty"):
        solve(wp.LeastSquares(A, y) + 1.0 * wp.L1(np.r_[0.0, np.ones(119)]))
    with pytest.raises(ValueError, match="labels of both kinds"):
        wp.LogisticLoss(A, np.ones(40), intercept=True)
    with pytest.raises(ValueError, match="a count above 0"):
        wp.PoissonLoss(A, np.zeros(40), intercept=True)
    with pytest.raises(TypeError, match="intercept is True or False"):
        wp.LeastSquares(A, y, intercept=1)
    with pytest.raises(ValueError, match="infinite at the start"):
        solve(wp.KullbackLeibler(A, np.abs(y)) + 1.0 * wp.L1())


def test_the_intercept_of_each_loss_is_the_best_one() -> None:
    X, y = data()
    A, x = wp.operators.Matrix(X), RNG(5).normal(size=120) / 20
    fits = [
        (wp.LeastSquares(A, y, intercept=True), wp.LeastSquares(None, y)),
        (wp.HuberLoss(A, y, 0.5, intercept=True), wp.HuberLoss(None, y, 0.5)),
        (wp.LogisticLoss(A, np.sign(y), intercept=True), wp.LogisticLoss(None, np.sign(y))),
        (wp.PoissonLoss(A, np.abs(np.round(y)), intercept=True), wp.PoissonLoss(None, np.abs(np.round(y)))),
    ]
    for fit, plain in fits:
        c = fit.intercept_at(x)
        best = plain(X @ x + c)
        assert fit(x) == pytest.approx(best, rel=1e-12)
        for other in (c - 0.01, c + 0.01):
            assert plain(X @ x + other) >= best


PROBLEMS = st.tuples(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 10**6), st.floats(0.01, 1.5), st.booleans()
)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(PROBLEMS, st.sampled_from(["l1", "net", "box", "nonnegative", "group", "sparse group"]))
def test_the_gap_bounds_the_error_of_random_problems(problem, kind: str) -> None:
    n, p, seed, share, intercept = problem
    rng = RNG(seed)
    X, y = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-2, 3), rng.normal(size=n)
    lam = share * np.abs(X.T @ y).max()
    groups = np.arange(p) // 2
    penalty = {
        "l1": lam * wp.L1(rng.uniform(0.5, 2, p)),
        "net": wp.ElasticNet(lam, lam),
        "box": lam * wp.L1() + wp.Box(-0.1, 0.2),
        "nonnegative": lam * wp.L1() + wp.NonNegative(),
        "group": lam * wp.GroupL2(groups),
        "sparse group": lam * wp.SparseGroup(groups, 0.4),
    }[kind]
    objective = wp.LeastSquares(wp.operators.Matrix(X), y, intercept=intercept) + penalty
    exact = solve(objective, 1e-11)
    rough = solve(objective, 0.3)
    rounding = 1e-13 * float(y @ y)
    for result in (rough, exact):
        assert result.converged or result.certificate.value <= rounding
        assert objective(result.x) == pytest.approx(result.objective, rel=1e-10, abs=rounding)
        error = objective(result.x) - objective(exact.x)
        assert error <= wp.verify(objective, result).value + exact.certificate.value + rounding


@pytest.mark.parametrize("loss", ["least squares", "logistic", "poisson"])
def test_a_truly_sparse_matrix_gives_the_answer_of_the_dense_one(loss: str) -> None:
    X, y = data(60, 80)
    X = np.where(np.abs(X) > 1.2, X + 1, 0.0)

    def objective(matrix) -> wp.Functional:
        A = wp.operators.Matrix(matrix)
        fit = {
            "least squares": lambda: wp.LeastSquares(A, y, intercept=True),
            "logistic": lambda: wp.LogisticLoss(A, np.sign(y), intercept=True),
            "poisson": lambda: wp.PoissonLoss(A, np.round(np.abs(y)), intercept=True),
        }[loss]()
        return fit + 1.5 * wp.L1()

    dense, sparse = solve(objective(X), 1e-10), solve(objective(scipy.sparse.csc_array(X)), 1e-10)
    np.testing.assert_allclose(sparse.x, dense.x, atol=1e-4)
    assert sparse.iterations <= dense.iterations + 3


def test_sweeps_over_sparse_columns_agree_with_the_gram_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    from wellposed.solvers.coordinate import sparse_pool

    X, y = data(60, 80)
    objective = lasso(scipy.sparse.csc_array(np.where(np.abs(X) > 1, X + 1, 0.0)), y, 2.0, intercept=True)
    gram = solve(objective, 1e-10)
    monkeypatch.setattr(sparse_pool, "THICK", 0)
    sweeps = solve(objective, 1e-10)
    np.testing.assert_allclose(sweeps.x, gram.x, atol=1e-5)
    assert sweeps.iterations <= gram.iterations + 3


@pytest.mark.parametrize("columns", [np.asfortranarray, scipy.sparse.csc_array])
def test_an_intercept_costs_no_more_iterations_than_centring_beforehand(columns) -> None:
    X, y = data(60, 80)
    X = X + 10
    free = solve(lasso(columns(X), y, 3.0, intercept=True), 1e-8)
    centred = solve(lasso(X - X.mean(axis=0), y - y.mean(), 3.0), 1e-8)
    np.testing.assert_allclose(free.x, centred.x, atol=1e-4)
    assert free.iterations <= centred.iterations + 1


@pytest.mark.parametrize("delta", [0.01, 0.1])
def test_a_start_on_the_straight_part_of_every_loss(delta):
    """There the curvature is zero: an upper bound of it leads on."""
    X, y = np.arange(6.0)[:, None], np.array([0.0, 1.0, 2.0, 3.0, 4.0, 50.0])
    result = wp.minimize(
        wp.HuberLoss(wp.operators.Matrix(X), y, delta, intercept=True) + 1e-4 * wp.L1(), tol=1e-8
    )
    assert result.plan.solver == "coordinate-descent"
    assert result.converged
    assert result.x[0] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("loss", ["least squares", "intercept", "huber", "poisson"])
@pytest.mark.parametrize("sparse", [False, True])
def test_small_weights_and_more_coefficients_than_samples(loss: str, sparse: bool) -> None:
    """Then many supports explain the data: active-set steps lead from one to the next."""
    rng = RNG(5)
    X, y = rng.normal(size=(8, 20)), rng.normal(size=8) + 2
    A = wp.operators.Matrix(scipy.sparse.csc_array(X) if sparse else X)
    fit = {
        "least squares": lambda: wp.LeastSquares(A, y),
        "intercept": lambda: wp.LeastSquares(A, y, intercept=True),
        "huber": lambda: wp.HuberLoss(A, y, 0.5),
        "poisson": lambda: wp.PoissonLoss(A, np.round(np.abs(y))),
    }[loss]()
    result = solve(fit + 1e-4 * wp.L1(), 1e-6)
    assert result.converged
    assert result.iterations <= 10
    assert np.count_nonzero(result.x) <= 8


def test_no_coefficient_is_minus_zero() -> None:
    X, _ = data()
    for objective in (lasso(X, np.full(40, 7.0), 0.5), lasso(X, -X[:, 0], 5.0, intercept=True)):
        x = solve(objective).x
        assert not np.any(np.signbit(x) & (x == 0))


@pytest.mark.parametrize("l2", [1e-8, 1e-20, 1e-100])
def test_an_elastic_net_that_hardly_differs_from_the_lasso_ends_with_a_proof(l2: float) -> None:
    X, y = data()
    objective = wp.LeastSquares(wp.operators.Matrix(X), y) + wp.ElasticNet(5.0, l2)
    result = solve(objective, 1e-8)
    assert result.converged
    assert result.iterations <= 10
    assert wp.verify(objective, result).relative <= 1.1e-8
    assert result.objective == pytest.approx(solve(lasso(X, y, 5.0), 1e-9).objective, rel=1e-7)


@pytest.mark.parametrize("offset", [30.0, 1e3, -1e4])
def test_logistic_regression_does_not_mind_features_far_from_zero(offset: float) -> None:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(25, 40))
    labels = np.where(X[:, 0] + rng.normal(size=25) > 0, 1.0, -1.0)
    near, far = (
        wp.minimize(wp.LogisticLoss(wp.operators.Matrix(Z), labels, intercept=True) + 1.5 * wp.L1(), tol=1e-7)
        for Z in (X, X + offset)
    )
    assert far.converged
    assert far.iterations <= near.iterations + 2
    np.testing.assert_allclose(far.objective, near.objective, rtol=1e-6)
