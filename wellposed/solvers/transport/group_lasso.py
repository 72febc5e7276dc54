"""Transport in which each target takes from few classes of sources: a group lasso penalty of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.semidual import Columns, newton
from wellposed.kernels.transport_columns import grouped_columns
from wellposed.solvers.transport.data import check_control, check_positive, check_transport
from wellposed.solvers.transport.result import Clock, TransportResult, finish


def group_lasso(
    cost: Any,
    a: Any = None,
    b: Any = None,
    *,
    labels: Any,
    reg: float,
    eta: float,
    tol: float = 1e-9,
    max_iter: int = 500,
) -> TransportResult:
    r"""Transport with a group lasso penalty: a target prefers sources of one class.

    .. math:: \min_P \langle C, P\rangle + \sum_j \Big[\frac{\mathrm{reg}}{2} \|p_j\|^2
        + \eta \sum_G \|p_{G j}\|_2\Big]
        \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b

    Parameters
    ----------
    cost : array of shape (n, m)
    a, b : array, optional
        As for `exact`.
    labels : array of int of shape (n,)
        The class of each source; a source of a negative label is a class of its own.
    reg, eta : float
        Positive. A share of ``eta`` smaller than the differences of costs changes little.
    tol : float
        Bound of the sum of all errors of sums of rows and columns, relative to the mass.
    max_iter : int
        Newton steps.

    Returns
    -------
    TransportResult

    Raises
    ------
    ValueError
        As for `exact`, or if the labels do not fit.

    Notes
    -----
    The penalty of N. Courty, R. Flamary, D. Tuia and A. Rakotomamonjy, Optimal transport for domain
    adaptation, 2017, with the quadratic regulariser of M. Blondel, V. Seguy and A. Rolet, Smooth and sparse
    optimal transport, 2018, which makes the dual smooth. Solved by Newton's method on the semi-dual.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cost = np.array([[0.0, 0.5], [0.4, 0.5], [0.5, 0.0], [0.5, 0.1]])
    >>> result = wp.transport.group_lasso(cost, labels=[0, 0, 1, 1], reg=0.1, eta=0.1)
    >>> result.plan
    array([[0.25, 0.  ],
           [0.25, 0.  ],
           [0.  , 0.25],
           [0.  , 0.25]])
    """
    data = check_transport(cost, a, b)
    reg, eta = check_positive(reg, "reg"), check_positive(eta, "eta")
    check_control(tol, max_iter)
    order, starts = _groups(labels, data.shape[0], data.rows)
    scaled, units = data.scaled()
    clock, penalty = Clock(units), GroupedColumns(reg, eta, order, starts)
    inner = GroupedColumns(reg * units.mass / units.cost, eta / units.cost, order, starts)
    turned = np.ascontiguousarray(scaled.cost[order].T)
    P, f, g, _ = exact_transport(scaled.cost, scaled.a, scaled.b)
    start = units.back(P, f, g)

    def watch(k: int, value: float, error: float) -> bool:
        clock.record(k, value, error)
        return False

    at, count, status = newton(
        inner, turned, scaled.a[order], scaled.b, f[order], g, tol * scaled.mass, max_iter, watch
    )
    plan, potential = np.empty_like(scaled.cost), np.empty_like(f)
    plan[order], potential[order] = at.plan.T, at.f
    return finish(data, penalty, *units.back(plan, potential, at.g), clock, count, status, start=start)


@dataclass(frozen=True, eq=False)
class GroupedColumns:
    r"""The penalty :math:`\tfrac{\mathrm{reg}}{2}\|t\|^2 + \eta \sum_G \|t_G\|` of columns.

    ``order`` brings the entries of each group together; group ``k`` then begins at ``starts[k]``. The
    methods that Newton's method calls take rows in that order, the others in that of the cost.
    """

    reg: float
    eta: float
    order: np.ndarray
    starts: np.ndarray

    def _norms(self, columns: np.ndarray) -> np.ndarray:
        """Norms of the groups of each column, given with one row per column, in order."""
        return np.sqrt(np.add.reduceat(columns * columns, self.starts[:-1], axis=1))

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        """The value at a plan."""
        norms = self._norms(np.ascontiguousarray(plan[self.order].T))
        return 0.5 * self.reg * float(np.einsum("ij,ij->", plan, plan)) + self.eta * float(norms.sum())

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        """The dual value."""
        slack = np.maximum(f[:, None] + g - cost, 0.0)[self.order]
        beyond = np.maximum(self._norms(np.ascontiguousarray(slack.T)) - self.eta, 0.0)
        return float(f @ a + g @ b) - float(np.einsum("ij,ij->", beyond, beyond)) / (2 * self.reg)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Potentials of columns for which the columns have the right sums."""
        turned = np.ascontiguousarray(cost[self.order].T)
        return self.columns(turned, a[self.order], b, f[self.order], np.zeros_like(b)).g

    def columns(
        self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray
    ) -> Columns:
        """The maximisers for ``f``."""
        plan, g = np.empty_like(cost), g.copy()
        grouped_columns(cost, f, b, self.starts, self.reg, self.eta, g, plan)
        value = float(f @ a + g @ b) - self._conjugate(cost, f, g)
        size = float(np.abs(f) @ a + np.abs(g) @ b)
        return Columns(f, g, plan, value, a - plan.sum(axis=0), 8 * np.finfo(np.float64).eps * size)

    def _conjugate(self, cost: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        beyond = np.maximum(self._norms(np.maximum(f + g[:, None] - cost, 0.0)) - self.eta, 0.0)
        return float(np.einsum("ij,ij->", beyond, beyond)) / (2 * self.reg)

    def curvature(self, at: Columns, b: np.ndarray) -> tuple[np.ndarray, float]:
        """Minus the generalised Hessian, from the lengths of the shortened groups of the plan."""
        kept = self._norms(at.plan) * self.reg
        norms = np.where(kept > 0, kept + self.eta, 1.0)
        keep = np.where(kept > 0, kept / norms, 0.0)
        sizes = np.diff(self.starts)
        diagonal = np.repeat(keep, sizes, axis=1) * (at.plan > 0)
        # The entries of the groups before they are shortened, over the root of the cube of the norm.
        longer = np.where(keep > 0, self.reg / np.where(keep > 0, keep, 1.0), 0.0) * norms**-1.5
        z = at.plan * np.repeat(longer, sizes, axis=1) * np.sqrt(self.eta)
        sums = diagonal + z * np.repeat(np.add.reduceat(z, self.starts[:-1], axis=1), sizes, axis=1)
        totals = sums.sum(axis=1)
        half = sums / np.sqrt(np.where(totals > 0, totals, 1.0))[:, None]
        curvature = -(half.T @ half)
        curvature[np.diag_indices_from(curvature)] += diagonal.sum(axis=0)
        for first, last in zip(self.starts[:-1], self.starts[1:], strict=True):
            curvature[first:last, first:last] += z[:, first:last].T @ z[:, first:last]
        curvature /= self.reg
        return curvature, float(totals.sum()) / (self.reg * len(curvature))

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        """The value is nowhere 0."""
        return 0.0

    def __str__(self) -> str:
        return f"group lasso of {len(self.starts) - 1} classes, reg = {self.reg:g}, eta = {self.eta:g}"


def _groups(labels: Any, count: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order that brings classes together, and where each begins; of the rows of positive weight."""
    given = arrays.numpy_view(arrays.as_array(labels, "labels"))
    if given.shape != (count,) or given.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be {count} integers, one per row of the cost, "
            f"got {given.dtype} of shape {given.shape}"
        )
    alone = given.astype(np.int64)
    alone = np.where(alone < 0, alone.max(initial=0) + 1 + np.arange(count), alone)[rows]
    order = np.argsort(alone, kind="stable")
    starts = np.flatnonzero(np.diff(alone[order], prepend=-1))
    return order, np.append(starts, len(rows)).astype(np.int64)
