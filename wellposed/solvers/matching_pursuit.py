r"""Orthogonal matching pursuit: the feature of largest correlation, then least squares, again and again.

With the selected columns :math:`X_S` the factor :math:`L L^T = X_S^T X_S` grows by one row for each feature:
:math:`L v = X_S^T x_j` and :math:`\sqrt{\|x_j\|^2 - \|v\|^2}` on the diagonal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from wellposed import arrays
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, Matrix, SparseMatrix

DEPENDENT = 1e-10
"""Part of the squared length of a column that must be new for it to be selected, in double precision."""


@dataclass(frozen=True)
class Pursuit:
    """The outcome of `orthogonal_matching_pursuit`.

    Parameters
    ----------
    x : array
        Least squares coefficients on the selected features, 0 elsewhere; of the kind and dtype of the data.
    support : array of int
        The features in the order in which they were selected.
    residuals : array
        Norm of the residual before the first feature, and after each.
    status : {"count", "tolerance", "dependent", "orthogonal"}
        Why it ended: enough features, a small residual, only features that depend on the selected ones
        are left, or none is correlated with the residual.
    """

    x: Any
    support: np.ndarray
    residuals: np.ndarray
    status: str


def orthogonal_matching_pursuit(A: Any, b: Any, count: int | None = None, tol: float = 0.0) -> Pursuit:
    r"""Select features one by one: that of the largest correlation with the residual, then refit.

    .. math:: j = \arg\max_{j \notin S} |x_j^T (b - X_S w_S)|, \qquad w_S = \arg\min \|X_S w - b\|_2

    Parameters
    ----------
    A : LinearOperator, array or SciPy sparse matrix
        Real. Correlations are those with the columns as they are: give them one length if they are to
        compete on equal terms. Of an operator only products are used, one column at a time.
    b : array
        Real data, of the shape of the range of ``A``.
    count : int, optional
        Features at most (default: as many as there can be).
    tol : float
        End when the norm of the residual is at most ``tol`` times that of ``b``.

    Returns
    -------
    Pursuit

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, data are complex or not finite, or ``count`` or ``tol`` is out of range.

    Notes
    -----
    A greedy method: nothing bounds how far the support is from the best one of its size. Among equal
    correlations the first feature is taken.
    Source: Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, Orthogonal matching pursuit, 1993.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> found = wp.orthogonal_matching_pursuit(np.eye(4), np.array([0.1, 3.0, 0.0, -2.0]), count=2)
    >>> found.support, found.x
    (array([1, 3]), array([ 0.,  3.,  0., -2.]))
    """
    K = A if isinstance(A, LinearOperator) else Matrix(A)
    b = arrays.as_floating(b, "b")
    arrays.check_finite(b, "b")
    if K.complex_domain or K.complex_range:
        raise TypeError("orthogonal_matching_pursuit takes real operators")
    if tuple(b.shape) != K.range_shape:
        raise ValueError(f"b has shape {tuple(b.shape)}, but {K!r} gives {K.range_shape}")
    most = _most(K, count)
    if not (math.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    return _pursue(K, b, most, tol)


def _most(K: LinearOperator, count: int | None) -> int:
    rows, columns = K.shape
    if count is None:
        return min(rows, columns)
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= columns:
        raise ValueError(f"count must be an integer from 1 to {columns}, got {count!r}")
    return min(int(count), rows)


def _pursue(K: LinearOperator, b: Any, most: int, tol: float) -> Pursuit:
    target = arrays.to_host(b).reshape(-1).astype(np.float64)
    factor, columns = np.zeros((most, most)), np.zeros((len(target), most), order="F")
    support: list[int] = []
    barred = np.zeros(K.shape[1], bool)
    w, residual, status = np.zeros(0), target.copy(), "count"
    norms = [float(np.linalg.norm(target))]
    while len(support) < most:
        if norms[-1] <= tol * norms[0]:
            status = "tolerance"
            break
        j, column, row = _next(K, b, residual, barred, columns[:, : len(support)], factor)
        if j is None:
            status = "dependent" if barred.sum() > len(support) else "orthogonal"
            break
        k = len(support)
        support.append(j)
        barred[j] = True
        columns[:, k], factor[k, : k + 1] = column, row
        L, X = factor[: k + 1, : k + 1], columns[:, : k + 1]
        w = solve_triangular(L.T, solve_triangular(L, X.T @ target, lower=True))
        residual = target - X @ w
        norms.append(float(np.linalg.norm(residual)))
    x = np.zeros(K.shape[1])
    x[support] = w
    shaped = arrays.from_host(x.reshape(K.domain_shape).astype(arrays.to_host(b).dtype), b)
    return Pursuit(shaped, np.array(support, dtype=np.int64), np.array(norms), status)


def _next(
    K: LinearOperator,
    b: Any,
    residual: np.ndarray,
    barred: np.ndarray,
    columns: np.ndarray,
    factor: np.ndarray,
) -> tuple[int | None, np.ndarray, np.ndarray]:
    """The next feature with its column and its row of the factor; bars features that depend on others."""
    kind = arrays.to_host(b).dtype
    given = arrays.from_host(residual.astype(kind).reshape(K.range_shape), b)
    pull = np.abs(arrays.to_host(K.apply_adjoint(given)).reshape(-1).astype(np.float64))
    k, none = columns.shape[1], np.zeros(0)
    while True:
        pull[barred] = 0.0
        j = int(np.argmax(pull))
        if not pull[j] > 0:
            return None, none, none
        column = _column(K, j, b)
        v = solve_triangular(factor[:k, :k], columns.T @ column, lower=True) if k else none
        size = float(column @ column)
        rest = size - float(v @ v)
        # Correlations of float32 data with a residual that is orthogonal up to rounding mean nothing.
        if rest > max(DEPENDENT, 1e2 * float(np.finfo(kind).eps) ** 2) * size:
            return j, column, np.append(v, math.sqrt(rest))
        barred[j] = True


def _column(K: LinearOperator, j: int, b: Any) -> np.ndarray:
    if isinstance(K, DenseMatrix) and type(K.matrix) is np.ndarray:
        return np.asarray(K.matrix[:, j], dtype=np.float64)
    if isinstance(K, SparseMatrix):
        return np.asarray(K.matrix[:, [j]].toarray(), dtype=np.float64).reshape(-1)
    unit = np.zeros(K.shape[1], arrays.to_host(b).dtype)
    unit[j] = 1
    column = K(arrays.from_host(unit.reshape(K.domain_shape), b))
    return arrays.to_host(column).reshape(-1).astype(np.float64)


__all__ = ["Pursuit", "orthogonal_matching_pursuit"]
