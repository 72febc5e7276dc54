"""Maps of elastic costs and the Sinkhorn divergence: closed forms, finite differences, degenerate input."""

from __future__ import annotations

import numpy as np
import ot
import pytest
from scipy.special import logsumexp

import wellposed as wp
from wellposed.solvers.transport import displacement
from wellposed.solvers.transport.divergence import DivergenceSteps

PENALTIES = {
    "none": None,
    "l1": 0.7 * wp.L1(),
    "l1, weights": wp.L1(np.array([0.1, 0.0, 2.0])),
    "smoothed l0": 0.9 * wp.SmoothedL0(0.8),
    "stvs": 1.5 * wp.STVS(0.6),
    "k-overlap": 2.0 * wp.SparseEnvelope(1),
    "squares": wp.SquaredL2(),
}


def clouds(n=12, m=9, seed=0):
    rng = np.random.default_rng(seed)
    b = rng.random(m) + 0.1
    return rng.normal(size=(n, 3)), rng.normal((2.0, 0.2, 0.0), size=(m, 3)), b / b.sum()


def cost_of(penalty, z):
    return 0.5 * z @ z + (0.0 if penalty is None else penalty(z))


@pytest.mark.parametrize("name", PENALTIES)
def test_potential_and_its_gradient_by_differences(name):
    """The displacement is prox(-grad f) for the potential f extended by its formula, coded anew."""
    penalty = PENALTIES[name]
    y, x, b = clouds()
    found = wp.transport.elastic_map(y, x, penalty, eps=0.3, b=b)
    cost = np.array([[cost_of(penalty, q - p) for q in x] for p in y])
    theirs = ot.sinkhorn(np.full(12, 1 / 12), b, cost, 0.3, method="sinkhorn_log", stopThr=1e-13)
    assert np.allclose(found.result.plan, theirs, atol=1e-8)
    assert found.result.certificate.relative < 1e-7
    assert wp.transport.verify(cost, None, b, found.result).relative < 1e-7

    def potential(p):
        costs = np.array([cost_of(penalty, q - p) for q in x])
        return -0.3 * logsumexp((found.result.g - costs) / 0.3, b=b)

    for p in (y[0], y[3] + 0.37, np.array([5.0, -3.0, 0.1])):
        h = 1e-6
        slope = np.array([(potential(p + h * e) - potential(p - h * e)) / (2 * h) for e in np.eye(3)])
        expected = -slope if penalty is None else penalty.prox(-slope, 1.0)
        assert np.allclose(found.displacement(p[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_single_target_is_reached_exactly(name):
    y, _, _ = clouds()
    x = np.array([[1.0, 2.0, -3.0]])
    found = wp.transport.elastic_map(y, x, PENALTIES[name])
    assert np.allclose(found(y), np.repeat(x, 12, axis=0), atol=1e-9)


def test_without_a_penalty_it_is_the_barycentre():
    y, x, b = clouds()
    found = wp.transport.elastic_map(y, x, eps=0.2, b=b)
    assert np.allclose(found(y), found.result.barycentric(x), atol=1e-7)


def test_l1_leaves_coordinates_where_they_are():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((40, 6))
    x = y[rng.permutation(40)] + np.array([4.0, 0, 0, 0, 0, 0])
    moved = wp.transport.elastic_map(y, x, 5.0 * wp.L1(), eps=0.05).displacement(y)
    assert np.mean(moved[:, 1:] == 0) > 0.8
    assert np.mean(moved[:, 0]) == pytest.approx(4.0, abs=0.5)


def test_blocks_precision_and_weights_of_zero(monkeypatch):
    y, x, b = clouds()
    expected = wp.transport.elastic_map(y, x, 0.7 * wp.L1(), eps=0.3, b=b)
    new = np.random.default_rng(3).standard_normal((25, 3))
    whole = expected(new)
    for array in (y, x, new):
        array.setflags(write=False)
    monkeypatch.setattr(displacement, "CHUNK", 60)
    again = wp.transport.elastic_map(y, x, 0.7 * wp.L1(), eps=0.3, b=b)
    assert np.allclose(again(new), whole, rtol=1e-12)
    single = wp.transport.elastic_map(y.astype(np.float32), x, 0.7 * wp.L1(), eps=0.3, b=b)
    images = single(new.astype(np.float32))
    assert images.dtype == np.float32
    assert np.allclose(images, whole, atol=1e-3)
    more = np.vstack([x, 100 * np.ones((1, 3))])
    unused = wp.transport.elastic_map(y, more, 0.7 * wp.L1(), eps=0.3, b=[*b, 0.0])
    assert np.allclose(unused(new), whole, atol=1e-6)


def test_identical_points_and_a_default_width():
    y = np.ones((4, 2))
    assert np.array_equal(wp.transport.elastic_map(y, y, wp.L1())(y), y)
    x = np.array([[0.0, 0.0], [2.0, 0.0]])
    assert wp.transport.elastic_map(x, x).eps == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"penalty": 3.0}, TypeError, "must be a functional"),
        ({"penalty": 3.0 * wp.STVS()}, ValueError, "lacks 1.5 to convexity"),
        ({"penalty": wp.L0()}, ValueError, "lacks inf"),
        ({"penalty": wp.BinaryPenalty()}, TypeError, "no proximal map"),
        ({"penalty": wp.GroupL2([[0, 1]])}, TypeError, "not differentiable"),
        ({"eps": 0.0}, ValueError, "eps must be a positive"),
        ({"target": np.ones((4, 2))}, ValueError, r"target must have shape \(points, 3\), got \(4, 2\)"),
        ({"target": np.full((4, 3), np.nan)}, ValueError, "target"),
    ],
)
def test_bad_input(arguments, error, message):
    y, x, _ = clouds()
    with pytest.raises(error, match=message):
        wp.transport.elastic_map(**{"source": y, "target": x, "penalty": None, **arguments})
    with pytest.raises(ValueError, match="points must have shape"):
        wp.transport.elastic_map(y, x)(np.ones((2, 2)))


# --- the divergence ------------------------------------------------------------------------------


def test_divergence_against_pot_and_differences():
    y, x, b = clouds()
    a = np.full(12, 1 / 12)
    eps = 0.5
    found = wp.transport.sinkhorn_divergence(y, x, eps=eps, b=b)

    def value(points):
        def transport(p, q, v, w):
            cost = 0.5 * ot.dist(p, q)
            plan = ot.sinkhorn(v, w, cost, eps, method="sinkhorn_log", stopThr=1e-13, numItermax=10_000)
            return np.sum(plan * cost) + eps * np.sum(plan * np.log(plan / np.outer(v, w)))

        own = 0.5 * (transport(points, points, a, a) + transport(x, x, b, b))
        return transport(points, x, a, b) - own

    assert found.value == pytest.approx(value(y), abs=1e-8)
    assert found.bounds[1] - found.bounds[0] < 1e-7
    step = np.random.default_rng(2).standard_normal(y.shape)
    slope = (value(y + 1e-5 * step) - value(y - 1e-5 * step)) / 2e-5
    assert np.vdot(found.gradient, step) == pytest.approx(slope, abs=1e-7)


def test_divergence_of_a_translated_set_is_exact():
    """Half the squared distance of the means, plus what does not depend on the shift."""
    y, x, _ = clouds(15, 11)
    start = wp.transport.sinkhorn_divergence(y, x, eps=0.4)
    shift = np.array([1.0, -2.0, 0.5])
    moved = wp.transport.sinkhorn_divergence(y + shift, x, eps=0.4)
    gap = x.mean(0) - y.mean(0)
    expected = 0.5 * np.sum((shift - gap) ** 2) - 0.5 * np.sum(gap**2)
    assert moved.value - start.value == pytest.approx(expected, abs=1e-8)
    assert np.allclose(moved.gradient.sum(0), shift - gap, atol=1e-8)
    assert wp.transport.sinkhorn_divergence(y, y, eps=0.4).value == pytest.approx(0.0, abs=1e-9)


def test_divergence_while_points_move():
    y, x, _ = clouds(20, 16)
    steps = DivergenceSteps(0.4, tol=1e-10)
    for t in (0.0, 0.01, 0.5):
        exact = wp.transport.sinkhorn_divergence(y + t, x, eps=0.4).gradient
        assert np.allclose(steps.gradient(y + t, x, keep=True), exact, atol=1e-8)
    assert np.allclose(steps.gradient(y[:7], x, keep=False).shape, (7, 3))
