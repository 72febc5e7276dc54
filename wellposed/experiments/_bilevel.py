"""What the experiments of learning share: problems, and curves of loss against work."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.solvers.bilevel import Progress, hypergradient, learn

SCHEDULES = ("quadratic", "cubic", "exponential")
"""Of the tolerances of HOAG."""

Exact = Callable[[dict[str, Any]], float]
"""The loss of exact minimisers for values of the parameters."""


@dataclass(frozen=True)
class Problem:
    """Lower levels with parameters, losses, and what is known of them.

    Parameters
    ----------
    lower, loss : Functional or list of Functional
    exact : callable, optional
        The loss of the exact minimisers, where it has a closed form.
    options : mapping
        Further arguments of `learn`.
    """

    lower: Any
    loss: Any
    exact: Exact | None = None
    options: Mapping[str, Any] | None = None

    def at(self, values: dict[str, Any]) -> tuple[Any, Any]:
        """The lower levels and losses with values of their parameters."""
        lower, loss = (
            moved(part, values) if isinstance(part, Functional) else [moved(f, values) for f in part]
            for part in (self.lower, self.loss)
        )
        return lower, loss

    def evaluate(self, values: dict[str, Any], tol: float) -> tuple[float, Any]:
        """The loss at values of the parameters, with minimisers known to within ``tol``, and those."""
        run = learn(
            *self.at(values),
            method="grid",
            eps=tol,
            max_iter=0,
            max_lower=200_000,
            **{k: v for k, v in (self.options or {}).items() if k in ("x0", "strong_convexity")},
        )
        return run.loss, run.x

    def slope(self, values: dict[str, Any], tol: float) -> np.ndarray:
        """The hypergradient on the scale of learning, as one vector."""
        found = hypergradient(*self.at(values), tol=tol, scale="learning", max_lower=200_000)
        return flat(found.gradient)


def moved(f: Functional, values: dict[str, Any]) -> Functional:
    """A functional with values of those parameters that it has."""
    mine = {p.name: values[p.name] for p in f.parameters if p.name in values}
    other: Functional = f.with_parameters(mine) if mine else f
    return other


def flat(parts: dict[str, Any]) -> np.ndarray:
    """Numbers by name as one vector, in their order."""
    return np.concatenate([np.reshape(part, -1) for part in parts.values()])


@dataclass(frozen=True)
class Curve:
    """A run of a method: where it stood after each iteration.

    Parameters
    ----------
    name : str
    work : array
        Lower-level and linear iterations for each pair.
    loss : array
        Exact where the problem tells it, else as the method saw it.
    eps, step, slope : array
        Accuracy, step and norm of the hypergradient of each iteration.
    values : dict
        The parameters at the end.
    status : str
    seconds : float
        Of the run itself, without what the exact losses took.
    """

    name: str
    work: np.ndarray
    loss: np.ndarray
    eps: np.ndarray
    step: np.ndarray
    slope: np.ndarray
    values: dict[str, Any]
    status: str
    seconds: float

    def at(self, budget: float) -> float:
        """The loss once a budget is spent, NaN before the first iteration ends."""
        within = self.work <= budget
        return float(self.loss[within][-1]) if np.any(within) else np.nan

    def work_to(self, loss: float) -> float:
        """The work after which the loss stays at most this, infinite if it does not."""
        above = np.flatnonzero(~(self.loss <= loss))
        first = int(above[-1]) + 1 if len(above) else 0
        return float(self.work[first]) if first < len(self.work) else np.inf


def traced(name: str, problem: Problem, method: str, work: float, **options: Any) -> Curve:
    """Run a method until a budget is spent, and look at each iteration.

    The history counts an iteration at its end. HOAG reports the point at its beginning.
    """
    seen: list[dict[str, Any]] = []

    def look(progress: Progress) -> None:
        seen.append(progress.values if problem.exact is not None else {})

    begin = time.perf_counter()
    run = learn(
        problem.lower,
        problem.loss,
        method=method,
        max_work=work,
        callback=look,
        **{"max_iter": 1_000_000, **(problem.options or {}), **options},
    )
    seconds = time.perf_counter() - begin
    rows = run.history
    if problem.exact is None:
        losses = np.array([row.loss for row in rows])
    else:
        losses = np.array([problem.exact(values) for values in seen])
    return Curve(
        name,
        np.array([row.work for row in rows]),
        losses,
        np.array([row.eps for row in rows]),
        np.array([row.step for row in rows]),
        np.array([row.slope for row in rows]),
        run.values,
        run.status,
        seconds,
    )


def spread(losses: list[float]) -> float:
    """How far losses are apart, relative to the least."""
    return float(np.max(losses) / np.min(losses) - 1)


def short(number: float) -> str:
    """A number with one digit, such as ``1e-3``.

    Examples
    --------
    >>> from wellposed.experiments._bilevel import short
    >>> short(0.001), short(30000.0)
    ('1e-3', '3e4')
    """
    return f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
