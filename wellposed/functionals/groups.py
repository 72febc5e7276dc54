"""Functionals of groups of entries: what they share, and the group lasso penalty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.datafits import check_weights
from wellposed.functionals.norms import rounding, scale_into


class Grouped(Functional):
    """A functional of groups of entries that do not overlap; subclasses have a field ``groups``."""

    groups: Any

    @cached_property
    def _layout(self) -> tuple[np.ndarray, Shape | None, int]:
        """Group number of each entry of the flat array, the shape of the array if known, number of groups."""
        listed = isinstance(self.groups, (list, tuple)) and any(np.ndim(group) > 0 for group in self.groups)
        labels, shape = _from_lists(self.groups) if listed else _from_labels(self.groups)
        return labels, shape, int(labels.max(initial=-1)) + 1

    @cached_property
    def _complete(self) -> bool:
        """Whether each entry has a group."""
        labels, shape, _ = self._layout
        return shape is not None and int(labels.min(initial=0)) >= 0

    @cached_property
    def _blocks(self) -> tuple[tuple[int, int], int] | None:
        """A shape of two axes, and the axis along which the groups are its lines; ``None`` if they are not.

        They are where all groups have one size and stand one after the other, or entry by entry in turn.
        """
        labels, _, count = self._layout
        if not self._complete or count == 0 or labels.size % count:
            return None
        each, order = labels.size // count, np.arange(count)
        if np.array_equal(labels.reshape(count, each), np.broadcast_to(order[:, None], (count, each))):
            return (count, each), 1
        if np.array_equal(labels.reshape(each, count), np.broadcast_to(order, (each, count))):
            return (each, count), 0
        return None

    @property
    def shape(self) -> Shape | None:
        return self._layout[1]

    def _numbers(self, x: Array) -> Array:
        """The group of each entry of ``x``; one more than the last where there is none."""
        labels, shape, count = self._layout
        size = math.prod(x.shape)
        if (shape is not None and tuple(x.shape) != shape) or labels.size > size:
            expected = f"shape {shape}" if shape is not None else f"at least {labels.size} entries"
            raise ValueError(f"the groups need an array of {expected}, got shape {tuple(x.shape)}")
        if self._complete:
            every = labels
        else:
            every = np.full(size, count)
            every[: labels.size] = np.where(labels >= 0, labels, count)
        return arrays.namespace(x).asarray(every, device=arrays.device_of(x))

    def _sizes(self, x: Array, numbers: Array) -> Array:
        """The norm of each group, summed in double precision, in the dtype of ``x``."""
        xp = arrays.namespace(x)
        count = self._layout[2]
        if self._blocks is not None:
            grid, axis = self._blocks
            lines = xp.astype(xp.reshape(x, grid), xp.float64)
            if type(lines) is np.ndarray:
                squares = np.einsum("ij,ij->i" if axis == 1 else "ij,ij->j", lines, lines)
            else:
                squares = xp.sum(lines * lines, axis=axis)
            return xp.astype(xp.sqrt(squares), x.dtype)
        flat = xp.astype(xp.reshape(x, (-1,)), xp.float64)
        if hasattr(xp, "bincount"):
            squares = xp.bincount(numbers, weights=flat * flat, minlength=count + 1)
        else:
            host = arrays.numpy_view(flat)
            squares = xp.asarray(np.bincount(arrays.numpy_view(numbers), host * host, count + 1))
        return xp.astype(xp.sqrt(squares[:count]), x.dtype)

    def _scaled(self, x: Array, numbers: Array, factors: Array, ungrouped: float) -> Array:
        """Each entry times the factor of its group."""
        xp = arrays.namespace(x)
        if self._blocks is not None:
            grid, axis = self._blocks
            return xp.reshape(xp.reshape(x, grid) * xp.expand_dims(factors, axis=axis), tuple(x.shape))
        last = arrays.zeros((1,), factors) + ungrouped
        return x * xp.reshape(xp.take(xp.concat([factors, last]), numbers), tuple(x.shape))

    def _free(self, y: Array, numbers: Array) -> Array:
        """The part of ``y`` that is in no group."""
        xp = arrays.namespace(y)
        return xp.where(xp.reshape(numbers, tuple(y.shape)) == self._layout[2], y, 0.0 * y)


@dataclass(frozen=True, eq=False)
class GroupL2(Grouped):
    r"""Sum of the Euclidean norms of groups of entries, which makes whole groups zero.

    .. math:: f(x) = \sum_g w_g \|x_g\|_2

    Parameters
    ----------
    groups : array of int, or list of index arrays
        Either one label per entry, of the shape of ``x``, where entries of a negative label are in
        no group; or a list that holds for each group the indices of its entries in the flat ``x``.
    weights : array, optional
        ``w >= 0``, one per group in the order of the list, or of increasing label. Default: all 1
        (the square root of the group sizes is a usual choice).

    Raises
    ------
    ValueError
        If two groups share an entry, a group is empty, an index is negative or beyond the array, or the
        number of weights is wrong.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.GroupL2([[0, 1], [2]])
    >>> f(np.array([3.0, 4.0, -1.0]))
    6.0
    >>> f.prox(np.array([3.0, 4.0, -1.0]), 1.0)
    array([2.4, 3.2, 0. ])
    """

    groups: Any
    weights: Any = None

    def __post_init__(self) -> None:
        _, _, count = self._layout
        if self.weights is not None:
            weights = arrays.as_floating(self.weights, "weights")
            object.__setattr__(self, "weights", check_weights(weights, (count,)))

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def _radii(self, like: Array) -> Array:
        if self.weights is None:
            return arrays.namespace(like).ones_like(like)
        return arrays.as_namespace(self.weights, like, "weights")

    def __call__(self, x: Array) -> float:
        sizes = self._sizes(x, self._numbers(x))
        return arrays.total(self._radii(sizes) * sizes)

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        xp = arrays.namespace(x)
        numbers = self._numbers(x)
        sizes = self._sizes(x, numbers)
        kept = xp.clip(sizes - step_for(x, step) * self._radii(sizes), 0.0, None)
        # Adding 0 turns -0 into 0.
        return 0.0 + self._scaled(
            x, numbers, kept / xp.where(sizes > 0, sizes, 1.0 + 0.0 * sizes), ungrouped=1.0
        )

    def _conjugate(self, y: Array) -> float:
        xp = arrays.namespace(y)
        numbers = self._numbers(y)
        sizes = self._sizes(y, numbers)
        outside = bool(xp.any(sizes > self._radii(sizes))) or bool(xp.any(self._free(y, numbers) != 0))
        return math.inf if outside else 0.0

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        numbers = self._numbers(y)
        sizes = self._sizes(y, numbers)
        inside = self._radii(sizes) * (1 - rounding(sizes, sizes))
        outside = sizes > inside
        factors = xp.where(outside, inside / xp.where(outside, sizes, 1.0 + 0.0 * sizes), 1.0 + 0.0 * sizes)
        return self._scaled(y, numbers, factors, ungrouped=0.0)

    def dual_scale(self, y: Array) -> float:
        numbers = self._numbers(y)
        if bool(arrays.namespace(y).any(self._free(y, numbers) != 0)):
            return 0.0
        sizes = self._sizes(y, numbers)
        return scale_into(sizes, sizes, self._radii(sizes))

    def __str__(self) -> str:
        return f"GroupL2({self._layout[2]} groups)"


def _from_labels(groups: Any) -> tuple[np.ndarray, Shape]:
    labels = arrays.numpy_view(arrays.as_array(groups, "groups"))
    if labels.dtype.kind not in "iu":
        raise TypeError(f"group labels must be integers, got {labels.dtype}")
    used, numbers = np.unique(labels.reshape(-1), return_inverse=True)
    return numbers.reshape(-1) - int(np.sum(used < 0)), tuple(labels.shape)


def _from_lists(groups: Any) -> tuple[np.ndarray, None]:
    indices = [np.atleast_1d(np.asarray(group)).reshape(-1) for group in groups]
    for k, index in enumerate(indices):
        if index.size == 0 or index.dtype.kind not in "iu" or index.min() < 0:
            raise ValueError(
                f"group {k} must hold indices of at least 0 into the flat array, got {groups[k]}"
            )
    joined = np.concatenate(indices)
    entries, first, times = np.unique(joined, return_index=True, return_counts=True)
    if times.max() > 1:
        entry = entries[times > 1][0]
        owners = [k for k, index in enumerate(indices) if entry in index]
        raise ValueError(
            f"entry {entry} is in the groups {owners}; GroupL2 needs groups that do not overlap "
            "(for overlapping groups sum one GroupL2 for each layer of separate groups)"
        )
    labels = np.full(int(joined.max()) + 1, -1)
    labels[entries] = np.repeat(np.arange(len(indices)), [index.size for index in indices])[first]
    return labels, None
