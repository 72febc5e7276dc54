"""Convolutional dictionaries against sums of SciPy's convolutions and dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from scipy import ndimage
from scipy.signal import convolve

import wellposed as wp

Dictionary = wp.operators.ConvolutionalDictionary


def naive(z, filters, boundary):
    """Each map convolved with its filter by SciPy."""
    if boundary == "valid":
        return sum(convolve(a, d, "valid", "direct") for a, d in zip(z, filters, strict=True))
    mode = {"periodic": "wrap", "zero": "constant"}[boundary]
    return sum(ndimage.convolve(a, d, mode=mode) for a, d in zip(z, filters, strict=True))


@pytest.mark.parametrize("boundary", ["periodic", "zero", "valid"])
@pytest.mark.parametrize(
    ("sizes", "shape"), [((5,), (9,)), ((3, 4), (6, 7)), ((2, 3, 1), (4, 5, 3)), ((4, 2), (4, 5))]
)
def test_against_scipy(sizes, shape, boundary, rng):
    filters = rng.standard_normal((3, *sizes))
    D = Dictionary(filters, shape, boundary)
    z = rng.standard_normal(D.domain_shape)
    assert D.range_shape == shape
    np.testing.assert_allclose(D(z), naive(z, filters, boundary), atol=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "zero", "valid"])
def test_channels(boundary, rng):
    filters = rng.standard_normal((4, 3, 2, 3))
    D = Dictionary(filters, (6, 5), boundary)
    z = rng.standard_normal(D.domain_shape)
    assert D.range_shape == (3, 6, 5)
    for channel in range(3):
        np.testing.assert_allclose(D(z)[channel], naive(z, filters[:, channel], boundary), atol=1e-12)


@pytest.mark.parametrize("channels", [(), (2,), (5,)])
@pytest.mark.parametrize("tau", [0.0, 0.3, 40.0])
def test_norm_and_inverse_of_periodic_dictionaries(channels, tau, rng):
    D = Dictionary(rng.standard_normal((3, *channels, 3, 2)), (4, 5))
    dense = D.to_dense()
    assert D.norm() == pytest.approx(np.linalg.norm(dense, 2), rel=1e-12)
    y = rng.standard_normal(D.domain_shape)
    expected = np.linalg.solve(np.eye(y.size) + tau * dense.T @ dense, y.ravel())
    np.testing.assert_allclose(D.solve_normal(tau, y).ravel(), expected, atol=1e-11)
    assert D.solve_normal(tau, y.astype(np.float32)).dtype == np.float32


def test_other_boundaries_have_no_closed_inverse(rng):
    D = Dictionary(rng.standard_normal((2, 3)), (8,), "zero")
    assert not D.has_solve_normal
    with pytest.raises(TypeError, match="no closed form"):
        D.solve_normal(1.0, np.ones((2, 8)))


def cosine_atoms(n):
    """The orthonormal cosine patches of ``n x n`` pixels."""
    units = np.eye(n * n).reshape(-1, n, n)
    return scipy.fft.idctn(units, axes=(1, 2), norm="ortho")


def test_cosine_atoms_are_a_tight_frame(rng):
    D = Dictionary(cosine_atoms(6), (20, 17))
    x = rng.standard_normal((20, 17))
    np.testing.assert_allclose(D(D.T(x)), 36 * x, atol=1e-11)
    assert D.norm() == pytest.approx(6.0, rel=1e-12)
    np.testing.assert_allclose(D.atom_norms.ravel(), 1.0)


def test_two_layers_are_one_dictionary_of_larger_filters(rng):
    first, second = rng.standard_normal((3, 3, 3)), rng.standard_normal((2, 3, 3, 3))
    both = Dictionary(first, (10, 11)) @ Dictionary(second, (10, 11))
    effective = np.array([sum(map(convolve, first, maps)) for maps in second])
    assert effective.shape == (2, 5, 5)
    whole = Dictionary(effective, (10, 11))
    z = rng.standard_normal((2, 10, 11))
    np.testing.assert_allclose(both(z), whole(z), atol=1e-11)
    assert both.norm() >= whole.norm() * (1 - 1e-9)


@pytest.mark.parametrize("density", [0.002, 0.01])
def test_published_recovery(density):
    """Sparse maps are found again, support and values, with a certificate."""
    rng = np.random.default_rng(0)
    filters = rng.standard_normal((6, 5, 5))
    D = Dictionary(filters / np.linalg.norm(filters, axis=(1, 2), keepdims=True), (64, 64))
    truth = (rng.random(D.domain_shape) < density) * rng.choice([-1, 1], D.domain_shape)
    truth = truth * rng.uniform(1, 2, D.domain_shape)
    result = wp.minimize(wp.LeastSquares(D, D(truth)) + 1e-3 * wp.L1(), tol=1e-3, max_iter=3000)
    assert result.status == "converged"
    assert result.certificate.kind == "duality gap"
    np.testing.assert_array_equal(np.abs(result.x) > 0.3, truth != 0)
    assert np.linalg.norm(result.x - truth) < 0.05 * np.linalg.norm(truth)


def test_sparse_coding_against_cvxpy(rng):
    cvxpy = pytest.importorskip("cvxpy")
    D = Dictionary(rng.standard_normal((3, 3)), (14,), "valid")
    y, weights = rng.standard_normal(14), np.array([[0.5], [1.0], [2.0]])
    result = wp.minimize(wp.LeastSquares(D, y) + 0.7 * wp.L1(weights), tol=1e-8)
    z = cvxpy.Variable(3 * 16)
    penalty = np.repeat(weights.ravel(), 16) @ cvxpy.abs(z)
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(D.to_dense() @ z - y) + 0.7 * penalty))
    problem.solve(solver="CLARABEL")
    assert result.certificate.primal == pytest.approx(problem.value, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), (4, 4)), "need 3 dimensions .* or 4 with channels second, got 2"),
        ((np.ones((2, 2, 2, 3, 3)), (4, 4)), "got 5"),
        ((np.ones((0, 3)), (4,)), "the filters are empty"),
        ((np.full((1, 3), np.nan), (4,)), "filters has 3 non-finite entries"),
        ((np.ones((1, 3)), (4,), "reflect"), "boundary must be one of periodic, zero, valid"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Dictionary(*arguments)
