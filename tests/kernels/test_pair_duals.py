"""Dual vectors of pairs against the plain text of what they do."""

from __future__ import annotations

import numpy as np
import pytest

from wellposed.kernels.pair_duals import advance_pairs, gather_pairs

FIRST, SECOND = np.array([0, 0, 1, 3]), np.array([1, 2, 2, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sigma", [0.0, 0.3, 50.0])
def test_a_step_of_the_duals(dtype, sigma):
    rng = np.random.default_rng(0)
    x, duals, share = rng.normal(size=(4, 6)), rng.normal(size=(4, 6)), rng.random(4) + 0.5
    longest = np.array([0.5, 100.0, 1e-3, 2.0])
    moved = duals + sigma * (share[FIRST, None] * x[FIRST] - share[SECOND, None] * x[SECOND])
    lengths = np.linalg.norm(moved, axis=1)
    expected = moved * np.minimum(1.0, longest / lengths)[:, None]
    made, point = duals.astype(dtype), x.astype(dtype)
    point.flags.writeable = False
    advance_pairs(FIRST, SECOND, share.astype(dtype), longest.astype(dtype), point, sigma, made)
    assert made.dtype == dtype
    assert made == pytest.approx(expected, rel=1e-4 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_their_sum_over_the_pairs_of_each_row(dtype):
    rng = np.random.default_rng(1)
    duals, factors = rng.normal(size=(4, 6)).astype(dtype), rng.normal(size=8).astype(dtype)
    starts, pairs = np.array([0, 2, 5, 7, 8, 8]), np.array([0, 1, 0, 2, 3, 1, 2, 3])
    total = np.full((5, 6), np.nan, dtype=dtype)
    gather_pairs(starts, pairs, factors, duals, total)
    for i in range(5):
        mine = slice(starts[i], starts[i + 1])
        assert total[i] == pytest.approx(factors[mine] @ duals[pairs[mine]], abs=1e-5)
    assert not total[4].any()
