"""Choosing weights: closed forms for Tikhonov, noise levels that are known, scales, starts, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.signal import correlate

import wellposed as wp
from wellposed.solvers.noise import estimate_noise
from wellposed.solvers.selection_path import Path
from wellposed.solvers.selection_rules import RULES, whiteness

WEIGHT = wp.Parameter("weight", 1.0)
SIGMA = 0.05


@pytest.fixture
def blurred(rng):
    """A smoothing matrix with its data: U, singular values, b, and the Tikhonov objective."""
    n, m = 60, 80
    t, s = np.linspace(0, 1, n), np.linspace(0, 1, m)
    A = np.exp(-((s[:, None] - t) ** 2) / 0.005) / 4
    x = np.sin(5 * t) + (t > 0.5)
    b = A @ x + SIGMA * rng.normal(size=m)
    objective = wp.LeastSquares(wp.operators.Matrix(A), b) + WEIGHT * wp.SquaredL2()
    return A, b, objective


class Tikhonov:
    """The closed forms, from the singular value decomposition."""

    def __init__(self, A, b):
        self.U, self.s, _ = np.linalg.svd(A, full_matrices=False)
        self.c = self.U.T @ b
        self.m, self.outside = b.size, float(b @ b - self.c @ self.c)

    def trace(self, w):
        return float(np.sum(self.s**2 / (self.s**2 + w)))

    def residual(self, w):
        return float(np.sum((w / (self.s**2 + w) * self.c) ** 2)) + self.outside

    def upre(self, w):
        return self.residual(w) + 2 * SIGMA**2 * self.trace(w) - self.m * SIGMA**2

    def gcv(self, w):
        return self.m * self.residual(w) / (self.m - self.trace(w)) ** 2

    def best(self, criterion):
        return math.exp(minimize_scalar(lambda t: criterion(math.exp(t)), bounds=(-12.0, 3.0)).x)


def test_the_discrepancy_root_is_that_of_the_closed_form(blurred):
    A, b, objective = blurred
    exact = Tikhonov(A, b)
    root = brentq(lambda t: exact.residual(math.exp(t)) - b.size * SIGMA**2, -20, 5)
    choice = wp.choose(objective, WEIGHT, "discrepancy", noise_level=SIGMA, tol=1e-8)
    assert exact.residual(choice.value) == pytest.approx(b.size * SIGMA**2, rel=0.03)
    assert math.log(choice.value) == pytest.approx(root, abs=0.5)
    residual = A @ choice.result.x - b
    assert residual @ residual == pytest.approx(exact.residual(choice.value), rel=1e-3)


def test_eta_above_one_smooths_more(blurred):
    _, _, objective = blurred
    weights = [
        wp.choose(objective, "weight", "discrepancy", noise_level=SIGMA, eta=eta).value for eta in (1, 1.2)
    ]
    assert weights[1] > weights[0]


def test_the_mean_of_the_monte_carlo_traces_is_the_trace(blurred):
    A, b, objective = blurred
    exact = Tikhonov(A, b)
    for w in (0.01, 0.3):
        traces = [
            b.size * Path(objective, "weight", 1e-10, True, SIGMA, seed).at(w).degrees for seed in range(60)
        ]
        error = np.std(traces) / math.sqrt(len(traces))
        assert error < 0.1 * exact.trace(w)
        assert np.mean(traces) == pytest.approx(exact.trace(w), abs=4 * error)


@pytest.mark.parametrize("rule", ["upre", "gcv"])
def test_minima_are_near_those_of_the_closed_form(blurred, rule):
    A, b, objective = blurred
    exact = Tikhonov(A, b)
    criterion = getattr(exact, rule)
    best = exact.best(criterion)
    chosen = [wp.choose(objective, "weight", rule, noise_level=SIGMA, seed=k).value for k in range(5)]
    risk = [criterion(w) - criterion(best) for w in chosen]
    # One probe moves the minimum, along a criterion that is flat there.
    spread = criterion(100 * best) - criterion(best)
    assert all(r >= -1e-12 for r in risk)
    assert np.median(risk) < 0.05 * spread


def test_sure_of_soft_thresholding_counts_what_is_kept(rng):
    """The divergence of soft thresholding is the number of entries above the threshold."""
    b = np.where(np.arange(4000) < 400, 3.0, 0.0) + rng.normal(size=4000)
    objective = wp.LeastSquares(None, b) + WEIGHT * wp.L1()
    choice = wp.choose(objective, WEIGHT, "sure", noise_level=1.0)

    def sure(w):
        return np.sum(np.minimum(b**2, w**2)) + 2 * np.sum(np.abs(b) > w) - b.size

    grid = np.geomspace(0.05, 5, 200)
    best = min(sure(w) for w in grid)
    assert sure(choice.value) - best < 0.05 * b.size
    for record in choice.curve:
        assert record.degrees == pytest.approx(np.mean(np.abs(b) > record.value), abs=0.05)


def test_whiteness_is_that_of_the_autocorrelation_sums(rng):
    r = rng.normal(size=(5, 7)) + 0.5
    wide = np.tile(r, (2, 2))
    lags = correlate(wide, r, mode="valid")[:5, :7]
    assert whiteness(r) == pytest.approx(np.sum(lags**2) / np.sum(r**2) ** 2)


def test_whiteness_tells_white_from_coloured(rng):
    white = rng.normal(size=(64, 64))
    assert whiteness(white) == pytest.approx(2.0, rel=0.1)
    assert whiteness(white + np.roll(white, 1, 0)) > 2.3


# --- images ---------------------------------------------------------------------------------------


@pytest.fixture
def steps(rng):
    """Blocks, and the same with noise."""
    clean = np.kron(rng.uniform(size=(6, 5)), np.ones((8, 9)))
    return clean, clean + 0.1 * rng.normal(size=clean.shape)


@pytest.mark.parametrize("rule", ["auto", "upre", "sure", "gcv", "residual-whiteness"])
def test_denoising_loses_little_against_the_best_weight(steps, rule):
    clean, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()

    def loss(x):
        return 10 * math.log10(np.sum((x - clean) ** 2))

    best = min(
        loss(wp.minimize(objective.with_parameters({"weight": w}), tol=1e-3).x)
        for w in np.geomspace(0.02, 1, 12)
    )
    choice = wp.choose(objective, WEIGHT, rule)
    assert loss(choice.result.x) < best + 1.0
    assert len(choice.curve) <= 15


def test_the_choice_is_whole(steps):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    choice = wp.choose(objective, WEIGHT, "upre", tol=1e-4)
    assert choice.rule == "upre"
    assert choice.noise_level == pytest.approx(0.1, rel=0.15)
    assert "estimated" in choice.note
    assert choice.objective.parameters[0].value == choice.value
    assert choice.result.certificate.relative <= 1e-4
    assert wp.verify(choice.objective, choice.result).relative <= 1e-4
    weights = [record.value for record in choice.curve]
    assert weights == sorted(weights)
    assert WEIGHT.value == 1.0
    assert choice.plot() is not None
    assert "upre" in repr(choice)


def test_the_seed_fixes_the_choice(steps):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    one, two = (wp.choose(objective, WEIGHT, "upre", seed=3) for _ in range(2))
    assert one.value == two.value
    assert np.array_equal(one.result.x, two.result.x)


@pytest.mark.parametrize("rule", ["discrepancy", "upre", "gcv", "lcurve", "residual-whiteness"])
def test_a_thousandfold_of_the_data_takes_a_thousandfold_weight(steps, rule):
    """Total variation is homogeneous of degree 1, the data fit of degree 2."""
    _, noisy = steps

    def chosen(scale):
        return wp.choose(wp.LeastSquares(None, scale * noisy) + WEIGHT * wp.TotalVariation(), WEIGHT, rule)

    assert chosen(1000.0).value == pytest.approx(1000 * chosen(1.0).value, rel=0.05)


def test_float32_stays_float32(steps):
    _, noisy = steps
    b = noisy.astype(np.float32)
    b.flags.writeable = False
    choice = wp.choose(wp.LeastSquares(None, b) + WEIGHT * wp.TotalVariation(), WEIGHT)
    assert choice.result.x.dtype == np.float32


def test_weights_are_inverse_variances(steps):
    """Weighting all squares by 1 / variance divides the objective by the variance."""
    _, noisy = steps
    plain = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    weights = np.full(noisy.shape, 100.0)
    weighted = wp.LeastSquares(None, noisy, weights=weights) + WEIGHT * wp.TotalVariation()
    for rule in ("discrepancy", "upre", "residual-whiteness"):
        a = wp.choose(plain, WEIGHT, rule, noise_level=0.1)
        b = wp.choose(weighted, WEIGHT, rule)
        # The two are solved by different methods, so that errors within the tolerance differ.
        assert b.value == pytest.approx(100 * a.value, rel=0.1), rule


def test_data_of_weight_zero_do_not_count(steps):
    _, noisy = steps
    seen = np.ones(noisy.shape)
    seen[:, ::2] = 0.0
    objective = wp.LeastSquares(None, noisy, weights=seen / 0.1**2) + WEIGHT * wp.SquaredL2()
    choice = wp.choose(objective, WEIGHT, "discrepancy")
    squares = np.sum(seen * (choice.result.x - noisy) ** 2)
    assert squares == pytest.approx(0.1**2 * np.sum(seen), rel=0.05)


def test_data_behind_a_mask_do_not_count(steps, rng):
    clean, noisy = steps
    mask = rng.uniform(size=noisy.shape) < 0.6
    objective = wp.LeastSquares(wp.operators.Mask(mask), mask * noisy) + WEIGHT * wp.TotalVariation()
    choice = wp.choose(objective, WEIGHT, "discrepancy", noise_level=0.1)
    assert np.sum(mask * (choice.result.x - noisy) ** 2) == pytest.approx(0.01 * np.sum(mask), rel=0.05)
    with pytest.raises(ValueError, match="masked data"):
        wp.choose(objective, WEIGHT, "upre")
    automatic = wp.choose(objective, WEIGHT)
    assert np.mean((automatic.result.x - clean) ** 2) < 0.5 * 0.01


def test_each_solve_starts_from_its_neighbour(rng):
    n = 40
    A = wp.operators.Matrix(rng.normal(size=(60, n)))
    b = rng.normal(size=60)
    objective = wp.LeastSquares(A, b) + WEIGHT * wp.L1()
    path = Path(objective, "weight", 1e-6)
    path.at(2.0)
    warm = path.at(1.9).result.iterations
    cold = Path(objective, "weight", 1e-6).at(1.9).result.iterations
    assert warm < cold


def test_counts_are_fitted_to_half_their_number(rng):
    clean = np.kron(rng.uniform(20, 100, size=(5, 5)), np.ones((8, 8)))
    counts = rng.poisson(clean).astype(float)
    objective = wp.KullbackLeibler(None, counts) + WEIGHT * wp.TotalVariation() + wp.NonNegative()
    choice = wp.choose(objective, WEIGHT, "discrepancy", tol=1e-3)
    assert wp.KullbackLeibler(None, counts)(choice.result.x) == pytest.approx(counts.size / 2, rel=0.05)
    by_whiteness = wp.choose(objective, WEIGHT, tol=1e-3)
    assert by_whiteness.rule == "residual-whiteness"
    assert np.sum((by_whiteness.result.x - clean) ** 2) < 0.5 * np.sum((counts - clean) ** 2)


def test_the_range_grows_where_the_best_is_at_its_end(steps):
    """Data with next to no noise need weights far below those tried at first, pure noise those above."""
    clean, _ = steps
    objective = wp.LeastSquares(None, clean) + WEIGHT * wp.SquaredL2()
    small = wp.choose(objective, WEIGHT, "discrepancy", noise_level=1e-4)
    assert small.curve[0].value < 1e-3 * small.curve[-1].value
    assert np.sqrt(np.mean((small.result.x - clean) ** 2)) == pytest.approx(1e-4, rel=0.05)
    large = wp.choose(objective, WEIGHT, "discrepancy", noise_level=0.85 * np.sqrt(np.mean(clean**2)))
    assert large.curve[-1].value > 5 * large.curve[0].value
    assert large.value == pytest.approx(0.85 / 0.15, rel=0.1)


def test_a_given_range_is_kept(steps):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    choice = wp.choose(objective, WEIGHT, "upre", low=1e-4, high=1e-3)
    assert all(1e-4 * 0.999 <= r.value <= 1e-3 * 1.001 for r in choice.curve)
    assert "largest" in choice.note
    bounded = wp.Parameter("weight", 0.5, low=0.4, high=2.0)
    objective = wp.LeastSquares(None, noisy) + bounded * wp.TotalVariation()
    assert 0.4 <= wp.choose(objective, bounded).value <= 2.0


def test_a_parameter_inside_a_term_is_chosen_over_its_bounds(steps):
    _, noisy = steps
    eps = wp.Parameter("eps", 0.1, low=1e-3, high=1.0)
    objective = wp.LeastSquares(None, noisy) + 0.3 * wp.SmoothedTotalVariation(eps)
    choice = wp.choose(objective, eps, "upre", noise_level=0.1, count=3)
    assert 1e-3 <= choice.value <= 1.0


def test_the_callback_sees_each_weight_and_can_stop(steps):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    seen = []

    def watch(record):
        seen.append(record)
        return len(seen) < 3

    choice = wp.choose(objective, WEIGHT, "residual-whiteness", callback=watch)
    assert len(seen) == len(choice.curve) == 3
    assert "stopped" in choice.note


def test_progress_prints_a_line_for_each_weight(steps, capsys):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    choice = wp.choose(objective, WEIGHT, progress=True, count=3)
    assert capsys.readouterr().err.count("weight") == len(choice.curve)


def test_auto_says_which_rule_and_why(blurred):
    _, _, objective = blurred
    assert wp.choose(objective, WEIGHT, noise_level=SIGMA).note.startswith("upre, since")
    assert wp.choose(objective, WEIGHT).note.startswith("gcv, which")


def test_auto_goes_by_the_operator_and_by_what_is_known(steps):
    _, noisy = steps
    plain = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    assert wp.choose(plain, WEIGHT, noise_level=0.1, count=3).rule == "sure"
    assert wp.choose(plain, WEIGHT, count=3).rule == "gcv"
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    blur = wp.operators.Convolution(kernel, noisy.shape, boundary="reflect")
    blurred = wp.LeastSquares(blur, noisy) + WEIGHT * wp.SquaredL2()
    assert wp.choose(blurred, WEIGHT, count=3).rule == "gcv"
    assert wp.choose(blurred, WEIGHT, noise_level=0.1, count=3).rule == "upre"
    scan = wp.operators.ParallelBeam((16, 16), np.linspace(0, 3, 9), n_detectors=20)
    sinogram = scan(noisy[:16, :16]) + np.random.default_rng(0).normal(size=(9, 20))
    scanned = wp.LeastSquares(scan, sinogram) + WEIGHT * wp.SquaredL2()
    assert wp.choose(scanned, WEIGHT, count=3).rule == "residual-whiteness"


def test_lcurve_finds_the_corner_of_tikhonov(blurred):
    A, b, objective = blurred
    choice = wp.choose(objective, WEIGHT, "lcurve")
    exact = Tikhonov(A, b)
    best = exact.best(exact.upre)
    assert best / 100 < choice.value < best * 100


# --- noise ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.02, 0.1, 0.3])
def test_noise_of_an_image_is_estimated(rng, level):
    y, x = np.mgrid[:128, :128] / 128
    image = np.sin(6 * x) * y + (x > 0.4) + ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.04)
    assert estimate_noise(image + level * rng.normal(size=image.shape)) == pytest.approx(level, rel=0.06)


def test_noise_of_a_sinogram_is_estimated(rng):
    from wellposed.problems.phantoms import shepp_logan

    A = wp.operators.ParallelBeam((128, 128), np.linspace(0, np.pi, 90, endpoint=False))
    clean = A(shepp_logan((128, 128)))
    level = 0.03 * clean.max()
    assert estimate_noise(clean + level * rng.normal(size=clean.shape)) == pytest.approx(level, rel=0.1)


def test_noise_of_a_signal_and_of_complex_data(rng):
    t = np.linspace(0, 1, 2000)
    assert estimate_noise(np.sin(9 * t) + 0.2 * rng.normal(size=t.size)) == pytest.approx(0.2, rel=0.1)
    noise = rng.normal(size=(80, 80)) + 1j * rng.normal(size=(80, 80))
    assert estimate_noise(0.5 * noise) == pytest.approx(0.5 * math.sqrt(2), rel=0.05)


def test_noise_free_or_tiny_data_are_refused():
    with pytest.raises(ValueError, match="more than half"):
        estimate_noise(np.kron(np.eye(2), np.ones((40, 40))))
    with pytest.raises(ValueError, match="shape"):
        estimate_noise(np.ones((3, 3)))


# --- bad input ------------------------------------------------------------------------------------


def test_bad_input_is_named_before_any_solve(steps, monkeypatch):
    _, noisy = steps
    objective = wp.LeastSquares(None, noisy) + WEIGHT * wp.TotalVariation()
    blur = wp.operators.Convolution(np.ones((3, 3)) / 9, noisy.shape, boundary="reflect")
    monkeypatch.setattr("wellposed.solvers.selection_path.solve_near", None)

    def refused(match, *arguments, error=ValueError, **options):
        with pytest.raises(error, match=match):
            wp.choose(*arguments, **options)

    refused("unknown rule 'best'", objective, WEIGHT, "best")
    refused("no parameter named 'other'; it has weight", objective, "other")
    refused("it has none", wp.LeastSquares(None, noisy) + 0.1 * wp.TotalVariation(), "weight")
    refused("must be a Parameter or its name", objective, 3.0, error=TypeError)
    refused("noise_level must be a positive", objective, WEIGHT, "upre", noise_level=0.0)
    refused("noise_level must be a positive", objective, WEIGHT, "upre", noise_level=math.nan)
    refused("no data fit", WEIGHT * wp.L1() + wp.NonNegative(), WEIGHT)
    refused("2 data fits", objective + wp.LeastSquares(None, noisy), WEIGHT)
    refused("the range of weight is empty", objective, WEIGHT, low=1.0, high=0.5)
    refused("low must be a positive", objective, WEIGHT, low=-1.0)
    refused("count must be", objective, WEIGHT, count=1)
    refused("eta must be positive", objective, WEIGHT, eta=0.0)
    blurred = wp.LeastSquares(blur, noisy) + WEIGHT * wp.TotalVariation()
    refused("take 'upre'", blurred, WEIGHT, "sure")
    robust = wp.HuberLoss(None, noisy, 0.1) + WEIGHT * wp.TotalVariation()
    for rule in ("gcv", "upre", "discrepancy"):
        refused("needs a LeastSquares data fit, not HuberLoss", robust, WEIGHT, rule)
    refused("L1Loss: give high", wp.L1Loss(None, noisy) + WEIGHT * wp.TotalVariation(), WEIGHT)
    eps = wp.Parameter("eps", 0.1)
    inside = wp.LeastSquares(None, noisy) + wp.SmoothedTotalVariation(eps)
    refused("give low and high", inside, eps)
    refused("give high", wp.LeastSquares(None, 0 * noisy) + WEIGHT * wp.L1(), WEIGHT)


def test_every_rule_is_in_the_docstring():
    assert wp.choose.__doc__ is not None
    assert all(f'"{name}"' in wp.choose.__doc__ for name in RULES)


# --- a free intercept ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["discrepancy", "gcv", "upre", "lcurve", "residual-whiteness"])
def test_a_constant_in_the_data_does_not_change_the_choice(rule: str) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 20))
    b = X[:, 0] - 2 * X[:, 1] + 0.3 * rng.normal(size=60)
    weight = wp.Parameter("weight", 1.0)

    def chosen(constant: float) -> wp.Choice:
        fit = wp.LeastSquares(wp.operators.Matrix(X), b + constant, intercept=True)
        noise = 0.3 if rule in ("discrepancy", "upre") else None
        return wp.choose(fit + weight * wp.L1(), weight, rule=rule, noise_level=noise, count=8, tol=1e-8)

    plain, moved = chosen(0.0), chosen(50.0)
    assert moved.value == pytest.approx(plain.value, rel=0.02)
    np.testing.assert_allclose(moved.result.x, plain.result.x, atol=0.02)
    for record in moved.curve:
        x = wp.minimize(moved.objective.with_parameters({"weight": record.value}), tol=1e-8).x
        assert record.residual == pytest.approx((b - X @ x).std(), rel=1e-2)


def test_the_trace_counts_the_intercept() -> None:
    rng = np.random.default_rng(0)
    b = 10 + rng.normal(size=400)
    X = rng.normal(size=(400, 3))
    weight = wp.Parameter("weight", 1.0)
    fit = wp.LeastSquares(wp.operators.Matrix(X), b, intercept=True)
    found = wp.choose(fit + weight * wp.L1(), weight, rule="gcv", tol=1e-10, low=1e-4, high=1e5, count=5)
    # All coefficients are zero at the largest weight: what is left is the mean, one of 400 degrees.
    assert 0 < found.curve[-1].degrees < 8 / 400
