r"""Feasible dual points for a smooth loss and a norm of differences along the edges of a graph.

For :math:`f(A x) + \varphi(D x) + G(x)`, with a smooth loss whose conjugate is known, the dual constraint
:math:`A^* p + D^* q + m = 0` fails at an iterate by a residual ``r``. Where each row of ``D`` is a
difference of two entries, as in fused penalties and graph total variation, the edges on which ``q`` is inside
its ball join the entries to groups, with the indicators ``N``:

1. :math:`p \leftarrow p - W A N (N^* A^* W A N)^{-1} N^* r`, with ``W`` the Hessian of the loss at the
   iterate, is Newton's step for one number per group. It leaves residuals that add up to 0 in each group.
2. :math:`q \leftarrow q - D_0 (D_0^* D_0)^+ r` along the edges ``D_0`` inside the groups takes up these.

Edges at the border of their balls are left alone, entries of ``p`` next to the border of the domain of
:math:`f^*` move little, and those of a free intercept stay balanced. For any other matrix ``D`` one system
spreads the residual,

.. math:: (A^* W A + c D^* D)\, z = r, \qquad p \leftarrow p - W A z, \qquad q \leftarrow q - c D z.

In the end all is scaled back into the balls. This runs in double precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import peel
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient
from wellposed.operators.matrices import DenseMatrix, SparseMatrix
from wellposed.solvers.frame_repair import NOISE, Duals, conjugate_gradients, curved, units_of
from wellposed.solvers.problem import Problem, Term, found_once

if TYPE_CHECKING:
    # SciPy's sparse matrices are loaded where there is a graph.
    import scipy.sparse

GROUP_STEPS = 200
"""Conjugate gradients at most for the numbers of the groups."""

BALANCE = 0.1
"""``c ||D||^2`` over ``||A* W A||``, about."""

FAR = 100.0
"""A residual that may cost so many times the gap wanted is balanced on whole components of the graph only."""

BORDER = 0.01
"""Points this share of their size from leaving the ball are at its border."""

SHIFT, REFINEMENTS = 1e-9, 3
"""Of the diagonal of a singular matrix when it is factorised, and how often its solution is refined."""


@dataclass(frozen=True)
class EdgeForm:
    """The loss and the norm, and where the loss stands among the terms."""

    data: Term
    norm: Term
    data_index: int

    def in_order(self, p: Array, q: Array) -> tuple[Array, Array]:
        """What belongs to loss and norm in the order of the problem's terms."""
        return (p, q) if self.data_index == 0 else (q, p)


def edge_form(problem: Problem) -> EdgeForm | None:
    """The parts of a problem of this form, in host memory."""
    if problem.image_part is not None or len(problem.terms) != 2 or type(problem.like) is not np.ndarray:
        return None
    for k, (data, norm) in enumerate((problem.terms, problem.terms[::-1])):
        known = data.f.traits.smooth and data.f.traits.conjugate and data.f.traits.convex
        if known and isinstance(norm.K, DenseMatrix | SparseMatrix | Gradient) and _is_norm(norm):
            return EdgeForm(data, norm, k)
    return None


def _is_norm(t: Term) -> bool:
    traits = t.f.traits
    return peel(t.f)[0] > 0 and traits.homogeneous and traits.conjugate and not traits.indicator


def onto_constraint(
    problem: Problem, form: EdgeForm, y: Duals, m: Array, x: Array, wanted: float
) -> Duals | None:
    """The dual point moved onto the constraint, not scaled; ``None`` where that could not be done.

    ``wanted`` is the gap that is wanted: a point far from it is not worth many steps.
    """
    p, q = (v.astype(np.float64) for v in form.in_order(*y))
    units = _found_units(problem)
    point = Point(form, form.data.f.project_dual(p), q, m.astype(np.float64), x.astype(np.float64), units)
    noise = NOISE * arrays.epsilon(problem.like)
    differences = _differences(form.norm.K)
    moved = point.spread(noise) if differences is None else point.by_groups(differences, noise, wanted)
    if moved is None:
        return None
    return tuple(v.astype(old.dtype) for v, old in zip(form.in_order(*moved), y, strict=True))


@found_once
def _found_units(problem: Problem) -> np.ndarray:
    form = edge_form(problem)
    assert form is not None
    return units_of((form.data,), problem.shape)


@dataclass(frozen=True)
class Point:
    """A dual point, the rest ``m`` of its constraint, and the primal point beside it.

    ``units`` are those in which an entry of the constraint is measured: one over the lengths of the columns
    of the loss.
    """

    form: EdgeForm
    p: Array
    q: Array
    m: Array
    x: Array
    units: np.ndarray

    @property
    def _weigh(self) -> Callable[[Array], Array]:
        return curved(self.form.data, self.x)

    def _residual(self) -> tuple[Array, float]:
        """What is missing from the constraint, and the size of its parts in `units`."""
        first, second = self.form.data.backward(self.p), self.form.norm.backward(self.q)
        size = arrays.norm(self.units * first) + arrays.norm(self.units * second)
        return first + second + self.m, size

    def by_groups(self, D: scipy.sparse.csr_array, noise: float, wanted: float) -> tuple[Array, Array] | None:
        """The steps (1) and (2), on the finest groups that allow them; on the coarsest if far away."""
        from scipy.sparse.csgraph import connected_components

        residual, size = self._residual()
        inside = ~self._border().reshape(-1)
        near = arrays.norm(residual) * arrays.norm(self.x) <= FAR * wanted
        for kept in (inside, np.ones_like(inside)) if near else (np.ones_like(inside),):
            free = D[np.flatnonzero(kept)]
            groups = connected_components(abs(free).T @ abs(free), directed=False)[1]
            step, solved = self._newton(groups, residual, noise * size)
            if solved:
                q = np.zeros(len(inside))
                rest = (residual - self.form.data.backward(step)).reshape(-1)
                q[kept] = free @ _solve(free, rest)
                return self.p - step, self.q - q.reshape(self.q.shape)
        return None

    def _newton(self, groups: np.ndarray, residual: Array, noise: float) -> tuple[Array, bool]:
        """The step of ``p`` that balances each group."""
        data, weigh = self.form.data, self._weigh

        units = 1 / np.sqrt(np.bincount(groups, self.units.reshape(-1) ** -2.0))

        def spread(z: np.ndarray) -> Array:
            return (units * z)[groups].reshape(residual.shape)

        def gathered(r: Array) -> np.ndarray:
            return np.asarray(units * np.bincount(groups, r.reshape(-1)))

        z, solved = conjugate_gradients(
            lambda z: gathered(data.backward(weigh(data.forward(spread(z))))),
            gathered(residual),
            noise,
            GROUP_STEPS,
        )
        return weigh(data.forward(spread(z))), solved

    def spread(self, noise: float) -> tuple[Array, Array] | None:
        """The residual over both parts at once, for any matrix."""
        data, norm, weigh = self.form.data, self.form.norm, self._weigh
        residual, size = self._residual()
        pulled = norm.backward(self.q)
        both, length = arrays.norm(data.backward(weigh(data.forward(pulled)))), arrays.norm(pulled)
        c = BALANCE * (both / length if both > 0 and length > 0 else 1.0) / norm.norm**2

        def push(z: Array) -> tuple[Array, Array]:
            z = self.units * z
            return weigh(data.forward(z)), c * norm.forward(z)

        def product(z: Array) -> Array:
            steps = push(z)
            return self.units * (data.backward(steps[0]) + norm.backward(steps[1]))

        z, solved = conjugate_gradients(product, self.units * residual, noise * size)
        steps = push(z)
        return (self.p - steps[0], self.q - steps[1]) if solved else None

    def _border(self) -> Array:
        """Where ``q`` is at the border of its ball."""
        beyond = (1 + BORDER) * self.q
        return np.abs(self.form.norm.f.project_dual(beyond) - beyond) > 0.5 * BORDER**2 * np.abs(self.q)


def _differences(K: LinearOperator | None) -> scipy.sparse.csr_array | None:
    """The matrix of an operator, if each row is a multiple of a difference of two entries, or 0."""
    if isinstance(K, Gradient):
        return _gradient_matrix(K)
    import scipy.sparse

    assert isinstance(K, DenseMatrix | SparseMatrix)
    D = scipy.sparse.csr_array(K.matrix, dtype=np.float64)
    ones, sizes = D @ np.ones(D.shape[1]), abs(D) @ np.ones(D.shape[1])
    balanced = np.all(np.abs(ones) <= NOISE * np.finfo(K.matrix.dtype).eps * sizes)
    return D if balanced and int(np.diff(D.indptr).max(initial=0)) <= 2 else None


def _gradient_matrix(K: Gradient) -> scipy.sparse.csr_array:
    import scipy.sparse

    index = np.arange(K.shape[1]).reshape(K.domain_shape)
    blocks = []
    for axis in K.axes:
        here, there = (
            np.moveaxis(index, axis, 0)[:-1].reshape(-1),
            np.moveaxis(index, axis, 0)[1:].reshape(-1),
        )
        values = np.concatenate([-np.ones(len(here)), np.ones(len(here))])
        places = np.concatenate([here, here]), np.concatenate([here, there])
        blocks.append(scipy.sparse.coo_array((values, places), shape=(index.size, index.size)))
    return scipy.sparse.csr_array(scipy.sparse.vstack(blocks))


def _solve(D: scipy.sparse.csr_array, r: np.ndarray) -> np.ndarray:
    """A solution of ``D* D z = r``, where there is one."""
    import scipy.sparse
    from scipy.sparse.linalg import splu

    laplacian = scipy.sparse.csc_array(D.T @ D)
    diagonal = laplacian.diagonal()
    # To a diagonal of ones, so that parts with small weights are solved as well as the others.
    roots = scipy.sparse.diags_array(1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0)), format="csc")
    laplacian, r = scipy.sparse.csc_array(roots @ laplacian @ roots), roots @ r
    factors = splu(laplacian + SHIFT * scipy.sparse.eye_array(laplacian.shape[0], format="csc"))
    z = factors.solve(r)
    for _ in range(REFINEMENTS):
        z = z + factors.solve(r - laplacian @ z)
    return np.asarray(roots @ z)
