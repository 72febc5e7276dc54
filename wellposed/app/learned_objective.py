"""Objectives whose prior is learned: their parameters to learn, and their use on new data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import as_input_error
from wellposed.app.learned_file import LearnedFile
from wellposed.app.solve import Options, Solution, solve

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional
    from wellposed.operators._base import LinearOperator

__all__ = [
    "brought_back",
    "edge_weights",
    "image_scale",
    "objective",
    "rescaled",
    "solve_learned",
    "starting",
]

_RANGE = 1e4
"""How far a smoothing constant may be below the scale of the images."""


def starting(
    prior: str, scale: float, noise: float, filters: int | None = None, size: int = 5
) -> dict[str, Any]:
    """The parameters of a prior, at a place to start learning from.

    Parameters
    ----------
    prior : {"tv", "weighted-tv", "foe", "tikhonov"}
        For ``weighted-tv`` without ``eta``, which is searched for.
    scale : float
        Size of the numbers in an image.
    noise : float
        Standard deviation of the noise where the data are brought back to the image, in its units.
    filters, size : int
        Of a field of experts: number and side of the filters.
    """
    from wellposed.functionals.field_of_experts import FieldOfExperts
    from wellposed.functionals.parameter import Parameter

    if prior == "tikhonov":
        return {"weight": Parameter("weight", max(10 * noise / scale, 1e-8))}
    weight = max(0.5 * noise, 1e-8 * scale)
    if prior == "foe":
        with as_input_error():
            field = FieldOfExperts.learnable(size, filters, weights=weight, smoothing=0.03 * scale)
        return {p.name: p for p in field.parameters}
    return {
        "weight": Parameter("weight", weight),
        "smoothing": Parameter("smoothing", 0.02 * scale, low=scale / _RANGE, high=scale),
    }


def objective(
    prior: str,
    values: Mapping[str, Any],
    A: LinearOperator | None,
    b: NDArray[Any],
    *,
    ridge: float,
    channels: int,
    weights: NDArray[Any] | None = None,
) -> Functional:
    r"""The objective that is learned and used.

    .. math:: \frac{1}{2 \|A\|^2} \|A x - b\|^2 + \frac{r}{2} \|x\|^2 + \mathrm{prior}(x)

    Divided by the norm, data of other views and sizes ask for about the same weight of the prior.

    Parameters
    ----------
    prior : str
    values : mapping
        Numbers, arrays or `Parameter` objects by name.
    A : LinearOperator or None
        None: the identity.
    b : array
    ridge : float
        ``r``.
    channels : {1, 3}
    weights : array, optional
        For ``weighted-tv``, see `edge_weights`.
    """
    from wellposed.functionals.datafits import LeastSquares
    from wellposed.functionals.norms import SquaredL2

    fit: Functional = LeastSquares(A, b)
    if A is not None:
        fit = (1.0 / A.norm() ** 2) * fit
    if ridge > 0:
        fit = fit + ridge * SquaredL2()
    total: Functional = fit + _prior(prior, values, channels, weights)
    return total


def _prior(prior: str, values: Mapping[str, Any], channels: int, weights: NDArray[Any] | None) -> Functional:
    from wellposed.functionals.field_of_experts import FieldOfExperts
    from wellposed.functionals.sobolev import SobolevSeminorm
    from wellposed.functionals.tv import SmoothedTotalVariation

    if prior == "foe":
        return FieldOfExperts(values["filters"], values["weights"], values["smoothing"])
    if prior == "tikhonov":
        smooth: Functional = values["weight"] * SobolevSeminorm(1.0, axes=(0, 1))
        return smooth
    axis = -1 if channels == 3 else None
    total: Functional = values["weight"] * SmoothedTotalVariation(
        values["smoothing"], weights=weights, channel_axis=axis
    )
    return total


def edge_weights(reference: NDArray[Any], eta: float, power: float, channels: int) -> NDArray[Any]:
    """Weights of ``weighted-tv``, small where the reference has edges."""
    from wellposed.functionals.adaptive_weights import tv_weights_from

    with as_input_error():
        return np.asarray(tv_weights_from(reference, eta, power, -1 if channels == 3 else None))


def image_scale(image: NDArray[Any]) -> float:
    """The 99th percentile of the absolute numbers; 1 for an image of zeros."""
    return float(np.percentile(np.abs(image), 99)) or 1.0


def rescaled(learned: LearnedFile, factor: float) -> LearnedFile:
    """The same for images whose numbers are larger by a factor: minimisers are then larger by it, too."""
    if learned.prior == "tikhonov":
        return learned

    def scaled(values: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: value if name == "filters" else (np.asarray(value) * factor).tolist()
            for name, value in values.items()
        }

    return replace(
        learned,
        values=scaled(learned.values),
        initial=scaled(learned.initial),
        image_scale=learned.image_scale * factor,
    )


def solve_learned(
    learned: LearnedFile,
    A: LinearOperator | None,
    b: NDArray[Any],
    options: Options,
    console: Console,
    interrupt: Interrupt,
    nonnegative: bool = False,
) -> Solution:
    """Minimise the learned objective on new data.

    Raises
    ------
    InputError
        If the problem cannot be solved.
    """
    weights = None
    first: Solution | None = None
    if learned.prior == "weighted-tv":
        first = _solve(learned, "tv", learned.initial, A, b, options, console, interrupt, nonnegative)
        if first.interrupted:
            return first
        weights = edge_weights(
            np.asarray(first.result.x), learned.values["eta"], learned.power, learned.channels
        )
    done = _solve(
        learned, learned.prior, learned.values, A, b, options, console, interrupt, nonnegative, weights
    )
    seconds = {} if first is None else {f"first image: {k}": v for k, v in first.timings.items()}
    return replace(done, timings=seconds | done.timings)


def _solve(
    learned: LearnedFile,
    prior: str,
    values: Mapping[str, Any],
    A: LinearOperator | None,
    b: NDArray[Any],
    options: Options,
    console: Console,
    interrupt: Interrupt,
    nonnegative: bool,
    weights: NDArray[Any] | None = None,
) -> Solution:
    from wellposed.functionals.indicators import NonNegative

    total = objective(prior, values, A, b, ridge=learned.ridge, channels=learned.channels, weights=weights)
    if nonnegative:
        total = total + NonNegative()
    weight = float(values.get("weight", 1.0))
    done = solve(lambda _: total, replace(options, weight=weight), console, interrupt)
    return replace(done, chosen_by=str(learned))


def brought_back(A: LinearOperator | None, noise: NDArray[Any]) -> float:
    """Standard deviation of the noise that the data fit hands to the image."""
    if A is None:
        return float(np.std(noise))
    return float(np.std(np.asarray(A.apply_adjoint(noise)))) / A.norm() ** 2
