"""Expectation maximisation for mixtures of experts, each step a convex problem with a duality gap."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from wellposed import arrays
from wellposed.functionals._base import Functional
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import positive
from wellposed.functionals.soft_logistic import SoftLogisticLoss
from wellposed.operators.matrices import Matrix
from wellposed.solvers.minimize import minimize
from wellposed.solvers.mixture.model import MixtureFit, MixtureOfExperts
from wellposed.solvers.result import ConvergenceWarning, Result

FLOOR = 0.05
"""The least variance by default, over that of the data."""

LEAST_SHARE = 1e-6
"""The least probability of an expert that the convex problem of the gate is given."""

WARM_UP = 6
"""Iterations of each random start before the best is taken on."""


def mixture_of_experts(
    X: np.ndarray,
    y: np.ndarray,
    experts: int = 2,
    weight: float = 1.0,
    gate_weight: float | None = None,
    *,
    start: MixtureOfExperts | None = None,
    starts: int = 5,
    seed: int = 0,
    tol: float = 1e-6,
    inner_tol: float = 1e-8,
    max_iter: int = 500,
    least_variance: float | None = None,
) -> MixtureFit:
    r"""Fit a mixture of softmax-gated Gaussian experts with L1 penalties on all slopes.

    .. math:: \max \; \sum_i \log s(y_i | x_i) - \lambda \sum_k \|\beta_k\|_1 - \mu \sum_k \|\gamma_k\|_1

    Parameters
    ----------
    X : array of shape (samples, features)
        Columns should be of similar scale: all slopes are penalised alike. Intercepts are not penalised.
    y : array of shape (samples,)
    experts : int
        :math:`K`.
    weight : float
        :math:`\lambda`, at least 0, for the experts. Nothing is divided by the number of samples.
    gate_weight : float, optional
        :math:`\mu`, for the gate (default: the same). It must be positive: without it, samples that can be
        told apart by a plane send the gate to infinity.
    start : MixtureOfExperts, optional
        Where to start, such as the model for a neighbouring weight; else random starts.
    starts : int
        How many random starts; the best after six iterations is taken on. The problem is not convex.
    seed : int
        Of the random starts.
    tol : float
        The run ends when an iteration raises the objective by at most ``tol`` of its size.
    inner_tol : float
        Relative duality gap of the convex problems.
    max_iter : int
    least_variance : float, optional
        Lower bound of the variance (default: 0.05 times that of ``y``), without which an expert that
        interpolates some samples has an unbounded likelihood.

    Returns
    -------
    MixtureFit

    Raises
    ------
    TypeError, ValueError
        Before any work: if shapes do not fit, data are not finite, ``y`` is constant, or a number is out of
        range.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` is reached.
    RuntimeWarning
        If the variance ends at its lower bound.

    Notes
    -----
    Each iteration computes the responsibilities, then minimises: for each expert
    :math:`\frac12 \sum_i \tau_{ik} (y_i - b - \beta^\top x_i)^2 + \sigma^2 \lambda \|\beta\|_1`; for each row
    of the gate in turn its cross-entropy with the responsibilities, the other rows held, plus
    :math:`\mu \|\gamma\|_1`. Both by `minimize`, to a duality gap. The variance is updated in closed form
    after a second computation of the responsibilities. No step lowers the objective, up to the gaps. All is
    computed in double precision.
    Source: B.-T. Huynh and F. Chamroukhi, arXiv 1907.06994, for the algorithm (with an approximate Newton
    step for the gate); T. T. Nguyen et al., arXiv 2009.10622, for the theory.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.expert_mixture(seed=1)
    >>> fit = wp.mixture_of_experts(problem.X, problem.y, weight=5.0, starts=3)
    >>> fit.converged, fit.gap < 1e-7, round(fit.model.variance, 1)
    (True, True, 1.0)
    """
    task = _Task.checked(X, y, experts, weight, gate_weight, inner_tol, least_variance)
    tol, limit = positive_tol(tol), _count(max_iter, "max_iter", 1)
    if start is None:
        rng = np.random.default_rng(seed)
        begun = [task.random_start(rng) for _ in range(_count(starts, "starts", 1))]
        warm = replace(task, inner_tol=max(inner_tol, 1e-4))
        runs = [_climb(warm, model, tol, WARM_UP) if len(begun) > 1 else (model, []) for model in begun]
        judged = tuple(task.objective(model) for model, _ in runs)
        best, past = runs[int(np.argmax(judged))]
    else:
        if start.slopes.shape != (task.experts, task.X.shape[1]):
            raise ValueError(
                f"start has slopes of shape {start.slopes.shape}, the data need "
                f"{(task.experts, task.X.shape[1])}"
            )
        best, past = replace(start, variance=max(start.variance, task.floor)), []
        judged = (task.objective(best),)
    return _fit(task, best, past, judged, tol, limit)


def _fit(
    task: _Task,
    model: MixtureOfExperts,
    past: list[float],
    judged: tuple[float, ...],
    tol: float,
    limit: int,
) -> MixtureFit:
    """Climb from the best start, and say how it went."""
    model, history = _climb(task, model, tol, limit)
    converged = len(history) > 1 and history[-1] - history[-2] <= tol * abs(history[-2])
    model, gap = task.step(model)
    history = [*past[:-1], *history, task.objective(model)]
    at_floor = model.variance <= task.floor * (1 + 1e-12)
    if not converged:
        warnings.warn(
            f"mixture_of_experts: max_iter = {limit} iterations ended before tol = {tol:g}: raise max_iter",
            ConvergenceWarning,
            stacklevel=3,
        )
    if at_floor:
        warnings.warn(
            f"mixture_of_experts: the variance is at its lower bound {task.floor:.3g}, without which the "
            "likelihood may be unbounded: raise weight, or take fewer experts",
            RuntimeWarning,
            stacklevel=3,
        )
    return MixtureFit(
        model,
        arrays.total(model.log_density(task.X, task.y)),
        history[-1],
        tuple(history),
        task.optimality(model),
        gap,
        "converged" if converged else "max_iter",
        len(task.y),
        judged,
        at_floor,
    )


def _climb(
    task: _Task, model: MixtureOfExperts, tol: float, limit: int
) -> tuple[MixtureOfExperts, list[float]]:
    """Iterate until the objective settles; the model and the objectives on the way."""
    history = [task.objective(model)]
    for _ in range(limit):
        model = task.step(model)[0]
        history.append(task.objective(model))
        if history[-1] - history[-2] <= tol * abs(history[-2]):
            break
    return model, history


@dataclass(frozen=True, eq=False)
class _Task:
    """The data, the penalties, and one iteration."""

    X: np.ndarray
    y: np.ndarray
    experts: int
    weight: float
    gate_weight: float
    inner_tol: float
    floor: float
    A: Matrix  # type: ignore[valid-type]

    @classmethod
    def checked(
        cls,
        X: np.ndarray,
        y: np.ndarray,
        experts: int,
        weight: float,
        gate_weight: float | None,
        inner_tol: float,
        least_variance: float | None,
    ) -> _Task:
        """The task, or an error that says what is wrong with it."""
        X, y = np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64)
        if X.ndim != 2 or y.shape != (len(X),) or len(y) < 2 or X.shape[1] < 1:
            raise ValueError(
                f"X needs shape (samples, features) and y (samples,), two samples at least: got {X.shape} "
                f"and {y.shape}"
            )
        arrays.check_finite(X, "X")
        arrays.check_finite(y, "y")
        spread = float(np.var(y))
        if spread == 0:
            raise ValueError("y is constant: there is nothing to fit")
        positive(weight, "weight", zero_allowed=True)
        gate_weight = weight if gate_weight is None else gate_weight
        positive(gate_weight, "gate_weight")
        floor = FLOOR * spread if least_variance is None else least_variance
        positive(floor, "least_variance")
        experts = _count(experts, "experts", 1)
        A = Matrix(np.asfortranarray(X))
        return cls(X, y, experts, float(weight), float(gate_weight), positive_tol(inner_tol), floor, A)

    def random_start(self, rng: np.random.Generator) -> MixtureOfExperts:
        """Slopes of up to twice the scale of the data, a flat gate, a large variance."""
        p, spread = self.X.shape[1], float(np.std(self.y))
        scale = self.X.std(axis=0)
        unit = spread / np.where(scale > 0, scale, 1.0)
        slopes = rng.uniform(-2, 2, (self.experts, p)) * unit
        intercepts = float(self.y.mean()) + rng.uniform(-2, 2, self.experts) * spread
        flat = np.zeros((self.experts, p))
        variance = max(rng.uniform(1, 4) * spread**2, self.floor)
        return MixtureOfExperts(np.zeros(self.experts), flat, intercepts, slopes, variance)

    def objective(self, model: MixtureOfExperts) -> float:
        """The penalised log-likelihood."""
        penalty = self.weight * np.abs(model.slopes).sum() + self.gate_weight * np.abs(model.gate).sum()
        return arrays.total(model.log_density(self.X, self.y)) - float(penalty)

    def step(self, model: MixtureOfExperts) -> tuple[MixtureOfExperts, float]:
        """One iteration, and the largest relative gap of its convex problems."""
        tau = model.responsibilities(self.X, self.y)
        intercepts, slopes, gap = self._experts(model, tau)
        g, gamma, gate_gap = self._gate(model, tau)
        moved = replace(model, gate_intercepts=g, gate=gamma, intercepts=intercepts, slopes=slopes)
        tau = moved.responsibilities(self.X, self.y)
        squares = float((tau * (self.y[:, None] - moved.means(self.X)) ** 2).sum())
        return replace(moved, variance=max(squares / len(self.y), self.floor)), max(gap, gate_gap)

    def _experts(self, model: MixtureOfExperts, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        intercepts, slopes, gap = model.intercepts.copy(), model.slopes.copy(), 0.0
        for k in range(self.experts):
            if tau[:, k].sum() < 1e-8:
                continue
            fit = LeastSquares(self.A, self.y, tau[:, k], intercept=True)
            result = self._solve(fit, model.variance * self.weight, slopes[k])
            slopes[k], intercepts[k] = result.x, fit.intercept_at(result.x)
            gap = max(gap, result.certificate.relative)
        return intercepts, slopes, gap

    def _gate(self, model: MixtureOfExperts, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        g, gamma, gap = model.gate_intercepts.copy(), model.gate.copy(), 0.0
        for k in range(self.experts - 1):
            scores = np.delete(g + self.X @ gamma.T, k, axis=1)
            top = scores.max(axis=1)
            others = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
            share = np.clip(tau[:, k], 0.0, 1.0)
            if not LEAST_SHARE < share.mean() < 1 - LEAST_SHARE:
                continue
            fit = SoftLogisticLoss(self.A, share, -others, intercept=True)
            result = self._solve(fit, self.gate_weight, gamma[k])
            gamma[k], g[k] = result.x, fit.intercept_at(result.x)
            gap = max(gap, result.certificate.relative)
        return g, gamma, gap

    def _solve(self, fit: Functional, weight: float, start: np.ndarray) -> Result:
        """A Lasso-type problem, from the previous slopes."""
        objective = fit + weight * L1() if weight > 0 else fit
        return minimize(objective, x0=start, tol=self.inner_tol, progress=False)

    def optimality(self, model: MixtureOfExperts) -> float:
        """The largest violation of the optimality conditions, over the weights."""
        tau = model.responsibilities(self.X, self.y)
        expert = (tau * (self.y[:, None] - model.means(self.X))).T @ self.X / model.variance
        gate = (tau - model.gates(self.X)).T @ self.X
        rows = slice(0, self.experts - 1)
        worst = _violation(expert, model.slopes, self.weight)
        return max(worst, _violation(gate[rows], model.gate[rows], self.gate_weight))


def _violation(slope: np.ndarray, x: np.ndarray, weight: float) -> float:
    """How far a slope is from the subdifferential of ``weight * L1`` at ``x``, over the weight."""
    if slope.size == 0:
        return 0.0
    away = np.where(x != 0, np.abs(slope - weight * np.sign(x)), np.maximum(np.abs(slope) - weight, 0.0))
    return float(away.max() / (weight if weight > 0 else 1.0))


def positive_tol(tol: float) -> float:
    """``tol`` if it is a positive number."""
    positive(tol, "tol")
    return float(tol)


def _count(value: int, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    return int(value)
