"""What a learning method gives to the loop that runs it, and the state that they share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

import numpy as np

from wellposed.arrays import Array
from wellposed.solvers.bilevel.training import Minimisers, Slope, Training


@dataclass(frozen=True)
class Row:
    """One line of the history of `learn`: where it stood after an iteration.

    Parameters
    ----------
    iteration : int
        Outer iterations so far; 0 is the start.
    work : float
        Lower-level and linear iterations so far, per training pair.
    loss : float
        Mean loss of the training pairs at the approximate minimisers (of the mini-batch, if there is one).
    validation : float
        The same for the validation pairs; NaN without any.
    eps, delta : float
        Accuracies of the lower level and of the linear system.
    step : float
        Length of the step relative to the hypergradient (0 where none was taken).
    slope : float
        Norm of the hypergradient on the scale of learning.
    error : float
        Bound of its error, as far as it was computed.
    certified : float
        1 if the error and the decrease of the loss are proven, else 0.
    lower_iterations, linear_iterations : float
        Of all training pairs so far; the linear ones include what the constants of the bound took.
    seconds : float
    """

    iteration: float
    work: float
    loss: float
    validation: float = math.nan
    eps: float = math.nan
    delta: float = math.nan
    step: float = 0.0
    slope: float = math.nan
    error: float = math.inf
    certified: float = 0.0
    lower_iterations: float = 0.0
    linear_iterations: float = 0.0
    seconds: float = 0.0


ROW_FIELDS = tuple(f.name for f in fields(Row))


@dataclass
class State:
    """Where a run stands; a checkpoint keeps it."""

    t: np.ndarray  # the vector of parameters
    x: list[Any]  # a minimiser of each lower level, to start from
    q: list[Any]  # a solution of each linear system, to start from
    x_validation: list[Any]  # minimisers of the validation pairs
    rows: np.ndarray  # the history, one row for each iteration
    best_t: np.ndarray  # the vector that is handed back
    best_loss: float = math.inf  # its loss (on the validation pairs, if there are any)
    iteration: int = 0
    lower: int = 0  # lower-level iterations so far
    linear: int = 0  # linear iterations so far
    seconds: float = 0.0
    status: str = ""

    def spend(self, at: Minimisers | None = None, slope: Slope | None = None) -> None:
        """Count the iterations of some solves."""
        self.lower += at.iterations if at is not None else 0
        self.linear += slope.work if slope is not None else 0


@dataclass
class Step:
    """What one iteration of a method reports; the loop makes a `Row` of it."""

    loss: float
    eps: float = math.nan
    delta: float = math.nan
    step: float = 0.0
    slope: float = math.nan
    error: float = math.inf
    certified: bool = False
    status: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


class Method(Protocol):
    """A learning method: frozen options, and a memory of its own between iterations."""

    @property
    def name(self) -> str:
        """Its name in messages."""

    @property
    def descends(self) -> bool:
        """Whether the last vector is the one to hand back (else the best one)."""

    def memory(self, training: Training, state: State) -> Any:
        """A fresh memory: a dataclass that a checkpoint can keep."""

    def start(self, training: Training, state: State, memory: Any) -> Step:
        """Evaluate the start."""

    def step(self, training: Training, state: State, memory: Any) -> Step:
        """One outer iteration: moves ``state.t`` and warm starts; ``status`` ends the run."""


class Subset:
    """Warm starts of some of the pairs, in the lists of all."""

    def __init__(self, indices: list[int], every: list[Array | None]):
        self.indices = indices
        self.every = every

    def get(self) -> list[Array | None]:
        """Those of the subset."""
        return [self.every[k] for k in self.indices]

    def put(self, values: list[Array]) -> None:
        """Write back those of the subset."""
        for k, value in zip(self.indices, values, strict=True):
            self.every[k] = value


def xs_of(at: Minimisers) -> list[Array]:
    """The minimisers."""
    return [s.x for s in at.solved]


def qs_of(slope: Slope) -> list[Array]:
    """The solutions of the linear systems."""
    return [s.q for s in slope.each]


def positive(value: Any, name: str, below: float = math.inf) -> None:
    """Raise `ValueError` unless a number is positive and less than ``below``."""
    good = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool) and 0 < value < below
    if not good:
        limit = "a positive number" if math.isinf(below) else f"between 0 and {below:g}"
        raise ValueError(f"{name} must be {limit}, got {value!r}")


def at_least(value: Any, name: str, least: int) -> None:
    """Raise `ValueError` unless a value is an integer of at least ``least``; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
