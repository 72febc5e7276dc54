"""Relevance of source tasks to a target, and the samples that follow from it."""

from __future__ import annotations

import math

import numpy as np

from wellposed import arrays
from wellposed.functionals.affine import AffineConstraint
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import positive
from wellposed.operators.matrices import Matrix
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import Result


def relevance(
    heads: np.ndarray,
    target: np.ndarray,
    weight: float | None = None,
    prices: np.ndarray | None = None,
    tol: float = 1e-8,
) -> Result:
    r"""How much each source task tells about a target: the sparse combination of heads that makes its head.

    .. math:: \min_\nu \sum_m \sqrt{c_m}\, |\nu_m| \;\text{ with }\; W \nu = w, \qquad\text{or}\qquad
              \min_\nu \tfrac12 \|W \nu - w\|^2 + \lambda \sum_m \sqrt{c_m}\, |\nu_m|

    Parameters
    ----------
    heads : array of shape (rank, tasks)
        ``W``, the coefficients of each task in an orthonormal basis.
    target : array of shape (rank,)
        ``w``, those of the target in the same basis.
    weight : float, optional
        :math:`\lambda`, for heads that are estimates; without it the equations hold (basis pursuit), which
        is unstable where heads are noisy.
    prices : array of shape (tasks,), optional
        ``c > 0``, the cost of a sample of each task (default: 1).
    tol : float
        For `minimize`.

    Returns
    -------
    Result
        Its ``x`` has one number for each task, most of them 0: without a weight at most ``rank`` others
        where the solution is unique.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, a price is not positive, or no combination of heads makes the target.

    Notes
    -----
    Source: Y. Wang, Y. Chen, K. Jamieson and S. S. Du, Improved active multi-task representation learning via
    Lasso, ICML 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> heads = np.array([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])
    >>> wp.multitask.relevance(heads, np.array([1.2, 1.6])).x.round(4)
    array([0., 0., 2.])
    """
    heads, target = _heads(heads, target)
    roots = None if prices is None else np.sqrt(_prices(prices, heads.shape[1]))
    A, penalty = Matrix(heads), L1(roots)
    if weight is None:
        return minimize(AffineConstraint(A, target) + penalty, tol=tol, max_iter=200_000, progress=False)
    positive(weight, "weight")
    return minimize(LeastSquares(A, target) + weight * penalty, tol=tol, progress=False)


def allocate(
    scores: np.ndarray, budget: float, least: int = 0, prices: np.ndarray | None = None
) -> np.ndarray:
    r"""How many samples to take of each task: in proportion to its relevance, in size.

    .. math:: n_m = \Big\lfloor n_{\min} + \big(N - n_{\min} \textstyle\sum_m c_m\big)
              \frac{|\nu_m| / \sqrt{c_m}}{\sum_l \sqrt{c_l}\, |\nu_l|} \Big\rfloor

    Parameters
    ----------
    scores : array of shape (tasks,)
        ``nu``, such as that of `relevance`; for the older rule pass its squares.
    budget : float
        ``N``, the number of samples in all, or what they cost.
    least : int
        Samples of each task in any case.
    prices : array of shape (tasks,), optional
        Cost of a sample of each task (default: 1).

    Returns
    -------
    array of int
        They cost ``budget`` at most.

    Raises
    ------
    ValueError
        If all scores are 0, or the budget does not pay for the least number.

    Notes
    -----
    For fixed ``nu`` this minimises :math:`\sum_m \nu_m^2 / n_m`, which bounds the error of the target; with
    the ``nu`` of `relevance` it minimises `allocation_value` too.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.multitask.allocate(np.array([0.0, -1.0, 3.0]), budget=100, least=4)
    array([ 4, 26, 70])
    """
    scores = np.abs(np.asarray(scores, dtype=np.float64))
    if scores.ndim != 1 or not np.all(np.isfinite(scores)) or not np.any(scores > 0):
        raise ValueError("scores must be a vector of finite numbers that are not all 0")
    c = np.ones(len(scores)) if prices is None else _prices(prices, len(scores))
    positive(least, "least", zero_allowed=True)
    rest = budget - least * c.sum()
    if not (math.isfinite(budget) and rest >= 0):
        raise ValueError(f"a budget of {budget!r} does not pay for {least} samples of each of {len(c)} tasks")
    counts = np.floor(least + rest * (scores / np.sqrt(c)) / float(np.sqrt(c) @ scores) + 1e-9)
    return np.asarray(counts, dtype=np.int64)


def allocation_value(heads: np.ndarray, target: np.ndarray, counts: np.ndarray) -> float:
    r"""The factor of the target's error that the numbers of samples decide.

    .. math:: E(n) = \min_{W \nu = w} \sum_m \frac{\nu_m^2}{n_m}
              = w^\top \big(W \mathrm{diag}(n) W^\top\big)^+ w

    Parameters
    ----------
    heads, target : array
        As in `relevance`.
    counts : array of shape (tasks,)
        Samples of each task, at least 0.

    Returns
    -------
    float
        Infinite if the tasks that have samples do not span the target. Over all ``n`` with sum ``N`` its
        minimum is the squared L1 norm of `relevance`, over ``N``.

    Raises
    ------
    ValueError
        If shapes do not fit or a count is negative.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.multitask.allocation_value(np.eye(2), np.array([3.0, 4.0]), np.array([10, 20]))
    1.7
    """
    heads, target = _heads(heads, target)
    n = np.asarray(counts, dtype=np.float64)
    if n.shape != (heads.shape[1],) or not np.all(np.isfinite(n)) or np.any(n < 0):
        raise ValueError(f"counts must be {heads.shape[1]} numbers of at least 0, got shape {n.shape}")
    # The least-norm solution of (W sqrt(n)) z = w is better conditioned than the inverse of the product.
    scaled = heads * np.sqrt(n)
    z = np.linalg.lstsq(scaled, target, rcond=None)[0]
    missed = float(np.linalg.norm(scaled @ z - target))
    return math.inf if missed > 1e-8 * float(np.linalg.norm(target)) else float(z @ z)


def _heads(heads: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    heads, target = np.asarray(heads, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if heads.ndim != 2 or target.shape != (heads.shape[0],):
        raise ValueError(
            f"heads need shape (rank, tasks) and target (rank,): got {heads.shape} and {target.shape}"
        )
    arrays.check_finite(heads, "heads")
    arrays.check_finite(target, "target")
    return heads, target


def _prices(prices: np.ndarray, tasks: int) -> np.ndarray:
    prices = np.asarray(prices, dtype=np.float64)
    if prices.shape != (tasks,) or not np.all(np.isfinite(prices)) or np.any(prices <= 0):
        raise ValueError(f"prices must be {tasks} positive numbers, got {prices!r}")
    return prices
