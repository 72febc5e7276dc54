"""graphLa+Psi: its minimisers against CVXPY and L-BFGS, its initial images, kinds of arrays, bad input."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
import torch
from scipy.optimize import minimize as scipy_minimize

import wellposed as wp
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators import GraphLaplacian, PeriodicGradient
from wellposed.solvers.graph_regularised import spread
from wellposed.solvers.hybrid import hybrid_tikhonov
from wellposed.solvers.mm_gks import MMGKS, Projection, fit_to_noise
from wellposed.solvers.problem import Term, canonical
from wellposed.solvers.thin_qr import ThinQR

SIZE = 12
NOISE = 0.05


@pytest.fixture
def scan(rng):
    """A square with a hole, seen from twelve sides, with a little noise; the operator and the data."""
    x = np.zeros((SIZE, SIZE))
    x[2:10, 3:9] = 1.0
    x[5:7, 5:7] = 0.4
    A = wp.operators.ParallelBeam(x.shape, np.pi * np.arange(12) / 12)
    b = A(x)
    return A, b + NOISE * rng.standard_normal(b.shape), x


def error(x, truth):
    return np.linalg.norm(x - truth) / np.linalg.norm(truth)


# --- the exact norm, by the library's own splitting --------------------------------------------------


@pytest.mark.parametrize("nonnegative", [False, True])
def test_the_minimiser_is_that_of_cvxpy_and_the_gap_proves_it(scan, rng, nonnegative):
    A, b, truth = scan
    L = GraphLaplacian(truth + 0.05 * rng.standard_normal(truth.shape), 2, 0.1)
    objective = wp.LeastSquares(A, b) + 3.0 * (wp.L1() @ L)
    objective = objective + wp.NonNegative() if nonnegative else objective
    x = cvxpy.Variable(truth.size, nonneg=nonnegative)
    fit = 0.5 * cvxpy.sum_squares(A.to_dense() @ x - b.reshape(-1))
    problem = cvxpy.Problem(cvxpy.Minimize(fit + 3.0 * cvxpy.norm1(L.to_dense() @ x)))
    least = problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    result = wp.minimize(objective, tol=1e-4)
    assert result.plan.solver == "quadratic-admm"
    assert result.converged
    assert result.certificate.kind == "duality gap"
    assert result.certificate.lower_bound <= least * (1 + 1e-8)
    assert least * (1 - 1e-8) <= result.objective <= least * (1 + 1.01e-4)
    assert wp.verify(objective, result).relative <= 1.5e-4


def test_a_graph_in_pieces_has_a_gap_too(scan):
    """Jumps of 1 cut this graph: its Laplacian has a kernel of several dimensions."""
    A, b, truth = scan
    L = GraphLaplacian(truth, 2, 0.01)
    objective = wp.LeastSquares(A, b) + 1.0 * (wp.L1() @ L)
    result = wp.minimize(objective, tol=1e-4)
    assert result.converged
    assert result.certificate.is_bound
    assert error(result.x, truth) < 0.1


def test_single_precision_and_zero_iterations(scan):
    A, b, truth = scan
    L = GraphLaplacian(truth, 2, 0.5)
    objective = wp.LeastSquares(A, b.astype(np.float32)) + 1.0 * (wp.L1() @ L)
    result = wp.minimize(objective, tol=1e-3)
    assert result.converged
    assert result.x.dtype == np.float32
    with pytest.warns(wp.ConvergenceWarning):
        start = wp.minimize(objective, max_iter=0)
    assert start.certificate.lower_bound <= result.objective


# --- projected Newton steps ---------------------------------------------------------------------------


@pytest.mark.parametrize("normalisation", ["frobenius", "none", "symmetric", "random-walk"])
def test_the_diagonal_of_a_weighted_gram_matrix(rng, normalisation):
    L = GraphLaplacian(rng.random((6, 5)), 2, 0.4, normalisation=normalisation)
    edges = GraphLaplacian.from_adjacency(L.weights, (6, 5), normalisation=normalisation)
    for K in (L, edges, PeriodicGradient((5, 4)), PeriodicGradient((1, 3)), PeriodicGradient((2, 2))):
        weights = rng.random(K.range_shape)
        matrix = K.to_dense()
        expected = np.diag(matrix.T @ (weights.reshape(-1, 1) * matrix)).reshape(K.domain_shape)
        np.testing.assert_allclose(K.gram_diagonal(weights), expected, rtol=1e-12, atol=1e-14)


# --- majorisation in a generalised Krylov space -------------------------------------------------------


def smoothed(A, b, L, weight):
    return wp.LeastSquares(A, b) + weight * (SmoothedL21(0.1, axes=()) @ L)


@pytest.mark.parametrize("periodic", [False, True])
def test_mm_gks_finds_the_minimum_of_lbfgs(scan, rng, periodic):
    A, b, truth = scan
    shape = truth.shape
    guide = truth + 0.05 * rng.standard_normal(shape)
    L = PeriodicGradient(shape) if periodic else GraphLaplacian(guide, 4, 0.03)
    problem = canonical(smoothed(A, b, L, 0.5 if periodic else 5.0))

    def value(flat):
        x = flat.reshape(shape)
        slope = sum(t.backward(t.f.gradient(t.forward(x))) for t in problem.terms)
        return problem.value(x), slope.reshape(-1)

    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-12}
    least = scipy_minimize(value, np.zeros(truth.size), jac=True, method="L-BFGS-B", options=options).fun
    result = wp.minimize(problem.objective, solver="mm-gks", tol=1e-7)
    assert result.converged
    assert result.objective == pytest.approx(least, rel=1e-6)


def test_mm_gks_falls_in_every_iteration_without_restart(scan):
    A, b, truth = scan
    problem = canonical(smoothed(A, b, GraphLaplacian(truth, 2, 0.1), 5.0))
    method = MMGKS(problem, restart=100)
    state, values = method.start(None, None), []
    for _ in range(40):
        method.advance(state, 1)
        values.append(problem.value(state.x))
    assert np.all(np.diff(values) <= 1e-12 * values[0])
    assert values[-1] < 0.9 * values[0]


def test_the_discrepancy_principle_holds_at_the_end(scan):
    A, b, truth = scan
    level = 1.01 * NOISE * np.sqrt(b.size)
    fitted = fit_to_noise(canonical(smoothed(A, b, PeriodicGradient(truth.shape), 1.0)), level)
    assert np.linalg.norm(A(fitted.x) - b) == pytest.approx(level, rel=1e-3)
    assert fitted.misfit == pytest.approx(level, rel=1e-3)
    assert error(fitted.x, truth) < error(wp.tomography.fbp(b, A), truth)


def test_the_projected_problem_is_solved_for_all_weights(rng):
    data, prior = np.triu(rng.standard_normal((5, 5))), 1e-3 * np.triu(rng.standard_normal((5, 5)))
    c, d = rng.standard_normal(5), 1e-3 * rng.standard_normal(5)
    small = Projection(data, prior, c, d)
    for nu in (1e-3, 1.0, 1e4, 1e8):
        y = np.linalg.solve(data.T @ data + nu * prior.T @ prior, data.T @ c + nu * prior.T @ d)
        np.testing.assert_allclose(small.solve(nu), y, rtol=1e-6, atol=1e-9)
        assert small.misfit(nu) == pytest.approx(np.linalg.norm(data @ y - c), rel=1e-6)
        hat = data @ np.linalg.solve(data.T @ data + nu * prior.T @ prior, data.T)
        score = np.sum((data @ np.linalg.solve(data.T @ data + nu * prior.T @ prior, data.T @ c) - c) ** 2)
        plain = Projection(data, prior, c, 0 * d)
        assert plain.cross_validation(nu) == pytest.approx(score / np.trace(np.eye(5) - hat) ** 2, rel=1e-5)
    level = np.hypot(small.misfit(3e3), 0.7)
    assert small.misfit(small.weight_at(level, 0.7)) == pytest.approx(small.misfit(3e3), rel=1e-4)
    assert small.weight_at(0.5, 0.7) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thin_qr(rng, dtype):
    columns = rng.standard_normal((4, 3, 5)).astype(dtype)
    qr = ThinQR(5, columns[0])
    lengths = [qr.append(c) for c in columns] + [qr.append(columns[0] + columns[1])]
    assert lengths[-1] == 0.0
    assert min(lengths[:-1]) > 0
    for k, column in enumerate(columns):
        np.testing.assert_allclose(qr.combination(qr.R[:, k]), column, rtol=1e-5, atol=1e-5)
    assert qr.combination(qr.R[:, 0]).dtype == dtype


def test_hybrid_tikhonov_is_tikhonov_when_the_space_is_whole(rng):
    matrix = rng.standard_normal((20, 8))
    b, L = rng.standard_normal(20), PeriodicGradient((8,))
    found = hybrid_tikhonov(Term(None, wp.operators.Matrix(matrix)), b, L)
    D = L.to_dense()
    assert found.steps == 8
    weights = np.geomspace(1e-6, 1e6, 2001)
    exact = [np.linalg.solve(matrix.T @ matrix + w * D.T @ D, matrix.T) for w in (found.weight, *weights)]
    np.testing.assert_allclose(found.x, exact[0] @ b, atol=1e-4)
    # The small problem has 9 residuals; the rest of b is outside of the space.
    U = np.linalg.qr(np.column_stack([b, matrix]))[0]
    scores = [np.sum((U.T @ (b - matrix @ (E @ b))) ** 2) / (9 - np.trace(matrix @ E)) ** 2 for E in exact]
    assert scores[0] <= min(scores[1:]) * (1 + 1e-6)


# --- the public function ------------------------------------------------------------------------------


@pytest.mark.parametrize("initial", ["fbp", "tikhonov", "tv"])
def test_the_graph_improves_on_its_initial_image(scan, initial):
    A, b, truth = scan
    done = wp.graph_regularised(wp.LeastSquares(A, b), initial=initial, noise_level=NOISE)
    assert done.result.converged
    assert done.result.certificate.kind == "duality gap"
    assert done.noise_level == NOISE
    assert error(done.x, truth) < error(done.initial, truth)
    if initial == "fbp":
        np.testing.assert_array_equal(done.initial, wp.tomography.fbp(b, A))
    assert wp.verify(done.objective, done.result).relative < 1e-2


@pytest.mark.filterwarnings("ignore::wellposed.ConvergenceWarning")
def test_constraints_and_the_exact_norm(scan, rng):
    A, b, truth = scan
    fit = wp.LeastSquares(A, b) + wp.NonNegative()
    guide = truth + 0.1 * rng.standard_normal(truth.shape)
    options = {"smoothing": 0, "radius": 2, "sigma": 0.3}
    done = wp.graph_regularised(fit, 2.0, guide, **options, tol=1e-3, max_iter=200)
    assert done.x.min() >= 0
    assert done.noise_level is None
    objective = fit + 2.0 * (wp.L1() @ GraphLaplacian(guide, 2, 0.3))
    expected = wp.minimize(objective, tol=1e-3, max_iter=200)
    assert done.result.objective == pytest.approx(expected.objective, rel=2e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::wellposed.ConvergenceWarning")
def test_the_weight_of_the_exact_norm_is_searched_for(scan, rng):
    A, b, truth = scan
    options = {"smoothing": 0, "radius": 2, "sigma": 0.3, "noise_level": NOISE, "tol": 0.02}
    guide = truth + 0.1 * rng.standard_normal(truth.shape)
    chosen = wp.graph_regularised(wp.LeastSquares(A, b), None, guide, **options)
    assert chosen.choice is not None
    assert np.linalg.norm(A(chosen.x) - b) == pytest.approx(1.01 * NOISE * np.sqrt(b.size), rel=0.05)


@pytest.mark.parametrize("nonnegative", [False, True])
def test_projected_newton_finds_the_minimum_of_lbfgs(scan, rng, nonnegative):
    A, b, truth = scan
    L = GraphLaplacian(truth + 0.05 * rng.standard_normal(truth.shape), 2, 0.1)
    objective = smoothed(A, b - 0.5, L, 5.0)
    problem = canonical(objective)

    def value(flat):
        x = flat.reshape(truth.shape)
        slope = sum(t.backward(t.f.gradient(t.forward(x))) for t in problem.terms)
        return problem.value(x), slope.reshape(-1)

    bounds = [(0, None)] * truth.size if nonnegative else None
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-15, "gtol": 1e-10}
    start = np.zeros(truth.size)
    least = scipy_minimize(value, start, jac=True, bounds=bounds, method="L-BFGS-B", options=options).fun
    objective = objective + wp.NonNegative() if nonnegative else objective
    result = wp.minimize(objective, solver="projected-newton", tol=1e-7)
    assert result.converged
    assert result.iterations < 30
    assert result.objective == pytest.approx(least, rel=2e-7)
    assert result.certificate.lower_bound <= least * (1 + 1e-9)
    assert wp.verify(objective, result).relative <= 1.01e-7


def test_projected_newton_at_huge_weights_on_a_graph_in_pieces(scan):
    """Pixels that hang on by next to nothing, and an objective that is nearly flat along the pieces."""
    A, b, truth = scan
    objective = smoothed(A, b, GraphLaplacian(truth, 2, 0.1), 1e4) + wp.NonNegative()
    result = wp.minimize(objective, solver="projected-newton", tol=1e-4)
    assert result.converged
    assert error(result.x, truth) < 0.1


def test_projected_newton_refuses_the_exact_norm(scan):
    A, b, truth = scan
    with pytest.raises(ValueError, match="rounded off"):
        wp.minimize(
            wp.LeastSquares(A, b) + wp.L1() @ GraphLaplacian(truth, 2, 0.1), solver="projected-newton"
        )


def test_a_network_takes_and_gives_tensors(scan):
    A, b, _ = scan
    layer = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False).double()
    with torch.no_grad():
        layer.weight[...] = 1 / 9

    def psi(data, operator):
        image = torch.from_numpy(wp.tomography.fbp(data, operator))
        return layer(image[None, None])[0, 0]

    done = wp.graph_regularised(wp.LeastSquares(A, b), 20.0, psi, tol=1e-2)
    assert type(done.x) is type(done.initial) is np.ndarray
    in_torch = wp.graph_regularised(
        wp.LeastSquares(A, torch.from_numpy(b)), 20.0, torch.from_numpy(done.initial), tol=1e-2
    )
    assert isinstance(in_torch.x, torch.Tensor)
    np.testing.assert_allclose(in_torch.x.numpy(), done.x, atol=1e-6)


@pytest.mark.parametrize("A", [None, wp.operators.Identity((SIZE, SIZE))])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denoising_ends_with_a_proof(scan, rng, A, nonnegative, dtype):
    noisy = (scan[2] + 0.1 * rng.standard_normal((SIZE, SIZE))).astype(dtype)
    fit = wp.LeastSquares(A, noisy)
    fit = fit + wp.NonNegative() if nonnegative else fit
    done = wp.graph_regularised(fit, noise_level=0.1, sigma=0.4)
    assert done.result.plan.solver == "projected-newton"
    assert done.result.converged
    assert done.x.dtype == dtype
    # The problem as the user wrote it has the same value, and no lower one is found by L-BFGS.
    written = fit + done.weight * (SmoothedL21(0.1 * spread(done.initial), axes=()) @ done.laplacian)
    assert written(done.x) == pytest.approx(done.result.objective, rel=1e-5)
    if not nonnegative and dtype == np.float64:
        least = scipy_minimize(
            lambda x: written(x.reshape(done.x.shape)),
            done.x.reshape(-1),
            jac=lambda x: sum(t.gradient(x.reshape(done.x.shape)) for t in written.terms).reshape(-1),
            method="L-BFGS-B",
            options={"maxiter": 2000},
        ).fun
        assert done.result.certificate.lower_bound <= least <= done.result.objective


@pytest.mark.parametrize("rule", ["sure", "gcv"])
@pytest.mark.filterwarnings("ignore::wellposed.ConvergenceWarning")
def test_denoising_takes_the_rules_of_choose(scan, rng, rule):
    noisy = scan[2] + 0.1 * rng.standard_normal((SIZE, SIZE))
    fit = wp.LeastSquares(None, noisy)
    done = wp.graph_regularised(fit, initial=noisy, noise_level=0.1, sigma=0.4, rule=rule, max_iter=100)
    assert done.choice.rule == rule
    assert error(done.x, scan[2]) < error(noisy, scan[2])


@pytest.mark.parametrize("exact", [False, True])
def test_the_note_says_what_the_bound_assumes(scan, exact):
    A, b, truth = scan
    L = GraphLaplacian(truth, 2, 0.3)
    penalty = wp.L1() @ L if exact else SmoothedL21(0.1, axes=()) @ L
    solver = "quadratic-admm" if exact else "projected-newton"
    result = wp.minimize(wp.LeastSquares(A, b) + 20.0 * penalty, solver=solver, tol=1e-3)
    assert result.converged
    assert "an estimate: it assumes minimisers of norm at most" in result.certificate.note


def test_denoising_and_a_scale_of_a_thousand(scan, rng):
    _, _, truth = scan
    noisy = truth + 0.1 * rng.standard_normal(truth.shape)
    done = wp.graph_regularised(wp.LeastSquares(None, noisy), initial=noisy, noise_level=0.1, sigma=0.4)
    assert error(done.x, truth) < error(noisy, truth)
    A, b, _ = scan
    one = wp.graph_regularised(wp.LeastSquares(A, b), initial="tv", noise_level=NOISE)
    many = wp.graph_regularised(wp.LeastSquares(A, 1000 * b), initial="tv", noise_level=1000 * NOISE)
    np.testing.assert_allclose(many.x / 1000, one.x, atol=0.05)


def bad_input():
    A = wp.operators.ParallelBeam((8, 8), np.pi * np.arange(6) / 6)
    b = A(np.eye(8)) + 0.01
    fit = wp.LeastSquares(A, b)
    empty = wp.LeastSquares(wp.operators.Mask(np.zeros((8, 8), bool)), np.zeros((8, 8)))
    return {
        "radius": (fit, {"radius": 0}, "radius must be"),
        "fractional radius": (fit, {"radius": 1.5}, "radius must be"),
        "sigma 0": (fit, {"sigma": 0.0}, "sigma must be"),
        "sigma below 0": (fit, {"sigma": -1.0}, "sigma must be"),
        "smoothing": (fit, {"smoothing": -0.1}, "smoothing must be"),
        "weight": (fit, {"weight": 0.0}, "weight must be"),
        "tau": (fit, {"tau": 0.5}, "tau must be"),
        "noise": (fit, {"noise_level": -1.0}, "noise_level must be"),
        "too much noise": (fit, {"noise_level": 1e3}, "noise_level too large"),
        "too little noise": (fit, {"noise_level": 1e-6, "initial": np.eye(8)}, "noise_level too small"),
        "constant image": (fit, {"initial": np.ones((8, 8))}, "features are constant"),
        "shape": (fit, {"initial": np.ones((8, 7))}, "shape"),
        "not finite": (fit, {"initial": np.full((8, 8), np.nan)}, "initial"),
        "unknown": (fit, {"initial": "unet"}, "unknown initial"),
        "no fbp": (wp.LeastSquares(None, np.eye(8)), {"initial": "fbp"}, "initial='fbp'"),
        "empty mask": (empty, {"initial": "tv"}, "mask"),
        "weighted fit": (wp.LeastSquares(A, b, weights=np.ones(b.shape)), {}, "no weights"),
        "no data": (wp.L1(), {}, "data fit"),
        "rule": (fit, {"rule": "luck", "initial": np.eye(8)}, "rule"),
    }


@pytest.mark.parametrize("name", bad_input())
def test_bad_input(name):
    fit, options, message = bad_input()[name]
    with pytest.raises((TypeError, ValueError), match=message):
        wp.graph_regularised(fit, **options)
