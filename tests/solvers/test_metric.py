"""The metric of the data fit: its scale, and that it serves Sobolev fits of all orders."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.metric import MetricFISTA
from wellposed.solvers.problem import canonical

A = wp.operators.ParallelBeam((24, 20), np.pi * np.arange(15) / 15)


def sinogram(rng):
    truth = np.zeros((24, 20))
    truth[6:18, 5:15] = 1.0
    b = A(truth)
    return b + 0.01 * b.max() * rng.standard_normal(b.shape)


def metric_of(fit):
    return MetricFISTA(canonical(fit + wp.TotalVariation()))


def test_the_metric_of_least_squares_is_the_spectrum_times_the_mean_weight(rng):
    b, weights = sinogram(rng), rng.uniform(0.5, 2.0, A.range_shape)
    symbol = A.gram_symbol()
    np.testing.assert_allclose(metric_of(wp.LeastSquares(A, b))._symbol, symbol, rtol=1e-12)
    np.testing.assert_allclose(
        metric_of(3.0 * wp.LeastSquares(A, b, weights))._symbol, 3.0 * weights.mean() * symbol, rtol=1e-12
    )


@pytest.mark.parametrize(("s", "largest"), [(-1.0, 1.0), (1.0, 5.0), (2.0, 25.0)])
def test_the_metric_of_a_sobolev_fit_takes_the_largest_weight(s, largest, rng):
    """Along the detector, whose second differences have eigenvalues up to (nearly) 4."""
    fit = 0.5 * wp.SobolevLeastSquares(A, sinogram(rng), s, "reflect", axes=(1,))
    np.testing.assert_allclose(metric_of(fit)._symbol, 0.5 * largest * A.gram_symbol(), rtol=0.02)


@pytest.mark.parametrize("s", [-1.0, 0.5, 2.0])
def test_sobolev_fits_of_a_scan_agree_with_the_primal_dual_method(s, rng):
    fit = wp.SobolevLeastSquares(A, sinogram(rng), s, "reflect", axes=(1,))
    objective = fit + 0.5 * 3.0**s * wp.TotalVariation() + wp.NonNegative()
    result = wp.minimize(objective, tol=1e-4, solver="metric-fista", max_iter=400)
    other = wp.minimize(objective, tol=1e-4, solver="primal-dual")
    assert result.certificate.kind == "duality gap"
    assert result.objective == pytest.approx(other.objective, rel=3e-4)
