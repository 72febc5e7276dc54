"""What coordinate descent leaves out of sight: proven zero, and without a trace in the certificate."""

from __future__ import annotations

import cvxpy as cp
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import scipy.sparse

import wellposed as wp
from wellposed.solvers.certificates import certify
from wellposed.solvers.coordinate import design as designs
from wellposed.solvers.coordinate import screening, working_set
from wellposed.solvers.coordinate.screening import Screen
from wellposed.solvers.coordinate.working_set import State, WorkingSet
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import canonical

RNG = np.random.default_rng

LOSSES = ("least squares", "weighted", "logistic", "huber", "poisson")
PENALTIES = ("l1", "net", "box", "nonnegative", "group", "sparse group")


@pytest.fixture(autouse=True)
def screening_of_small_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HEAVY", 0), ("FULL", 0)):
        monkeypatch.setattr(designs, name, value)
    monkeypatch.setattr(screening, "AFTER", 0)
    # Working sets that grow slowly, so that there is something left to leave out.
    for name in ("FIRST", "FEWEST"):
        monkeypatch.setattr(working_set, name, 1)


def parts(loss: str, penalty: str, seed: int, share: float, intercept: bool, layout: str):
    """An objective, and the same as a problem of CVXPY with its variable."""
    rng = RNG(seed)
    n, p = int(rng.integers(4, 25)), int(rng.integers(2, 13))
    X = rng.normal(size=(n, p)) + 2.0 * intercept
    t = X[:, : max(p // 4, 1)].sum(axis=1) + 0.5 * rng.normal(size=n)
    t -= t.mean()
    w = rng.uniform(0.5, 2, n)
    labels = np.where(t > np.median(t), 1.0, -1.0)
    counts = np.round(3 * np.exp(0.3 * t))
    A = wp.operators.Matrix(np.asfortranarray(X) if layout == "dense" else scipy.sparse.csc_array(X))
    fit = {
        "least squares": lambda: wp.LeastSquares(A, t, intercept=intercept),
        "weighted": lambda: wp.LeastSquares(A, t, w, intercept=intercept),
        "logistic": lambda: wp.LogisticLoss(A, labels, intercept=intercept),
        "huber": lambda: wp.HuberLoss(A, t, 0.7, intercept=intercept),
        "poisson": lambda: wp.PoissonLoss(A, counts, intercept=intercept),
    }[loss]()
    lam = 1e-3 + share * float(np.abs(fit.gradient(np.zeros(p))).max())
    x, c = cp.Variable(p), cp.Variable() if intercept else 0.0
    u = X @ x + c
    oracle = {
        "least squares": lambda: 0.5 * cp.sum_squares(u - t),
        "weighted": lambda: 0.5 * cp.sum(cp.multiply(w, cp.square(u - t))),
        "logistic": lambda: cp.sum(cp.logistic(-cp.multiply(labels, u))),
        "huber": lambda: 0.5 * cp.sum(cp.huber(u - t, 0.7)),
        "poisson": lambda: cp.sum(cp.exp(u) - cp.multiply(counts, u)),
    }[loss]()
    weights, groups = rng.uniform(0.5, 2, p), np.arange(p) // 2
    norms = sum(cp.norm(x[g : g + 2]) for g in range(0, p, 2))
    rule, same, bounds = {
        "l1": lambda: (lam * wp.L1(weights), lam * cp.norm1(cp.multiply(weights, x)), []),
        "net": lambda: (wp.ElasticNet(lam, lam), lam * cp.norm1(x) + lam / 2 * cp.sum_squares(x), []),
        "box": lambda: (lam * wp.L1() + wp.Box(-0.1, 0.2), lam * cp.norm1(x), [x >= -0.1, x <= 0.2]),
        "nonnegative": lambda: (lam * wp.L1() + wp.NonNegative(), lam * cp.norm1(x), [x >= 0]),
        "group": lambda: (lam * wp.GroupL2(groups), lam * norms, []),
        "sparse group": lambda: (
            lam * wp.SparseGroup(groups, 0.4),
            lam * 0.4 * cp.norm1(x) + lam * norms,
            [],
        ),
    }[penalty]()
    return fit + rule, cp.Problem(cp.Minimize(oracle + same), bounds), x


def screened(objective: wp.Functional, steps: int = 30) -> tuple[State, WorkingSet]:
    """A run step by step; at each, the certificate is the one of all pulls."""
    problem = canonical(objective)
    solver = WorkingSet(problem, 1e-12)
    state = solver.start(None, None)
    for _ in range(steps):
        proof = solver.dual(state)
        certificate = proof.certificate
        whole = certify(problem, solver.solution(state), state.objective, proof.dual)
        assert whole is not None
        assert certificate.lower_bound == pytest.approx(
            whole.certificate.lower_bound, rel=1e-9, abs=1e-9 * abs(problem.value_at_zero)
        )
        solver.observe(state, certificate)
        if certificate.relative < 1e-11:
            break
        try:
            solver.advance(state, 1)
        except StalledError:
            break
    return state, solver


CASES = st.tuples(
    st.sampled_from(LOSSES),
    st.sampled_from(PENALTIES),
    st.integers(0, 10**6),
    st.floats(0.05, 0.95),
    st.booleans(),
    st.sampled_from(["dense", "sparse"]),
)


@hypothesis.settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(CASES)
def test_what_is_dropped_is_zero_in_the_solution_and_the_certificate_is_that_of_all(case) -> None:
    objective, oracle, x = parts(*case)
    state, solver = screened(objective)
    gone = np.flatnonzero(state.screen.gone)
    ids = gone if solver.form.penalty.groups is None else solver.form.penalty.groups.entries(gone)
    assert not state.x[ids].any()
    if len(ids):
        oracle.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
        assert np.abs(x.value[ids]).max() <= 1e-4 * max(np.abs(x.value).max(), 1e-2)
        assert state.objective == pytest.approx(oracle.value, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "poisson"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_near_the_solution_nearly_all_that_is_zero_is_dropped(loss: str, penalty: str) -> None:
    objective, _, _ = parts(loss, penalty, 3, 0.4, True, "dense")
    state, solver = screened(objective)
    used = solver._units(np.flatnonzero(state.x))
    assert np.count_nonzero(state.screen.gone) >= 0.6 * (len(state.screen.gone) - len(used))


def test_without_a_lipschitz_gradient_nothing_is_dropped_for_good() -> None:
    state, _ = screened(parts("poisson", "l1", 3, 0.4, False, "dense")[0])
    assert not state.screen.gone.any()
    assert not state.screen.open.all()


def test_the_last_products_leave_out_most_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    some = designs.DenseDesign.correlate_some

    def counted(self, y, index, others):
        seen.append(len(index))
        return some(self, y, index, others)

    monkeypatch.setattr(designs.DenseDesign, "correlate_some", counted)
    monkeypatch.setattr(working_set, "FIRST", 100)
    rng = RNG(0)
    X = np.asfortranarray(rng.normal(size=(100, 3000)))
    y = X[:, :5].sum(axis=1) + rng.normal(size=100)
    objective = wp.LeastSquares(wp.operators.Matrix(X), y, intercept=True) + 40.0 * wp.L1()
    result = wp.minimize(objective, tol=1e-12)
    assert seen
    assert min(seen) < 300
    assert wp.verify(objective, result).relative <= 1.1e-12
    monkeypatch.setattr(Screen, "_look_at_all", lambda self, slope: -self.form.design.correlate(slope))
    whole = wp.minimize(objective, tol=1e-12)
    np.testing.assert_allclose(result.x, whole.x, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_products_and_lengths_agree_with_numpy(kind: str, dtype: type) -> None:
    X = (RNG(1).normal(size=(30, 7)) + 3).astype(dtype)
    y = RNG(2).normal(size=30).astype(dtype)
    design = (
        designs.DenseDesign(np.asfortranarray(X))
        if kind == "dense"
        else designs.SparseDesign(scipy.sparse.csr_array(X.T))
    )
    rtol = 30 * np.finfo(dtype).eps
    for centred in (False, True):
        products, lengths = design.correlate_and_measure(y, centred)
        expected = np.linalg.norm(X - centred * X.mean(axis=0), axis=0)
        np.testing.assert_allclose(products, X.T @ y, rtol=rtol, atol=100 * rtol)
        np.testing.assert_allclose(lengths, expected, rtol=np.sqrt(rtol) if centred else rtol)
        assert np.all(lengths >= expected * (1 - rtol))
        assert products.dtype == lengths.dtype == dtype
    some = design.correlate_some(y, np.array([4, 1]), np.full(7, 9, dtype))
    np.testing.assert_allclose(some[[1, 4]], (X.T @ y)[[1, 4]], rtol=rtol, atol=100 * rtol)
    assert np.all(np.delete(some, [1, 4]) == 9)


def test_a_matrix_by_rows_is_not_screened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert designs.DenseDesign(np.asfortranarray(np.ones((3, 2)))).heavy
    assert not designs.DenseDesign(np.ones((3, 2))).heavy
