"""The undecimated wavelet transform against PyWavelets' stationary transform."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import pywt

import wellposed as wp

UndecimatedWavelet = wp.operators.UndecimatedWavelet


def peer(x, name, level, axes):
    """PyWavelets' coefficients in the order of the operator."""
    coarse, *details = pywt.swtn(x, name, level, axes=axes, trim_approx=True, norm=True)
    keys = ["".join(letters) for letters in itertools.product("ad", repeat=len(axes))][1:]
    return np.array([coarse, *(bands[key] for bands in details for key in keys)])


@pytest.mark.parametrize(
    ("shape", "name", "level", "axes"),
    [
        ((16,), "haar", 3, (0,)),
        ((16,), "db3", 2, (0,)),
        ((8, 12), "db2", 2, (0, 1)),
        ((8, 4), "bior2.2", 1, (0, 1)),
        ((16, 8), "bior4.4", 2, (1, 0)),
        ((3, 8, 16), "sym4", 2, (1, 2)),
        ((4, 6, 8), "coif1", 1, (0, 1, 2)),
    ],
)
@pytest.mark.filterwarnings("ignore:norm=True, but the wavelets used are not orthogonal")
def test_against_the_peer(shape, name, level, axes, rng):
    W = UndecimatedWavelet(shape, name, level, axes=axes)
    x = rng.standard_normal(shape)
    np.testing.assert_allclose(W(x), peer(x, name, level, axes), atol=1e-12)
    dense = W.to_dense()
    np.testing.assert_allclose(W.T.to_dense(), dense.T, atol=1e-13)
    np.testing.assert_allclose(W.norm(), np.linalg.norm(dense, 2), rtol=1e-10)
    assert W(x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("name", ["haar", "db4", "sym8", "coif2"])
def test_orthogonal_wavelets_make_a_parseval_frame(name, rng):
    W = UndecimatedWavelet((16, 24), name, 3)
    x = rng.standard_normal((16, 24))
    np.testing.assert_allclose(W.T(W(x)), x, atol=1e-9)
    np.testing.assert_allclose(W.norm(), 1.0, rtol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(W(x)), np.linalg.norm(x), rtol=1e-9)


def test_commutes_with_shifts(rng):
    W = UndecimatedWavelet((8, 12), "db2", 2)
    x = rng.standard_normal((8, 12))
    shifted = np.roll(x, (3, -5), (0, 1))
    np.testing.assert_allclose(W(shifted), np.roll(W(x), (3, -5), (1, 2)), atol=1e-13)


def test_scales():
    W = UndecimatedWavelet((8, 16), "haar", 2)
    assert W.scales.tolist() == [0, 2, 2, 2, 1, 1, 1]
    np.testing.assert_allclose(W(np.ones((8, 16)))[W.scales > 0], 0, atol=1e-14)
    checkers = np.indices((8, 16)).sum(axis=0) % 2 - 0.5
    np.testing.assert_allclose(W(checkers)[W.scales != 1], 0, atol=1e-14)


def test_denoises_better_than_the_decimated_transform(rng):
    truth = np.zeros((32, 32))
    truth[5:20, 9:25] = 1.0
    b = truth + 0.15 * rng.standard_normal(truth.shape)
    errors = []
    for W, size in (
        (wp.operators.Wavelet((32, 32), "haar", 3), 1.0),
        (UndecimatedWavelet((32, 32), "haar", 3), 0.5),
    ):
        # In a Parseval frame the noise of a band halves with each level; approximations go free.
        noise = np.where(W.scales > 0, size ** W.scales.astype(float), 0.0)
        l1 = wp.L1(noise[:, None, None] if noise.ndim == 1 else noise)
        best = np.inf
        for weight in (0.15, 0.25, 0.4, 0.6):
            result = wp.minimize(wp.LeastSquares(None, b) + weight * (l1 @ W), tol=1e-3)
            assert result.certificate.relative <= 1e-3
            best = min(best, np.linalg.norm(result.x - truth))
        errors.append(best)
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((16,), "nothing", 1), "'nothing' is no discrete wavelet"),
        (((16,), "haar", 0), "level must be from 1 to 4, got 0"),
        (((16,), "haar", 1.5), "level must be from 1 to 4, got 1.5"),
        (((24, 16), "haar", 4), r"level must be from 1 to 3, got 4; the sizes \[24, 16\] must be multiples"),
        (((15,), "haar", 1), r"the sizes \[15\] must be multiples of 2\*\*level: pad or crop"),
        (((16,), "haar", 1, (1,)), "axes must be different numbers from 0 to 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        UndecimatedWavelet(*arguments)
