"""Diagonal operators and the Fourier transform."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

import wellposed as wp

O = wp.operators


def test_identity_gives_a_copy():
    x = np.ones(3)
    y = O.Identity((3,))(x)
    y[0] = 5
    assert x[0] == 1


def test_mask_is_a_projection(rng):
    mask = rng.uniform(size=(4, 5)) < 0.5
    x = rng.standard_normal((4, 5))
    M = O.Mask(mask)
    np.testing.assert_array_equal(M(x), np.where(mask, x, 0))
    np.testing.assert_array_equal(M(M(x)), M(x))
    np.testing.assert_array_equal(M.mask, mask)
    assert M.T is M
    assert M.norm() == 1.0
    assert O.Mask(np.zeros((2, 2), bool)).norm() == 0.0
    np.testing.assert_array_equal(O.Mask(mask.astype(int))(x), M(x))


def test_weights_of_another_library_meet_only_their_own():
    weights = array_api_strict.asarray([1.0, 2.0])
    A = O.Diagonal(weights)
    assert np.asarray(A(array_api_strict.ones(2))).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="arrays of two libraries"):
        A(np.ones(2))


def test_norms_are_found_where_the_weights_live():
    A = O.Diagonal(array_api_strict.asarray([1.0, -2.0, 0.5]))
    B = A @ O.Diagonal(array_api_strict.asarray([0.25, 1.0, 3.0]))
    assert 2.0 * (1 - 1e-12) <= B.norm() <= 2.0001


def test_bad_weights():
    with pytest.raises(ValueError, match="for weights use Diagonal"):
        O.Mask(np.array([0.5, 1.0]))
    with pytest.raises(ValueError, match="weights has 1 non-finite entries"):
        O.Diagonal([1.0, np.nan])
    with pytest.raises(ValueError, match="domain must be 'real' or 'complex'"):
        O.Mask([True], domain="quaternion")


@pytest.mark.parametrize("axes", [None, (0,), (1,), (1, 0)])
def test_fourier_transform(axes, rng):
    x = rng.standard_normal((5, 6))
    F = O.FourierTransform((5, 6), axes=axes)
    np.testing.assert_allclose(F(x), np.fft.fftn(x, axes=axes or (0, 1), norm="ortho"), atol=1e-14)
    np.testing.assert_allclose(F.inverse(F(x)), x, atol=1e-14)
    C = O.FourierTransform((5, 6), domain="complex", axes=axes)
    np.testing.assert_allclose(C(C.inverse(x)), x, atol=1e-14)
    np.testing.assert_allclose(C(1j * x), 1j * F(x), atol=1e-14)


def test_bad_fourier_arguments():
    with pytest.raises(ValueError, match="domain must be 'real' or 'complex'"):
        O.FourierTransform((4,), domain="x")
    with pytest.raises(ValueError, match="axes must be different numbers from 0 to 0"):
        O.FourierTransform((4,), axes=(1,))


@pytest.mark.parametrize("shape", [(), (0,), (3, -1)])
def test_bad_shapes(shape):
    with pytest.raises(ValueError, match="shape must hold positive sizes"):
        O.Identity(shape)
    with pytest.raises(TypeError, match="shape must be a tuple of integers"):
        O.Identity("ab")


def test_names():
    assert set(O.__all__) == set(O._HOME)
    for name in O.__all__:
        assert getattr(O, name).__name__ in (name, "Matrix")
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = O.Nothing
