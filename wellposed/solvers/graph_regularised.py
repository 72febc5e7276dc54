"""`graph_regularised`: a quick image first, then the graph Laplacian that it defines as a regulariser."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.norms import L1
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import positive
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators._base import LinearOperator
from wellposed.operators.diagonal import Diagonal, Identity
from wellposed.operators.graph import GraphLaplacian
from wellposed.operators.periodic import PeriodicGradient
from wellposed.operators.tomography import FanBeam, ParallelBeam, fbp
from wellposed.solvers.hybrid import hybrid_tikhonov
from wellposed.solvers.loop import Info
from wellposed.solvers.minimize import minimize
from wellposed.solvers.mm_gks import Fitted, fit_to_noise
from wellposed.solvers.noise import estimate_noise
from wellposed.solvers.normal_repair import normal_form
from wellposed.solvers.problem import Term, canonical
from wellposed.solvers.projected_newton import newton_form
from wellposed.solvers.reference import Psi, check_reference, fitting, reconstructed
from wellposed.solvers.result import Result
from wellposed.solvers.selection import Choice
from wellposed.solvers.selection_data import DataTerm, data_term, replaced
from wellposed.solvers.two_stage import ramp, solve_weighted

SIGMA = math.sqrt(1e-3)
SMOOTHING = 0.1
"""Width of the weights and rounding of the norm in the paper, for images with values in [0, 1]."""

TAILS = 1e-3
"""Share of the pixels at either end that are left out of the range of an image."""

INITIAL_TOL, WEIGHT_TOL = 1e-4, 3e-4
"""The discrepancy principle ends at a step so short: for the initial image, for the weight on its graph."""

QUICK_STEPS = 10
"""Steps of Golub and Kahan that show the range of the image."""


@dataclass(frozen=True)
class GraphRegularised:
    """The outcome of `graph_regularised`.

    Parameters
    ----------
    initial : array
        The image that the graph was made from.
    laplacian : GraphLaplacian
    weight : float
        In front of the norm of the Laplacian.
    objective : Objective
        What was minimised.
    result : Result
        Of the second stage.
    noise_level : float or None
        Given or estimated; ``None`` if it was not needed.
    choice : Choice or None
        How the weight was chosen, if by `choose`.
    """

    initial: Array
    laplacian: GraphLaplacian
    weight: float
    objective: Objective
    result: Result
    noise_level: float | None = None
    choice: Choice | None = None

    @property
    def x(self) -> Array:
        """The solution."""
        return self.result.x

    def __repr__(self) -> str:
        return f"GraphRegularised(weight {self.weight:.4g}; {self.result!r})"


def graph_regularised(
    fit: Functional,
    weight: float | None = None,
    initial: Literal["fbp", "tikhonov", "tv"] | Psi | Array = "tv",
    *,
    radius: int = 4,
    sigma: float | None = None,
    smoothing: float | None = None,
    noise_level: float | None = None,
    tau: float = 1.01,
    rule: str = "discrepancy",
    tol: float = 5e-3,
    max_iter: int = 500,
    solver: str = "auto",
    callback: Callable[[Info], Any] | None = None,
) -> GraphRegularised:
    r"""Minimise a data fit with a graph Laplacian whose graph comes from an initial image (graphLa+Psi).

    .. math:: \tilde x = \Psi(b), \qquad
        \min_x f(x) + \lambda \sum_i \varphi\big((\Delta_{\tilde x} x)_i\big), \qquad
        \varphi(t) = \sqrt{t^2 + \epsilon^2} - \epsilon

    Parameters
    ----------
    fit : Functional
        The data fit, and what else is to hold: ``wp.LeastSquares(A, b) + wp.NonNegative()``.
    weight : float, optional
        :math:`\lambda`; by default chosen by ``rule``.
    initial : {"tv", "tikhonov", "fbp"}, array, or callable
        The reconstructors of the paper: periodic anisotropic total variation by majorisation in a Krylov
        space, at the noise level; Tikhonov regularisation with differences in a Krylov space of dimension
        50, by cross-validation; filtered back-projection (parallel and fan beam). Or an image; or a
        function of the data and the operator (``None`` for the identity) that returns an image, such as a
        network. Constraints do not enter.
    radius : int
        Neighbours are at most this many pixels away along each axis; 4 is the window ``R = 5`` of the paper.
    sigma : float, optional
        Width of the weights in units of the image: its square is the paper's ``sigma``. By default
        0.0316 of the range of the initial image.
    smoothing : float, optional
        :math:`\epsilon`, in units of the image; 0 is the exact norm. By default 0.1 of the range of the
        initial image, as in the paper.
    noise_level : float, optional
        Standard deviation of the noise in ``b``; where it is needed and not given, `estimate_noise` finds it.
    tau : float
        The residual is to have this many times the norm of the noise, at least 1.
    rule : str
        ``"discrepancy"``, or another rule of `choose`. The discrepancy principle runs inside the iteration
        (`wellposed.solvers.mm_gks`), without the constraints; for ``smoothing=0``, by `choose`.
    tol, max_iter, solver
        For `minimize`; at most 500 iterations by default.
    callback : callable, optional
        For `minimize` in the last stage; return ``False`` to stop.

    Returns
    -------
    GraphRegularised

    Raises
    ------
    TypeError, ValueError
        Before any solve: if there is no data fit, a number is out of range, the initial image is unknown
        or does not fit, or the operator sees nothing. After the first stage: if its image is constant.

    Notes
    -----
    The graph is made once, so that the second stage is convex and its certificate is a duality gap of
    ``objective``, whose weight is that of the last iteration of the discrepancy principle.

    Source: D. Bianchi, D. Evangelista, S. Aleotti, M. Donatelli, E. Loli Piccolomini, W. Li, A data-dependent
    regularization method based on the graph Laplacian, arXiv 2312.16936.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.few_view_ct(views=30, size=64)
    >>> done = wp.graph_regularised(problem.data_fit, initial="tv", noise_level=problem.noise_level)
    >>> done.result.converged, problem.psnr(done.x) > problem.psnr(done.initial)
    (True, True)
    """
    objective = Objective.of(fit)
    data = data_term(objective)
    for value, name in ((weight, "weight"), (sigma, "sigma"), (noise_level, "noise_level")):
        if value is not None:
            positive(value, name)
    if smoothing is not None:
        positive(smoothing, "smoothing", zero_allowed=True)
    if not (math.isfinite(tau) and tau >= 1):
        raise ValueError(f"tau must be a number of at least 1, got {tau}")
    check_reference(initial, data, "initial")
    # The options of the second stage are checked before the first one runs.
    GraphLaplacian(ramp(objective), radius, 1.0 if sigma is None else sigma)
    stages = _Stages(data, noise_level, tau, rule)
    stages.check(initial, weight, smoothing)
    image = stages.initial(initial)
    L = GraphLaplacian(arrays.to_host(image), radius, SIGMA * spread(image) if sigma is None else sigma)
    eps = SMOOTHING * spread(image) if smoothing is None else smoothing
    penalty = L1() @ L if eps == 0 else SmoothedL21(eps, axes=()) @ L
    start: Any = image
    if weight is None and eps > 0 and rule == "discrepancy":
        fitted = stages.fitted(L, eps, WEIGHT_TOL)
        weight, start = fitted.weight, fitted.x
    if solver == "auto":
        # The estimate of the risk by "sure" is for data fits without an operator only.
        if weight is not None or rule != "sure":
            objective = with_operator(objective, data)
        problem = canonical(objective + 1.0 * penalty)
        if normal_form(problem) is not None:
            solver = "quadratic-admm" if isinstance(newton_form(problem), str) else "projected-newton"
    options: dict[str, Any] = {"tol": tol, "max_iter": max_iter, "solver": solver}
    if weight is not None:
        whole = objective + weight * penalty
        result = minimize(whole, x0=start, callback=callback, **options)
        return GraphRegularised(image, L, weight, whole, result, stages.known)
    level = stages.level if rule == "discrepancy" else noise_level
    selection = {"rule": rule, "noise_level": level} | ({"eta": tau} if rule == "discrepancy" else {})
    result, weight, choice = solve_weighted(objective, penalty, None, None, options, selection)
    return GraphRegularised(image, L, weight, objective + weight * penalty, result, level, choice)


def spread(image: Array) -> float:
    """The range of the values of an image but for a thousandth of them at either end; of a constant one 1.

    Parameters
    ----------
    image : array
    """
    low, high = np.quantile(arrays.to_host(image), (TAILS, 1 - TAILS))
    return float(high - low) or 1.0


def with_operator(objective: Objective, data: DataTerm) -> Objective:
    """The same objective with the identity in its least squares written as a diagonal operator.

    Solvers that keep the data fit whole take it then; the others need very many steps at large weights.

    Parameters
    ----------
    objective : Objective
    data : DataTerm
        Its data fit.
    """
    fit = data.fit
    plain = isinstance(fit, LeastSquares) and not fit.intercept and not arrays.is_complex(fit.b)
    if not plain or not all(A is None or isinstance(A, Identity) for A in (fit.A, data.A)):
        return objective
    whole = dataclasses.replace(fit, A=Diagonal(np.ones(tuple(fit.b.shape))))
    return Objective(tuple(replaced(term, fit, whole) for term in objective.terms))


class _Stages:
    """The first stage, and the discrepancy principle."""

    def __init__(self, data: DataTerm, noise_level: float | None, tau: float, rule: str):
        self.data = data
        self.known = noise_level
        self.tau = tau
        self.rule = rule

    @property
    def term(self) -> Term:
        """The operator of the data fit."""
        return Term(self.data.fit, self.data.A)

    @property
    def level(self) -> float:
        """The noise level, estimated where it is not known."""
        if self.known is None:
            self.known = estimate_noise(self.data.fit.b)
        return self.known

    def check(self, initial: Any, weight: float | None, smoothing: float | None) -> None:
        """An error if a stage cannot run on these data."""
        named = isinstance(initial, str) and initial != "fbp"
        inside = weight is None and self.rule == "discrepancy" and smoothing != 0
        fit = self.data.fit
        plain = isinstance(fit, LeastSquares) and fit.weights is None and not fit.intercept
        if (named or inside) and not (plain and not arrays.is_complex(fit.b)):
            what = f"initial={initial!r}" if named else "the discrepancy principle inside the iteration"
            raise TypeError(
                f"{what} needs LeastSquares(A, b) with real data, no weights and no intercept; "
                "give an initial image and a weight, or another rule"
            )
        if arrays.norm(self.term.backward(fit.b)) == 0.0:
            raise ValueError(
                "the operator's adjoint takes the data to 0: is its mask empty, or are the data 0?"
            )

    def initial(self, initial: Any) -> Array:
        """The image of the first stage."""
        b, A = self.data.fit.b, self.data.A
        if callable(initial):
            return reconstructed(initial, self.data, "initial")
        if not isinstance(initial, str):
            return fitting(initial, self.data, "initial")
        if initial == "fbp":
            assert isinstance(A, ParallelBeam | FanBeam)
            return fbp(b, A)
        shape = tuple(self.term.backward(b).shape)
        if initial == "tikhonov":
            return hybrid_tikhonov(self.term, b, PeriodicGradient(shape)).x
        quick = hybrid_tikhonov(self.term, b, PeriodicGradient(shape), QUICK_STEPS).x
        return self.fitted(PeriodicGradient(shape), SMOOTHING * spread(quick), INITIAL_TOL).x

    def fitted(self, L: LinearOperator, eps: float, tol: float) -> Fitted:
        """The image that fits the data to the noise with a smoothed norm of ``L x``."""
        fit = LeastSquares(self.data.A, self.data.fit.b)
        norm = self.tau * self.level * math.sqrt(self.data.count)
        return fit_to_noise(canonical(fit + 1.0 * (SmoothedL21(eps, axes=()) @ L)), norm, tol)
