"""Put an array on a larger grid, with zeros or mirror images around it, and the adjoint of that.

Along each axis the array stands after ``before`` entries, and ``after`` more are filled behind it;
what remains of the grid is 0. Reflection repeats the edge entry (``b a | a b``) and goes on as
often as it must.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from wellposed import arrays
from wellposed.arrays import Array

Sizes = tuple[int, ...]


def extend(x: Array, before: Sizes, after: Sizes, grid: Sizes, reflect: bool) -> Array:
    """``x`` on the grid."""
    xp = arrays.namespace(x)
    wide = arrays.zeros(grid, x)
    crop(wide, before, tuple(x.shape))[...] = x
    if reflect:
        for axis, n in enumerate(x.shape):
            for target, source, flipped in _mirrors(n, before[axis], after[axis]):
                image = wide[_along(axis, source, len(grid))]
                wide[_along(axis, target, len(grid))] = xp.flip(image, axis=axis) if flipped else image
    return wide


def fold(wide: Array, before: Sizes, after: Sizes, shape: Sizes, reflect: bool) -> Array:
    """The adjoint of `extend`: a view of ``wide``, to which the mirror images have been added."""
    xp = arrays.namespace(wide)
    if reflect:
        for axis in reversed(range(len(shape))):
            for target, source, flipped in _mirrors(shape[axis], before[axis], after[axis]):
                image = wide[_along(axis, target, len(shape))]
                wide[_along(axis, source, len(shape))] += xp.flip(image, axis=axis) if flipped else image
    return crop(wide, before, shape)


def crop(wide: Array, start: Sizes, shape: Sizes) -> Array:
    """The view of ``shape`` that begins at the index ``start``."""
    return wide[tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))]


def _mirrors(n: int, before: int, after: int) -> Iterator[tuple[slice, slice, bool]]:
    """The mirror images along an axis: where each lies, which entries it shows, and whether flipped."""
    for block in range(-math.ceil(before / n), math.ceil(after / n) + 1):
        if block == 0:
            continue
        first = max(-before, block * n) - block * n
        last = min(n + after, (block + 1) * n) - block * n
        offset = before + block * n
        flipped = block % 2 == 1
        shown = slice(n - last, n - first) if flipped else slice(first, last)
        yield (
            slice(offset + first, offset + last),
            slice(before + shown.start, before + shown.stop),
            flipped,
        )


def _along(axis: int, where: slice, ndim: int) -> tuple[slice, ...]:
    return (*[slice(None)] * axis, where, *[slice(None)] * (ndim - axis - 1))
