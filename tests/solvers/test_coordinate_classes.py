"""Coordinate descent for several classes, against CVXPY, scikit-learn and proximal gradient."""

from __future__ import annotations

import cvxpy as cp
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

import wellposed as wp
from wellposed.functionals.class_intercepts import ClassIntercepts

RNG = np.random.default_rng

PENALTIES = ("l1", "weighted", "net", "nonnegative", "group", "sparse group", "odd groups")


def data(n: int, p: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    scores = X[:, : min(p, 4)] @ rng.normal(size=(min(p, 4), classes))
    labels = (scores + rng.gumbel(size=scores.shape)).argmax(axis=1)
    labels[:classes] = np.arange(classes)
    return X, labels


def penalties(kind: str, lam: float, p: int, classes: int) -> tuple[wp.Functional, object]:
    """A penalty, and the same for a variable of CVXPY."""
    rows = np.repeat(np.arange(p), classes).reshape(p, classes)
    odd = np.arange(p * classes).reshape(p, classes) // 3
    weights = RNG(7).uniform(0.5, 2, (p, classes))

    def norms(x: cp.Variable, groups: np.ndarray) -> cp.Expression:
        flat = cp.vec(x, order="C")
        return sum(cp.norm(flat[np.flatnonzero(groups.ravel() == g)]) for g in np.unique(groups))

    return {
        "l1": (lam * wp.L1(), lambda x: lam * cp.sum(cp.abs(x))),
        "weighted": (lam * wp.L1(weights), lambda x: lam * cp.sum(cp.multiply(weights, cp.abs(x)))),
        "net": (
            wp.ElasticNet(lam, lam),
            lambda x: lam * cp.sum(cp.abs(x)) + lam / 2 * cp.sum_squares(x),
        ),
        "nonnegative": (lam * wp.L1() + wp.NonNegative(), lambda x: lam * cp.sum(cp.abs(x))),
        "group": (lam * wp.GroupL2(rows), lambda x: lam * norms(x, rows)),
        "sparse group": (
            lam * wp.SparseGroup(rows, 0.4),
            lambda x: lam * (norms(x, rows) + 0.4 * cp.sum(cp.abs(x))),
        ),
        "odd groups": (lam * wp.GroupL2(odd), lambda x: lam * norms(x, odd)),
    }[kind]


@hypothesis.settings(max_examples=25, deadline=None)
@hypothesis.given(
    st.sampled_from(PENALTIES),
    st.integers(6, 25),
    st.integers(1, 8),
    st.integers(2, 4),
    st.integers(0, 10**6),
    st.floats(0.05, 1.2),
    st.booleans(),
)
def test_it_agrees_with_cvxpy_and_the_gap_bounds_the_error(
    kind: str, n: int, p: int, classes: int, seed: int, share: float, intercept: bool
) -> None:
    X, labels = data(n, p, classes, seed)
    weights = RNG(seed).uniform(0.5, 2, n)
    A = wp.operators.MatrixProduct(X, classes)
    fit = wp.MultinomialLoss(A, labels, weights, intercept=intercept)
    lam = share * float(np.abs(fit.gradient(np.zeros((p, classes)))).max()) + 1e-3
    penalty, same = penalties(kind, lam, p, classes)
    objective = fit + penalty
    result = wp.minimize(objective, tol=1e-9, solver="coordinate-descent")
    assert result.converged
    x, c = cp.Variable((p, classes)), cp.Variable((1, classes))
    scores = X @ x + (np.ones((n, 1)) @ c if intercept else 0)
    known = np.eye(classes)[labels]
    losses = cp.log_sum_exp(scores, axis=1) - cp.sum(cp.multiply(known, scores), axis=1)
    bounds = [x >= 0] if kind == "nonnegative" else []
    oracle = cp.Problem(cp.Minimize(weights @ losses + same(x)), bounds)
    oracle.solve(solver="CLARABEL")
    slack = 1e-6 * (1 + abs(oracle.value))
    assert result.objective == pytest.approx(objective(result.x), rel=1e-12)
    assert -slack <= result.objective - oracle.value <= slack
    rough = wp.minimize(objective, tol=0.1, solver="coordinate-descent")
    for found in (rough, result):
        checked = wp.verify(objective, found)
        assert checked.is_bound
        assert checked.value <= found.certificate.value * (1 + 1e-6) + 1e-12 * abs(found.objective)
        assert found.objective - result.objective <= checked.value + 1e-9 * abs(found.objective)


@pytest.mark.parametrize("intercept", [False, True])
def test_it_agrees_with_scikit_learn(intercept: bool) -> None:
    X, labels = data(60, 15, 3, 0)
    X -= X.mean(axis=0)
    A = wp.operators.MatrixProduct(X, 3)
    objective = wp.MultinomialLoss(A, labels, intercept=intercept) + 2.0 * wp.L1()
    result = wp.minimize(objective, tol=1e-10)
    assert result.plan.solver == "coordinate-descent"
    model = LogisticRegression(
        l1_ratio=1.0, C=0.5, solver="saga", fit_intercept=intercept, tol=1e-10, max_iter=100_000
    ).fit(X, labels)
    np.testing.assert_allclose(result.x.T, model.coef_, atol=1e-5)
    if intercept:
        constants = objective.terms[0].intercept_at(result.x)
        np.testing.assert_allclose(constants, model.intercept_ - model.intercept_.mean(), atol=1e-4)


@pytest.mark.parametrize("penalty", ["l1", "group"])
@pytest.mark.parametrize("intercept", [False, True])
def test_larger_problems_agree_with_proximal_gradient(penalty: str, intercept: bool) -> None:
    X, labels = data(80, 300, 4, 1)
    fit = wp.MultinomialLoss(wp.operators.MatrixProduct(X, 4), labels, intercept=intercept)
    objective = fit + penalties(penalty, 2.0, 300, 4)[0]
    result = wp.minimize(objective, tol=1e-8, solver="coordinate-descent")
    other = wp.minimize(objective, tol=1e-6, solver="fista")
    assert result.objective <= other.objective * (1 + 1e-9)
    assert other.objective == pytest.approx(result.objective, rel=2e-6)
    assert result.iterations < 20


def test_single_precision_stays_and_a_matrix_in_another_layout_gives_the_same() -> None:
    X, labels = data(50, 20, 3, 2)
    found = {}
    for order in ("C", "F"):
        for dtype in (np.float32, np.float64):
            A = wp.operators.MatrixProduct(np.array(X, dtype, order=order), 3)
            known = np.eye(3, dtype=dtype)[labels]
            objective = wp.MultinomialLoss(A, known, intercept=True) + 2.0 * wp.L1()
            result = wp.minimize(objective, tol=1e-4 if dtype == np.float32 else 1e-10)
            assert result.x.dtype == dtype
            assert result.converged
            found[order, dtype] = result
    np.testing.assert_allclose(found["C", np.float64].x, found["F", np.float64].x, atol=1e-6)
    exact = found["C", np.float64].objective
    assert found["F", np.float32].objective == pytest.approx(exact, rel=1e-4)


def test_screening_of_classes_leaves_the_answer_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from wellposed.solvers.coordinate import design, screening

    X, labels = data(60, 400, 3, 3)
    A = wp.operators.MatrixProduct(np.asfortranarray(X), 3)
    objective = wp.MultinomialLoss(A, labels, intercept=True) + 4.0 * wp.L1()
    whole = wp.minimize(objective, tol=1e-11)
    monkeypatch.setattr(design, "HEAVY", 0)
    monkeypatch.setattr(screening, "AFTER", 0)
    seen: list[int] = []
    some = design.ClassDesign.correlate_some
    monkeypatch.setattr(
        design.ClassDesign,
        "correlate_some",
        lambda self, y, index, others: (seen.append(len(index)), some(self, y, index, others))[1],
    )
    screened = wp.minimize(objective, tol=1e-11)
    assert seen
    np.testing.assert_allclose(screened.x, whole.x, atol=1e-7)
    assert wp.verify(objective, screened).relative <= 1.1e-11


def test_from_the_largest_weight_on_all_coefficients_are_zero_and_the_intercepts_the_frequencies() -> None:
    X, labels = data(40, 10, 3, 4)
    fit = wp.MultinomialLoss(wp.operators.MatrixProduct(X, 3), labels, intercept=True)
    largest = float(np.abs(fit.gradient(np.zeros((10, 3)))).max())
    assert not wp.minimize(fit + 1.001 * largest * wp.L1(), tol=1e-9).x.any()
    result = wp.minimize(fit + 0.999 * largest * wp.L1(), tol=1e-9)
    assert result.x.any()
    constants = fit.intercept_at(np.zeros((10, 3)))
    frequencies = np.bincount(labels) / 40
    np.testing.assert_allclose(np.exp(constants) / np.exp(constants).sum(), frequencies, rtol=1e-10)


def test_constant_and_duplicated_features() -> None:
    X, labels = data(40, 6, 3, 5)
    X = np.column_stack([X, np.ones(40), X[:, 0], np.zeros(40)])
    A = wp.operators.MatrixProduct(X, 3)
    for intercept in (False, True):
        objective = wp.MultinomialLoss(A, labels, intercept=intercept) + 1.5 * wp.L1()
        result = wp.minimize(objective, tol=1e-8)
        assert result.converged
        assert not result.x[8].any()
        if intercept:
            assert not result.x[6].any()


def test_what_cannot_be_meant_is_refused() -> None:
    X, labels = data(10, 3, 3, 6)
    A = wp.operators.MatrixProduct(X, 3)
    with pytest.raises(ValueError, match="none of class 2"):
        wp.MultinomialLoss(A, np.minimum(labels, 1), intercept=True)
    with pytest.raises(TypeError, match="intercept is True or False"):
        wp.MultinomialLoss(A, labels, intercept=1)
    fit = wp.LeastSquares(A, RNG(0).normal(size=(10, 3)))
    with pytest.raises(ValueError, match="one prediction per sample"):
        wp.minimize(fit + 1.0 * wp.L1(), solver="coordinate-descent")


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_the_best_constants_cannot_be_bettered(spread: float) -> None:
    rng = RNG(8)
    u, b = spread * rng.normal(size=(30, 4)), rng.dirichlet(np.ones(4), 30)
    loss = wp.MultinomialLoss(None, b, rng.uniform(0.5, 2, 30))
    free = ClassIntercepts(loss)
    c = free.best(u)
    assert abs(c.sum()) < 1e-9
    assert np.abs(loss.gradient(u + c).sum(axis=0)).max() < 1e-9
    for _ in range(20):
        assert loss(u + c + 0.01 * rng.normal(size=4)) >= free(u) - 1e-10
    y = free.gradient(u)
    assert free(u) + free._conjugate(y) == pytest.approx(float((u * y).sum()), rel=1e-9)
    assert np.isinf(free._conjugate(y + 0.01 * np.eye(30, 4)))


@pytest.mark.parametrize("offset", [100.0, -1e4])
def test_features_far_from_zero_cost_no_more_iterations(offset):
    rng = np.random.default_rng(0)
    X, classes = rng.normal(size=(25, 40)), rng.integers(0, 3, 25)
    near, far = (
        wp.minimize(
            wp.MultinomialLoss(wp.operators.MatrixProduct(Z, 3), classes, intercept=True) + 1.5 * wp.L1(),
            tol=1e-6,
            max_iter=10,
        )
        for Z in (X, X + offset)
    )
    assert far.converged
    assert far.iterations <= near.iterations + 2
    np.testing.assert_allclose(far.objective, near.objective, rtol=2e-6)
