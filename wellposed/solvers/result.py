"""What a solve hands back: `Result`, its `Certificate`, its history."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wellposed.arrays import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wellposed.solvers.plan import Plan


class ConvergenceWarning(UserWarning):
    """A solver stopped before its certificate reached the tolerance."""


@dataclass(frozen=True)
class Certificate:
    """A number that says how good a solution is, and what it rests on.

    Parameters
    ----------
    kind : str
        One of ``"duality gap"``, ``"strong convexity"`` (both bound the error of the objective
        value) or ``"fixed-point residual"`` (which bounds nothing).
    value : float
        In the units of the objective (for a residual: of the variable).
    scale : float
        What ``value`` is compared with: see `relative`.
    primal, lower_bound : float
        The objective at the solution, and the proven bound below its minimum (``-inf`` if none).
    note : str
        How the dual point was made feasible, or what the bound assumes.
    """

    kind: str
    value: float
    scale: float
    primal: float = math.nan
    lower_bound: float = -math.inf
    note: str = ""

    @property
    def relative(self) -> float:
        """``value / scale``: what ``tol`` bounds."""
        if self.value == 0.0:
            return 0.0
        return self.value / self.scale if self.scale > 0 else math.inf

    @property
    def is_bound(self) -> bool:
        """Whether ``value`` bounds the error of the objective."""
        return self.kind != "fixed-point residual"

    def __str__(self) -> str:
        text = f"{self.kind} {self.value:.3g}, relative {self.relative:.2g}"
        return text if self.is_bound else f"{text} (no bound)"


@dataclass(frozen=True)
class Record:
    """One line of the history: where a run stood when its certificate was evaluated."""

    iteration: int
    seconds: float
    objective: float
    certificate: Certificate


@dataclass(frozen=True)
class Result:
    """The outcome of `minimize`.

    Parameters
    ----------
    x : array
        The solution, of the kind, dtype and device of the data.
    dual : tuple of array
        One dual variable per term that has one, from which `verify` recomputes the certificate.
    objective : float
        The value of the minimised function at ``x``.
    certificate : Certificate
    status : {"converged", "stationary", "max_iter", "stalled", "stopped", "interrupted", "failed"}
        Why the run ended. ``message`` says it in a sentence, with the remedy.
    iterations : int
    seconds : float
    history : tuple of Record
    plan : Plan
        The solver and its settings, as `explain` gives them.
    """

    x: Array
    dual: tuple[Array | None, ...]
    objective: float
    certificate: Certificate
    status: str
    message: str
    iterations: int
    seconds: float
    history: tuple[Record, ...]
    plan: Plan
    variable: Array = field(default=None, repr=False)
    """The variable of the solver when it is larger than ``x`` (auxiliary fields), else ``x``."""

    @property
    def converged(self) -> bool:
        """Whether the certificate reached the tolerance."""
        return self.status in ("converged", "stationary")

    def plot(self) -> Figure:
        """Draw the solution (if it is an image) and the convergence of objective and certificate."""
        from wellposed.solvers.figure import draw

        return draw(self)

    def __repr__(self) -> str:
        return (
            f"Result({self.status}: {self.certificate}; objective {self.objective:.6g}, "
            f"{self.iterations} iterations of {self.plan.solver}, {self.seconds:.3g} s)"
        )
