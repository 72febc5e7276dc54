"""Pruned layers against CVXPY, for the program that is solved and for that of the paper."""

from __future__ import annotations

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wellposed as wp


def layer(seed=0, samples=60, inputs=8, units=4):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, inputs)), rng.standard_normal((inputs, units))


def least_norm(X, W, gain, hard=False, linear=False):
    """The least L1 norm by a cone solver; ``hard``: inputs of silent units at most 0, as in the paper."""
    Y = X @ W if linear else np.maximum(X @ W, 0)
    active = np.ones(Y.shape, bool) if linear else Y > 1e-6
    V = cp.Variable(W.shape)
    rest = cp.multiply(active * 1.0, X @ V - Y)
    above = cp.multiply((~active) * 1.0, X @ V)
    eps = gain * np.linalg.norm(Y)
    if hard:
        constraints = [cp.norm(rest, "fro") <= eps, above <= 0]
    else:
        excess = cp.Variable(Y.shape, nonneg=True)
        constraints = [cp.norm(cp.vstack([rest, excess]), "fro") <= eps, above <= excess]
    return cp.Problem(cp.Minimize(cp.sum(cp.abs(V))), constraints).solve(solver="CLARABEL")


@pytest.mark.parametrize("gain", [0.05, 0.3, 0.8])
def test_the_norm_is_the_least(gain):
    X, W = layer()
    found = wp.net_trim(X, W, gain, tol=1e-3)
    best = least_norm(X, W, gain)
    assert found.converged
    assert found.error <= found.allowed == pytest.approx(gain * np.linalg.norm(np.maximum(X @ W, 0)))
    assert found.certificate.primal == np.abs(found.weights).sum() == pytest.approx(best, rel=1.1e-3)
    assert found.certificate.lower_bound <= best * (1 + 1e-6)
    assert best <= least_norm(X, W, gain, hard=True) * (1 + 1e-6) <= np.abs(W).sum()


def test_a_linear_layer():
    X, W = layer(1)
    found = wp.net_trim(X, W, 0.2, "linear", tol=1e-3)
    assert found.certificate.primal == pytest.approx(least_norm(X, W, 0.2, linear=True), rel=1.1e-3)
    assert np.linalg.norm(X @ found.weights - X @ W) <= found.allowed


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.05, 0.9), st.floats(1e-3, 1e3))
def test_the_error_is_allowed_and_the_bound_is_one(seed, gain, scale):
    X, W = layer(seed, 25, 5, 2)
    found = wp.net_trim(scale * X, W, gain)
    Y = np.maximum(scale * X @ W, 0)
    true = np.linalg.norm(np.maximum(scale * X @ found.weights, 0) - Y)
    assert true <= found.error * (1 + 1e-9) <= found.allowed * (1 + 2e-9)
    assert found.certificate.lower_bound <= least_norm(X, W, gain) * (1 + 1e-5)
    assert found.certificate.primal <= np.abs(W).sum()


def test_sparse_weights_are_found_again():
    X, _ = layer(2, 80, 20, 1)
    W = np.zeros((20, 1))
    W[[3, 11]] = [[1.0], [-2.0]]
    found = wp.net_trim(X, W, 0.01, tol=1e-3)
    assert np.flatnonzero(np.abs(found.weights) > 1e-2).tolist() == [3, 11]
    assert found.kept == np.count_nonzero(found.weights) / 20


def test_dtype_is_kept_and_input_is_left_alone():
    X, W = (a.astype(np.float32) for a in layer())
    before = X.copy(), W.copy()
    X.flags.writeable = W.flags.writeable = False
    found = wp.net_trim(X, W, 0.2)
    assert found.weights.dtype == np.float32
    assert np.array_equal(X, before[0])
    assert np.array_equal(W, before[1])


def test_outputs_of_other_weights():
    """A cascade: the inputs are slightly off, the outputs those of the trained layer."""
    X, W = layer()
    rng = np.random.default_rng(5)
    Y = np.maximum(X @ W, 0)
    off = X + 0.01 * rng.standard_normal(X.shape)
    found = wp.net_trim(off, W, 0.2, outputs=Y)
    assert np.linalg.norm(np.maximum(off @ found.weights, 0) - Y) <= 0.2 * np.linalg.norm(Y)


def test_a_gap_that_is_not_reached_is_told():
    X, W = layer()
    with pytest.warns(wp.ConvergenceWarning, match="raise"):
        found = wp.net_trim(X, W, 0.2, tol=1e-13, max_iter=1)
    assert not found.converged
    assert found.error <= found.allowed


def test_bad_input():
    X, W = layer()
    for change, message in (
        ({"inputs": X[:, :3]}, "inputs need shape"),
        ({"gain": 0.0}, "gain must be"),
        ({"gain": 1.0}, "gain must be"),
        ({"activation": "tanh"}, "activation is"),
        ({"outputs": np.zeros((3, 4))}, "outputs have shape"),
        ({"outputs": -np.ones((60, 4))}, "all outputs are 0"),
        ({"weights": np.full((8, 4), np.nan)}, "weights"),
        ({"tol": 0.0}, "tol"),
        ({"outputs": np.random.default_rng(0).uniform(1, 2, (60, 4)), "gain": 1e-3}, "raise gain"),
    ):
        with pytest.raises(ValueError, match=message):
            wp.net_trim(**{"inputs": X, "weights": W, **change})
    with pytest.raises(TypeError, match="bool"):
        wp.CensoredLeastSquares(None, np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="bound has shape"):
        wp.CensoredLeastSquares(None, np.zeros(3), np.zeros(2, bool))
