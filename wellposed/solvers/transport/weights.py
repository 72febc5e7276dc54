"""Weights of pairs of points, from classes or from distances, for sum-of-norms transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.transport.data import check_positive

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def class_weights(labels: Any) -> csr_array:
    """Weight 1 for each pair of points of the same class, 0 for others.

    Parameters
    ----------
    labels : array of int of shape (n,)
        A negative label is no class.

    Returns
    -------
    sparse matrix of shape (n, n)

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.transport.class_weights([0, 0, 1]).toarray()
    array([[0., 1., 0.],
           [1., 0., 0.],
           [0., 0., 0.]])
    """
    from scipy.sparse import csr_array

    given = arrays.numpy_view(arrays.as_array(labels, "labels"))
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers, one per point, got {given.dtype} of shape {given.shape}")
    same = (given[:, None] == given) & (given >= 0)
    np.fill_diagonal(same, False)
    return csr_array(same.astype(np.float64))


def gaussian_weights(
    points: Array, sigma: float | None = None, *, cutoff: float = 1e-3, neighbours: int | None = None
) -> csr_array:
    r"""Weights :math:`\exp(-\|x_i - x_j\|^2 / (2\sigma^2))` of pairs, those below ``cutoff`` left out.

    Parameters
    ----------
    points : array of shape (n, dimensions)
    sigma : float, optional
        Default: the median distance to the seventh nearest neighbour.
    cutoff : float
        Below 1.
    neighbours : int, optional
        Keep only pairs of which one is among that many nearest neighbours of the other; then pairs are
        never all formed.

    Returns
    -------
    sparse matrix of shape (n, n)

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.gaussian_weights(np.array([[0.0], [1.0], [9.0]]), 1.0).toarray().round(3)
    array([[0.   , 0.607, 0.   ],
           [0.607, 0.   , 0.   ],
           [0.   , 0.   , 0.   ]])
    """
    from scipy.sparse import coo_array, csr_array
    from scipy.spatial import cKDTree

    points = arrays.as_floating(points, "points")
    arrays.check_finite(points, "points")
    x = arrays.numpy_view(points).astype(np.float64)
    if x.ndim != 2:
        raise ValueError(f"points must have shape (points, dimensions), got {x.shape}")
    if not 0 < cutoff < 1:
        raise ValueError(f"cutoff must be between 0 and 1, got {cutoff}")
    n, tree = len(x), cKDTree(x)
    if sigma is None:
        sigma = float(np.median(tree.query(x, k=min(8, n))[0][:, -1])) if n > 1 else 1.0
        sigma = sigma or 1.0
    reach = check_positive(sigma, "sigma") * np.sqrt(-2 * np.log(cutoff))
    if neighbours is None:
        pairs = tree.query_pairs(reach, output_type="ndarray")
    else:
        if neighbours < 1:
            raise ValueError(f"neighbours must be at least 1, got {neighbours}")
        d, near = tree.query(x, k=min(neighbours + 1, n), distance_upper_bound=reach)
        d, near = np.atleast_2d(d.T).T, np.atleast_2d(near.T).T
        row = np.repeat(np.arange(n), near.shape[1])[np.isfinite(d).ravel()]
        column = near.ravel()[np.isfinite(d).ravel()]
        ends = np.sort(np.stack([row, column], axis=1)[row != column], axis=1)
        pairs = np.unique(ends, axis=0)
    square = ((x[pairs[:, 0]] - x[pairs[:, 1]]) ** 2).sum(axis=1)
    upper = coo_array((np.exp(-square / (2 * sigma**2)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return csr_array(upper + upper.T)
