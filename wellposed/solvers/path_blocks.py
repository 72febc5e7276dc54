r"""Many weights of one penalty at a time, for least squares of a matrix.

.. math:: \min_x \tfrac12 \|A x - b\|_h^2 + t \sum_j \big(w_j |x_j| + \tfrac{a_j}2 x_j^2\big),
          \qquad l \le x_j \le u, \qquad t = t_1 > t_2 > \dots

Where only ``t`` changes, solutions at several weights need one Gram matrix, of the columns that may be used
there; and one product of all columns with all their residuals gives the gaps and the columns that were
missing, for which the matrix is read once and not once per weight. The columns are predicted: the pull
:math:`A^T h(b - Ax)` goes on as between the two weights before (or, at the start, changes at most as much as
the weight does: R. Tibshirani et al., Strong rules for discarding predictors, 2012), and checked after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wellposed.functionals.calculus import peel
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.elastic_net import ElasticNet
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.norms import L1
from wellposed.functionals.objective import Objective
from wellposed.solvers.coordinate.design import DenseDesign, SparseDesign
from wellposed.solvers.coordinate.form import Form, coordinate_form
from wellposed.solvers.coordinate.penalty import Penalty
from wellposed.solvers.path_columns import DenseColumns, SparseColumns
from wellposed.solvers.problem import Problem, canonical
from wellposed.solvers.selection_data import data_term, weighted_term

BLOCK = 10
"""Weights solved at a time."""

ROUNDS = 20
"""Times that missing columns are added to one block."""

NEAR = 0.9
"""Part of a weight from which a predicted pull counts as reaching it."""

SLOPE = 0.3
"""Slope left on the columns in use, relative to the weight and to the gap aimed at."""


@dataclass(frozen=True, eq=False)
class Solved:
    """One weight: the coefficients in use, the best constant beside them, and the proof."""

    ids: np.ndarray
    x: np.ndarray
    intercept: float
    dual: np.ndarray
    objective: float
    lower_bound: float
    rounds: int


@dataclass(frozen=True, eq=False)
class Squares:
    """The parts of a problem that has this form; ``unit`` is the penalty at weight 1."""

    problem: Problem
    form: Form
    unit: Penalty
    b: np.ndarray  # data, centred where an intercept is free
    mean: float  # what the centring has taken from them
    h: np.ndarray  # weights of the squares

    @property
    def centred(self) -> bool:
        """Whether an intercept is free."""
        return self.form.loss.centred


def squares_of(objective: Objective, name: str, value: float) -> Squares | None:
    """The parts, where the parameter ``name`` weighs the L1 or elastic net penalty of least squares."""
    if not value > 0 or not _known(objective, name):
        return None
    problem = canonical(objective.with_parameters({name: value}))
    form = coordinate_form(problem)
    if isinstance(form, str) or form.penalty.groups is not None or not form.penalty.thresholded:
        return None
    if not isinstance(form.design, (DenseDesign, SparseDesign)):
        return None
    c, fit = peel(form.loss.f)
    if not isinstance(fit, LeastSquares) or np.iscomplexobj(fit.b):
        return None
    b = np.ascontiguousarray(fit.b).reshape(-1)
    h = np.full_like(b, c) if fit.weights is None else c * np.asarray(fit.weights).reshape(-1)
    p, dtype = form.penalty, problem.like.dtype
    if b.dtype != dtype or np.any(p.q):
        return None
    unit = Penalty(p.w / dtype.type(value), p.a / dtype.type(value), p.q, p.low, p.high)
    mean = 0.0 if form.loss.centring is None else form.loss.centring.mean(data_term(objective).fit.b)
    return Squares(problem, form, unit, b, mean, h.astype(dtype))


def _known(objective: Objective, name: str) -> bool:
    """Whether the parameter multiplies a penalty that this takes, with at most bounds beside it."""
    weighted = weighted_term(objective, name)
    if weighted is None or not isinstance(peel(weighted.term)[1], (L1, ElasticNet)):
        return False
    if any(p.name == name for p in weighted.term.parameters):
        return False
    others = [t for t in objective.terms if all(p.name != name for p in t.parameters)]
    inner = [peel(t)[1] for t in others]
    return all(isinstance(f, (LeastSquares, Box, NonNegative)) for f in inner)


class Path:
    """Where a path stands: the columns in use, their Gram matrix, and the pull at the latest weight."""

    def __init__(self, squares: Squares, tol: float, enough: float = 0.0, rounds: int = ROUNDS):
        self.squares, self.tol, self.enough, self.rounds = squares, tol, enough, rounds
        form, dtype = squares.form, squares.problem.like.dtype
        self.dtype = dtype
        self.mass = float(squares.h.sum()) if squares.centred else 0.0
        self.used = np.zeros(form.design.shape[1], bool)
        self.x = np.empty(0, dtype)
        self.pull = self._pulls(-(squares.h * squares.b)[None])[0]
        kind = DenseColumns if isinstance(form.design, DenseDesign) else SparseColumns
        self.columns: DenseColumns | SparseColumns = kind(squares, self.pull)
        self.trend: np.ndarray | None = None
        self.weight = math.inf

    def solve(self, weights: np.ndarray) -> list[Solved] | None:
        """The solutions at the next weights, decreasing; ``None`` where this is not the way to find them."""
        self._extend(self._predicted(float(weights[-1])))
        done: list[Solved] = []
        sharper = 1.0
        for rounds in range(1, self.rounds + 1):
            if len(self.columns.ids) > self.columns.LARGEST:
                return None
            rest = weights[len(done) :].astype(self.dtype)
            X = self.columns.minimisers(self.x, rest, sharper * SLOPE * self.tol)
            found, pulls = self._judged(X, rest, rounds)
            good = [self._close(s) for s in found]
            count = good.index(False) if False in good else len(good)
            done += found[:count]
            if count:
                self._move(X[count - 1], pulls[:count], rest[:count])
            if count == len(found):
                return done
            missing = self._missing(pulls[count:], rest[count:])
            if missing.any():
                self._extend(missing)
            else:
                sharper *= 0.01
        return None

    # --- the columns ---------------------------------------------------------------------------

    def _predicted(self, weight: float) -> np.ndarray:
        """The columns that may be used down to a weight."""
        near = self._outside(self.pull, NEAR * weight)
        if self.trend is None:
            return near
        ahead = self.pull + self.trend * self.dtype.type(self.weight - weight)
        return np.asarray(near | self._outside(ahead, NEAR * weight))

    def _outside(self, pull: np.ndarray, weight: float) -> np.ndarray:
        """The columns whose pull exceeds a weight."""
        unit = self.squares.unit
        size = pull if unit.low == 0 else -pull if unit.high == 0 else np.abs(pull)
        return np.asarray(size > self.dtype.type(weight) * unit.w, bool)

    def _missing(self, pulls: np.ndarray, weights: np.ndarray) -> np.ndarray:
        missing = np.zeros(len(self.used), bool)
        for pull, weight in zip(pulls, weights, strict=True):
            missing |= self._outside(pull, float(weight))
        return np.asarray(missing & ~self.used)

    def _extend(self, wanted: np.ndarray) -> None:
        new = np.flatnonzero(wanted & ~self.used)
        if len(new):
            self.used[new] = True
            self.x = np.concatenate([self.x, np.zeros(len(new), self.dtype)])
            self.columns.extend(new)

    # --- the proof -----------------------------------------------------------------------------

    def _pulls(self, slopes: np.ndarray) -> np.ndarray:
        """Minus the products of all columns with slopes, one row each."""
        if self.mass > 0:
            shares = slopes.sum(axis=1, dtype=np.float64) / self.mass
            slopes = slopes - shares[:, None].astype(self.dtype) * self.squares.h
        design = self.squares.form.design
        if isinstance(design, DenseDesign):
            return np.asarray(-(slopes @ design.X))
        assert isinstance(design, SparseDesign)
        return np.ascontiguousarray(-(design.by_columns @ slopes.T).T)

    def _judged(self, X: np.ndarray, weights: np.ndarray, rounds: int) -> tuple[list[Solved], np.ndarray]:
        """Each row of coefficients with its gap; and the pulls of all columns there."""
        s, h = self.squares, self.squares.h
        predictions = np.asarray(X @ self.columns.columns)
        means = np.zeros(len(X))
        if self.mass > 0:
            means = np.asarray(predictions @ h, np.float64) / self.mass
            predictions = predictions - means[:, None].astype(self.dtype)
        residuals = predictions - s.b
        if self.mass > 0:
            # As `Centring` does, for the rounding of large means.
            rest = np.asarray(residuals @ h, np.float64) / self.mass
            residuals = residuals - rest[:, None].astype(self.dtype)
        slopes = h * residuals
        pulls = self._pulls(slopes)
        losses = 0.5 * np.einsum("ki,ki->k", slopes, residuals, dtype=np.float64)
        linear = np.einsum("ki,i->k", slopes, s.b, dtype=np.float64)
        unit = s.unit.restricted(self.columns.ids)
        penalties = weights * (np.abs(X) @ unit.w + 0.5 * ((X * X) @ unit.a)).astype(np.float64)
        scales, lowers = self._bounds(pulls, weights, losses, linear)
        slopes = scales[:, None].astype(self.dtype) * slopes
        found = [
            Solved(self.columns.ids, *row, rounds)
            for row in zip(
                X,
                (s.mean - means).tolist(),
                slopes,
                (losses + penalties).tolist(),
                lowers.tolist(),
                strict=True,
            )
        ]
        return found, pulls

    def _bounds(
        self, pulls: np.ndarray, weights: np.ndarray, losses: np.ndarray, linear: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lower bounds of the minima from the slopes, times the factors that are returned with them.

        The conjugate of the loss at ``s`` times a slope is ``s * linear + s * s * losses``.
        """
        unit = self.squares.unit
        free_up = (unit.a == 0) & (unit.high == math.inf)
        free_down = (unit.a == 0) & (unit.low == -math.inf)
        sizes = np.maximum(np.where(free_up, pulls, 0), np.where(free_down, -pulls, 0))
        with np.errstate(divide="ignore"):
            largest = (weights[:, None] * (unit.w / sizes)).min(axis=1, initial=math.inf).astype(np.float64)
        largest *= 1 - 4 * np.finfo(self.dtype).eps
        if np.all(free_up | (unit.high == 0)) and np.all(free_down | (unit.low == 0)):
            # The conjugate of the penalty is 0 for all of these factors: the best of them.
            with np.errstate(divide="ignore", invalid="ignore"):
                best = np.where(losses > 0, -linear / (2 * losses), 1.0)
            scales = np.clip(best, 0.0, largest)
            return scales, -scales * linear - scales**2 * losses
        scales = np.minimum(1.0, largest)
        pulled = scales[:, None] * pulls
        over = [_conjugate(z, float(t), unit) for z, t in zip(pulled, weights, strict=True)]
        return scales, -scales * linear - scales**2 * losses - np.array(over)

    def _close(self, s: Solved) -> bool:
        scale = max(abs(s.objective), self.squares.problem.scale_floor)
        return s.objective - s.lower_bound <= max(self.tol * scale, self.enough)

    def _move(self, x: np.ndarray, pulls: np.ndarray, weights: np.ndarray) -> None:
        """Go on from the last of some weights."""
        if len(weights) > 1:
            before, weight = pulls[-2], float(weights[-2])
        else:
            before, weight = self.pull, self.weight
        self.x, self.pull, self.weight = x, pulls[-1], float(weights[-1])
        if math.isfinite(weight):
            self.trend = (self.pull - before) / self.dtype.type(weight - self.weight)


def _conjugate(z: np.ndarray, t: float, unit: Penalty) -> float:
    """The conjugate of the penalty of weight ``t``."""
    z, w, a = z.astype(np.float64), t * unit.w.astype(np.float64), t * unit.a.astype(np.float64)
    over = np.sign(z) * np.maximum(np.abs(z) - w, 0)
    x = np.where(over == 0, 0, np.where(a > 0, over / np.where(a > 0, a, 1), np.copysign(math.inf, over)))
    x = np.clip(x, unit.low, unit.high)
    return float(np.sum(np.where(x == 0, 0, over * x - 0.5 * a * x * x)))
