"""Cauchy-Schwarz regularisers against the formulas of the paper, their zeros and their stationary points."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp

C = np.random.default_rng(6).standard_normal((5, 5))
C = C + C.T


def power_sum(x, p):
    return np.sum(x**p)


def orthogonal_gradient(x):
    x = x.reshape(5, -1)
    return (4 * x.shape[1] * x @ x.T @ x - 4 * np.sum(x**2) * x).ravel()


# Value and gradient as the paper writes them.
FORMULAS = {
    "binary": (
        wp.BinaryPenalty(),
        4,
        lambda x: x.size * power_sum(x, 4) - power_sum(x, 2) ** 2,
        lambda x: 4 * x.size * x**3 - 4 * power_sum(x, 2) * x,
    ),
    "one-sided": (
        wp.BinaryPenalty(one_sided=True),
        6,
        lambda x: power_sum(x, 2) * power_sum(x, 4) - power_sum(x, 3) ** 2,
        lambda x: 2 * x * (power_sum(x, 4) + 2 * power_sum(x, 2) * x**2 - 3 * power_sum(x, 3) * x),
    ),
    "ternary": (
        wp.TernaryPenalty(),
        8,
        lambda x: power_sum(x, 2) * power_sum(x, 6) - power_sum(x, 4) ** 2,
        lambda x: 2 * x * (power_sum(x, 6) + 3 * power_sum(x, 2) * x**4 - 4 * power_sum(x, 4) * x**2),
    ),
    "eigenvector": (
        wp.EigenvectorPenalty(wp.operators.Matrix(C)),
        4,
        lambda x: np.sum((C @ x) ** 2) * np.sum(x**2) - (x @ C @ x) ** 2,
        lambda x: 2 * C @ C @ x * np.sum(x**2) + 2 * np.sum((C @ x) ** 2) * x - 4 * (x @ C @ x) * (C @ x),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_values_gradients_and_degree(rng, name):
    f, degree, value, gradient = FORMULAS[name]
    for x in rng.standard_normal((5, 5)):
        assert f(x) == pytest.approx(value(x))
        assert np.allclose(f.gradient(x), gradient(x))
        assert f(1.7 * x) == pytest.approx(1.7**degree * f(x))


def test_orthogonal_matrices(rng):
    f = wp.OrthogonalPenalty()
    x = rng.standard_normal((5, 3))
    gram = x.T @ x
    assert f(x) == pytest.approx(3 * np.sum(gram**2) - np.sum(x**2) ** 2)
    assert np.allclose(f.gradient(x).ravel(), orthogonal_gradient(x.ravel()))
    q = 2.5 * np.linalg.qr(x)[0]
    assert f(q) <= 1e-25
    assert np.allclose(f.gradient(q), 0, atol=1e-12)
    with pytest.raises(ValueError, match="takes a matrix"):
        f(np.ones(3))


def test_zeros(rng):
    signs, bits = rng.choice([-3.0, 3.0], 50), rng.choice([0.0, 3.0], 50)
    trits = rng.choice([-0.2, 0.0, 0.2], 50)
    assert wp.BinaryPenalty()(signs) == 0.0
    assert wp.BinaryPenalty()(bits) > 1
    assert wp.BinaryPenalty(one_sided=True)(bits) <= 1e-20
    assert wp.BinaryPenalty(one_sided=True)(-bits) <= 1e-20
    assert wp.BinaryPenalty(one_sided=True)(signs) > 1
    for x in (trits, bits, signs):
        assert wp.TernaryPenalty()(x) <= 1e-20
    values, vectors = np.linalg.eigh(C)
    f = wp.EigenvectorPenalty(wp.operators.Matrix(C))
    assert all(f(-2 * v) <= 1e-24 for v in vectors.T)
    assert f(vectors[:, 0] + vectors[:, 1]) == pytest.approx((values[0] - values[1]) ** 2)
    for g in (wp.BinaryPenalty(), wp.TernaryPenalty(), wp.BinaryPenalty(True)):
        assert g(np.zeros(4)) == 0.0
        assert np.array_equal(g.gradient(np.zeros(4)), np.zeros(4))


def test_values_near_a_minimum_do_not_cancel():
    # Second order: 4 N sum (d - mean d)^2 for signs of size 1; as a difference of sums it has no digit right.
    d = 1e-9 * np.random.default_rng(1).standard_normal(100)
    expected = 400 * np.sum((d - d.mean()) ** 2)
    assert wp.BinaryPenalty()(1 + d) == pytest.approx(expected, rel=1e-5)


def test_stationary_points_of_the_binary_penalty(rng):
    f = wp.BinaryPenalty()
    for x0 in rng.standard_normal((5, 12)):
        result = wp.minimize(f, x0=x0, tol=1e-10)
        assert result.status == "stationary"
        assert np.ptp(np.abs(result.x)) <= 1e-3 * np.max(np.abs(result.x))
    mixed = np.array([1.0, -1.0, 0.0])
    assert np.linalg.norm(f.gradient(mixed)) > 1


def test_signs_from_few_measurements(rng):
    """Least squares alone leaves a subspace; with the penalty the signs are found."""
    truth = rng.choice([-1.0, 1.0], 40)
    A = rng.standard_normal((34, 40)) / 6
    fit = wp.LeastSquares(wp.operators.Matrix(A), A @ truth)
    found = []
    for x0 in rng.standard_normal((4, 40)):
        result = wp.minimize(20 * fit + 1e-3 * wp.BinaryPenalty(), x0=x0, tol=1e-8, max_iter=20_000)
        assert result.status == "stationary"
        found.append(np.linalg.norm(result.x - truth) / np.linalg.norm(truth))
    assert min(found) < 1e-3


def test_bad_input():
    with pytest.raises(TypeError, match="C must be a LinearOperator, got ndarray"):
        wp.EigenvectorPenalty(C)
    with pytest.raises(ValueError, match="only a square operator has eigenvectors"):
        wp.EigenvectorPenalty(wp.operators.Matrix(C[:3]))
    with pytest.raises(TypeError, match="has no proximal map"):
        wp.BinaryPenalty().prox(np.ones(3))


def test_bits_of_several_magnitudes(rng):
    f = wp.BinaryPenalty(magnitudes=[1.0, 2.0])
    K = 1 + 16
    for Y in rng.standard_normal((4, 7, 2)):
        inner = np.sum(Y[:, 0] ** 2) + 4 * np.sum(Y[:, 1] ** 2)
        assert f(Y) == pytest.approx(K * 7 * np.sum(Y**4) - inner**2)
        weighted = np.array([1, 4]) * inner
        assert np.allclose(f.gradient(Y), 4 * Y * (K * 7 * Y**2 - weighted))
    assert f(3.0 * np.array([[1.0, -2.0], [-1.0, 2.0]])) == 0.0
    assert f(np.array([[2.0, 1.0], [2.0, 1.0]])) > 0.0


def test_two_bits_are_found_from_equations():
    rng = np.random.default_rng(3)
    levels = rng.choice([-3.0, -1.0, 1.0, 3.0], 10)
    A = rng.standard_normal((9, 10))
    # The bits of each entry stand side by side, and A acts on their sum.
    equations = wp.AffineConstraint(wp.operators.Matrix(np.repeat(A, 2, axis=1), (10, 2)), A @ levels)
    objective = wp.BinaryPenalty(magnitudes=[1.0, 2.0]) + equations
    runs = (
        wp.minimize(objective, x0=rng.standard_normal((10, 2)), tol=1e-8, max_iter=5000) for _ in range(30)
    )
    best = min(runs, key=lambda r: r.objective)
    assert np.allclose(best.x.sum(axis=1), levels, atol=1e-3)


def test_magnitudes_are_checked():
    with pytest.raises(ValueError, match="must be positive"):
        wp.BinaryPenalty(magnitudes=[1.0, 0.0])
    with pytest.raises(ValueError, match="not with one_sided"):
        wp.BinaryPenalty(True, magnitudes=[1.0, 2.0])
