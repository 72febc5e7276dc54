"""Operators made of operators: composition, sum, multiple, stack, parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape


class Composition(LinearOperator):
    """``(A @ B)(x) = A(B(x))``."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator):
        if outer.domain_shape != inner.range_shape:
            raise ValueError(
                f"{outer!r} @ {inner!r} do not fit: {inner.range_shape} comes out, {outer.domain_shape} is taken"
            )
        if inner.complex_range and not outer.complex_domain:
            raise ValueError(f"{inner!r} gives complex arrays, which {outer!r} does not take")
        super().__init__(inner.domain_shape, outer.range_shape)
        self.outer = outer
        self.inner = inner
        self.complex_domain = inner.complex_domain
        self.complex_range = outer.complex_range
        self.nonnegative = outer.nonnegative and inner.nonnegative

    def _apply(self, x: Array, out: Array) -> None:
        self.outer(self.inner(x), out)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.inner.apply_adjoint(self.outer.apply_adjoint(y), out)

    def _norm(self) -> float:
        if self.outer is self.inner.adjoint or getattr(self.outer, "operator", None) is self.inner:
            return self.inner.norm() ** 2
        return min(self.outer.norm() * self.inner.norm(), super()._norm())

    def __repr__(self) -> str:
        return f"{self.outer!r} @ {self.inner!r}"


class Sum(LinearOperator):
    """``(A + B)(x) = A(x) + B(x)``."""

    def __init__(self, first: LinearOperator, second: LinearOperator):
        if (first.domain_shape, first.range_shape) != (second.domain_shape, second.range_shape):
            raise ValueError(f"{first!r} + {second!r} do not fit: their shapes differ")
        super().__init__(first.domain_shape, first.range_shape)
        self.first = first
        self.second = second
        self.complex_domain = first.complex_domain or second.complex_domain
        self.complex_range = first.complex_range or second.complex_range
        self.nonnegative = first.nonnegative and second.nonnegative

    def _apply(self, x: Array, out: Array) -> None:
        self.first(x, out)
        out += self.second(x)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.first.apply_adjoint(y, out)
        out += self.second.apply_adjoint(y)

    def _norm(self) -> float:
        return min(self.first.norm() + self.second.norm(), super()._norm())

    def __repr__(self) -> str:
        return f"({self.first!r} + {self.second!r})"


class Scaled(LinearOperator):
    """``(c * A)(x) = c * A(x)`` for a real number ``c``."""

    def __init__(self, scale: float, operator: LinearOperator):
        if not math.isfinite(scale):
            raise ValueError(f"an operator cannot be multiplied by {scale}")
        if isinstance(operator, Scaled):
            scale, operator = scale * operator.scale, operator.operator
        super().__init__(operator.domain_shape, operator.range_shape)
        self.scale = scale
        self.operator = operator
        self.complex_domain = operator.complex_domain
        self.complex_range = operator.complex_range
        self.nonnegative = operator.nonnegative and scale >= 0

    def _apply(self, x: Array, out: Array) -> None:
        self.operator(x, out)
        out *= self.scale

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.operator.apply_adjoint(y, out)
        out *= self.scale

    def _norm(self) -> float:
        return abs(self.scale) * self.operator.norm()

    def solve_normal(self, tau: float, y: Array) -> Array:
        return self.operator.solve_normal(tau * self.scale**2, y)

    @property
    def has_solve_normal(self) -> bool:
        return self.operator.has_solve_normal

    def __repr__(self) -> str:
        return f"{self.scale:g} * {self.operator!r}"


class Stack(LinearOperator):
    """Several operators on one array; their results are flattened and joined end to end."""

    def __init__(self, operators: Sequence[LinearOperator]):
        self.operators = tuple(operators)
        if not self.operators:
            raise ValueError("stack needs at least one operator")
        shapes = {A.domain_shape for A in self.operators}
        if len(shapes) > 1:
            raise ValueError(f"stacked operators must share one domain, got {sorted(shapes)}")
        if len({A.complex_range for A in self.operators}) > 1 or len({A.complex_domain for A in self.operators}) > 1:
            raise ValueError("stacked operators must be all real or all complex")
        self.sizes = tuple(math.prod(A.range_shape) for A in self.operators)
        super().__init__(self.operators[0].domain_shape, (sum(self.sizes),))
        self.complex_domain = self.operators[0].complex_domain
        self.complex_range = self.operators[0].complex_range
        self.nonnegative = all(A.nonnegative for A in self.operators)

    def split(self, y: Array) -> list[Array]:
        """The parts of a joined array, each in the shape of its operator's range (views)."""
        xp = arrays.namespace(y)
        parts, start = [], 0
        for A, size in zip(self.operators, self.sizes, strict=True):
            parts.append(xp.reshape(y[start : start + size], A.range_shape))
            start += size
        return parts

    def _apply(self, x: Array, out: Array) -> None:
        for A, part in zip(self.operators, self.split(out), strict=True):
            A(x, part)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        first, *others = zip(self.operators, self.split(y), strict=True)
        first[0].apply_adjoint(first[1], out)
        for A, part in others:
            out += A.apply_adjoint(part)

    def _norm(self) -> float:
        return math.sqrt(sum(A.norm() ** 2 for A in self.operators))

    def __repr__(self) -> str:
        return "stack([" + ", ".join(map(repr, self.operators)) + "])"


def stack(operators: Sequence[LinearOperator]) -> Stack:
    """Join operators on one array into a single operator.

    Parameters
    ----------
    operators : sequence of LinearOperator
        All with the same ``domain_shape``.

    Returns
    -------
    Stack
        ``S(x)`` is the flat array of all results, end to end; ``S.split(S(x))`` gives them back.
        Its norm is at most the root of the sum of the squared norms.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> S = wp.operators.stack([wp.operators.Identity((2, 2)), 2.0 * wp.operators.Identity((2, 2))])
    >>> S(np.ones((2, 2)))
    array([1., 1., 1., 1., 2., 2., 2., 2.])
    """
    return Stack(operators)


class Part(LinearOperator):
    """One part of several arrays that are joined end to end in a flat one.

    Parameters
    ----------
    shapes : sequence of shapes
        The shapes of all the parts.
    index : int
        Which one to take.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], index: int):
        self.shapes = tuple(as_shape(shape, "shapes") for shape in shapes)
        sizes = [math.prod(shape) for shape in self.shapes]
        super().__init__((sum(sizes),), self.shapes[index])
        self.index = index
        self.span = slice(sum(sizes[:index]), sum(sizes[: index + 1]))
        self.nonnegative = True

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = arrays.namespace(x).reshape(x[self.span], self.range_shape)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        out[...] = 0.0
        out[self.span] = arrays.namespace(y).reshape(y, (-1,))

    def _norm(self) -> float:
        return 1.0
