"""Shearlets against the published construction, step by step in space, and as a frame."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import convolve2d
from skimage import data, transform

import wellposed as wp

Shearlets = wp.operators.Shearlets

# --- the construction of ShearLab in space, with rolled rows and zeros between samples -------------

HALF = [0.0104933261758410, -0.0263483047033631, -0.0517766952966370, 0.276348304703363]
LOW = np.array([*HALF, 0.582566738241592, *HALF[::-1]])


def to_waves(a):
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(a)))


def from_waves(a):
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(a))).real


def spread(a):
    wide = np.zeros(2 * len(a) - 1)
    wide[::2] = a
    return wide


def centred(a, shape):
    wide = np.zeros(shape)
    where = [slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(shape, a.shape, strict=True)]
    wide[tuple(where)] = a
    return wide


def fan():
    m, k = 1 / np.sqrt(2), 1 - np.sqrt(2)
    outer, middle, centre = np.array([k * m / 4, m / 2, 1 + k * m / 2]) * m
    quarter = [[0, -5, 0, -3, 0], [-5, 0, 52, 0, 34], [0, 52, 0, -276, 0]]
    quarter = np.array([*quarter, [-3, 0, -276, 0, 1454], [0, 34, 0, 1454, 0]]) / 4096
    half = np.hstack([quarter, quarter[:, :4][:, ::-1]])
    diamond = np.vstack([half, half[:4][::-1]])
    delta = centred(np.ones((1, 1)), (17, 17))
    d = centre * delta + 2 * middle * np.pad(diamond, 4)
    d += 2 * outer * (2 * convolve2d(diamond, diamond) - delta)
    d = d / d.sum() * (-1.0) ** np.abs(np.arange(-8, 9))
    return d / np.abs(d).sum()


def wedge(shape, level, shear, cascades):
    rows, columns = shape
    fine = 2**level
    tall = np.zeros((16 * 2 * fine + 1, 17))
    tall[:: 2 * fine] = fan()
    tall = np.apply_along_axis(np.convolve, 0, tall, cascades[level])
    wide = np.zeros((rows, fine * (columns - 1) + 1))
    wide[:, ::fine] = centred(tall, shape)
    smooth = to_waves(centred(cascades[level - 1][None], wide.shape))
    wide = from_waves(to_waves(wide) * smooth)
    sheared = np.array([np.roll(row, shear * (rows // 2 - r)) for r, row in enumerate(wide)])
    sheared = from_waves(to_waves(sheared) * smooth.conj())
    return to_waves(fine * sheared[:, ::fine])


def construction(shape, levels):
    """All spectra, centred: the low-pass, then by scale, cone and shear, in the order of the operator."""
    highs, lows = [(-1.0) ** np.arange(9) * LOW], [LOW]
    for _ in levels[1:]:
        highs.append(np.convolve(LOW, spread(highs[-1])))
        lows.append(np.convolve(LOW, spread(lows[-1])))
    cascades = [LOW]
    for _ in range(max(levels)):
        cascades.append(np.convolve(LOW, spread(cascades[-1])))
    spectra = [to_waves(centred(np.outer(lows[-1], lows[-1]), shape))]
    for level, high in zip(levels, highs[::-1], strict=True):
        for flip in (False, True):
            sizes = shape[::-1] if flip else shape
            band = to_waves(centred(high[None], sizes))
            last = 2**level - flip
            for shear in range(-last, last + 1):
                found = wedge(sizes, level, -shear if flip else shear, cascades) * band.conj()
                spectra.append(found.T if flip else found)
    return np.fft.ifftshift(np.array(spectra), axes=(1, 2))


@pytest.mark.parametrize(
    ("shape", "levels", "bounds", "norms"),
    [
        ((128, 128), (1, 1), (0.08635, 1.0000007), (0.0767, 0.2494)),
        ((256, 256), (1, 1, 2, 2), (0.06694, 1.0000014), (0.02308, 0.10585)),
        ((129, 160), (1, 1), None, None),
    ],
)
def test_against_the_construction(shape, levels, bounds, norms):
    S = Shearlets(shape, len(levels), tight=False)
    expected = construction(shape, levels)
    assert np.abs(expected.imag).max() < 1e-14
    np.testing.assert_allclose(S.spectra, expected.real[:, :, : shape[1] // 2 + 1], rtol=0, atol=1e-13)
    if bounds is not None:  # as published
        assert S.frame_bounds == pytest.approx(bounds, rel=1e-3, abs=1e-7)
        assert (S.atom_norms.min(), S.atom_norms.max()) == pytest.approx(norms, rel=1e-3)
        assert S.symbol[0, 0] == pytest.approx(1.0, abs=1e-12)
    assert S.atom_norms == pytest.approx(np.sqrt((np.abs(expected) ** 2).mean(axis=(1, 2))))


# --- a frame ------------------------------------------------------------------------------------

SHAPES = [((16, 16), 3), ((17, 12), 2), ((1, 9), 3), ((8, 1), 1), ((2, 2), 1), ((31, 64), 5)]


@pytest.mark.parametrize(("shape", "scales"), SHAPES)
@pytest.mark.parametrize("tight", [True, False])
def test_frame(shape, scales, tight, rng):
    S = Shearlets(shape, scales, tight=tight)
    assert S.isometry == tight
    x = rng.standard_normal(shape)
    np.testing.assert_allclose(S.inverse(S(x)), x, rtol=0, atol=1e-12)
    low, high = S.frame_bounds
    energy = float((S(x) ** 2).sum() / (x**2).sum())
    assert low * (1 - 1e-12) <= energy <= high * (1 + 1e-12)
    if tight:
        np.testing.assert_allclose(S.T(S(x)), x, rtol=0, atol=1e-12)
        np.testing.assert_allclose((S.spectra**2).sum(axis=0), 1.0, rtol=0, atol=1e-13)
        np.testing.assert_allclose(S.gram_symbol(), np.ones(shape))
    else:
        assert S.gram_symbol() is None
        assert low > 0.05
    z = x.astype(np.float32)
    assert S(z).dtype == S.T(S(z)).dtype == np.float32
    np.testing.assert_allclose(S(z), S(x), atol=2e-6 * np.abs(x).max())


def test_bounds_hold_at_every_number_of_scales():
    for scales in range(1, 7):
        low, high = Shearlets((96, 128), scales, tight=False).frame_bounds
        assert 0.05 < low < high < 1.01


def test_counts_and_scales():
    for scales, count in ((1, 9), (2, 17), (3, 33), (4, 49)):
        S = Shearlets((64, 64), scales)
        assert S.range_shape == (count, 64, 64)
        assert S.scales[0] == 0
        assert (np.diff(S.scales[1:]) <= 0).all()
        assert S.scales[[1, -1]].tolist() == [scales, 1]
    assert Shearlets((64, 64), 3, levels=(0, 1, 2)).scales.tolist() == [0] + [3] * 4 + [2] * 8 + [1] * 16


@pytest.mark.parametrize("angle", [0.0, 20.0, 45.0, 70.0, 90.0, 110.0, 135.0, 160.0])
def test_an_edge_is_seen_by_its_direction(angle):
    S = Shearlets((128, 128), 3)
    rows, columns = np.indices((128, 128)) - 64.0
    turn = math.radians(angle)
    across = -columns * math.sin(turn) + rows * math.cos(turn)
    window = np.exp(-((rows**2 + columns**2) / 30.0**2))
    energy = (S(window * np.tanh(across)) ** 2).sum(axis=(1, 2)) / S.atom_norms**2
    for scale in (1, 2):
        bands = np.flatnonzero(S.scales == scale)
        best = S.directions[bands[energy[bands].argmax()]]
        apart = abs((best - angle + 90.0) % 180.0 - 90.0)
        assert apart <= 14.0, (scale, best)
    fine = energy[S.scales == 1]
    assert fine.max() > 4 * np.median(fine)


def test_commutes_with_shifts(rng):
    x = rng.standard_normal((24, 33))
    S = Shearlets((24, 33), 3)
    np.testing.assert_allclose(S(np.roll(x, (5, -7), (0, 1))), np.roll(S(x), (5, -7), (1, 2)), atol=1e-13)


def test_transposition_swaps_the_cones(rng):
    x = rng.standard_normal((24, 33))
    S, T = Shearlets((24, 33), 3, tight=False), Shearlets((33, 24), 3, tight=False)
    c, d = S(x), T(np.ascontiguousarray(x.T))
    inner = [k for k in range(1, 33) if abs(S.directions[k] % 90.0 - 45.0) > 1e-9]
    assert len(inner) == 32 - 6
    for k in inner:
        same = (T.scales == S.scales[k]) & (abs((T.directions + S.directions[k]) % 180.0 - 90.0) < 1e-9)
        (m,) = np.flatnonzero(same)
        np.testing.assert_allclose(d[m], c[k].T, atol=1e-13)


def test_channels_are_transformed_one_by_one(rng):
    x = rng.standard_normal((12, 2, 15))
    S = Shearlets((12, 2, 15), 2, axes=(0, 2))
    single = Shearlets((12, 15), 2)
    for channel in range(2):
        np.testing.assert_allclose(
            S(x)[:, :, channel], single(np.ascontiguousarray(x[:, channel])), atol=1e-14
        )
    last = Shearlets((3, 12, 15), 2)
    assert last.axes == (1, 2)


def test_white_noise_has_the_norm_of_the_atom_as_its_deviation(rng):
    S = Shearlets((256, 256), 4, tight=False)
    measured = S(rng.standard_normal((256, 256))).std(axis=(1, 2)) / S.atom_norms
    # The coarse bands have some 100 independent values only.
    assert np.abs(measured - 1).max() < 0.1
    assert np.abs(measured - 1)[S.scales == 1].max() < 0.03


def test_known_denoising():
    """Hard thresholding of the camera man at three times the noise, against another implementation."""
    truth = transform.resize(data.camera() / 255.0, (256, 256), anti_aliasing=True)
    S = Shearlets(truth.shape, 4, tight=False)
    rng = np.random.default_rng(0)
    for sigma, known in ((0.05, 32.65), (0.1, 29.68), (0.2, 26.65)):
        c = S(truth + sigma * rng.standard_normal(truth.shape))
        kept = np.abs(c) > 3 * sigma * S.atom_norms[:, None, None]
        psnr = -10 * np.log10(np.mean((S.inverse(c * kept) - truth) ** 2))
        assert psnr == pytest.approx(known, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((16,),), "need two axes"),
        (((16, 16), 5), r"scales must be from 1 to 4 for the shape \(16, 16\), got 5"),
        (((16, 16), 0), "scales must be from 1 to 4"),
        (((16, 16), 1.5), "scales must be from 1 to 4"),
        (((1, 1), 1), "one pixel has no room"),
        (((16, 16), 2, (1,)), "levels must hold 2 integers from 0 to 4"),
        (((16, 16), 2, (1, 9)), "levels must hold 2 integers from 0 to 4"),
        (((4, 4, 4), 1, None, True, (0, 1, 2)), "along two axes"),
        (((4, 4), 1, None, True, (0, 2)), "axes must be different numbers from 0 to 1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Shearlets(*arguments)
