"""Wavelet transforms against PyWavelets' own and against their matrices."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

import wellposed as wp

Wavelet = wp.operators.Wavelet
CASES = [
    ((16,), "haar", None, None),
    ((64,), "db4", None, None),
    ((32, 16), "db2", None, None),
    ((32,), "bior2.2", None, None),
    ((32, 24), "bior4.4", 1, None),
    ((16, 16), "rbio1.3", 1, None),
    ((3, 16, 16), "sym2", 2, (1, 2)),
    ((16, 3, 16), "bior1.3", 1, (2, 0)),
    ((8, 8, 4), "haar", 2, None),
]


@pytest.mark.parametrize(("shape", "name", "level", "axes"), CASES)
def test_transform(shape, name, level, axes, rng):
    W = Wavelet(shape, name, level, axes=axes)
    x = rng.standard_normal(shape)
    coefficients = pywt.wavedecn(x, name, mode="periodization", level=W.level, axes=W.axes)
    np.testing.assert_allclose(W(x), pywt.coeffs_to_array(coefficients, axes=W.axes)[0], atol=1e-14)
    np.testing.assert_allclose(W.inverse(W(x)), x, atol=1e-10)
    np.testing.assert_allclose(W(W.inverse(x)), x, atol=1e-10)
    np.testing.assert_allclose(W.T.to_dense(), W.to_dense().T, atol=1e-14)
    np.testing.assert_allclose(W.inverse.T.to_dense(), W.inverse.to_dense().T, atol=1e-14)
    assert W(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", ["haar", "db4", "db20", "sym9", "coif2", "coif5", "bior1.1"])
def test_orthonormal_wavelets(name):
    W = Wavelet((256,), name, 1)
    assert W.orthonormal
    assert W.norm() == 1.0
    M = W.to_dense()
    np.testing.assert_allclose(M.T @ M, np.eye(256), atol=1e-9)


def test_biorthogonal_wavelets_know_that_they_are_not_orthonormal():
    W = Wavelet((32, 48), "bior4.4", 1)
    assert not W.orthonormal
    true = np.linalg.norm(W.to_dense(), 2)
    assert true <= W.norm() <= 1.03 * true


def test_meyer_filters_are_neither_orthonormal_nor_invertible():
    W = Wavelet((128,), "dmey", 1)
    assert not W.orthonormal
    with pytest.raises(TypeError, match="do not reconstruct"):
        _ = W.inverse


def test_scales():
    W = Wavelet((8, 4), "haar", 2)
    assert W.scales.tolist()[:3] == [[0, 2, 1, 1], [0, 2, 1, 1], [2, 2, 1, 1]]
    assert np.bincount(W.scales.reshape(-1)).tolist() == [2, 24, 6]
    coarse = W(np.ones((8, 4)))
    np.testing.assert_allclose(coarse[W.scales > 0], 0, atol=1e-14)
    checkers = np.indices((8, 4)).sum(axis=0) % 2
    np.testing.assert_allclose(W(checkers - 0.5)[W.scales != 1], 0, atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((16,), "nothing"), "'nothing' is no discrete wavelet"),
        (((16,), "morl"), "'morl' is no discrete wavelet"),
        (((16,), "haar", 5), "level must be from 1 to 4 .* take a shorter wavelet"),
        (((16,), "haar", 0), "level must be from 1 to 4"),
        (((24,), "haar", 4), "level must be from 1 to 3 .* halve 3 times only"),
        (((15,), "haar"), "level cannot be found .* pad or crop to multiples"),
        (((16,), "haar", 1, "symmetric"), "mode must be 'periodization'"),
        (((16,), "haar", 1, "periodization", (1,)), "axes must be different numbers from 0 to 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Wavelet(*arguments)
