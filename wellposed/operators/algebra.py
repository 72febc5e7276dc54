"""Operators made of operators: composition, sum, multiple, stack, parts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import Adjoint, LinearOperator, as_shape


class Composition(LinearOperator):
    """``(A @ B)(x) = A(B(x))``."""

    def __init__(self, outer: LinearOperator, inner: LinearOperator):
        if outer.domain_shape != inner.range_shape:
            raise ValueError(
                f"{outer!r} @ {inner!r} do not fit: {inner.range_shape} comes out, "
                f"{outer.domain_shape} is taken"
            )
        if inner.complex_range != outer.complex_domain:
            kinds = ("complex", "real") if inner.complex_range else ("real", "complex")
            raise ValueError(f"{inner!r} gives {kinds[0]} arrays, {outer!r} takes {kinds[1]} ones")
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
        if self.outer is self.inner.adjoint or _is_adjoint_of(self.outer, self.inner):
            return self.inner.norm() ** 2
        return min(self.outer.norm() * self.inner.norm(), super()._norm())

    @property
    def data(self) -> tuple[Array, ...]:
        return self.outer.data + self.inner.data

    def __repr__(self) -> str:
        return f"{_factor(self.outer)} @ {_factor(self.inner)}"


class Sum(LinearOperator):
    """``(A + B)(x) = A(x) + B(x)``."""

    def __init__(self, first: LinearOperator, second: LinearOperator):
        if (first.domain_shape, first.range_shape) != (second.domain_shape, second.range_shape):
            raise ValueError(f"{first!r} + {second!r} do not fit: their shapes differ")
        _check_one_kind("added", (first, second))
        super().__init__(first.domain_shape, first.range_shape)
        self.first = first
        self.second = second
        self.complex_domain = first.complex_domain
        self.complex_range = first.complex_range
        self.nonnegative = first.nonnegative and second.nonnegative

    def _apply(self, x: Array, out: Array) -> None:
        self.first(x, out)
        out += self.second(x)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.first.apply_adjoint(y, out)
        out += self.second.apply_adjoint(y)

    def _norm(self) -> float:
        return min(self.first.norm() + self.second.norm(), super()._norm())

    @property
    def data(self) -> tuple[Array, ...]:
        return self.first.data + self.second.data

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
        self.scale: float = scale
        self.operator: LinearOperator = operator
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

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return self.operator._solve_normal(tau * self.scale**2, y)

    @property
    def has_solve_normal(self) -> bool:
        return self.operator.has_solve_normal

    @property
    def data(self) -> tuple[Array, ...]:
        return self.operator.data

    def __repr__(self) -> str:
        return f"{self.scale:g} * {_factor(self.operator)}"


class Stack(LinearOperator):
    """Several operators on one array; their results are flattened and joined end to end."""

    def __init__(self, operators: Sequence[LinearOperator]):
        self.operators = tuple(operators)
        if not self.operators:
            raise ValueError("stack needs at least one operator")
        shapes = {A.domain_shape for A in self.operators}
        if len(shapes) > 1:
            raise ValueError(f"stacked operators must share one domain, got {sorted(shapes)}")
        _check_one_kind("stacked", self.operators)
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

    @property
    def data(self) -> tuple[Array, ...]:
        return tuple(a for A in self.operators for a in A.data)

    def __repr__(self) -> str:
        return "stack([" + ", ".join(map(repr, self.operators)) + "])"


def _check_one_kind(verb: str, operators: Sequence[LinearOperator]) -> None:
    if len({(A.complex_domain, A.complex_range) for A in operators}) > 1:
        raise ValueError(f"{verb} operators must be all real or all complex, got {list(operators)}")


def _is_adjoint_of(outer: LinearOperator, inner: LinearOperator) -> bool:
    return isinstance(outer, Adjoint) and outer.operator is inner


def _factor(A: LinearOperator) -> str:
    """The name of an operator inside a product."""
    return f"({A!r})" if isinstance(A, Scaled) else repr(A)


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
        if not 0 <= index < len(self.shapes):
            raise ValueError(f"index must be from 0 to {len(self.shapes) - 1}, got {index}")
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
