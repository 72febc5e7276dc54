r"""Majorisation in a generalised Krylov space (MM-GKS), with a fixed weight or the discrepancy principle.

.. math:: \min_x \; \tfrac12 \|A x - b\|^2 + \mu \sum_i \big(\sqrt{(L x)_i^2 + \epsilon^2} - \epsilon\big)

With :math:`u = L x_k` and :math:`w = u\,(1 - \epsilon / \sqrt{u^2 + \epsilon^2})` the quadratic function
:math:`\|A x - b\|^2 + \nu \|L x - w\|^2`, :math:`\nu = \mu / \epsilon`, lies above the objective (up to
constants and a factor) and touches it at ``x_k``. It is minimised in the span of :math:`A^* b` and of the
gradients so far, for which ``A V`` and ``L V`` have thin QR factors that grow by a column in each iteration.
After ``restart`` columns the space begins anew with the iterate alone.

With the discrepancy principle the weight of each iteration is the one with :math:`\|A x - b\|` at a given
level, so that it need not be known.

Source: G. Huang, A. Lanza, S. Morigi, L. Reichel, F. Sgallari, Majorization-minimization generalized Krylov
subspace methods for lp-lq optimization, BIT 57 (2017), as used by D. Bianchi et al., arXiv 2312.16936.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero, peel
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.result import Certificate
from wellposed.solvers.thin_qr import ThinQR

RESTART = 30
"""Columns of the space before it begins anew."""

SETTLED = 1 / 3
"""Share of the space that must be filled for a short step to end a run: steps are short after a restart."""

LIMIT = 1e12
"""Weights are sought within this factor of the one at which both terms of the projection weigh alike."""


@dataclass(frozen=True)
class Form:
    """The parts of a problem that the method takes."""

    data: Term
    b: Array
    scale: float
    """In front of the data fit."""
    prior: Term
    weight: float
    eps: float


def gks_form(problem: Problem) -> Form | str:
    """The parts of a problem, or the reason why the method does not take it."""
    terms = list(problem.terms)
    if not isinstance(problem.simple, Zero):
        terms.append(Term(problem.simple, None))
    if len(terms) != 2:
        return "the objective is not least squares plus one smoothed L1 norm"
    for data, prior in (terms, terms[::-1]):
        (scale, f), (weight, g) = peel(data.f), peel(prior.f)
        if isinstance(f, LeastSquares) and isinstance(g, SmoothedL21):
            plain = f.weights is None and g.weights is None and not g.axes and not f.intercept
            if not plain or arrays.is_complex(f.b):
                return "it takes no weights, joined components, intercept or complex data"
            if scale > 0 and weight > 0:
                return Form(data, f.b, scale, prior, weight / scale, g._e)
    return "the objective is not least squares plus one smoothed L1 norm"


@dataclass
class State:
    """Buffers of a run."""

    x: Array  # iterate
    u: Array  # L x
    y: np.ndarray  # coordinates of x in the space
    basis: ThinQR  # V, the space
    images: ThinQR  # A V
    priors: ThinQR  # L V
    nu: float  # weight of the majorant, over that of the data
    misfit: float  # ||A x - b||
    change: float  # length of the last step
    count: int  # iterations so far


@dataclass(frozen=True)
class MMGKS:
    """Majorisation-minimisation in a generalised Krylov space. See the module.

    Parameters
    ----------
    problem : Problem
        With a `gks_form`.
    level : float, optional
        Norm that the residual is to have; by default the weight of the problem is kept.
    largest : float
        Bound of the weights that ``level`` gives, of the majorant: ``mu / eps``.
    restart : int
        Columns of the space before it begins anew.
    """

    problem: Problem
    level: float | None = None
    largest: float = math.inf
    restart: int = RESTART
    check_every: int = 10

    @cached_property
    def form(self) -> Form:
        """The parts of the problem."""
        form = gks_form(self.problem)
        if isinstance(form, str):
            raise TypeError(form)
        return form

    def weight(self, state: State) -> float:
        """In front of the smoothed norm, where that of the data fit is 1."""
        return state.nu * self.form.eps

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin in the space of ``A* b``, or of the given point."""
        form, p = self.form, self.problem
        nu = math.nan if self.level is not None else form.weight / form.eps
        x = p.zeros() if x0 is None else x0
        first = form.data.backward(form.b) if x0 is None else x
        state = State(
            x, form.prior.forward(x), np.zeros(1), *self._spaces(), nu, arrays.norm(form.b), math.inf, 0
        )
        if arrays.norm(first) > 0:
            self._extend(state, first)
        return state

    def _spaces(self) -> tuple[ThinQR, ThinQR, ThinQR]:
        like, form = self.problem.like, self.form
        prior = arrays.zeros(form.prior.range_shape(self.problem.shape), like)
        return ThinQR(self.restart, like), ThinQR(self.restart, form.b), ThinQR(self.restart, prior)

    def _extend(self, s: State, direction: Array) -> None:
        """Add a direction to the space."""
        if s.basis.append(direction / arrays.norm(direction)) == 0.0:
            s.basis.count -= 1
            raise StalledError("the gradient lies in the space")
        s.images.append(self.form.data.forward(s.basis.last))
        s.priors.append(self.form.prior.forward(s.basis.last))

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        form = self.form
        if s.basis.count == 0:
            raise StalledError("the data are orthogonal to the range of the operator")
        if s.basis.count == self.restart:
            x, length = s.x, arrays.norm(s.x)
            s.basis, s.images, s.priors = self._spaces()
            s.y = np.array([length])
            self._extend(s, x)
        w = s.u * (1 - form.eps / arrays.namespace(s.u).sqrt(s.u * s.u + form.eps**2))
        part = s.images.coefficients(form.b)
        small = Projection(s.images.R, s.priors.R, part, s.priors.coefficients(w))
        if self.level is not None:
            beyond = arrays.norm(s.images.combination(part) - form.b)
            found = small.weight_at(self.level, beyond)
            # Where no weight fits, as at first and after a restart, the last one is kept.
            found = None if found is None else min(found, self.largest)
            s.nu = found if found is not None else small.range[0] if math.isnan(s.nu) else s.nu
        y = small.solve(s.nu)
        old = np.zeros(len(y))
        old[: len(s.y)] = s.y[: len(y)]
        s.change, s.y = float(np.linalg.norm(y - old)), y
        s.x = s.basis.combination(y)
        s.u = s.priors.combination(s.priors.R @ y)
        residual = s.images.combination(s.images.R @ y) - form.b
        s.misfit = arrays.norm(residual)
        s.count += 1
        gradient = form.data.backward(residual) + s.nu * form.prior.backward(s.u - w)
        if s.basis.count < self.restart:
            if arrays.norm(gradient) == 0.0:
                raise StalledError("the gradient is zero")
            self._extend(s, gradient)

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> tuple[None, ...]:
        """The slopes at the solution serve as dual variables."""
        return (None,) * len(self.problem.terms)

    def residual(self, state: State) -> tuple[float, float]:
        """Length of the last step, against that of the iterate."""
        return state.change, max(float(np.linalg.norm(state.y)), 1e-300)

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""


class Projection:
    r"""``min ||R_A y - c||^2 + nu ||R_L y - d||^2`` for all ``nu`` at once.

    With :math:`(R_A; R_L) = Q R` and the singular values ``C`` of the upper part of ``Q`` both terms become
    diagonal, in coordinates in which the first one has the squares ``C^2`` and the second ``1 - C^2``.
    """

    def __init__(self, data: np.ndarray, prior: np.ndarray, c: np.ndarray, d: np.ndarray):
        size = np.linalg.norm(prior)
        self._ratio = float(np.linalg.norm(data) / size) if size > 0 else 1.0
        rows = len(data)
        Q, self._R = np.linalg.qr(np.vstack([data, self._ratio * prior]))
        U, self._C, self._X = np.linalg.svd(Q[:rows], full_matrices=False)
        below = Q[rows:] @ self._X.T
        self._S = np.sum(below**2, axis=0)
        self._c, self._d = U.T @ c, self._ratio * (below.T @ d)
        self._outside = float(np.linalg.norm(c - U @ self._c))
        self._rows = rows

    @property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest weight considered."""
        return self._ratio**2 / LIMIT, self._ratio**2 * LIMIT

    def _denominator(self, m: float) -> np.ndarray:
        return np.asarray(np.maximum(self._C**2 + m * self._S, 1e-300))

    def _coordinates(self, nu: float) -> np.ndarray:
        """In which both terms are diagonal."""
        m = nu / self._ratio**2
        return np.asarray((self._C * self._c + m * self._d) / self._denominator(m))

    def misfit(self, nu: float) -> float:
        """Norm of ``R_A y - c`` at a weight."""
        inside = np.linalg.norm(self._C * self._coordinates(nu) - self._c)
        return math.hypot(float(inside), self._outside)

    def cross_validation(self, nu: float) -> float:
        """The function that generalised cross-validation minimises."""
        free = self._rows - np.sum(self._C**2 / self._denominator(nu / self._ratio**2))
        return float((self.misfit(nu) / free) ** 2)

    def solve(self, nu: float) -> np.ndarray:
        """The minimiser."""
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self._R, self._X.T @ self._coordinates(nu)))

    def weight_at(self, level: float, beyond: float) -> float | None:
        """The weight at which misfit and ``beyond`` have together the norm ``level``, if there is one."""
        from scipy.optimize import brentq

        low, high = (math.log(w) for w in self.range)

        def excess(t: float) -> float:
            return math.log(max(math.hypot(self.misfit(math.exp(t)), beyond), 1e-300) / level)

        if excess(low) > 0 or excess(high) < 0:
            return None
        return math.exp(brentq(excess, low, high, xtol=1e-6))


@dataclass(frozen=True)
class Fitted:
    """The end of a run with the discrepancy principle.

    Parameters
    ----------
    x : array
    weight : float
        The last one, in front of the smoothed norm.
    misfit : float
        Norm of the residual.
    iterations : int
    weights : tuple of float
        Of all iterations.
    """

    x: Array
    weight: float
    misfit: float
    iterations: int
    weights: tuple[float, ...]


def fit_to_noise(
    problem: Problem,
    level: float,
    tol: float = 1e-4,
    max_iter: int = 500,
    largest: float = math.inf,
    restart: int = RESTART,
) -> Fitted:
    """Iterate with the weight that brings the residual to a level in each iteration.

    Parameters
    ----------
    problem : Problem
        With a `gks_form`; its own weight does not matter.
    level : float
        Norm of the residual.
    tol : float
        The run ends when an iterate moves by less than this share of its length, but not soon
        after a restart.
    max_iter : int
    largest, restart
        As for `MMGKS`.

    Returns
    -------
    Fitted

    Raises
    ------
    ValueError
        If the data are within the noise, or no image comes as near to them as the level.
    """
    method = MMGKS(problem, level, largest, restart)
    if arrays.norm(method.form.b) <= level:
        raise ValueError(
            f"the data, of norm {arrays.norm(method.form.b):.3g}, are within the noise of norm {level:.3g}: "
            "is noise_level too large?"
        )
    state = method.start(None, None)
    weights: list[float] = []
    for _ in range(max_iter):
        length = float(np.linalg.norm(state.y))
        try:
            method.advance(state, 1)
        except StalledError:
            break
        weights.append(method.weight(state))
        if state.basis.count > SETTLED * restart and state.change < tol * length:
            break
    if not state.misfit < 1.1 * level:
        raise ValueError(
            f"no image fits the data to the noise of norm {level:.3g}, the residual stays at "
            f"{state.misfit:.3g}: is noise_level too small?"
        )
    return Fitted(state.x, method.weight(state), state.misfit, state.count, tuple(weights))
