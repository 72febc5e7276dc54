"""What `learn` hands back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.parameter import Parameter
from wellposed.solvers.bilevel.method import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Progress:
    """What a callback of `learn` sees. Return ``False`` from the callback to stop.

    Parameters
    ----------
    row : Row
        The line of the history.
    values : dict
        The values of the parameters by name.
    """

    row: Row
    values: dict[str, Any]


@dataclass(frozen=True)
class Learned:
    """The outcome of `learn`.

    Parameters
    ----------
    parameters : tuple of Parameter
        With the values that were learned.
    loss : float
        Mean loss of the training pairs there, at lower-level solutions of the accuracy in the history.
    validation : float
        Mean loss of the validation pairs; NaN without any.
    x : tuple of array
        The last minimiser of the lower level of each training pair.
    method : str
    status, message : str
        Why the run ended: ``"converged"``, ``"finished"`` (a search), ``"max_iter"``, ``"max_work"``,
        ``"max_seconds"``, ``"stalled"``, ``"stopped"`` or ``"interrupted"``; and a sentence that says it.
    history : tuple of Row
    work : float
        Lower-level and linear iterations per training pair.
    lower_iterations, linear_iterations : int
        Of all training pairs.
    seconds : float
    """

    parameters: tuple[Parameter, ...]
    loss: float
    validation: float
    x: tuple[Array, ...]
    method: str
    status: str
    message: str
    history: tuple[Row, ...]
    work: float
    lower_iterations: int
    linear_iterations: int
    seconds: float

    @property
    def values(self) -> dict[str, Any]:
        """The learned values by name."""
        return {p.name: p.value for p in self.parameters}

    def objective(self, f: Functional) -> Functional:
        """``f`` with the learned values of those parameters that it has."""
        mine = {p.name: self.values[p.name] for p in f.parameters if p.name in self.values}
        if not mine:
            known = ", ".join(sorted(self.values))
            raise ValueError(f"{f} has none of the learned parameters: {known}")
        learned: Functional = f.with_parameters(mine)
        return learned

    def plot(self) -> Figure:
        """Draw the loss, the accuracies and the hypergradient over the work."""
        from wellposed.solvers.bilevel.figure import draw

        return draw(self)

    def __repr__(self) -> str:
        return (
            f"Learned({self.method}, {self.status}: {', '.join(self.values)}; loss {self.loss:.6g}, "
            f"{self.lower_iterations} lower and {self.linear_iterations} linear iterations, "
            f"{self.seconds:.3g} s)"
        )
