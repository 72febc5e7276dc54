"""Proximal maps and values against SciPy, CVXPY and brute force."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest
from scipy import optimize, special

import wellposed as wp
from wellposed.functionals.logistic import prox_of_margin
from wellposed.functionals.norms import L21
from wellposed.functionals.smoothed import SmoothedL21

SCALARS = {
    "least squares": lambda b: wp.LeastSquares(None, np.array([b]), np.array([1.7])),
    "kullback leibler": lambda b: wp.KullbackLeibler(None, np.array([abs(b)]), 0.4),
    "kullback leibler of no count": lambda b: wp.KullbackLeibler(None, np.array([0.0]), 0.4),
    "huber": lambda b: wp.HuberLoss(None, np.array([b]), 0.5),
    "l1 loss": lambda b: wp.L1Loss(None, np.array([b]), np.array([0.8])),
    "logistic": lambda b: wp.LogisticLoss(None, np.array([np.sign(b)])),
    "l1": lambda b: wp.L1(),
    "elastic net": lambda b: wp.ElasticNet(0.3, 1.1),
    "smoothed l1": lambda b: SmoothedL21(0.2, ()),
    "non-negative": lambda b: wp.NonNegative(),
    "box": lambda b: wp.Box(-0.5, 0.7),
}


@pytest.mark.parametrize("name", SCALARS)
@pytest.mark.parametrize("step", [1e-3, 0.7, 200.0])
def test_scalar_prox_is_the_minimiser(rng, name, step):
    for b, x in rng.normal(scale=2.0, size=(12, 2)):
        f = SCALARS[name](b)

        def cost(z, f=f, x=x):
            return min(f(np.array([z])), 1e9) + (z - x) ** 2 / (2 * step)

        point = float(f.prox(np.array([x]), step)[0])
        # A coarse grid, then a fine search around its best point: no formula is shared.
        grid = np.unique(np.concatenate([np.linspace(-30, 30, 1201), [x, b, -0.4, 0.0, 0.7, -0.5]]))
        start = grid[np.argmin([cost(z) for z in grid])]
        found = optimize.minimize_scalar(
            cost, bounds=(start - 0.06, start + 0.06), method="bounded", options={"xatol": 1e-10}
        )
        best = min(cost(start), found.fun)
        assert cost(point) <= best + 1e-9 * (1 + abs(best))


@pytest.mark.parametrize("step", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("eps", [1e-4, 0.3, 10.0])
def test_smoothed_prox_in_two_dimensions(rng, step, eps):
    f = SmoothedL21(eps)
    for x in rng.normal(scale=3.0, size=(5, 2)):

        def cost(z, x=x):
            return f(z) + np.sum((z - x) ** 2) / (2 * step)

        found = optimize.minimize(
            cost, x / 2, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 4000}
        )
        assert cost(f.prox(x, step)) <= found.fun + 1e-10 * (1 + found.fun)


def minimum(atom, x: np.ndarray, step: float, constraints=lambda z: []) -> float:
    z = cvxpy.Variable(x.shape)
    cost = atom(z) + cvxpy.sum_squares(z - x) / (2 * step)
    return cvxpy.Problem(cvxpy.Minimize(cost), constraints(z)).solve(solver="CLARABEL")


GROUPS = np.arange(20).reshape(4, 5) % 3
MATRICES = {
    "nuclear": (wp.NuclearNorm(), cvxpy.normNuc, lambda z: []),
    "l21": (L21((0,)), lambda z: cvxpy.sum(cvxpy.norm(z, axis=0)), lambda z: []),
    "group": (
        wp.GroupL2(GROUPS, [0.5, 1.0, 2.0]),
        lambda z: sum(
            w * cvxpy.norm(cvxpy.multiply((k == GROUPS).astype(float), z), "fro")
            for k, w in enumerate([0.5, 1.0, 2.0])
        ),
        lambda z: [],
    ),
    "simplex": (wp.Simplex(3.0), lambda z: 0, lambda z: [z >= 0, cvxpy.sum(z) == 3.0]),
    "simplices": (wp.Simplex(axis=1), lambda z: 0, lambda z: [z >= 0, cvxpy.sum(z, axis=1) == 1.0]),
    "l2 ball": (
        wp.L2Ball(1.3, 0.5 * np.ones((4, 5))),
        lambda z: 0,
        lambda z: [cvxpy.norm(z - 0.5, "fro") <= 1.3],
    ),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_matrix_prox_is_the_minimiser(rng, name, dtype):
    f, atom, constraints = MATRICES[name]
    for step in (0.3, 2.0):
        x = rng.normal(scale=2.0, size=(4, 5))
        point, value = f.prox_and_value(x.astype(dtype), step)
        cost = value + np.sum((point - x) ** 2) / (2 * step)
        rtol = 1e-7 if dtype == np.float64 else 1e-5
        assert cost == pytest.approx(minimum(atom, x, step, constraints), rel=rtol)


def test_values_against_scipy(rng):
    b, u = rng.poisson(2.0, 50).astype(float), rng.uniform(0.1, 5.0, 50)
    assert wp.KullbackLeibler(None, b, 0.3)(u) == pytest.approx(special.kl_div(b, u + 0.3).sum())
    r = 3 * rng.standard_normal(50)
    assert wp.HuberLoss(None, b, 0.8)(r + b) == pytest.approx(special.huber(0.8, r).sum())
    signs = np.sign(r)
    expected = -special.log_expit(signs * u).sum()
    assert wp.LogisticLoss(None, signs)(u) == pytest.approx(expected)
    y = 0.9 * rng.uniform(-1, 1, 50)
    assert SmoothedL21(0.3, ())._conjugate(y) == pytest.approx(np.sum(0.3 * (1 - np.sqrt(1 - y**2))))


def test_kullback_leibler_is_exact_near_a_perfect_fit():
    b = np.full(10, 1e4)
    excess = 1e-3
    # Second-order Taylor: the sum of the rounded terms v - b log(v / b) - b would have no correct digit.
    assert wp.KullbackLeibler(None, b)(b + excess) == pytest.approx(10 * excess**2 / 2e4, rel=1e-6)


def test_kullback_leibler_at_the_border():
    f = wp.KullbackLeibler(None, np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert f(np.array([-0.5, 0.5])) == 0.0
    assert f(np.array([-0.6, 0.5])) == np.inf
    assert f(np.array([0.0, -0.5])) == np.inf
    far = f.prox(np.array([-1e12, -1e12]), 1e-3)
    assert np.isfinite(f(far))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logistic_prox_reaches_rounding_at_any_scale(dtype):
    start = np.concatenate([-np.logspace(-3, 8, 60), [0.0], np.logspace(-3, 8, 60)])
    for step in (1e-6, 0.3, 1e3, 1e9):
        s = prox_of_margin(start.astype(dtype), step).astype(float)
        rounded = start.astype(dtype).astype(float)
        residual = np.abs(s - rounded - step * special.expit(-s))
        sensitivity = 1 + step * special.expit(-s) * special.expit(s)
        allowed = 16 * np.finfo(dtype).eps * (np.abs(s) * sensitivity + np.abs(rounded) + np.abs(s - rounded))
        assert np.all(residual <= allowed)


def test_large_numbers_do_not_overflow():
    for x in (np.array([1e30], np.float32), np.array([-1e30], np.float32)):
        assert np.isfinite(wp.LogisticLoss(None, np.ones(1, np.float32))(x))
        assert np.isfinite(wp.HuberLoss(None, np.zeros(1, np.float32), 1.0)(x))
        assert np.all(np.isfinite(wp.LogisticLoss(None, np.ones(1, np.float32)).prox(x, 1.0)))


def test_simplex_with_entries_of_all_sizes():
    x = 2.0 ** np.arange(-40, 40)
    point = wp.Simplex(1e-3).prox(x)
    assert point[-1] == pytest.approx(1e-3)
    assert np.count_nonzero(point) == 1
    assert np.array_equal(wp.Simplex().prox(np.array([1e17, 1e17])), [0.5, 0.5])
    large = wp.Simplex().prox((1e6 + np.arange(100)).astype(np.float32))
    assert wp.Simplex()(large) == 0.0


def test_complex_arrays(rng):
    z = rng.standard_normal((4, 5)) + 1j * rng.standard_normal((4, 5))
    for f in (wp.L1(), wp.SquaredL2(), wp.ElasticNet(0.4, 0.7), L21((0,)), wp.NuclearNorm(), wp.L2Ball(1.0)):
        point = f.prox(z, 0.6)
        y = f.project_dual((z - point) / 0.6)
        product = np.real(np.vdot(y, point))
        assert point.dtype == z.dtype
        assert product == pytest.approx(f(point) + f._conjugate(y), rel=1e-9)
