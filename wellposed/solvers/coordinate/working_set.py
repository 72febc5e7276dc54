r"""Coordinate descent on working sets for :math:`\min_x f(A x) + \sum_j g_j(x_j)`.

Each iteration adds the coefficients (or groups) that the optimality condition violates most to a working
set, minimises on that set, and looks at all coefficients once: the pull :math:`v = -A^T \nabla f(A x)`
gives the next violations, and, scaled until it is feasible, a lower bound of the minimum. On the working
set a loss that is not quadratic is minimised by Newton's method (a quadratic problem with the same
penalty for each step, and a line search), as in M. Massias, A. Gramfort and J. Salmon, Celer, 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed.arrays import Array
from wellposed.solvers.certificates import Duals, Proof, lower_bound
from wellposed.solvers.coordinate.design import ClassDesign, SparseDesign
from wellposed.solvers.coordinate.form import Form, coordinate_form
from wellposed.solvers.coordinate.newton import minimise
from wellposed.solvers.coordinate.pool import Pool
from wellposed.solvers.coordinate.screening import Screen
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Certificate

FIRST = 100
"""Coefficients in the first working set, at least."""

FEWEST = 10
"""Groups in the first working set, at least."""

GROWTH = 1.0
"""New coefficients at most, relative to those that are not zero."""

INNER = 0.1
"""Slope left on a working set, relative to a weight of the penalty and to the gap aimed at."""

AHEAD = 0.05
"""Part of the present gap that one iteration aims at."""

NEARLY = 1e-3
"""Relative gap from which iterations for several classes aim at the tolerance: few Newton steps lead there,
and to end sooner, at a gap as small as its rounding, leaves coefficients with half of their digits."""

MARGIN = 64.0
"""Rounding of a dual point scaled into the weights, in units of the precision."""


@dataclass
class State:
    """Where a run stands."""

    x: np.ndarray  # coefficients, flat
    u: np.ndarray  # predictions A x, without intercept
    slope: np.ndarray  # gradient of the loss there
    v: np.ndarray  # minus A^T slope
    objective: float
    units: np.ndarray  # coefficients or groups of the working set
    relative: float  # the certificate when it was last seen
    precision: float  # relative gap that the working set is solved to
    moved: float  # length of the last step

    def __post_init__(self) -> None:
        # Not fields, so not part of a checkpoint: they are made from the rest.
        self.pool: Pool | None = None
        self.screen: Screen | None = None


@dataclass(frozen=True)
class WorkingSet:
    """See the module for the method."""

    problem: Problem
    tol: float = 1e-3
    check_every: int = 1

    @cached_property
    def form(self) -> Form:
        """The problem as this solver sees it."""
        form = coordinate_form(self.problem)
        assert isinstance(form, Form)
        return form

    def start(self, x0: Array | None, dual0: Duals | None) -> State:
        """Begin at ``x0``, brought into the domain of the penalty, or at zero."""
        form, p = self.form, self.form.penalty
        if x0 is None:
            x = np.zeros(form.design.shape[1], self.problem.like.dtype)
        else:
            x = np.array(x0, dtype=self.problem.like.dtype).reshape(-1)
        x = np.clip(x, p.low, p.high)
        support = np.flatnonzero(x)
        u = np.zeros(form.design.shape[0], x.dtype)
        if len(support):
            u += form.design.combine(support, x[support])
        if math.isinf(form.loss.value(u)):
            raise ValueError("the objective is infinite at the start: give an x0 where it is finite")
        none = np.empty(0, np.int64)
        state = State(x, u, u, x, math.inf, none, math.inf, math.inf, math.inf)
        state.units = self._units(support)
        self._look(state)
        return state

    def _units(self, support: np.ndarray) -> np.ndarray:
        groups = self.form.penalty.groups
        return support if groups is None else np.unique(groups.of[support])

    def _look(self, s: State) -> None:
        """Everything that follows from ``x`` and ``u``; one product with the whole matrix."""
        form = self.form
        loss, s.slope = form.loss.value_and_slope(s.u)
        support = np.flatnonzero(s.x)
        s.objective = loss + form.penalty.value(s.x, support)
        s.screen = s.screen or Screen(form)
        s.v = s.screen.pull(form.loss.pulled_back(s.slope), s.units)

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` iterations."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        pool = self._pool(s)
        pull = s.v + self.form.penalty.q - self.form.penalty.a * s.x
        new = self._violators(s, pull, pool)
        pool.extend(new)
        s.units = pool.units
        ahead = 0.0 if self.form.loss.multinomial and s.relative < NEARLY else AHEAD
        aim = max(ahead * min(s.relative, 1.0), 0.5 * self.tol)
        s.precision = min(aim, s.precision if len(new) else 0.1 * s.precision)
        before = s.x
        x, u = minimise(self.form, pool, s.x, s.u, pull, s.slope, INNER * s.precision)
        s.x, s.u = x, u
        self._look(s)
        s.moved = float(np.linalg.norm(x - before))
        if s.moved == 0 and len(new) == 0 and s.precision < 1e-4 * np.finfo(x.dtype).eps:
            raise StalledError("nothing moves")

    def _pool(self, s: State) -> Pool:
        """The working set's columns, gathered anew where the state came from elsewhere."""
        if s.pool is None or not np.array_equal(s.pool.units, s.units):
            # These bring Numba, which no other solver should have to wait for.
            from wellposed.solvers.coordinate.class_pool import ClassPool
            from wellposed.solvers.coordinate.dense_pool import DensePool
            from wellposed.solvers.coordinate.sparse_pool import SparsePool

            form = self.form
            sparse = isinstance(form.design, SparseDesign) and form.penalty.groups is None
            plain = SparsePool if sparse else DensePool
            kind = ClassPool if isinstance(form.design, ClassDesign) else plain
            s.pool = kind(form.design, form.penalty, form.loss.centred, form.loss.quadratic)
            s.pool.extend(s.units)
        return s.pool

    def _violators(self, s: State, pull: np.ndarray, pool: Pool) -> np.ndarray:
        """The coefficients (or groups) outside the working set that violate optimality most."""
        away = self.form.penalty.violation(s.x, pull)
        away[pool.units] = 0
        if s.screen is not None:
            away[s.screen.gone] = 0
        used = self._units(np.flatnonzero(s.x))
        many = max(FIRST * len(away) // len(s.x), FEWEST, int(GROWTH * len(used)))
        found = np.flatnonzero(away)
        if len(found) > many:
            found = found[np.argpartition(away[found], len(found) - many)[-many:]]
        return np.sort(found)

    def solution(self, state: State) -> Array:
        """The coefficients."""
        # Adding 0 turns -0 into 0.
        return state.x.reshape(self.problem.shape) + 0

    def dual(self, state: State) -> Proof:
        """The gap at the slope, scaled until it is feasible."""
        p = self.problem
        y = self.form.loss.f.project_dual(state.slope.reshape(self.form.loss.range_shape))
        scale = max(abs(state.objective), p.scale_floor)
        v = state.v.reshape(p.shape)
        lower, note, point = lower_bound(p, state.objective, (y,), self.tol * scale, v)
        inside = self.form.penalty.inside(state.v)
        if inside < 1 and state.objective - lower > self.tol * scale:
            # A quadratic part too small to count makes the conjugate finite outside, and huge.
            inside *= 1 - MARGIN * float(np.finfo(state.v.dtype).eps)
            other = lower_bound(p, state.objective, (inside * y,), self.tol * scale, inside * v)
            if other[0] > lower:
                lower, _, point = other
                note = f"dual point scaled by {inside:.6g}"
        gap = max(state.objective - lower, 0.0)
        if state.screen is not None and not callable(point):
            state.screen.drop(point[0], gap + p.rounding(state.objective))
        return Proof(Certificate("duality gap", gap, scale, state.objective, lower, note), point)

    def residual(self, state: State) -> tuple[float, float]:
        """How far the coefficients moved, against their length."""
        return state.moved, float(np.linalg.norm(state.x))

    def observe(self, state: State, certificate: Certificate) -> None:
        """What the working set is solved to depends on the gap."""
        state.relative = certificate.relative
