"""The registry of all functionals: each entry runs through every test that takes `entry`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.functionals.calculus import Zero
from wellposed.functionals.class_intercepts import ClassIntercepts
from wellposed.functionals.intercept import FreeIntercept
from wellposed.functionals.norms import L21
from wellposed.functionals.smoothed import SmoothedL21

SHAPE = (6, 5)


@dataclass(frozen=True)
class Entry:
    """A functional made from a function that brings host arrays to the library and dtype under test."""

    name: str
    make: Callable[[Callable[[Any], Any]], wp.Functional]
    shape: tuple[int, ...] = SHAPE


def _numbers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(SHAPE)


def _positive(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 3.0, SHAPE)


def _counts() -> np.ndarray:
    return np.random.default_rng(3).poisson(1.5, SHAPE).astype(float)


B = _numbers(1)
W = _positive(2)
HALF = W * (np.arange(30).reshape(SHAPE) % 3 > 0)
SUPPLY, DEMAND = np.array([1.0, 2.0, 0.5, 3.0, 1.5, 2.0]), np.array([2.0, 1.0, 3.0, 2.5, 1.5])
LABELS = np.arange(30).reshape(SHAPE) // 4
SIGNS = np.where(_numbers(5) > 0, 1.0, -1.0)
LISTS = [[0, 7, 9], [1, 2], list(range(12, 27))]
D = wp.operators.Gradient(SHAPE)
ROWS = wp.operators.Matrix(np.random.default_rng(9).standard_normal((4, 30)), SHAPE)
DRIFT = wp.operators.Matrix(np.random.default_rng(10).standard_normal((4, 3)))
OFFSET = wp.Parameter("offset", [0.3, -0.4, 1.0], low=-np.inf, transform="identity")
B2 = np.random.default_rng(8).standard_normal(D.range_shape)
WAVES = wp.operators.AcousticWaves(
    SHAPE, 0.04, 2e-4, wp.operators.ricker(60.0, 2e-4, 120), [[0, 1], [4, 3]], [[1, 4], [5, 0]], 40.0, layer=2
)
TRACES = WAVES(np.full(SHAPE, 2.0))

PROBABILITIES = W / W.sum(1, keepdims=True)
MIX = wp.operators.MatrixProduct(_numbers(10) @ _numbers(11).T, 5)
FILTERS = np.random.default_rng(12).standard_normal((3, 2, 5))

REGISTRY = [
    Entry("zero", lambda a: Zero()),
    Entry("least squares", lambda a: wp.LeastSquares(None, a(B))),
    Entry("least squares, weights", lambda a: wp.LeastSquares(None, a(B), a(W))),
    Entry("least squares, some weights 0", lambda a: wp.LeastSquares(None, a(B), a(HALF))),
    Entry("least squares of an operator", lambda a: wp.LeastSquares(D, a(B2))),
    Entry("least squares, learned offset", lambda a: wp.OffsetLeastSquares(ROWS, DRIFT, a(B[0, :4]), OFFSET)),
    Entry("least squares of an operator, offset", lambda a: wp.OffsetLeastSquares(D, D, a(B2), 0.1 * B)),
    Entry("sobolev least squares", lambda a: wp.SobolevLeastSquares(None, a(B), wp.Parameter("s", 1.3))),
    Entry("reflected sobolev", lambda a: wp.SobolevLeastSquares(None, a(B), -2.0, "reflect")),
    Entry("sobolev along an axis", lambda a: wp.SobolevLeastSquares(None, a(B), -1.0, axes=(0,))),
    Entry("sobolev of an operator", lambda a: wp.SobolevLeastSquares(D, a(B2), 0.5, axes=(1, 2))),
    Entry("sobolev seminorm", lambda a: wp.SobolevSeminorm(1.0)),
    Entry("fractional seminorm", lambda a: wp.SobolevSeminorm(wp.Parameter("s", 0.6), "periodic")),
    Entry("sobolev seminorm of colour", lambda a: wp.SobolevSeminorm(2.0, axes=(0, 1)), (4, 5, 3)),
    Entry("waveforms", lambda a: wp.WaveformLeastSquares(WAVES, a(TRACES))),
    Entry(
        "sobolev waveforms",
        lambda a: wp.WaveformLeastSquares(WAVES, a(TRACES), 0.8, unit=0.002),
    ),
    Entry("kullback leibler", lambda a: wp.KullbackLeibler(None, a(_counts()))),
    Entry("kullback leibler, background", lambda a: wp.KullbackLeibler(None, a(_counts()), 0.7)),
    Entry("kullback leibler, backgrounds", lambda a: wp.KullbackLeibler(None, a(_counts()), a(W))),
    Entry("huber loss", lambda a: wp.HuberLoss(None, a(B), 0.6)),
    Entry("huber loss, some weights 0", lambda a: wp.HuberLoss(None, a(B), 0.6, a(HALF))),
    Entry(
        "huber loss of an operator, weights, intercept",
        lambda a: wp.HuberLoss(D, a(B2), wp.Parameter("delta", 0.6), a(np.stack([W, HALF])), intercept=True),
    ),
    Entry("huber loss of an operator", lambda a: wp.HuberLoss(D, a(B2), wp.Parameter("delta", 0.6))),
    Entry("l1 loss", lambda a: wp.L1Loss(None, a(B))),
    Entry("l1 loss, some weights 0", lambda a: wp.L1Loss(None, a(B), a(HALF))),
    Entry("logistic loss", lambda a: wp.LogisticLoss(None, a(SIGNS))),
    Entry("logistic loss, some weights 0", lambda a: wp.LogisticLoss(None, a(SIGNS), a(HALF))),
    Entry(
        "logistic loss, some weights 0, intercept",
        lambda a: wp.LogisticLoss(None, a(SIGNS), a(HALF), intercept=True),
    ),
    Entry("censored least squares", lambda a: wp.CensoredLeastSquares(None, a(B), SIGNS > 0)),
    Entry("soft logistic loss", lambda a: wp.SoftLogisticLoss(None, a(PROBABILITIES), a(B))),
    Entry(
        "soft logistic loss, intercept", lambda a: wp.SoftLogisticLoss(None, a(PROBABILITIES), intercept=True)
    ),
    Entry("multinomial loss", lambda a: wp.MultinomialLoss(None, a(PROBABILITIES))),
    Entry(
        "multinomial loss, intercept", lambda a: wp.MultinomialLoss(None, a(PROBABILITIES), intercept=True)
    ),
    Entry(
        "multinomial loss of an operator, learned weights, intercept",
        lambda a: wp.MultinomialLoss(MIX, a(PROBABILITIES), wp.Parameter("w", W[:, 0]), intercept=True),
    ),
    Entry("intercepts of classes", lambda a: ClassIntercepts(wp.MultinomialLoss(None, a(PROBABILITIES)))),
    Entry(
        "multinomial loss of an operator, learned weights",
        lambda a: wp.MultinomialLoss(MIX, a(PROBABILITIES), wp.Parameter("w", W[:, 0])),
    ),
    Entry(
        "kernel ridge",
        lambda a: wp.KernelRidge(B, a(B[:, 0]), wp.Parameter("gamma", 0.4), wp.Parameter("ridge", 0.3)),
        (6,),
    ),
    Entry(
        "least squares of a learned kernel",
        lambda a: wp.LeastSquares(
            wp.operators.KernelMatrix(B, B[:4], wp.Parameter("gamma", 0.4)), a(B[:, 0]), a(W[:, 0])
        ),
        (4,),
    ),
    Entry("field of experts", lambda a: wp.FieldOfExperts(FILTERS, [0.5, 0.0, 2.0], 0.4)),
    Entry("learned field of experts", lambda a: wp.FieldOfExperts.learnable(3, smoothing=0.4)),
    Entry(
        "field of experts, one learned weight",
        lambda a: wp.FieldOfExperts(FILTERS, wp.Parameter("w", 0.7), wp.Parameter("nu", 0.5)),
    ),
    Entry("logistic loss, intercept", lambda a: wp.LogisticLoss(None, a(SIGNS), intercept=True)),
    Entry("least squares, intercept", lambda a: wp.LeastSquares(None, a(B), intercept=True)),
    Entry("least squares, weights, intercept", lambda a: wp.LeastSquares(D, a(B2), intercept=True)),
    Entry("huber loss, intercept", lambda a: wp.HuberLoss(D, a(B2), 0.6, intercept=True)),
    Entry("poisson loss", lambda a: wp.PoissonLoss(None, a(_counts()))),
    Entry("poisson loss, some weights 0", lambda a: wp.PoissonLoss(None, a(_counts()), a(HALF))),
    Entry(
        "poisson loss, some weights 0, intercept",
        lambda a: wp.PoissonLoss(None, a(_counts()), a(HALF), intercept=True),
    ),
    Entry("poisson loss, intercept", lambda a: wp.PoissonLoss(D, a(np.abs(B2)), intercept=True)),
    Entry(
        "free intercept, some weights 0",
        lambda a: FreeIntercept(wp.PoissonLoss(None, a(_counts() + 0.1), a(HALF))),
    ),
    Entry("free intercept", lambda a: FreeIntercept(wp.LogisticLoss(None, a(SIGNS)))),
    Entry("sparse group", lambda a: wp.SparseGroup(LABELS, 0.3, np.arange(8) * 0.3)),
    Entry("sparse group of lists", lambda a: wp.SparseGroup(LISTS, wp.Parameter("l1", 0.3))),
    Entry("slope", lambda a: wp.SLOPE(np.linspace(2.0, 0.0, 30))),
    Entry("l1", lambda a: wp.L1()),
    Entry("l1, weights", lambda a: wp.L1(HALF)),
    Entry("l0", lambda a: wp.L0(HALF)),
    Entry("lq, 1/2", lambda a: wp.Lq(wp.Parameter("q", 0.5))),
    Entry("lq, 2/3", lambda a: wp.Lq(2 / 3, HALF)),
    Entry("lq, 0.3", lambda a: wp.Lq(0.3)),
    Entry("lq, 1", lambda a: wp.Lq(1.0, HALF)),
    Entry("lq, 1.3", lambda a: wp.Lq(1.3, W)),
    Entry("lq, 2", lambda a: wp.Lq(2.0, W)),
    Entry("lq, 3", lambda a: wp.Lq(3.0)),
    Entry("lq, learned", lambda a: wp.Lq(wp.Parameter("q", 2.6), W)),
    Entry("mcp", lambda a: wp.MCP(wp.Parameter("lam", 0.8), 2.5, HALF)),
    Entry("cel0", lambda a: wp.CEL0(W, wp.Parameter("lam", 0.5))),
    Entry("scad", lambda a: wp.SCAD(wp.Parameter("lam", 0.6), 3.7, HALF)),
    Entry("stvs", lambda a: wp.STVS(wp.Parameter("gamma", 0.4), HALF)),
    Entry("smoothed l0", lambda a: wp.SmoothedL0(wp.Parameter("scale", 0.7), HALF)),
    Entry("log-sum", lambda a: wp.LogSum(wp.Parameter("eps", 0.4), HALF)),
    Entry("l1 minus l2", lambda a: wp.L1MinusL2(wp.Parameter("alpha", 0.45))),
    Entry("l1 minus l2 of rows", lambda a: wp.L1MinusL2(axis=-1)),
    Entry("group l0", lambda a: wp.GroupPenalty(wp.L0(np.arange(8) * 0.3), LABELS)),
    Entry("group mcp", lambda a: wp.GroupPenalty(wp.MCP(wp.Parameter("lam", 0.8), 2.5), LISTS)),
    Entry("group l1", lambda a: wp.GroupPenalty(wp.Lq(1.0, np.arange(8) * 0.3), LABELS)),
    Entry("group l3/2", lambda a: wp.GroupPenalty(wp.Lq(1.5), LISTS)),
    Entry("exclusive l1", lambda a: wp.ExclusiveL1(LABELS, HALF)),
    Entry("exclusive l1 of lists", lambda a: wp.ExclusiveL1(LISTS)),
    Entry("sparse envelope", lambda a: wp.SparseEnvelope(4)),
    Entry("sparse envelope, weights", lambda a: wp.SparseEnvelope(3.4, weights=W)),
    Entry("sparse envelope of groups", lambda a: wp.SparseEnvelope(2, LABELS, np.linspace(0.3, 2.0, 8))),
    Entry("sparse envelope of lists", lambda a: wp.SparseEnvelope(1.5, LISTS)),
    Entry("sparse envelope without a limit", lambda a: wp.SparseEnvelope(99, LISTS)),
    Entry("binary", lambda a: wp.BinaryPenalty()),
    Entry("binary, one-sided", lambda a: wp.BinaryPenalty(one_sided=True)),
    Entry("binary, magnitudes", lambda a: wp.BinaryPenalty(magnitudes=[1.0, 2.0, 4.0, 8.0, 16.0])),
    Entry("ternary", lambda a: wp.TernaryPenalty()),
    Entry("orthogonal", lambda a: wp.OrthogonalPenalty()),
    Entry("eigenvector", lambda a: wp.EigenvectorPenalty(D.adjoint @ D)),
    Entry("squared l2", lambda a: wp.SquaredL2()),
    Entry("squared l2, some weights 0", lambda a: wp.SquaredL2(HALF)),
    Entry("squared l2, learned weights", lambda a: wp.SquaredL2(wp.Parameter("w", W))),
    Entry("squared l2, a learned weight for each row", lambda a: wp.SquaredL2(wp.Parameter("w", W[:, :1]))),
    Entry("elastic net", lambda a: wp.ElasticNet(0.4, 1.5)),
    Entry("elastic net without l1", lambda a: wp.ElasticNet(0.0, wp.Parameter("l2", 1.5))),
    Entry("elastic net without l2", lambda a: wp.ElasticNet(wp.Parameter("l1", 0.4), 0.0)),
    Entry("elastic net of nothing", lambda a: wp.ElasticNet(0.0, 0.0)),
    Entry("l21", lambda a: L21((0,))),
    Entry("l21 of two axes", lambda a: L21((0, 2)), (2, 4, 3)),
    Entry("l21, weights", lambda a: L21((0,), np.linspace(0.0, 2.0, 5)[None])),
    Entry("smoothed l21", lambda a: SmoothedL21(0.3)),
    Entry("smoothed l21, tiny eps", lambda a: SmoothedL21(0.01)),
    Entry("smoothed l1", lambda a: SmoothedL21(wp.Parameter("eps", 0.3), (), HALF)),
    Entry("smoothed l21, weights", lambda a: SmoothedL21(0.3, (0,), np.linspace(0.0, 2.0, 5)[None])),
    Entry("total variation", lambda a: wp.TotalVariation()),
    Entry("anisotropic total variation, weights", lambda a: wp.TotalVariation(False, W)),
    Entry("vectorial total variation", lambda a: wp.TotalVariation(channel_axis=-1), (4, 5, 3)),
    Entry("smoothed total variation", lambda a: wp.SmoothedTotalVariation(0.3)),
    Entry("anisotropic smoothed total variation", lambda a: wp.SmoothedTotalVariation(0.3, False, W)),
    Entry(
        "smoothed total variation, all learned",
        lambda a: (
            wp.Parameter("weight", 0.4)
            * wp.SmoothedTotalVariation(wp.Parameter("eps", 0.3), weights=wp.Parameter("w", W))
        ),
    ),
    Entry("vectorial smoothed tv", lambda a: wp.SmoothedTotalVariation(0.3, channel_axis=0), (3, 4, 5)),
    Entry("groups of labels", lambda a: wp.GroupL2(LABELS, np.arange(8) * 0.3)),
    Entry("groups of indices", lambda a: wp.GroupL2(LISTS)),
    Entry("nuclear norm", lambda a: wp.NuclearNorm()),
    Entry("nuclear norm of a batch", lambda a: wp.NuclearNorm(), (2, 3, 4)),
    Entry("non-negative", lambda a: wp.NonNegative()),
    Entry("box", lambda a: wp.Box(-0.3, 0.8)),
    Entry("half a box", lambda a: wp.Box(0.2, np.inf)),
    Entry("linf", lambda a: wp.LInf()),
    Entry("equations", lambda a: wp.AffineConstraint(wp.operators.Mask(B > 0), a(np.where(B > 0, B, 0.0)))),
    Entry("equations of a matrix", lambda a: wp.AffineConstraint(ROWS, a(ROWS(B)))),
    Entry("simplex", lambda a: wp.Simplex(2.0)),
    Entry("simplices", lambda a: wp.Simplex(axis=-1)),
    Entry("l2 ball", lambda a: wp.L2Ball(1.5)),
    Entry("l2 ball with a center", lambda a: wp.L2Ball(1.5, a(B))),
    Entry("transport polytope", lambda a: wp.TransportPolytope(a(SUPPLY), a(DEMAND))),
    Entry("transport polytope with costs", lambda a: wp.TransportPolytope(a(SUPPLY), a(DEMAND), a(0.05 * B))),
    Entry("entropy", lambda a: wp.Entropy()),
    Entry("entropy of a reference", lambda a: wp.Entropy(a(W))),
    Entry("sum of norms of rows", lambda a: wp.SumOfNorms(np.minimum.outer(np.arange(6.0), np.arange(6.0)))),
    Entry("sum of norms of columns", lambda a: wp.SumOfNorms(np.ones((5, 5)), axis=1)),
    Entry("weighted", lambda a: 2.5 * wp.L1()),
    Entry(
        "weighted by a parameter", lambda a: wp.Parameter("weight", 0.3) * wp.LeastSquares(None, a(B), a(W))
    ),
    Entry("weighted by 0", lambda a: 0.0 * wp.L1()),
    Entry("weighted by 0, indicator", lambda a: 0.0 * wp.NonNegative()),
    Entry("weighted by 0, kullback leibler", lambda a: 0.0 * wp.KullbackLeibler(None, a(_counts()))),
    Entry("weighted by 0, smooth", lambda a: 0.0 * wp.SmoothedTotalVariation(0.3)),
    Entry("shifted", lambda a: wp.ElasticNet(0.4, 1.5).shifted(a(B))),
    Entry("composed", lambda a: wp.SquaredL2() @ D),
    Entry("composed, not smooth", lambda a: 0.7 * L21((0,)) @ D),
    Entry("conjugate", lambda a: wp.HuberLoss(None, a(B), 0.6).conjugate),
    Entry("conjugate of a strongly convex one", lambda a: (2.0 * wp.ElasticNet(0.4, 1.5)).conjugate),
    Entry("sum", lambda a: wp.LeastSquares(None, a(B)) + 0.3 * wp.SmoothedTotalVariation(0.2)),
    Entry("sum of one", lambda a: wp.Objective((2.0 * wp.L1(),))),
    Entry("sum, composed", lambda a: (wp.SquaredL2() + wp.L1()) @ D),
]


@pytest.fixture(
    params=[e for e in REGISTRY if e.make(lambda a: a).traits.smooth], ids=lambda entry: entry.name
)
def smooth_entry(request: pytest.FixtureRequest) -> Entry:
    """Each differentiable functional in turn."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(params=REGISTRY, ids=lambda entry: entry.name)
def entry(request: pytest.FixtureRequest) -> Entry:
    """Each functional in turn."""
    return request.param  # type: ignore[no-any-return]
