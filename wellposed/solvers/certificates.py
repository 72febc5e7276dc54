r"""Certificates: how far a point is from the minimum, proven from the point and a dual alone.

For :math:`F(x) = G(x) + \sum_i f_i(K_i x)` every choice of dual variables gives the bound

.. math:: \min F \;\ge\; -\sum_i f_i^*(y_i) - G^*\Big(-\sum_i K_i^* y_i\Big).

Here the dual variables are first brought into the domains of the ``f_i*``. Where
:math:`G^*` is infinite at the result, the dual point is repaired as `repair` documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers.problem import Problem, Term, canonical
from wellposed.solvers.repair import repaired_bound
from wellposed.solvers.result import Certificate, Result

Duals = tuple[Array | None, ...]


@dataclass(frozen=True)
class Proof:
    """A certificate with the dual point it rests on, which may be written out only when asked for."""

    certificate: Certificate
    point: tuple[Array, ...] | Callable[[], tuple[Array, ...]]

    @property
    def lazy(self) -> bool:
        """Whether writing out the dual point costs something."""
        return callable(self.point)

    @property
    def dual(self) -> tuple[Array, ...]:
        """The dual point."""
        return self.point() if callable(self.point) else self.point


def certify(
    problem: Problem, x: Array, objective: float, dual: Duals | None, tol: float = 1e-6
) -> Proof | None:
    """The best certificate for ``x`` that a dual point gives, or ``None`` where there is no bound.

    ``tol`` says which relative gap is worth an effort.
    """
    if not problem.convex:
        return None
    scale = max(abs(objective), problem.scale_floor)
    if has_gap(problem):
        y = tuple(_dual_of(t, x, given) for t, given in zip(problem.terms, _each(problem, dual), strict=True))
        if all(v is not None for v in y):
            lower, note, y = lower_bound(problem, objective, y, tol * scale, x=x)
            gap = max(objective - lower, 0.0)
            return Proof(Certificate("duality gap", gap, scale, objective, lower, note), y)
    mu = strong_convexity(problem)
    if mu > 0 and all(f.traits.smooth for f in (problem.simple, *(t.f for t in problem.terms))):
        gradient = problem.simple.gradient(x)
        for t in problem.terms:
            gradient = gradient + t.backward(t.f.gradient(t.forward(x)))
        value = arrays.inner(gradient, gradient) / (2 * mu)
        return Proof(
            Certificate("strong convexity", value, scale, objective, objective - value, f"mu = {mu:g}"), ()
        )
    return None


def has_gap(problem: Problem) -> bool:
    """Whether all conjugates are known, so that a duality gap can be computed."""
    return (
        problem.convex
        and problem.simple.traits.conjugate
        and all(t.f.traits.conjugate for t in problem.terms)
    )


def strong_convexity(problem: Problem) -> float:
    """A modulus of strong convexity of the whole objective that is known without computation."""
    return problem.simple.traits.strong_convexity + sum(
        t.f.traits.strong_convexity for t in problem.terms if t.K is None
    )


def lower_bound(
    problem: Problem,
    objective: float,
    y: tuple[Array, ...],
    wanted: float,
    w: Array | None = None,
    x: Array | None = None,
) -> tuple[float, str, tuple[Array, ...]]:
    """The dual value at ``y``, which is in the conjugates' domains; a note; the feasible point taken.

    ``w`` is minus the sum of ``K_i* y_i``, where that is known; ``x`` the primal point.
    """
    G = problem.simple
    w = _residual(problem, y) if w is None else w
    value = G._conjugate(w)
    if math.isfinite(value):
        return -_conjugates(problem.terms, y) - value, "", y
    scale = G.dual_scale(w)
    if scale > 0:
        scaled = tuple(scale * v for v in y)
        value = G._conjugate(scale * w)
        if math.isfinite(value):
            return -_conjugates(problem.terms, scaled) - value, f"dual point scaled by {scale:.6g}", scaled
    return repaired_bound(problem, objective, y, w, wanted, x)


def _residual(problem: Problem, y: tuple[Array, ...]) -> Array:
    """Minus the sum of ``K_i* y_i``: where the conjugate of ``G`` is taken."""
    w = problem.zeros()
    for t, v in zip(problem.terms, y, strict=True):
        w = w - t.backward(v)
    return w


def _conjugates(terms: tuple[Term, ...], y: tuple[Array, ...]) -> float:
    values = [t.f._conjugate(v) for t, v in zip(terms, y, strict=True)]
    return math.inf if math.inf in values else math.fsum(values)


def _each(problem: Problem, dual: Duals | None) -> Duals:
    return (None,) * len(problem.terms) if dual is None else dual


def _dual_of(term: Term, x: Array, given: Array | None) -> Array | None:
    if given is None:
        if not term.f.traits.smooth:
            return None
        given = term.f.gradient(term.forward(x))
    return term.f.project_dual(given)


def verify(objective: Functional, result: Result) -> Certificate:
    """Recompute the certificate of a result from the data, ``x`` and the dual variables alone.

    Nothing that the solver reported is used: not its objective, not its gap, not its status.

    Parameters
    ----------
    objective : Functional
        What was minimised.
    result : Result
        Only ``x`` (with its auxiliary fields, if any) and ``dual`` are read.

    Returns
    -------
    Certificate
        Of the same kind as that of the solver; its ``value`` bounds the true error where
        ``is_bound`` says so.

    Raises
    ------
    ValueError
        If ``x`` or the dual variables do not have the shapes of this objective, or are not finite.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> objective = wp.LeastSquares(None, np.array([3.0, 0.2])) + 1.0 * wp.L1()
    >>> wp.verify(objective, wp.minimize(objective)).relative < 1e-3
    True
    """
    if not isinstance(result, Result):
        raise TypeError(
            f"verify takes the Result of minimize, got {type(result).__name__}"
            " (wellposed.transport has verify for its plans, and verify_inverse)"
        )
    problem = canonical(objective, result.x)
    variable = result.x if problem.image_part is None or result.variable is None else result.variable
    if tuple(variable.shape) != problem.shape:
        raise ValueError(f"the result has shape {tuple(variable.shape)}, the objective takes {problem.shape}")
    arrays.check_finite(variable, "the solution")
    if problem.image_part is not None and bool(
        arrays.namespace(variable).any(problem.extract(variable) != result.x)
    ):
        raise ValueError("x of the result is not the one inside its variable")
    _check_dual(problem, result.dual)
    value = problem.value(variable)
    proof = certify(problem, variable, value, result.dual or None)
    if proof is not None and math.isfinite(proof.certificate.value):
        return proof.certificate
    return Certificate(
        "fixed-point residual", math.inf, 1.0, value, note="no finite dual bound from this dual point"
    )


def _check_dual(problem: Problem, dual: Duals) -> None:
    if dual and len(dual) != len(problem.terms):
        raise ValueError(
            f"the result has {len(dual)} dual variables, the objective {len(problem.terms)} terms"
        )
    for t, y in zip(problem.terms, dual, strict=False):
        if y is None:
            continue
        if tuple(y.shape) != t.range_shape(problem.shape):
            raise ValueError(
                f"a dual variable has shape {tuple(y.shape)}, {t} needs {t.range_shape(problem.shape)}"
            )
        arrays.check_finite(y, "a dual variable")
