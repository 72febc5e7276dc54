"""Matrices and adapters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator, lsqr, svds

import wellposed as wp
from wellposed.operators import matrices

Matrix = wp.operators.Matrix


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5), (1, 6)])
@pytest.mark.parametrize("kind", [float, complex])
def test_normal_equation_and_norm_of_a_dense_matrix(shape, kind, rng):
    M = rng.standard_normal(shape).astype(kind)
    if kind is complex:
        M += 1j * rng.standard_normal(shape)
    y = rng.standard_normal(shape[1]).astype(kind)
    A = Matrix(M)
    for tau in (1e-8, 1.0, 1e8):
        expected = np.linalg.solve(np.eye(shape[1]) + tau * M.conj().T @ M, y)
        np.testing.assert_allclose(A.solve_normal(tau, y), expected, atol=1e-6 if tau > 1 else 1e-12)
    assert A.norm() == pytest.approx(np.linalg.norm(M, 2))


def test_large_matrices_are_not_decomposed(monkeypatch, rng):
    monkeypatch.setattr(matrices, "DECOMPOSE_BELOW", 3)
    M = rng.standard_normal((30, 40))
    A = Matrix(M)
    assert not A.has_solve_normal
    assert np.linalg.norm(M, 2) <= A.norm() <= 1.05 * np.linalg.norm(M, 2)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "lil", "dia"])
@pytest.mark.parametrize("stored", [True, False])
def test_sparse_matrices(layout, stored, rng, monkeypatch):
    if not stored:
        monkeypatch.setattr(matrices, "TRANSPOSE_BELOW", 0)
    S = scipy.sparse.random_array((40, 30), density=0.1, rng=rng, format=layout)
    A = Matrix(S, (5, 6), (8, 5))
    x, y = rng.standard_normal((5, 6)), rng.standard_normal((8, 5))
    np.testing.assert_allclose(A(x), (S @ x.reshape(-1)).reshape(8, 5), atol=1e-14)
    np.testing.assert_allclose(A.T(y), (S.T @ y.reshape(-1)).reshape(5, 6), atol=1e-14)
    assert A(x.astype(np.float32)).dtype == A.T(y.astype(np.float32)).dtype == np.float32
    assert svds(S.tocsr(), k=1, return_singular_vectors=False)[0] <= A.norm()


def test_single_precision_runs_in_single_precision():
    S = scipy.sparse.eye_array(4, dtype=np.float32)
    A = Matrix(S)
    A.T(A(np.ones(4, np.float32)))
    assert {matrix.dtype for matrix in A._by_dtype.values()} == {np.dtype(np.float32)}


def test_the_given_matrix_stays_as_it_is(rng):
    S = scipy.sparse.random_array((6, 6), density=0.4, rng=rng, format="coo")
    data = S.data.copy()
    Matrix(S).T(np.ones(6))
    np.testing.assert_array_equal(S.data, data)
    locked = rng.standard_normal((3, 3))
    locked.flags.writeable = False
    np.testing.assert_array_equal(Matrix(locked)(np.ones(3)), locked @ np.ones(3))


def test_integer_matrices_become_double():
    assert Matrix(np.eye(3, dtype=int))(np.ones(3)).dtype == np.float64
    assert Matrix(scipy.sparse.eye_array(3, dtype=int))(np.ones(3)).dtype == np.float64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3),), "a matrix has two dimensions, got shape \\(3,\\)"),
        ((np.ones((2, 3)), (4,)), "takes 3 entries and gives 2: domain_shape \\(4,\\)"),
        ((np.array([[1.0, np.inf]]),), "matrix has 1 non-finite entries .* at index \\(0, 1\\)"),
        ((scipy.sparse.csr_array(np.array([[1.0, np.nan]])),), "the sparse matrix has 1 non-finite entries"),
    ],
)
def test_bad_matrices(arguments, message):
    with pytest.raises(ValueError, match=message):
        Matrix(*arguments)


def test_complex_sparse_matrices_are_refused():
    with pytest.raises(TypeError, match="must hold real numbers"):
        Matrix(scipy.sparse.eye_array(3, dtype=complex))


def test_there_and_back_through_scipy(rng):
    D = wp.operators.Gradient((4, 3))
    back = wp.operators.from_scipy(D.to_scipy(), (4, 3), (2, 4, 3))
    x, y = rng.standard_normal((4, 3)), rng.standard_normal((2, 4, 3))
    np.testing.assert_array_equal(back(x), D(x))
    np.testing.assert_array_equal(back.T(y), D.T(y))
    assert back(x.astype(np.float32)).dtype == np.float32


def test_scipy_solves_with_an_operator(rng):
    A = Matrix(rng.standard_normal((8, 5)))
    x = rng.standard_normal(5)
    np.testing.assert_allclose(lsqr(A.to_scipy(), A(x), atol=1e-12, btol=1e-12)[0], x, atol=1e-8)
    np.testing.assert_allclose(aslinearoperator(A.to_scipy()) @ np.eye(5, dtype=int), A.matrix, atol=1e-14)


def test_scipy_view_in_single_precision_and_complex():
    assert wp.operators.Identity((3,)).to_scipy(np.float32).matvec(np.ones(3)).dtype == np.float32
    F = wp.operators.FourierTransform((4,)).to_scipy(np.float32)
    assert F.dtype == np.complex64
    with pytest.raises(ValueError, match="takes real arrays"):
        F.matvec(np.ones(4) * 1j)


def test_shapes_of_pylops_operators_are_known():
    class Named:
        dims, dimsd, shape, dtype = (2, 3), (3, 2), (6, 6), np.dtype(float)

        def matvec(self, x):
            return x.reshape(2, 3).T.reshape(-1)

        def rmatvec(self, y):
            return y.reshape(3, 2).T.reshape(-1)

    A = wp.operators.from_scipy(Named())
    x = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(A(x), x.T)
    np.testing.assert_array_equal(A.T(A(x)), x)


@pytest.mark.parametrize("scale", [0.0, 1e-200, 1.0, 1e200])
@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (1, 5)])
def test_the_norm_of_a_dense_matrix_is_its_largest_singular_value(shape, scale, rng):
    """At sizes whose squares overflow or vanish, too."""
    for M in (rng.standard_normal(shape), rng.standard_normal(shape) + 1j * rng.standard_normal(shape)):
        A = wp.operators.Matrix(scale * M)
        assert A.norm() == pytest.approx(scale * np.linalg.norm(M, 2), rel=1e-12)
