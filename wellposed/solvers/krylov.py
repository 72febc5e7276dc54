r"""Conjugate gradients for quadratic objectives (CGLS for least squares).

Solves :math:`\nabla F(x) = 0` for ``F`` a sum of quadratics, with products of its Hessian only:
:math:`H v = \sum_i K_i^* W_i K_i v`; for ``LeastSquares(A, b)`` alone these are the iterates of CGLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers import smooth
from wellposed.solvers.loop import StalledError
from wellposed.solvers.problem import Problem, Term
from wellposed.solvers.result import Certificate

RECOMPUTE_EVERY = 50
"""Iterations after which the residual is computed afresh, since its recursion drifts."""


@dataclass
class State:
    """Buffers of a conjugate gradient run."""

    x: Array  # iterate
    r: Array  # minus the gradient at x
    p: Array  # search direction
    rr: float  # squared norm of r
    scale: float  # norm of the gradient at zero or at the start, the larger one
    count: int  # iterations so far


@dataclass(frozen=True)
class ConjugateGradient:
    """The method of conjugate gradients. See the module."""

    problem: Problem
    check_every: int = 10

    @property
    def _all(self) -> tuple[Term, ...]:
        return (*self.problem.terms, Term(self.problem.simple, None))

    def _gradient(self, x: Array) -> Array:
        return smooth.pull_back(self._all, smooth.slopes(self._all, smooth.images(self._all, x)))

    def _hessian(self, v: Array) -> Array:
        # The Hessian of a quadratic is the same everywhere: at the image of v it needs no other image.
        images = smooth.images(self._all, v)
        curved = tuple(t.f.hessian_product(u, u) for t, u in zip(self._all, images, strict=True))
        return smooth.pull_back(self._all, curved)

    def start(self, x0: Array | None, dual0: Any) -> State:
        """Begin at ``x0`` or at zero."""
        zero = self.problem.zeros()
        at_zero = -self._gradient(zero)
        x = zero if x0 is None else self.problem.embed(x0)
        r = at_zero if x0 is None else -self._gradient(x)
        rr = arrays.inner(r, r)
        return State(x, r, r, rr, max(arrays.norm(at_zero), rr**0.5), 0)

    def advance(self, state: State, count: int) -> None:
        """Take ``count`` steps."""
        for _ in range(count):
            self._step(state)

    def _step(self, s: State) -> None:
        if s.rr == 0.0:
            raise StalledError("the gradient is zero")
        q = self._hessian(s.p)
        curvature = arrays.inner(s.p, q)
        if curvature <= 0.0:
            raise StalledError("no curvature is left along the search direction")
        s.count += 1
        alpha = s.rr / curvature
        s.x = s.x + alpha * s.p
        s.r = -self._gradient(s.x) if s.count % RECOMPUTE_EVERY == 0 else s.r - alpha * q
        rr = arrays.inner(s.r, s.r)
        s.p = s.r + (rr / s.rr) * s.p
        s.rr = rr

    def solution(self, state: State) -> Array:
        """The iterate."""
        return state.x

    def dual(self, state: State) -> tuple[None, ...]:
        """The slopes at the solution serve as dual variables."""
        return (None,) * len(self.problem.terms)

    def residual(self, state: State) -> tuple[float, float]:
        """Norm of the gradient, against that at zero."""
        return state.rr**0.5, state.scale

    def observe(self, state: State, certificate: Certificate) -> None:
        """Nothing to adapt."""
