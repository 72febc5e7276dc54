"""Total generalised variation of second order."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.norms import L21
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.operators._base import LinearOperator
from wellposed.operators.algebra import Part
from wellposed.operators.calculus import Gradient, SymmetrisedGradient

VALUE_TOLERANCE = 1e-4
VALUE_ITERATIONS = 20_000
CHECK_EVERY = 50
RELAXATION = 1.9


@dataclass(frozen=True, eq=False)
class Lifted:
    """A functional written as the minimum over extra variables of a sum ``f(K z)``.

    Parameters
    ----------
    shapes : tuple of shapes
        Of the variable ``x`` and of the extra variables; ``z`` holds them all, flat, end to end.
    terms : tuple of (Functional, LinearOperator)
        The sum; every operator takes ``z``.
    norm : float
        Upper bound of the norm of all the operators stacked, often below the root of the sum of squares.
    balance : callable
        Takes one dual variable ``y_i`` for each term and gives them back changed, so that the sum of
        ``K_i* y_i`` is 0 on the extra variables: what a feasible dual point needs, before it is scaled into
        the domains of the conjugates.
    """

    shapes: tuple[Shape, ...]
    terms: tuple[tuple[Functional, LinearOperator], ...]
    norm: float
    balance: Callable[[tuple[Array, ...]], tuple[Array, ...]]


@dataclass(frozen=True, eq=False)
class TotalGeneralizedVariation(Functional):
    r"""Total generalised variation of second order, which favours piecewise linear images.

    .. math:: \mathrm{TGV}(x) = \min_v\; \alpha_1 \|D x - v\|_{2,1} + \alpha_0 \|E v\|_{2,1}

    with the forward difference ``D`` (`Gradient`), the symmetrised backward difference ``E``
    (`SymmetrisedGradient`), and norms that are Euclidean for each pixel and summed over pixels.

    Parameters
    ----------
    alpha0 : float or Parameter
        Weight of the second order, positive; usually ``2 * alpha1``.
    alpha1 : float or Parameter
        Weight of the first order, positive.

    Raises
    ------
    ValueError
        If a weight is not positive.

    Notes
    -----
    Solvers minimise over ``v`` together with ``x`` (see `auxiliary`). Asked for its value alone, the
    functional minimises over ``v`` to a relative duality gap of 1e-4, by an over-relaxed
    primal-dual iteration of up to 20000 steps; the value is an upper bound. It warns, with
    the gap that was reached, if that is not enough.
    Source: K. Bredies, K. Kunisch and T. Pock, Total generalized variation, 2010.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> ramp = np.arange(5.0)
    >>> bool(wp.TotalGeneralizedVariation(2.0, 1.0)(ramp) <= wp.TotalVariation()(ramp))
    True
    """

    alpha0: float | Parameter
    alpha1: float | Parameter

    def __post_init__(self) -> None:
        positive(self.alpha0, "alpha0 of TotalGeneralizedVariation")
        positive(self.alpha1, "alpha1 of TotalGeneralizedVariation")

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True, prox=False, conjugate=False)

    def auxiliary(self, shape: Shape) -> Lifted:
        """This functional on images of ``shape`` as a minimum over a field ``v``, ``(ndim, *shape)``."""
        shapes = (tuple(shape), (len(shape), *shape))
        D, E = Gradient(shape), SymmetrisedGradient(shape)
        first = (self.alpha1 * L21((0,)), _DifferenceMinusField(shapes, D))
        second = (self.alpha0 * L21((0, 1)), E @ Part(shapes, 1))
        # The norm of [[D, -I], [0, E]] is at most that of [[d, 1], [0, d]] with d >= the norms of D and E.
        d = max(D.norm(), E.norm())
        norm = math.sqrt(d**2 + 0.5 + math.sqrt(d**2 + 0.25))
        # On the field, the adjoints of the terms are -p and E* q.
        return Lifted(shapes, (first, second), norm, lambda y: (E.apply_adjoint(y[1]), y[1]))

    def __call__(self, x: Array) -> float:
        shape = tuple(x.shape)
        weights = float(current(self.alpha0)), float(current(self.alpha1))
        value, gap = _minimise_field(Gradient(shape)(x), SymmetrisedGradient(shape), *weights)
        if gap > VALUE_TOLERANCE * value and value > 0:
            warnings.warn(
                f"the value {value:g} of {self} is known to a relative gap of {gap / value:.1e} only, "
                f"not {VALUE_TOLERANCE:.0e}, after {VALUE_ITERATIONS} steps",
                RuntimeWarning,
                stacklevel=2,
            )
        return value

    def __str__(self) -> str:
        return "TotalGeneralizedVariation"


class _DifferenceMinusField(LinearOperator):
    """``(x, v) -> D x - v`` on the joined array; its squared norm is that of ``D`` plus 1."""

    def __init__(self, shapes: tuple[Shape, ...], D: Gradient):
        self.D = D
        self.image, self.field = Part(shapes, 0), Part(shapes, 1)
        super().__init__(self.image.domain_shape, D.range_shape)

    def _apply(self, x: Array, out: Array) -> None:
        self.D(self.image(x), out)
        out -= self.field(x)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.field.apply_adjoint(-y, out)
        out[self.image.span] = arrays.namespace(y).reshape(self.D.apply_adjoint(y), (-1,))

    def _norm(self) -> float:
        return math.hypot(self.D.norm(), 1.0)


def _minimise_field(g: Array, E: LinearOperator, alpha0: float, alpha1: float) -> tuple[float, float]:
    r"""Minimum over ``v`` of ``alpha1 |g - v| + alpha0 |E v|``, as an upper bound and its duality gap.

    The dual problem is to maximise :math:`\langle E^* q, g\rangle` with :math:`|q| \le \alpha_0` and
    :math:`|E^* q| \le \alpha_1`; a dual point is made feasible by scaling.
    """
    fit, penalty = alpha1 * L21((0,)), alpha0 * L21((0, 1))
    best, bound = min(fit(g), penalty(E(g))), 0.0
    v, q = g, arrays.zeros(E.range_shape, g)
    if best == 0.0:
        return 0.0, 0.0
    # Primal and dual steps in the ratio of the sizes of their variables.
    typical = arrays.norm(g) / math.sqrt(math.prod(g.shape))
    tau = typical / E.norm() / max(alpha0, alpha1)
    sigma = 0.99 / (tau * E.norm() ** 2)
    for step in range(1, VALUE_ITERATIONS + 1):
        moved = v - tau * E.apply_adjoint(q)
        new_v = g + fit.prox(moved - g, tau)
        new_q = penalty.project_dual(q + sigma * E(2 * new_v - v))
        v = v + RELAXATION * (new_v - v)
        q = q + RELAXATION * (new_q - q)
        if step % CHECK_EVERY == 0:
            best = min(best, fit(g - new_v) + penalty(E(new_v)))
            y = E.apply_adjoint(new_q)
            bound = max(bound, fit.dual_scale(y) * arrays.inner(y, g))
            if best - bound <= VALUE_TOLERANCE * best:
                break
    return best, max(best - bound, 0.0)
