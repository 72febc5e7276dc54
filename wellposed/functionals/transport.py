"""Transport plans as arguments of functionals: their set, entropy, sums of norms of pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.calculus import Composed
from wellposed.functionals.feasible import rounded
from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.norms import L21
from wellposed.functionals.pairs import PairWeights
from wellposed.functionals.semidual import QuadraticColumns, newton
from wellposed.operators._base import LinearOperator
from wellposed.operators.pairs import PairDifferences

FAR = 1e8
"""Spread of a point over the mass, beyond which rounding hides what its nearest plan depends on."""


@dataclass(frozen=True, eq=False)
class TransportPolytope(Functional):
    r"""Transport plans with given sums of rows and of columns, and what they cost.

    .. math:: f(P) = \langle C, P\rangle \quad\text{if}\quad P \ge 0,\ P 1 = a,\ P^T 1 = b,
        \quad\text{else}\quad \infty

    Parameters
    ----------
    a, b : array
        Positive weights of rows and of columns, of equal sum.
    cost : array of shape (n, m), optional
        Without it this is the indicator of the set.

    Raises
    ------
    ValueError
        If weights are not positive and finite, their sums differ, or shapes do not fit.

    Notes
    -----
    ``prox`` is the projection of ``x - step * cost``, which is a quadratic transport problem: Newton's method
    on its semi-dual, down to rounding. The conjugate at ``y`` is minus the exact transport of ``cost - y``.
    Sums are accepted with a relative error of ``16 + 2 sqrt(n m)`` times the resolution of the dtype, in all.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.TransportPolytope(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    >>> f.prox(np.array([[0.5, 0.0], [0.25, 0.0]]))
    array([[0.3125, 0.1875],
           [0.1875, 0.3125]])
    """

    a: Array
    b: Array
    cost: Array | None = None

    def __post_init__(self) -> None:
        for name in ("a", "b"):
            values = arrays.as_floating(getattr(self, name), name)
            arrays.check_finite(values, name)
            if len(values.shape) != 1 or not bool(arrays.namespace(values).all(values > 0)):
                raise ValueError(f"{name} must be a vector of positive weights: leave points of weight 0 out")
            object.__setattr__(self, name, values)
        left, right = arrays.total(self.a), arrays.total(self.b)
        if abs(left - right) > 64 * arrays.epsilon(self.a) * math.prod(self.shape) ** 0.5 * left:
            raise ValueError(f"a sums to {left:.9g} but b to {right:.9g}: transport needs equal masses")
        if self.cost is not None:
            cost = arrays.as_floating(self.cost, "cost")
            arrays.check_finite(cost, "cost")
            if tuple(cost.shape) != self.shape:
                raise ValueError(f"cost has shape {tuple(cost.shape)}, but the weights need {self.shape}")
            object.__setattr__(self, "cost", cost)

    @property
    def traits(self) -> Traits:
        return Traits(indicator=self.cost is None)

    @property
    def shape(self) -> Shape:
        return self.a.shape[0], self.b.shape[0]

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.a, self.b) if self.cost is None else (self.cost, self.a, self.b)

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """In double precision, with equal sums."""
        a, b = (arrays.numpy_view(v).astype(np.float64) for v in (self.a, self.b))
        return a, b * (a.sum() / b.sum())

    def __call__(self, x: Array) -> float:
        self._check_shape(x)
        plan = arrays.numpy_view(x)
        a, b = self._weights
        rows, columns = (plan.sum(axis=k, dtype=np.float64) for k in (1, 0))
        error = float(np.abs(rows - a).sum() + np.abs(columns - b).sum())
        allowed = arrays.epsilon(x) * (16 + 2 * math.sqrt(plan.size)) * float(a.sum())
        if float(plan.min()) < 0 or not error <= allowed:
            return math.inf
        return 0.0 if self.cost is None else arrays.inner(x, arrays.as_namespace(self.cost, x, "cost"))

    def _check_shape(self, x: Array) -> None:
        if tuple(x.shape) != self.shape:
            raise ValueError(
                f"a plan has shape {self.shape} here, a row per weight in a, got {tuple(x.shape)}"
            )

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        self._check_shape(x)
        point = arrays.numpy_view(x).astype(np.float64)
        step = step_for(x, step)
        if self.cost is not None:
            point = point - step * arrays.numpy_view(self.cost)
        plan = project(point, *self._weights)
        return arrays.namespace(x).astype(arrays.from_numpy(plan, x), x.dtype, copy=False)

    def _conjugate(self, y: Array) -> float:
        a, b = self._weights
        cost = -arrays.numpy_view(y).astype(np.float64)
        if self.cost is not None:
            cost = cost + arrays.numpy_view(self.cost)
        # The dual value, with potentials that are feasible whatever the solver did.
        f = exact_transport(cost, a, b).f
        return -float(f @ a + (cost - f[:, None]).min(axis=0) @ b)

    def __str__(self) -> str:
        return "TransportPolytope" if self.cost is None else "TransportPolytope with costs"


def project(point: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The transport plan nearest to a matrix, by Newton's method on the dual of the distance.

    Parameters
    ----------
    point : array of shape (n, m)
    a, b : array
        Positive weights of equal sum.

    Raises
    ------
    ValueError
        If the matrix is not finite.
    ArithmeticError
        If the sums of rows are not right within a relative error of 1e-7.
    """
    arrays.check_finite(point, "x")
    spread, reach = float(np.ptp(point)), FAR * float(a.sum())
    if spread > reach:
        # The nearest plan stays the same on the way to infinity: it is the shortest one of least cost.
        point = (point - point.max()) * (reach / spread)
    turned = len(a) > len(b)
    if turned:
        point, a, b = point.T, b, a
    # Where no entry of the nearest plan is 0, these are the potentials.
    missing = (a - point.sum(axis=1)) / len(b)
    start = missing - missing.mean() * len(a) / (len(a) + len(b))
    cost = np.ascontiguousarray(-point.T)
    method, tol = QuadraticColumns(1.0), 1e-15 * float(a.sum())
    at, _, _ = newton(method, cost, a, b, start, np.zeros_like(b), tol, 30)
    if at.error > 1e-12 * a.sum():
        # From far away a plan has few entries; the potentials of the exact plan for these costs are close.
        near = exact_transport(cost.T, a, b)
        at, _, _ = newton(method, cost, a, b, near.f, near.g, tol, 500)
    if at.error > 1e-7 * a.sum():
        raise ArithmeticError(
            f"the projection onto transport plans stopped at an error of {at.error:.2g}: rescale the weights"
        )
    plan = at.plan if turned else np.ascontiguousarray(at.plan.T)
    return rounded(plan, b, a) if turned else rounded(plan, a, b)


@dataclass(frozen=True, eq=False)
class Entropy(Functional):
    r"""Entropy relative to a positive reference, :math:`f(x) = \sum_i x_i \log(x_i / r_i) - x_i + r_i`.

    On :math:`x \ge 0`, with :math:`0 \log 0 = 0`; infinite elsewhere.

    Parameters
    ----------
    reference : array or float
        ``r > 0``, of the shape of ``x``.

    Notes
    -----
    ``prox`` solves :math:`x + s \log(x / r) = v` by Newton's method in :math:`\log x`, from a side from which
    it is monotone. The conjugate is :math:`\sum r (e^y - 1)`.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.Entropy().prox(np.array([1.0, -50.0]))
    array([1.0, 1.93e-22])
    """

    reference: Any = 1.0

    def __post_init__(self) -> None:
        r = self.reference
        if getattr(r, "shape", ()) == ():
            if not 0 < float(r) < math.inf:
                raise ValueError(f"reference of Entropy must be positive and finite, got {r}")
            object.__setattr__(self, "reference", float(r))
            return
        r = arrays.as_floating(r, "reference")
        arrays.check_finite(r, "reference")
        if not bool(arrays.namespace(r).all(r > 0)):
            raise ValueError("reference of Entropy must be positive everywhere: leave the other entries out")
        object.__setattr__(self, "reference", r)

    @property
    def traits(self) -> Traits:
        return Traits(separable=True)

    @property
    def shape(self) -> Shape | None:
        return None if isinstance(self.reference, float) else tuple(self.reference.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return () if isinstance(self.reference, float) else (self.reference,)

    def _r(self, like: Array) -> Any:
        if isinstance(self.reference, float):
            return arrays.namespace(like).zeros_like(like) + self.reference
        return arrays.as_namespace(self.reference, like, "reference")

    def __call__(self, x: Array) -> float:
        xp = arrays.namespace(x)
        if bool(xp.any(x < 0)):
            return math.inf
        r = self._r(x)
        logs = xp.log(xp.where(x > 0, x, r) / r)
        return arrays.total(x * logs - x + r)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        step, r = step_for(x, step), self._r(x)
        above = xp.log(xp.where(x > r, x, r) / r)
        scaled = x / step
        w = xp.where(scaled < above, scaled, above)
        for _ in range(100):
            grown = r * xp.exp(w)
            moved = w - (grown + step * w - x) / (grown + step)
            if not bool(xp.any(moved < w)):
                break
            w = xp.where(moved < w, moved, w)
        return r * xp.exp(w)

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        if float(xp.max(y)) > 0.9 * math.log(float(xp.finfo(y.dtype).max)):
            return math.inf
        return arrays.total(self._r(y) * xp.expm1(y))

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        return xp.clip(y, None, 0.9 * math.log(float(xp.finfo(y.dtype).max)) * (1 - 1e-6))

    def dual_scale(self, y: Array) -> float:
        xp = arrays.namespace(y)
        most = 0.9 * math.log(float(xp.finfo(y.dtype).max))
        top = float(xp.max(y))
        return 1.0 if top <= most else most * (1 - 1e-6) / top

    def __str__(self) -> str:
        return "Entropy"


@dataclass(frozen=True, eq=False)
class SumOfNorms(Functional):
    r"""Sum of the distances of pairs of rows (or columns) of a matrix, which makes them equal.

    .. math:: f(X) = \sum_{i<k} w_{ik} \|X_i - X_k\|_2

    Parameters
    ----------
    weights : array or sparse matrix of shape (n, n)
        Symmetric, not negative; the diagonal is left out. The sum is over unordered pairs.
    axis : int
        0 for rows, 1 for columns.

    Raises
    ------
    ValueError
        If the weights are not as they should be, or all 0.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SumOfNorms(np.ones((2, 2)))(np.array([[0.0, 0.0], [3.0, 4.0]]))
    5.0
    """

    weights: Any
    axis: int = 0

    def __post_init__(self) -> None:
        if self.axis not in (0, 1):
            raise ValueError(f"axis must be 0 for rows or 1 for columns, got {self.axis}")
        if self._graph.pairs == 0:
            raise ValueError("SumOfNorms needs a pair of positive weight")

    @cached_property
    def _graph(self) -> PairWeights:
        return PairWeights.of(self.weights, "weights")

    @cached_property
    def _norms(self) -> L21:
        return L21((1,), self._graph.edges[2][:, None])

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True, prox=False, conjugate=False)

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        return self._norms, self._differences(shape)

    def _differences(self, shape: Shape) -> PairDifferences:
        if len(shape) != 2 or shape[self.axis] != self._graph.count:
            raise ValueError(
                f"SumOfNorms joins {self._graph.count} slices along axis {self.axis}, got {tuple(shape)}"
            )
        first, second, _ = self._graph.edges
        return PairDifferences((shape[0], shape[1]), first, second, self.axis)

    def __call__(self, x: Array) -> float:
        return Composed(self._norms, self._differences(tuple(x.shape)))(x)

    def __str__(self) -> str:
        return f"SumOfNorms({self._graph.pairs} pairs)"
