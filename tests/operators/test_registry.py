"""Every operator keeps the promises of an operator, in each library and dtype."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from wellposed import arrays

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def random_array(rng, shape, complex_wanted, dtype=np.float64):
    x = rng.standard_normal(shape)
    if complex_wanted:
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(np.result_type(dtype, np.complex64) if complex_wanted else dtype)


def real_matrix(A):
    """The matrix of a (real-linear) operator on the real and imaginary parts of its input and output."""
    columns = []
    for part in (1, 1j) if A.complex_domain else (1,):
        for k in range(A.shape[1]):
            unit = np.zeros(A.shape[1], complex if A.complex_domain else float)
            unit[k] = part
            y = A(unit.reshape(A.domain_shape)).reshape(-1)
            columns.append(np.concatenate([y.real, y.imag]) if A.complex_range else y)
    return np.array(columns).T


@pytest.fixture
def A(entry):
    return entry.make()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_adjoint(A, rng, dtype):
    x = random_array(rng, A.domain_shape, A.complex_domain, dtype)
    y = random_array(rng, A.range_shape, A.complex_range, dtype)
    left, right = arrays.inner(A(x), y), arrays.inner(x, A.T(y))
    scale = max(A.norm(), 1e-300) * arrays.norm(x) * arrays.norm(y)
    assert abs(left - right) <= TOLERANCE[np.dtype(dtype)] * scale


def test_adjoint_of_every_entry(A):
    np.testing.assert_allclose(real_matrix(A.T), real_matrix(A).T, atol=1e-12 * max(A.norm(), 1.0))


def test_norm_is_an_upper_bound_and_not_far_off(A, entry):
    true = np.linalg.norm(real_matrix(A), 2)
    assert true * (1 - 1e-12) <= A.norm() <= true * entry.slack * (1 + 1e-7) + 1e-15
    assert A.T.norm() == A.norm()


def test_normal_equation(A, rng):
    x = random_array(rng, A.domain_shape, A.complex_domain)
    if not A.has_solve_normal:
        with pytest.raises(TypeError, match="no closed form"):
            A.solve_normal(1.0, x)
        return
    for tau in (0.0, 0.3, 30.0):
        z = A.solve_normal(tau, x)
        np.testing.assert_allclose(z + tau * A.T(A(z)), x, atol=1e-11 * (1 + tau * A.norm() ** 2))
        assert A.solve_normal(np.float64(tau), x.astype(np.float32) if x.dtype == float else x).dtype in (
            np.float32,
            np.complex128,
        )
    with pytest.raises(ValueError, match="tau must be finite and at least 0"):
        A.solve_normal(-1.0, x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_kept(A, rng, dtype):
    x = random_array(rng, A.domain_shape, A.complex_domain, dtype)
    y = random_array(rng, A.range_shape, A.complex_range, dtype)
    assert A(x).dtype == y.dtype
    assert A.T(y).dtype == x.dtype


def test_output_in_place(A, rng):
    x = random_array(rng, A.domain_shape, A.complex_domain)
    y = random_array(rng, A.range_shape, A.complex_range)
    forward, backward = np.full_like(y, np.nan), np.full_like(x, np.nan)
    assert A(x, forward) is forward
    assert A.T(y, out=backward) is backward
    np.testing.assert_array_equal(forward, A(x))
    np.testing.assert_array_equal(backward, A.T(y))


def test_input_is_left_alone_and_may_be_read_only_or_scattered(A, rng):
    x = random_array(rng, A.domain_shape, A.complex_domain)
    expected, copy = A(x), x.copy()
    np.testing.assert_array_equal(x, copy)
    x.flags.writeable = False
    np.testing.assert_array_equal(A(x), expected)
    scattered = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::2]
    scattered[...] = x
    np.testing.assert_array_equal(A(scattered), expected)
    np.testing.assert_array_equal(A(np.asfortranarray(x)), expected)
    y = random_array(rng, A.range_shape, A.complex_range)
    expected, copy = A.T(y), y.copy()
    np.testing.assert_array_equal(y, copy)
    y.flags.writeable = False
    np.testing.assert_array_equal(A.T(y), expected)


def test_integers_become_double(A):
    x = np.arange(A.shape[1]).reshape(A.domain_shape)
    np.testing.assert_array_equal(A(x), A(x.astype(np.float64)))


def test_wrong_shapes_are_refused(A):
    with pytest.raises(ValueError, match="takes arrays of shape"):
        A(np.ones((*A.domain_shape, 2)))
    with pytest.raises(ValueError, match="takes arrays of shape"):
        A.T(np.ones((*A.range_shape, 2)))


def test_wrong_outputs_are_refused(A):
    x = np.ones(A.domain_shape)
    kind = np.complex128 if A.complex_range else np.float64
    with pytest.raises(ValueError, match="needs an out of shape"):
        A(x, np.empty((*A.range_shape, 2), kind))
    with pytest.raises(ValueError, match="needs an out of shape"):
        A(x, np.empty(A.range_shape, np.float16))
    locked = np.empty(A.range_shape, kind)
    locked.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        A(x, locked)


def test_complex_input_of_a_real_operator_is_refused(A):
    if not A.complex_domain:
        with pytest.raises(TypeError, match="must be float32 or float64"):
            A(np.ones(A.domain_shape, np.complex128))


def check_same_in(A, rng, convert, back, dtype):
    x = random_array(rng, A.domain_shape, A.complex_domain, dtype)
    y = random_array(rng, A.range_shape, A.complex_range, dtype)
    there_x, there_y = convert(x), convert(y)
    results = [(A(there_x), A(x)), (A.T(there_y), A.T(y))]
    if A.has_solve_normal:
        results.append((A.solve_normal(0.5, there_x), A.solve_normal(0.5, x)))
    forward = convert(np.zeros_like(y))
    A(there_x, forward)
    results.append((forward, A(x)))
    for got, expected in results:
        assert type(got) is type(there_x)
        assert back(got).dtype == expected.dtype
        scale = max(float(np.abs(expected).max()), A.norm() * float(np.abs(x).max()))
        np.testing.assert_allclose(back(got), expected, rtol=0, atol=4 * TOLERANCE[np.dtype(dtype)] * scale)
    np.testing.assert_array_equal(back(there_x), x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_strict_array_api(A, rng, dtype):
    check_same_in(A, rng, array_api_strict.asarray, np.asarray, dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_torch(A, rng, dtype):
    torch = pytest.importorskip("torch")
    check_same_in(A, rng, lambda a: torch.from_numpy(a.copy()), lambda t: t.numpy(), dtype)


def test_to_scipy(A, rng):
    S = A.to_scipy()
    x = random_array(rng, A.domain_shape, A.complex_domain)
    y = random_array(rng, A.range_shape, A.complex_range)
    assert S.shape == A.shape
    np.testing.assert_array_equal(S.matvec(x.reshape(-1)), A(x).reshape(-1))
    np.testing.assert_array_equal(S.rmatvec(y.reshape(-1)), A.T(y).reshape(-1))
    assert repr(A)
