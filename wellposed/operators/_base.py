"""`LinearOperator`: a linear map with its exact adjoint and a bounded norm, and their algebra.

A new operator is a subclass with three methods: ``_apply`` and ``_apply_adjoint`` (which write
into ``out``) and, where one exists, a closed form of the norm in ``_norm``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._bounds import collatz_wielandt_bound, lanczos_bound

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

Shape = tuple[int, ...]


class LinearOperator:
    r"""A linear map :math:`A` between arrays of two fixed shapes.

    Parameters
    ----------
    domain_shape, range_shape : tuple of int
        Shape of ``x`` and of ``A(x)``.

    Notes
    -----
    ``A(x)`` applies the operator, ``A.T`` (or ``A.adjoint``) is its adjoint with
    :math:`\langle A x, y\rangle = \langle x, A^* y\rangle` to rounding, ``A.norm()`` is an upper
    bound of the largest singular value. Operators compose: ``A @ B``, ``A + B``, ``A - B``,
    ``2 * A``, ``A.gram`` (that is ``A.T @ A``), `stack`. Complex arrays are taken with the real
    inner product :math:`\mathrm{Re}\sum \bar a b`. Arrays are taken and given back in their kind, on
    their device, in their precision; an ``out`` is written in place and must not overlap the input.
    """

    # NumPy leaves `number * A` to this class, and refuses `array * A`.
    __array_ufunc__ = None

    complex_domain = False
    complex_range = False
    nonnegative = False
    """Whether all entries of the matrix are known to be at least 0."""

    @property
    def isometry(self) -> bool:
        """Whether ``A.T @ A`` is known to be the identity."""
        return False

    def __init__(self, domain_shape: Sequence[int], range_shape: Sequence[int]):
        self.domain_shape = as_shape(domain_shape, "domain_shape")
        self.range_shape = as_shape(range_shape, "range_shape")

    # --- what a subclass writes ---------------------------------------------------------------

    def _apply(self, x: Array, out: Array) -> None:
        """Write ``A x`` into ``out``, every entry of it."""
        raise TypeError(f"{type(self).__name__} does not define _apply")

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        """Write ``A* y`` into ``out``, every entry of it."""
        raise TypeError(f"{type(self).__name__} does not define _apply_adjoint")

    def _norm(self) -> float:
        """An upper bound of the norm; a closed form where one exists."""
        return collatz_wielandt_bound(self) if self.nonnegative else lanczos_bound(self)

    def _solve_normal(self, tau: float, y: Array) -> Array:
        """``(I + tau A*A)^-1 y`` of a checked ``y``, where a closed form exists."""
        raise TypeError(f"{type(self).__name__} does not define _solve_normal")

    def gram_symbol(self) -> np.ndarray | None:
        """Approximate eigenvalues of ``A* A`` in the basis of the cosine transform, of the domain's shape.

        ``None`` where none is known that pays. Solvers use it as a preconditioner; no proof rests on it.
        """
        return None

    @property
    def has_solve_normal(self) -> bool:
        """Whether `solve_normal` has a closed form here."""
        return type(self)._solve_normal is not LinearOperator._solve_normal

    @property
    def data(self) -> tuple[Array, ...]:
        """Arrays inside that tie the operator to their library and device; empty where it takes any."""
        return ()

    # --- parameters ---------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[Any, ...]:
        """All `wellposed.Parameter` objects inside that can be learned."""
        return ()

    def with_parameters(self, values: dict[str, Any]) -> LinearOperator:
        """A copy in which the parameters named in ``values`` have those values."""
        return self

    def parameter_product(self, x: Array, y: Array) -> dict[str, Any]:
        r"""The derivative of :math:`\langle A(\theta) x, y\rangle` along each parameter, by name."""
        return {}

    # --- application --------------------------------------------------------------------------

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Apply the operator: ``A(x)``; the result is written into ``out`` if that is given."""
        x = self._check_input(x, self.domain_shape, self.complex_domain)
        dtype = arrays.complex_dtype(x) if self.complex_range else arrays.real_dtype(x)
        if out is None:
            out = arrays.empty(self.range_shape, x, dtype)
        else:
            self._check_output(out, self.range_shape, x, dtype)
        self._apply(x, out)
        return out

    def apply_adjoint(self, y: Array, out: Array | None = None) -> Array:
        """Apply the adjoint: the same as ``A.T(y)``."""
        y = self._check_input(y, self.range_shape, self.complex_range)
        dtype = arrays.complex_dtype(y) if self.complex_domain else arrays.real_dtype(y)
        if out is None:
            out = arrays.empty(self.domain_shape, y, dtype)
        else:
            self._check_output(out, self.domain_shape, y, dtype)
        self._apply_adjoint(y, out)
        return out

    def solve_normal(self, tau: float, y: Array) -> Array:
        r""":math:`(I + \tau A^*A)^{-1} y` for ``tau >= 0``, where a closed form exists (`has_solve_normal`).

        Raises
        ------
        TypeError
            If the operator has no closed form.
        ValueError
            If ``tau`` is negative or not finite, or ``y`` has another shape than ``domain_shape``.
        """
        if not self.has_solve_normal:
            raise TypeError(f"{self!r} has no closed form of (I + tau A*A)^-1: use conjugate gradients")
        tau = float(tau)
        if not (math.isfinite(tau) and tau >= 0):
            raise ValueError(f"tau must be finite and at least 0, got {tau}")
        return self._solve_normal(tau, self._check_input(y, self.domain_shape, self.complex_domain))

    def _check_input(self, x: Array, shape: Shape, complex_allowed: bool) -> Array:
        if not (type(x) is np.ndarray and x.dtype in (np.float32, np.float64)):
            x = arrays.as_floating(x, f"the input of {self!r}", complex_allowed)
        if tuple(x.shape) != shape:
            raise ValueError(f"{self!r} takes arrays of shape {shape}, got {tuple(x.shape)}")
        if complex_allowed and not arrays.is_complex(x):
            x = arrays.namespace(x).astype(x, arrays.complex_dtype(x))
        return arrays.contiguous(x)

    def _check_output(self, out: Array, shape: Shape, x: Array, dtype: Any) -> None:
        if not isinstance(out, type(x)):
            arrays.namespace(x, out)
        if tuple(out.shape) != shape or out.dtype != dtype:
            wanted = np.dtype(dtype) if type(x) is np.ndarray else dtype
            raise ValueError(
                f"{self!r} needs an out of shape {shape} and {wanted}, got {tuple(out.shape)}, {out.dtype}"
            )
        if not arrays.is_contiguous(out):
            raise ValueError(f"the out of {self!r} must be C-contiguous")
        if type(out) is np.ndarray and not out.flags.writeable:
            raise ValueError(f"the out of {self!r} is read-only")
        if type(out) is np.ndarray and np.may_share_memory(out, x):
            raise ValueError(f"the out of {self!r} overlaps its input: give it memory of its own")

    # --- properties ---------------------------------------------------------------------------

    @cached_property
    def _cached_norm(self) -> float:
        return float(self._norm())

    def norm(self) -> float:
        """An upper bound of the operator norm, computed once.

        A closed form where one exists. Otherwise, for entries at least 0, the rigorous bound of
        Collatz and Wielandt; for others a Lanczos bound that fails with a probability of 1e-6 and is
        at most some 5 % too large.
        """
        return self._cached_norm

    @property
    def adjoint(self) -> LinearOperator:
        """The adjoint operator; its own adjoint is this operator."""
        return Adjoint(self)

    @property
    def T(self) -> LinearOperator:
        """Short for `adjoint`."""
        return self.adjoint

    @property
    def gram(self) -> LinearOperator:
        """``A.T @ A``."""
        return self.T @ self

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix of this operator."""
        return math.prod(self.range_shape), math.prod(self.domain_shape)

    def to_scipy(self, dtype: Any = np.float64) -> ScipyOperator:
        """This operator as a `scipy.sparse.linalg.LinearOperator` on flattened arrays."""
        from wellposed.operators.matrices import to_scipy

        return to_scipy(self, dtype)

    def to_dense(self, dtype: Any = np.float64) -> np.ndarray:
        """The matrix of this operator on flattened real arrays, for small operators and tests.

        A complex operator gives a complex matrix, of its values on real arrays.
        """
        rows, columns = self.shape
        kind = np.result_type(dtype, np.complex64) if self.complex_range else np.dtype(dtype)
        matrix = np.empty((rows, columns), kind)
        unit = np.zeros(columns, dtype)
        for k in range(columns):
            unit[k] = 1
            matrix[:, k] = self(unit.reshape(self.domain_shape)).reshape(-1)
            unit[k] = 0
        return matrix

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain_shape} -> {self.range_shape})"

    # --- algebra ------------------------------------------------------------------------------

    def __matmul__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            if hasattr(other, "shape"):
                raise TypeError("A @ B composes two operators; to apply an operator to an array write A(x)")
            return NotImplemented
        from wellposed.operators.algebra import Composition

        return Composition(self, other)

    def __add__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        from wellposed.operators.algebra import Sum

        return Sum(self, other)

    def __sub__(self, other: Any) -> LinearOperator:
        if not isinstance(other, LinearOperator):
            return NotImplemented
        return self + (-1.0) * other

    def __neg__(self) -> LinearOperator:
        return (-1.0) * self

    def __rmul__(self, scale: Any) -> LinearOperator:
        if not isinstance(scale, numbers.Real):
            return NotImplemented
        from wellposed.operators.algebra import Scaled

        return Scaled(float(scale), self)

    __mul__ = __rmul__


class Adjoint(LinearOperator):
    """The adjoint of an operator."""

    def __init__(self, operator: LinearOperator):
        super().__init__(operator.range_shape, operator.domain_shape)
        self.operator = operator
        self.complex_domain = operator.complex_range
        self.complex_range = operator.complex_domain
        self.nonnegative = operator.nonnegative

    def _apply(self, x: Array, out: Array) -> None:
        self.operator._apply_adjoint(x, out)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self.operator._apply(y, out)

    def _norm(self) -> float:
        return self.operator.norm()

    @property
    def data(self) -> tuple[Array, ...]:
        return self.operator.data

    @property
    def adjoint(self) -> LinearOperator:
        return self.operator

    def __repr__(self) -> str:
        return f"{self.operator!r}.T"


def as_shape(shape: Any, name: str) -> Shape:
    """A shape as a tuple of positive integers, or an error that names it."""
    try:
        sizes = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a tuple of integers, got {shape!r}") from None
    if not sizes or min(sizes) < 1:
        raise ValueError(f"{name} must hold positive sizes, got {shape!r}")
    return sizes
