r"""Orthogonal matching pursuit: the feature of largest correlation, then least squares, again and again.

The rule of selection can be replaced by a Lasso just below its largest weight, with the selected features
free of penalty, or by the same Lasso written with attention weights: without ties the choice is the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from wellposed import arrays
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import Matrix
from wellposed.solvers.result import Certificate
from wellposed.solvers.sequential_attention import attention
from wellposed.solvers.sequential_basis import Basis, row_sizes
from wellposed.solvers.sequential_lasso import coordinate_descent, lasso_round

Select = Literal["correlation", "lasso", "attention"]

Rule = Callable[[Basis, np.ndarray, np.ndarray], tuple[list[int], Certificate | None, bool]]
"""From correlations and bounds of their errors to features, largest first, a certificate, and whether no
others can be selected."""


@dataclass(frozen=True)
class PursuitRound:
    """What one round of `orthogonal_matching_pursuit` selected, and how clear it was.

    Parameters
    ----------
    features : tuple of int
        One, or with ``select="lasso"`` and ``"attention"`` all that the Lasso took.
    margin : float
        The distance of the second largest correlation from the largest, relative to the largest: 0 for a tie.
    certificate : Certificate or None
        The duality gap of the Lasso of this round; ``None`` with ``select="correlation"``.
    proven : bool
        Whether the gap, and bounds of the rounding errors, exclude that other features belong here.
    """

    features: tuple[int, ...]
    margin: float
    certificate: Certificate | None
    proven: bool


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
    rounds : tuple of PursuitRound
        What was selected together, with its margin and its certificate.
    """

    x: Any
    support: np.ndarray
    residuals: np.ndarray
    status: str
    rounds: tuple[PursuitRound, ...] = ()


def orthogonal_matching_pursuit(
    A: Any,
    b: Any,
    count: int | None = None,
    tol: float = 0.0,
    *,
    select: Select = "correlation",
    below: float = 1e-3,
) -> Pursuit:
    r"""Select features one by one: that of the largest correlation with the residual, then refit.

    .. math:: j = \arg\max_{j \notin S} |x_j^T (b - X_S w_S)|, \qquad w_S = \arg\min \|X_S w - b\|_2

    Parameters
    ----------
    A : LinearOperator, array or SciPy sparse matrix
        Real. Correlations are those with the columns as they are: give them one length if they are to
        compete on equal terms. Of an operator only products are used, one column at a time.
    b : array
        Real data, of the shape of the range of ``A``; with one more axis for several targets, which share
        the features: then the Euclidean norm over targets takes the place of the absolute value.
    count : int, optional
        Features at most (default: as many as there can be).
    tol : float
        End when the norm of the residual is at most ``tol`` times that of ``b``.
    select : {"correlation", "lasso", "attention"}
        How a feature is found: by its correlation, or as what is active in

        .. math:: \min_x \; \tfrac12 \|X x - b\|_2^2 + \lambda \sum_{j \notin S} |x_j|,
                  \qquad \lambda = (1 - \delta) \max_{j \notin S} |x_j^T (b - X_S w_S)|

        or in the same problem with :math:`x_j = s_j u_j` and the penalty
        :math:`\tfrac\lambda2 \sum_{j \notin S} (s_j^2 + u_j^2)`: regularised linear sequential attention.
    below : float
        :math:`\delta` of these, in (0, 1). Features whose correlations are this close, relative to the
        largest, can enter together.

    Returns
    -------
    Pursuit

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, data are complex or not finite, or an option is out of range.

    Notes
    -----
    A greedy method: nothing bounds how far the support is from the best one of its size, but for
    well-conditioned columns. With ``"correlation"`` the first feature of a tie is taken; ``rounds`` has the
    margins. The two other rules solve a problem in each round whose gap is in its certificate. Where a round
    is proven, has one feature and a margin above ``below``, that is the choice of the correlations as well:
    something is active, as :math:`\lambda` is below the largest correlation, nothing else can be, and what is
    active alone has a correlation above :math:`\lambda`.
    Sources: Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, Orthogonal matching pursuit, 1993; S. Luo and
    Z. Chen, Sequential Lasso cum EBIC for feature selection, 2014; T. Yasuda, M. Bateni, L. Chen,
    M. Fahrbach, G. Fu and V. Mirrokni, Sequential attention for feature selection, ICLR 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> found = wp.orthogonal_matching_pursuit(np.eye(4), np.array([0.1, 3.0, 0.0, -2.0]), count=2)
    >>> found.support, found.x
    (array([1, 3]), array([ 0.,  3.,  0., -2.]))
    >>> again = wp.orthogonal_matching_pursuit(np.eye(2), np.array([1.0, 2.0]), 1, select="attention")
    >>> again.support, again.rounds[0].margin, again.rounds[0].proven
    (array([1]), 0.5, True)
    """
    K = A if isinstance(A, LinearOperator) else Matrix(A)
    b = arrays.as_floating(b, "b")
    arrays.check_finite(b, "b")
    if K.complex_domain or K.complex_range:
        raise TypeError("orthogonal_matching_pursuit takes real operators")
    shape = tuple(b.shape)
    if shape != K.range_shape and (shape[:-1] != K.range_shape or 0 in shape):
        raise ValueError(f"b has shape {shape}, but {K!r} gives {K.range_shape}")
    most = _most(K, count)
    if not (math.isfinite(tol) and tol >= 0):
        raise ValueError(f"tol must be at least 0, got {tol!r}")
    if not 0 < below < 1:
        raise ValueError(f"below must be between 0 and 1, got {below!r}")
    return _pursue(K, b, most, tol, _rule(select, float(below)))


def _most(K: LinearOperator, count: int | None) -> int:
    rows, columns = K.shape
    if count is None:
        return min(rows, columns)
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or not 1 <= count <= columns:
        raise ValueError(f"count must be an integer from 1 to {columns}, got {count!r}")
    return min(int(count), rows)


def _rule(select: str, below: float) -> Rule:
    if select not in get_args(Select):
        raise ValueError(f"select must be one of {', '.join(get_args(Select))}, got {select!r}")
    if select == "correlation":
        return _largest
    inner = attention if select == "attention" else coordinate_descent
    return partial(lasso_round, below=below, inner=inner)


def _pursue(K: LinearOperator, b: Any, most: int, tol: float, rule: Rule) -> Pursuit:
    targets = arrays.to_host(b).reshape(K.shape[0], -1).astype(np.float64)
    basis, rounds, status = Basis(K, targets, b, most), [], "count"
    while len(basis.support) < most:
        if basis.norms[-1] <= max(tol * basis.norms[0], basis.least_norm()):
            status = "tolerance"
            break
        found = _round(basis, rule, most)
        if found is None:
            status = "dependent" if basis.barred.all() else "orthogonal"
            break
        rounds.append(found)
    x = basis.coefficients().reshape(K.domain_shape + tuple(b.shape)[len(K.range_shape) :])
    shaped = arrays.from_host(x.astype(basis.kind), b)
    support = np.array(basis.support, dtype=np.int64)
    return Pursuit(shaped, support, np.array(basis.norms), status, tuple(rounds))


def _round(basis: Basis, rule: Rule, most: int) -> PursuitRound | None:
    """Add features; ``None`` if there are none to add. Bars those that depend on the selected ones."""
    pull, doubt = basis.pull()
    while True:
        size = row_sizes(pull)
        j = int(np.argmax(size))
        if not size[j] > 0:
            return None
        if not basis.rest(basis.column(j)).any():
            basis.barred[j] = True
            pull[j] = 0.0
            continue
        if size[j] <= basis.rounding(basis.norms[-1])[j]:
            return None
        top = float(size[j])
        size[j] = 0.0
        features, certificate, proven = rule(basis, pull, doubt)
        # A Lasso that ended with nothing has told nothing.
        proven = proven and bool(features)
        added = [k for k in features or [j] if len(basis.support) < most and basis.add(k)]
        if added:
            return PursuitRound(tuple(added), 1 - float(size.max()) / top, certificate, proven)
        pull[basis.barred] = 0.0


def _largest(basis: Basis, pull: np.ndarray, doubt: np.ndarray) -> tuple[list[int], None, bool]:
    """The rule of the largest correlation; proven if rounding could not change it."""
    size = row_sizes(pull)
    j = int(np.argmax(size))
    reach = size + doubt + basis.rounding(basis.norms[-1], len(basis.residual))
    lowest = 2 * size[j] - reach[j]
    reach[j] = 0.0
    return [j], None, bool(reach.max() < lowest)


__all__ = ["Pursuit", "PursuitRound", "orthogonal_matching_pursuit"]
