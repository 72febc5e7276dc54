"""Sums, products, multiples and stacks of operators against their matrices."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.operators.algebra import Part

Matrix = wp.operators.Matrix


@pytest.fixture
def M(rng):
    return rng.standard_normal((5, 5))


@pytest.fixture
def N(rng):
    return rng.standard_normal((5, 5))


def test_identities(M, N):
    A, B = Matrix(M), Matrix(N)
    cases = [
        (A @ B, M @ N),
        ((A @ B).T, N.T @ M.T),
        (A + B, M + N),
        (A - B, M - N),
        (-A, -M),
        (2 * A, 2 * M),
        (A * 2, 2 * M),
        (np.float32(0.5) * A, 0.5 * M),
        (3.0 * (2.0 * A), 6 * M),
        (A.gram, M.T @ M),
        (A.T.gram, M @ M.T),
        (wp.operators.stack([A, B]), np.vstack([M, N])),
    ]
    for operator, matrix in cases:
        np.testing.assert_allclose(operator.to_dense(), matrix, atol=1e-13)
        np.testing.assert_allclose(operator.T.to_dense(), matrix.T, atol=1e-13)
        assert np.linalg.norm(matrix, 2) * (1 - 1e-12) <= operator.norm()
    assert A.T.T is A


def test_norm_of_a_multiple_times_itself(M):
    A = Matrix(M)
    for scale in (0.3, 30.0):
        true = scale * np.linalg.norm(M @ M, 2)
        assert true <= ((scale * A) @ A).norm() <= 1.01 * true
        assert ((scale * A) @ A.T).norm() >= scale * np.linalg.norm(M @ M.T, 2) * (1 - 1e-12)
    assert A.gram.norm() == pytest.approx(np.linalg.norm(M, 2) ** 2)


def test_normal_equation_of_a_multiple(M, rng):
    y = rng.standard_normal(5)
    expected = np.linalg.solve(np.eye(5) + 0.7 * 9 * M.T @ M, y)
    np.testing.assert_allclose((-3 * Matrix(M)).solve_normal(0.7, y), expected, atol=1e-12)


def test_stack_splits_its_result(rng):
    A, B = wp.operators.Gradient((3, 4)), wp.operators.Identity((3, 4))
    S = wp.operators.stack([A, B])
    x = rng.standard_normal((3, 4))
    first, second = S.split(S(x))
    np.testing.assert_array_equal(first, A(x))
    np.testing.assert_array_equal(second, x)


def test_parts_put_together_are_the_whole(rng):
    shapes = [(2, 3), (4,), (1, 1)]
    z = rng.standard_normal(11)
    parts = [Part(shapes, k) for k in range(3)]
    np.testing.assert_array_equal(np.concatenate([P(z).reshape(-1) for P in parts]), z)
    np.testing.assert_array_equal(sum(P.T(P(z)) for P in parts), z)
    with pytest.raises(ValueError, match="index must be from 0 to 2"):
        Part(shapes, -1)


def test_what_does_not_fit_is_refused(M):
    A = Matrix(M)
    F = wp.operators.FourierTransform((5,))
    with pytest.raises(ValueError, match="do not fit: \\(5,\\) comes out, \\(4,\\) is taken"):
        wp.operators.Identity((4,)) @ A
    with pytest.raises(ValueError, match="do not fit: their shapes differ"):
        A + wp.operators.Identity((4,))
    with pytest.raises(ValueError, match=r"gives complex arrays, .* takes real ones"):
        A @ F
    with pytest.raises(ValueError, match=r"gives real arrays, .* takes complex ones"):
        F.T @ A
    with pytest.raises(ValueError, match="added operators must be all real or all complex"):
        A + F
    with pytest.raises(ValueError, match="stacked operators must be all real or all complex"):
        wp.operators.stack([A, F])
    with pytest.raises(ValueError, match="at least one"):
        wp.operators.stack([])
    with pytest.raises(ValueError, match="must share one domain"):
        wp.operators.stack([A, wp.operators.Identity((4,))])
    with pytest.raises(ValueError, match="cannot be multiplied by nan"):
        float("nan") * A


def test_arrays_are_no_factors(M):
    with pytest.raises(TypeError):
        np.ones(5) * Matrix(M)
    with pytest.raises(TypeError):
        Matrix(M) @ np.ones(5)
    with pytest.raises(TypeError):
        1j * Matrix(M)


def test_output_may_not_overlap_the_input():
    x = np.ones((4, 4))
    with pytest.raises(ValueError, match="overlaps its input"):
        wp.operators.Identity((4, 4))(x, x)
    wide = np.ones((4, 8))
    with pytest.raises(ValueError, match="must be C-contiguous"):
        wp.operators.Identity((4, 4))(x, wide[:, ::2])


def test_output_of_another_library_is_refused():
    import array_api_strict

    with pytest.raises(TypeError, match="arrays of two libraries"):
        wp.operators.Identity((4,))(np.ones(4), array_api_strict.ones(4))
