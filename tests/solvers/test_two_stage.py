"""The two-stage method: its references, its weights, its minimiser against CVXPY, kinds, bad input."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest

import wellposed as wp

SIZE = 12


@pytest.fixture
def scan(rng):
    """A square with a hole, seen from six sides, with a little noise; the operator and the data."""
    x = np.zeros((SIZE, SIZE))
    x[2:10, 3:9] = 1.0
    x[5:7, 5:7] = 0.4
    A = wp.operators.ParallelBeam(x.shape, np.pi * np.arange(6) / 6)
    b = A(x)
    return A, b + 0.05 * rng.standard_normal(b.shape), x


def cvxpy_weighted(A, b, lam: float, w: np.ndarray) -> tuple[np.ndarray, float]:
    n = w.size
    D = wp.operators.Gradient(w.shape).to_dense()
    x = cvxpy.Variable(n, nonneg=True)
    sizes = cvxpy.norm(cvxpy.reshape(D @ x, (2, n), order="C"), 2, axis=0)
    fit = 0.5 * cvxpy.sum_squares(A.to_dense() @ x - b.reshape(-1))
    problem = cvxpy.Problem(cvxpy.Minimize(fit + lam * (w.reshape(-1) @ sizes)))
    problem.solve(solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10)
    return x.value.reshape(w.shape), problem.value


@pytest.mark.parametrize("solver", ["auto", "primal-dual"])
def test_the_minimiser_is_that_of_cvxpy(scan, rng, solver):
    A, b, _ = scan
    reference = rng.uniform(size=(SIZE, SIZE))
    fit = wp.LeastSquares(A, b) + wp.NonNegative()
    done = wp.two_stage(fit, 2.0, reference, eta=0.05, p=0.1, solver=solver, tol=1e-7, max_iter=100_000)
    _, least = cvxpy_weighted(A, b, 2.0, wp.regularisation.tv_weights_from(reference, 0.05, 0.1))
    assert solver in (done.result.plan.solver, "auto")
    assert done.result.objective == pytest.approx(least, rel=1e-6)
    assert done.objective(done.x) == pytest.approx(done.result.objective, rel=1e-12)
    wp.verify(done.objective, done.result)


def test_the_references(scan):
    A, b, _ = scan
    fit = wp.LeastSquares(A, b)
    done = wp.two_stage(fit, 0.5, "fbp")
    np.testing.assert_array_equal(done.reference, wp.tomography.fbp(b, A))
    assert done.first is None
    np.testing.assert_array_equal(done.weights, wp.regularisation.tv_weights_from(done.reference))
    done = wp.two_stage(fit, 0.5, "tv", reference_weight=0.3, tol=1e-6)
    plain = wp.minimize(fit + 0.3 * wp.TotalVariation(), tol=1e-6)
    np.testing.assert_allclose(done.reference, plain.x, atol=1e-12)
    done = wp.two_stage(fit, 0.5, "tikhonov", reference_weight=0.3, tol=1e-12)
    K, D = A.to_dense(), wp.operators.Gradient((SIZE, SIZE)).to_dense()
    exact = np.linalg.solve(K.T @ K + 0.3 * D.T @ D, K.T @ b.reshape(-1))
    np.testing.assert_allclose(done.reference.reshape(-1), exact, atol=1e-4)


def test_a_function_gets_the_data_and_the_operator(scan):
    A, b, x = scan
    seen = []

    def psi(data, operator):
        seen.append((data, operator))
        return x.astype(np.float32)

    done = wp.two_stage(wp.LeastSquares(A, b), 1.0, psi, eta=0.01)
    assert len(seen) == 1
    assert seen[0][0] is b
    assert seen[0][1] is A
    assert done.reference.dtype == done.weights.dtype == np.float64
    denoised = wp.two_stage(wp.LeastSquares(None, x), 0.1, lambda data, operator: data)
    assert denoised.x.shape == x.shape


def test_edges_of_the_truth_help(scan):
    """The oracle of the papers: with the edges of the truth, the error is a fraction of total variation's."""
    A, b, x = scan
    fit = wp.LeastSquares(A, b) + wp.NonNegative()
    plain = min(np.linalg.norm(wp.minimize(fit + s * wp.TotalVariation()).x - x) for s in (0.03, 0.1, 0.3))
    assert np.linalg.norm(wp.two_stage(fit, 3.0, x, eta=2e-3).x - x) < 0.5 * plain


def test_weights_are_chosen(rng):
    clean = np.kron(np.eye(3), np.ones((8, 8)))
    b = clean + 0.1 * rng.standard_normal(clean.shape)
    done = wp.two_stage(wp.LeastSquares(None, b), noise_level=0.1, p=0.5)
    assert done.choice is not None
    assert done.choice.rule == "sure"
    assert done.weight == done.choice.value
    assert done.result.converged
    assert np.linalg.norm(done.x - clean) < np.linalg.norm(done.reference - clean)


def test_kinds_are_kept(rng):
    b = (np.kron(np.eye(2), np.ones((4, 4))) + 0.1 * rng.standard_normal((8, 8))).astype(np.float32)
    b.flags.writeable = False
    done = wp.two_stage(wp.LeastSquares(None, b), 0.2, reference_weight=0.1)
    assert done.x.dtype == done.weights.dtype == np.float32
    torch = pytest.importorskip("torch")
    tensor = wp.two_stage(wp.LeastSquares(None, torch.tensor(b.copy())), 0.2, b.astype(np.float64))
    assert isinstance(tensor.x, torch.Tensor)
    assert tensor.x.dtype == tensor.weights.dtype == torch.float32


def test_colour_shares_its_weights(rng):
    b = rng.uniform(size=(6, 7, 3))
    done = wp.two_stage(wp.LeastSquares(None, b), 0.1, b, channel_axis=2)
    assert done.weights.shape == (6, 7)
    assert done.x.shape == b.shape


FIT = wp.LeastSquares(None, np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wp.two_stage(FIT, 1.0, "unet"), "unknown reference 'unet'"),
        (lambda: wp.two_stage(FIT, 1.0, "fbp"), "needs a ParallelBeam or FanBeam"),
        (lambda: wp.two_stage(FIT, 1.0, np.ones((3, 2))), "shape"),
        (lambda: wp.two_stage(FIT, 1.0, lambda b, A: np.ones(4)), "shape"),
        (lambda: wp.two_stage(FIT, 1.0, np.full((2, 3), np.nan)), "non-finite"),
        (lambda: wp.two_stage(FIT, 1.0, np.ones((2, 3))), "constant"),
        (lambda: wp.two_stage(FIT, -1.0, "tv"), "weight must be finite and positive"),
        (lambda: wp.two_stage(FIT, 1.0, "tv", reference_weight=0.0), "reference_weight must be"),
        (lambda: wp.two_stage(FIT, 1.0, "tv", eta=-1.0), "eta must be"),
        (lambda: wp.two_stage(FIT, 1.0, "tv", p=2.0), "p must be"),
        (lambda: wp.two_stage(wp.NonNegative(), 1.0), "data fit"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
