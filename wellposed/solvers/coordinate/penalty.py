r"""The penalties that coordinate descent takes, read from the simple part of a problem.

.. math:: \sum_j w_j |x_j| + \tfrac{a_j}{2} x_j^2 - q_j x_j + c, \quad l \le x_j \le h, \qquad
          \text{and}\quad \sum_g \omega_g \|x_g\|
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.elastic_net import ElasticNet
from wellposed.functionals.groups import GroupL2
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.merge import BoundedL1, PlusQuadratic
from wellposed.functionals.norms import L1
from wellposed.functionals.sparse_group import SparseGroup


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of entries: ``order`` lists the entries group by group, group ``g`` from ``first[g]`` on."""

    order: np.ndarray
    first: np.ndarray
    w: np.ndarray  # weight of each norm
    of: np.ndarray  # group of each entry

    def entries(self, groups: np.ndarray) -> np.ndarray:
        """The entries of some groups, group by group."""
        if len(groups) == 0:
            return np.empty(0, np.int64)
        return np.concatenate([self.order[self.first[g] : self.first[g + 1]] for g in groups])


@dataclass(frozen=True, eq=False)
class Penalty:
    """See the module; each array has one entry per coefficient, in the dtype of the problem."""

    w: np.ndarray
    a: np.ndarray
    q: np.ndarray
    low: float = -math.inf
    high: float = math.inf
    groups: Groups | None = None
    constant: float = 0.0

    @cached_property
    def scale(self) -> float:
        """A slope that counts as large."""
        sizes = self.w if self.groups is None else np.concatenate([self.w, self.groups.w])
        positive = sizes[sizes > 0]
        return float(np.median(positive)) if positive.size else 0.0

    @property
    def count(self) -> int:
        """Coefficients, or groups of them."""
        return len(self.w) if self.groups is None else len(self.groups.w)

    @property
    def thresholded(self) -> bool:
        """Whether each coefficient (or group) is held at zero by a weight, and 0 is no forbidden point."""
        held = self.w if self.groups is None else self.groups.w
        return bool(np.all(held > 0)) and self.low <= 0 <= self.high

    def joined(self, lengths: np.ndarray) -> np.ndarray:
        """For each coefficient (or group) a bound of the norm of its columns, from their lengths."""
        if self.groups is None:
            return lengths
        return np.asarray(np.sqrt(np.bincount(self.groups.of, lengths**2, self.count)), lengths.dtype)

    def room(self, v: np.ndarray) -> np.ndarray:
        """How much the pull ``v`` of each coefficient (or group) may change before it leaves 0."""
        if self.groups is not None:
            inside = np.maximum(np.abs(v) - self.w, 0)
            sizes = np.sqrt(np.bincount(self.groups.of, inside * inside, self.count))
            return np.asarray(self.groups.w - sizes, v.dtype)
        if self.low == 0 == self.high:
            return np.full_like(v, math.inf)
        if self.low == 0:
            return np.asarray(self.w - v)
        return np.asarray(self.w + v if self.high == 0 else self.w - np.abs(v))

    def inside(self, v: np.ndarray) -> float:
        """With a quadratic part: the factor that brings a pull within the weights of the rest, at most 1."""
        if not self.a.any() or self.q.any():
            return 1.0
        beyond = np.abs(v) > self.w
        return float((self.w[beyond] / np.abs(v[beyond])).min(initial=1.0))

    def restricted(self, units: np.ndarray) -> Penalty:
        """The penalty of some coefficients, or of some groups, listed one after the other."""
        if self.groups is None:
            w, a, q = self.w[units], self.a[units], self.q[units]
            return Penalty(w, a, q, self.low, self.high, constant=self.constant)
        ids = self.groups.entries(units)
        sizes = self.groups.first[units + 1] - self.groups.first[units]
        first = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        of = np.repeat(np.arange(len(units)), sizes)
        groups = Groups(np.arange(len(ids)), first, self.groups.w[units], of)
        return Penalty(self.w[ids], self.a[ids], self.q[ids], groups=groups, constant=self.constant)

    def value(self, x: np.ndarray, at: Any = slice(None)) -> float:
        """The penalty of a point whose entries are zero beyond ``at``, in double precision."""
        x = x[at].astype(np.float64)
        w, a, q = (v[at].astype(np.float64) for v in (self.w, self.a, self.q))
        value = float(w @ np.abs(x) + 0.5 * (a @ (x * x)) - q @ x) + self.constant
        if self.groups is not None:
            squares = np.bincount(self.groups.of[at], x * x, len(self.groups.w))
            value += float(self.groups.w.astype(np.float64) @ np.sqrt(squares))
        return value

    def violation(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Distance of the pull ``v`` of each coefficient (or group) from its subdifferential at ``x``."""
        at_x = np.abs(v - self.w * np.sign(x))
        if self.groups is None:
            at_zero = np.abs(v) - self.w
            away = np.where(x == 0, np.maximum(at_zero, 0), at_x)
            if math.isfinite(self.high):
                away = np.where(x >= self.high, np.maximum(self.w * np.sign(x - (x == 0)) - v, 0), away)
            if math.isfinite(self.low):
                away = np.where(x <= self.low, np.maximum(v - self.w * np.sign(x + (x == 0)), 0), away)
            return np.asarray(away)
        g = self.groups
        count = len(g.w)
        sizes = np.sqrt(np.bincount(g.of, x * x, count))
        used = (sizes > 0)[g.of]
        radial = g.w[g.of] * x / np.where(used, sizes[g.of], 1)
        rest = v - radial
        at_x = np.where(x != 0, np.abs(rest - self.w * np.sign(x)), np.maximum(np.abs(rest) - self.w, 0))
        thresholded = np.maximum(np.abs(v) - self.w, 0)
        inside = np.sqrt(np.bincount(g.of, np.where(used, at_x, thresholded) ** 2, count))
        away = np.where(sizes > 0, inside, np.maximum(inside - g.w, 0))
        return np.asarray(away, x.dtype)


def penalty_of(simple: Functional, like: np.ndarray) -> Penalty | str:
    """The simple part of a problem as a `Penalty`, or the reason why it is none."""
    size, dtype = like.size, like.dtype

    def spread(value: Any) -> np.ndarray:
        full = np.empty(like.shape, dtype)
        full[...] = value
        return full.reshape(-1)

    zero = np.zeros(size, dtype)
    if isinstance(simple, PlusQuadratic):
        inner = penalty_of(simple.f, like)
        if isinstance(inner, str):
            return inner
        if inner.groups is not None:
            return "a quadratic penalty joined with groups"
        a, q = inner.a + spread(simple.a), inner.q + spread(simple.r)
        return Penalty(inner.w, a, q, inner.low, inner.high, constant=simple.constant)
    if isinstance(simple, BoundedL1):
        c, l1 = peel(simple.l1)
        assert isinstance(l1, L1)
        return Penalty(spread(c * l1._w(like)), zero, zero, simple.box.low, simple.box.high)
    c, f = peel(simple)
    if isinstance(f, L1):
        return Penalty(spread(c * f._w(like)), zero, zero)
    if isinstance(f, ElasticNet):
        first, second = f._weights
        return Penalty(spread(c * first), spread(c * second), zero)
    if isinstance(f, (Box, NonNegative)):
        low, high = (f.low, f.high) if isinstance(f, Box) else (0.0, math.inf)
        return Penalty(zero, zero, zero, low, high)
    if isinstance(f, (GroupL2, SparseGroup)):
        return _grouped(c, f, like)
    return f"{simple} is no L1, elastic net, group or box penalty"


def _grouped(c: float, f: GroupL2 | SparseGroup, like: np.ndarray) -> Penalty | str:
    numbers = f._numbers(like)
    count = f._layout[2]
    if bool(np.any(numbers == count)):
        return f"{f} leaves entries in no group"
    order = np.argsort(numbers, kind="stable").astype(np.int64)
    first = np.searchsorted(numbers[order], np.arange(count + 1)).astype(np.int64)
    zero = np.zeros(like.size, like.dtype)
    weights = np.empty(count, like.dtype)
    weights[...] = f._radii(weights)
    l1 = zero
    if isinstance(f, SparseGroup):
        l1 = zero + like.dtype.type(c * f.l1_weight)
    return Penalty(l1, zero, zero, groups=Groups(order, first, like.dtype.type(c) * weights, numbers))
