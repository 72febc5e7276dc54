"""Waveform misfits: gradients, the Gauss-Newton product, minimisation, checkpoints, bad input."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp

SHAPE = (20, 26)
SOURCES = [[1, 4], [1, 13], [1, 22]]
RECEIVERS = [[1, j] for j in range(1, 26, 3)] + [[18, j] for j in range(1, 26, 3)]


def geometry(**changes):
    options = {"sources": SOURCES, "receivers": RECEIVERS, "max_velocity": 4.0, "layer": 8}
    wavelet = wp.operators.ricker(5.0, 0.005, 140)
    return wp.operators.AcousticWaves(SHAPE, 0.04, 0.005, wavelet, **(options | changes))


WAVES = geometry()


def truth(dtype=np.float64):
    velocity = np.full(SHAPE, 2.0, dtype)
    velocity[8:13, 10:17] = 2.4
    return velocity


@pytest.mark.parametrize("s", [-2.0, -1.0, 0.0, 1.0])
@pytest.mark.parametrize(("axes", "boundary"), [((2,), "reflect"), ((1, 2), "periodic")])
def test_gradient_against_finite_differences(s, axes, boundary, rng):
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth()), s, boundary, axes, unit=0.2)
    x, d = 2 + 0.3 * rng.random(SHAPE), rng.standard_normal(SHAPE)
    slope = (f(x + 1e-5 * d) - f(x - 1e-5 * d)) / 2e-5
    assert np.vdot(f.gradient(x), d) == pytest.approx(slope, rel=1e-6)


def test_value_is_that_of_the_weighted_spectrum():
    """Time, doubled by its mirror image, is periodic: the weights are those of the full transform."""
    b = WAVES(truth())
    f = wp.WaveformLeastSquares(WAVES, b, -1.5, unit=0.3)
    r = WAVES(np.full(SHAPE, 2.0)) - b
    doubled = np.concatenate([r, r[..., ::-1]], axis=2)
    omega = 2 * np.sin(np.pi * np.fft.fftfreq(280)) / 0.005 * 0.3
    expected = 0.5 * ((1 + omega**2) ** -1.5 * abs(np.fft.fft(doubled)) ** 2).sum() / 280 / 2
    assert f(np.full(SHAPE, 2.0)) == pytest.approx(expected, rel=1e-12)


def test_gauss_newton_product_is_the_hessian_where_the_data_are_met(rng):
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth()), -1.0)
    d = rng.standard_normal(SHAPE)
    change = (f.gradient(truth() + 1e-5 * d) - f.gradient(truth() - 1e-5 * d)) / 2e-5
    product = f.gauss_newton_product(truth(), d)
    np.testing.assert_allclose(product, change, atol=1e-6 * abs(change).max())


@pytest.mark.parametrize("solver", ["auto", "fista"])
def test_minimisation_finds_the_inclusion(solver):
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth()))
    start = np.full(SHAPE, 2.0)
    constraint = [] if solver == "auto" else [wp.Box(1.5, 3.0)]
    result = wp.minimize(sum([f, *constraint]), x0=start, tol=0.02, max_iter=150, solver=solver)
    assert result.status == "stationary"
    assert result.plan.solver == ("lbfgs" if solver == "auto" else "fista")
    assert np.linalg.norm(result.x - truth()) < 0.7 * np.linalg.norm(start - truth())
    assert result.objective < 0.05 * f(start)


def test_with_total_variation_in_single_precision():
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth(np.float32)))
    start = np.full(SHAPE, 2.0, np.float32)
    objective = 1e3 * f + 0.02 * wp.SmoothedTotalVariation(0.01) + wp.Box(1.5, 3.0)
    result = wp.minimize(objective, x0=start, tol=0.05, max_iter=100)
    assert result.x.dtype == np.float32
    assert np.linalg.norm(result.x - truth()) < 0.7 * np.linalg.norm(start - truth())


def test_without_a_start_minimisation_says_so():
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth()))
    with pytest.raises(ValueError, match="infinite at the start: give an x0"):
        wp.minimize(f + wp.Box(0.0, 3.0))
    with pytest.raises(ValueError, match="velocities must be above 0"):
        wp.minimize(f)


def test_outside_of_the_velocities_that_are_allowed():
    f = wp.WaveformLeastSquares(WAVES, WAVES(truth()))
    assert f(np.full(SHAPE, 4.1)) == np.inf
    assert f(-truth()) == np.inf
    with pytest.raises(ValueError, match="at most max_velocity=4"):
        f.gradient(np.full(SHAPE, 4.1))


def test_waves_are_simulated_once_for_value_and_gradient(monkeypatch):
    from wellposed.operators import _waves

    count = []
    propagate = _waves.Run._propagate
    monkeypatch.setattr(_waves.Run, "_propagate", lambda run: (count.append(1), propagate(run))[1])
    f = wp.WaveformLeastSquares(WAVES, np.zeros(WAVES.range_shape))
    x = truth()
    f(x), f.gradient(x), f(x.copy())
    assert len(count) == 1
    x[0, 0] = 2.1
    changed = f(x)
    assert len(count) == 2
    assert changed == wp.WaveformLeastSquares(WAVES, np.zeros(WAVES.range_shape))(x)


def test_the_order_can_be_a_parameter():
    b, x = WAVES(truth()), np.full(SHAPE, 2.0)
    f = wp.WaveformLeastSquares(WAVES, b, wp.Parameter("s", 0.5))
    assert f.with_parameters({"s": 1.0})(x) == wp.WaveformLeastSquares(WAVES, b, 1.0)(x) != f(x)


def test_lbfgs_steps_back_into_the_velocities_that_are_allowed():
    """The data ask for more than the largest velocity, so that trial steps leave the domain."""
    low, wide = geometry(max_velocity=2.05), geometry()
    f = wp.WaveformLeastSquares(low, wide(np.full(SHAPE, 2.3)))
    with pytest.warns(wp.ConvergenceWarning):
        result = wp.minimize(f, np.full(SHAPE, 2.0), tol=1e-6, max_iter=30)
    assert result.x.max() <= 2.05
    assert result.objective < f(np.full(SHAPE, 2.0))


def test_a_checkpoint_of_another_geometry_is_refused(tmp_path):
    b, start = WAVES(truth()), np.full(SHAPE, 2.0)
    with pytest.warns(wp.ConvergenceWarning):
        wp.minimize(wp.WaveformLeastSquares(WAVES, b), start, max_iter=2, checkpoint=tmp_path / "run")
    other = geometry(layer=9)
    with pytest.raises(ValueError, match="checkpoint"):
        wp.minimize(wp.WaveformLeastSquares(other, b), start, max_iter=2, checkpoint=tmp_path / "run")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda b: wp.WaveformLeastSquares(WAVES, b[:2]), ValueError, "b has shape .* sources, receivers"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b / 0), ValueError, "b has .* non-finite"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b + 0j), TypeError, "b"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b, 99.0), ValueError, "s=99 is too large"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b, np.nan), ValueError, "s must be finite"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b, axes=(3,)), ValueError, "axes must be different"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b, unit=0.0), ValueError, "unit must be finite and pos"),
        (lambda b: wp.WaveformLeastSquares(WAVES, b, boundary="zero"), ValueError, "boundary must be one of"),
        (lambda b: wp.WaveformLeastSquares(b, b), TypeError, "waves must be an AcousticWaves"),
    ],
)
def test_bad_arguments(make, error, message):
    with np.errstate(divide="ignore"), pytest.raises(error, match=message):
        make(np.ones(WAVES.range_shape))
