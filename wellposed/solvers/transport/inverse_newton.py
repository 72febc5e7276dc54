r"""Proximal Newton steps on working sets for :math:`\lambda\|A\|_1 + W(A) - \langle A, \hat m\rangle`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from wellposed.kernels.coordinate_gram import sweeps
from wellposed.solvers.result import Certificate


class Point(Protocol):
    """Where a convex potential stands."""

    @property
    def value(self) -> float:
        """A bound above the potential."""

    @property
    def moments(self) -> np.ndarray:
        """Its gradient."""

    def curvature(self, chosen: np.ndarray) -> np.ndarray:
        """A block of its Hessian."""

    def lower_bound(self, target: Any, lam: np.ndarray) -> float:
        """A bound below the minimum of the penalised loss."""


def proximal_newton(
    model: Any,
    target: Any,
    lam: np.ndarray,
    A: np.ndarray,
    tol: float,
    max_iter: int,
    watch: Callable[[int, Certificate, Any], bool],
) -> tuple[Any, Certificate, int, str]:
    """Minimise until the relative duality gap is at most ``tol``; ``watch`` may stop the run.

    Returns
    -------
    point, certificate, iterations, status
    """
    point = model.at(A)
    best, note = -math.inf, "coupling mixed with the observed one"
    floor = _floor(model, target)
    for k in range(max_iter + 1):
        primal = _objective(point, target, lam)
        best = max(best, _bound(point, target, lam))
        scale = max(abs(primal), floor)
        certificate = Certificate("duality gap", max(primal - best, 0.0), scale, primal, best, note)
        if watch(k, certificate, point):
            return point, certificate, k, "stopped"
        if certificate.relative <= tol:
            return point, certificate, k, "converged"
        if k == max_iter:
            break
        moved = _step(model, point, target, lam, primal)
        if moved is None:
            return point, certificate, k, "stalled"
        point = moved
    return point, certificate, max_iter, "max_iter"


def _objective(point: Any, target: Any, lam: np.ndarray) -> float:
    return float(np.vdot(lam, np.abs(point.A)) + point.value - np.vdot(point.A, target.moments))


def _bound(point: Any, target: Any, lam: np.ndarray) -> float:
    if not point.A.any() and np.all(np.abs(target.moments) <= lam):
        # The independent coupling is feasible in the dual, and its divergence is 0 without rounding.
        return 0.0
    return float(point.lower_bound(target, lam))


def _floor(model: Any, target: Any) -> float:
    """A thousandth of what one Newton step on the strongest coefficient alone gains: the size of losses."""
    flat = np.abs(target.moments).reshape(-1)
    k = int(flat.argmax())
    curvature = float(model.at(np.zeros(model.shape)).curvature(np.array([k]))[0, 0])
    return 1e-3 * float(flat[k]) ** 2 / (2 * curvature) if curvature > 0 else 0.0


def _working_set(A: np.ndarray, gradient: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Coefficients in use, and those that violate optimality most, as many again."""
    active = A != 0
    excess = np.where(active, 0.0, np.abs(gradient) - lam)
    most = max(100, 2 * int(active.sum()))
    order = np.argsort(-excess, kind="stable")[:most]
    return np.union1d(np.flatnonzero(active), order[excess[order] > 0])


def _step(model: Any, point: Any, target: Any, lam: np.ndarray, primal: float) -> Any | None:
    """A step that descends; ``None`` where rounding hides any descent."""
    gradient = (point.moments - target.moments).reshape(-1)
    old = point.A.reshape(-1)
    chosen = _working_set(old, gradient, lam.reshape(-1))
    if not len(chosen):
        return None
    H, g, x0 = point.curvature(chosen), gradient[chosen], old[chosen]
    x, pull = x0.copy(), -g
    H[np.diag_indices_from(H)] *= 1 + 1e-12
    report, w = np.zeros(2), lam.reshape(-1)[chosen]
    sweeps(x, pull, H, w, -np.inf, np.inf, 20_000, 1e-13 * float(np.abs(g).max() + w.max()), report)
    direction = x - x0
    # At most minus the curvature along the step at the minimiser, which rounding does not cancel.
    slope = float(g @ direction + w @ (np.abs(x) - np.abs(x0)))
    slope = min(slope, -0.5 * float(direction @ H @ direction))
    if not slope < 0:
        return None
    rounding = 16 * np.finfo(np.float64).eps * (abs(primal) + abs(point.value) + model.eps)
    length = 1.0
    for _ in range(30):
        A = old.copy()
        A[chosen] = x if length == 1 else x0 + length * direction
        there = model.at(A.reshape(point.A.shape), point)
        if _objective(there, target, lam) <= primal + 1e-4 * length * slope + rounding:
            return there if length * -slope > rounding or _closer(there, point, target, lam) else None
        length /= 2
    return None


def _closer(there: Any, point: Any, target: Any, lam: np.ndarray) -> bool:
    """Whether the worst violation is smaller, where values differ by rounding only."""
    return _violation(there, target, lam) < 0.9 * _violation(point, target, lam)


def _violation(point: Any, target: Any, lam: np.ndarray) -> float:
    gradient = point.moments - target.moments
    off = np.where(point.A != 0, np.abs(gradient + lam * np.sign(point.A)), np.abs(gradient) - lam)
    return float(max(off.max(), 0.0))
