"""PSNR, SSIM and relative error against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import correlate

from wellposed.problems.metrics import psnr, relative_error, ssim

RNG = np.random.default_rng(0)
TRUTH = RNG.random((24, 31))
NOISY = TRUTH + 0.1 * RNG.standard_normal(TRUTH.shape)


def naive_ssim(a: np.ndarray, b: np.ndarray, span: float) -> float:
    t = np.arange(-5, 6)
    g = np.exp(-(t**2) / (2 * 1.5**2))
    window = np.outer(g, g) / np.outer(g, g).sum()

    def mean(u: np.ndarray) -> np.ndarray:
        return correlate(u, window, mode="reflect")

    ma, mb = mean(a), mean(b)
    va, vb, vab = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    value = (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    return float(value[5:-5, 5:-5].mean())


def test_ssim_is_that_of_the_paper() -> None:
    assert ssim(NOISY, TRUTH, data_range=1.0) == pytest.approx(naive_ssim(NOISY, TRUTH, 1.0), rel=1e-10)
    assert ssim(NOISY, TRUTH, data_range=3.0) == pytest.approx(naive_ssim(NOISY, TRUTH, 3.0), rel=1e-10)
    colour, other = np.dstack([TRUTH, TRUTH]), np.dstack([NOISY, TRUTH])
    expected = (naive_ssim(NOISY, TRUTH, 1.0) + 1) / 2
    assert ssim(other, colour, data_range=1.0, channel_axis=-1) == pytest.approx(expected)


@given(st.floats(1e-3, 1e3), st.floats(-10, 10))
def test_values_follow_their_scale(scale: float, shift: float) -> None:
    assert psnr(scale * NOISY, scale * TRUTH, data_range=scale) == pytest.approx(
        psnr(NOISY, TRUTH, data_range=1.0)
    )
    assert relative_error(scale * NOISY, scale * TRUTH) == pytest.approx(relative_error(NOISY, TRUTH))
    assert psnr(NOISY + shift, TRUTH + shift, data_range=1.0) == pytest.approx(
        psnr(NOISY, TRUTH, data_range=1.0)
    )


def test_known_values() -> None:
    assert psnr(np.full((3, 3), 2.0), np.zeros((3, 3)), data_range=20.0) == pytest.approx(20.0)
    assert psnr(TRUTH, TRUTH, data_range=1.0) == math.inf
    assert relative_error(np.array([3.0, 4.0]), np.array([0.0, 5.0])) == pytest.approx(math.sqrt(10) / 5)
    eight_bits = np.full((3, 3), 10, np.uint8), np.full((3, 3), 20, np.uint8)
    assert psnr(*eight_bits, data_range=10.0) == pytest.approx(0.0)


def test_bad_input() -> None:
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=r"shape \(24, 31\) and truth \(24, 30\)"):
            metric(NOISY, TRUTH[:, 1:], data_range=1.0)
        with pytest.raises(ValueError, match="data_range must be positive, not 0"):
            metric(NOISY, TRUTH, data_range=0.0)
        with pytest.raises(ValueError, match="finite"):
            metric(NOISY * np.nan, TRUTH, data_range=1.0)
    with pytest.raises(ValueError, match="at least 11 pixels"):
        ssim(TRUTH[:9], TRUTH[:9], data_range=1.0)
    with pytest.raises(ValueError, match="zero everywhere"):
        relative_error(TRUTH, 0 * TRUTH)
