"""Bessel potentials and fractional Laplacians against dense functions of matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import wellposed as wp

BesselPotential = wp.operators.BesselPotential
FractionalLaplacian = wp.operators.FractionalLaplacian


def laplacian(shape, boundary):
    """Minus the five-point Laplacian, written with rolls or with edges repeated."""
    size = int(np.prod(shape))
    columns = []
    for k in range(size):
        x = np.zeros(size)
        x[k] = 1
        x = x.reshape(shape)
        total = np.zeros(shape)
        for axis, n in enumerate(shape):
            widths = [(int(a == axis),) * 2 for a in range(len(shape))]
            wide = np.pad(x, widths, "wrap" if boundary == "periodic" else "edge")
            middle = np.arange(1, n + 1)
            total += 2 * x - np.take(wide, middle - 1, axis) - np.take(wide, middle + 1, axis)
        columns.append(total.reshape(-1))
    return np.array(columns).T


def power(matrix, exponent):
    values, vectors = scipy.linalg.eigh(matrix)
    # A small power of the rounding of the eigenvalue 0 is not small.
    return (vectors * np.where(values > 1e-12, values, 0.0) ** exponent) @ vectors.T


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("shape", [(6,), (5, 4), (1, 7), (2, 3, 4), (1,)])
@pytest.mark.parametrize("s", [-2.5, -1.0, 0.0, 0.3, 2.0, 4.0])
def test_bessel_potential(shape, boundary, s):
    P = BesselPotential(shape, s, boundary)
    S = laplacian(shape, boundary)
    expected = power(np.eye(len(S)) + S, s / 2)
    np.testing.assert_allclose(P.to_dense(), expected, atol=1e-12 * max(9.0 ** (s / 2), 1) * 30)
    np.testing.assert_allclose(P.norm(), np.linalg.norm(expected, 2), rtol=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("s", [0.5, 1.0, 2.0, 3.0])
def test_fractional_laplacian(boundary, s):
    K = FractionalLaplacian((5, 4), s, boundary)
    np.testing.assert_allclose(K.to_dense(), power(laplacian((5, 4), boundary), s / 2), atol=1e-11)


def test_order_two_is_a_finite_difference(rng):
    x = rng.standard_normal((7, 6))
    P = BesselPotential(x.shape, 2.0)
    rolled = sum(np.roll(x, shift, axis) for shift in (1, -1) for axis in (0, 1))
    np.testing.assert_allclose(P(x), 5 * x - rolled, atol=1e-13)


def test_exact_frequencies_and_units():
    """A wave on the grid is an eigenvector, with its squared frequency in the given unit."""
    n, h = 16, 0.25
    t = h * np.arange(n)
    wave = np.cos(2 * np.pi * 3 * t / (n * h))
    omega = 2 * np.pi * 3 / (n * h)
    P = BesselPotential((n,), 3.0, spacing=h, symbol="frequencies")
    np.testing.assert_allclose(P(wave), (1 + omega**2) ** 1.5 * wave, atol=1e-9)
    reflected = np.cos(np.pi * 3 * (np.arange(n) + 0.5) / n)
    P = BesselPotential((n,), -1.0, "reflect", spacing=h, symbol="frequencies")
    frequency = np.pi * 3 / (n * h)
    np.testing.assert_allclose(P(reflected), reflected / np.sqrt(1 + frequency**2), atol=1e-13)


def test_inverse_and_preconditioner(rng):
    x = rng.standard_normal((5, 8, 3))
    P = BesselPotential(x.shape, -3.2, "reflect", axes=(1,))
    np.testing.assert_allclose(P.inverse(P(x)), x, atol=1e-12)
    assert P.gram_symbol().shape == x.shape
    np.testing.assert_allclose(P.gram_symbol().min() ** 0.5, 5 ** (-1.6), rtol=0.1)
    assert BesselPotential((4,), 1.0).gram_symbol() is None


def test_norm_grows_with_the_order(rng):
    x = rng.standard_normal((6, 7))
    norms = [np.linalg.norm(BesselPotential(x.shape, s)(x)) for s in (-3, -1, 0, 0.5, 2)]
    assert norms == sorted(norms)
    np.testing.assert_allclose(norms[2], np.linalg.norm(x), rtol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BesselPotential((4, 4), 300.0), r"s=300 is too large: .* reach 10\^286; .* up to 39.9"),
        (lambda: BesselPotential((4, 4), -300.0), r"s=-300 is too large: .* reach 10\^-286"),
        (lambda: FractionalLaplacian((4,), 100.0, "periodic"), r"s=100 is too large: .* reach 10\^60"),
        (lambda: BesselPotential((4, 4), np.nan), "s must be finite, got nan"),
        (lambda: BesselPotential((4, 4), 1.0, "zero"), "boundary must be one of periodic, reflect"),
        (lambda: BesselPotential((4, 4), 1.0, symbol="exact"), "symbol must be one of differences"),
        (lambda: BesselPotential((4, 4), 1.0, spacing=0.0), "spacing must be finite and positive"),
        (lambda: BesselPotential((4, 4), 1.0, axes=(2,)), "axes must be different numbers from 0 to 1"),
        (lambda: FractionalLaplacian((4,), 0.0), "s must be positive, got 0.0"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
