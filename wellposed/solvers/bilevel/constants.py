r"""The constants of the error bound: how fast gradient and Hessian of the lower level move.

``J(x)`` is the derivative of the lower gradient with respect to the vector of parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import singledispatch
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape
from wellposed.functionals.calculus import Composed, Shifted, Weighted
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.parameter import Parameter, current
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.functionals.tv import SmoothedTotalVariation
from wellposed.solvers.bilevel.lower import Lower, LowerAt, _units
from wellposed.solvers.bilevel.vector import ParameterVector

ASSEMBLE_BELOW = 64
"""Entries of ``x`` up to which ``J`` is assembled row by row, unless its columns cost less."""

COLUMNS_BELOW = 16
"""Numbers to learn up to which ``J`` is assembled column by column."""

POWER_STEPS = 3
"""From the direction of the hypergradient."""


@dataclass(frozen=True)
class Constants:
    """Constants of the error bound; ``None`` where none is known.

    Parameters
    ----------
    strong_convexity : float
        ``mu`` of the lower level.
    loss_lipschitz : float
        ``L_g``, Lipschitz constant of the gradient of the loss.
    mixed_norm : float
        Spectral norm of ``J(x)``, or a number above it.
    mixed_lipschitz : float
        ``L_J``, Lipschitz constant of ``J`` in ``x``.
    hessian_lipschitz : float
        ``L_H``, Lipschitz constant of the Hessian of the lower level.
    estimated : tuple of str
        Names of those that were measured on the way and are no proven bounds.
    """

    strong_convexity: float
    loss_lipschitz: float
    mixed_norm: float
    mixed_lipschitz: float
    hessian_lipschitz: float
    estimated: tuple[str, ...] = ()

    @property
    def certified(self) -> bool:
        """Whether every constant is proven."""
        return not self.estimated


@dataclass(frozen=True)
class Given:
    """Constants that the caller knows; ``None`` leaves them to be derived."""

    loss_lipschitz: float | None = None
    mixed_norm: float | None = None
    mixed_lipschitz: float | None = None
    hessian_lipschitz: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is not None and not (number and 0 <= value < math.inf):
                raise ValueError(f"the constant {item.name} must be finite and at least 0, got {value!r}")


# --- ||J(x)|| ------------------------------------------------------------------------------------


def mixed_norm(
    lower: Lower, at: LowerAt, x: Array, vector: ParameterVector, t: np.ndarray, start: np.ndarray
) -> tuple[float, bool, int]:
    """A bound of the norm of ``J(x)`` on the scale of ``vector``, whether it is proven, and its cost.

    The cost is in gradients and products; ``start`` is where the power method begins, if it comes to that.

    A functional of yours may give its own norms as ``parameter_product_norms(x)``, one for each parameter.
    Small problems assemble ``J``. A weight gives the gradient of its functional as its column, a weight for
    each entry of ``x`` a diagonal block; other columns are differences of fourth order.
    """
    slopes = vector.slopes(t)
    if len(at.learned) == 1 and (own := getattr(at.learned[0], "parameter_product_norms", None)) is not None:
        return _joined(own(x), vector.unpack(slopes)), True, 0
    n = math.prod(lower.shape)
    if n <= min(ASSEMBLE_BELOW, 4 * vector.size):
        rows = np.stack([vector.pack(at.mixed(x, e)) for e in _units(lower.like)]) * slopes
        return float(np.linalg.norm(rows, 2)) * (1 + 1e-12), True, n
    blocks, columns, rest = 0.0, [], []
    for p in vector.parameters:
        slope = vector.unpack(slopes)[p.name]
        if p.name not in lower.names:
            continue
        if not p.shape and (column := _weight_column(at, x, p.name)) is not None:
            columns.append(slope * arrays.to_host(column).reshape(-1).astype(np.float64))
        elif p.size > 1 and (diagonal := _diagonal(at, x, p.name)) is not None:
            blocks += float(np.max(np.abs(diagonal * slope))) ** 2
        else:
            rest.append(p)
    if sum(p.size for p in rest) > COLUMNS_BELOW:
        return _power(lower, x, vector, t, slopes, start)
    spent = len(columns) + 4 * sum(p.size for p in rest)
    for p in rest:
        columns += [c.reshape(-1).astype(np.float64) for c in _differences(lower, x, vector, t, p)]
    if columns:
        stacked = np.stack(columns)
        blocks += float(np.linalg.eigvalsh(stacked @ stacked.T)[-1])
    fixed = any(p.low == p.high for p in rest)
    return math.sqrt(max(blocks, 0.0)) * (1 + 1e-6), not fixed, spent


def _joined(norms: dict[str, float], slopes: dict[str, Any]) -> float:
    """The norm of blocks side by side, from theirs on the natural scale."""
    return math.hypot(
        *(c * float(np.max(np.abs(slopes[name]))) for name, c in norms.items() if name in slopes)
    )


def _weight_column(at: LowerAt, x: Array, name: str) -> Array | None:
    """The column of a number that is the weight of whole terms, and nothing else."""
    column = None
    for term in at.smooth_terms:
        inside = term.f if isinstance(term, Weighted) else term
        if any(p.name == name for p in inside.parameters):
            return None
        if isinstance(term, Weighted) and isinstance(term.weight, Parameter) and term.weight.name == name:
            part = inside.gradient(x)
            column = part if column is None else column + part
    return column


def _diagonal(at: LowerAt, x: Array, name: str) -> np.ndarray | None:
    """The diagonal of the block of one weight for each entry of ``x``."""
    found = None
    for term in at.smooth_terms:
        if not any(p.name == name for p in term.parameters):
            continue
        factor, f = (term.c, term.f) if isinstance(term, Weighted) else (1.0, term)
        fits = isinstance(f, SquaredL2) and isinstance(f.weights, Parameter) and f.weights.name == name
        if not fits or found is not None or np.shape(current(f.weights)) != tuple(x.shape):  # type: ignore[attr-defined]
            return None
        found = factor * arrays.to_host(x).astype(np.float64)
    return found


def _differences(
    lower: Lower, x: Array, vector: ParameterVector, t: np.ndarray, p: Parameter
) -> list[np.ndarray]:
    """Columns of the numbers in a parameter, by differences of fourth order of the gradient.

    They are central, or to one side where a bound is near; a number that its bounds fix has no column.
    """
    columns = []
    where = np.flatnonzero(vector.pack({p.name: 1.0}))
    for k in where:
        low, high = float(vector.low[k]), float(vector.high[k])
        h = STEP * max(abs(float(t[k])), 0.0 if p.transform == "log" else STEP) if vector.natural else STEP
        h = min(h, (high - low) / 8)
        if h == 0.0:
            continue
        direction = np.zeros(vector.size)
        direction[k] = 1.0
        stencil: tuple[tuple[int, float], ...] = FOURTH_ORDER
        if t[k] - 2 * h < low or t[k] + 2 * h > high:
            stencil = ONE_SIDED
            direction[k] = 1.0 if t[k] + 4 * h <= high else -1.0
        columns.append(arrays.to_host(_along(lower, x, vector, t, direction, h, stencil)))
    return columns


STEP = 1e-3
FOURTH_ORDER = ((1, 8 / 12), (-1, -8 / 12), (2, -1 / 12), (-2, 1 / 12))
ONE_SIDED = ((0, -25 / 12), (1, 4.0), (2, -3.0), (3, 4 / 3), (4, -1 / 4))
SECOND_ORDER = ((1, 1 / 2), (-1, -1 / 2))


def _along(
    lower: Lower,
    x: Array,
    vector: ParameterVector,
    t: np.ndarray,
    direction: np.ndarray,
    h: float,
    stencil: tuple[tuple[int, float], ...],
) -> Array:
    """``J(x)`` times a direction, by differences of the gradient at multiples of ``h``."""
    total: Any = 0.0
    for steps, factor in stencil:
        moved = vector.project(t + steps * h * direction)
        if vector.natural:
            # What is positive stays so: on a log scale it has to.
            moved = np.where((t > 0) & (vector.low >= 0), np.maximum(moved, 0.5 * t), moved)
        values = vector.values(moved)
        mine = {name: value for name, value in values.items() if name in lower.names}
        total = total + (factor / h) * lower.fresh(values, mine).gradient(x)
    return total


def _power(
    lower: Lower, x: Array, vector: ParameterVector, t: np.ndarray, slopes: np.ndarray, start: np.ndarray
) -> tuple[float, bool, int]:
    """The norm of ``J(x)`` from a few steps of the power method, from below."""
    at = lower.at(vector.values(t))
    size = float(np.linalg.norm(start))
    direction = start / size if size > 0 else np.full(vector.size, 1 / math.sqrt(vector.size))
    norm = 0.0
    for _ in range(POWER_STEPS):
        h = STEP * max(float(np.max(np.abs(t * (direction != 0)))), STEP) if vector.natural else STEP
        image = _along(lower, x, vector, t, direction, h, SECOND_ORDER)
        norm = arrays.norm(image)
        if norm == 0.0:
            break
        direction = slopes * vector.pack(at.mixed(x, image))
        direction = direction / max(float(np.linalg.norm(direction)), 1e-300)
    return norm, False, 3 * POWER_STEPS


# --- L_J -----------------------------------------------------------------------------------------


def mixed_lipschitz(at: LowerAt, shape: Shape, vector: ParameterVector, t: np.ndarray) -> float | None:
    """A Lipschitz constant of ``J`` in ``x`` on the scale of ``vector``, or ``None`` if none is known."""
    slopes = vector.unpack(vector.slopes(t))
    sums: dict[str, float] = {}
    for term in at.smooth_terms:
        if not term.parameters:
            continue
        each = product_lipschitz(term, shape)
        if each is None:
            return None
        for name, constant in each.items():
            if name in slopes:
                sums[name] = sums.get(name, 0.0) + constant * float(np.max(np.abs(slopes[name])))
    return math.sqrt(sum(c**2 for c in sums.values()))


@singledispatch
def product_lipschitz(f: Functional, shape: Shape) -> dict[str, float] | None:
    """Lipschitz constants in ``x`` of ``parameter_product(x, v)`` for ``||v|| = 1``, for each parameter.

    A functional of yours may give its own as ``parameter_product_lipschitz_on(shape)``.
    """
    own = getattr(f, "parameter_product_lipschitz_on", None)
    if own is not None:
        constants: dict[str, float] | None = own(shape)
        return constants
    return None if f.parameters else {}


@product_lipschitz.register
def _(f: Weighted, shape: Shape) -> dict[str, float] | None:
    inside = product_lipschitz(f.f, shape)
    if inside is None:
        return None
    constants = {name: f.c * constant for name, constant in inside.items()}
    if isinstance(f.weight, Parameter):
        L = f.f.traits_on(shape).lipschitz
        if L is None or math.isinf(L):
            return None
        constants[f.weight.name] = constants.get(f.weight.name, 0.0) + L
    return constants


@product_lipschitz.register
def _(f: Composed, shape: Shape) -> dict[str, float] | None:
    if f.operator.parameters:
        return None
    inside = product_lipschitz(f.f, f.operator.range_shape)
    scale = f.operator.norm() ** 2 if inside else 1.0
    return None if inside is None else {name: scale * c for name, c in inside.items()}


@product_lipschitz.register
def _(f: Shifted, shape: Shape) -> dict[str, float] | None:
    return product_lipschitz(f.f, shape)


@product_lipschitz.register
def _(f: SquaredL2, shape: Shape) -> dict[str, float] | None:
    # One weight for all entries of x or for each: the product is a sum of w' x v, at most ||x|| ||v||.
    return {f.weights.name: 1.0} if isinstance(f.weights, Parameter) else {}


@product_lipschitz.register
def _(f: SmoothedL21, shape: Shape) -> dict[str, float] | None:
    # d/d eps of y / sqrt(|y|^2 + eps^2) changes with y at most by 1 / eps^2, which it does at y = 0.
    if isinstance(f.weights, Parameter):
        return None
    largest = (f.traits.lipschitz or 0.0) * float(current(f.eps))
    return {f.eps.name: largest / float(current(f.eps)) ** 2} if isinstance(f.eps, Parameter) else {}


@product_lipschitz.register
def _(f: SmoothedTotalVariation, shape: Shape) -> dict[str, float] | None:
    outer, D = f.factor(shape)
    assert D is not None
    inside = product_lipschitz(outer, D.range_shape)
    return None if inside is None else {name: c * D.norm() ** 2 for name, c in inside.items()}


# --- measured ------------------------------------------------------------------------------------


def measured(
    at: LowerAt,
    vector: ParameterVector,
    t: np.ndarray,
    x: Array,
    far: Array,
    q: Array,
    Hq: Array,
    Jq: np.ndarray,
) -> tuple[float, float]:
    """Difference quotients of ``J`` and of the Hessian along ``q``: at most ``L_J`` and ``L_H``.

    ``Hq`` and ``Jq`` are the products at ``x``.
    """
    distance = arrays.norm(x - far) * arrays.norm(q)
    if not distance > 0:
        return 0.0, 0.0
    J_far = vector.slopes(t) * vector.pack(at.mixed(far, q))
    return (
        float(np.linalg.norm(Jq - J_far)) / distance,
        arrays.norm(Hq - at.hessian(far)(q)) / distance,
    )
