"""All training pairs together: the mean loss, its bounds, and the mean derivative."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.parallel import TaskError, map_tasks
from wellposed.solvers.bilevel.bound import loss_above, loss_below
from wellposed.solvers.bilevel.constants import Given
from wellposed.solvers.bilevel.lower import Lower, StrongConvexity
from wellposed.solvers.bilevel.pair import Pair, Sensitivity, Solved, Solves
from wellposed.solvers.bilevel.vector import ParameterVector


@dataclass(frozen=True)
class Minimisers:
    """The lower levels of some pairs, solved at one vector of parameters.

    Parameters
    ----------
    t : array
        The vector.
    solved : tuple of Solved
    losses : tuple of (float or None, bool)
        Lipschitz constant of the gradient of each loss (``None`` if not known), and whether it is convex.
    """

    t: np.ndarray
    solved: tuple[Solved, ...]
    losses: tuple[tuple[float | None, bool], ...]

    @property
    def value(self) -> float:
        """The mean loss at the approximate minimisers."""
        return _mean([s.value for s in self.solved])

    @property
    def iterations(self) -> int:
        """Lower-level iterations of all pairs."""
        return sum(s.iterations for s in self.solved)

    @property
    def complete(self) -> bool:
        """Whether every solve reached its accuracy."""
        return all(s.status == "converged" for s in self.solved)

    def above(self, eps: float) -> float:
        """At least the mean loss at the exact minimisers, if each is known to within ``eps``."""
        return _mean(
            [
                loss_above(
                    s.value, s.size, L or 0.0, max(eps, s.distance) if s.status != "converged" else eps
                )
                for s, (L, _) in zip(self.solved, self.losses, strict=True)
            ]
        )

    def below(self, eps: float) -> float:
        """At most the mean loss at the exact minimisers."""
        return _mean(
            [
                loss_below(
                    s.value,
                    s.size,
                    L or 0.0,
                    max(eps, s.distance) if s.status != "converged" else eps,
                    convex,
                )
                for s, (L, convex) in zip(self.solved, self.losses, strict=True)
            ]
        )


@dataclass(frozen=True)
class Slope:
    """The derivative of the mean loss.

    Parameters
    ----------
    z : array
        On the scale of the vector of parameters.
    error : float
        Bound of its error; infinite if there is none.
    each : tuple of Sensitivity
    """

    z: np.ndarray
    error: float
    each: tuple[Sensitivity, ...]

    @property
    def iterations(self) -> int:
        """Products with the Hessian, of all pairs."""
        return sum(s.iterations for s in self.each)

    @property
    def work(self) -> int:
        """Those, and the gradients and products that the constants took."""
        return self.iterations + sum(s.spent for s in self.each)

    @property
    def certified(self) -> bool:
        """Whether the error is proven."""
        return math.isfinite(self.error) and all(s.constants.certified for s in self.each)

    @property
    def complete(self) -> bool:
        """Whether every linear solve reached its accuracy."""
        return all(s.status == "converged" for s in self.each)

    @property
    def measured(self) -> tuple[float, float]:
        """The largest ``L_J`` and ``L_H`` among the pairs, where they are estimates."""
        return tuple(
            max((getattr(s.constants, name) for s in self.each if name in s.constants.estimated), default=0.0)
            for name in ("mixed_lipschitz", "hessian_lipschitz")
        )  # type: ignore[return-value]


@dataclass(frozen=True)
class Training:
    """Training pairs and how they are worked on.

    Parameters
    ----------
    pairs : tuple of Pair
    vector : ParameterVector
    how : Solves
    workers : int
        Processes over which pairs are spread; with 1 they are worked on here.
    client : dask.distributed.Client, optional
    """

    pairs: tuple[Pair, ...]
    vector: ParameterVector
    how: Solves
    workers: int = 1
    client: Any = None

    def subset(self, indices: Sequence[int]) -> Training:
        """The same with some of the pairs."""
        return Training(
            tuple(self.pairs[k] for k in indices), self.vector, self.how, self.workers, self.client
        )

    def solve(self, t: np.ndarray, eps: float, xs: Sequence[Array | None]) -> Minimisers:
        """Solve all lower levels at ``t`` to within ``eps``, from ``xs``."""
        values = self.vector.values(t)
        # Terms that the pairs share, such as a learned prior, are brought to the values once.
        moved: dict[int, Functional] | None = {} if self._here(len(self.pairs)) else None
        tasks = [(pair, values, eps, x, self.how, moved) for pair, x in zip(self.pairs, xs, strict=True)]
        solved = self._map(_solve, tasks)
        return Minimisers(t, tuple(solved), self.losses(values))

    def losses(self, values: dict[str, Any]) -> tuple[tuple[float | None, bool], ...]:
        """Of each loss the Lipschitz constant of its gradient, if known, and whether it is convex."""
        return tuple((pair.loss_lipschitz(values), pair.loss.traits.convex) for pair in self.pairs)

    def differentiate(
        self,
        at: Minimisers,
        delta: float,
        qs: Sequence[Array | None],
        bound: bool = True,
        known: tuple[float, float] = (0.0, 0.0),
    ) -> Slope:
        """The derivative of the mean loss, each linear system solved to a residual of ``delta``."""
        tasks = [
            (pair, self.vector, at.t, s, delta, q, self.how, bound, known)
            for pair, s, q in zip(self.pairs, at.solved, qs, strict=True)
        ]
        each = self._map(_differentiate, tasks)
        z = np.mean([s.z for s in each], axis=0) if len(each) > 1 else each[0].z
        return Slope(z, _mean([s.error for s in each]), tuple(each))

    def _here(self, count: int) -> bool:
        return self.client is None and (self.workers == 1 or count == 1)

    def _map(self, function: Callable[[Any], Any], tasks: list[Any]) -> list[Any]:
        if self._here(len(tasks)):
            return [function(task) for task in tasks]
        try:
            return map_tasks(function, tasks, workers=self.workers, client=self.client)
        except TaskError as error:
            if isinstance(error.__cause__, ValueError):
                raise error.__cause__ from None
            raise


def training_pairs(
    lower: Any,
    loss: Any,
    x0: Any = None,
    strong_convexity: StrongConvexity = None,
    given: Given | None = None,
) -> tuple[Pair, ...]:
    """Pairs from what a user gave: functionals, or sequences of them of one length.

    Raises
    ------
    TypeError, ValueError
        If there are no pairs, or their numbers differ, or something is no functional.
    """
    lowers, losses = _listed(lower, "lower"), _listed(loss, "loss")
    if len(lowers) != len(losses):
        raise ValueError(
            f"there are {len(lowers)} lower levels, but {len(losses)} losses: give one loss for each"
        )
    starts = list(x0) if isinstance(x0, (list, tuple)) else [x0] * len(lowers)
    if len(starts) != len(lowers):
        raise ValueError(f"there are {len(lowers)} lower levels, but {len(starts)} starting points x0")
    given = given or Given()
    return tuple(
        Pair(Lower(h, x, strong_convexity), g, given, k)
        for k, (h, g, x) in enumerate(zip(lowers, losses, starts, strict=True))
    )


def starting_arrays(given: Any, pairs: Sequence[Pair], name: str) -> list[Array | None]:
    """One starting array for each pair, checked against its lower level; ``None`` for zero."""
    listed = list(given) if isinstance(given, (list, tuple)) else [given] * len(pairs)
    if len(listed) != len(pairs):
        raise ValueError(f"{name} holds {len(listed)} arrays for {len(pairs)} lower levels")
    return [None if a is None else _start(a, pair.lower, name) for a, pair in zip(listed, pairs, strict=True)]


def _start(a: Any, lower: Lower, name: str) -> Array:
    a = arrays.as_floating(a, name)
    arrays.namespace(a, lower.like)
    if tuple(a.shape) != lower.shape:
        raise ValueError(f"{name} has shape {tuple(a.shape)}, the lower level takes {lower.shape}")
    if a.dtype != lower.like.dtype:
        raise TypeError(f"{name} is {a.dtype}, the data are {lower.like.dtype}: convert one of them")
    arrays.check_finite(a, name)
    return a


def _listed(given: Any, name: str) -> list[Functional]:
    items = [given] if isinstance(given, Functional) else given
    if not isinstance(items, (list, tuple)):
        raise TypeError(f"{name} must be a functional or a list of them, got {type(given).__name__}")
    if not items:
        raise ValueError(f"{name} is empty: there is nothing to learn from")
    for item in items:
        if not isinstance(item, Functional):
            raise TypeError(f"{name} must hold functionals, got {type(item).__name__}")
    return list(items)


def _solve(task: Any) -> Solved:
    pair, *arguments = task
    solved: Solved = pair.solve(*arguments)
    return solved


def _differentiate(task: Any) -> Sensitivity:
    pair, *arguments = task
    sensitivity: Sensitivity = pair.differentiate(*arguments)
    return sensitivity


def _mean(values: Sequence[float]) -> float:
    return values[0] if len(values) == 1 else math.fsum(values) / len(values)
