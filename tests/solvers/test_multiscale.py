"""Sparsity in multiscale transforms, analysis and synthesis, with weights per scale, against CVXPY."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest

import wellposed as wp

O = wp.operators
TRANSFORMS = {
    "wavelets": lambda: O.Wavelet((8, 12), "db2", 1),
    "biorthogonal wavelets": lambda: O.Wavelet((10, 12), "bior2.2", 1),
    "undecimated wavelets": lambda: O.UndecimatedWavelet((8, 12), "haar", 2),
    "shearlets": lambda: O.Shearlets((8, 11), 2),
}
VALUES = {1: [1.0], 2: [1.0, 0.5]}


@pytest.fixture(params=TRANSFORMS)
def W(request):
    """Each transform in turn."""
    return TRANSFORMS[request.param]()


def least(W, mask, b, weights, synthesis):
    """The minimum by CVXPY."""
    dense = W.to_dense()
    w = np.broadcast_to(weights, W.range_shape).ravel()
    v = cvxpy.Variable(dense.shape[0] if synthesis else dense.shape[1])
    x, c = (dense.T @ v, v) if synthesis else (v, dense @ v)
    fit = 0.5 * cvxpy.sum_squares(cvxpy.multiply(mask.ravel().astype(float), x) - b.ravel())
    problem = cvxpy.Problem(cvxpy.Minimize(fit + 0.3 * w @ cvxpy.abs(c)))
    problem.solve(solver="CLARABEL", tol_gap_rel=1e-9, tol_gap_abs=1e-10)
    return problem.value


@pytest.mark.parametrize("approximation", [0.0, 0.7])
@pytest.mark.parametrize("missing", [False, True])
def test_analysis(W, missing, approximation, rng):
    b = rng.standard_normal(W.domain_shape)
    mask = rng.random(W.domain_shape) < 0.7 if missing else np.ones(W.domain_shape, bool)
    weights = W.weights_per_scale(VALUES[int(W.scales.max())], approximation)
    fit = wp.LeastSquares(O.Mask(mask), b * mask) if missing else wp.LeastSquares(None, b)
    objective = fit + 0.3 * (wp.L1(weights) @ W)
    result = wp.minimize(objective, tol=1e-5, max_iter=20_000)
    expected = least(W, mask, b * mask, weights, synthesis=False)
    assert objective(result.x) == pytest.approx(expected, rel=1e-3)
    if W.isometry or not missing:
        assert objective(result.x) == pytest.approx(expected, rel=2e-5)
        assert result.status == "converged"
        assert result.certificate.kind == "duality gap"
        assert result.certificate.lower_bound <= expected * (1 + 1e-7)
        assert wp.verify(objective, result).relative <= 1.01e-5


@pytest.mark.parametrize("approximation", [0.0, 0.7])
def test_synthesis(W, approximation, rng):
    b = rng.standard_normal(W.domain_shape)
    weights = W.weights_per_scale(0.8, approximation)
    objective = wp.LeastSquares(W.T, b) + 0.3 * wp.L1(weights)
    result = wp.minimize(objective, tol=1e-6, max_iter=20_000)
    everything = np.ones(W.domain_shape, bool)
    assert objective(result.x) == pytest.approx(least(W, everything, b, weights, synthesis=True), rel=1e-5)


def test_analysis_and_synthesis_agree_for_a_basis_and_differ_for_a_frame(rng):
    b = rng.standard_normal((8, 12))
    apart = {}
    for name in ("wavelets", "undecimated wavelets"):
        W = TRANSFORMS[name]()
        l1 = wp.L1(W.weights_per_scale(0.5))
        analysis = wp.minimize(wp.LeastSquares(None, b) + l1 @ W, tol=1e-8)
        synthesis = wp.minimize(wp.LeastSquares(W.T, b) + l1, tol=1e-8, max_iter=20_000)
        apart[name] = float(np.abs(analysis.x - W.T(synthesis.x)).max())
    assert apart["wavelets"] < 1e-3
    assert apart["undecimated wavelets"] > 0.02


def test_weights_follow_scales_and_atoms(W):
    levels = int(W.scales.max())
    values = np.arange(1.0, levels + 1)
    weights = W.weights_per_scale(values, approximation=9.0)
    expected = np.where(W.scales == 0, 9.0, W.scales) * W.atom_norms
    assert np.broadcast_shapes(weights.shape, W.range_shape) == W.range_shape
    np.testing.assert_allclose(weights.ravel(), expected.ravel())
    np.testing.assert_allclose(W.weights_per_scale(2.0)[expected.reshape(weights.shape) == 0], 0.0)
    unit = np.zeros(W.range_shape)
    for index in np.ndindex(*W.scales.shape):
        place = index + (0,) * (unit.ndim - len(index))
        unit[place] = 1.0
        assert np.linalg.norm(W.T(unit)) == pytest.approx(W.atom_norms[index], rel=1e-9)
        unit[place] = 0.0


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [-1.0, 1.0], [np.nan, 1.0], np.ones((2, 1))])
def test_bad_weights(values):
    with pytest.raises(ValueError, match=r"values must be one number, or 2|weights must be finite"):
        O.UndecimatedWavelet((8, 8), "haar", 2).weights_per_scale(values)
    with pytest.raises(ValueError, match="weights must be finite and at least 0"):
        O.Shearlets((8, 8), 2).weights_per_scale(1.0, approximation=-1.0)
