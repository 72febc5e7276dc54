"""One training pair: solve its lower level to an accuracy, and differentiate its loss there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers.bilevel import descent, linear, nonsmooth
from wellposed.solvers.bilevel.bound import error_bound
from wellposed.solvers.bilevel.constants import Constants, Given, measured, mixed_lipschitz, mixed_norm
from wellposed.solvers.bilevel.descent import Descent
from wellposed.solvers.bilevel.lower import Lower, LowerAt
from wellposed.solvers.bilevel.vector import ParameterVector

SOLVERS = ("accelerated", "gradient", "lbfgs")


@dataclass(frozen=True)
class Solves:
    """How lower levels and linear systems are solved.

    Parameters
    ----------
    solver : {"accelerated", "gradient", "lbfgs"}
        Nesterov's accelerated gradient, plain gradient descent, or SciPy's L-BFGS.
    max_lower, max_linear : int
        Limits on the iterations of one solve.
    """

    solver: str = "accelerated"
    max_lower: int = 10_000
    max_linear: int = 10_000

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, got {self.solver!r}")
        for name in ("max_lower", "max_linear"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class Solved:
    """The lower level of a pair, solved to some accuracy.

    Parameters
    ----------
    x : array
    distance : float
        At most this far from the exact minimiser, if the strong convexity constant is true.
    residual : float
        Norm of the gradient (of a subgradient where the lower level is not smooth).
    value : float
        The loss at ``x``.
    slope : array
        Gradient of the loss at ``x``.
    size : float
        Norm of ``slope``.
    iterations : int
    status : str
    start : array
        Where the solve began.
    """

    x: Array
    distance: float
    residual: float
    value: float
    slope: Array
    size: float
    iterations: int
    status: str
    start: Array


@dataclass(frozen=True)
class Sensitivity:
    """The derivative of the loss of a pair.

    Parameters
    ----------
    z : array
        On the scale of the vector of parameters.
    error : float
        Bound ``omega`` of its error, infinite if there is none.
    constants : Constants
    q : array
        Solution of the linear system.
    residual : float
        Its residual.
    iterations : int
        Products with the Hessian.
    status : str
        Of the linear solve.
    spent : int
        Further gradients and products that the constants took.
    """

    z: np.ndarray
    error: float
    constants: Constants
    q: Array
    residual: float
    iterations: int
    status: str
    spent: int = 0


@dataclass(frozen=True)
class Pair:
    """A lower level and the loss of its minimiser.

    Parameters
    ----------
    lower : Lower
    loss : Functional
        Differentiable.
    given : Given
        Constants that the caller knows.
    number : int
        Its place among the pairs, for messages.
    """

    lower: Lower
    loss: Functional
    given: Given
    number: int = 0

    def __post_init__(self) -> None:
        if not self.loss.traits.smooth:
            raise TypeError(f"the loss must be differentiable, {self.loss} is not")
        if self.loss.shape is not None and self.loss.shape != self.lower.shape:
            raise ValueError(
                f"pair {self.number}: the loss takes arrays of shape {self.loss.shape}, "
                f"the lower level has {self.lower.shape}"
            )

    def loss_lipschitz(self, values: dict[str, Any]) -> float | None:
        """``L_g``, or ``None`` where none is known."""
        if self.given.loss_lipschitz is not None:
            return self.given.loss_lipschitz
        if self.loss_names.isdisjoint(values):
            return self._loss_lipschitz
        return _finite(self.loss_at(values).traits_on(self.lower.shape).lipschitz)

    @cached_property
    def _loss_lipschitz(self) -> float | None:
        return _finite(self.loss.traits_on(self.lower.shape).lipschitz)

    @cached_property
    def loss_names(self) -> frozenset[str]:
        """Names of the parameters inside the loss."""
        return frozenset(p.name for p in self.loss.parameters)

    def loss_at(self, values: dict[str, Any]) -> Functional:
        """The loss with the values of the parameters inside it."""
        mine = {name: values[name] for name in self.loss_names if name in values}
        bound: Functional = self.loss.with_parameters(mine) if mine else self.loss
        return bound

    def solve(
        self,
        values: dict[str, Any],
        eps: float,
        x: Array | None,
        how: Solves,
        moved: dict[int, Functional] | None = None,
    ) -> Solved:
        """Minimise the lower level until it is known to within ``eps``."""
        at = self.lower.at(values, moved)
        x = self.lower.zeros() if x is None else x
        if at.simple is not None:
            found, distance = nonsmooth.minimise(at, x, eps, how.max_lower)
        else:
            self._check_strong(at)
            found = _minimise(at, x, eps * at.mu, how)
            distance = (found.residual + _rounding(at, found.x)) / at.mu
        if found.status == "failed":
            raise ValueError(
                f"pair {self.number}: the gradient of the lower level became non-finite at the parameters "
                f"{_shown(values)}: check the Lipschitz constant of its terms, or bound the parameters"
            )
        loss = self.loss_at(values)
        value = loss(found.x)
        slope = loss.gradient(found.x)
        size = arrays.norm(slope)
        if math.isnan(value) or (math.isfinite(value) and not math.isfinite(size)):
            raise ValueError(
                f"pair {self.number}: the loss {self.loss} is {value} with a gradient of norm {size} "
                f"at the minimiser for the parameters {_shown(values)}"
            )
        return Solved(
            found.x, distance, found.residual, value, slope, size, found.iterations, found.status, x
        )

    def _check_strong(self, at: LowerAt) -> None:
        if not self.lower.convex:
            raise ValueError(
                f"pair {self.number}: the lower level {self.lower.objective} is not convex, "
                "so its minimiser need not be unique nor differentiable"
            )
        if not at.mu > 0:
            raise ValueError(
                f"pair {self.number}: the lower level {self.lower.objective} is not known to be strongly "
                "convex: add a term such as 1e-3 * SquaredL2(), or give a strong_convexity that you know"
            )

    def differentiate(
        self,
        vector: ParameterVector,
        t: np.ndarray,
        solved: Solved,
        delta: float,
        q: Array | None,
        how: Solves,
        bound: bool = True,
        known: tuple[float, float] = (0.0, 0.0),
    ) -> Sensitivity:
        """The derivative of the loss with respect to the vector of parameters at ``t``.

        With ``bound`` also its error; ``known`` are the measured ``L_J`` and ``L_H`` so far, for where no
        proven ones are.
        """
        values = vector.values(t)
        if not math.isfinite(solved.value):
            raise ValueError(
                f"pair {self.number}: the loss {self.loss} is {solved.value} at the minimiser for the "
                f"parameters {_shown(values)}: start elsewhere, or take a loss that is finite there"
            )
        at = self.lower.at(values)
        if at.simple is not None:
            s = nonsmooth.differentiate(
                self.lower, at, vector, t, solved.x, solved.slope, delta, q, how.max_linear
            )
            natural, solve = s
            z = vector.slopes(t) * natural
            constants = _no_constants(at.mu)
            error, spent = math.inf, 0
        else:
            solve = linear.solve(at.hessian(solved.x), solved.slope, q, delta, how.max_linear)
            z = -vector.slopes(t) * vector.pack(at.mixed(solved.x, solve.q))
            constants, error, spent = _no_constants(at.mu), math.inf, 0
            if bound:
                constants, spent = self.constants(at, vector, t, solved, solve.q, -z, known)
                residual = solve.residual + _rounding(at, solve.q)
                error = error_bound(constants, solved.size, solved.distance, residual)
        if solve.status == "failed" or not bool(np.all(np.isfinite(z))):
            raise ValueError(
                f"pair {self.number}: the hypergradient is not finite at the parameters {_shown(values)}"
            )
        if self.loss_names.intersection(vector.names):
            z = z + vector.slopes(t) * vector.pack(self.loss_at(values).parameter_gradient(solved.x))
            constants = replace(constants, estimated=(*constants.estimated, "derivative of the loss"))
        return Sensitivity(
            z, error, constants, solve.q, solve.residual, solve.iterations, solve.status, spent
        )

    def constants(
        self,
        at: LowerAt,
        vector: ParameterVector,
        t: np.ndarray,
        solved: Solved,
        q: Array,
        Jq: np.ndarray,
        known: tuple[float, float],
    ) -> tuple[Constants, int]:
        """The constants of the error bound at a point, and how many gradients or products they cost."""
        given, estimated, spent = self.given, [], 0
        norm = given.mixed_norm
        if norm is None:
            norm, proven, spent = mixed_norm(self.lower, at, solved.x, vector, t, Jq)
            estimated += [] if proven else ["mixed_norm"]
        L_J, L_H = given.mixed_lipschitz, given.hessian_lipschitz
        L_J = mixed_lipschitz(at, self.lower.shape, vector, t) if L_J is None else L_J
        L_H = at.objective.hessian_lipschitz_on(self.lower.shape) if L_H is None else L_H
        if L_J is None or L_H is None:
            Hq = at.hessian(solved.x)(q)
            quotients = measured(at, vector, t, solved.x, solved.start, q, Hq, Jq)
            spent += 3
            if L_J is None:
                L_J = max(known[0], quotients[0])
                estimated.append("mixed_lipschitz")
            if L_H is None:
                L_H = max(known[1], quotients[1])
                estimated.append("hessian_lipschitz")
        L_g = self.loss_lipschitz(vector.values(t))
        if L_g is None:
            L_g = _curvature(self.loss_at(vector.values(t)), solved.x, solved.slope)
            estimated.append("loss_lipschitz")
        return Constants(at.mu, L_g, norm, L_J, L_H, tuple(estimated)), spent


def _minimise(at: LowerAt, x: Array, tol: float, how: Solves) -> Descent:
    if how.solver == "lbfgs" or math.isinf(at.L):
        found = descent.lbfgs(at.value_and_gradient, x, tol, how.max_lower)
        if found.status == "stalled":
            return descent.newton(at.gradient, at.hessian, found, tol, how.max_lower)
        return found
    accelerated = how.solver == "accelerated"
    return descent.descend(
        at.gradient, x, tol, how.max_lower, at.L, at.mu, accelerated, lambda z: _rounding(at, z)
    )


def _rounding(at: LowerAt, x: Array) -> float:
    """How far rounding may put a product with the Hessian, or a gradient, off."""
    return 4 * arrays.epsilon(x) * at.size * arrays.norm(x)


def _finite(L: float | None) -> float | None:
    return None if L is None or math.isinf(L) else L


def _no_constants(mu: float) -> Constants:
    return Constants(mu, math.inf, math.inf, math.inf, math.inf, ("not computed",))


def _curvature(loss: Functional, x: Array, v: Array) -> float:
    """The norm of the Hessian of the loss at ``x``, by a few steps of the power method, from below."""
    norm = 0.0
    for _ in range(10):
        size = arrays.norm(v)
        if size == 0.0:
            break
        v = loss.hessian_product(x, v / size)
        norm = arrays.norm(v)
    return norm


def _shown(values: dict[str, Any]) -> str:
    """Values of parameters in a message."""
    parts = []
    for name, value in values.items():
        if np.ndim(value) == 0:
            parts.append(f"{name}={float(value):.6g}")
        else:
            parts.append(f"{name} in [{np.min(value):.6g}, {np.max(value):.6g}]")
    return ", ".join(parts)
