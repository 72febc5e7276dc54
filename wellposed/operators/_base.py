"""`LinearOperator`: a linear map with its exact adjoint and a bounded norm, and their algebra.

A new operator is a subclass with three methods: ``_apply`` and ``_apply_adjoint`` (which write
into ``out``) and, where one exists, a closed form of the norm in ``_norm``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

Shape = tuple[int, ...]

REORTHOGONALISE_BELOW = 1 << 18
"""Size up to which `lanczos_bound` keeps all its vectors."""


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
    inner product :math:`\mathrm{Re}\sum \bar a b`.
    """

    complex_domain = False
    complex_range = False
    nonnegative = False
    """Whether all entries of the matrix are known to be at least 0."""

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

    def solve_normal(self, tau: float, y: Array) -> Array:
        r""":math:`(I + \tau A^*A)^{-1} y`, for operators that have a closed form (see `has_solve_normal`)."""
        raise TypeError(f"{type(self).__name__} has no closed form of (I + tau A*A)^-1")

    @property
    def has_solve_normal(self) -> bool:
        """Whether `solve_normal` has a closed form here."""
        return type(self).solve_normal is not LinearOperator.solve_normal

    # --- application --------------------------------------------------------------------------

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Apply the operator: ``A(x)``; the result is written into ``out`` if that is given."""
        x = self._check_input(x, self.domain_shape, self.complex_domain)
        if out is None:
            out = arrays.empty(self.range_shape, x, self._dtype(x, self.complex_range))
        self._apply(x, out)
        return out

    def apply_adjoint(self, y: Array, out: Array | None = None) -> Array:
        """Apply the adjoint: the same as ``A.T(y)``."""
        y = self._check_input(y, self.range_shape, self.complex_range)
        if out is None:
            out = arrays.empty(self.domain_shape, y, self._dtype(y, self.complex_domain))
        self._apply_adjoint(y, out)
        return out

    def _check_input(self, x: Array, shape: Shape, complex_allowed: bool) -> Array:
        if not (type(x) is np.ndarray and x.dtype in (np.float32, np.float64) and x.flags.c_contiguous):
            x = arrays.as_floating(x, f"the input of {self!r}", complex_allowed)
            if type(x) is np.ndarray:
                x = np.ascontiguousarray(x)
            elif hasattr(x, "is_contiguous"):
                x = x.contiguous()
            if complex_allowed and not arrays.is_complex(x):
                x = arrays.namespace(x).astype(x, arrays.complex_dtype(x))
        elif complex_allowed:
            x = x.astype(arrays.complex_dtype(x))
        if tuple(x.shape) != shape:
            raise ValueError(f"{self!r} takes arrays of shape {shape}, got {tuple(x.shape)}")
        return x

    @staticmethod
    def _dtype(x: Array, complex_wanted: bool) -> Any:
        return arrays.complex_dtype(x) if complex_wanted else arrays.real_dtype(x)

    # --- properties ---------------------------------------------------------------------------

    @cached_property
    def _cached_norm(self) -> float:
        return float(self._norm())

    def norm(self) -> float:
        """An upper bound of the operator norm, computed once."""
        return self._cached_norm

    @property
    def adjoint(self) -> LinearOperator:
        """The adjoint operator; its own adjoint is this operator."""
        return Adjoint(self)

    @property
    def T(self) -> LinearOperator:  # noqa: N802
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
        """The matrix of this operator on flattened real arrays, for small operators and tests."""
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
        if not isinstance(scale, (int, float)):
            return NotImplemented
        from wellposed.operators.algebra import Scaled

        return Scaled(float(scale), self)


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


def collatz_wielandt_bound(A: LinearOperator, steps: int = 8, wanted: float = 1.02) -> float:
    r"""Rigorous upper bound of the norm of an operator with entries at least 0.

    For every positive vector ``v`` the largest eigenvalue of :math:`A^*A` is at most
    :math:`\max_j (A^*A v)_j / v_j` (Collatz and Wielandt). Power iterations from the vector of
    ones make the bound tight; they stop once it is within ``wanted`` of the Rayleigh quotient.
    """
    v = np.ones(A.domain_shape)
    bound = math.inf
    for _ in range(steps):
        w = A.apply_adjoint(A(v))
        bound = min(bound, float(np.max(w / v)))
        rayleigh = arrays.inner(v, w) / arrays.inner(v, v)
        if bound == 0.0 or bound <= wanted**2 * rayleigh:
            break
        v = np.maximum(w, 1e-3 * float(w.max())) / float(w.max())
    rounding = 1.0 + 1e-10
    return math.sqrt(bound) * rounding


def lanczos_bound(A: LinearOperator, steps: int = 40, failure: float = 1e-6) -> float:
    r"""Upper bound of the norm from Lanczos steps on :math:`A^*A` with a random start (fixed seed).

    After ``k`` steps in dimension ``n`` the largest Ritz value :math:`\theta` satisfies
    :math:`\lambda_{\max} \le \theta / (1 - \epsilon)` except with probability
    :math:`1.648 \sqrt{n} \exp(-\sqrt{\epsilon} (2k - 1))` (Kuczynski and Wozniakowski, 1992);
    :math:`\epsilon` is set so that this probability is ``failure``. When the Krylov space is
    exhausted first, the Ritz value is exact.
    """
    size = math.prod(A.domain_shape)
    generator = np.random.default_rng(20240229)
    v = generator.standard_normal(size)
    if A.complex_domain:
        v = v + 1j * generator.standard_normal(size)
    basis = [v / np.linalg.norm(v)]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    exhausted = False
    for _ in range(min(steps, size)):
        w = np.asarray(A.apply_adjoint(A(basis[-1].reshape(A.domain_shape)))).reshape(-1)
        diagonal.append(float(np.vdot(basis[-1], w).real))
        for u in basis:
            w = w - np.vdot(u, w) * u
        beta = float(np.linalg.norm(w))
        if beta <= 1e-12 * max(max(map(abs, diagonal)), 1e-300):
            exhausted = True
            break
        off_diagonal.append(beta)
        basis.append(w / beta)
        if size > REORTHOGONALISE_BELOW:
            # Without it, copies of converged Ritz values appear; the largest one stays right.
            del basis[:-2]
    k = len(diagonal)
    ritz = np.diag(diagonal) + np.diag(off_diagonal[: k - 1], 1) + np.diag(off_diagonal[: k - 1], -1)
    theta = max(float(np.linalg.eigvalsh(ritz)[-1]), 0.0)
    if exhausted or k == size:
        return math.sqrt(theta) * (1 + 1e-8)
    epsilon = (math.log(1.648 * math.sqrt(size) / failure) / (2 * k - 1)) ** 2
    return math.sqrt(theta / (1 - epsilon))
