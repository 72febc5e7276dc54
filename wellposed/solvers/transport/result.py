"""What a transport solver hands back."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field

import numpy as np

from wellposed.arrays import Array
from wellposed.solvers.result import Certificate, ConvergenceWarning
from wellposed.solvers.transport.certify import Dual, certify
from wellposed.solvers.transport.data import TransportData, Units
from wellposed.solvers.transport.regularisers import Regulariser
from wellposed.solvers.transport.rounding import marginal_errors

MESSAGES = {
    "converged": "The tolerance was reached.",
    "max_iter": "The iteration limit came before the tolerance: raise max_iter, or accept this certificate.",
    "stalled": "Rounding stops further progress: raise tol or the regularisation.",
    "stopped": "The callback asked to stop.",
}


@dataclass(frozen=True)
class TransportRecord:
    """One line of the history of a transport solver.

    Parameters
    ----------
    iteration : int
    seconds : float
    bound : float
        The dual value then.
    marginal_error : float
        Sum of the absolute errors of the sums of rows and columns of the plan then.
    """

    iteration: int
    seconds: float
    bound: float
    marginal_error: float


@dataclass(frozen=True)
class TransportResult:
    r"""A transport plan with the proof of how good it is.

    Parameters
    ----------
    plan : array of shape (n, m)
        The plan as the regulariser makes it from the potentials. Its sums of rows and columns may err:
        see ``marginal_errors``.
    f, g : array
        Potentials in the units of the cost, whatever the regulariser.
    value : float
        The minimised function at ``rounded``: ``cost`` plus the regulariser, factors included.
    cost : float
        :math:`\langle C, P\rangle` at ``rounded``.
    marginal_errors : tuple of float
        Sums of the absolute errors of the sums of rows, and of columns, of ``plan``.
    rounded : array of shape (n, m)
        The plan made feasible: it has the given sums of rows and columns up to rounding.
    certificate : Certificate
        A duality gap: ``value`` minus a bound proven by the potentials, so that ``value`` is at most
        ``certificate.value`` above the minimum.
    status : {"converged", "max_iter", "stalled", "stopped"}
        Why the run ended; ``message`` says it in a sentence.
    iterations : int
    seconds : float
    history : tuple of TransportRecord
    regulariser : object
        What was added to the cost; ``verify`` reads it.
    dual : object
        What ``verify`` needs besides the potentials, for regularisers that couple rows or columns.
    """

    plan: Array
    f: Array
    g: Array
    value: float
    cost: float
    marginal_errors: tuple[float, float]
    rounded: Array
    certificate: Certificate
    status: str
    message: str
    iterations: int
    seconds: float
    history: tuple[TransportRecord, ...] = field(repr=False)
    regulariser: Regulariser = field(repr=False)
    dual: Dual = field(default=None, repr=False)

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached."""
        return self.status == "converged"

    def barycentric(self, targets: Array) -> Array:
        r"""The mean target of each source, :math:`\hat x_i = \sum_j P_{ij} y_j / \sum_j P_{ij}`.

        A source of weight 0 gets a row of NaN.

        Parameters
        ----------
        targets : array of shape (m, dimensions)

        Returns
        -------
        array of shape (n, dimensions)
        """
        if len(targets.shape) != 2 or targets.shape[0] != self.plan.shape[1]:
            raise ValueError(
                f"targets has shape {tuple(targets.shape)}, but the plan has {self.plan.shape[1]} columns"
            )
        totals = self.plan.sum(axis=1)
        empty = totals == 0
        return (self.plan @ targets + 0.0 * targets[:1]) / (totals + empty)[:, None] + _nan_rows(empty)

    def __repr__(self) -> str:
        return (
            f"TransportResult({self.status}: {self.certificate}; value {self.value:.6g}, marginal errors "
            f"{self.marginal_errors[0]:.1e} and {self.marginal_errors[1]:.1e}, {self.regulariser}, "
            f"{self.iterations} iterations, {self.seconds:.3g} s)"
        )


def _nan_rows(empty: Array) -> Array:
    """A column that is NaN where ``empty`` and else 0."""
    marks = 0.0 * empty[:, None]
    marks[empty] = np.nan
    return marks


class Clock:
    """Time and history of a run; what it is told in scaled units is noted in the user's."""

    def __init__(self, units: Units | None = None) -> None:
        self._begin = time.perf_counter()
        self._units = Units(1.0, 1.0, 0.0, 0.0) if units is None else units
        self.history: list[TransportRecord] = []

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._begin

    def record(self, iteration: int, bound: float, marginal_error: float) -> None:
        """Note where the run stands."""
        units = self._units
        self.history.append(
            TransportRecord(iteration, self.seconds, units.value(bound), units.mass * marginal_error)
        )


def finish(
    data: TransportData,
    regulariser: Regulariser,
    plan: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    clock: Clock,
    iterations: int,
    status: str,
    *,
    dual: Dual = None,
    note: str = "",
    feasible: np.ndarray | None = None,
    start: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> TransportResult:
    """The result of a run from the plan and the potentials of the positive weights, in the user's units.

    ``feasible`` is the plan to round, if another than ``plan``; ``start`` an exact plan and its potentials,
    which prove more than a run that did not converge where the regulariser is very weak.
    """
    proof = certify(data, regulariser, plan if feasible is None else feasible, f, g, dual, note)
    if status != "converged" and start is not None:
        proof = min(proof, certify(data, regulariser, *start), key=lambda p: p.certificate.value)
    errors = marginal_errors(plan, data.a, data.b)
    result = TransportResult(
        plan=data.give_back(data.plan(plan)),
        f=data.give_back(proof.f),
        g=data.give_back(proof.g),
        value=proof.certificate.primal,
        cost=proof.cost,
        marginal_errors=errors,
        rounded=data.give_back(data.plan(proof.rounded)),
        certificate=proof.certificate,
        status=status,
        message=MESSAGES[status],
        iterations=iterations,
        seconds=clock.seconds,
        history=tuple(clock.history),
        regulariser=regulariser,
        dual=dual,
    )
    if status != "converged":
        warnings.warn(f"transport: {result.message} ({result.certificate})", ConvergenceWarning, stacklevel=3)
    return result
