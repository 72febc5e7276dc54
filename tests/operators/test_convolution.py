"""Convolution against SciPy and its own definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

import wellposed as wp

Convolution = wp.operators.Convolution
MODES = {"periodic": "wrap", "reflect": "reflect", "zero": "constant"}


@st.composite
def problems(draw):
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.integers(1, 6)) for _ in range(ndim))
    sizes = tuple(draw(st.integers(1, 7)) for _ in range(ndim))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    kernel, x, y = rng.standard_normal(sizes), rng.standard_normal(shape), rng.standard_normal(shape)
    if draw(st.booleans()):
        for axis in range(ndim):
            kernel = kernel + np.flip(kernel, axis)
    return kernel, x, y, draw(st.sampled_from(sorted(MODES)))


@given(problems())
def test_values_are_those_of_scipy(problem):
    kernel, x, y, boundary = problem
    A = Convolution(kernel, x.shape, boundary)
    np.testing.assert_allclose(A(x), ndimage.convolve(x, kernel, mode=MODES[boundary]), atol=1e-11)
    assert np.vdot(A(x), y) == pytest.approx(np.vdot(x, A.T(y)), abs=1e-10)


@given(problems())
def test_norm_bounds_the_largest_singular_value(problem):
    kernel, x, _, boundary = problem
    A = Convolution(kernel, x.shape, boundary)
    true = np.linalg.norm(A.to_dense(), 2)
    assert true * (1 - 1e-12) - 1e-14 <= A.norm()


def test_impulse_shows_the_kernel_about_its_centre():
    kernel = np.arange(1.0, 13.0).reshape(3, 4)
    impulse = np.zeros((9, 9))
    impulse[4, 4] = 1
    np.testing.assert_allclose(Convolution(kernel, (9, 9), "zero")(impulse)[3:6, 2:6], kernel, atol=1e-14)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_blur_keeps_constants_and_has_norm_1(boundary):
    A = Convolution(wp.operators.gaussian_kernel(2.0), (20, 31), boundary)
    np.testing.assert_allclose(A(np.ones((20, 31))), 1.0, rtol=1e-14)
    assert A.norm() == pytest.approx(1.0, abs=1e-14)


def test_zero_boundary_norm_is_close_on_large_images():
    A = Convolution(wp.operators.gaussian_kernel(2.0, ndim=1), (400,), "zero")
    true = np.linalg.norm(A.to_dense(), 2)
    assert true <= A.norm() <= 1.001 * true


def test_gaussian_kernel_is_that_of_scipy():
    kernel = wp.operators.gaussian_kernel((1.5, 0.0, 0.7), truncate=3.0)
    impulse = np.zeros((15, 15, 15))
    impulse[7, 7, 7] = 1
    blurred = ndimage.gaussian_filter(impulse, (1.5, 0.0, 0.7), truncate=3.0)
    around = tuple(slice(7 - s // 2, 8 + s // 2) for s in kernel.shape)
    np.testing.assert_allclose(kernel, blurred[around], atol=1e-15)
    assert blurred[around].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("radius", [0.0, 0.4, 1.0, 3.0, 7.7])
def test_disk_kernel(radius):
    kernel = wp.operators.disk_kernel(radius)
    n = len(kernel) // 2
    assert kernel.sum() == pytest.approx(1.0)
    assert np.array_equal(kernel, kernel.T)
    assert np.array_equal(kernel, kernel[::-1])
    assert kernel[n, 0] > 0
    far = np.hypot(*np.indices(kernel.shape) - n) >= radius + 0.5
    assert np.all(kernel[far] == 0)
    assert np.all((kernel > 0) | far)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones(3), (4, 4)), "the kernel has 1 dimensions"),
        (
            (np.ones((3, 3)), (4, 4), "mirror"),
            "boundary must be one of periodic, reflect, zero, got 'mirror'",
        ),
        ((np.array([1.0, np.nan]), (4,)), "kernel has 1 non-finite entries .* at index \\(1,\\)"),
        ((np.ones((0,)), (4,)), "the kernel is empty"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Convolution(*arguments)


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), ()])
def test_bad_sigma(sigma):
    with pytest.raises(ValueError, match="sigma must be finite and at least 0"):
        wp.operators.gaussian_kernel(sigma)


def test_bad_truncation_and_radius():
    with pytest.raises(ValueError, match="truncate must be positive"):
        wp.operators.gaussian_kernel(1.0, truncate=0.0)
    with pytest.raises(ValueError, match="radius must be finite"):
        wp.operators.disk_kernel(-1.0)


def test_complex_kernel_is_refused():
    with pytest.raises(TypeError, match="kernel must be float32 or float64"):
        Convolution(np.ones(3, complex), (4,))
