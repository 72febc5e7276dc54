"""Class-based transport with a sum-of-norms penalty, by an accelerated proximal method."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from wellposed.functionals.feasible import rounded
from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.pairs import PairWeights
from wellposed.functionals.semidual import QuadraticColumns, newton
from wellposed.solvers.transport.blocks import block_anchors, block_plan
from wellposed.solvers.transport.certify import gap_scale
from wellposed.solvers.transport.class_penalty import Anchors, ClassPenalty
from wellposed.solvers.transport.data import TransportData, check_control, check_positive, check_transport
from wellposed.solvers.transport.pair_splitting import PairDuals, split
from wellposed.solvers.transport.result import Clock, TransportResult, finish

PAIRS_UP_TO = 15_000_000
"""Numbers in the dual vectors of all pairs, up to which they are kept."""

SPARSE = 0.25
"""Share of all pairs that have a weight, up to which keeping their dual vectors needs fewer iterations."""

CHECK_EVERY = 25
"""Iterations between looks at the gap, each of which costs an exact transport."""


def sum_of_norms(
    cost: Any,
    a: Any = None,
    b: Any = None,
    *,
    lam: float,
    row_weights: Any = None,
    column_weights: Any = None,
    tol: float = 1e-3,
    max_iter: int = 5000,
) -> TransportResult:
    r"""Transport whose plan treats similar points alike.

    .. math:: \min_P \langle C, P\rangle + \lambda \Big[\sum_{i<i'} R_{ii'} \|P_{i\cdot} - P_{i'\cdot}\|_2
        + \sum_{j<j'} S_{jj'} \|P_{\cdot j} - P_{\cdot j'}\|_2\Big]
        \quad\text{over}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b

    Rows of points with unequal weights are compared as shares: :math:`\bar a P_{i\cdot} / a_i` stands in
    place of :math:`P_{i\cdot}`, with the mean :math:`\bar a` of the weights, and likewise for columns.

    Parameters
    ----------
    cost : array of shape (n, m)
        Divide it by its largest entry, so that ``lam`` means the same for all data.
    a, b : array, optional
        As for `exact`.
    lam : float
        Positive. Sums run over unordered pairs.
    row_weights, column_weights : array or sparse matrix, optional
        ``R`` and ``S``: symmetric, not negative, see `class_weights` and `gaussian_weights`; by default
        that side is left alone.
    tol : float
        Bound of the duality gap, relative to the value.
    max_iter : int

    Returns
    -------
    TransportResult
        With the potentials of the plan for the cost plus the penalty's linear part at the dual point.

    Raises
    ------
    ValueError
        As for `exact`; if weights of pairs are not symmetric or negative, or none are given.

    Notes
    -----
    First the plan that is constant on the connected components of the weights is tried, with the duals that
    solve a Laplacian system. Where that proves nothing and few pairs have a weight (near neighbours), a
    primal-dual method keeps a dual vector for each pair. With whole classes, or too many pairs for memory, an
    accelerated proximal gradient method works on the penalty with smoothed norms, whose width comes down as
    far as the gap asks; then duals of pairs exist in implicit form only, and memory is that of a few plans.
    Both use the exact projection onto the set of plans.

    After A. Rahbar, A. Panahi, M. H. Chehreghani, D. Dubhashi and H. Krim, Recovery bounds on class-based
    optimal transport, 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cost = np.array([[0.0, 0.2, 1.0], [0.2, 0.0, 0.8], [1.0, 0.9, 0.0]])
    >>> pairs = wp.transport.class_weights([0, 0, 1])
    >>> result = wp.transport.sum_of_norms(cost, lam=0.3, row_weights=pairs, column_weights=pairs)
    >>> result.rounded.round(3)
    array([[0.167, 0.167, 0.   ],
           [0.167, 0.167, 0.   ],
           [0.   , 0.   , 0.333]])
    """
    data = check_transport(cost, a, b)
    lam = check_positive(lam, "lam")
    check_control(tol, max_iter)
    penalty = ClassPenalty(
        lam, _side(row_weights, data, 0, "row_weights"), _side(column_weights, data, 1, "column_weights")
    )
    if row_weights is None and column_weights is None:
        raise ValueError("sum_of_norms needs row_weights or column_weights; without them use transport.exact")
    scaled, units = data.scaled()
    clock = Clock(units)
    run = Run(scaled, replace(penalty, lam=lam / units.cost), clock, tol)
    run.try_blocks()
    if run.gap > tol:
        run.try_exact()
    status = "converged"
    if run.gap > tol:
        status = run.split(max_iter) if run.few_pairs else run.accelerate(max_iter)
    best = run.best_dual
    return finish(
        data,
        penalty,
        *units.back(run.best_plan, best.f, best.g),
        clock,
        run.iterations,
        status,
        dual=best.anchors.times(units.cost),
    )


def _side(weights: Any, data: TransportData, axis: int, name: str) -> PairWeights | None:
    if weights is None:
        return None
    graph = PairWeights.of(weights, name)
    if graph.count != data.shape[axis]:
        raise ValueError(
            f"{name} joins {graph.count} points, but the cost has shape {data.shape}: "
            f"it needs {data.shape[axis]} along axis {axis}"
        )
    graph = graph.of_rows((data.rows, data.columns)[axis])
    return graph if graph.pairs else None


@dataclass(frozen=True)
class DualPoint:
    """A dual point and what it proves."""

    anchors: Anchors | PairDuals
    f: np.ndarray
    g: np.ndarray
    bound: float


class Run:
    """One solve: the best plan and the best dual point so far."""

    def __init__(self, data: TransportData, penalty: ClassPenalty, clock: Clock, tol: float):
        self.data, self.penalty, self.clock, self.tol = data, penalty, clock, tol
        self.iterations = 0
        self.best_plan = np.outer(data.a, data.b / data.mass)
        self.best_value = math.inf
        self.best_dual: DualPoint
        self._bound = -math.inf
        self._f: np.ndarray = np.zeros_like(data.a)
        self._g: np.ndarray = np.zeros_like(data.b)

    @property
    def gap(self) -> float:
        """Relative duality gap of the best points."""
        if not math.isfinite(self.best_value - self._bound):
            return math.inf
        scale = gap_scale(self.data, self.penalty, self.best_value)
        return (self.best_value - self._bound) / scale if scale > 0 else 0.0

    def offer(self, plan: np.ndarray, value: float | None = None) -> None:
        """Keep a plan, its sums made right, if it is the best."""
        right = rounded(plan, self.data.a, self.data.b)
        if value is None or right is not plan:
            plan, value = right, self.linear(right) + self.penalty.value(right, self.data.a, self.data.b)
        if value < self.best_value:
            self.best_plan, self.best_value = plan, value

    def prove(self, anchors: Anchors | PairDuals, G: np.ndarray) -> float:
        """The bound of a dual point, with the best potentials: an exact transport of the changed costs.

        ``G`` is the linear part of the penalty there.
        """
        data = self.data
        total = data.cost + G
        f = exact_transport(total, data.a, data.b).f
        g = (total - f[:, None]).min(axis=0)
        bound = float(f @ data.a + g @ data.b)
        if bound > self._bound:
            self._bound, self.best_dual = bound, DualPoint(anchors, f, g, bound)
        self.clock.record(self.iterations, self._bound, 0.0)
        return bound

    def linear(self, plan: np.ndarray) -> float:
        """The cost of a plan."""
        return float(np.einsum("ij,ij->", self.data.cost, plan))

    def try_exact(self) -> None:
        """The plan without the penalty, which is nearly the best where ``lam`` is small enough."""
        data, zero = self.data, np.zeros_like(self.data.cost)
        self.offer(exact_transport(data.cost, data.a, data.b).plan)
        self.prove(Anchors(zero, zero, 1.0, 1.0), zero)

    def try_blocks(self) -> None:
        """The plan of class blocks, and the duals that prove it where ``lam`` is large enough."""
        data, penalty = self.data, self.penalty
        sides = zip((penalty.rows, penalty.columns), data.shape_inside, strict=True)
        labels = [np.arange(count) if side is None else side.components for side, count in sides]
        if max(labels[0]) + 1 < len(data.a) or max(labels[1]) + 1 < len(data.b):
            self.offer(block_plan(data.cost, data.a, data.b, *labels)[0])
        anchors = block_anchors(penalty, data.cost, data.a, data.b)
        self.prove(anchors, penalty.linear_part(anchors, data.a, data.b))

    def project(self, point: np.ndarray) -> np.ndarray:
        """The nearest plan."""
        turned = np.ascontiguousarray(-point.T)
        data, wanted = self.data, min(1e-7, 1e-4 * self.tol) * self.data.mass
        method = QuadraticColumns(1.0)
        at, _, _ = newton(method, turned, data.a, data.b, self._f, self._g, wanted, 50)
        if at.error > 1e3 * wanted:
            # From far away a plan has few entries; potentials of the exact plan for these costs are close.
            _, f, g, _ = exact_transport(-point, data.a, data.b)
            at, _, _ = newton(method, turned, data.a, data.b, f, g, wanted, 200)
        self._f, self._g = at.f, at.g
        return np.ascontiguousarray(at.plan.T)

    @property
    def few_pairs(self) -> bool:
        """Whether pairs are so few, and so unlike whole classes, that their dual vectors are kept."""
        sides = (self.penalty.rows, self.penalty.columns)
        graphs = [g for g in sides if g is not None]
        kept = sum(g.pairs for g in graphs) * max(self.data.shape_inside) <= PAIRS_UP_TO
        return kept and all(g.constant_norm is None and g.density <= SPARSE for g in graphs)

    def split(self, max_iter: int) -> str:
        """Primal-dual steps with the dual vector of each pair."""
        data, penalty = self.data, self.penalty
        assert isinstance(self.best_dual.anchors, Anchors)
        duals = penalty.pair_duals(self.best_dual.anchors, data.a, data.b)

        def look(k: int, x: np.ndarray, duals: PairDuals, G: np.ndarray) -> bool:
            self.iterations = k
            self.offer(x)
            self.prove(duals, (1 - 1e-9) * G)
            return self.gap <= self.tol

        sides = penalty.sides(data.a, data.b)
        split(sides, data.cost, data.mass, self.best_plan, duals, self.project, look, CHECK_EVERY, max_iter)
        return "converged" if self.gap <= self.tol else "max_iter"

    def accelerate(self, max_iter: int) -> str:
        """Accelerated proximal gradient steps on the smoothed penalty, whose width comes down."""
        data, penalty = self.data, self.penalty
        typical = data.mass / math.sqrt(data.a.size * data.b.size)
        mu_rows, mu_columns = typical / math.sqrt(data.a.size), typical / math.sqrt(data.b.size)
        x = y = self.best_plan
        t = 1.0
        while self.gap > self.tol:
            for _ in range(min(CHECK_EVERY, max_iter - self.iterations)):
                slope = penalty.slope(y, data.a, data.b, mu_rows, mu_columns)
                new = self.project(y - (data.cost + slope.gradient) / slope.curvature)
                self.iterations += 1
                if float(np.einsum("ij,ij->", y - new, new - x)) > 0:
                    # The momentum points uphill.
                    t, y = 1.0, new
                else:
                    faster = 0.5 + math.sqrt(0.25 + t * t)
                    y = new + (t - 1) / faster * (new - x)
                    t = faster
                x = new
            anchors = penalty.anchors(x, data.a, data.b, mu_rows, mu_columns)
            G = penalty.linear_part(anchors, data.a, data.b)
            size = penalty.value(x, data.a, data.b)
            self.offer(x, self.linear(x) + size)
            bound = self.prove(anchors, G)
            # The gap has two parts: that of the smoothed problem, and what the smoothing costs.
            bent = float(np.einsum("ij,ij->", G, x))
            if self.iterations >= max_iter:
                return "converged" if self.gap <= self.tol else "max_iter"
            if self.linear(x) + bent - bound <= size - bent:
                mu_rows, mu_columns, t, y = 0.4 * mu_rows, 0.4 * mu_columns, 1.0, x
        return "converged"
