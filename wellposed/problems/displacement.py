"""Points that move in few coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class SparseShift:
    """Two samples of one distribution, of which the second is shifted, much in few coordinates.

    Parameters
    ----------
    source, target : array of shape (n, dimensions)
        Independent samples: no target is the image of a source.
    shift : array of shape (dimensions,)
        The truth.
    large : array of bool of shape (dimensions,)
        Which coordinates move much.
    """

    source: np.ndarray
    target: np.ndarray
    shift: np.ndarray
    large: np.ndarray


def sparse_shift(
    n: int = 500, dimensions: int = 20, large: int = 3, size: float = 3.0, small: float = 0.1, seed: int = 0
) -> SparseShift:
    """Standard normal points, and others shifted by ``size`` in few coordinates and by noise in the rest.

    Parameters
    ----------
    n : int
        Points of each set.
    dimensions, large : int
        Coordinates, and how many of them (the first) move by ``size``.
    size : float
    small : float
        Standard deviation of the shifts of the others.
    seed : int

    Returns
    -------
    SparseShift

    Raises
    ------
    ValueError
        If there are no points, or not that many coordinates.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.sparse_shift(n=10, dimensions=4, large=1)
    >>> problem.source.shape, float(problem.shift[0]), problem.large.tolist()
    ((10, 4), 3.0, [True, False, False, False])
    """
    if n < 1 or not 0 <= large <= dimensions:
        raise ValueError(f"needs n >= 1 and 0 <= large <= dimensions, got {n}, {large} and {dimensions}")
    rng = np.random.default_rng(seed)
    moved = np.arange(dimensions) < large
    shift = np.where(moved, size, small * rng.standard_normal(dimensions))
    source, target = rng.standard_normal((2, n, dimensions))
    return SparseShift(source, target + shift, shift, moved)
