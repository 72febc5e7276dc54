r"""Certificates of transport plans: a feasible plan against a dual bound.

For every pair of potentials, :math:`\langle f, a\rangle + \langle g, b\rangle - \Omega_+^*(f + g - C)` is
below the minimum of :math:`\langle C, P\rangle + \Omega(P)`, where :math:`\Omega_+^*` is the conjugate over
:math:`P \ge 0`; the value at any feasible plan is above it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.feasible import rounded
from wellposed.solvers.result import Certificate
from wellposed.solvers.transport.data import TransportData, check_transport
from wellposed.solvers.transport.regularisers import Nothing, Regulariser

if TYPE_CHECKING:
    from wellposed.solvers.transport.result import TransportResult

Dual = Any


@dataclass(frozen=True)
class TransportProof:
    """A certificate, and the points that it rests on."""

    certificate: Certificate
    rounded: np.ndarray
    cost: float
    f: np.ndarray
    g: np.ndarray


def certify(
    data: TransportData,
    regulariser: Regulariser,
    plan: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    dual: Dual = None,
    note: str = "",
) -> TransportProof:
    """The duality gap of a plan and potentials of the positive weights.

    The potentials handed back are those of all weights: where a weight is 0, the largest feasible ones.
    """
    feasible = rounded(plan, data.a, data.b)
    linear = float(np.einsum("ij,ij->", data.cost, feasible))
    primal = linear + regulariser.value(feasible, data.a, data.b)
    if isinstance(regulariser, Nothing):
        # Only the linear programme has duals that can be infeasible; the largest g for this f never is.
        g = regulariser.best_g(data.cost, data.a, data.b, f)
        lower = float(f @ data.a + g @ data.b)
    elif hasattr(regulariser, "bound_with"):
        lower = regulariser.bound_with(data.cost, data.a, data.b, f, g, dual)
    else:
        # Potentials below the costs prove something for every regulariser; for a very weak one rounding
        # leaves no better proof.
        below = max(0.0, float((f[:, None] + g - data.cost).max()))
        plain = float(f @ data.a + g @ data.b) - below * data.mass
        lower = max(regulariser.bound(data.cost, data.a, data.b, f, g), plain)
    scale = gap_scale(data, regulariser, primal)
    certificate = Certificate("duality gap", max(primal - lower, 0.0), scale, primal, lower, note)
    return TransportProof(certificate, feasible, linear, *_everywhere(data, regulariser, f, g))


def gap_scale(data: TransportData, regulariser: Regulariser, value: float) -> float:
    """What a gap is compared with: the value, unless that is nearly 0, or 0 up to rounding."""
    return max(abs(value + data.offset), data.scale_floor, 1e-9 * regulariser.size(data.a, data.b))


def _everywhere(
    data: TransportData, regulariser: Regulariser, f: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials of all weights: where a weight is 0 they are the largest that are feasible."""
    if data.whole:
        return f, g
    full_f, full_g = np.empty(data.shape[0]), np.empty(data.shape[1])
    nothing = Nothing()
    full_g[data.columns] = g
    inside = data.full_cost[:, data.columns]
    full_f[:] = nothing.best_g(np.ascontiguousarray(inside.T), data.b, data.a, g)
    full_f[data.rows] = f
    full_g[:] = nothing.best_g(data.full_cost, data.a, data.b, full_f)
    full_g[data.columns] = g
    return full_f, full_g


def verify(cost: Array, a: Array, b: Array, result: TransportResult) -> Certificate:
    """Recompute the certificate of a plan from the data, the feasible plan and the potentials alone.

    Parameters
    ----------
    cost, a, b : array
        The problem that was solved.
    result : TransportResult
        Only ``rounded``, ``f``, ``g``, ``regulariser`` and ``dual`` are read. A plan that is not feasible,
        as with entries below 0, is made so first.

    Returns
    -------
    Certificate

    Raises
    ------
    TypeError
        If this is no result of a transport problem.
    ValueError
        If the result does not have the shape of the problem.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cost = np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> result = wp.transport.exact(cost)
    >>> wp.transport.verify(cost, None, None, result).value
    0.0
    """
    if not hasattr(result, "rounded"):
        raise TypeError(
            f"verify takes the TransportResult of a solver such as exact, got {type(result).__name__}"
            " (verify_inverse and verify_inverse_gaussian take those of inverse transport)"
        )
    data = check_transport(cost, a, b)
    plan, f, g = (arrays.numpy_view(v).astype(np.float64) for v in (result.rounded, result.f, result.g))
    if plan.shape != data.shape:
        raise ValueError(f"the plan has shape {plan.shape}, the cost {data.shape}")
    for name, values in (("plan", plan), ("f", f), ("g", g)):
        arrays.check_finite(values, name)
    plan = np.maximum(plan, 0.0)
    inside = plan if data.whole else np.ascontiguousarray(plan[np.ix_(data.rows, data.columns)])
    return certify(data, result.regulariser, inside, f[data.rows], g[data.columns], result.dual).certificate
