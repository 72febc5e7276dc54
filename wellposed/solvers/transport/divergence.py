r"""The Sinkhorn divergence between two sets of points, and its gradient.

.. math:: S_\varepsilon(x, y) = \mathrm{OT}_\varepsilon(x, y) - \tfrac12 \mathrm{OT}_\varepsilon(x, x)
    - \tfrac12 \mathrm{OT}_\varepsilon(y, y)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed.arrays import Array
from wellposed.solvers.transport.data import check_positive
from wellposed.solvers.transport.displacement import as_given, checked_points
from wellposed.solvers.transport.entropic import Scaling, entropic, scaled_plan, sinkhorn
from wellposed.solvers.transport.result import Clock, TransportResult

STEPS = 2000
"""Sinkhorn iterations of one step of a training, at most."""


@dataclass(frozen=True)
class SinkhornDivergence:
    """A Sinkhorn divergence with its gradient and proven bounds.

    Parameters
    ----------
    value : float
        In units of half squared distances.
    gradient : array of the shape of ``x``
        With respect to the points ``x``; weights are inside.
    bounds : tuple of float
        Between which the exact value lies, from the duality gaps of the transports.
    eps : float
    """

    value: float
    gradient: Array = field(repr=False)
    bounds: tuple[float, float]
    eps: float


def sinkhorn_divergence(
    x: Array, y: Array, *, eps: float, a: Any = None, b: Any = None, tol: float = 1e-9, max_iter: int = 10_000
) -> SinkhornDivergence:
    r"""Debiased entropic transport between two sets of points, for half squared distances.

    .. math:: S_\varepsilon(x, y) = \mathrm{OT}_\varepsilon(x, y) - \tfrac12 \mathrm{OT}_\varepsilon(x, x)
        - \tfrac12 \mathrm{OT}_\varepsilon(y, y)

    Parameters
    ----------
    x, y : array of shape (points, dimensions)
    eps : float
        Positive, in units of half squared distances.
    a, b : array, optional
        Weights, as for `exact`.
    tol, max_iter
        As for `entropic`.

    Returns
    -------
    SinkhornDivergence

    Raises
    ------
    ValueError
        As for `entropic`.

    Notes
    -----
    At least 0, and 0 only if the weighted points agree. By the envelope theorem the gradient for
    :math:`x_i` is :math:`\sum_j P_{ij} (x_i - y_j) - \sum_j \Pi_{ij} (x_i - x_j)` with the plans of the first
    two terms. When ``x`` moves as a whole, no plan changes: the divergence is that of equal means plus half
    the squared distance of the means.
    Source: J. Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn divergences, 2019.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> x = np.array([[0.0, 0.0], [1.0, 0.0]])
    >>> found = wp.transport.sinkhorn_divergence(x, x + [3.0, 0.0], eps=0.5)
    >>> round(found.value, 6), found.gradient.round(6)
    (4.5, array([[-1.5,  0. ],
           [-1.5,  0. ]]))
    """
    first, like = checked_points(x, "x")
    second, _ = checked_points(y, "y", first.shape[1])
    eps = check_positive(eps, "eps")

    def solve(p: np.ndarray, q: np.ndarray, v: Any, w: Any) -> TransportResult:
        return entropic(half_squares(p, q), v, w, eps=eps, tol=tol, max_iter=max_iter)

    cross, mine, theirs = solve(first, second, a, b), solve(first, first, a, a), solve(second, second, b, b)
    gradient = pull(first, second, cross.rounded) - pull(first, first, mine.rounded)
    upper = cross.certificate.primal - 0.5 * (mine.certificate.lower_bound + theirs.certificate.lower_bound)
    lower = cross.certificate.lower_bound - 0.5 * (mine.certificate.primal + theirs.certificate.primal)
    return SinkhornDivergence(0.5 * (lower + upper), as_given(gradient, like), (lower, upper), eps)


def half_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Half the squared distances, from differences to a common centre."""
    centre = y.mean(axis=0)
    x, y = x - centre, y - centre
    total: np.ndarray = 0.5 * (x * x).sum(axis=1)[:, None] + 0.5 * (y * y).sum(axis=1) - x @ y.T
    return np.asarray(np.maximum(total, 0.0))


def pull(x: np.ndarray, y: np.ndarray, plan: np.ndarray) -> np.ndarray:
    """The derivative of the cost of a plan for the points ``x``."""
    return np.asarray(plan.sum(axis=1)[:, None] * x - plan @ y)


class DivergenceSteps:
    """Gradients of the divergence along a training: potentials of the step before are the start of the next.

    Parameters
    ----------
    eps : float
    tol : float
        Of the sums of the plans.
    """

    def __init__(self, eps: float, tol: float = 1e-4) -> None:
        self._eps = eps
        self._tol = tol
        self._states: dict[str, Scaling] = {}

    def gradient(self, x: np.ndarray, y: np.ndarray, keep: bool) -> np.ndarray:
        """The gradient for ``x``; ``keep`` if the next call has the same points, moved a little."""
        cross = pull(x, y, self._plan("cross", x, y, keep))
        return np.asarray(cross - pull(x, x, self._plan("own", x, x, keep)))

    def _plan(self, name: str, x: np.ndarray, y: np.ndarray, keep: bool) -> np.ndarray:
        a, b = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
        state = self._states.get(name) if keep else None
        if state is None or len(state.f) != len(x) or len(state.g) != len(y):
            state = Scaling(np.zeros_like(a), np.zeros_like(b))
        cost = half_squares(y, x)
        sinkhorn(state, cost, a, b, self._eps, self._tol, state.count + STEPS, Clock(), 0)
        self._states[name] = state
        return np.asarray(scaled_plan(cost, a, b, state.f, state.g, self._eps).T)
