r"""The inner problem of `metric`: a quadratic model plus total variation plus something simple.

.. math:: \min_x \langle g, x - z\rangle + \tfrac12 \langle x - z, B (x - z)\rangle + \varphi(D x) + G(x)

by over-relaxed ADMM with the splits ``u = D x`` (penalty ``r1``) and ``v = x`` (penalty ``r2``), where
``B`` and ``D* D`` are diagonal in the basis of the cosine transform. `split_tv` states the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from wellposed.arrays import Array
from wellposed.functionals.calculus import Zero
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.operators._fft import filter_cosines
from wellposed.operators.calculus import laplacian_symbol
from wellposed.solvers.problem import Problem
from wellposed.solvers.tv_form import TVForm

RELAXATION = 1.8


@dataclass
class Split:
    """What the inner ADMM keeps from one outer iteration to the next."""

    y: Array  # p - a u of the last step
    s: Array  # t - a v of the last step
    force: Array  # r1 (2 u - p - D z)
    push: Array  # r2 (2 v - t - z)
    v: Array  # the clipped image
    z: Array  # the point that force and push refer to


@dataclass(frozen=True)
class Inner:
    """ADMM for the inner problem, with fixed penalties.

    Parameters
    ----------
    problem : Problem
    form : TVForm
    symbol : array
        Eigenvalues of ``B`` before its factor ``c``.
    r1, r2 : float
        Penalties; ``r2`` is 0 where there is no constraint.
    steps : int
    """

    problem: Problem
    form: TVForm
    symbol: Array
    r1: float
    r2: float
    steps: int

    @cached_property
    def _waves(self) -> Array:
        shape = self.problem.shape
        return laplacian_symbol(shape, tuple(range(len(shape)))).astype(self.symbol.dtype)

    @cached_property
    def _interval(self) -> tuple[float, float] | None:
        """Bounds of ``G`` where it is nothing else."""
        G = self.problem.simple
        if isinstance(G, Zero):
            return -math.inf, math.inf
        if isinstance(G, NonNegative):
            return 0.0, math.inf
        return (G.low, G.high) if isinstance(G, Box) else None

    @cached_property
    def _radius(self) -> Array | None:
        """Per-pixel weight of the norm where the fused loops apply."""
        return None if self._interval is None else self.form.plane_radius(self.symbol.dtype)

    def start(self, x: Array, q: Array | None) -> Split:
        """Splits that agree with ``x`` and the dual variable ``q``."""
        u = self.form.gradient(x)
        q = np.zeros_like(u) if q is None else q
        a = RELAXATION
        zero = np.zeros_like(x)
        return Split((1 - a) * u + q / x.dtype.type(self.r1), (1 - a) * x, -q, zero, x, x)

    def solve(self, split: Split, z: Array, gradient: Array, c: float) -> Array:
        """The approximate minimiser for the gradient at ``z`` and the metric ``c B``; updates ``split``."""
        inverse = 1 / (c * self.symbol + self.r1 * self._waves + self.r2)
        moved = split.z - z
        constant = -gradient
        if moved.any():
            D = self.form.gradient
            constant = constant + self.r1 * D.apply_adjoint(D(moved)) + self.r2 * moved
        # A fresh set of arrays, written by the steps below: earlier states may be kept by the caller.
        new = Split(split.y.copy(), split.s.copy(), split.force.copy(), split.push.copy(), split.v.copy(), z)
        right = np.empty_like(z)
        for k in range(self.steps):
            self._gather(constant, new, right)
            d = filter_cosines(right, inverse, overwrite=True)
            self._split(z, d, new)
            if k == 0:
                constant = -gradient
        split.__dict__.update(new.__dict__)
        return new.v if self.r2 > 0 else z + d

    def duals(self, split: Split) -> tuple[Array, Array]:
        """The dual variables of ``u = D x`` and ``v = x``."""
        a = RELAXATION
        Dz = self.form.gradient(split.z)
        u = ((split.force / self.r1 + Dz) + split.y) / (2 - a)
        q = self.r1 * (split.y + (a - 1) * u)
        m = self.r2 * (split.s + (a - 1) * split.v)
        return q.astype(split.y.dtype), m.astype(split.y.dtype)

    def _gather(self, constant: Array, split: Split, out: Array) -> None:
        if self._radius is not None:
            from wellposed.kernels import split_tv

            split_tv.gather(constant, split.force, split.push, out)
        else:
            out[...] = constant + split.push + self.form.gradient.apply_adjoint(split.force)

    def _split(self, z: Array, d: Array, split: Split) -> None:
        if self._radius is not None and self._interval is not None:
            from wellposed.kernels import split_tv

            low, high = self._interval
            buffers = (split.y, split.s, split.force, split.push, split.v)
            split_tv.split(
                z,
                d,
                self._radius,
                *buffers,
                RELAXATION,
                self.r1,
                self.r2,
                low,
                high,
                int(self.form.isotropic),
            )
            return
        D, a = self.form.gradient, RELAXATION
        Dz = D(z)
        p = a * (Dz + D(d)) + split.y
        u = self.form.tv.f.prox(p, 1 / self.r1)
        split.y, split.force = p - a * u, self.r1 * (2 * u - p - Dz)
        if self.r2 > 0:
            t = a * (z + d) + split.s
            split.v = self.problem.simple.prox(t, 1 / self.r2)
            split.s, split.push = t - a * split.v, self.r2 * (2 * split.v - t - z)
