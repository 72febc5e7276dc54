"""The convex envelope of a squared norm under a limit on the number of groups that are not zero."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Shape, Traits, step_for
from wellposed.functionals.datafits import check_weights
from wellposed.functionals.groups import Grouped
from wellposed.kernels.shares import share_sums

MAX_STEPS = 300
"""Far more than halving the logarithm of any bracket takes."""


@dataclass(frozen=True, eq=False)
class SparseEnvelope(Grouped):
    r"""The largest convex function below half a squared norm that allows ``k`` groups other than zero.

    .. math:: f = g^{**}, \qquad g(x) = \tfrac12 \sum_j d_j \|x_j\|_2^2 \;\text{ if at most }
        k \text{ of the groups } x_j \text{ are not } 0, \text{ else } \infty

    Parameters
    ----------
    k : float
        Positive; at or above the number of groups the limit is void. It need not be an integer.
    groups : array of int, or list of index arrays, optional
        As for `GroupL2`; entries in no group are not penalised. By default each entry is a group: then
        ``f`` is half the square of the k-support norm.
    weights : array, optional
        ``d > 0``, one per group in the order of the list or of increasing label (without groups: one per
        entry, of the shape of ``x``). Default: all 1.

    Raises
    ------
    ValueError
        If ``k`` or a weight is not positive, two groups share an entry, or the number of weights is wrong.

    Notes
    -----
    With :math:`z_j = \sqrt{d_j} \|x_j\|` and :math:`\eta` such that
    :math:`\sum_j \min(1, z_j / \eta) = k`, the value is
    :math:`\tfrac12 \sum_j z_j^2 / \min(1, z_j / \eta)`; the conjugate is half the sum of the ``k`` largest
    :math:`\|y_j\|^2 / d_j`. The proximal map scales group ``j`` by :math:`u_j / (u_j + t d_j)`, with
    ``t`` the step and :math:`u_j(h) = \min(\max(h \sqrt{t d_j} \|x_j\| - t d_j, 0), 1)` for the ``h`` with
    :math:`\sum_j u_j(h) = k`. Both are exact; a value costs one
    sort, a proximal map some passes over the groups.

    Shrinkage is that of a squared norm: fit the selected groups again without it. One proximal
    map leaves more than ``k`` groups, in general.
    Sources: Y. Refael, I. Arbel and W. Huleihel, Learning k-level structured sparse neural networks using
    group envelope regularization, 2022; A. Argyriou, R. Foygel and N. Srebro, Sparse prediction with
    the k-support norm, 2012.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SparseEnvelope(1)(np.array([3.0, -4.0]))
    24.5
    >>> wp.SparseEnvelope(2)(np.array([3.0, -4.0]))
    12.5
    >>> wp.SparseEnvelope(1).prox(np.array([3.0, -1.0]), 1.0)
    array([1.5, 0. ])
    """

    k: float
    groups: Any = None
    weights: Any = None

    def __post_init__(self) -> None:
        if not (isinstance(self.k, (int, float)) and math.isfinite(self.k) and self.k > 0):
            raise ValueError(f"k of SparseEnvelope must be a positive number, got {self.k!r}")
        expected = None if self.groups is None else (self._layout[2],)
        if self.weights is not None:
            weights = check_weights(arrays.as_floating(self.weights, "weights"), expected)
            if bool(arrays.namespace(weights).any(weights == 0)):
                raise ValueError("weights of SparseEnvelope must be positive, the smallest is 0")
            object.__setattr__(self, "weights", weights)

    @property
    def traits(self) -> Traits:
        return Traits()

    @property
    def shape(self) -> Shape | None:
        return super().shape if self.groups is not None else None

    # --- from entries to groups and back ------------------------------------------------------

    def _norms(self, x: Array, numbers: Array | None) -> Array:
        """The norm of each group in double precision."""
        xp = arrays.namespace(x)
        if numbers is None:
            return xp.abs(xp.astype(xp.reshape(x, (-1,)), xp.float64))
        return self._sizes(xp.astype(x, xp.float64), numbers)

    def _group_numbers(self, x: Array) -> Array | None:
        if self.groups is not None:
            return self._numbers(x)
        if self.weights is not None and tuple(self.weights.shape) != tuple(x.shape):
            raise ValueError(
                f"weights have shape {tuple(self.weights.shape)}, expected one per entry, {tuple(x.shape)}"
            )
        return None

    def _d(self, like: Array) -> Array:
        xp = arrays.namespace(like)
        if self.weights is None:
            return xp.ones_like(like)
        return xp.reshape(arrays.as_namespace(self.weights, like, "weights"), (-1,))

    # --- the functional -----------------------------------------------------------------------

    def __call__(self, x: Array) -> float:
        norms = self._norms(x, self._group_numbers(x))
        return _envelope(norms * arrays.namespace(norms).sqrt(self._d(norms)), self.k)

    def row_values(self, x: Array) -> Array:
        """The value at each vector along the last axis; without groups."""
        z = arrays.namespace(x).abs(x) * self._root_weights(x)
        return 0.5 * arrays.namespace(x).sum(z * self._raised(z), axis=-1)

    def subgradient(self, x: Array) -> Array:
        """One of the subgradients; without groups."""
        return arrays.namespace(x).reshape(self.row_subgradients(x.reshape((1, -1))), tuple(x.shape))

    def row_subgradients(self, x: Array) -> Array:
        """One of the subgradients at each vector along the last axis; without groups."""
        xp = arrays.namespace(x)
        root = self._root_weights(x)
        return xp.sign(x) * root * self._raised(xp.abs(x) * root)

    def _root_weights(self, x: Array) -> Any:
        if self.groups is not None:
            raise TypeError(f"{self} with groups has no subgradient in closed form here")
        if self.weights is None:
            return 1.0
        d = arrays.as_namespace(self.weights, x, "weights")
        return arrays.namespace(x).sqrt(d.reshape((-1,)))

    def _raised(self, z: Array) -> Array:
        r"""Entries of each row raised to the level :math:`\eta` of the class's notes, if more than ``k``."""
        xp = arrays.namespace(z)
        ordered = xp.sort(z, axis=-1, descending=True)
        tails = xp.flip(xp.cumulative_sum(xp.flip(ordered, axis=-1), axis=-1), axis=-1)
        heads = min(math.ceil(self.k), z.shape[-1])
        room = self.k - xp.astype(xp.arange(heads, device=arrays.device_of(z)), z.dtype)
        fits = ordered[..., :heads] * room <= tails[..., :heads]
        # Entries before the first that fits have a whole share; at the latest the last one fits.
        before = xp.cumulative_sum(xp.astype(fits, xp.int64), axis=-1) == 0
        q = xp.minimum(xp.sum(xp.astype(before, xp.int64), axis=-1, keepdims=True), xp.asarray(heads - 1))
        at = xp.astype(xp.arange(heads, device=arrays.device_of(z)) == q, z.dtype)
        level = xp.sum(at * tails[..., :heads] / room, axis=-1, keepdims=True)
        few = xp.sum(xp.astype(z > 0, xp.int64), axis=-1, keepdims=True) <= self.k
        return xp.where(few, z, xp.maximum(z, level))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        numbers = self._group_numbers(x)
        norms = self._norms(x, numbers)
        td = step_for(x, step) * self._d(norms)
        u = _shares(xp.sqrt(td) * norms, td, self.k)
        td += u
        factors = xp.astype(u / td, x.dtype)
        if numbers is None:
            return x * xp.reshape(factors, tuple(x.shape)) + 0.0
        return self._scaled(x, numbers, factors, ungrouped=1.0) + 0.0

    def _conjugate(self, y: Array) -> float:
        numbers = self._group_numbers(y)
        xp = arrays.namespace(y)
        if numbers is not None and bool(xp.any(self._free(y, numbers) != 0)):
            return math.inf
        norms = self._norms(y, numbers)
        squares = xp.sort(norms * norms / self._d(norms), descending=True)
        whole = min(int(self.k), squares.shape[0])
        value = arrays.total(squares[:whole])
        if whole < self.k and whole < squares.shape[0]:
            value += (self.k - whole) * float(squares[whole])
        return 0.5 * value

    def project_dual(self, y: Array) -> Array:
        return y if self.groups is None else y - self._free(y, self._numbers(y))

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return f"SparseEnvelope({self.k:g})"


def _envelope(z: Array, k: float) -> float:
    """The envelope of half the squared norm of ``z >= 0`` with at most ``k`` entries other than 0."""
    xp = arrays.namespace(z)
    if int(xp.count_nonzero(z)) <= k:
        return 0.5 * arrays.inner(z, z)
    z = xp.sort(z, descending=True)
    # Sums over each entry and all smaller ones.
    tails = xp.flip(xp.cumulative_sum(xp.flip(z)))
    heads = math.ceil(k)
    room = k - xp.astype(xp.arange(heads, device=arrays.device_of(z)), z.dtype)
    # The first q with z[q] <= eta = tail / (k - q): entries before it have a whole share.
    fits = xp.astype(z[:heads] * room <= tails[:heads], xp.int8)
    q = int(xp.argmax(fits)) if bool(xp.any(fits > 0)) else heads - 1
    return 0.5 * (arrays.inner(z[:q], z[:q]) + float(tails[q]) ** 2 / (k - q))


def _shares(c: Array, td: Array, k: float) -> Array:
    """``min(max(h c - td, 0), 1)`` with the ``h`` for which the sum is ``k``; 1 if ``c`` has no more entries.

    The sum is piecewise linear and increasing in ``h``: Newton's method is exact on the last piece. Where a
    step leaves the bracket or two of them do not halve the error, a bisection (of the logarithm) steps in.
    """
    xp = arrays.namespace(c)
    if int(xp.count_nonzero(c)) <= k:
        return xp.ones_like(c)
    low, high = float(xp.finfo(c.dtype).smallest_normal), float(xp.finfo(c.dtype).max)
    h, errors = (k + arrays.total(td)) / arrays.total(c), [math.inf] * 3
    for _ in range(MAX_STEPS):
        if not low < h < high or errors[-1] > 0.5 * errors[-3]:
            h, errors = math.sqrt(low) * math.sqrt(high), [math.inf] * 3
        total, slope = _sum_and_slope(c, td, h)
        if total == k or high - low <= 4 * arrays.epsilon(c) * high:
            break
        errors.append(abs(total - k))
        low, high = (h, high) if total < k else (low, h)
        step = (k - total) / slope if slope > 0 else math.inf
        h += step
        if math.isfinite(step) and abs(step) <= 4 * arrays.epsilon(c) * h:
            break
    return xp.clip(h * c - td, 0.0, 1.0)


def _sum_and_slope(c: Array, td: Array, h: float) -> tuple[float, float]:
    """The sum of the shares at ``h``, and its derivative."""
    if type(c) is np.ndarray:
        sums = np.empty(2)
        share_sums(c, td, h, sums)
        return float(sums[0]), float(sums[1])
    xp = arrays.namespace(c)
    raw = h * c - td
    inside = xp.astype((raw > 0) & (raw < 1), c.dtype)
    return arrays.total(xp.clip(raw, 0.0, 1.0)), arrays.total(c * inside)
