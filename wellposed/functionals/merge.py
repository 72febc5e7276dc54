"""Sums of terms on the variable itself that have a joint proximal map and conjugate.

`merge` takes the terms of an objective that act on ``x`` directly and makes one functional of as
many as possible: squared distances add up to one, bounds intersect, L1 weights add up, an elastic
net is taken as its two parts, a sparse penalty takes in the bound 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.affine import AffineConstraint
from wellposed.functionals.calculus import Weighted, Zero, peel
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.elastic_net import ElasticNet
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.norms import L1, SquaredL2
from wellposed.functionals.size_penalties import NonNegativePart, SizePenalty


@dataclass(frozen=True, eq=False)
class PlusQuadratic(Functional):
    r"""A simple functional plus a quadratic: :math:`f(x) + \tfrac{a}{2}\|x\|^2 - \langle r, x\rangle + c`.

    Parameters
    ----------
    f : Functional
        With a proximal map; separable if ``a`` is an array.
    a : float or array
        Positive.
    r : array or float
        Linear part.
    constant : float
    source : array, optional
        The user's data inside.
    """

    f: Functional
    a: Any
    r: Any
    constant: float
    source: Array | None = None

    @property
    def traits(self) -> Traits:
        t = self.f.traits
        low = float(self.a) if isinstance(self.a, float) else float(arrays.namespace(self.a).min(self.a))
        high = float(self.a) if isinstance(self.a, float) else float(arrays.namespace(self.a).max(self.a))
        return Traits(
            convex=t.convex,
            lipschitz=None if t.lipschitz is None else t.lipschitz + high,
            strong_convexity=t.strong_convexity + low,
            quadratic=t.quadratic,
            separable=t.separable,
        )

    @property
    def shape(self) -> Shape | None:
        return None if self.source is None else tuple(self.source.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return () if self.source is None else (self.source,)

    def __call__(self, x: Array) -> float:
        return self.f(x) + 0.5 * arrays.inner(self.a * x, x) - self._linear(x) + self.constant

    def _linear(self, x: Array) -> float:
        return arrays.inner(self.r, x) if not isinstance(self.r, float) else self.r * arrays.total(x)

    def gradient(self, x: Array) -> Array:
        return self.f.gradient(x) + self.a * x - self.r

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.f.hessian_product(x, v) + self.a * v

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        step = step_for(x, step)
        joint = step / (1 + step * self.a)
        return self.f.prox(joint * (x / step + self.r), joint)

    def maximiser(self, y: Array) -> Array:
        """The point where ``<x, y> - f(x)`` is largest: the gradient of the conjugate."""
        return self.f.prox((y + self.r) / self.a, 1 / self.a)

    def _conjugate(self, y: Array) -> float:
        x = self.maximiser(y)
        value = self(x)
        # Rounding may put the point just outside the domain of f: then no value is claimed.
        return arrays.inner(x, y) - value if math.isfinite(value) else math.inf

    def __str__(self) -> str:
        return f"{self.f} + quadratic"


@dataclass(frozen=True, eq=False)
class BoundedL1(Functional):
    r"""Weighted L1 norm on an interval: :math:`\sum_i w_i |x_i|` for ``low <= x <= high``, else infinite."""

    l1: Functional
    box: Box

    @property
    def traits(self) -> Traits:
        return Traits(separable=True, homogeneous=(self.box.low, self.box.high) == (0.0, math.inf))

    def __call__(self, x: Array) -> float:
        return self.l1(x) + self.box(x)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self.box.prox(self.l1.prox(x, step))

    def _weights(self, ones: Array) -> Array:
        scale, inner = peel(self.l1)
        assert isinstance(inner, L1)
        return scale * inner._w(ones) * ones

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        w = self._weights(0 * y + 1)
        best = 0 * y + (0.0 if self.box.low <= 0 <= self.box.high else -math.inf)
        for end in (self.box.low, self.box.high):
            if math.isinf(end):
                slope = math.copysign(1.0, end) * y - w
                best = xp.where(slope > 0, math.inf + 0 * y, best)
            else:
                best = xp.maximum(best, end * y - w * abs(end))
        return arrays.total(best)

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        w = self._weights(0 * y + 1)
        if math.isinf(self.box.high):
            y = xp.minimum(y, w)
        return xp.maximum(y, -w) if math.isinf(self.box.low) else y

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y)
        up = y if math.isinf(self.box.high) else 0 * y
        down = -y if math.isinf(self.box.low) else 0 * y
        return self.l1.dual_scale(xp.maximum(xp.maximum(up, down), 0 * y))

    def __str__(self) -> str:
        return f"{self.l1} + {self.box}"


def merge(terms: Sequence[Functional], like: Array) -> tuple[Functional, list[Functional]]:
    """One functional with a proximal map that sums as many of ``terms`` as possible, and the rest.

    Parameters
    ----------
    terms : sequence of Functional
        All acting on the variable itself, each with a proximal map.
    like : array
        An array of the kind and shape of the variable.

    Returns
    -------
    simple : Functional
    rest : list of Functional
        What did not fit into ``simple``; solvers treat each by a dual variable of its own.

    Raises
    ------
    ValueError
        If the bounds of the terms exclude each other.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> from wellposed.functionals.merge import merge
    >>> simple, rest = merge([wp.L1(), wp.NonNegative(), wp.SquaredL2()], np.zeros(2))
    >>> simple.prox(np.array([-3.0, 3.0]), 1.0), rest
    (array([0., 1.]), [])
    """
    if len(terms) == 1:
        return terms[0], []
    quadratic: list[tuple[float, LeastSquares | SquaredL2]] = []
    low, high, bounded = -math.inf, math.inf, False
    sparse: list[Functional] = []
    others: list[Functional] = []
    for term in terms:
        scale, inner = peel(term)
        if scale == 0 and not inner.traits.indicator:
            continue
        if isinstance(inner, (LeastSquares, SquaredL2)):
            quadratic.append((scale, inner))
        elif isinstance(inner, ElasticNet):
            first, second = (scale * weight for weight in inner._weights)
            sparse += [first * L1()] if first > 0 else []
            quadratic += [(second, SquaredL2())] if second > 0 else []
        elif isinstance(inner, (Box, NonNegative)):
            bounds = (inner.low, inner.high) if isinstance(inner, Box) else (0.0, math.inf)
            low, high, bounded = max(low, bounds[0]), min(high, bounds[1]), True
        elif isinstance(inner, L1):
            sparse.append(term)
        elif not isinstance(inner, Zero):
            others.append(term)
    if low > high:
        raise ValueError(f"the bounds of the objective exclude each other: x >= {low:g} and x <= {high:g}")
    parts: list[Functional] = []
    if sparse:
        l1 = sparse[0] if len(sparse) == 1 else _joint_l1(sparse, like)
        parts.append(BoundedL1(l1, Box(low, high)) if bounded else l1)
    elif bounded:
        parts.append(_bounds(low, high, others))
    if quadratic:
        return _plus_quadratic(quadratic, parts, others, like)
    candidates = _equations_first(parts + others)
    return (candidates[0], candidates[1:]) if candidates else (Zero(), [])


def _plus_quadratic(
    quadratic: list[tuple[float, LeastSquares | SquaredL2]],
    parts: list[Functional],
    others: list[Functional],
    like: Array,
) -> tuple[Functional, list[Functional]]:
    if len(quadratic) == 1 and not parts and not others:
        scale, only = quadratic[0]
        return Weighted(scale, only), []
    a: Any = 0.0
    r: Any = 0.0
    constant = 0.0
    source = None
    for scale, term in quadratic:
        if isinstance(term, SquaredL2):
            a = a + (scale if term.weights is None else scale * term.weighted(0 * like + 1))
            continue
        w = scale if term.weights is None else scale * term.weights
        a, r = a + w, r + w * term.b
        constant += 0.5 * arrays.inner(w * term.b, term.b)
        source = term.b
    if not isinstance(a, float) and bool(arrays.namespace(a).any(a <= 0)):
        apart: list[Functional] = [*parts, *(Weighted(scale, term) for scale, term in quadratic), *others]
        return apart[0], apart[1:]
    candidates = _equations_first(parts + others)
    if isinstance(a, float) and candidates and isinstance(peel(candidates[0])[1], AffineConstraint):
        return PlusQuadratic(candidates[0], a, r, constant, source), candidates[1:]
    joint = parts[0] if parts else Zero()
    if isinstance(joint, Zero) and others and (isinstance(a, float) or others[0].traits.separable):
        joint, others = others[0], others[1:]
    return PlusQuadratic(joint, a, r, constant, source), others


def _equations_first(candidates: list[Functional]) -> list[Functional]:
    """Linear equations in front: the objective is finite only where they hold."""
    return sorted(candidates, key=lambda f: not isinstance(peel(f)[1], AffineConstraint))


def _bounds(low: float, high: float, others: list[Functional]) -> Functional:
    """The indicator of the bounds; 0 joins a penalty that is not convex, which is taken out of ``others``.

    Convex penalties stay apart: solvers bound the error by their conjugates.
    """
    if (low, high) != (0.0, math.inf):
        return Box(low, high)
    for k, term in enumerate(others):
        if isinstance(peel(term)[1], SizePenalty) and not term.traits.convex:
            return NonNegativePart(others.pop(k))
    return NonNegative()


def _joint_l1(sparse: list[Functional], like: Array) -> Functional:
    ones = 0 * like + 1
    weights = 0 * like
    for term in sparse:
        scale, inner = peel(term)
        assert isinstance(inner, L1)
        weights = weights + scale * inner._w(ones)
    return L1(weights)
