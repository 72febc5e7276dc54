"""Searches that use values of the loss only: a grid, random points, the simplex of Nelder and Mead."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed.solvers.bilevel.method import State, Step, at_least, positive, xs_of
from wellposed.solvers.bilevel.training import Training
from wellposed.solvers.bilevel.vector import ParameterVector

MOST_POINTS = 1_000_000


@dataclass
class Memory:
    """The points tried so far and their losses, one row each."""

    points: np.ndarray
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Search:
    """What the searches share.

    Parameters
    ----------
    eps : float
        Accuracy of the lower level.
    span : float
        Where a parameter has no bound: how far to look to each side of its value, in powers of ten on a
        logarithmic scale, else in multiples of its size (at least 1).
    """

    eps: float = 1e-3
    span: float = 3.0

    def __post_init__(self) -> None:
        positive(self.eps, "eps")
        positive(self.span, "span")

    @property
    def name(self) -> str:
        """Its name."""
        return type(self).__name__.lower()

    @property
    def descends(self) -> bool:
        """False: the best point is handed back."""
        return False

    def memory(self, training: Training, state: State) -> Memory:
        """No points yet."""
        return Memory(np.zeros((0, training.vector.size)))

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """The loss at the start."""
        return self._evaluate(training, state, state.t)

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """Try the next point."""
        point = self._next(training, state, memory)
        if point is None:
            return Step(state.best_loss, self.eps, status="converged")
        step = self._evaluate(training, state, point)
        state.t = point
        memory.points = np.vstack([memory.points, point])
        memory.losses.append(step.loss)
        return step

    def _evaluate(self, training: Training, state: State, t: np.ndarray) -> Step:
        at = training.solve(t, self.eps, state.x)
        state.spend(at)
        state.x[:] = xs_of(at)
        return Step(at.value, self.eps)

    def _next(self, training: Training, state: State, memory: Memory) -> np.ndarray | None:
        """The next point, or ``None`` if there is none."""
        raise TypeError(f"{type(self).__name__} does not say which points it tries")

    def box(self, vector: ParameterVector) -> tuple[np.ndarray, np.ndarray]:
        """Where to look: within the bounds, or around the start where there is none."""
        radius = vector.pack(
            {
                p.name: self.span
                * (math.log(10) if p.transform == "log" else max(1.0, float(np.max(np.abs(p.value)))))
                for p in vector.parameters
            }
        )
        low = np.where(np.isfinite(vector.low), vector.low, vector.start - radius)
        return low, np.where(np.isfinite(vector.high), vector.high, vector.start + radius)


@dataclass(frozen=True)
class Grid(Search):
    """All points of a grid, the last parameter moving fastest.

    Parameters
    ----------
    eps, span : float
        Accuracy of the lower level; reach where there are no bounds.
    points : int
        On each axis, evenly spread on the scale of learning.
    values : dict, optional
        For single parameters (numbers) the values to try instead, by name.
    """

    points: int = 10
    values: dict[str, Sequence[float]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self.points, "points", 1)

    def memory(self, training: Training, state: State) -> Memory:
        """No points yet; values that do not fit the parameters are refused here."""
        self._given(training.vector)
        return super().memory(training, state)

    def axes(self, vector: ParameterVector) -> list[np.ndarray]:
        """The coordinates on each axis."""
        low, high = self.box(vector)
        lines = [np.linspace(a, b, self.points) for a, b in zip(low, high, strict=True)]
        for k, line in self._given(vector).items():
            lines[k] = line
        count = math.prod(len(line) for line in lines)
        if count > MOST_POINTS:
            raise ValueError(f"the grid has {count:.3g} points: a grid is for few parameters, take 'maid'")
        return lines

    def _given(self, vector: ParameterVector) -> dict[int, np.ndarray]:
        """The axes whose values were given, on the scale of learning."""
        lines, given = {}, dict(self.values or {})
        for p in vector.parameters:
            if p.name not in given:
                continue
            if p.shape:
                raise ValueError(f"values of a grid are for single numbers; {p.name} has shape {p.shape}")
            values = np.asarray(given.pop(p.name), dtype=float).reshape(-1)
            if values.size == 0:
                raise ValueError(f"values of the grid for {p.name} are empty: give at least one")
            for value in values:
                p.with_value(value)  # refuses what is out of bounds, not finite, or not on a log scale
            lines[int(np.flatnonzero(vector.pack({p.name: 1.0}))[0])] = np.asarray(
                p.to_scale(values)
            ).reshape(-1)
        if given:
            raise ValueError(f"values of the grid name no parameter that is learned: {sorted(given)}")
        return lines

    def _next(self, training: Training, state: State, memory: Memory) -> np.ndarray | None:
        lines = self.axes(training.vector)
        k = len(memory.losses)
        if k >= math.prod(len(line) for line in lines):
            return None
        return np.array(next(itertools.islice(itertools.product(*lines), k, None)))


@dataclass(frozen=True)
class Random(Search):
    """Points drawn evenly on the scale of learning.

    Parameters
    ----------
    eps, span : float
        Accuracy of the lower level; reach where there are no bounds.
    samples : int
    seed : int
    """

    samples: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("samples", 1), ("seed", 0)):
            at_least(getattr(self, name), name, least)

    def _next(self, training: Training, state: State, memory: Memory) -> np.ndarray | None:
        k = len(memory.losses)
        low, high = self.box(training.vector)
        return np.random.default_rng([self.seed, k]).uniform(low, high) if k < self.samples else None


@dataclass(frozen=True)
class NelderMead(Search):
    """SciPy's simplex method on the scale of learning, within the bounds.

    SciPy keeps its simplex to itself, so it runs again through the values known so far to find the next
    point: a run that was cut takes up where it was.

    Parameters
    ----------
    eps, span : float
        Accuracy of the lower level; not used.
    tol : float
        Size of the simplex at which it ends.
    evaluations : int
    """

    tol: float = 1e-3
    evaluations: int = 200

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.tol, "tol")
        at_least(self.evaluations, "evaluations", 1)

    @property
    def name(self) -> str:
        """``"nelder-mead"``."""
        return "nelder-mead"

    def _next(self, training: Training, state: State, memory: Memory) -> np.ndarray | None:
        from scipy.optimize import minimize

        known, vector = iter(memory.losses), training.vector
        asked: list[np.ndarray] = []

        def fun(t: np.ndarray) -> float:
            for loss in known:
                return loss
            asked.append(np.array(t))
            raise _Asked

        bounds = list(zip(vector.low, vector.high, strict=True)) if vector.bounded else None
        limit = {"maxfev": self.evaluations, "maxiter": self.evaluations}
        options: dict[str, Any] = {"xatol": self.tol, "fatol": math.inf, **limit}
        try:
            minimize(fun, vector.start, method="Nelder-Mead", bounds=bounds, options=options)
        except _Asked:
            return asked[0]
        return None


class _Asked(Exception):  # noqa: N818
    """Ends a run of SciPy at the first point whose value is not known yet."""
