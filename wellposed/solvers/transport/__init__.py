"""Optimal transport between weighted points: exact and regularised, each plan with a certificate.

All solvers take a matrix of costs and the weights of its rows and columns, and hand back a
`TransportResult`: the plan, its potentials in units of the cost, a feasible plan, and a duality gap.
"""

from wellposed.solvers.transport.certify import verify
from wellposed.solvers.transport.data import squared_distances
from wellposed.solvers.transport.entropic import entropic
from wellposed.solvers.transport.exact import exact
from wellposed.solvers.transport.quadratic import quadratic
from wellposed.solvers.transport.result import TransportRecord, TransportResult
from wellposed.solvers.transport.rounding import round_plan

__all__ = [
    "TransportRecord",
    "TransportResult",
    "entropic",
    "exact",
    "quadratic",
    "round_plan",
    "squared_distances",
    "verify",
]
