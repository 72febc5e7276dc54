"""`two_stage`: a quick reference image first, then total variation that spares the edges it shows."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.adaptive_weights import tv_weights_from
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter, positive
from wellposed.functionals.tv import TotalVariation
from wellposed.operators.calculus import Gradient
from wellposed.operators.tomography import FanBeam, ParallelBeam, fbp
from wellposed.solvers.minimize import minimize
from wellposed.solvers.reference import Psi, check_reference, fitting, reconstructed
from wellposed.solvers.result import Result
from wellposed.solvers.selection import Choice, choose
from wellposed.solvers.selection_data import DataTerm, data_term, shape_of, weighted_term
from wellposed.solvers.selection_range import largest_weight


@dataclass(frozen=True)
class TwoStage:
    """The outcome of `two_stage`.

    Parameters
    ----------
    reference : array
        The image that the weights were taken from.
    weights : array
        One for each pixel, in (0, 1].
    weight : float
        In front of the weighted total variation.
    objective : Objective
        What was minimised.
    result : Result
        Of the second stage.
    first : Result or None
        Of the first stage, where that was a minimisation.
    choice : Choice or None
        How the weight was chosen, if it was.
    """

    reference: Array
    weights: Array
    weight: float
    objective: Objective
    result: Result
    first: Result | None = None
    choice: Choice | None = None

    @property
    def x(self) -> Array:
        """The solution."""
        return self.result.x

    def __repr__(self) -> str:
        how = "given" if self.choice is None else f"by {self.choice.rule}"
        return f"TwoStage(weight {self.weight:.4g} {how}; {self.result!r})"


def two_stage(
    fit: Functional,
    weight: float | None = None,
    reference: Literal["fbp", "tikhonov", "tv"] | Psi | Array = "tv",
    *,
    eta: float | None = None,
    p: float = 0.1,
    reference_weight: float | None = None,
    channel_axis: int | None = None,
    noise_level: float | None = None,
    rule: str = "auto",
    tol: float = 1e-3,
    max_iter: int | None = None,
    solver: str = "auto",
) -> TwoStage:
    r"""Minimise a data fit with total variation whose weights come from a reference image.

    .. math:: \tilde x = \Psi(b), \qquad w = w(|D \tilde x|), \qquad
              \min_x f(x) + \lambda \sum_i w_i\, |D x|_i

    Parameters
    ----------
    fit : Functional
        The data fit, and what else is to hold: ``wp.LeastSquares(A, b) + wp.NonNegative()``.
    weight : float, optional
        :math:`\lambda`; by default chosen by `choose`. Since :math:`w_i \le 1`, the best one is larger
        than for plain total variation, up to 100 times for ``p = 0.1``.
    reference : {"tv", "tikhonov", "fbp"}, array, or callable
        Plain total variation; half the squared norm of the gradient; filtered back-projection (parallel
        and fan beam; negative values are kept); an image; or a function of the data and the operator
        (``None`` for the identity) that returns an image, such as a network.
    eta, p : float
        As in `wellposed.regularisation.tv_weights_from`.
    reference_weight : float, optional
        Weight of the regulariser behind ``"tv"`` and ``"tikhonov"``; by default chosen by `choose`.
    channel_axis : int, optional
        For colour, as in `TotalVariation`.
    noise_level, rule
        For `choose`, where a weight is not given.
    tol, max_iter, solver
        For `minimize`, in both stages. ``solver="primal-dual"`` is the method of the paper; a
        ``"tikhonov"`` reference always uses an automatic one.

    Returns
    -------
    TwoStage

    Raises
    ------
    TypeError, ValueError
        Before any solve: if there is no data fit, a weight is not positive, the reference is unknown or
        does not fit, ``eta`` or ``p`` is out of range. After the first stage: if its image is constant and
        ``eta`` is not given, or not finite.

    Notes
    -----
    The weights are computed once, so the second stage is convex, and its certificate holds for the
    objective that is returned. See `wellposed.regularisation.tv_weights_from` for the source.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.few_view_ct(views=30, size=64)
    >>> fit = problem.data_fit + wp.NonNegative()
    >>> done = wp.two_stage(fit, weight=1.0, reference="tv", reference_weight=0.5, p=0.5)
    >>> done.result.converged, problem.psnr(done.x) > 20
    (True, True)
    """
    objective = Objective.of(fit)
    data = data_term(objective)
    for value, name in ((weight, "weight"), (reference_weight, "reference_weight")):
        if value is not None:
            positive(value, name)
    check_reference(reference, data)
    # The options of the second stage are checked before the first one runs.
    tv_weights_from(ramp(objective), eta, p, channel_axis)
    options: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "solver": solver}
    selection = {"rule": rule, "noise_level": noise_level}
    image, first = _reference(reference, objective, data, reference_weight, channel_axis, options, selection)
    weights = tv_weights_from(image, eta, p, channel_axis)
    tv = TotalVariation(weights=weights, channel_axis=channel_axis)
    result, value, choice = solve_weighted(objective, tv, weight, first, options, selection)
    return TwoStage(image, weights, value, objective + value * tv, result, first, choice)


def ramp(objective: Objective) -> Array:
    """A small image with jumps and as many axes as the variable: something to try options on."""
    ndim = len(shape_of(objective))
    return np.arange(2.0**ndim).reshape([2] * ndim)


def _reference(
    reference: Any,
    objective: Objective,
    data: DataTerm,
    weight: float | None,
    channel_axis: int | None,
    options: dict[str, Any],
    selection: dict[str, Any],
) -> tuple[Array, Result | None]:
    """The first stage: an image, and the result if it was a minimisation."""
    if callable(reference):
        return reconstructed(reference, data), None
    if not isinstance(reference, str):
        return fitting(reference, data), None
    if reference == "fbp":
        assert isinstance(data.A, ParallelBeam | FanBeam)
        return fbp(data.fit.b, data.A), None
    regulariser: Functional = TotalVariation(channel_axis=channel_axis)
    if reference == "tikhonov":
        shape = shape_of(objective)
        ndim = len(shape)
        axes = tuple(k for k in range(ndim) if channel_axis is None or k != channel_axis % ndim)
        regulariser = SquaredL2() @ Gradient(shape, axes)
        options = options | {"solver": "auto"}
    first = solve_weighted(objective, regulariser, weight, None, options, selection)[0]
    return first.x, first


def solve_weighted(
    objective: Objective,
    regulariser: Functional,
    weight: float | None,
    start: Result | None,
    options: dict[str, Any],
    selection: dict[str, Any],
) -> tuple[Result, float, Choice | None]:
    """Minimise ``objective + weight * regulariser``; without a weight, choose it."""
    if weight is not None:
        x0 = None if start is None else start.x
        return minimize(objective + float(weight) * regulariser, x0=x0, **options), float(weight), None
    parameter = Parameter("weight", 1.0)
    whole = objective + parameter * regulariser
    high = upper_end(objective, regulariser)
    choice = choose(whole, parameter, high=high, progress=False, **selection, **options)
    return choice.result, choice.value, choice


def upper_end(objective: Functional, regulariser: Functional) -> float | None:
    """Where to begin the search for the weight of a weighted total variation; ``None``: as `choose` does.

    The weight that leaves nothing of the image is set by the least of the ``w_i``, orders of magnitude
    above any that is of use. The one of plain total variation is above those as well, and far nearer.

    Parameters
    ----------
    objective : Functional
        All but the regulariser.
    regulariser : Functional
    """
    if not isinstance(regulariser, TotalVariation) or regulariser.weights is None:
        return None
    parameter = Parameter("weight", 1.0)
    plain = objective + parameter * dataclasses.replace(regulariser, weights=None)
    data, term = data_term(plain), weighted_term(plain, parameter.name)
    if term is None or not data.fit.traits.smooth:
        return None
    high = largest_weight(plain, data, term)
    return high if 0 < high < math.inf else None
