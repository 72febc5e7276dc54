"""The same problems, written for `minimize`."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp

T = wp.transport
ROW_LABELS, COLUMN_LABELS = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1]


@pytest.fixture
def plans():
    rng = np.random.default_rng(0)
    cost = T.squared_distances(rng.normal(size=(8, 2)), rng.normal(size=(6, 2)))
    return wp.TransportPolytope(np.full(8, 1 / 8), np.full(6, 1 / 6), cost)


def agree(written, solved):
    assert written.converged
    assert solved.converged
    assert written.objective == pytest.approx(solved.value, rel=3e-4)
    assert written.certificate.lower_bound <= solved.value + 1e-9
    assert solved.certificate.lower_bound <= written.objective + 1e-9


@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_exact(plans, shift):
    """The conjugate is an exact transport of costs of any sign."""
    moved = wp.TransportPolytope(plans.a, plans.b, plans.cost + shift)
    written = wp.minimize(moved, tol=1e-6, progress=False)
    agree(written, T.exact(moved.cost))
    assert wp.verify(wp.Objective([moved]), written).relative <= 1e-6


@pytest.mark.parametrize("reg", [1e-3, 0.5, 50.0])
def test_quadratic(plans, reg):
    written = wp.minimize(plans + reg * wp.SquaredL2(), tol=1e-6, progress=False)
    agree(written, T.quadratic(plans.cost, reg=reg))


def test_entropic(plans):
    written = wp.minimize(plans + 0.1 * wp.Entropy(np.full((8, 6), 1 / 48)), tol=1e-5, progress=False)
    agree(written, T.entropic(plans.cost, eps=0.1))


@pytest.mark.parametrize("lam", [0.004, 0.02, 0.2])
def test_sum_of_norms(plans, lam):
    rows, columns = T.class_weights(ROW_LABELS), T.class_weights(COLUMN_LABELS)
    penalty = lam * wp.SumOfNorms(rows) + lam * wp.SumOfNorms(columns, axis=1)
    written = wp.minimize(plans + penalty, tol=1e-4, max_iter=20_000, progress=False)
    agree(written, T.sum_of_norms(plans.cost, lam=lam, row_weights=rows, column_weights=columns, tol=1e-4))
