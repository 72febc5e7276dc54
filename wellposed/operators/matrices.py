"""Operators from matrices, and adapters from and to SciPy."""

from __future__ import annotations

import math
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, Shape, as_shape
from wellposed.operators._host import HostOperator

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

# SciPy's parts take longer to import than this package: each is imported where it is used.

DECOMPOSE_BELOW = 1024
"""Smaller side of a dense matrix up to which its singular value decomposition is computed."""

TRANSPOSE_BELOW = 1 << 28
"""Bytes of a sparse matrix up to which its transpose is stored too, for a quicker adjoint."""


class DenseMatrix(LinearOperator):
    """A dense matrix; see `Matrix`."""

    def __init__(self, matrix: Array, domain_shape: Any = None, range_shape: Any = None):
        matrix = arrays.as_floating(matrix, "matrix", complex_allowed=True)
        super().__init__(*_matrix_shapes(tuple(matrix.shape), domain_shape, range_shape))
        arrays.check_finite(matrix, "matrix")
        by_columns = type(matrix) is np.ndarray and matrix.flags.f_contiguous
        self._matrix = arrays.Constant(matrix if by_columns else arrays.contiguous(matrix))
        self.complex_domain = self.complex_range = self._matrix.complex

    @cached_property
    def nonnegative(self) -> bool:  # type: ignore[override]
        """Whether all entries are at least 0."""
        return not self._matrix.complex and bool(arrays.namespace(self.matrix).all(self.matrix >= 0))

    @property
    def matrix(self) -> Array:
        """The matrix, of shape ``A.shape``."""
        return self._matrix.array

    @property
    def data(self) -> tuple[Array, ...]:
        return () if type(self.matrix) is np.ndarray else (self.matrix,)

    def _apply(self, x: Array, out: Array) -> None:
        _product(self._matrix.like(x), x, out)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        if not self._matrix.complex:
            _product(self._matrix.like(y).T, y, out)
            return
        # A* y is the conjugate of A^T conj(y), which spares a conjugated copy of the matrix.
        xp = arrays.namespace(y)
        _product(self._matrix.like(y).T, xp.conj(y), out)
        out[...] = xp.conj(out)

    @property
    def has_solve_normal(self) -> bool:
        """Whether the matrix is in host memory and small enough to be decomposed."""
        return not self.data and min(self.shape) <= DECOMPOSE_BELOW

    def _norm(self) -> float:
        return _largest_singular_value(self.matrix) if self.has_solve_normal else super()._norm()

    def _solve_normal(self, tau: float, y: Array) -> Array:
        singular, right = self._decomposition
        xp = arrays.namespace(y)
        gain = arrays.Constant(tau * singular**2 / (1 + tau * singular**2)).like(y)
        right = self._right.like(y)
        flat = xp.reshape(y, (-1,))
        waves = gain * (right @ flat)
        back = xp.conj(right.T) @ waves if self._matrix.complex else right.T @ waves
        return xp.reshape(flat - back, self.domain_shape)

    @cached_property
    def _decomposition(self) -> tuple[np.ndarray, np.ndarray]:
        """Singular values, and right singular vectors as rows, in double precision."""
        kind = np.complex128 if self._matrix.complex else np.float64
        _, singular, right = np.linalg.svd(self.matrix.astype(kind), full_matrices=False)
        return singular, right

    @cached_property
    def _right(self) -> arrays.Constant:
        return arrays.Constant(np.ascontiguousarray(self._decomposition[1]))

    def __repr__(self) -> str:
        return f"Matrix({self.shape[0]} x {self.shape[1]})"


class SparseMatrix(HostOperator):
    """A SciPy sparse matrix in host memory; see `Matrix`."""

    def __init__(self, matrix: Any, domain_shape: Any = None, range_shape: Any = None):
        import scipy.sparse

        super().__init__(*_matrix_shapes(matrix.shape, domain_shape, range_shape))
        self._transposed: bool = matrix.format == "csc"
        given = scipy.sparse.csc_array(matrix).T if self._transposed else scipy.sparse.csr_array(matrix)
        if given.dtype.kind not in "biuf":
            raise TypeError(f"a sparse matrix must hold real numbers, got {given.dtype}")
        if given.dtype not in (np.float32, np.float64):
            given = given.astype(np.float64)
        arrays.check_finite(given.data, "the sparse matrix")
        self._given: np.dtype[Any] = given.dtype
        self._by_dtype: dict[tuple[np.dtype[Any], bool], Any] = {(self._given, self._transposed): given}
        self.nonnegative = given.nnz == 0 or float(given.data.min()) >= 0

    @property
    def matrix(self) -> Any:
        """The matrix in the precision in which it was given."""
        return self._rows(self._given, False)

    def _rows(self, dtype: np.dtype[Any], transposed: bool) -> Any:
        """The matrix or its transpose in a dtype: by rows, unless a second layout would be too large."""
        if (dtype, transposed) not in self._by_dtype:
            if transposed == self._transposed:
                matrix = self._by_dtype[self._given, transposed].astype(dtype)
            else:
                other = self._rows(dtype, not transposed)
                stored = other.data.nbytes + other.indices.nbytes <= TRANSPOSE_BELOW
                matrix = other.T.tocsr() if stored else other.T
            self._by_dtype[dtype, transposed] = matrix
        return self._by_dtype[dtype, transposed]

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        out.reshape(-1)[...] = self._rows(x.dtype, False) @ x.reshape(-1)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        out.reshape(-1)[...] = self._rows(y.dtype, True) @ y.reshape(-1)

    def __repr__(self) -> str:
        entries = self._by_dtype[self._given, self._transposed].nnz
        return f"Matrix({self.shape[0]} x {self.shape[1]}, {entries} entries)"


def Matrix(matrix: Any, domain_shape: Any = None, range_shape: Any = None) -> DenseMatrix | SparseMatrix:
    """The operator of a matrix: ``A(x) = matrix @ x`` on flattened arrays.

    Parameters
    ----------
    matrix : array or SciPy sparse matrix
        Of shape ``(m, n)``. A NumPy array serves inputs of every library and device, an array of
        another library those of its own kind, a sparse matrix those in host memory. Products run
        in the precision of the input. A complex dense matrix takes complex arrays.
    domain_shape, range_shape : tuple of int, optional
        Shapes of ``x`` and of ``A(x)``, with ``n`` and ``m`` entries (default: flat).

    Returns
    -------
    LinearOperator
        Up to 1024 rows or columns, a dense matrix has its exact norm, and a closed form of
        ``solve_normal``, from one singular value decomposition. Other norms are bounds.

    Raises
    ------
    ValueError
        If the shapes do not fit or the matrix has non-finite entries.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = wp.operators.Matrix(np.array([[1.0, 2.0], [0.0, 1.0]]))
    >>> A(np.array([1.0, 1.0])), A.T(np.array([1.0, 1.0]))
    (array([3., 1.]), array([1., 3.]))
    """
    if _is_sparse(matrix):
        return SparseMatrix(matrix, domain_shape, range_shape)
    return DenseMatrix(matrix, domain_shape, range_shape)


def _is_sparse(matrix: Any) -> bool:
    """Whether this is a matrix of `scipy.sparse`, which whoever made it has imported."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(matrix))


class FromScipy(HostOperator):
    """A SciPy linear operator on arrays of any shape; see `from_scipy`."""

    def __init__(self, operator: Any, domain_shape: Any = None, range_shape: Any = None):
        from scipy.sparse.linalg import aslinearoperator

        self.wrapped = aslinearoperator(operator)
        super().__init__(*_matrix_shapes(self.wrapped.shape, domain_shape, range_shape))
        dtype = self.wrapped.dtype
        self.complex_domain = self.complex_range = dtype is not None and np.dtype(dtype).kind == "c"

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        out.reshape(-1)[...] = self.wrapped.matvec(x.reshape(-1))

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        out.reshape(-1)[...] = self.wrapped.rmatvec(y.reshape(-1))


def from_scipy(operator: Any, domain_shape: Any = None, range_shape: Any = None) -> LinearOperator:
    """An operator from a `scipy.sparse.linalg.LinearOperator`, or from anything that SciPy takes as one.

    PyLops operators are such objects. The adjoint is the operator's ``rmatvec``; check a new one
    with ``wellposed.testing.check_operator``.

    Parameters
    ----------
    operator : LinearOperator of SciPy
        With ``matvec`` and ``rmatvec``. A complex dtype makes the domain and range complex.
    domain_shape, range_shape : tuple of int, optional
        Shapes of ``x`` and of ``A(x)`` (default: the operator's own ``dims`` and ``dimsd``, as
        PyLops has them, else flat).

    Returns
    -------
    LinearOperator
        It gives back the precision of its input, in whichever precision the wrapped operator computes.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> from scipy.sparse.linalg import aslinearoperator
    >>> wp.operators.from_scipy(aslinearoperator(np.ones((1, 4))), (2, 2))(np.ones((2, 2)))
    array([4.])
    """
    if domain_shape is None:
        domain_shape = getattr(operator, "dims", None)
    if range_shape is None:
        range_shape = getattr(operator, "dimsd", None)
    return FromScipy(operator, domain_shape, range_shape)


def to_scipy(A: LinearOperator, dtype: Any = np.float64) -> ScipyOperator:
    """``A`` as a `scipy.sparse.linalg.LinearOperator` on flattened arrays of ``dtype``.

    A complex operator gets the complex dtype of the same precision.
    """
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

    kind = np.dtype(dtype)
    if A.complex_domain or A.complex_range:
        kind = np.result_type(kind, np.complex64)

    def matvec(x: np.ndarray) -> np.ndarray:
        return _flat(A(_input(x, kind, A.complex_domain).reshape(A.domain_shape)))

    def rmatvec(y: np.ndarray) -> np.ndarray:
        return _flat(A.apply_adjoint(_input(y, kind, A.complex_range).reshape(A.range_shape)))

    return ScipyOperator(A.shape, matvec=matvec, rmatvec=rmatvec, dtype=kind)


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1)


def _input(x: np.ndarray, kind: np.dtype[Any], complex_wanted: bool) -> np.ndarray:
    """A vector from SciPy, which may be an integer or column vector, in the precision asked for."""
    x = np.asarray(x)
    if complex_wanted or kind.kind != "c":
        return x.astype(kind, copy=False)
    if x.dtype.kind == "c" and np.any(x.imag):
        raise ValueError("the operator takes real arrays, got a complex one")
    return x.real.astype(np.finfo(kind).dtype, copy=False)


def _product(matrix: Array, x: Array, out: Array) -> None:
    """Write the product of a matrix with the flattened ``x`` into ``out``."""
    if type(x) is np.ndarray:
        np.matmul(matrix, x.reshape(-1), out=out.reshape(-1))
    else:
        out[...] = arrays.namespace(x).reshape(
            matrix @ arrays.namespace(x).reshape(x, (-1,)), tuple(out.shape)
        )


def _matrix_shapes(shape: Any, domain_shape: Any, range_shape: Any) -> tuple[Shape, Shape]:
    """Domain and range shape of a matrix, checked against its rows and columns."""
    if len(shape) != 2:
        raise ValueError(f"a matrix has two dimensions, got shape {tuple(shape)}")
    rows, columns = int(shape[0]), int(shape[1])
    domain = (columns,) if domain_shape is None else as_shape(domain_shape, "domain_shape")
    range_ = (rows,) if range_shape is None else as_shape(range_shape, "range_shape")
    if math.prod(domain) != columns or math.prod(range_) != rows:
        raise ValueError(
            f"a matrix of {rows} x {columns} takes {columns} entries and gives {rows}: "
            f"domain_shape {domain} and range_shape {range_} do not fit"
        )
    return domain, range_


def _largest_singular_value(matrix: np.ndarray) -> float:
    """By the Gram matrix of the shorter side, which takes a fraction of the time of a decomposition."""
    A = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    import scipy.linalg

    scale = float(np.max(np.abs(A)))
    if not 0 < scale < math.inf:
        return scale
    A = (A / scale).astype(np.complex128 if np.iscomplexobj(A) else np.float64)
    last = len(A) - 1
    (square,) = scipy.linalg.eigvalsh(A @ A.conj().T, subset_by_index=[last, last])
    return scale * math.sqrt(float(square))
