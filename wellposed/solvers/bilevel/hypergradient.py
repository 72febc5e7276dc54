"""`hypergradient`: how a loss of a minimiser moves with the parameters of its objective."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.arrays import Array
from wellposed.solvers.bilevel import unrolled
from wellposed.solvers.bilevel.constants import Constants, Given
from wellposed.solvers.bilevel.lower import StrongConvexity
from wellposed.solvers.bilevel.pair import Solves
from wellposed.solvers.bilevel.stationary import at_stationary_point
from wellposed.solvers.bilevel.training import (
    Minimisers,
    Slope,
    Training,
    starting_arrays,
    training_pairs,
)
from wellposed.solvers.bilevel.vector import parameter_vector
from wellposed.solvers.result import ConvergenceWarning

METHODS = ("implicit", "one-step", "unrolled")

MESSAGES = {
    "converged": "The lower level and the linear system were solved to their accuracies.",
    "lower_max_iter": "The lower level stopped at its limit: raise max_lower, or accept this error.",
    "lower_stalled": "Rounding stopped the lower level above its accuracy: take a larger tol.",
    "linear_max_iter": "The linear system stopped at its limit: raise max_linear, or accept this error.",
    "linear_stalled": "Rounding stopped the linear system above its accuracy: take a larger tol.",
}


@dataclass(frozen=True)
class Hypergradient:
    r"""The derivative of a loss of a minimiser.

    Parameters
    ----------
    gradient : dict
        For each parameter a number, or an array of its shape.
    scale : {"natural", "learning"}
        Whether it is the derivative with respect to the values themselves, or on the scale of the
        transform of each parameter (the logarithm for positive ones).
    error : float
        Bound of the Euclidean distance of all entries to the exact derivative; infinite if none is known.
    certified : bool
        Whether every constant in ``error`` is proven. If not, ``constants`` names those that were estimated.
    value : float
        The loss at ``x``, its mean over the pairs.
    x : array or tuple of array
        The minimiser of the lower level, for each pair if there are several.
    adjoint : array or tuple of array
        The solution ``q`` of :math:`\nabla^2 h\, q = \nabla g`; with ``x`` it starts a next call.
    distance : float
        At most this far ``x`` is from the exact minimiser (the largest among the pairs).
    lower_residual, linear_residual : float
        Norm of the gradient of the lower level at ``x``, and of the residual of the linear system.
    lower_iterations, linear_iterations : int
    constants : tuple of Constants
        What the bound rests on, for each pair.
    status : str
        ``"converged"``, or which solve stopped early and why. ``message`` says it in a sentence.
    message : str
    seconds : float
    """

    gradient: dict[str, Any]
    scale: str
    error: float
    certified: bool
    value: float
    x: Array
    adjoint: Array
    distance: float
    lower_residual: float
    linear_residual: float
    lower_iterations: int
    linear_iterations: int
    constants: tuple[Constants, ...]
    status: str
    message: str
    seconds: float

    def __repr__(self) -> str:
        bound = "certified" if self.certified else "not certified"
        return (
            f"Hypergradient({self.status}: of {', '.join(self.gradient)}; error at most {self.error:.2g} "
            f"({bound}), {self.lower_iterations} lower and {self.linear_iterations} linear iterations)"
        )


def hypergradient(
    lower: Any,
    upper: Any,
    parameters: Any = None,
    x: Any = None,
    tol: float | tuple[float, float] = 1e-6,
    *,
    method: str = "implicit",
    steps: int = 100,
    scale: str = "natural",
    adjoint: Any = None,
    solver: str = "accelerated",
    max_lower: int = 10_000,
    max_linear: int = 10_000,
    strong_convexity: StrongConvexity = None,
    constants: Given | None = None,
) -> Hypergradient:
    r"""Differentiate the loss of the minimiser of an objective with respect to the parameters inside.

    .. math:: f(\theta) = g(\hat x(\theta)), \quad \hat x(\theta) = \arg\min_x h(x, \theta), \quad
              \nabla f = -J^T q, \quad \nabla^2_{xx} h\, q = \nabla g, \quad J = \nabla^2_{x\theta} h

    Parameters
    ----------
    lower : Functional or list of Functional
        ``h``, convex; strongly convex where it is smooth. Separable terms that are not smooth are allowed
        (L1, bounds, elastic net): the derivative is then that on the active entries, without a bound.
    upper : Functional or list of Functional
        ``g``, differentiable, one for each lower level; several are averaged.
    parameters : list of Parameter or str, optional
        Which to differentiate for (default: all).
    x : array or list of array, optional
        Where the lower level starts.
    tol : float or (float, float)
        ``eps``, the accuracy of ``x`` (its distance to the minimiser), and ``delta``, the residual of the
        linear system; one number serves for both. Absolute.
    method : {"implicit", "one-step", "unrolled"}
        The implicit function theorem; or, for comparison and without a bound, the derivative of one step
        of gradient descent at ``x``, or of ``steps`` of them from the start.
    scale : {"natural", "learning"}
        Differentiate for the values themselves, or on the scale of each parameter's transform.
    adjoint : array or list of array, optional
        Where the linear solve starts.
    solver : {"accelerated", "gradient", "lbfgs"}
        For a smooth lower level.
    max_lower, max_linear : int
        Limits of iterations.
    strong_convexity : float or callable, optional
        A constant that you know, or a function that gives it for the values of the parameters.
        By default it follows from the traits of the terms, and for quadratic terms with at most 256
        entries from the eigenvalues.
    constants : Given, optional
        Other constants that you know.

    Returns
    -------
    Hypergradient
        The derivative with a bound of its error.

    Raises
    ------
    TypeError, ValueError
        If the lower level is not strongly convex or not convex (unless ``x`` is given: then the
        derivative of the stationary point near ``x`` is taken, without a bound), if a loss or a gradient
        is not finite, or an argument does not fit.

    Warns
    -----
    ConvergenceWarning
        If a solve stopped before its accuracy; ``status`` says which.

    Notes
    -----
    The bound is that of `wellposed.solvers.bilevel.bound`, with the residuals that were reached.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> weight = wp.Parameter("weight", 1.0)
    >>> lower = wp.LeastSquares(None, np.array([4.0])) + weight * wp.SquaredL2()
    >>> upper = wp.LeastSquares(None, np.array([1.0]))
    >>> result = wp.hypergradient(lower, upper, tol=1e-10)
    >>> print(round(result.gradient["weight"], 6), result.certified)  # x = 4 / (1 + weight)
    -1.0 True
    """
    begin = time.perf_counter()
    eps, delta = _accuracies(tol)
    if scale not in ("natural", "learning"):
        raise ValueError(f"scale must be 'natural' or 'learning', got {scale!r}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    pairs = training_pairs(lower, upper, x, strong_convexity, constants)
    every = [f for pair in pairs for f in (pair.lower.objective, pair.loss)]
    vector = parameter_vector(parameters, every, natural=scale == "natural")
    training = Training(pairs, vector, Solves(solver, max_lower, max_linear))
    xs = starting_arrays(x, pairs, "x")
    qs = starting_arrays(adjoint, pairs, "adjoint")
    if method == "unrolled":
        at, slope = unrolled.unroll(training, vector.start, xs, steps)
    elif not all(pair.lower.convex for pair in pairs):
        at, slope = at_stationary_point(training, vector.start, xs, qs, eps, delta)
    else:
        at = training.solve(vector.start, eps, xs)
        slope = (
            unrolled.one_step(training, at) if method == "one-step" else training.differentiate(at, delta, qs)
        )
    return _result(at, slope, training, scale, begin)


def _result(at: Minimisers, slope: Slope, training: Training, scale: str, begin: float) -> Hypergradient:
    many = len(at.solved) > 1
    status = "converged"
    for s, q in zip(at.solved, slope.each, strict=True):
        if s.status != "converged":
            status = f"lower_{s.status}"
        elif q.status != "converged":
            status = f"linear_{q.status}"
    if status != "converged":
        warnings.warn(
            f"hypergradient: {MESSAGES[status]} (error at most {slope.error:.3g})",
            ConvergenceWarning,
            stacklevel=3,
        )
    xs, qs = tuple(s.x for s in at.solved), tuple(s.q for s in slope.each)
    return Hypergradient(
        gradient=training.vector.unpack(slope.z),
        scale=scale,
        error=slope.error,
        certified=slope.certified,
        value=at.value,
        x=xs if many else xs[0],
        adjoint=qs if many else qs[0],
        distance=max(s.distance for s in at.solved),
        lower_residual=max(s.residual for s in at.solved),
        linear_residual=max(s.residual for s in slope.each),
        lower_iterations=at.iterations,
        linear_iterations=slope.iterations,
        constants=tuple(s.constants for s in slope.each),
        status=status,
        message=MESSAGES[status],
        seconds=time.perf_counter() - begin,
    )


def _accuracies(tol: float | tuple[float, float]) -> tuple[float, float]:
    both = tol if isinstance(tol, tuple) else (tol, tol)
    numbers = len(both) == 2 and all(isinstance(v, (int, float, np.floating)) for v in both)
    if not numbers or not all(math.isfinite(v) and v > 0 for v in both):
        raise ValueError(f"tol must be a positive number, or two of them, got {tol!r}")
    return float(both[0]), float(both[1])
