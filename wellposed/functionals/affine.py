"""The indicator of the solutions of linear equations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix
from wellposed.operators.matrix_product import MatrixProduct

ROUNDING = 64.0
"""Rounding units, besides the root of the size, within which equations hold."""

INNER_LIMIT = 20_000
"""Steps of conjugate gradients after which a projection is given up."""


@dataclass(frozen=True, eq=False)
class AffineConstraint(Functional):
    r"""Indicator of the solutions of :math:`A x = b`; ``prox`` is the orthogonal projection onto them.

    .. math:: P(z) = z - A^+ (A z - b)

    Parameters
    ----------
    A : LinearOperator
        Rows may depend on each other.
    b : array
        Of the shape of the range of ``A``.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, ``b`` is not finite, or no ``x`` satisfies the equations.
    ArithmeticError
        If a projection by conjugate gradients does not reach the precision of the data.

    Notes
    -----
    Equations hold if :math:`\|A x - b\| \le (64 + \sqrt n)\, \epsilon\, (\|A\| \|x\| + \|b\|)`, with
    :math:`\epsilon` the resolution of the dtype. A dense matrix with at most 1024 rows or columns is
    decomposed once, in double precision; for other operators each projection is a run of conjugate
    gradients (CGLS) until its own residual is at rounding.
    For noisy data the equations are too strict: take ``LeastSquares(A, b)`` or ``L2Ball(r, b) @ A``.
    The conjugate is :math:`\langle x_0, y\rangle` with :math:`x_0 = A^+ b` where ``y`` is in the range of
    :math:`A^*`, else infinite.

    Examples
    --------
    The shortest and the sparsest solution of one equation:

    >>> import numpy as np, wellposed as wp
    >>> equations = wp.AffineConstraint(wp.operators.Matrix(np.array([[1.0, 2.0]])), np.array([5.0]))
    >>> equations.prox(np.zeros(2))
    array([1., 2.])
    >>> wp.minimize(wp.L1() + equations, tol=1e-6).x.round(4)
    array([0. , 2.5])
    """

    A: LinearOperator
    b: Array

    def __post_init__(self) -> None:
        if not isinstance(self.A, LinearOperator):
            raise TypeError(
                f"A must be a LinearOperator, got {type(self.A).__name__}; "
                "wrap a matrix with wellposed.operators.Matrix"
            )
        if self.A.complex_domain:
            raise TypeError(f"AffineConstraint takes operators on real arrays, {self.A!r} takes complex ones")
        object.__setattr__(self, "b", arrays.as_floating(self.b, "b", self.A.complex_range))
        arrays.check_finite(self.b, "b")
        if tuple(self.b.shape) != self.A.range_shape:
            raise ValueError(f"b has shape {tuple(self.b.shape)}, but {self.A!r} gives {self.A.range_shape}")
        missed = arrays.norm(self.A(self.shortest) - self.b)
        if missed > self._allowed(self.shortest):
            raise ValueError(
                f"no x satisfies A x = b: the least ||A x - b|| is {missed:.3g}, "
                f"{missed / arrays.norm(self.b):.2g} of ||b||; "
                "for noisy data take LeastSquares(A, b), or L2Ball(radius, b) @ A"
            )

    @property
    def traits(self) -> Traits:
        return Traits(indicator=True)

    @property
    def shape(self) -> Shape | None:
        return self.A.domain_shape

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.b,)

    @property
    def _resolution(self) -> float:
        return (ROUNDING + math.sqrt(max(self.A.shape))) * arrays.epsilon(self.b)

    def _allowed(self, x: Array) -> float:
        """Size of a residual that is rounding."""
        return self._resolution * (self.A.norm() * arrays.norm(x) + arrays.norm(self.b))

    # --- projections --------------------------------------------------------------------------

    @cached_property
    def _rows(self) -> _Decomposed | None:
        decomposable = isinstance(self.A, (DenseMatrix, MatrixProduct)) and self.A.has_solve_normal
        if not decomposable or self.A.complex_range:
            return None
        assert isinstance(self.A, (DenseMatrix, MatrixProduct))
        return _Decomposed(arrays.to_numpy(self.A.matrix))

    @cached_property
    def shortest(self) -> Array:
        """The solution of least norm, :math:`A^+ b`."""
        if self._rows is not None:
            return arrays.namespace(self.b).reshape(self._rows.lift(self.b), self.A.domain_shape)
        start = arrays.zeros(self.A.domain_shape, self.b, arrays.real_dtype(self.b))
        least = self._resolution * arrays.norm(self.b)
        tight = self._resolution * self.A.norm()

        def solved(r: Array, s: Array) -> bool:
            size = arrays.norm(r)
            return size <= least or arrays.norm(s) <= tight * size

        return _least_squares(self.A, self.A.apply_adjoint, self.b, start, solved)[0]

    def _homogeneous_part(self, z: Array) -> Array:
        """The orthogonal projection of ``z`` onto the kernel of ``A``, to rounding of itself."""
        part = self._kernel(z)
        # What was cancelled leaves rounding errors of its size.
        return self._kernel(part) if arrays.norm(part) < 0.1 * arrays.norm(z) else part

    def _kernel(self, z: Array) -> Array:
        if self._rows is not None:
            return z - self._rows.project(z)
        start = arrays.zeros(self.A.range_shape, z, self.b.dtype if arrays.is_complex(self.b) else None)
        allowed = self._resolution * self.A.norm() * arrays.norm(z)
        return _least_squares(self.A.apply_adjoint, self.A, z, start, lambda r, s: arrays.norm(s) <= allowed)[
            1
        ]

    # --- the functional -----------------------------------------------------------------------

    def __call__(self, x: Array) -> float:
        return 0.0 if arrays.norm(self.A(x) - self.b) <= self._allowed(x) else math.inf

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self.shortest + self._homogeneous_part(x)

    def _conjugate(self, y: Array) -> float:
        outside = arrays.norm(self._homogeneous_part(y))
        return arrays.inner(self.shortest, y) if outside <= self._resolution * arrays.norm(y) else math.inf

    def project_dual(self, y: Array) -> Array:
        return y - self._homogeneous_part(y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return f"AffineConstraint({self.A!r}, b)"


class _Decomposed:
    """The pseudo-inverse of a matrix and the projection onto its rows, from one decomposition."""

    def __init__(self, matrix: np.ndarray):
        left, singular, right = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
        resolution = float(np.finfo(matrix.dtype).eps) * max(matrix.shape)
        rank = int(np.sum(singular > resolution * singular.max(initial=0.0)))
        self._right = arrays.Constant(np.ascontiguousarray(right[:rank]))
        self._inverse = arrays.Constant((right[:rank].T / singular[:rank]) @ left[:, :rank].T)

    def project(self, z: Array) -> Array:
        """The part of ``z`` in the span of the rows."""
        right = self._right.like(z)
        columns = arrays.namespace(z).reshape(z, (right.shape[1], -1))
        return arrays.namespace(z).reshape(right.T @ (right @ columns), tuple(z.shape))

    def lift(self, b: Array) -> Array:
        """The pseudo-inverse applied to ``b``."""
        inverse = self._inverse.like(b)
        return inverse @ arrays.namespace(b).reshape(b, (inverse.shape[1], -1))


def _least_squares(
    forward: Callable[[Array], Array],
    adjoint: Callable[[Array], Array],
    data: Array,
    start: Array,
    solved: Callable[[Array, Array], bool],
) -> tuple[Array, Array]:
    """The shortest ``w`` with least ``||forward(w) - data||``, and the residual, by CGLS.

    Ends when ``solved`` says so of the residual and of the gradient, ``adjoint`` of it.
    """
    w, r = start, data
    s = adjoint(r)
    p, square = s, arrays.inner(s, s)
    for _ in range(INNER_LIMIT):
        if solved(r, s):
            # The recursion drifts: the end is decided by the residual itself.
            r = data - forward(w)
            s = adjoint(r)
            p, square = s, arrays.inner(s, s)
            if solved(r, s):
                return w, r
        q = forward(p)
        step = square / arrays.inner(q, q)
        w, r = w + step * p, r - step * q
        s = adjoint(r)
        square, previous = arrays.inner(s, s), square
        p = s + (square / previous) * p
    raise ArithmeticError(
        f"the projection onto A x = b did not converge in {INNER_LIMIT} steps of conjugate gradients: "
        "A is too badly conditioned; rescale its rows, or use float64"
    )
