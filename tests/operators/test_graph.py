"""Graph Laplacians against a graph built pixel by pixel."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import wellposed as wp

GraphLaplacian = wp.operators.GraphLaplacian
NORMALISATIONS = ("frobenius", "none", "symmetric", "random-walk")


def naive_weights(features, radius, sigma, spatial_sigma=np.inf):
    """Features with channels first."""
    pixels = list(np.ndindex(features.shape[1:]))
    W = np.zeros((len(pixels), len(pixels)))
    for (a, p), (b, q) in itertools.product(enumerate(pixels), repeat=2):
        apart = np.subtract(p, q)
        if 0 < np.abs(apart).max() <= radius:
            unlike = features[(slice(None), *p)] - features[(slice(None), *q)]
            W[a, b] = np.exp(-(unlike**2).sum() / sigma**2 - (apart**2).sum() / spatial_sigma**2)
    return W


def naive_laplacian(W, normalisation):
    if normalisation == "frobenius":
        W = W / np.linalg.norm(W)
    degrees = W.sum(axis=1)
    L = np.diag(degrees) - W
    inverse = np.divide(1, degrees, out=np.zeros_like(degrees), where=degrees > 0)
    if normalisation == "symmetric":
        return np.sqrt(inverse)[:, None] * L * np.sqrt(inverse)
    return inverse[:, None] * L if normalisation == "random-walk" else L


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize(
    ("shape", "radius"), [((7, 5), 2), ((1, 6), 3), ((9,), 4), ((4, 3, 5), 1), ((2, 3), 8), ((5, 1), 1)]
)
def test_against_the_pixel_by_pixel_graph(shape, radius, normalisation, rng):
    f = rng.random(shape)
    L = GraphLaplacian(f, radius, 0.4, spatial_sigma=2.5, normalisation=normalisation)
    W = naive_weights(f[None], radius, 0.4, 2.5)
    np.testing.assert_allclose(L.to_dense(), naive_laplacian(W, normalisation), atol=1e-13)
    scale = np.linalg.norm(W) if normalisation == "frobenius" else 1.0
    np.testing.assert_allclose(L.weights.toarray(), W / scale, atol=1e-14)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).filter(lambda s: 1 < np.prod(s) < 40),
    radius=st.integers(1, 4),
    seed=st.integers(0, 99),
    normalisation=st.sampled_from(NORMALISATIONS),
)
@settings(max_examples=40, deadline=None)
def test_any_shape(shape, radius, seed, normalisation):
    rng = np.random.default_rng(seed)
    f = rng.random(shape)
    L = GraphLaplacian(f, radius, 0.7, normalisation=normalisation)
    dense = naive_laplacian(naive_weights(f[None], radius, 0.7), normalisation)
    np.testing.assert_allclose(L.to_dense(), dense, atol=1e-12)
    np.testing.assert_allclose(L.T.to_dense(), dense.T, atol=1e-12)
    assert np.linalg.norm(dense, 2) <= L.norm()


def test_channels_are_features_of_one_pixel(rng):
    f = rng.random((4, 5, 3))
    L = GraphLaplacian(f, 1, 0.5, channel_axis=-1, normalisation="none")
    W = naive_weights(np.moveaxis(f, -1, 0), 1, 0.5)
    assert L.domain_shape == (4, 5)
    np.testing.assert_allclose(L.to_dense(), naive_laplacian(W, "none"), atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_images_with_threads(dtype, rng):
    """The parallel kernels, against the sparse matrix."""
    f = rng.random((150, 131)).astype(dtype)
    L = GraphLaplacian(f, 4, 0.5)
    W = L.weights.astype(np.float64)
    S = scipy.sparse.diags_array(W.sum(axis=1)) - W
    x = rng.standard_normal(f.shape).astype(dtype)
    tolerance = 1e-12 if dtype == np.float64 else 1e-5
    scale = np.abs(S @ x.reshape(-1)).max()
    np.testing.assert_allclose(L(x).reshape(-1), S @ x.reshape(-1), rtol=0, atol=tolerance * scale)
    assert L(x).dtype == dtype
    top = scipy.sparse.linalg.eigsh(S, 1, return_eigenvectors=False)[0]
    assert top <= L.norm() <= 2.2 * top
    np.testing.assert_allclose(np.sqrt((W.data**2).sum()), 1.0, rtol=1e-5)


@pytest.mark.parametrize("normalisation", NORMALISATIONS[:2] + NORMALISATIONS[3:])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constants_give_exactly_nothing(normalisation, dtype, rng):
    L = GraphLaplacian(rng.random((20, 13)).astype(dtype), 3, 0.2, normalisation=normalisation)
    assert not L(np.full((20, 13), 0.3, dtype)).any()


def test_facts_of_the_paper(rng):
    f = rng.random((8, 9))
    L = GraphLaplacian(f, 4, np.sqrt(1e-3)).to_dense()
    np.testing.assert_array_equal(L, L.T)
    eigenvalues = np.linalg.eigvalsh(L)
    assert eigenvalues[0] >= -1e-15
    moved = GraphLaplacian(f + 3.0, 4, np.sqrt(1e-3)).to_dense()
    np.testing.assert_allclose(moved, L, atol=1e-12)
    scaled = GraphLaplacian(10 * f, 4, 10 * np.sqrt(1e-3)).to_dense()
    np.testing.assert_allclose(scaled, L, atol=1e-12)


def test_a_jump_beyond_the_range_of_the_exponential_cuts_the_graph():
    halves = np.zeros((12, 12))
    halves[:, 6:] = 0.9
    cut = GraphLaplacian(halves, 4, np.sqrt(1e-3))
    assert np.count_nonzero(np.abs(np.linalg.eigvalsh(cut.to_dense())) < 1e-14) == 2
    assert not cut(halves).any()
    joined = GraphLaplacian(halves * 8 / 9, 4, np.sqrt(1e-3))
    assert 0 < np.abs(joined(halves)).max() < 1e-250


def test_slices_of_whole_arrays_agree_with_the_kernel(rng):
    """What runs on a GPU."""
    for shape in [(7, 9), (6,), (3, 4, 5)]:
        L = GraphLaplacian(rng.random(shape), 2, 0.5)
        x = rng.standard_normal(shape)
        out = np.full(shape, np.nan)
        L._graph.product_on_device(x, out)
        np.testing.assert_allclose(out, L(x), atol=1e-14)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_from_adjacency(normalisation, rng):
    W = scipy.sparse.random_array((12, 12), density=0.2, rng=rng)
    W = (W + W.T).tocsr()
    L = GraphLaplacian.from_adjacency(W, (3, 4), normalisation=normalisation)
    dense = W.toarray()
    np.fill_diagonal(dense, 0.0)
    np.testing.assert_allclose(L.to_dense(), naive_laplacian(dense, normalisation), atol=1e-14)
    wp.testing.check_operator(L)


def test_from_adjacency_of_a_stencil_is_the_stencil(rng):
    f = rng.random((6, 7))
    L = GraphLaplacian(f, 2, 0.5)
    again = GraphLaplacian.from_adjacency(L.weights, (6, 7), normalisation="none")
    np.testing.assert_allclose(again.to_dense(), L.to_dense(), atol=1e-15)


def test_from_neighbours(rng):
    f = rng.random((5, 4, 2))
    L = GraphLaplacian.from_neighbours(f, 3, 0.6, channel_axis=2, normalisation="none")
    points = f.reshape(20, 2)
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    near = np.argsort(squares, axis=1)[:, 1:4]
    joined = np.zeros((20, 20), bool)
    np.put_along_axis(joined, near, True, axis=1)
    W = np.where(joined | joined.T, np.exp(-squares / 0.36), 0.0)
    np.testing.assert_allclose(L.to_dense(), naive_laplacian(W, "none"), atol=1e-13)
    wp.testing.check_operator(L)


def test_neighbours_in_one_place_do_not_join_a_pixel_to_itself():
    f = np.repeat([0.0, 1.0], 6).reshape(3, 4)
    L = GraphLaplacian.from_neighbours(f, 2, 1.0, normalisation="none")
    assert not L.weights.diagonal().any()
    assert not L(np.ones((3, 4))).any()


def test_penalty_of_the_paper_is_minimised(rng):
    truth = np.zeros((16, 16))
    truth[4:12, 5:13] = 1.0
    b = truth + 0.1 * rng.standard_normal(truth.shape)
    L = GraphLaplacian(truth + 0.02 * rng.standard_normal(truth.shape), 3, 0.2)
    objective = wp.LeastSquares(None, b) + 20.0 * (wp.L1() @ L) + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-6)
    assert result.certificate.kind == "duality gap"
    assert result.certificate.relative <= 1e-6
    assert np.linalg.norm(result.x - truth) < 0.3 * np.linalg.norm(b - truth)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda f: GraphLaplacian(f, 0, 1.0), "radius must be a whole number .* got 0"),
        (lambda f: GraphLaplacian(f, 1.5, 1.0), "radius must be a whole number .* got 1.5"),
        (lambda f: GraphLaplacian(f, 1, 0.0), "sigma must be finite and positive, got 0.0"),
        (lambda f: GraphLaplacian(f, 1, -1.0), "sigma must be finite and positive"),
        (lambda f: GraphLaplacian(f, 1, np.inf), "sigma must be finite and positive"),
        (lambda f: GraphLaplacian(f, 1, 1.0, spatial_sigma=0), "spatial_sigma must be finite and positive"),
        (lambda f: GraphLaplacian(f, 1, 1e-9), "all weights of the graph are 0: take a larger sigma"),
        (lambda f: GraphLaplacian(f, 1, 1e-320), "sigma=.* is too small"),
        (lambda f: GraphLaplacian(0 * f, 1, 1.0), "the features are constant"),
        (lambda f: GraphLaplacian(f / 0, 1, 1.0), "features has .* non-finite entries"),
        (lambda f: GraphLaplacian(f, 1, 1.0, normalisation="l2"), "normalisation must be one of"),
        (lambda f: GraphLaplacian(f, 1, 1.0, channel_axis=2), "channel_axis=2 is not an axis"),
        (lambda f: GraphLaplacian(f[:0], 1, 1.0), "features are empty"),
        (lambda f: GraphLaplacian.from_neighbours(f, 0, 1.0), "neighbours must be from 1 to 5, got 0"),
        (lambda f: GraphLaplacian.from_neighbours(f, 6, 1.0), "neighbours must be from 1 to 5, got 6"),
        (lambda f: GraphLaplacian.from_adjacency(f, (2, 3)), r"has shape \(6, 6\), got \(2, 3\)"),
        (lambda f: GraphLaplacian.from_adjacency(np.triu(f[:, :2]), (2,)), "adjacency is not symmetric"),
        (lambda f: GraphLaplacian.from_adjacency(np.diag([1.0, 2.0]), (2,)), "all weights of the graph"),
        (lambda f: GraphLaplacian.from_adjacency(-f[:, :2], (2,)), "weights of a graph must be at least 0"),
    ],
)
def test_bad_arguments(make, message):
    f = np.arange(1.0, 7.0).reshape(2, 3)
    with np.errstate(invalid="ignore", divide="ignore"), pytest.raises(ValueError, match=message):
        make(f if "non-finite" not in message else np.zeros((2, 3)))
