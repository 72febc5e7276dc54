r"""The smallest weight of a penalty at which zero is a solution.

For :math:`h(x) + w\,f(x)` with a smooth ``h`` and a convex ``f`` of least value :math:`f(0) = 0`, zero is a
solution as soon as :math:`-\nabla h(0) / w` is a subgradient of ``f`` at zero, which is where the conjugate
of ``f`` vanishes. Under the constraint :math:`x \ge 0` the negative entries of :math:`-\nabla h(0)` count
as zero.
"""

from __future__ import annotations

import math

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.indicators import Box, NonNegative
from wellposed.functionals.objective import Objective
from wellposed.solvers.selection_data import data_term, shape_of, weighted_term
from wellposed.solvers.selection_range import largest_weight, polar


def zero_weight(objective: Objective, name: str) -> float:
    """The least value of the parameter ``name`` at which zero is a solution.

    Behind an operator (total variation of an image) it is a bound of the value at which the penalty leaves
    only the trivial solution, as in `choose`.

    Raises
    ------
    ValueError
        If the parameter does not multiply one penalty, or the value is zero or infinite or not known.
    """
    weighted = weighted_term(objective, name)
    if weighted is None:
        raise ValueError(f"{name} does not multiply one regulariser: give values")
    like = arrays.zeros(shape_of(objective), objective.data[0], arrays.real_dtype(objective.data[0]))
    f, K = weighted.term.factor(tuple(like.shape))
    if K is None and f.traits.conjugate and f.traits.convex and not f.traits.smooth:
        others = [t for t in objective.terms if all(p.name != name for p in t.parameters)]
        weight = polar(f, _pull(others, like))
    else:
        weight = largest_weight(objective, data_term(objective), weighted)
    if weight == 0:
        raise ValueError(
            f"the solution is zero at every {name} (are the data constant or zero?): give values"
        )
    if not math.isfinite(weight):
        raise ValueError(f"no {name} makes the solution zero: give values")
    return weight


def _pull(others: list[Functional], zero: Array) -> Array:
    """Minus the gradient at zero of all other terms, where constraints leave room."""
    pull, room = zero, False
    for term in others:
        f = peel(term)[1]
        if isinstance(f, NonNegative) or (isinstance(f, Box) and f.low == 0):
            room = True
        elif term.traits.smooth:
            pull = pull - term.gradient(zero)
        elif not (isinstance(f, Box) and f.low < 0 < f.high):
            raise ValueError(f"the largest weight is not known next to {f}: give values")
    return arrays.namespace(pull).clip(pull, 0.0, None) if room else pull
