r"""The equations :math:`(A^* W A + L^* C L + \eta) z = r` of a data fit and a prior, with diagonal ``C``.

They are solved by conjugate gradients preconditioned by the diagonal of the matrix: that of
:math:`L^* C L` exactly, that of :math:`A^* W A` by its mean. Pixels that hang on the graph of a Laplacian
by small weights only have tiny entries there, and would need very many steps without it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators.graph import GraphLaplacian
from wellposed.operators.periodic import PeriodicGradient
from wellposed.solvers.problem import Problem, Term

PROBE_SEED = 0
"""Of the signs that find the mean of a diagonal."""


def prior_diagonal(K: GraphLaplacian | PeriodicGradient, curvature: Array) -> Array:
    """The diagonal of ``K* C K``.

    Parameters
    ----------
    K : GraphLaplacian or PeriodicGradient
    curvature : array
        The diagonal of ``C``.
    """
    return K.gram_diagonal(curvature)


def data_mean(data: Term, problem: Problem) -> float:
    """The mean of the diagonal of ``A* W A``, about, by one product with random signs."""
    signs = np.random.default_rng(PROBE_SEED).choice((-1.0, 1.0), problem.shape)
    probe = arrays.from_host(signs.astype(np.float32), problem.like)
    image = data.forward(arrays.namespace(probe).astype(probe, problem.like.dtype))
    return max(arrays.inner(image, data.f.hessian_product(image, image)) / math.prod(problem.shape), 0.0)


@dataclass(frozen=True)
class NormalEquations:
    """The matrix and its preconditioner.

    Parameters
    ----------
    data, prior : Term
    curvature : array or float
        The diagonal of ``C``.
    shift : float
        The number ``eta``.
    diagonal : array or float
        Of the matrix, about; positive.
    """

    data: Term
    prior: Term
    curvature: Any
    shift: float
    diagonal: Any

    def product(self, x: Array) -> Array:
        """The matrix times ``x``."""
        image = self.data.forward(x)
        curved = self.data.backward(self.data.f.hessian_product(image, image))
        curved = curved + self.prior.backward(self.curvature * self.prior.forward(x))
        return curved if self.shift == 0.0 else curved + self.shift * x


@dataclass
class ConjugateGradients:
    """Preconditioned conjugate gradients on their way from 0 to the solution for a right-hand side.

    Parameters
    ----------
    equations : NormalEquations
    residual : array
        What is left of the right-hand side.
    free : array, optional
        1 where the solution may differ from 0, else 0; the right-hand side is 0 there.
    """

    equations: NormalEquations
    residual: Array
    free: Array | None = None

    def __post_init__(self) -> None:
        self.solution = 0.0 * self.residual
        self._direction = self._scaled()
        self._rz = self.first = arrays.inner(self.residual, self._direction)
        self.steps = 0

    @property
    def left(self) -> float:
        """What is left of the residual, in the norm of the preconditioner, over its first value."""
        return math.sqrt(max(self._rz, 0.0) / self.first) if self.first > 0 else 0.0

    def _scaled(self) -> Array:
        return self.residual / self.equations.diagonal

    def advance(self, steps: int, goal: float) -> bool:
        """Take steps until `left` is at most ``goal``; whether rounding leaves a way on."""
        for _ in range(steps):
            if self.left <= goal:
                break
            p = self._direction
            q = self.equations.product(p)
            q = q if self.free is None else self.free * q
            curvature = arrays.inner(p, q)
            if not curvature > 0.0:
                return False
            alpha = self._rz / curvature
            self.solution = self.solution + alpha * p
            self.residual = self.residual - alpha * q
            z = self._scaled()
            before, self._rz = self._rz, arrays.inner(self.residual, z)
            self._direction = z + (self._rz / before) * p
            self.steps += 1
        return True
