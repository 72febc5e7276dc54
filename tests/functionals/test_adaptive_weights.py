"""Weights from a reference image: the rule by loops, its bounds, kinds and dtypes, bad input."""

from __future__ import annotations

import itertools
import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp


def naive_weights(x: np.ndarray, eta: float, p: float) -> np.ndarray:
    w = np.empty(x.shape)
    for i in itertools.product(*map(range, x.shape)):
        square = 0.0
        for axis in range(x.ndim):
            j = tuple(k + (axis == a) for a, k in enumerate(i))
            if j[axis] < x.shape[axis]:
                square += abs(x[j] - x[i]) ** 2
        w[i] = (eta / math.sqrt(eta**2 + square)) ** (1 - p)
    return w


@pytest.mark.parametrize("shape", [(7,), (1,), (5, 6), (1, 4), (3, 4, 2)])
@pytest.mark.parametrize("p", [0.1, 0.5, 1.0])
def test_the_rule_by_loops(rng, shape, p):
    x = rng.standard_normal(shape)
    w = wp.regularisation.tv_weights_from(x, eta=0.3, p=p)
    np.testing.assert_allclose(w, naive_weights(x, 0.3, p), rtol=1e-13)


def test_complex_images_and_channels(rng):
    x = rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))
    w = wp.regularisation.tv_weights_from(x, eta=0.3)
    np.testing.assert_allclose(w, naive_weights(x, 0.3, 0.1), rtol=1e-13)
    both = np.stack([x.real, x.imag], axis=-1)
    np.testing.assert_allclose(wp.regularisation.tv_weights_from(both, eta=0.3, channel_axis=-1), w)
    assert wp.TotalVariation(weights=w, channel_axis=2)(both) > 0


@given(
    st.integers(0, 2**32 - 1),
    st.floats(1e-6, 1e3),
    st.floats(0.01, 1.0),
    st.sampled_from([np.float32, np.float64]),
)
def test_weights_are_within_their_bounds(seed, eta, p, dtype):
    x = np.random.default_rng(seed).uniform(0, 1, (6, 5)).astype(dtype)
    w = wp.regularisation.tv_weights_from(x, eta, p)
    largest = float(wp.regularisation.gradient_magnitude(x).max())
    least = (eta / math.hypot(eta, largest)) ** (1 - p)
    assert w.dtype == dtype
    assert least * (1 - 1e-5) <= w.min()
    assert w.max() <= 1 + 1e-6


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_the_lipschitz_constant_is_sharp(p):
    eta = 2e-2
    constant = (1 - p) / eta * (2 - p) ** -0.5 * ((3 - p) / (2 - p)) ** (-(3 - p) / 2)
    g = np.linspace(0, 20 * eta, 200_001)
    slopes = np.abs(np.diff(wp.regularisation.tv_weights_from_magnitude(g, eta, p))) / np.diff(g)
    assert slopes.max() == pytest.approx(constant, rel=1e-3)
    assert slopes.max() <= constant * (1 + 1e-9)
    assert g[slopes.argmax()] == pytest.approx(eta / math.sqrt(2 - p), rel=1e-2)


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_the_default_is_free_of_units(rng, factor):
    x = rng.uniform(size=(8, 9)).astype(np.float32)
    w = wp.regularisation.tv_weights_from(x)
    np.testing.assert_allclose(wp.regularisation.tv_weights_from(x * np.float32(factor)), w, rtol=1e-5)


def test_the_default_parts_noise_from_edges(rng):
    square = np.zeros((40, 40))
    square[10:30, 10:30] = 1.0
    sharp = wp.regularisation.tv_weights_from(square)
    assert wp.regularisation.default_eta(wp.regularisation.gradient_magnitude(square)) == pytest.approx(
        2e-3 * math.sqrt(2)
    )
    assert sharp[0, 0] == 1.0
    assert sharp[9, 15] < 0.01
    noisy = square + 0.05 * rng.standard_normal(square.shape)
    w = wp.regularisation.tv_weights_from(noisy)
    assert np.median(w[12:28, 12:28]) > 0.6
    assert np.median(w[9, 10:30]) < 0.15


def test_kinds_are_kept_and_input_is_not_changed(rng):
    x = rng.uniform(size=(5, 6)).astype(np.float32)
    x.flags.writeable = False
    expected = wp.regularisation.tv_weights_from(x)
    assert expected.dtype == np.float32
    strict = wp.regularisation.tv_weights_from(array_api_strict.asarray(x.copy()))
    assert isinstance(strict, type(array_api_strict.asarray(0.0)))
    np.testing.assert_allclose(np.from_dlpack(strict), expected, rtol=1e-6)
    torch = pytest.importorskip("torch")
    tensor = wp.regularisation.tv_weights_from(torch.tensor(x.copy()))
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6)


IMAGE = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.tv_weights_from(IMAGE, eta=0.0), "eta must be a positive"),
        (lambda r: r.tv_weights_from(IMAGE, eta=math.nan), "eta must be a positive"),
        (lambda r: r.tv_weights_from(IMAGE.astype(np.float32), eta=1e-60), "out of the range"),
        (lambda r: r.tv_weights_from(IMAGE, p=0.0), "p must be above 0"),
        (lambda r: r.tv_weights_from(IMAGE, p=1.5), "p must be above 0"),
        (lambda r: r.tv_weights_from(np.ones((3, 3))), "constant"),
        (lambda r: r.tv_weights_from(np.ones((0, 3))), "shape"),
        (lambda r: r.tv_weights_from(3.0), "shape"),
        (lambda r: r.tv_weights_from(IMAGE, channel_axis=2), "channel_axis"),
        (lambda r: r.tv_weights_from(np.array([1.0, np.nan])), "non-finite"),
        (lambda r: r.tv_weights_from_magnitude(-IMAGE, 1.0), "at least 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(wp.regularisation)


def test_a_constant_reference_with_eta_is_plain_total_variation():
    assert np.all(wp.regularisation.tv_weights_from(np.ones((3, 3)), eta=0.1) == 1.0)
