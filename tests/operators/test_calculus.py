"""Finite differences against their definition."""

from __future__ import annotations

import itertools
import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp

shapes = st.lists(st.integers(1, 6), min_size=1, max_size=4).map(tuple)


def naive_gradient(x):
    out = np.zeros((x.ndim, *x.shape))
    for index in np.ndindex(x.shape):
        for k in range(x.ndim):
            ahead = (*index[:k], index[k] + 1, *index[k + 1 :])
            if ahead[k] < x.shape[k]:
                out[(k, *index)] = x[ahead] - x[index]
    return out


@given(shapes, st.integers(0, 100))
def test_gradient_is_its_definition_in_loops_and_in_slices(shape, seed):
    rng = np.random.default_rng(seed)
    D = wp.operators.Gradient(shape)
    x, y = rng.standard_normal(shape), rng.standard_normal(D.range_shape)
    expected = naive_gradient(x)
    np.testing.assert_array_equal(D(x), expected)
    np.testing.assert_array_equal(np.asarray(D(array_api_strict.asarray(x))), expected)
    np.testing.assert_allclose(D.T(y), np.asarray(D.T(array_api_strict.asarray(y))), atol=1e-14)
    assert np.vdot(expected, y) == pytest.approx(np.vdot(x, D.T(y)), abs=1e-11)


@given(shapes)
def test_gradient_norm_is_exact(shape):
    D = wp.operators.Gradient(shape)
    assert D.norm() == pytest.approx(np.linalg.norm(D.to_dense(), 2), abs=1e-12)
    assert D.norm() <= 2 * math.sqrt(len(shape))


@pytest.mark.parametrize("shape", [(300, 200), (40, 30, 50)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradient_with_threads(shape, dtype, rng):
    D = wp.operators.Gradient(shape)
    x, y = rng.standard_normal(shape).astype(dtype), rng.standard_normal(D.range_shape).astype(dtype)
    np.testing.assert_array_equal(D(x), np.asarray(D(array_api_strict.asarray(x))))
    slices = np.asarray(D.T(array_api_strict.asarray(y)))
    np.testing.assert_allclose(D.T(y), slices, atol=8 * np.finfo(dtype).eps * np.abs(y).max())


def test_gradient_along_some_axes(rng):
    x = rng.standard_normal((3, 4, 5))
    whole = wp.operators.Gradient((3, 4, 5))(x)
    for count in (1, 2):
        for axes in itertools.permutations(range(3), count):
            np.testing.assert_array_equal(wp.operators.Gradient((3, 4, 5), axes=axes)(x), whole[list(axes)])


@pytest.mark.parametrize("axes", [(), (0, 0), (2,), (-1,)])
def test_bad_axes(axes):
    with pytest.raises(ValueError, match="axes must be different numbers from 0 to 1"):
        wp.operators.Gradient((3, 4), axes=axes)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), st.integers(0, 100))
def test_symmetrised_gradient(shape, seed):
    ndim = len(shape)
    v = np.random.default_rng(seed).standard_normal((ndim, *shape))
    E = wp.operators.SymmetrisedGradient(shape)
    partial = np.empty((ndim, ndim, *shape))
    for k in range(ndim):
        for component in range(ndim):
            partial[k, component] = -wp.operators.Gradient(shape, axes=(k,)).T(v[None, component])
    np.testing.assert_allclose(E(v), (partial + partial.swapaxes(0, 1)) / 2, atol=1e-14)
