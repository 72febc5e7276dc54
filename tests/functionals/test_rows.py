"""Penalties of each row: all at once as one by one, and subgradients that support the graph."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wellposed as wp
from wellposed.functionals.rows import row_prox, row_subgradients, row_values

WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 1.5])
PENALTIES = {
    "l1": (wp.L1(WEIGHTS), 0.0),
    "weighted l1": (0.3 * wp.L1(), 0.0),
    "smoothed l0": (wp.SmoothedL0(0.8, WEIGHTS), wp.SmoothedL0(0.8, WEIGHTS).weak_convexity),
    "stvs": (2.0 * wp.STVS(0.4), 1.0),
    "k-support": (wp.SparseEnvelope(2), 0.0),
    "k-support, weights": (0.7 * wp.SparseEnvelope(2.5, weights=WEIGHTS + 0.3), 0.0),
    "k-support, no limit": (wp.SparseEnvelope(9), 0.0),
    "squares": (wp.SquaredL2(), 0.0),
}


def points(rng, count=40):
    x = rng.standard_normal((count, 5))
    x[rng.random(x.shape) < 0.3] = 0.0
    x[:2, 1:] = 0.0
    return x


@pytest.mark.parametrize("name", PENALTIES)
def test_rows_are_those_of_one_by_one(name, rng):
    f, _ = PENALTIES[name]
    x = points(rng)
    x.setflags(write=False)
    assert np.allclose(row_values(f, x), [f(row) for row in x], rtol=1e-12)
    assert np.allclose(row_values(f, x.reshape(4, 10, 5)).reshape(-1), row_values(f, x), rtol=1e-14)
    assert np.allclose(row_subgradients(f, x), [f.subgradient(row) for row in x], rtol=1e-12)
    assert np.allclose(row_prox(f, x, 0.6), [f.prox(row, 0.6) for row in x], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_subgradients_bound_from_below(name, rng):
    """``f(y) >= f(x) + <g, y - x> - rho/2 ||y - x||^2`` for all pairs, ``rho`` what lacks to convexity."""
    f, rho = PENALTIES[name]
    x, y = points(rng), points(rng)
    g = row_subgradients(f, x)
    lower = row_values(f, x) + (g * (y[:, None] - x)).sum(-1) - rho / 2 * ((y[:, None] - x) ** 2).sum(-1)
    assert np.all(lower <= row_values(f, y)[:, None] + 1e-12)


@given(st.integers(0, 10**6), st.floats(0.3, 6.0))
def test_k_support_subgradient_is_dual_to_its_point(seed, k):
    """Fenchel-Young: ``f(x) + f*(g) = <g, x>`` only for subgradients."""
    x = points(np.random.default_rng(seed), 1)[0]
    f = wp.SparseEnvelope(k)
    g = f.subgradient(x)
    assert f(x) + f._conjugate(g) == pytest.approx(g @ x, rel=1e-10, abs=1e-12)


def test_single_precision_and_tensors(rng):
    torch = pytest.importorskip("torch")
    x = points(rng).astype(np.float32)
    for f, _ in PENALTIES.values():
        for function in (row_values, row_subgradients, row_prox):
            expected = function(f, x)
            found = function(f, torch.tensor(x))
            assert expected.dtype == np.float32
            assert found.dtype == torch.float32
            assert np.allclose(found.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_penalties_without_subgradients_say_so(rng):
    x = points(rng)
    with pytest.raises(TypeError, match="not differentiable"):
        row_subgradients(wp.GroupL2([[0, 1]]), x)
    with pytest.raises(TypeError, match="groups"):
        row_subgradients(wp.SparseEnvelope(1, [[0, 1], [2, 3, 4]]), x)
