"""Points that move in few coordinates."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp


def test_means_move_by_the_shift():
    problem = wp.problems.sparse_shift(4000, dimensions=6, large=2, size=-2.0, small=0.5, seed=3)
    assert np.all(problem.shift[:2] == -2)
    assert 0 < np.abs(problem.shift[2:]).max() < 2
    moved = problem.target.mean(0) - problem.source.mean(0)
    assert np.allclose(moved, problem.shift, atol=0.12)
    assert np.abs(np.corrcoef(problem.source[:, 0], problem.target[:, 0])[0, 1]) < 0.1
    again = wp.problems.sparse_shift(4000, dimensions=6, large=2, size=-2.0, small=0.5, seed=3)
    assert np.array_equal(problem.target, again.target)


def test_bad_input():
    with pytest.raises(ValueError, match="large <= dimensions"):
        wp.problems.sparse_shift(10, dimensions=2, large=3)
