"""Exact, entropic and quadratic transport: agreement with oracles, certificates, degenerate input."""

from __future__ import annotations

import dataclasses
import functools
import warnings

import cvxpy as cp
import numpy as np
import ot
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import wellposed as wp
from wellposed.solvers.result import ConvergenceWarning

T = wp.transport
SOLVERS = {
    "exact": wp.transport.exact,
    "entropic": lambda *p, **o: wp.transport.entropic(*p, eps=0.05, **o),
    "sharp entropic": lambda *p, **o: wp.transport.entropic(*p, eps=1e-4, **o),
    "quadratic": lambda *p, **o: wp.transport.quadratic(*p, reg=2.0, **o),
    "strong quadratic": lambda *p, **o: wp.transport.quadratic(*p, reg=1e4, **o),
}


@pytest.fixture(params=SOLVERS)
def solve(request):
    return SOLVERS[request.param]


def problem(n, m, seed=0):
    rng = np.random.default_rng(seed)
    cost = wp.transport.squared_distances(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)) + 1)
    a, b = rng.random(n) + 0.05, rng.random(m) + 0.05
    return cost, a / a.sum(), b / b.sum()


def linear_programme(cost, a, b):
    n, m = cost.shape
    sums = np.concatenate([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    return linprog(cost.ravel(), A_eq=sums, b_eq=np.concatenate([a, b]), method="highs")


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 4), (4, 1), (1, 1)])
def test_exact_agrees_with_linear_programming(shape):
    cost, a, b = problem(*shape)
    result = wp.transport.exact(cost, a, b)
    assert result.value == pytest.approx(linear_programme(cost, a, b).fun, abs=1e-10)
    assert result.certificate.value < 1e-12
    assert (result.f[:, None] + result.g - cost).max() < 1e-12


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 4)])
@pytest.mark.parametrize("reg", [0.01, 1.0, 100.0])
def test_quadratic_agrees_with_cvxpy(shape, reg):
    cost, a, b = problem(*shape)
    plan = cp.Variable(shape, nonneg=True)
    goal = cp.Minimize(cp.sum(cp.multiply(cost, plan)) + reg / 2 * cp.sum_squares(plan))
    value = cp.Problem(goal, [cp.sum(plan, 1) == a, cp.sum(plan, 0) == b]).solve(cp.CLARABEL)
    result = wp.transport.quadratic(cost, a, b, reg=reg)
    assert result.value == pytest.approx(value, abs=1e-7)
    assert result.plan == pytest.approx(plan.value, abs=1e-4)
    expected = np.maximum(result.f[:, None] + result.g - cost, 0) / reg
    assert result.plan == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 4)])
@pytest.mark.parametrize("eps", [1e-3, 0.05, 2.0])
def test_entropic_agrees_with_pot_and_its_formula(shape, eps):
    cost, a, b = problem(*shape)
    result = wp.transport.entropic(cost, a, b, eps=eps, tol=1e-11)
    theirs = ot.sinkhorn(a, b, cost, eps, method="sinkhorn_log", stopThr=1e-13, numItermax=20_000)
    assert result.plan == pytest.approx(theirs, abs=1e-7)
    formula = np.outer(a, b) * np.exp((result.f[:, None] + result.g - cost) / eps)
    assert result.plan == pytest.approx(formula, abs=1e-12)
    divergence = np.sum(theirs * np.log(np.maximum(theirs, 1e-300) / np.outer(a, b)))
    assert result.value == pytest.approx(np.sum(cost * theirs) + eps * divergence, abs=1e-7)


@pytest.mark.parametrize("mass", [1.0, 300.0, 1e-6])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-6])
@pytest.mark.parametrize("name", ["exact", "entropic", "quadratic"])
def test_certificates_at_every_scale(name, mass, scale):
    """Costs and regularisation in any unit, masses in any."""
    cost, a, b = problem(12, 9)
    strengths = {"exact": {}, "entropic": {"eps": 0.01 * scale}, "quadratic": {"reg": 2.0 * scale / mass}}
    solve = functools.partial(getattr(wp.transport, name), **strengths[name])
    result = solve(scale * cost, mass * a, mass * b)
    assert result.status == "converged"
    assert max(result.marginal_errors) <= 2e-9 * mass
    assert result.certificate.relative < 1e-5
    again = wp.transport.verify(scale * cost, mass * a, mass * b, result)
    assert again.value == pytest.approx(result.certificate.value, abs=1e-12 * mass * scale)
    for sums, wanted in ((result.rounded.sum(1), mass * a), (result.rounded.sum(0), mass * b)):
        assert sums == pytest.approx(wanted, rel=1e-12)
    assert result.rounded.min() >= 0


CLASSES = T.class_weights(np.arange(12) % 2), T.class_weights(np.arange(9) % 3)
ANY_UNIT = {
    "exact": lambda c, m, *p: T.exact(*p),
    "entropic": lambda c, m, *p: T.entropic(*p, eps=0.01 * c),
    "quadratic": lambda c, m, *p: T.quadratic(*p, reg=2.0 * c / m),
    "sparsity": lambda c, m, *p: T.sparsity_constrained(*p, reg=2.0 * c / m, k=3, tol=1e-4),
    "groups": lambda c, m, *p: T.group_lasso(*p, labels=np.arange(12) % 2, reg=c / m, eta=0.1 * c),
    "norms": lambda c, m, *p: T.sum_of_norms(
        *p, lam=0.01 * c, row_weights=CLASSES[0], column_weights=CLASSES[1]
    ),
}


@pytest.mark.parametrize("name", ANY_UNIT)
@pytest.mark.parametrize(
    ("scale", "shift", "mass"), [(1e12, -4e12, 1.0), (1e-12, 0.0, 1e8), (1.0, -7.0, 1e-9)]
)
def test_units_and_an_added_constant_change_nothing_else(name, scale, shift, mass):
    """The network simplex underneath has absolute tolerances, and fails on costs below 0."""
    cost, a, b = problem(12, 9)
    plain = ANY_UNIT[name](1.0, 1.0, cost, a, b)
    moved = ANY_UNIT[name](scale, mass, scale * cost + shift, mass * a, mass * b)
    assert moved.status == "converged"
    if name not in ("sparsity", "norms"):
        # These end with a gap within which plans differ.
        assert moved.rounded / mass == pytest.approx(plain.rounded, abs=1e-6)
    allowed = plain.certificate.value + moved.certificate.value / (scale * mass) + 1e-8
    assert (moved.value / mass - shift) / scale == pytest.approx(plain.value, abs=allowed)
    together = (moved.f[:, None] + moved.g - shift) / scale
    if name in ("entropic", "quadratic", "groups"):
        # Where potentials are unique up to a constant: those of the cost, in its units.
        assert together == pytest.approx(plain.f[:, None] + plain.g, abs=1e-5)
    elif name == "exact":
        assert (together - cost).max() <= 1e-14
    last = moved.history[-1].bound if moved.history else moved.certificate.lower_bound
    assert np.isnan(last) or last <= moved.value + 1e-9 * abs(moved.value)
    again = T.verify(scale * cost + shift, mass * a, mass * b, moved)
    assert again.value == pytest.approx(moved.certificate.value, abs=1e-12 * (scale + abs(shift)) * mass)


@pytest.mark.parametrize("name", ["entropic", "quadratic", "sparsity", "groups"])
def test_a_regulariser_lost_in_rounding_leaves_the_proof_of_the_exact_plan(name):
    cost, a, b = problem(12, 9)
    weak = {
        "entropic": lambda: T.entropic(cost, a, b, eps=1e-15, max_iter=300),
        "quadratic": lambda: T.quadratic(cost, a, b, reg=1e-30),
        "sparsity": lambda: T.sparsity_constrained(cost, a, b, reg=1e-20, k=2),
        "groups": lambda: T.group_lasso(
            cost, a, b, labels=np.arange(12) % 2, reg=1e-20, eta=1e-20, max_iter=50
        ),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        result = weak[name]()
    assert result.certificate.relative < 1e-10
    assert result.value == pytest.approx(T.exact(cost, a, b).value, rel=1e-10)


@pytest.mark.parametrize("name", ANY_UNIT)
def test_weights_that_are_nearly_zero_count_as_zero(name):
    cost, a, b = problem(12, 9)
    a[0] = 1e-300
    result = ANY_UNIT[name](1.0, 1.0, cost, a / a.sum(), b)
    assert result.status == "converged"
    assert not result.plan[0].any()
    assert np.isfinite(result.f).all()


@given(st.integers(0, 10**6), st.floats(1e-3, 10.0), st.integers(1, 6))
@settings(max_examples=40, deadline=None)
def test_the_gap_bounds_the_error_of_any_potentials(seed, reg, steps):
    """Runs that are cut short: the value is never further from the minimum than the gap says."""
    cost, a, b = problem(6, 8, seed)
    for solver, option in ((wp.transport.entropic, "eps"), (wp.transport.quadratic, "reg")):
        best = solver(cost, a, b, **{option: reg}, tol=1e-11)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            short = solver(cost, a, b, **{option: reg}, tol=1e-13, max_iter=steps)
        moved = dataclasses.replace(short, f=short.f + 0.1 * np.random.default_rng(seed).normal(size=6))
        worse = wp.transport.verify(cost, a, b, moved)
        for certificate in (short.certificate, worse):
            assert certificate.lower_bound <= best.value + 1e-9
            assert certificate.primal >= best.certificate.lower_bound - 1e-9


def test_extremely_weak_regularisation_gives_the_exact_plan():
    cost, a, b = problem(12, 9)
    exact = wp.transport.exact(cost, a, b)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for result in (
            wp.transport.entropic(cost, a, b, eps=1e-9),
            wp.transport.quadratic(cost, a, b, reg=1e-9),
        ):
            assert result.value == pytest.approx(exact.value, abs=1e-6)
            assert result.certificate.value < 1e-5


def test_a_spoiled_plan_or_potential_is_found(solve):
    cost, a, b = problem(6, 5)
    result = solve(cost, a, b)
    worse = dataclasses.replace(result, rounded=np.outer(a, b))
    assert wp.transport.verify(cost, a, b, worse).value >= result.certificate.value - 1e-12
    bent = dataclasses.replace(result, f=result.f * np.linspace(1, 3, 6) + np.linspace(0, 1, 6))
    assert wp.transport.verify(cost, a, b, bent).value > result.certificate.value + 1e-3


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_come_back_as_they_came(solve, dtype):
    cost, a, b = problem(6, 5)
    given = [v.astype(dtype) for v in (cost, a, b)]
    copies = [v.copy() for v in given]
    for v in given:
        v.flags.writeable = False
    result = solve(*given)
    assert {v.dtype for v in (result.plan, result.f, result.g, result.rounded)} == {np.dtype(dtype)}
    assert all(np.array_equal(v, c) for v, c in zip(given, copies, strict=True))
    torch = pytest.importorskip("torch")
    theirs = solve(*(torch.asarray(c) for c in copies))
    assert isinstance(theirs.plan, torch.Tensor)
    assert np.array_equal(theirs.plan.numpy(), result.plan)


def test_zero_weights_are_left_out(solve):
    cost, a, b = problem(7, 6)
    a[[0, 3]], b[5] = 0, 0
    a, b = a / a.sum(), b / b.sum()
    result = solve(cost, a, b)
    assert np.all(result.plan[[0, 3]] == 0)
    assert np.all(result.plan[:, 5] == 0)
    assert np.isfinite(result.f).all()
    assert np.isfinite(result.g).all()
    rows, columns = a > 0, b > 0
    inner = solve(cost[np.ix_(rows, columns)], a[rows], b[columns])
    assert result.value == pytest.approx(inner.value, abs=1e-12)
    slack = result.f[:, None] + result.g - cost
    assert slack[[0, 3]].max() <= 1e-12
    assert slack[:, 5].max() <= 1e-12


def test_identical_points_cost_nothing():
    points = np.ones((4, 2))
    cost = wp.transport.squared_distances(points, points)
    for solve in SOLVERS.values():
        result = solve(cost)
        assert result.status == "converged"
        assert result.cost == 0.0
        assert result.certificate.value <= 1e-10
    points = np.random.default_rng(0).normal(size=(5, 2))
    result = wp.transport.exact(wp.transport.squared_distances(points, points))
    assert result.plan == pytest.approx(np.eye(5) / 5)
    assert result.value == result.certificate.value == 0.0


def test_duplicated_points(solve):
    cost, a, b = problem(5, 4)
    cost = np.concatenate([cost, cost])
    result = solve(cost, np.concatenate([a, a]) / 2, b)
    assert result.status == "converged"
    assert result.certificate.relative < 1e-6


@pytest.mark.parametrize(
    ("cost", "a", "b", "message"),
    [
        (np.array([[0.0, np.nan], [1.0, 0.0]]), None, None, r"cost has 1 non-finite .* index \(0, 1\)"),
        (np.array([[0.0, np.inf], [1.0, 0.0]]), None, None, "cost has 1 non-finite"),
        (np.eye(2), [0.5, 0.5], [0.5, 0.6], "a sums to 1 but b to 1.1"),
        (np.eye(2), [1.5, -0.5], None, "a must not be negative, but entry 1 is -0.5"),
        (np.eye(2), [0.0, 0.0], None, "a is zero everywhere"),
        (np.eye(2), [0.5, np.nan], None, "a has 1 non-finite"),
        (np.eye(2), np.ones(3) / 3, None, r"a has shape \(3,\), but the cost has 2 rows"),
        (np.eye(2), None, np.ones(3) / 3, r"b has shape \(3,\), but the cost has 2 columns"),
        (np.ones(3), None, None, "cost must be a matrix"),
        (np.ones((0, 3)), None, None, "cost must be a matrix"),
    ],
)
def test_bad_input_is_refused_before_work(solve, cost, a, b, message):
    with pytest.raises(ValueError, match=message):
        solve(cost, a, b)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_bad_regularisation_is_refused(value):
    with pytest.raises(ValueError, match="eps must be a positive finite number"):
        wp.transport.entropic(np.eye(2), eps=value)
    with pytest.raises(ValueError, match="reg must be a positive finite number"):
        wp.transport.quadratic(np.eye(2), reg=value)
    with pytest.raises(ValueError, match="tol must be a positive finite number"):
        wp.transport.quadratic(np.eye(2), reg=1.0, tol=value)


def test_an_early_stop_is_said():
    cost, a, b = problem(20, 20)
    with pytest.warns(ConvergenceWarning, match="iteration limit"):
        result = wp.transport.entropic(cost, a, b, eps=1e-3, max_iter=3)
    assert result.status == "max_iter"
    assert not result.converged
    assert result.certificate.value > 0
    assert [r.iteration for r in result.history] == sorted(r.iteration for r in result.history)


def test_round_plan_changes_at_most_twice_the_errors():
    rng = np.random.default_rng(0)
    _, a, b = problem(6, 5)
    for _ in range(20):
        plan = rng.random((6, 5)) * (rng.random((6, 5)) < 0.4)
        made = wp.transport.round_plan(plan, a, b)
        assert made.sum(1) == pytest.approx(a)
        assert made.sum(0) == pytest.approx(b)
        error = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
        assert np.abs(made - plan).sum() <= 2 * error + 1e-12
        assert made.min() >= 0
    with pytest.raises(ValueError, match="must not be negative"):
        wp.transport.round_plan(-np.eye(2), None, None)


def test_barycentric_means():
    cost, a, b = problem(6, 5)
    targets = np.random.default_rng(1).normal(size=(5, 3))
    result = wp.transport.entropic(cost, a, b, eps=0.1)
    assert result.barycentric(targets) == pytest.approx(result.plan @ targets / a[:, None], abs=1e-8)
    a[2] = 0
    moved = wp.transport.exact(cost, a / a.sum(), b).barycentric(targets)
    assert np.isnan(moved[2]).all()
    assert np.isfinite(moved[[0, 1, 3, 4, 5]]).all()


def test_verify_believes_no_plan_with_entries_below_zero():
    cost, a, b = problem(5, 5)
    result = wp.transport.exact(cost, a, b)
    spoiled = result.rounded.copy()
    i, j = np.unravel_index(np.argmax(cost), cost.shape)
    k, m = (i + 1) % 5, (j + 1) % 5
    spoiled[[i, k], [j, m]] -= 1.0
    spoiled[[i, k], [m, j]] += 1.0
    sign = np.sign(np.vdot(cost, spoiled - result.rounded))
    spoiled = result.rounded - sign * (spoiled - result.rounded)
    assert np.vdot(cost, spoiled) < result.value
    proof = wp.transport.verify(cost, a, b, dataclasses.replace(result, rounded=spoiled))
    assert proof.primal >= result.value * (1 - 1e-12)
    assert proof.value > 0


def test_verify_names_what_takes_other_results():
    with pytest.raises(TypeError, match="verify_inverse"):
        wp.transport.verify(np.eye(2), None, None, object())
