"""Losses, penalties, constraints and designs against CVXPY: the value, the gap, and what `verify` says."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

import wellposed as wp

N, P, K = 30, 12, 3
RNG = np.random.default_rng(0)
X = (RNG.normal(size=(N, P)) + 0.3) * (RNG.random((N, P)) > 0.2)
U = X[:, :4] @ np.array([2.0, -1.5, 1.0, 1.0])
TARGETS = {
    "squares": U + 1 + RNG.normal(size=N),
    "huber": U + 1 + RNG.standard_t(2, size=N),
    "logistic": np.where(U + 0.5 + RNG.normal(size=N) > 0, 1.0, -1.0),
    "poisson": RNG.poisson(np.exp(np.clip(0.4 * U + 0.3, -5, 2.5))).astype(float),
    "multinomial": np.eye(K)[np.argmax(X[:, :K] + 0.7 * RNG.normal(size=(N, K)), axis=1)],
}
WEIGHTS = {"squares": 4.0, "huber": 2.0, "logistic": 1.0, "poisson": 4.0, "multinomial": 1.0}
EDGES = [(i, (i + 1) % P) for i in range(P)] + [(0, 5), (2, 8)]
GRAPH = np.array([np.eye(P)[i] - np.eye(P)[j] for i, j in EDGES])
LINE = np.diff(np.eye(P), axis=0)
GROUPS = np.arange(P) // 3
DESIGNS = ("C", "F", "csc", "csr", "operator")
PENALTIES = (
    "l1",
    "weighted",
    "some free",
    "elastic",
    "group",
    "sparse group",
    "slope",
    "nuclear",
    "fused",
    "graph",
    "ridge",
)


def several(loss: str) -> bool:
    return loss == "multinomial"


def entries(loss: str) -> int:
    return P * K if several(loss) else P


def weights(loss: str, penalty: str) -> np.ndarray:
    n = entries(loss)
    if penalty == "some free":
        return np.where(np.arange(n) < n // P, 0.0, 1.0)
    return np.linspace(1.5, 0.5, n) if penalty == "slope" else np.linspace(0.5, 2.0, n)


def operator(loss: str, penalty: str, design: str, dtype: Any) -> wp.LinearOperator:
    A, operators = X.astype(dtype), wp.operators
    domain = (4, 3) if penalty == "nuclear" and not several(loss) else None
    if several(loss) and design not in ("csc", "csr", "operator"):
        return operators.MatrixProduct(np.asarray(A, order=design), K)
    shapes = ((P, K), (N, K)) if several(loss) else (domain, None)
    A = np.kron(A, np.eye(K, dtype=dtype)) if several(loss) else A
    if design == "operator":
        return operators.from_scipy(aslinearoperator(A), *shapes)
    if design in ("csc", "csr"):
        return operators.Matrix(getattr(scipy.sparse, f"{design}_array")(A), *shapes)
    return operators.Matrix(np.asarray(A, order=design), *shapes)


def written(loss: str, penalty: str, intercept: bool, constraint: str, design: str, dtype: Any) -> Any:
    """The objective in the library's words."""
    A, b = operator(loss, penalty, design, dtype), TARGETS[loss].astype(dtype)
    option = {"intercept": True} if intercept else {}
    fit = {
        "squares": lambda: wp.LeastSquares(A, b, **option),
        "huber": lambda: wp.HuberLoss(A, b, 1.0, **option),
        "logistic": lambda: wp.LogisticLoss(A, b, **option),
        "poisson": lambda: wp.PoissonLoss(A, b, **option),
        "multinomial": lambda: wp.MultinomialLoss(A, b),
    }[loss]()
    shape = (P, K) if several(loss) else (P,)
    w = weights(loss, penalty).astype(dtype)
    labels = np.repeat(np.arange(P)[:, None], K, 1) if several(loss) else GROUPS
    D = np.kron(GRAPH, np.eye(K)) if several(loss) else GRAPH
    term = {
        "l1": wp.L1,
        "weighted": lambda: wp.L1(w.reshape(shape)),
        "some free": lambda: wp.L1(w.reshape(shape)),
        "elastic": lambda: wp.ElasticNet(0.7, 0.3),
        "group": lambda: wp.GroupL2(labels),
        "sparse group": lambda: wp.SparseGroup(labels, 0.5),
        "slope": lambda: wp.SLOPE(w),
        "nuclear": wp.NuclearNorm,
        "fused": lambda: (
            wp.L1() @ wp.operators.Gradient(shape, (0,)) if several(loss) else wp.TotalVariation()
        ),
        "graph": lambda: wp.L1() @ wp.operators.Matrix(D.astype(dtype), shape),
        "ridge": wp.SquaredL2,
    }[penalty]()
    objective = fit + WEIGHTS[loss] * term
    bounds = {"nonnegative": [wp.NonNegative()], "box": [wp.Box(-0.4, 0.5)]}.get(constraint, [])
    return sum(bounds, start=objective)


@functools.cache
def minimum(loss: str, penalty: str, intercept: bool, constraint: str) -> float:
    """The least value by an interior-point method."""
    x = cp.Variable((P, K) if several(loss) else P)
    b, v = TARGETS[loss], cp.vec(x, order="C")
    u = X @ x + (cp.Variable() if intercept else 0.0)
    counted = np.where(b > 0, b, 1.0)
    fit = {
        "squares": lambda: 0.5 * cp.sum_squares(u - b),
        "huber": lambda: 0.5 * cp.sum(cp.huber(u - b, 1.0)),
        "logistic": lambda: cp.sum(cp.logistic(cp.multiply(-b, u))),
        "poisson": lambda: cp.sum(cp.exp(u) - cp.multiply(b, u)) + float(np.sum(b * np.log(counted) - b)),
        "multinomial": lambda: cp.sum(cp.log_sum_exp(u, axis=1)) - cp.sum(cp.multiply(b, u)),
    }[loss]()
    w = weights(loss, penalty)
    rows = [x[k] for k in range(P)] if several(loss) else [x[g == GROUPS] for g in range(P // 3)]
    steps = -np.diff(np.append(w, 0.0))
    term = {
        "l1": lambda: cp.norm1(v),
        "weighted": lambda: cp.norm1(cp.multiply(w, v)),
        "some free": lambda: cp.norm1(cp.multiply(w, v)),
        "elastic": lambda: 0.7 * cp.norm1(v) + 0.15 * cp.sum_squares(v),
        "group": lambda: sum(cp.norm(row) for row in rows),
        "sparse group": lambda: sum(cp.norm(row) for row in rows) + 0.5 * cp.norm1(v),
        "slope": lambda: sum(s * cp.sum_largest(cp.abs(v), k + 1) for k, s in enumerate(steps)),
        "nuclear": lambda: cp.normNuc(x if several(loss) else cp.reshape(x, (4, 3), order="C")),
        "fused": lambda: cp.sum(cp.abs(LINE @ x)),
        "graph": lambda: cp.sum(cp.abs(GRAPH @ x)),
        "ridge": lambda: 0.5 * cp.sum_squares(v),
    }[penalty]()
    bounds = {"nonnegative": [x >= 0], "box": [x >= -0.4, x <= 0.5]}.get(constraint, [])
    problem = cp.Problem(cp.Minimize(fit + WEIGHTS[loss] * term), bounds)
    problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-9, tol_gap_rel=1e-9, tol_feas=1e-9)
    return float(problem.value)


def check(loss: str, penalty: str, intercept: bool, constraint: str, design: str, dtype: Any) -> None:
    objective = written(loss, penalty, intercept, constraint, design, dtype)
    single = dtype is np.float32
    tol, rounding = (1e-4, 3e-6) if single else (1e-6, 3e-8)
    result = wp.minimize(objective, tol=tol)
    assert result.status == "converged"
    assert result.x.dtype == dtype
    best = minimum(loss, penalty, intercept, constraint)
    proof = wp.verify(objective, result)
    assert result.certificate.is_bound == proof.is_bound
    assert proof.is_bound
    assert proof.relative <= 1.5 * tol
    # The bound -0.4 in single precision is below that in double.
    x = result.x.astype(float) if constraint != "box" else np.clip(result.x.astype(float), -0.4, 0.5)
    value = float(written(loss, penalty, intercept, constraint, "C", np.float64)(x))
    assert result.objective == pytest.approx(value, rel=1e-5 if single else 1e-11)
    error, noise = value - best, rounding * abs(best)
    assert -noise <= error <= min(result.certificate.value, proof.value) + noise


LOSSES = tuple(TARGETS)
CONSTRAINTS = ("none", "nonnegative", "box")
ALL = list(
    itertools.product(LOSSES, PENALTIES, (False, True), CONSTRAINTS, DESIGNS, (np.float64, np.float32))
)


def known(loss: str, penalty: str, intercept: bool, constraint: str) -> bool:
    """Whether the combination is one that the library takes, and that has a certificate to reach."""
    if loss == "multinomial" and intercept:
        return False
    if loss == "multinomial" and (penalty, constraint) == ("fused", "nonnegative"):
        # Adding one number to all coefficients changes nothing: many thousand iterations.
        return False
    # No dual point is known to be feasible next to a free coefficient with one bound.
    return (penalty, constraint) != ("some free", "nonnegative")


QUICK = [
    (loss, penalty, bool(intercept), constraint, DESIGNS[k % 5], (np.float64, np.float32)[(k // 7) % 2])
    for k, (loss, penalty, intercept, constraint) in enumerate(
        itertools.product(LOSSES, PENALTIES, (0, 1), CONSTRAINTS)
    )
    if known(loss, penalty, bool(intercept), constraint)
]


def name(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else str(value)


@pytest.mark.parametrize(
    ("loss", "penalty", "intercept", "constraint", "design", "dtype"), QUICK[::4], ids=name
)
def test_each_kind_of_regression_agrees_with_cvxpy(
    loss: str, penalty: str, intercept: bool, constraint: str, design: str, dtype: Any
) -> None:
    check(loss, penalty, intercept, constraint, design, dtype)


@pytest.mark.slow
@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", LOSSES)
def test_every_combination_agrees_with_cvxpy(loss: str, dtype: Any, design: str) -> None:
    wrong = {}
    for penalty, intercept, constraint in itertools.product(PENALTIES, (False, True), CONSTRAINTS):
        if known(loss, penalty, intercept, constraint):
            try:
                check(loss, penalty, intercept, constraint, design, dtype)
            except Exception as error:
                wrong[penalty, intercept, constraint] = repr(error)
    assert not wrong


# --- input at the edge of what makes sense --------------------------------------------------------------


def losses(A: np.ndarray, intercept: bool) -> list[wp.Functional]:
    K, n = wp.operators.Matrix(A), len(A)
    y = TARGETS["squares"][-n:]
    return [
        wp.LeastSquares(K, y, intercept=intercept),
        wp.HuberLoss(K, y, 1.0, intercept=intercept),
        wp.LogisticLoss(K, TARGETS["logistic"][-n:], intercept=intercept),
        wp.PoissonLoss(K, TARGETS["poisson"][-n:], intercept=intercept),
    ]


def sparse_penalties(columns: int) -> list[wp.Functional]:
    labels = np.arange(columns) // 2
    return [
        wp.L1(),
        wp.ElasticNet(0.7, 0.3),
        wp.GroupL2(labels),
        wp.SparseGroup(labels, 0.5),
        wp.SLOPE(np.linspace(1.5, 0.5, columns)),
    ]


def columns(kind: str) -> np.ndarray:
    A = X.copy()
    if kind == "constant":
        A[:, 3], A[:, 4] = 1.0, 5.0
    elif kind == "duplicated":
        A[:, 3], A[:, 4] = A[:, 0], -A[:, 0]
    elif kind == "zero":
        A[:, 0] = A[:, 3] = 0.0
    elif kind == "all zero":
        A[:] = 0.0
    elif kind == "one":
        A = A[:, :1]
    elif kind == "few samples":
        A = A[-6:]
    return A


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("kind", ["constant", "duplicated", "zero", "all zero", "one", "few samples"])
def test_degenerate_columns_do_no_harm(kind: str, intercept: bool) -> None:
    A = columns(kind)
    for loss in losses(A, intercept):
        for penalty in sparse_penalties(A.shape[1]):
            objective = loss + 0.5 * penalty
            result = wp.minimize(objective, tol=1e-6)
            assert result.status == "converged"
            assert wp.verify(objective, result).relative <= 1.5e-6
            unseen = ~A.any(axis=0)
            assert not result.x[unseen].any()


@pytest.mark.parametrize("intercept", [True, False])
def test_from_the_largest_weight_on_the_solution_is_exactly_zero(intercept: bool) -> None:
    for loss in losses(X, intercept):
        for penalty in sparse_penalties(P):
            if isinstance(penalty, wp.ElasticNet):
                continue
            slope = loss.gradient(np.zeros(P))
            largest = 1e-6 / penalty.dual_scale(slope / 1e-6)
            for factor in (1 + 1e-9, 3.0, 1e12):
                assert not wp.minimize(loss + factor * largest * penalty, tol=1e-6).x.any()
            assert wp.minimize(loss + 0.9 * largest * penalty, tol=1e-9).x.any()


def test_total_variation_where_all_columns_are_zero() -> None:
    for loss in losses(0.0 * X, False):
        result = wp.minimize(loss + 0.5 * wp.TotalVariation(), tol=1e-6)
        assert result.status == "converged"
        assert np.isfinite(result.x).all()


def test_a_weight_that_products_would_lose_is_refused() -> None:
    for tiny in (1e-300, 5e-324):
        with pytest.raises(ValueError, match=r"too small to compute with.* give 0, or at least"):
            tiny * wp.L1()
        with pytest.raises(ValueError, match="l2 of ElasticNet is too small"):
            wp.ElasticNet(1.0, tiny)
