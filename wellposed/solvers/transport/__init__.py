"""Optimal transport between weighted points: exact and regularised, each plan with a certificate.

All solvers take a matrix of costs and the weights of its rows and columns, and hand back a
`TransportResult`: the plan, its potentials in units of the cost, a feasible plan, and a duality gap.
"""

from wellposed.solvers.transport.blocks import recovery_bound
from wellposed.solvers.transport.certify import verify
from wellposed.solvers.transport.data import squared_distances
from wellposed.solvers.transport.displacement import ElasticMap, elastic_map
from wellposed.solvers.transport.displacement_neural import NeuralMap, neural_map
from wellposed.solvers.transport.displacement_run import NeuralMapRecord
from wellposed.solvers.transport.displacement_weight import AnnealedWeight, DimensionTarget
from wellposed.solvers.transport.divergence import SinkhornDivergence, sinkhorn_divergence
from wellposed.solvers.transport.entropic import entropic
from wellposed.solvers.transport.exact import exact
from wellposed.solvers.transport.gaussian_coupling import gaussian_affinity, gaussian_coupling
from wellposed.solvers.transport.group_lasso import group_lasso
from wellposed.solvers.transport.incremental import sum_of_norms_incremental
from wellposed.solvers.transport.inverse import InverseResult, inverse, inverse_gaussian
from wellposed.solvers.transport.inverse_verify import verify_inverse, verify_inverse_gaussian
from wellposed.solvers.transport.quadratic import quadratic
from wellposed.solvers.transport.result import TransportRecord, TransportResult
from wellposed.solvers.transport.rounding import round_plan
from wellposed.solvers.transport.sparsistency import Sparsistency, gaussian_sparsistency, sparsistency
from wellposed.solvers.transport.sparsity_constrained import sparsity_constrained
from wellposed.solvers.transport.sum_of_norms import sum_of_norms
from wellposed.solvers.transport.weights import class_weights, gaussian_weights

__all__ = [
    "AnnealedWeight",
    "DimensionTarget",
    "ElasticMap",
    "InverseResult",
    "NeuralMap",
    "NeuralMapRecord",
    "SinkhornDivergence",
    "Sparsistency",
    "TransportRecord",
    "TransportResult",
    "class_weights",
    "elastic_map",
    "entropic",
    "exact",
    "gaussian_affinity",
    "gaussian_coupling",
    "gaussian_sparsistency",
    "gaussian_weights",
    "group_lasso",
    "inverse",
    "inverse_gaussian",
    "neural_map",
    "quadratic",
    "recovery_bound",
    "round_plan",
    "sinkhorn_divergence",
    "sparsistency",
    "sparsity_constrained",
    "squared_distances",
    "sum_of_norms",
    "sum_of_norms_incremental",
    "verify",
    "verify_inverse",
    "verify_inverse_gaussian",
]
