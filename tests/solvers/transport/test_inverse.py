"""Inverse transport: closed forms, derivatives, agreement with CVXPY and both limits, degenerate input."""

from __future__ import annotations

import dataclasses

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import graphical_lasso
from sklearn.linear_model import Lasso

import wellposed as wp
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.transport.coupling_model import BilinearFeatures, CouplingModel, ListedFeatures
from wellposed.solvers.transport.gaussian_coupling import gaussian_model

T = wp.transport


def covariance(rng, size):
    B = rng.normal(size=(size, size))
    return B @ B.T / size + 0.3 * np.eye(size)


def gaussian_case(seed, d=3, e=4):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(d, e)), covariance(rng, d), covariance(rng, e), rng


def sample_model(seed, n=12, m=9, d=2, e=3, eps=0.7):
    rng = np.random.default_rng(seed)
    a, b = rng.dirichlet(np.full(n, 3.0)), rng.dirichlet(np.full(m, 3.0))
    x, y = rng.normal(size=(n, d)), rng.normal(size=(m, e))
    features = BilinearFeatures(x - a @ x, y - b @ y)
    return CouplingModel(features, a, b, eps, 1e-13), rng.normal(size=(d, e)), rng


def slope(function, A, direction, h=1e-5):
    return (function(A + h * direction) - function(A - h * direction)) / (2 * h)


# ---------------------------------------------------------------- closed forms


@given(st.integers(0, 10**6), st.sampled_from([0.05, 1.0, 20.0]))
def test_the_closed_form_meets_the_optimality_condition(seed, eps):
    A, Sa, Sb, _ = gaussian_case(seed)
    S = T.gaussian_coupling(A, Sa, Sb, eps=eps)
    Ia = np.linalg.inv(Sa)
    inverted = eps * Ia @ S @ np.linalg.inv(Sb - S.T @ Ia @ S)
    assert np.abs(inverted - A).max() < 1e-7 * np.abs(A).max()
    assert T.gaussian_affinity(S, Sa, Sb, eps=eps) == pytest.approx(A, abs=1e-7)


def test_the_formula_for_invertible_affinities():
    A, Sa, Sb, _ = gaussian_case(1, 3, 3)
    eps = 0.8
    back = np.linalg.inv(A)

    def root(M):
        w, Q = np.linalg.eigh((M + M.T) / 2)
        return (Q * np.sqrt(w)) @ Q.T

    D = root(Sb + eps**2 / 4 * back @ np.linalg.inv(Sa) @ back.T)
    S = Sa @ A @ D @ np.linalg.inv(root(D @ A.T @ Sa @ A @ D)) @ D - eps / 2 * back.T
    assert T.gaussian_coupling(A, Sa, Sb, eps=eps) == pytest.approx(S, abs=1e-10)


@pytest.mark.parametrize(("d", "e"), [(3, 3), (2, 4), (4, 2), (1, 3)])
def test_the_hessian_is_that_of_the_lemma(d, e):
    A, Sa, Sb, rng = gaussian_case(d + 10 * e, d, e)
    eps = 0.6
    point = gaussian_model(A, Sa, Sb, eps).at(A)
    S = point.moments
    Q = np.linalg.inv(Sb - S.T @ np.linalg.inv(Sa) @ S)
    R = np.linalg.inv(Sa - S @ np.linalg.inv(Sb) @ S.T)
    # Column-stacking vectors, and the matrix that takes vec X to vec X^T.
    commutation = np.array([np.eye(d * e)[:, k].reshape(d, e, order="F").T.reshape(-1, order="F")
                            for k in range(d * e)]).T  # fmt: skip
    H = eps * np.linalg.inv(eps**2 * np.kron(Q, R) + np.kron(A.T, A) @ commutation)
    order = np.arange(d * e).reshape(d, e).reshape(-1, order="F")
    mine = point.curvature(np.arange(d * e))[np.ix_(order, order)]
    assert mine == pytest.approx(H, abs=1e-9)
    X = rng.normal(size=(d, e))
    assert point.curve(X).reshape(-1, order="F") == pytest.approx(H @ X.reshape(-1, order="F"), abs=1e-9)
    model = point.model
    assert slope(lambda B: model.at(B).value, A, X) == pytest.approx(np.vdot(S, X), abs=1e-7)


# ---------------------------------------------------------------- points


@pytest.mark.parametrize("eps", [0.2, 1.0, 10.0])
def test_gradient_and_hessian_of_points_by_finite_differences(eps):
    model, A, rng = sample_model(3, eps=eps)
    point, X = model.at(A), rng.normal(size=A.shape)
    assert point.plan.sum(axis=1) == pytest.approx(model.a, abs=1e-12)
    assert slope(lambda B: model.at(B).value, A, X) == pytest.approx(np.vdot(point.moments, X), abs=1e-7)
    assert point.curve(X) == pytest.approx(slope(lambda B: model.at(B).moments, A, X), abs=1e-6)
    chosen = np.array([0, 2, 3, 5])
    full = np.array([point.curve(E.reshape(A.shape)).reshape(-1) for E in np.eye(A.size)])
    assert point.curvature(chosen) == pytest.approx(full[np.ix_(chosen, chosen)], abs=1e-10)


def test_listed_features_are_the_same_as_points():
    model, A, _ = sample_model(4)
    x, y = model.features.x, model.features.y
    listed = ListedFeatures(np.einsum("ip,jq->pqij", x, y).reshape(A.size, len(x), len(y)))
    point = model.at(A)
    other = CouplingModel(listed, model.a, model.b, model.eps, model.tol).at(A.reshape(-1))
    assert other.plan == pytest.approx(point.plan, abs=1e-12)
    assert other.moments == pytest.approx(point.moments.reshape(-1), abs=1e-12)
    chosen = np.array([1, 4, 5])
    assert other.curvature(chosen) == pytest.approx(point.curvature(chosen), abs=1e-11)


def oracle(features, P, eps, lam):
    """Value and affinity of a cone solver, for features that are not centred."""
    a, b = P.sum(axis=1), P.sum(axis=0)
    f, g, A = cp.Variable((len(a), 1)), cp.Variable((1, len(b))), cp.Variable(len(features))
    combined = sum(A[k] * features[k] for k in range(len(features)))
    ones = np.ones((1, len(b))), np.ones((len(a), 1))
    mass = cp.sum(cp.multiply(np.outer(a, b), cp.exp((combined - f @ ones[0] - ones[1] @ g) / eps)))
    W = a @ f[:, 0] + b @ g[0] + eps * (mass - 1)
    problem = cp.Problem(cp.Minimize(lam * cp.norm1(A) + W - cp.sum(cp.multiply(combined, P))))
    problem.solve(solver=cp.CLARABEL)
    return problem.value, A.value


@pytest.mark.parametrize(("eps", "lam"), [(0.5, 0.02), (0.5, 0.2), (4.0, 0.05)])
def test_agreement_with_a_cone_solver(eps, lam):
    rng = np.random.default_rng(5)
    P = rng.random((5, 4)) ** 3 + 1e-3
    P /= P.sum()
    features = rng.normal(size=(6, 5, 4)) + rng.normal(size=(6, 1, 4))
    value, A = oracle(features, P, eps, lam)
    result = T.inverse(features=features, coupling=7 * P, eps=eps, lam=lam, tol=1e-9)
    assert result.converged
    assert result.value == pytest.approx(value, abs=1e-6)
    assert result.affinity == pytest.approx(A, abs=1e-3)
    # From below the certificate holds at every step, not only at the end.
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        early = T.inverse(features=features, coupling=P, eps=eps, lam=lam, tol=1e-12, max_iter=1)
    assert early.certificate.lower_bound <= value + 1e-7 <= early.value + 2e-7
    assert early.certificate.value >= early.value - value - 1e-7


@pytest.mark.parametrize("eps", [0.3, 5.0])
def test_normal_distributions_agree_with_a_cone_solver(eps):
    A0, Sa, Sb, rng = gaussian_case(6, 2, 3)
    S = T.gaussian_coupling(A0, Sa, Sb, eps=eps) + 0.02 * rng.normal(size=A0.shape)
    lam = 0.2 * np.abs(S).max()
    M = cp.Variable(S.shape)
    joint = cp.bmat([[Sa, M], [M.T, Sb]])
    constant = np.linalg.slogdet(Sa)[1] + np.linalg.slogdet(Sb)[1]
    bound = cp.Problem(cp.Maximize(eps / 2 * (cp.log_det(joint) - constant)), [cp.abs(M - S) <= lam])
    bound.solve(solver=cp.CLARABEL)
    result = T.inverse_gaussian(S, Sa, Sb, eps=eps, lam=lam, tol=1e-9)
    assert result.value == pytest.approx(bound.value, abs=1e-6)
    assert result.moments == pytest.approx(M.value, abs=1e-4)
    assert result.plan is None


@given(st.integers(0, 10**6), st.floats(0.02, 1.2), st.sampled_from([0.1, 1.0, 30.0]))
def test_optimality_of_any_problem(seed, share, eps):
    A0, Sa, Sb, _ = gaussian_case(seed)
    S = T.gaussian_coupling(A0, Sa, Sb, eps=eps)
    lam = share * np.abs(S).max()
    result = T.inverse_gaussian(S, Sa, Sb, eps=eps, lam=lam, tol=1e-9)
    left = result.moments - S
    used = result.affinity != 0
    assert np.abs(left).max() <= lam * (1 + 1e-3)
    assert left[used] == pytest.approx(-lam * np.sign(result.affinity[used]), rel=1e-2)
    assert used.any() == (share < 1)


def test_samples_of_normal_points_agree_with_the_closed_form():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=3.0, delta=0.5, samples=700)
    sampled = T.inverse(problem.x, problem.y, eps=3.0, lam=0.05)
    closed = T.inverse_gaussian(problem.cross, problem.cov_x, problem.cov_y, eps=3.0, lam=0.05)
    assert sampled.converged
    assert closed.converged
    assert np.abs(sampled.affinity - closed.affinity).max() < 0.1
    assert (sampled.affinity != 0).tolist() == (closed.affinity != 0).tolist()
    one = T.sparsistency(problem.affinity, problem.x, problem.y, eps=3.0)
    other = T.gaussian_sparsistency(problem.affinity, problem.cov_x, problem.cov_y, eps=3.0)
    assert np.abs(one.z - other.z).max() < 0.15


# ---------------------------------------------------------------- weights of coefficients


def test_weights_of_coefficients_agree_with_a_cone_solver():
    rng = np.random.default_rng(5)
    P = rng.random((5, 4)) ** 3 + 1e-3
    P /= P.sum()
    features, lam = rng.normal(size=(6, 5, 4)), np.array([0.02, 0.3, 0.05, 0.1, 0.02, 0.5])
    # A weight is the same as a feature divided by it.
    value, scaled = oracle(features / lam[:, None, None], P, 0.5, 1.0)
    result = T.inverse(features=features, coupling=P, eps=0.5, lam=lam, tol=1e-9)
    assert result.converged
    assert result.value == pytest.approx(value, abs=1e-6)
    assert result.affinity == pytest.approx(scaled / lam, abs=1e-3)
    same = T.inverse(features=features, coupling=P, eps=0.5, lam=np.full(6, 0.1), tol=1e-9)
    plain = T.inverse(features=features, coupling=P, eps=0.5, lam=0.1, tol=1e-9)
    assert same.affinity == pytest.approx(plain.affinity, abs=1e-12)


def test_a_heavy_weight_removes_one_coefficient_and_the_rest_stays_optimal():
    A0, Sa, Sb, _ = gaussian_case(11)
    S = T.gaussian_coupling(A0, Sa, Sb, eps=2.0)
    lam = np.full(A0.shape, 1e-3)
    lam[1, 2] = 2 * np.abs(S).max() + 10
    result = T.inverse_gaussian(S, Sa, Sb, eps=2.0, lam=lam, tol=1e-10)
    assert result.affinity[1, 2] == 0
    assert np.count_nonzero(result.affinity) == A0.size - 1
    left, used = result.moments - S, result.affinity != 0
    assert left[used] == pytest.approx(-(lam * np.sign(result.affinity))[used], rel=1e-2)
    zero = T.inverse_gaussian(S, Sa, Sb, eps=2.0, lam=np.abs(S) * (1 + 1e-12))
    assert not zero.affinity.any()
    assert zero.certificate.value == 0.0


def test_weights_decide_on_the_support_as_the_certificate_says():
    """Twice the weight off the support brings a certificate of 1.15 below 1."""
    problem = wp.problems.gaussian_inverse_transport(nodes=10, delta=0.1, eps=1.0)
    lam = np.where(problem.affinity != 0, 1.0, 2.0)
    plain = T.gaussian_sparsistency(problem.affinity, eps=1.0)
    weighted = T.gaussian_sparsistency(problem.affinity, eps=1.0, lam=lam)
    assert not plain.holds
    assert weighted.holds
    assert weighted.largest == pytest.approx(plain.largest / 2)
    small = 1e-4 * np.abs(problem.cross).max()
    result = T.inverse_gaussian(problem.cross, eps=1.0, lam=small * lam, tol=1e-10)
    assert problem.wrong_positions(result.affinity) == 0


# ---------------------------------------------------------------- certificates from the outside


@given(st.integers(0, 10**6), st.floats(0.0, 2.0))
@settings(max_examples=25, deadline=None)
def test_whatever_is_handed_back_the_certificate_holds(seed, noise):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, 15, 2))
    lam = rng.random((2, 2)) * 0.3 + 0.02
    good = T.inverse(x, y, eps=1.5, lam=lam, tol=1e-8)
    again = T.verify_inverse(good, x, y, eps=1.5, lam=lam)
    assert again.value <= good.certificate.value + 1e-9
    spoiled = dataclasses.replace(
        good,
        affinity=good.affinity + noise * rng.normal(size=(2, 2)),
        plan=np.abs(good.plan * (1 + noise * rng.normal(size=(15, 15)))),
        f=good.f + noise * rng.normal(size=15),
        g=good.g + noise * rng.normal(size=15),
    )
    proof = T.verify_inverse(spoiled, x, y, eps=1.5, lam=lam)
    assert proof.lower_bound <= good.value + 1e-9
    assert proof.primal >= good.certificate.lower_bound - 1e-9
    true = T.inverse(x, y, eps=1.5, lam=1e9, start=spoiled.affinity, max_iter=1, callback=lambda *_: False)
    value = true.value + float(np.sum((lam - 1e9) * np.abs(spoiled.affinity)))
    assert proof.primal >= value - 1e-5


@given(st.integers(0, 10**6), st.floats(0.0, 1.0))
@settings(max_examples=25, deadline=None)
def test_the_same_between_normal_distributions(seed, noise):
    A0, Sa, Sb, rng = gaussian_case(seed, 2, 3)
    S, lam = T.gaussian_coupling(A0, Sa, Sb, eps=2.0), rng.random((2, 3)) + 0.01
    good = T.inverse_gaussian(S, Sa, Sb, eps=2.0, lam=lam, tol=1e-9)
    again = T.verify_inverse_gaussian(good, S, Sa, Sb, eps=2.0, lam=lam)
    assert again.primal == pytest.approx(good.value, abs=1e-9)
    assert again.value <= good.certificate.value + 1e-8
    spoiled = dataclasses.replace(
        good,
        affinity=good.affinity + noise * rng.normal(size=(2, 3)),
        moments=good.moments + noise * rng.normal(size=(2, 3)),
    )
    proof = T.verify_inverse_gaussian(spoiled, S, Sa, Sb, eps=2.0, lam=lam)
    assert proof.lower_bound <= good.value + 1e-8
    assert proof.primal >= good.certificate.lower_bound - 1e-8


def test_results_of_another_problem_are_refused():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=30)
    result = T.inverse(problem.x, problem.y, eps=5.0, lam=0.1)
    with pytest.raises(ValueError, match="the plan of the result has shape"):
        T.verify_inverse(result, problem.x[:20], problem.y[:20], eps=5.0, lam=0.1)
    closed = T.inverse_gaussian(problem.cross, problem.cov_x, problem.cov_y, eps=5.0, lam=0.1)
    with pytest.raises(ValueError, match="use verify_inverse_gaussian"):
        T.verify_inverse(closed, problem.x, problem.y, eps=5.0, lam=0.1)


# ---------------------------------------------------------------- limits and certificate


def test_wide_entropy_gives_the_lasso():
    A0, Sa, Sb, rng = gaussian_case(7, 4, 3)
    A0[rng.random(A0.shape) < 0.6] = 0
    lam, errors = 0.1, []
    design = np.kron(np.linalg.cholesky(Sa).T, np.linalg.cholesky(Sb).T)
    fitted = Lasso(alpha=lam / A0.size, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(
        design, design @ A0.reshape(-1)
    )
    for eps in (30.0, 300.0):
        S = T.gaussian_coupling(A0, Sa, Sb, eps=eps)
        result = T.inverse_gaussian(S, Sa, Sb, eps=eps, lam=lam / eps, tol=1e-10)
        errors.append(np.abs(result.affinity - fitted.coef_.reshape(A0.shape)).max())
    assert errors[0] < 1e-2
    assert errors[1] < 0.02 * errors[0]


def test_narrow_entropy_gives_the_graphical_lasso():
    A0 = wp.problems.gaussian_inverse_transport(nodes=6, delta=0.5).affinity
    w, errors = 0.2, []
    S = np.linalg.inv(A0)
    # scikit-learn leaves the diagonal free; adding w to it penalises it, as its entries are positive.
    _, precision = graphical_lasso(S + w * np.eye(6), w, tol=1e-10, enet_tol=1e-10, max_iter=1000)
    for eps in (1e-2, 1e-3):
        cross = T.gaussian_coupling(A0, eps=eps)
        result = T.inverse_gaussian(cross, eps=eps, lam=0.5 * w * eps, tol=1e-8)
        errors.append(np.abs(result.affinity - precision).max())
    assert errors[0] < 2e-2
    assert errors[1] < 0.2 * errors[0]


def test_certificates_of_a_ring():
    values = {}
    for delta in (0.1, 1.0):
        ring = wp.problems.gaussian_inverse_transport(nodes=80, delta=delta).affinity
        values[delta] = [T.gaussian_sparsistency(ring, eps=e).largest for e in (0.1, 1.0, 10.0)]
    assert values[0.1] == pytest.approx([2.138, 1.147, 0.124], abs=5e-4)
    assert values[1.0] == pytest.approx([0.898, 0.775, 0.149], abs=5e-4)


@pytest.mark.parametrize(("eps", "holds"), [(1.0, False), (10.0, True)])
def test_the_certificate_decides_whether_a_small_penalty_finds_the_support(eps, holds):
    problem = wp.problems.gaussian_inverse_transport(nodes=10, delta=0.1, eps=eps)
    certificate = T.gaussian_sparsistency(problem.affinity, eps=eps)
    lam = 1e-4 * np.abs(problem.cross).max()
    result = T.inverse_gaussian(problem.cross, eps=eps, lam=lam, tol=1e-10)
    assert certificate.holds == holds == (problem.wrong_positions(result.affinity) == 0)
    assert certificate.z[certificate.support] == pytest.approx(np.sign(problem.affinity[certificate.support]))
    if holds:
        # To first order in lam the signs of the support pull the coefficients.
        chosen = np.flatnonzero(problem.affinity)
        H = gaussian_model(problem.affinity, None, None, eps).at(problem.affinity).curvature(chosen)
        step = lam * np.linalg.solve(H, np.sign(problem.affinity.reshape(-1)[chosen]))
        moved = (problem.affinity - result.affinity).reshape(-1)[chosen]
        assert moved == pytest.approx(step, abs=2e-2 * np.abs(step).max())


# ---------------------------------------------------------------- degenerate input


def test_a_large_penalty_gives_zero_with_no_gap():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=50)
    lam = np.abs(problem.cross).max() * (1 + 1e-12)
    for result in (
        T.inverse(problem.x, problem.y, eps=5.0, lam=lam),
        T.inverse_gaussian(problem.cross, problem.cov_x, problem.cov_y, eps=5.0, lam=lam),
    ):
        assert result.converged
        assert not result.affinity.any()
        assert result.certificate.value < 1e-14


def test_constant_and_doubled_columns():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=60)
    x = np.column_stack([problem.x, np.ones(60), problem.x[:, 0]])
    result = T.inverse(x, problem.y, eps=5.0, lam=0.1)
    plain = T.inverse(problem.x, problem.y, eps=5.0, lam=0.1)
    assert result.converged
    assert not result.affinity[3].any()
    assert result.value == pytest.approx(plain.value, abs=1e-6)
    with pytest.raises(ValueError, match="linearly dependent"):
        T.sparsistency(np.ones((5, 3)), x, problem.y, eps=5.0)


def test_independent_points_and_a_single_pair():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 2))
    result = T.inverse(x, y, np.ones((6, 6)), eps=1.0, lam=1e-3)
    assert not result.affinity.any()
    assert not T.inverse(x[:1], y[:1], eps=1.0, lam=1e-3).affinity.any()


def test_identical_points_and_samples_that_determine_nothing():
    x, y = np.ones((8, 2)), np.random.default_rng(0).normal(size=(8, 3))
    result = T.inverse(x, y, eps=1.0, lam=0.1)
    assert result.converged
    assert not result.affinity.any()
    assert result.certificate.value == 0.0
    # Two distinct points, each seen with one partner only: without a penalty there would be no minimum.
    x = y = np.repeat([[-1.0], [1.0]], 4, axis=0)
    result = T.inverse(x, y, eps=1.0, lam=0.01)
    assert result.converged
    assert result.moments == pytest.approx(1 - 0.01, abs=1e-6)
    assert T.verify_inverse(result, x, y, eps=1.0, lam=0.01).relative < 1e-6


def test_kind_and_precision_are_kept_and_input_is_not_changed():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=40)
    x, y = problem.x.astype(np.float32), problem.y.astype(np.float32)
    x.setflags(write=False)
    y.setflags(write=False)
    result = T.inverse(x, y, eps=5.0, lam=0.1)
    assert {result.affinity.dtype, result.plan.dtype, result.f.dtype} == {np.dtype(np.float32)}
    assert T.verify_inverse(result, x, y, eps=5.0, lam=0.1).relative < 1e-5
    again = T.inverse(x, y, eps=5.0, lam=0.1, start=result.affinity)
    assert again.iterations <= 2
    assert again.value == pytest.approx(result.value, rel=1e-5)


def test_a_callback_ends_the_run():
    problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=1.0)
    seen = []
    result = T.inverse_gaussian(
        problem.cross, eps=1.0, lam=0.01, callback=lambda A, c: seen.append(c.relative) or len(seen) < 2
    )
    assert result.status == "stopped"
    assert len(seen) == 2 == len(result.history)


X = np.arange(6.0).reshape(3, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": X, "y": X[:2]}, "come in pairs"),
        ({"x": X}, "both x and y"),
        ({}, "one of the two"),
        ({"x": X, "y": X, "features": np.ones((1, 3, 3))}, "one of the two"),
        ({"x": X, "y": X, "eps": 0.0}, "eps must be a positive"),
        ({"x": X, "y": X, "lam": -1.0}, "lam must be a positive"),
        ({"x": X, "y": X, "lam": np.nan}, "lam must be a positive"),
        ({"x": X, "y": X, "lam": np.array([[0.1, 0.1], [0.0, 0.1]])}, "lam must be .* everywhere, got 0"),
        ({"x": X, "y": X, "lam": np.ones(3)}, "lam must be a number or have"),
        ({"x": X * np.nan, "y": X}, "x"),
        ({"x": X[:, 0], "y": X}, "x must be a matrix"),
        ({"x": X, "y": X, "coupling": -np.eye(3)}, "must not be negative"),
        ({"x": X, "y": X, "coupling": np.diag([1.0, 0.0, 1.0])}, "row 1 of the coupling is zero"),
        ({"x": X, "y": X, "coupling": np.eye(2)}, "coupling has shape"),
        ({"x": X, "y": X, "start": np.ones(3)}, "start has shape"),
        ({"features": np.ones((3, 3))}, "features must have shape"),
        ({"x": X, "y": X, "max_iter": 0}, "max_iter"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(ValueError, match=message):
        T.inverse(**{"eps": 1.0, "lam": 0.1, **arguments})


def test_bad_covariances():
    eye = np.eye(2)
    for cross, cov_x, message in (
        (eye, -eye, "cov_x must be a covariance"),
        (eye, np.array([[1.0, 2.0], [0.0, 1.0]]), "cov_x must be symmetric"),
        (2 * eye, eye, "not the blocks of a covariance"),
        (eye, np.eye(3), "cov_x has shape"),
        (np.diag([1.0, np.inf]), None, "cross"),
    ):
        with pytest.raises(ValueError, match=message):
            T.inverse_gaussian(cross, cov_x, eps=1.0, lam=0.1)
    with pytest.raises(ValueError, match="not positive definite"):
        T.gaussian_affinity(eye, eps=1.0)
    with pytest.raises(ValueError, match="no support"):
        T.gaussian_sparsistency(0 * eye, eps=1.0)
    with pytest.raises(ValueError, match="affinity has shape"):
        T.sparsistency(np.eye(3), X, X, eps=1.0)
    with pytest.raises(ValueError, match="give points"):
        T.sparsistency(np.eye(3), X, eps=1.0)
