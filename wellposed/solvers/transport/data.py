"""What a transport problem is made of, checked once before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.network_simplex import power_of_two

NEGLIGIBLE = 1e-20
"""Share of the mass below which a weight counts as 0: nothing that it does is seen in double precision."""


@dataclass(frozen=True)
class Units:
    """How a problem was brought to costs from 0 to below 2 and a mass from 1 to below 2.

    Powers of two, so that all digits are kept; only ``shift``, the least cost, is subtracted.
    """

    cost: float
    mass: float
    shift: float
    total: float
    """The mass, in the user's units."""

    def value(self, value: float) -> float:
        """A value of the objective, in the user's units."""
        return value * self.cost * self.mass + self.shift * self.total

    def back(
        self, plan: np.ndarray, f: np.ndarray, g: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Plan and potentials in the user's units."""
        return plan * self.mass, f * self.cost + self.shift, g * self.cost


@dataclass(frozen=True)
class TransportData:
    """Costs and weights in double precision on the host, and the user's array that sets the kind of answers.

    Rows and columns of weight 0 are left out of ``cost``, ``a`` and ``b``: nothing moves from or to them.
    """

    cost: np.ndarray
    a: np.ndarray
    b: np.ndarray
    full_cost: np.ndarray
    rows: np.ndarray
    """Indices of the rows of positive weight."""
    columns: np.ndarray
    like: Array
    offset: float = 0.0
    """By how much values are lower than in the user's problem, where costs were shifted."""

    @property
    def shape(self) -> tuple[int, int]:
        """Sources and targets, those of weight 0 included."""
        return self.full_cost.shape[0], self.full_cost.shape[1]

    @property
    def shape_inside(self) -> tuple[int, int]:
        """Sources and targets of positive weight."""
        return len(self.a), len(self.b)

    @property
    def whole(self) -> bool:
        """Whether all weights are positive."""
        return self.cost.shape == self.full_cost.shape

    @property
    def mass(self) -> float:
        """What is moved in all."""
        return float(self.a.sum())

    @property
    def spread(self) -> float:
        """Largest cost minus smallest cost."""
        return float(self.cost.max() - self.cost.min())

    @property
    def scale_floor(self) -> float:
        """What gaps are compared with where the optimal value is near 0: a thousandth of the spread."""
        return 1e-3 * self.mass * self.spread

    def scaled(self) -> tuple[TransportData, Units]:
        """The problem of the positive weights in units in which costs and mass are about 1."""
        least = float(self.cost.min())
        units = Units(power_of_two(self.spread), power_of_two(self.mass), least, self.mass)
        cost = self.cost if least == 0 and units.cost == 1 else (self.cost - least) / units.cost
        a, b = self.a / units.mass, self.b / units.mass
        everywhere = np.arange(len(a)), np.arange(len(b))
        offset = least / units.cost * float(a.sum())
        return TransportData(cost, a, b, cost, *everywhere, self.like, offset), units

    def plan(self, plan: np.ndarray) -> np.ndarray:
        """A plan of the positive weights as one of all."""
        if self.whole:
            return plan
        full = np.zeros(self.shape)
        full[np.ix_(self.rows, self.columns)] = plan
        return full

    def give_back(self, values: np.ndarray) -> Array:
        """An array of the kind and dtype of the user's costs."""
        xp = arrays.namespace(self.like)
        made = arrays.from_numpy(values, self.like)
        return xp.astype(made, self.like.dtype, copy=False)


def check_transport(cost: Any, a: Any, b: Any) -> TransportData:
    """Costs and weights as `TransportData`; a clear error for all that is no transport problem."""
    like = arrays.as_floating(cost, "cost")
    if len(like.shape) != 2 or 0 in like.shape:
        raise ValueError(f"cost must be a matrix, one row per source, got shape {tuple(like.shape)}")
    arrays.check_finite(like, "cost")
    full = np.ascontiguousarray(arrays.numpy_view(like), dtype=np.float64)
    single = arrays.epsilon(like) > 1e-10
    alpha, single_a = _weights(a, full.shape[0], "a", "rows")
    beta, single_b = _weights(b, full.shape[1], "b", "columns")
    left, right = float(alpha.sum()), float(beta.sum())
    allowed = 1e-5 if single or single_a or single_b else 1e-8
    if abs(left - right) > allowed * max(left, right):
        raise ValueError(
            f"a sums to {left:.9g} but b to {right:.9g}: transport needs equal masses; "
            "divide each by its sum, or add a point that takes the difference at a cost you choose"
        )
    rows, columns = np.flatnonzero(alpha), np.flatnonzero(beta)
    inner = full
    if len(rows) < len(alpha) or len(columns) < len(beta):
        inner = np.ascontiguousarray(full[np.ix_(rows, columns)])
    return TransportData(inner, alpha[rows], beta[columns] * (left / right), full, rows, columns, like)


def _weights(weights: Any, count: int, name: str, axis: str) -> tuple[np.ndarray, bool]:
    """Weights in double precision, and whether they came in single."""
    if weights is None:
        return np.full(count, 1 / count), False
    given = arrays.as_floating(weights, name)
    if tuple(given.shape) != (count,):
        raise ValueError(
            f"{name} has shape {tuple(given.shape)}, but the cost has {count} {axis}: "
            f"{name} needs one weight for each"
        )
    arrays.check_finite(given, name)
    values = np.array(arrays.numpy_view(given), dtype=np.float64)
    if values.min() < 0:
        worst = int(values.argmin())
        raise ValueError(f"{name} must not be negative, but entry {worst} is {values[worst]:g}")
    if not values.sum() > 0:
        raise ValueError(f"{name} is zero everywhere: there is nothing to move")
    values[values < NEGLIGIBLE * values.sum()] = 0.0
    return values, arrays.epsilon(given) > 1e-10


def check_positive(value: float, name: str) -> float:
    """A positive finite number."""
    number = float(value)
    if not 0 < number < np.inf:
        raise ValueError(f"{name} must be a positive finite number, got {value}")
    return number


def check_control(tol: float, max_iter: int) -> None:
    """Tolerance and limit that make sense."""
    check_positive(tol, "tol")
    if max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {max_iter}")


def squared_distances(x: Array, y: Array, normalise: bool = True) -> Array:
    """Squared Euclidean distances between two sets of points, the usual cost of transport.

    Parameters
    ----------
    x, y : array of shape (points, dimensions)
    normalise : bool
        Divide by the largest, so that weights of regularisers mean the same for all data.

    Returns
    -------
    array of shape (points in x, points in y)

    Raises
    ------
    ValueError
        If the points have different dimensions or are not finite.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.squared_distances(np.array([[0.0], [1.0]]), np.array([[2.0]]), normalise=False)
    array([[4.],
           [1.]])
    """
    x, y = arrays.as_floating(x, "x"), arrays.as_floating(y, "y")
    if len(x.shape) != 2 or len(y.shape) != 2 or x.shape[1] != y.shape[1]:
        raise ValueError(
            "points come as arrays of shape (points, dimensions) of equal dimensions, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    arrays.check_finite(x, "x")
    arrays.check_finite(y, "y")
    xp = arrays.namespace(x, y)
    # Differences, not the expanded square: equal points are at distance 0 exactly.
    total = arrays.zeros((x.shape[0], y.shape[0]), x)
    for k in range(x.shape[1]):
        difference = x[:, k][:, None] - y[:, k][None, :]
        total = total + difference * difference
    largest = float(xp.max(total))
    return total / largest if normalise and largest > 0 else total
