"""Sobolev terms: identities of the norms, and solutions in closed form."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp

Potential = wp.operators.BesselPotential


def weights(shape, s):
    grids = np.meshgrid(*(4 * np.sin(np.pi * np.arange(n) / n) ** 2 for n in shape), indexing="ij")
    return (1 + sum(grids)) ** s


@pytest.mark.parametrize("s", [-2.0, 0.0, 0.7])
def test_value_and_gradient_by_full_transforms(s, rng):
    x, b = rng.standard_normal((2, 6, 5))
    f = wp.SobolevLeastSquares(None, b, s)
    spectrum = np.fft.fft2(x - b)
    np.testing.assert_allclose(f(x), 0.5 * (weights((6, 5), s) * abs(spectrum) ** 2).sum() / 30, rtol=1e-12)
    expected = np.fft.ifft2(weights((6, 5), s) * spectrum).real
    np.testing.assert_allclose(f.gradient(x), expected, atol=1e-12)


def test_order_zero_is_least_squares(rng):
    x, b = rng.standard_normal((2, 4, 7))
    A = wp.operators.Convolution(wp.operators.gaussian_kernel(1.0), (4, 7))
    f, g = wp.SobolevLeastSquares(A, b, 0.0), wp.LeastSquares(A, b)
    np.testing.assert_allclose(f(x), g(x), rtol=1e-12)
    np.testing.assert_allclose(f.gradient(x), g.gradient(x), atol=1e-13)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_is_least_squares_of_the_composition(boundary, rng):
    A = wp.operators.Matrix(rng.standard_normal((12, 5)), (5,), (3, 4))
    x, v, b = rng.standard_normal(5), rng.standard_normal(5), rng.standard_normal((3, 4))
    P = Potential((3, 4), -1.4, boundary)
    f, g = wp.SobolevLeastSquares(A, b, -1.4, boundary), wp.LeastSquares(P @ A, P(b))
    np.testing.assert_allclose(f(x), g(x), rtol=1e-12)
    np.testing.assert_allclose(f.gradient(x), g.gradient(x), atol=1e-12)
    np.testing.assert_allclose(f.hessian_product(x, v), g.hessian_product(x, v), atol=1e-12)


def test_duality_of_the_norms(rng):
    f, g = rng.standard_normal((2, 6, 6))
    left, right = (2 * wp.SobolevLeastSquares(None, 0 * f, s)(u) for s, u in ((1.3, f), (-1.3, g)))
    assert abs((f * g).sum()) <= np.sqrt(left * right)
    same = wp.SobolevLeastSquares(None, 0 * f, 1.3).gradient(f)
    right = 2 * wp.SobolevLeastSquares(None, 0 * f, -1.3)(same)
    np.testing.assert_allclose((f * same).sum(), np.sqrt(left * right), rtol=1e-12)


def test_sobolev_gradient_is_descent_on_another_fit(rng):
    """For a periodic convolution, which commutes with the Laplacian."""
    A = wp.operators.Convolution(wp.operators.gaussian_kernel(0.7), (8, 9))
    x, b = rng.standard_normal((2, 8, 9))
    smooth = wp.sobolev_gradient(wp.LeastSquares(A, b), x, 1.5)
    np.testing.assert_allclose(smooth, wp.SobolevLeastSquares(A, b, -1.5).gradient(x), atol=1e-12)


def test_contraction_of_matched_weights(rng):
    """With |H|^2 = (1 + S)^-a one gradient step is exact for s = a, others contract by 1 - 9^-|s-a|."""
    truth = rng.standard_normal((16, 16))
    A = Potential((16, 16), -2.0)
    for s, kappa in [(0.0, 81.0), (1.0, 9.0), (2.0, 1.0), (3.0, 9.0)]:
        f = wp.SobolevLeastSquares(A, A(truth), s)
        lipschitz = 9 ** max(s - 2.0, 0.0)
        x = np.zeros_like(truth)
        for k in range(1, 6):
            x = x - f.gradient(x) / lipschitz
            assert np.linalg.norm(x - truth) <= (1 - 1 / kappa) ** k * np.linalg.norm(truth) + 1e-12


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_denoising_by_the_seminorm_has_a_closed_form(boundary, rng):
    b = rng.standard_normal((9, 8))
    result = wp.minimize(wp.LeastSquares(None, b) + 0.8 * wp.SobolevSeminorm(1.5, boundary), tol=1e-10)
    np.testing.assert_allclose(result.x, wp.SobolevSeminorm(1.5, boundary).prox(b, 0.8), atol=1e-4)
    assert result.certificate.relative <= 1e-10


def test_order_one_is_the_gradient(rng):
    x = rng.standard_normal((5, 6, 4))
    D = wp.operators.Gradient(x.shape)
    np.testing.assert_allclose(wp.SobolevSeminorm(1.0)(x), 0.5 * (D(x) ** 2).sum(), rtol=1e-12)
    np.testing.assert_allclose(wp.SobolevSeminorm(1.0).gradient(x), D.T(D(x)), atol=1e-12)


@pytest.mark.parametrize("s", [-1.0, 1.0])
def test_total_variation_with_a_sobolev_fit(s, rng):
    truth = np.zeros((24, 20))
    truth[6:18, 5:15] = 1.0
    b = truth + 0.1 * rng.standard_normal(truth.shape)
    objective = wp.SobolevLeastSquares(None, b, s) + 0.1 * wp.TotalVariation() + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-4)
    assert result.certificate.kind == "duality gap"
    assert result.certificate.relative <= 1e-4
    assert np.linalg.norm(result.x - truth) < np.linalg.norm(b - truth)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda b: wp.SobolevLeastSquares(None, b, 1e3), ValueError, "s=1000 is too large"),
        (lambda b: wp.SobolevLeastSquares(None, b, np.inf), ValueError, "s must be finite"),
        (lambda b: wp.SobolevLeastSquares(None, b / 0, 1.0), ValueError, "b has 12 non-finite entries"),
        (lambda b: wp.SobolevLeastSquares(None, b, 1.0, "zero"), ValueError, "boundary must be one of"),
        (
            lambda b: wp.SobolevLeastSquares(wp.operators.FourierTransform((3, 4)), b + 0j, 1.0),
            TypeError,
            "takes real data",
        ),
        (
            lambda b: wp.SobolevLeastSquares(None, b, 1.0).prox(b, b),
            ValueError,
            "takes one step, got an array",
        ),
        (lambda b: wp.SobolevSeminorm(0.0), ValueError, "s of SobolevSeminorm must be finite and positive"),
        (lambda b: wp.SobolevSeminorm(-1.0), ValueError, "s of SobolevSeminorm must be finite and positive"),
        (wp.SobolevSeminorm(99.0), ValueError, "s=99 is too large"),
    ],
)
def test_bad_arguments(make, error, message):
    with np.errstate(divide="ignore"), pytest.raises(error, match=message):
        make(np.ones((3, 4)))
