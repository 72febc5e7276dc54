"""The denoising core against a naive twin, a conic solver, and its own promises."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cvxpy as cp
import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellposed.kernels import tv, tv_bands
from wellposed.kernels.tv_differences import adjoint_gradient, gradient

RNG = np.random.default_rng(5)
EPS = {np.float32: 2e-5, np.float64: 1e-12}


def differences(x, axes):
    """Forward differences by appending a copy of the last entry: another formula than the library's."""
    return np.stack([np.diff(x, axis=a, append=np.take(x, [-1], axis=a)) for a in axes])


def matrix(shape, axes):
    """``D`` as a dense matrix, column by column."""
    size = int(np.prod(shape))
    return np.stack([differences(e.reshape(shape), axes).ravel() for e in np.eye(size)], axis=1)


@dataclass
class Naive:
    """The accelerated primal-dual method with dense matrices, in double precision."""

    b: np.ndarray
    lam: float
    weights: np.ndarray | None = None
    isotropic: bool = True
    lower: float = -np.inf
    upper: float = np.inf
    channels: bool = False

    def __post_init__(self):
        first = 1 if self.channels else 0
        self.axes = range(first, self.b.ndim)
        self.D = matrix(self.b.shape, self.axes)
        grid = self.b.shape[first:]
        self.radius = self.lam * (np.ones(grid) if self.weights is None else self.weights)
        self.q = np.zeros((len(self.axes), *self.b.shape))
        self.x = self.old = np.clip(self.b, self.lower, self.upper).astype(float)
        self.tau = self.theta = 1.0

    def adjoint(self, q):
        return (self.D.T @ q.ravel()).reshape(self.b.shape)

    def norms(self, q):
        return np.sqrt((q**2).sum(axis=(0, 1) if self.channels else 0))

    def step(self):
        sigma = tv.STEP_PRODUCT / (4 * max(len(self.axes), 2) * self.tau)
        bar = self.x + self.theta * (self.x - self.old)
        p = self.q + sigma * differences(bar, self.axes)
        if self.isotropic:
            self.q = p * (self.radius / np.maximum(np.maximum(self.norms(p), self.radius), 1e-300))
        else:
            self.q = np.clip(p, -self.radius, self.radius)
        moved = (self.x + self.tau * (self.b - self.adjoint(self.q))) / (1 + self.tau)
        self.x, self.old = np.clip(moved, self.lower, self.upper), self.x
        self.theta = 1 / np.sqrt(1 + 2 * tv.CONVEXITY * self.tau)
        self.tau *= self.theta

    def values(self, x, q):
        jump = differences(x, self.axes)
        if self.isotropic:
            tv_value = (self.radius * self.norms(jump)).sum()
        else:
            tv_value = (self.radius * np.abs(jump)).sum()
        at_dual = np.clip(self.b - self.adjoint(q), self.lower, self.upper)
        dual = 0.5 * ((at_dual - self.b) ** 2).sum() + (at_dual * self.adjoint(q)).sum()
        return 0.5 * ((x - self.b) ** 2).sum() + tv_value, dual


GRIDS = [((7, 9), False), ((1, 6), False), ((5, 1), False), ((1, 1), False), ((2, 2), False),
         ((19, 33), False), ((11,), False), ((4, 5, 6), False), ((2, 1, 3), False), ((1, 4, 1), False),
         ((3, 6, 7), True), ((1, 5, 4), True), ((2, 1, 1), True), ((2, 3, 4, 5), True)]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("isotropic", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("shape", "channels"), GRIDS)
def test_iterates_and_values_agree_with_the_naive_twin(shape, channels, isotropic, weighted, dtype):
    b = RNG.normal(size=shape).astype(dtype)
    weights = RNG.uniform(0, 2, shape[1:] if channels else shape).round(1).astype(dtype) if weighted else None
    options = {"isotropic": isotropic, "lower": -0.4, "upper": np.inf, "channels": channels}
    state = tv.start(b, 0.3, weights, **options)
    twin = Naive(b.astype(float), 0.3, None if weights is None else weights.astype(float), **options)
    for count in (1, 2, 14):
        tv.advance(state, count)
        for _ in range(count):
            twin.step()
        tol = 20 * EPS[dtype]
        np.testing.assert_allclose(tv.primal(state), twin.x, atol=tol)
        np.testing.assert_allclose(tv.dual(state), twin.q, atol=tol)
        np.testing.assert_allclose(tv.gap(state), twin.values(twin.x, twin.q), rtol=tol, atol=tol)
        assert tv.primal(state).dtype == dtype


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 70),
    seed=st.integers(0, 99),
    lam=st.sampled_from([0.0, 0.02, 0.5, 20.0]),
)
def test_gap_closes_for_every_shape(n, m, seed, lam):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=(n, m)) * 10.0 ** rng.integers(-3, 4)
    lam *= np.abs(b).max()
    x, q, primal, dual, iterations = tv.rof(b, lam, tol=1e-6, max_iter=20_000)
    assert -1e-12 * primal <= primal - dual <= 1e-6 * primal, iterations
    assert np.sqrt((q**2).sum(axis=0)).max() <= lam * (1 + 1e-7) + 1e-300
    assert np.linalg.norm(x - (b - adjoint_gradient(q))) <= 2 * np.sqrt(2e-6 * primal) + 1e-12


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 6), min_size=1, max_size=4), channels=st.booleans())
def test_differences_and_their_adjoint_are_an_exact_pair(shape, channels):
    channels = channels and len(shape) > 1
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    axes = range(1 if channels else 0, len(shape))
    jump = gradient(x, channels)
    np.testing.assert_array_equal(jump, differences(x, axes))
    q = rng.normal(size=jump.shape)
    assert np.vdot(jump, q) == pytest.approx(np.vdot(x, adjoint_gradient(q, channels)), abs=1e-12)


@pytest.mark.parametrize(("isotropic", "channels", "lower", "upper"),
                         [(True, False, -np.inf, np.inf), (False, False, 0.0, np.inf),
                          (True, True, -np.inf, np.inf), (True, False, 0.1, 0.6)])  # fmt: skip
def test_minimiser_agrees_with_a_conic_solver(isotropic, channels, lower, upper):
    shape = (2, 5, 6) if channels else (8, 9)
    b = RNG.normal(0.4, 0.5, shape)
    weights = RNG.uniform(0.2, 2, shape[-2:])
    axes = range(1, 3) if channels else range(2)
    variable = cp.Variable(b.size)
    jumps = cp.reshape(matrix(shape, axes) @ variable, (b.size * 2 // weights.size, weights.size), order="C")
    size = cp.norm(jumps, 2 if isotropic else 1, axis=0)
    limits = [variable >= lower] * int(np.isfinite(lower)) + [variable <= upper] * int(np.isfinite(upper))
    best = cp.Problem(
        cp.Minimize(0.5 * cp.sum_squares(variable - b.ravel()) + 0.2 * weights.ravel() @ size), limits
    ).solve(solver="CLARABEL")
    x, _, primal, dual, _ = tv.rof(
        b, 0.2, weights, isotropic, lower, upper, tol=1e-8, max_iter=50_000, channels=channels
    )
    assert dual - 1e-6 <= best <= primal + 1e-6
    np.testing.assert_allclose(x.ravel(), variable.value, atol=2e-3)


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((70, 500), False), ((300, 300), False), ((12, 60, 70), False), ((3, 130, 90), True)],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bands_and_interrupted_runs_change_no_bit(shape, channels, dtype):
    b = RNG.normal(size=shape).astype(dtype)
    whole = tv.start(b, 0.3, channels=channels)
    parts = copy.deepcopy(whole)
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        alone = tv.start(b, 0.3, channels=channels)
    finally:
        numba.set_num_threads(threads)
    assert len(alone.bands) == 1
    tv.advance(whole, 19)
    tv.advance(alone, 19)
    for count in (3, 0, 9, 7):
        tv.advance(parts, count)
    for other in (parts, alone):
        np.testing.assert_array_equal(tv.primal(whole), tv.primal(other))
        np.testing.assert_array_equal(tv.dual(whole), tv.dual(other))
        np.testing.assert_allclose(tv.gap(whole), tv.gap(other), rtol=1e-12)


def test_several_bands_agree_with_the_naive_twin_of_one(monkeypatch):
    monkeypatch.setattr(tv_bands, "PARALLEL_FROM", 1)
    threads = numba.get_num_threads()
    for shape, channels in (((4 * tv.DEPTH * threads, 2), False), ((16, 3, 4), False), ((2, 16, 5), True)):
        b = RNG.normal(size=shape)
        state = tv.start(b, 0.4, channels=channels)
        assert len(state.bands) == threads
        twin = Naive(b, 0.4, channels=channels)
        tv.advance(state, 21)
        for _ in range(21):
            twin.step()
        np.testing.assert_allclose(tv.primal(state), twin.x, atol=1e-11)
        np.testing.assert_allclose(tv.gap(state), twin.values(twin.x, twin.q), rtol=1e-11)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edge_cases(dtype):
    b = RNG.normal(size=(20, 30)).astype(dtype)
    x, q, primal, dual, iterations = tv.rof(b, 0.0)
    np.testing.assert_array_equal(x, b)
    assert (primal, dual, iterations) == (0.0, 0.0, 0)
    assert not q.any()
    flat = np.full((20, 30), 3.7, dtype)
    x, _, primal, _, iterations = tv.rof(flat, 1.0)
    np.testing.assert_array_equal(x, flat)
    assert primal == 0.0
    assert iterations == 0
    x, *_ = tv.rof(b, 1e3, tol=1e-5)
    np.testing.assert_allclose(x, b.mean(), atol=2e-3)


def test_warm_start_is_certified_at_once_and_brought_into_bounds():
    b = RNG.normal(size=(20, 30))
    _, q, primal, dual, _ = tv.rof(b, 0.3, tol=1e-7)
    again = tv.rof(b, 0.3, q0=q, tol=1e-3)
    assert again[4] == 0
    assert again[3] == pytest.approx(dual, rel=1e-12)
    wild = tv.start(b, 0.3, q0=10 * RNG.normal(size=q.shape))
    values = tv.gap(wild)
    assert values[1] <= primal <= values[0]
    assert np.sqrt((tv.dual(wild) ** 2).sum(axis=0)).max() <= 0.3 * (1 + 1e-12)


def test_inputs_may_be_read_only_and_stay_as_they_are():
    b = RNG.normal(size=(20, 30)).astype(np.float32)
    weights = np.ones((20, 30), np.float32)
    q0 = np.ones((2, 20, 30), np.float32)
    before = [a.copy() for a in (b, weights, q0)]
    for a in (b, weights, q0):
        a.flags.writeable = False
    tv.rof(b, 0.1, weights, q0=q0)
    for a, old in zip((b, weights, q0), before, strict=True):
        np.testing.assert_array_equal(a, old)


def test_single_precision_keeps_its_promise_on_data_far_from_zero():
    b = (1000 + RNG.normal(size=(200, 180))).astype(np.float32)
    x, q, primal, dual, _ = tv.rof(b, 0.5, tol=1e-3)
    twin_x, twin_q = x.astype(float), q.astype(float)
    jump = differences(twin_x, range(2))
    exact = 0.5 * ((twin_x - b.astype(float)) ** 2).sum() + 0.5 * np.sqrt((jump**2).sum(axis=0)).sum()
    g = adjoint_gradient(twin_q)
    assert primal == pytest.approx(exact, rel=1e-5)
    assert dual == pytest.approx((b.astype(float) * g).sum() - 0.5 * (g**2).sum(), rel=1e-5)
