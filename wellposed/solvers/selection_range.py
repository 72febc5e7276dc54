r"""Where to look for a weight: from just below the one that leaves nothing but the trivial solution.

For a data fit ``f``, a norm :math:`\varphi` and an operator ``K``, a point :math:`x_0` with
:math:`K x_0 = 0` minimises :math:`f(A x) + w\,\varphi(K x)` as soon as some ``q`` has
:math:`K^* q = -A^* f'(A x_0)` and :math:`q / w` in the domain of :math:`\varphi^*`. Any such ``q``
bounds that weight from above; here it is the one of least norm, :math:`q = -K (K^* K)^+ A^* f'`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.objective import Objective
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient
from wellposed.solvers.selection_data import DataTerm, WeightedTerm, shape_of

FIRST = 0.1
"""The path of weights begins at this share of the largest."""

DECADES = 3.0
"""The range that is searched at first; it grows where the best weight is at its end."""

MORE_DECADES = 2.0
"""How far it may grow towards small weights."""


@dataclass(frozen=True)
class Range:
    """Where to search: from ``high`` down to ``low``, and on to the limits if the best is at an end."""

    low: float
    high: float
    lower_limit: float
    upper_limit: float


SMOOTH_FACTOR = 10.0
"""A smooth regulariser never leaves the trivial solution: at the upper end it outweighs the data so much."""

POISSON_STEPS = 60

ROUNDING_STEPS = 20
"""Attempts to make up for rounding in the least weight."""


def largest_weight(objective: Objective, data: DataTerm, weighted: WeightedTerm) -> float:
    """A weight at which the regulariser leaves next to nothing of the data, within an order of magnitude."""
    like = arrays.zeros(shape_of(objective), data.fit.b, arrays.real_dtype(data.fit.b))
    f, K = _split(weighted.term, like)
    trivial = _kernel_point(data, K, like)
    slope = _slope(data, trivial)
    bound = _dual_bound(f, K, slope) if f.traits.homogeneous and f.traits.conjugate else 0.0
    return bound if bound > 0 else _ratio(data, weighted, like, slope)


def _split(term: Functional, like: Array) -> tuple[Functional, LinearOperator | None]:
    return term.factor(tuple(like.shape)) if term.traits.homogeneous else (term, None)


def _slope(data: DataTerm, x: Array) -> Array:
    g = data.fit._slope(data.predict(x))
    return g if data.A is None else data.A.apply_adjoint(g)


def _kernel_point(data: DataTerm, K: LinearOperator | None, like: Array) -> Array:
    """The best constant image for differences, else (and where data need positive values) a safe point."""
    if not isinstance(K, Gradient) and data.least_squares:
        return like
    one = like + 1.0
    A1, b = data.forward(one), data.fit.b
    w = data.weights
    top = arrays.inner(A1, b if w is None else w * b)
    bottom = arrays.inner(A1, A1 if w is None else w * A1)
    return one * (top / bottom) if bottom > 0 else like


def _dual_bound(f: Functional, K: LinearOperator | None, slope: Array) -> float:
    """The least ``w`` with ``q / w`` in the domain of the conjugate, for the ``q`` of the module's text."""
    bound = polar(f, -slope if K is None else K(_pseudo_inverse(K, -slope)))
    return bound if math.isfinite(bound) else 0.0


def polar(f: Functional, q: Array) -> float:
    """The least ``w`` with ``q / w`` a subgradient of ``f`` at 0, slightly more by rounding; maybe infinite.

    ``f`` is convex with least value ``f(0) = 0``. Where ``f`` is homogeneous this is its polar gauge, for a
    norm the dual norm.
    """
    size = arrays.norm(q)
    if not size > 0:
        return 0.0
    weight = _gauge(f, q, size) if f.traits.homogeneous else _bisected(f, q, size)
    for _ in range(ROUNDING_STEPS):
        if not 0 < weight < math.inf or f._conjugate(q / weight) == 0:
            break
        weight *= 1 + 4 * arrays.epsilon(q)
    return weight


def _gauge(f: Functional, q: Array, size: float) -> float:
    # dual_scale stops at 1, so it is asked about multiples of q until one is outside.
    for factor in (1.0, 1e3, 1e6, 1e9):
        scale = f.dual_scale(q * (factor / size))
        if scale < 1.0:
            return size / (factor * scale) if scale > 0 else math.inf
    return 0.0


def _bisected(f: Functional, q: Array, size: float) -> float:
    """On a log scale, from where ``q / w`` has a norm of 1."""
    low = high = size
    while f._conjugate(q / high) > 0:
        high *= 1e3
        if high > 1e15 * size:
            return math.inf
    while f._conjugate(q / low) == 0:
        low *= 1e-3
        if low < 1e-15 * size:
            return 0.0
    while high > low * (1 + 4 * arrays.epsilon(q)):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if f._conjugate(q / middle) > 0 else (low, middle)
    return high


def _pseudo_inverse(K: LinearOperator, g: Array) -> Array:
    """An approximation of ``(K* K)^+ g`` by conjugate gradients, exact where ``K`` has a closed form."""
    if K.has_solve_normal:
        xp = arrays.namespace(g)
        tau = 1e6 * math.prod(K.domain_shape)
        return xp.astype(tau * K.solve_normal(tau, xp.astype(g, xp.float64)), g.dtype)
    x, r = 0.0 * g, g
    p, rho = r, arrays.inner(r, r)
    start = rho
    for _ in range(POISSON_STEPS):
        if rho <= 1e-6 * start:
            break
        Kp = K(p)
        curvature = arrays.inner(Kp, Kp)
        if curvature <= 0:
            break
        alpha = rho / curvature
        x, r = x + alpha * p, r - alpha * K.apply_adjoint(Kp)
        rho, old = arrays.inner(r, r), rho
        p = r + (rho / old) * p
    return x


def _ratio(data: DataTerm, weighted: WeightedTerm, like: Array, slope: Array) -> float:
    """Slope of the data over that of the regulariser (or values, where it has none) at a first guess."""
    guess = _one_step(data, like, slope)
    f = weighted.term
    if f.traits.smooth:
        size = arrays.norm(f.gradient(guess))
        return SMOOTH_FACTOR * arrays.norm(slope) / size if size > 0 else 0.0
    value = f(guess)
    return data.fit(like) / value if 0 < value < math.inf else 0.0


def _one_step(data: DataTerm, x: Array, slope: Array) -> Array:
    """The minimum of the data fit's quadratic model along its slope."""
    As = data.forward(slope)
    H = data.fit._curvature(data.predict(x))
    curvature = arrays.inner(H * As, As)
    return x - (arrays.inner(slope, slope) / curvature if curvature > 0 else 1.0) * slope
