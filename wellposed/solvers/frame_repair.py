r"""Feasible dual points where weights of L1 are 0, and for a norm behind a tight frame ``W``, ``W* W = I``.

The dual constraint :math:`\sum_j K_j^* y_j + W^* q + m = 0` fails at an iterate by a residual ``r``. The
nearest ``q`` that meets it is :math:`q - W r`. Where coefficients have weight 0, as those of a low-pass band
often do, ``q`` must be 0 there; with ``S`` the others, the residual is spread over the quadratic terms too,

.. math:: \Big(\sum_j \alpha_j K_j^* K_j + \beta W^* S W\Big) z = r, \qquad
    y_j \leftarrow y_j - \alpha_j K_j z, \qquad q \leftarrow S (q - \beta W z),

by conjugate gradients in double precision, with :math:`\alpha_j = 1/\|K_j\|^2`.

Where L1 acts on the variable itself (synthesis, or a regression in which some coefficients are free),
:math:`\sum_j K_j^* y_j` must vanish at the entries of weight 0: with ``Z`` these and :math:`H_j`
the Hessian of a smooth term at the iterate, :math:`Z (\sum_j K_j^* H_j K_j) Z z = Z \sum_j K_j^* y_j` and
:math:`y_j \leftarrow y_j - H_j K_j z`, which is Newton's step. What is left is measured per unit of the
length of each column: a coefficient in large units, whose column is short, can make much of a small rest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape
from wellposed.functionals.calculus import peel
from wellposed.functionals.groups import Grouped
from wellposed.functionals.norms import L1
from wellposed.solvers.column_lengths import column_lengths
from wellposed.solvers.problem import Problem, Term, found_once

Duals = tuple[Array, ...]

BALANCE = 0.3
"""``beta``."""

MAX_STEPS = 500
ACCURACY = 1e-8
"""Norm of what is left of the residual, over the residual's own."""

NOISE = 64.0
"""Rounding errors, in units of the precision, that a residual may be made of."""

WORSE = 1e8
"""Conjugate gradients end when the squared residual has grown by this from its least."""


def onto_constraint(problem: Problem, y: Duals, m: Array, place: int) -> list[Array] | None:
    """The dual point, of which the part at ``place`` belongs to the frame, moved onto the constraint.

    ``None`` where the system could not be solved.
    """
    frame = problem.terms[place]
    kept = penalised(frame.f, y[place])
    if kept is None:
        moved = list(y)
        moved[place] = y[place] - frame.forward(m + _pulled(problem.terms, y))
        return moved
    dual = _double(y)
    only = arrays.as_namespace(kept, dual[place], "weights")
    dual[place] = dual[place] * only
    shares = [_share(t) for t in problem.terms]
    shares[place] = BALANCE

    def push(z: Array) -> list[Array]:
        """The steps of the dual variables along ``z``; ``None`` of those that stay."""
        steps = [
            share * t.forward(z) if share else None for t, share in zip(problem.terms, shares, strict=True)
        ]
        steps[place] = steps[place] * only
        return steps

    start = m + _pulled(problem.terms, dual)
    z, solved = conjugate_gradients(lambda z: _pulled(problem.terms, push(z)), start)
    return _moved(y, dual, push(z)) if solved else None


def without_free_entries(
    problem: Problem, y: Duals, x: Array | None
) -> tuple[tuple[Array, ...], Array] | None:
    """The dual point moved so that its pull vanishes where the simple part has weight 0, and minus its pull.

    ``None`` where the simple part has no such entries, or the system could not be solved.
    """
    kept = penalised(problem.simple, problem.like)
    if kept is None or x is None:
        return None
    xp, dual = arrays.namespace(problem.like), _double(y)
    at = xp.astype(x, xp.float64)
    start = _pulled(problem.terms, dual)
    only = arrays.as_namespace(kept, start, "weights") + 0.0 * start
    free = 1 - only
    weigh = [curved(t, at) if t.f.traits.smooth and t.f.traits.conjugate else None for t in problem.terms]

    def push(z: Array) -> list[Array | None]:
        return [None if h is None else h(t.forward(z)) for t, h in zip(problem.terms, weigh, strict=True)]

    # Per unit of the length of a column, in which no column is too short to count.
    units = _units(problem, start)
    noise = NOISE * arrays.epsilon(problem.like) * arrays.norm(units * start)
    units = units * free
    z, solved = conjugate_gradients(
        lambda z: units * _pulled(problem.terms, push(units * z)), units * start, noise
    )
    if not solved:
        return None
    z = units * z
    moved = tuple(_moved(y, dual, push(z)))
    return moved, -only * _pulled(problem.terms, moved)


def _units(problem: Problem, like: Array) -> Array:
    """Of each entry of the variable, in the kind of ``like``."""
    units = arrays.from_numpy(_found_units(problem), like)
    return arrays.namespace(like).astype(units, like.dtype)


@found_once
def _found_units(problem: Problem) -> np.ndarray:
    return units_of(problem.terms, problem.shape)


def units_of(terms: tuple[Term, ...], shape: Shape) -> np.ndarray:
    """One over the length of what each entry of the variable becomes in the terms."""
    squares = np.zeros(math.prod(shape))
    for t in terms:
        squares += 1.0 if t.K is None else column_lengths(t.K) ** 2
    lengths = np.sqrt(squares)
    # What is not seen at all is measured too, in some unit.
    largest = float(lengths.max(initial=0.0)) or 1.0
    return np.asarray(1 / np.where(lengths > 0, lengths, largest)).reshape(shape)


def curved(t: Term, x: Array) -> Callable[[Array], Array]:
    """The Hessian of a smooth term with respect to ``K x``, at ``x``."""
    at = t.forward(x)
    return lambda v: t.f.hessian_product(at, v) + 0.0 * v


def _pulled(terms: tuple[Term, ...], parts: Sequence[Array | None]) -> Array:
    """The sum of ``K_j* y_j`` over the parts that there are."""
    total: Any = 0.0
    for t, v in zip(terms, parts, strict=True):
        total = total if v is None else total + t.backward(v)
    return total


def _double(y: Duals) -> list[Array]:
    return [
        v if arrays.is_complex(v) else arrays.namespace(v).astype(v, arrays.namespace(v).float64) for v in y
    ]


def _moved(y: Duals, dual: list[Array], steps: Sequence[Array | None]) -> list[Array]:
    """The dual variables minus their steps, in the precision of ``y``."""
    moved = [v if step is None else v - step for v, step in zip(dual, steps, strict=True)]
    return [arrays.namespace(v).astype(v, old.dtype) for v, old in zip(moved, y, strict=True)]


def conjugate_gradients(
    apply: Callable[[Array], Array], r: Array, noise: float = 0.0, steps: int = MAX_STEPS
) -> tuple[Array, bool]:
    """The solution of a symmetric system, and whether it is accurate to `ACCURACY`, or to ``noise``.

    Noise in ``r`` along the kernel of the system cannot be reached: the best point on the way is taken.
    """
    x, z, left = r, 0.0 * r, arrays.inner(r, r)
    goal = ACCURACY**2 * left
    best, least = z, left
    for _ in range(steps):
        if left <= goal or left > WORSE * least:
            break
        image = apply(x)
        curvature = arrays.inner(x, image)
        if curvature <= 0.0:
            break
        step = left / curvature
        z, r = z + step * x, r - step * image
        left, before = arrays.inner(r, r), left
        x = r + (left / before) * x
        if left < least:
            best, least = z, left
    return best, least <= max(goal, noise**2)


def penalised(f: Functional, like: Array) -> Array | None:
    """1 for entries with a penalty and 0 for those without; ``None`` unless there are some of both.

    L1 gives entries the weight 0, a penalty of groups leaves entries out, or gives a group the weight 0.
    """
    norm = peel(f)[1]
    if not (isinstance(norm, Grouped) or (isinstance(norm, L1) and norm.weights is not None)):
        return None
    if not norm.traits.conjugate:
        return None
    xp = arrays.namespace(like)
    kept = norm.project_dual(xp.ones_like(like)) != 0
    return xp.astype(kept, like.dtype) if bool(xp.any(kept)) and not bool(xp.all(kept)) else None


def _share(t: Term) -> float:
    """``alpha``: quadratic terms can take up any residual, others are left as they are."""
    return t.norm**-2 if t.f.traits.quadratic and t.f.traits.conjugate and t.norm > 0 else 0.0
