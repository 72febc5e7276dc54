"""Solves along a path of weights, each started from the nearest one before, with what the rules look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter
from wellposed.solvers.loop import Info
from wellposed.solvers.result import Result
from wellposed.solvers.selection_data import DataTerm, WeightedTerm, data_term, noise_like, weighted_term
from wellposed.solvers.warm import solve_near

LEAST_SHARE = 1e-3
"""The tolerance shrinks by no more than this factor where the data fit is a small part of the objective."""

QUIET_LOOKS = 20
"""After so many looks, a solve ends if half of them brought less than a hundredth of the tolerance."""

PERTURBATION = 0.5
"""Size of the change of the data behind a Monte-Carlo trace, in noise levels."""


@dataclass(frozen=True)
class Record:
    """One weight of the search.

    Parameters
    ----------
    value : float
        The weight.
    criterion : float
        What the rule compares: the least is best, or for ``"discrepancy"`` the one nearest 0.
    residual : float
        Root mean square of the residual of the data fit (for weighted squares: of the weighted one).
    penalty : float
        The term that the parameter multiplies, without the parameter; NaN if it is not such a weight.
    degrees : float
        Estimate of the trace of the derivative of ``A x`` with respect to ``b``, over the number of
        data; NaN if the rule does not use it.
    iterations : int
        Iterations of the solve, or of both solves.
    status : str
        How the solve ended.
    """

    value: float
    criterion: float
    residual: float
    penalty: float
    degrees: float
    iterations: int
    status: str


@dataclass(frozen=True)
class Point:
    """A weight with its solution, before a rule has judged it."""

    value: float
    result: Result
    shifted: Result | None
    residual: Array
    mean_square: float
    penalty: float
    degrees: float

    @property
    def iterations(self) -> int:
        """Of all solves at this weight."""
        return self.result.iterations + (self.shifted.iterations if self.shifted is not None else 0)


@dataclass
class Path:
    """Solves an objective at one weight after another.

    Parameters
    ----------
    objective : Objective
    name : str
        Of the parameter.
    tol : float
        Of each solve, while the data fit is the larger part of the objective; where it is a small part,
        the tolerance is made smaller, since the residual is what the rules look at.
    trace : bool
        Whether to solve a second time with changed data, for the trace.
    noise_level : float or None
    seed : int or Generator
    options : dict
        Further options of `minimize`.
    """

    objective: Objective
    name: str
    tol: float
    trace: bool = False
    noise_level: float | None = None
    seed: int | np.random.Generator = 0
    options: dict[str, Any] = field(default_factory=dict)
    points: dict[float, Point] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data: DataTerm = data_term(self.objective)
        self.weighted: WeightedTerm | None = weighted_term(self.objective, self.name)
        self.probe = noise_like(self.data, np.random.default_rng(self.seed)) if self.trace else None

    def at(self, value: float) -> Point:
        """The solution at a weight."""
        parameter = self._parameter()
        value = min(max(float(value), float(parameter.low)), float(parameter.high))
        if value not in self.points:
            self.points[value] = self._solved(value)
        return self.points[value]

    def nearest(self, value: float) -> Point | None:
        """The solved weight that is nearest on a log scale, the larger one of two."""
        if not self.points:
            return None
        return self.points[min(self.points, key=lambda v: (abs(math.log(v / value)), -v))]

    def objective_at(self, value: float) -> Objective:
        """The objective with that weight."""
        return self.objective.with_parameters({self.name: value})

    def _parameter(self) -> Parameter:
        return next(p for p in self.objective.parameters if p.name == self.name)

    def _solved(self, value: float) -> Point:
        near = self.nearest(value)
        objective, tol = self.objective_at(value), self._tolerance(near)
        result = self._minimise(objective, None if near is None else near.result, tol)
        Ax = self.data.predict(result.x)
        residual = self.data.residual(Ax)
        mean_square = arrays.inner(residual, residual) / self.data.count
        shifted, degrees = None, math.nan
        if self.probe is not None:
            step = self._step_of_change()
            moved, data = self.data.perturbed(objective, self._whitened(step * self.probe))
            # Its own path of starts: errors of the two solves are alike and cancel in the difference.
            shifted = self._minimise(moved, None if near is None else near.shifted, tol)
            change = self._unwhitened(data.predict(shifted.x) - Ax)
            degrees = arrays.inner(self.probe, change) / (step * self.data.count)
        penalty = math.nan if self.weighted is None else self.weighted.value(result.x)
        return Point(value, result, shifted, residual, mean_square, penalty, degrees)

    def _tolerance(self, near: Point | None) -> float:
        if near is None or not self.data.least_squares:
            return self.tol
        share = 0.5 * near.mean_square * self.data.count / max(abs(near.result.objective), 1e-300)
        return self.tol * min(max(share, LEAST_SHARE), 1.0)

    def _minimise(self, objective: Objective, start: Result | None, tol: float) -> Result:
        return solve_near(objective, start, tol, _until_quiet(tol), **self.options)

    def _step_of_change(self) -> float:
        """The same for all weights: of the noise level, or where that is not known, of the data."""
        if self.noise_level is not None:
            return PERTURBATION * self.noise_level
        size = arrays.norm(self._unwhitened(self.data.fit.b)) / math.sqrt(self.data.count)
        return 5e-2 * size or 1.0

    def _whitened(self, change: Array) -> Array:
        """A change of the data whose weighted size is that of ``change``."""
        w = self.data.weights
        if w is None:
            return change
        xp = arrays.namespace(w)
        seen = w > 0
        return xp.where(seen, change / xp.sqrt(xp.where(seen, w, 1.0 + 0.0 * w)), 0.0 * change)

    def _unwhitened(self, change: Array) -> Array:
        w = self.data.weights
        return change if w is None else arrays.namespace(w).sqrt(w) * change


def _until_quiet(tol: float) -> Callable[[Info], bool]:
    """A callback that ends solves whose objective has settled while their certificate has not.

    The final solve has no such end, so that the result is certified or says why not.
    """
    seen: list[float] = []

    def go_on(info: Info) -> bool:
        seen.append(info.objective)
        if len(seen) < QUIET_LOOKS or not math.isfinite(info.objective):
            return True
        return seen[len(seen) // 2] - info.objective > 0.01 * tol * abs(info.objective)

    return go_on
