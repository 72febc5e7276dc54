"""Total variation: values, smoothing, and the denoising that its proximal map is."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest

import wellposed as wp
from wellposed.arrays import norm


def naive_tv(x: np.ndarray, channels: bool = False) -> float:
    """Sum over pixels by loops; the channels, if any, are the last axis."""
    x = x if channels else x[..., None]
    total = 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            down = x[i + 1, j] - x[i, j] if i + 1 < x.shape[0] else 0 * x[i, j]
            right = x[i, j + 1] - x[i, j] if j + 1 < x.shape[1] else 0 * x[i, j]
            total += np.sqrt(np.sum(down**2) + np.sum(right**2))
    return total


def cvxpy_denoise(
    b: np.ndarray, lam: float, weights: np.ndarray | None = None, isotropic: bool = True
) -> np.ndarray:
    D = wp.operators.Gradient(b.shape).to_dense()
    x = cvxpy.Variable(b.size)
    jumps = cvxpy.reshape(D @ x, (b.ndim, b.size), order="C")
    sizes = cvxpy.norm(jumps, 2 if isotropic else 1, axis=0)
    w = np.ones(b.size) if weights is None else weights.reshape(-1)
    problem = cvxpy.Problem(cvxpy.Minimize(0.5 * cvxpy.sum_squares(x - b.reshape(-1)) + lam * (w @ sizes)))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-11, tol_gap_rel=1e-11, tol_feas=1e-11)
    return x.value.reshape(b.shape)


def test_value_is_the_loop_over_pixels(rng):
    x, colour = rng.standard_normal((5, 7)), rng.standard_normal((5, 4, 3))
    assert wp.TotalVariation()(x) == pytest.approx(naive_tv(x))
    assert wp.TotalVariation(channel_axis=2)(colour) == pytest.approx(naive_tv(colour, channels=True))
    first = np.moveaxis(colour, 2, 0)
    assert wp.TotalVariation(channel_axis=0)(first) == pytest.approx(naive_tv(colour, channels=True))


def test_weights_count_each_pixel(rng):
    x, w = rng.standard_normal((4, 5)), rng.uniform(0, 2, (4, 5))
    jumps = wp.operators.Gradient((4, 5))(x)
    assert wp.TotalVariation(weights=w)(x) == pytest.approx(np.sum(w * np.sqrt(np.sum(jumps**2, 0))))
    assert wp.TotalVariation(False, w)(x) == pytest.approx(np.sum(w * np.abs(jumps)))


def test_smoothing_converges_from_below(rng):
    x = rng.standard_normal((5, 7))
    tv = wp.TotalVariation()(x)
    for eps in (1e-1, 1e-3):
        smooth = wp.SmoothedTotalVariation(eps)(x)
        assert tv - eps * x.size <= smooth < tv
    assert wp.SmoothedTotalVariation(0.1)(np.full((3, 3), 7.0)) == 0.0


def test_smoothed_constant_depends_on_the_shape():
    f = wp.Parameter("weight", 3.0) * wp.SmoothedTotalVariation(wp.Parameter("eps", 0.5))
    assert f.traits.lipschitz == np.inf
    for shape in ((9,), (9, 8), (4, 5, 6)):
        assert f.traits_on(shape).lipschitz == pytest.approx(
            3 / 0.5 * wp.operators.Gradient(shape).norm() ** 2
        )
    total = (f + wp.LeastSquares(None, np.zeros((9, 8)))).traits_on((9, 8))
    assert total.lipschitz == pytest.approx(1 + 6 * wp.operators.Gradient((9, 8)).norm() ** 2)


@pytest.mark.parametrize(("isotropic", "weighted"), [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_prox_is_denoising(rng, isotropic, weighted, dtype):
    b = np.add.outer(np.arange(8) > 3, np.arange(7) > 2) + 0.3 * rng.standard_normal((8, 7))
    w = rng.uniform(0.2, 2.0, b.shape) if weighted else None
    point = wp.TotalVariation(isotropic, w).prox(b.astype(dtype), np.float64(0.2))
    exact = cvxpy_denoise(b, 0.2, w, isotropic)
    assert point.dtype == dtype
    f = wp.TotalVariation(isotropic, w)
    minimum = 0.5 * norm(exact - b) ** 2 + 0.2 * f(exact)
    gap = 1e-6 if dtype == np.float64 else 1e-5
    assert 0.5 * norm(point - exact) ** 2 <= 1.1 * gap * minimum


def test_prox_of_signals_volumes_and_colours(rng):
    for shape, channel_axis in (((40,), None), ((5, 6, 7), None), ((6, 7, 3), -1), ((3, 6, 7), 0)):
        f = wp.TotalVariation(channel_axis=channel_axis)
        b = rng.standard_normal(shape)
        b.setflags(write=False)
        point = f.prox(b, 0.5)
        best = 0.5 * norm(point - b) ** 2 + 0.5 * f(point)
        assert point.shape == shape
        for _ in range(20):
            rival = point + 10.0 ** rng.uniform(-4, 0) * rng.standard_normal(shape)
            assert best <= (0.5 * norm(rival - b) ** 2 + 0.5 * f(rival)) * (1 + 1e-6)
    assert np.allclose((2.0 * f).prox(b, 0.25), point)


def test_prox_says_what_it_cannot_do(rng):
    b = rng.standard_normal((3, 3))
    with pytest.raises(ValueError, match="takes one step"):
        wp.TotalVariation().prox(b, np.ones((3, 3)))
    with pytest.raises(ValueError, match="up to three axes"):
        wp.TotalVariation().prox(np.zeros((2, 2, 2, 2)), 1.0)
    with pytest.raises(ValueError, match="must be positive"):
        wp.TotalVariation().prox(b, 0.0)


def test_prox_warns_with_the_gap_it_reached(rng, monkeypatch):
    monkeypatch.setattr("wellposed.functionals.tv.PROX_ITERATIONS", 3)
    with pytest.warns(RuntimeWarning, match="stopped after 3 iterations at a relative duality gap of"):
        wp.TotalVariation().prox(rng.standard_normal((9, 9)), 1.0)


@pytest.mark.parametrize(
    ("f", "shape", "message"),
    [
        (
            wp.TotalVariation(weights=np.ones((3, 3))),
            (3, 4),
            r"weights have shape \(3, 3\), the image has \(3, 4\)",
        ),
        (wp.TotalVariation(channel_axis=2), (3, 4), "channel_axis=2 is not an axis"),
        (wp.SmoothedTotalVariation(1.0, channel_axis=0), (3,), "no axis beside its channels"),
    ],
)
def test_shapes_that_do_not_fit(f, shape, message):
    with pytest.raises(ValueError, match=message):
        f(np.zeros(shape))
