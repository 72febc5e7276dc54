r"""Total variation denoising by fused loops: `kernels.tv` under the shared loop.

.. math:: \min_x \tfrac{a}{2} \|x - b\|^2 + \varphi(D x) \quad \text{subject to bounds on } x

with :math:`\varphi` a weighted L1 or L21 norm of the gradient of an image, a volume or (vectorial TV)
an image with channels. The method is the primal-dual one accelerated by strong convexity; several
iterations run in one pass over memory, and the duality gap is one pass as well.
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
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.merge import PlusQuadratic
from wellposed.functionals.norms import L1, L21
from wellposed.kernels import tv
from wellposed.operators.calculus import Gradient
from wellposed.solvers.certificates import Proof
from wellposed.solvers.problem import Problem
from wellposed.solvers.result import Certificate


@dataclass(frozen=True)
class DenoisingForm:
    """The numbers behind a denoising problem: ``a/2 ||x - b||^2 + lam * norm(D x)`` on ``[lower, upper]``."""

    a: float
    b: Array
    lam: float
    weights: Array | None
    isotropic: bool
    channel_axis: int | None
    lower: float
    upper: float
    constant: float
    """What the objective adds to this."""


def denoising_form(problem: Problem) -> DenoisingForm | str:
    """The numbers behind a problem of this form, or the reason why it is none."""
    if problem.image_part is not None or len(problem.terms) != 1:
        return "the objective is not a squared distance to an image plus its total variation"
    if not arrays.is_numpy_array(problem.like):
        return "it works on NumPy arrays only"
    term = problem.terms[0]
    lam, norm = peel(term.f)
    if not (isinstance(norm, (L1, L21)) and isinstance(term.K, Gradient) and lam > 0):
        return f"{term} is no total variation"
    channel = _channel_axis(norm, term.K, problem.shape)
    if channel is None:
        return f"{term} takes differences along some axes only"
    weights = _weights(norm, problem.shape, channel)
    if isinstance(weights, str):
        return weights
    quadratic = _quadratic(problem)
    if isinstance(quadratic, str):
        return quadratic
    a, b, lower, upper, constant = quadratic
    axis = None if channel < 0 else channel
    return DenoisingForm(a, b, lam / a, weights, isinstance(norm, L21), axis, lower, upper, constant)


def _channel_axis(norm: L1 | L21, D: Gradient, shape: tuple[int, ...]) -> int | None:
    """The axis of channels, -1 where there is none, ``None`` where the form does not fit."""
    rest = [k for k in range(len(shape)) if k not in D.axes]
    if not rest:
        return -1 if len(shape) <= 3 and (isinstance(norm, L1) or norm.axes == (0,)) else None
    joined = isinstance(norm, L21) and norm.axes == (0, rest[0] + 1)
    return rest[0] if len(rest) == 1 and joined and len(shape) <= 4 else None


def _weights(norm: L1 | L21, shape: tuple[int, ...], channel: int) -> Array | str | None:
    if norm.weights is None:
        return None
    grid = tuple(n for k, n in enumerate(shape) if k != channel)
    if norm.weights.size != math.prod(grid):
        return "the weights vary from one direction to another"
    return np.ascontiguousarray(np.asarray(norm.weights).reshape(grid))


def _quadratic(problem: Problem) -> tuple[float, Array, float, float, float] | str:
    """``a``, ``b``, the bounds and the constant of the simple part."""
    refusal = f"{problem.simple} is no squared distance to an image, with bounds or without"
    scale, simple = peel(problem.simple)
    if isinstance(simple, LeastSquares) and simple.weights is None and scale > 0:
        return scale, simple.b, -math.inf, math.inf, 0.0
    if not (isinstance(simple, PlusQuadratic) and isinstance(simple.a, float) and scale == 1.0):
        return refusal
    inner = simple.f
    if isinstance(inner, Zero):
        bounds = -math.inf, math.inf
    elif isinstance(inner, NonNegative):
        bounds = 0.0, math.inf
    elif isinstance(inner, Box):
        bounds = inner.low, inner.high
    else:
        return refusal
    if isinstance(simple.r, float):
        return refusal
    b = (simple.r / problem.like.dtype.type(simple.a)).astype(problem.like.dtype, copy=False)
    return simple.a, b, *bounds, simple.constant - 0.5 * simple.a * arrays.inner(b, b)


@dataclass(frozen=True)
class Denoising:
    """Accelerated primal-dual denoising. See the module."""

    problem: Problem
    check_every: int = 12

    @cached_property
    def form(self) -> DenoisingForm:
        """The numbers behind the problem."""
        form = denoising_form(self.problem)
        assert isinstance(form, DenoisingForm), form
        return form

    def start(self, x0: Array | None, dual0: Any) -> tv.RofState:
        """Begin at the data, or at the given dual variable; ``x0`` has no influence on the method."""
        f = self.form
        q0 = self._to_kernel(dual0[0] / f.a, 1) if dual0 and dual0[0] is not None else None
        b = self._to_kernel(f.b, 0)
        channels = f.channel_axis is not None
        return tv.start(b, f.lam, f.weights, f.isotropic, f.lower, f.upper, q0, channels)

    def _to_kernel(self, a: Array, leading: int) -> Array:
        """Channels first, contiguous; ``leading`` axes stay in front."""
        if self.form.channel_axis is not None:
            a = np.moveaxis(a, self.form.channel_axis + leading, leading)
        return np.ascontiguousarray(a)

    def _from_kernel(self, a: Array, leading: int) -> Array:
        if self.form.channel_axis is not None:
            a = np.moveaxis(a, leading, self.form.channel_axis + leading)
        return np.ascontiguousarray(a)

    def advance(self, state: tv.RofState, count: int) -> None:
        """Take ``count`` iterations."""
        tv.advance(state, count)

    def solution(self, state: tv.RofState) -> Array:
        """The iterate."""
        return self._from_kernel(tv.primal(state), 0)

    def dual(self, state: tv.RofState) -> Proof:
        """The duality gap, in one pass."""
        f = self.form
        primal, lower = (f.a * value + f.constant for value in tv.gap(state))
        scale = max(abs(primal), self.problem.scale_floor)
        certificate = Certificate("duality gap", max(primal - lower, 0.0), scale, primal, lower)
        return Proof(certificate, lambda: (self._dual_point(state),))

    def _dual_point(self, state: tv.RofState) -> Array:
        q = self._from_kernel(tv.dual(state), 1)
        return q if self.form.a == 1.0 else np.asarray(self.form.a, q.dtype) * q

    def residual(self, state: tv.RofState) -> tuple[float, float]:
        """Not needed, since there is always a gap."""
        return math.inf, 1.0

    def observe(self, state: tv.RofState, certificate: Certificate) -> None:
        """Nothing to adapt."""
