"""Linear equations as a constraint: projections, joint minimisation with certificates, clear errors."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

import wellposed as wp

O = wp.operators


def gaussian(seed, rows, columns):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def hidden(A):
    """The same operator without its matrix, so that projections are iterative."""
    return O.Identity(A.range_shape) @ A


OPERATORS = {
    "matrix": O.Matrix(gaussian(0, 4, 7)),
    "rows that depend on each other": O.Matrix(gaussian(1, 6, 3) @ gaussian(2, 3, 7)),
    "square": O.Matrix(gaussian(3, 5, 5)),
    "one entry": O.Matrix(np.array([[2.0]])),
    "columns": O.MatrixProduct(gaussian(4, 3, 5), 2),
    "by iteration": hidden(O.Matrix(gaussian(0, 4, 7))),
    "dependent rows by iteration": hidden(O.Matrix(gaussian(1, 6, 3) @ gaussian(2, 3, 7))),
    "mask": O.Mask(gaussian(5, 3, 5) > 0),
    "gradient": O.Gradient((4, 3)),
    "fourier": O.Mask(gaussian(6, 4, 3) > 0, domain="complex") @ O.FourierTransform((4, 3)),
}


def dense(A):
    """The matrix of an operator, complex rows as two real ones."""
    matrix = A.to_dense()
    return np.concatenate([matrix.real, matrix.imag]) if np.iscomplexobj(matrix) else matrix


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_projection_is_that_of_the_pseudo_inverse(rng, name, dtype):
    A = OPERATORS[name]
    x = rng.standard_normal(A.domain_shape).astype(dtype)
    constraint = wp.AffineConstraint(A, A(x))
    matrix = dense(A)
    for scale in (0.0, 1.0, 1e4):
        z = (scale * rng.standard_normal(A.domain_shape)).astype(dtype)
        point = constraint.prox(z)
        expected = z.ravel() - np.linalg.pinv(matrix, rcond=1e-10) @ (matrix @ (z - x).ravel().astype(float))
        assert point.dtype == dtype
        size = np.linalg.norm(z) + np.linalg.norm(x)
        assert np.linalg.norm(point.ravel() - expected) <= 300 * np.finfo(dtype).eps * size
        assert constraint(point) == 0.0
    assert constraint(x) == 0.0
    far = x + 0.01 * A.apply_adjoint(A(x)) / A.norm() ** 2
    assert constraint(far) == np.inf


@pytest.mark.parametrize("name", OPERATORS)
def test_the_conjugate_is_finite_on_the_rows_only(rng, name):
    A = OPERATORS[name]
    x = rng.standard_normal(A.domain_shape)
    constraint = wp.AffineConstraint(A, A(x))
    y = A.apply_adjoint(A(rng.standard_normal(A.domain_shape)))
    assert constraint.conjugate(y) == pytest.approx(np.sum(x * y), rel=1e-10)
    if np.linalg.matrix_rank(dense(A)) < x.size:
        outside = y + 1e-3 * (constraint.prox(rng.standard_normal(x.shape)) - x)
        assert constraint.conjugate(outside) == np.inf
        assert np.allclose(constraint.project_dual(outside), y, atol=1e-12)


def as_cvxpy(name, x):
    groups = [x[3 * k : 3 * k + 3] for k in range(10)]
    return {
        "l1": lambda: cvxpy.norm1(x),
        "linf": lambda: cvxpy.norm_inf(x),
        "groups": lambda: sum(cvxpy.norm2(g) for g in groups),
        "elastic net": lambda: cvxpy.norm1(x) + 0.3 * cvxpy.sum_squares(x) / 2,
        "ridge": lambda: cvxpy.sum_squares(x) / 2,
        "fit and l1": lambda: cvxpy.sum_squares(x - 1) / 2 + 0.5 * cvxpy.norm1(x),
    }[name]()


COMBINATIONS = {
    "l1": wp.L1(),
    "linf": wp.LInf(),
    "groups": wp.GroupL2(np.arange(30) // 3),
    "elastic net": wp.ElasticNet(1.0, 0.3),
    "ridge": wp.SquaredL2(),
    "fit and l1": wp.LeastSquares(None, np.ones(30)) + 0.5 * wp.L1(),
}


@pytest.mark.parametrize("name", COMBINATIONS)
@pytest.mark.parametrize("iterative", [False, True])
def test_minima_agree_with_cvxpy_and_are_certified(name, iterative):
    matrix = gaussian(7, 12, 30)
    truth = np.where(np.arange(30) % 9 == 0, 1.0, 0.0)
    A = O.Matrix(matrix)
    objective = COMBINATIONS[name] + wp.AffineConstraint(hidden(A) if iterative else A, matrix @ truth)
    result = wp.minimize(objective, tol=1e-6, max_iter=50_000)
    x = cvxpy.Variable(30)
    problem = cvxpy.Problem(cvxpy.Minimize(as_cvxpy(name, x)), [matrix @ x == matrix @ truth])
    problem.solve(cvxpy.CLARABEL)
    assert result.status == "converged"
    assert result.certificate.kind == "duality gap"
    assert result.objective == pytest.approx(problem.value, rel=3e-6)
    # The bound is below the minimum, as an interior point method knows it to its own accuracy.
    assert result.certificate.lower_bound <= problem.value * (1 + 1e-7)
    assert np.linalg.norm(matrix @ result.x - matrix @ truth) <= 1e-11
    assert wp.verify(objective, result).relative <= 1e-6


def test_basis_pursuit_in_single_precision(rng):
    matrix = gaussian(8, 12, 30).astype(np.float32)
    truth = np.where(np.arange(30) % 9 == 0, 1.0, 0.0).astype(np.float32)
    result = wp.minimize(wp.L1() + wp.AffineConstraint(O.Matrix(matrix), matrix @ truth), tol=1e-4)
    assert result.x.dtype == np.float32
    assert np.allclose(result.x, truth, atol=1e-3)


def test_smooth_terms_are_minimised_by_projected_gradients(rng):
    matrix, fit = gaussian(9, 4, 9), gaussian(10, 15, 9)
    b, data = rng.standard_normal(4), rng.standard_normal(15)
    objective = wp.LeastSquares(O.Matrix(fit), data) + wp.AffineConstraint(O.Matrix(matrix), b)
    result = wp.minimize(objective, tol=1e-10)
    system = np.block([[fit.T @ fit, matrix.T], [matrix, np.zeros((4, 4))]])
    expected = np.linalg.solve(system, np.concatenate([fit.T @ data, b]))[:9]
    assert result.plan.solver == "fista"
    assert np.allclose(result.x, expected, atol=1e-8)


def nearest_by_slsqp(A, b, z):
    problem = {"type": "eq", "fun": lambda x: A @ x - b, "jac": lambda x: A}
    return scipy.optimize.minimize(
        lambda x: 0.5 * np.sum((x - z) ** 2),
        np.zeros(z.size),
        jac=lambda x: x - z,
        constraints=[problem],
        method="SLSQP",
        options={"ftol": 1e-14},
    ).x


def test_the_projection_against_a_general_solver(rng):
    A, z = gaussian(11, 2, 5), rng.standard_normal(5)
    b = rng.standard_normal(2)
    point = wp.AffineConstraint(O.Matrix(A), b).prox(z)
    assert np.allclose(point, nearest_by_slsqp(A, b, z), atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99), st.sampled_from([1e-6, 1.0, 1e6]))
def test_projections_of_all_shapes_and_scales(rows, columns, seed, scale):
    A = scale * gaussian(seed, rows, columns)
    x, z = np.random.default_rng(seed).standard_normal((2, columns))
    for operator in (O.Matrix(A), hidden(O.Matrix(A))):
        constraint = wp.AffineConstraint(operator, A @ x)
        point = constraint.prox(z)
        assert constraint(point) == 0.0
        # What was subtracted is orthogonal to all directions within the set.
        assert abs(np.dot(z - point, point - x)) <= 1e-9 * (1 + np.dot(x, x) + np.dot(z, z))


PENALTIES = {
    "binary": (wp.BinaryPenalty(), [-1.0, 1.0]),
    "one-sided": (wp.BinaryPenalty(one_sided=True), [0.0, 1.0]),
    "ternary": (wp.TernaryPenalty(), [-1.0, 0.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("name", PENALTIES)
def test_patterns_are_recovered_from_equations(name):
    penalty, values_of_truth = PENALTIES[name]
    rng = np.random.default_rng(12)
    for scale in (1.0, 3.0):
        truth = scale * rng.choice(values_of_truth, 40)
        A = rng.standard_normal((36, 40))
        objective = penalty + wp.AffineConstraint(O.Matrix(A), A @ truth)
        values = []
        result = wp.minimize(
            objective,
            x0=rng.standard_normal(40),
            tol=1e-8,
            callback=lambda info, values=values: values.append(info.objective),
        )
        assert result.status == "stationary"
        assert result.plan.solver == "fista"
        assert np.allclose(result.x, truth, atol=1e-4 * scale)
        assert np.all(np.diff(values) <= 1e-12 * max(values))
        assert np.linalg.norm(A @ result.x - A @ truth) <= 1e-11 * scale


def test_an_eigenvector_and_an_orthogonal_matrix_from_equations():
    rng = np.random.default_rng(13)
    C = rng.standard_normal((12, 12))
    C = C + C.T
    truth = np.linalg.eigh(C)[1][:, 3]
    A = rng.standard_normal((10, 12))
    objective = wp.EigenvectorPenalty(O.Matrix(C)) + wp.AffineConstraint(O.Matrix(A), A @ truth)
    best = min(
        (wp.minimize(objective, x0=rng.standard_normal(12), tol=1e-9, max_iter=20_000) for _ in range(4)),
        key=lambda r: r.objective,
    )
    assert np.allclose(best.x, truth, atol=1e-4)

    Q = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    A = O.MatrixProduct(rng.standard_normal((4, 6)), 6)
    objective = wp.OrthogonalPenalty() + wp.AffineConstraint(A, A(Q))
    result = wp.minimize(objective, x0=np.linalg.qr(rng.standard_normal((6, 6)))[0], tol=1e-9)
    assert np.allclose(result.x.T @ result.x, np.eye(6), atol=1e-4)
    assert np.allclose(A(result.x), A(Q), atol=1e-10)


@pytest.mark.parametrize("make", [O.Matrix, lambda m: hidden(O.Matrix(m))])
def test_equations_without_a_solution(rng, make):
    with pytest.raises(ValueError, match=r"no x satisfies A x = b: the least .* of \|\|b\|\|; for noisy"):
        wp.AffineConstraint(make(gaussian(14, 8, 5)), rng.standard_normal(8))


def test_projections_that_cannot_be_computed(monkeypatch):
    badly = O.Matrix(np.diag(np.logspace(0, -4, 40)) @ np.linalg.qr(gaussian(15, 40, 40))[0])
    constraint = wp.AffineConstraint(hidden(badly), badly(np.ones(40)))
    assert constraint(constraint.prox(np.zeros(40))) == 0.0
    monkeypatch.setattr("wellposed.functionals.affine.INNER_LIMIT", 5)
    with pytest.raises(ArithmeticError, match=r"did not converge in 5 steps of .*badly conditioned"):
        constraint.prox(np.linspace(0, 1, 40))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wp.AffineConstraint(np.eye(2), np.ones(2)), TypeError, "wrap a matrix with"),
        (lambda: wp.AffineConstraint(O.Identity((2,)), np.ones(3)), ValueError, r"b has shape \(3,\)"),
        (lambda: wp.AffineConstraint(O.Identity((2,)), np.array([1, np.nan])), ValueError, "non-finite"),
        (
            lambda: wp.AffineConstraint(O.Identity((2,), domain="complex"), np.ones(2)),
            TypeError,
            "operators on real arrays",
        ),
        (lambda: O.MatrixProduct(np.ones(3), 2), ValueError, "two dimensions"),
        (lambda: O.MatrixProduct(np.ones((3, 2)), 0), ValueError, "positive sizes"),
    ],
)
def test_bad_input(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_the_flattest_point_by_brute_force():
    grid = np.linspace(-3, 3, 601)
    a, b = np.meshgrid(grid, grid, indexing="ij")
    for x, step in (((2.0, -1.5), 0.7), ((2.0, 0.1), 0.5), ((0.3, 0.2), 2.0), ((0.0, 0.0), 1.0)):
        cost = np.maximum(abs(a), abs(b)) + ((a - x[0]) ** 2 + (b - x[1]) ** 2) / (2 * step)
        k = np.unravel_index(np.argmin(cost), cost.shape)
        assert wp.LInf().prox(np.array(x), step) == pytest.approx([grid[k[0]], grid[k[1]]], abs=0.006)
