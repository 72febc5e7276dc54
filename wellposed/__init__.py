"""Ill-posed problems made well-posed.

Compose operators and functionals into an objective, minimise it, and get a result with a
certificate of how good it is::

    import numpy as np
    import wellposed as wp

    A = wp.operators.ParallelBeam((256, 256), angles=np.linspace(0, np.pi, 60, endpoint=False))
    objective = wp.LeastSquares(A, b) + 0.5 * wp.TotalVariation() + wp.NonNegative()
    print(wp.explain(objective))  # the solver that would be taken, and why
    result = wp.minimize(objective, tol=1e-3)
    result.certificate  # at most this far above the minimum
    wp.verify(objective, result)  # the same number, from the data, x and the dual variables alone

`operators` has the linear maps, `tomography` filtered back-projection, `problems` ready-made
problems, `testing` one-line checks for operators and functionals of your own; `choose` finds the
weight of a regulariser from the data. Names are loaded on first use, so that the import is quick.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "AffineConstraint": "functionals.affine",
    "BinaryPenalty": "functionals.cauchy_schwarz",
    "Box": "functionals.indicators",
    "CEL0": "functionals.concave",
    "CauchySchwarz": "functionals.cauchy_schwarz",
    "CensoredLeastSquares": "functionals.censored",
    "EigenvectorPenalty": "functionals.cauchy_schwarz",
    "ElasticNet": "functionals.elastic_net",
    "ExclusiveL1": "functionals.exclusive",
    "FieldOfExperts": "functionals.field_of_experts",
    "Entropy": "functionals.transport",
    "Functional": "functionals._base",
    "GroupL2": "functionals.groups",
    "GroupPenalty": "functionals.group_penalty",
    "HuberLoss": "functionals.robust",
    "KernelRidge": "functionals.kernel_ridge",
    "KullbackLeibler": "functionals.kullback_leibler",
    "L0": "functionals.l0",
    "L1": "functionals.norms",
    "L1Loss": "functionals.robust",
    "L1MinusL2": "functionals.l1_minus_l2",
    "L2Ball": "functionals.balls",
    "LInf": "functionals.largest",
    "LeastSquares": "functionals.datafits",
    "LinearOperator": "operators._base",
    "LogSum": "functionals.concave",
    "LogisticLoss": "functionals.logistic",
    "Lq": "functionals.lq",
    "MCP": "functionals.concave",
    "MultinomialLoss": "functionals.multinomial",
    "NonNegative": "functionals.indicators",
    "NuclearNorm": "functionals.low_rank",
    "Objective": "functionals.objective",
    "OrthogonalPenalty": "functionals.cauchy_schwarz",
    "Parameter": "functionals.parameter",
    "PoissonLoss": "functionals.poisson",
    "SCAD": "functionals.concave",
    "Simplex": "functionals.balls",
    "STVS": "functionals.stvs",
    "SmoothedL0": "functionals.smoothed_l0",
    "SmoothedTotalVariation": "functionals.tv",
    "SoftLogisticLoss": "functionals.soft_logistic",
    "SparseEnvelope": "functionals.sparse_envelope",
    "SparseGroup": "functionals.sparse_group",
    "SquaredError": "functionals.datafits",
    "SLOPE": "functionals.slope",
    "SobolevLeastSquares": "functionals.sobolev",
    "SobolevSeminorm": "functionals.sobolev",
    "SquaredL2": "functionals.norms",
    "SumOfNorms": "functionals.transport",
    "TernaryPenalty": "functionals.cauchy_schwarz",
    "TotalGeneralizedVariation": "functionals.tgv",
    "TotalVariation": "functionals.tv",
    "WaveformLeastSquares": "functionals.waveform",
    "Certificate": "solvers.result",
    "Choice": "solvers.selection",
    "ConvergenceWarning": "solvers.result",
    "GraphRegularised": "solvers.graph_regularised",
    "Plan": "solvers.plan",
    "Result": "solvers.result",
    "TransportPolytope": "functionals.transport",
    "TwoStage": "solvers.two_stage",
    "choose": "solvers.selection",
    "hypergradient": "solvers.bilevel.hypergradient",
    "learn": "solvers.bilevel.learn",
    "Learned": "solvers.bilevel.learned",
    "OffsetLeastSquares": "functionals.offset",
    "TorchFunctional": "functionals.torch_functional",
    "Traits": "functionals._base",
    "explain": "solvers.minimize",
    "minimize": "solvers.minimize",
    "mixture_of_experts": "solvers.mixture",
    "net_trim": "solvers.net_trim",
    "PrunedLayer": "solvers.net_trim",
    "MixtureFit": "solvers.mixture",
    "MixtureOfExperts": "solvers.mixture",
    "Pursuit": "solvers.matching_pursuit",
    "PursuitRound": "solvers.matching_pursuit",
    "orthogonal_matching_pursuit": "solvers.matching_pursuit",
    "path": "solvers.path",
    "PathPoint": "solvers.path_result",
    "RegularisationPath": "solvers.path_result",
    "representers": "solvers.representers",
    "Representers": "solvers.representers",
    "sobolev_gradient": "functionals.sobolev",
    "graph_regularised": "solvers.graph_regularised",
    "two_stage": "solvers.two_stage",
    "verify": "solvers.certificates",
}

_MODULES = {
    "arrays": "arrays",
    "operators": "operators",
    "testing": "testing",
    "functionals": "functionals",
    "multitask": "solvers.multitask",
    "problems": "problems",
    "regularisation": "functionals.adaptive_weights",
    "sklearn": "sklearn",
    "solvers": "solvers",
    "tomography": "operators.tomography",
    "transport": "solvers.transport",
}

__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"wellposed.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"wellposed.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'wellposed' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
