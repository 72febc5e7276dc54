"""`path`: the solutions of an objective along a regularisation path, each with its own certificate."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.functionals._base import Functional
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter
from wellposed.solvers.path_folds import as_folds, validation_losses
from wellposed.solvers.path_result import PathPoint, RegularisationPath
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.selection_data import find_parameter
from wellposed.solvers.warm import solve_along
from wellposed.solvers.zero_weight import zero_weight


def path(
    objective: Functional,
    parameter: Parameter | str,
    values: Sequence[float] | np.ndarray | None = None,
    count: int = 100,
    ratio: float = 1e-2,
    tol: float = 1e-4,
    folds: int | Sequence[tuple[Any, Any]] | None = None,
    seed: int | np.random.Generator = 0,
    workers: int | None = 1,
    client: Any = None,
    **options: Any,
) -> RegularisationPath:
    r"""Solve an objective at each of many values of a parameter, from the largest value down.

    Parameters
    ----------
    objective : Functional
        With a `Parameter` that stands for the value, usually the weight of a penalty, as in
        ``wp.LeastSquares(A, b) + wp.Parameter("weight", 1.0) * wp.L1()``.
    parameter : Parameter or str
        Which one (or its name).
    values : sequence of float, optional
        The values, in any order. By default ``count`` values evenly spaced on a log scale, from the
        smallest weight whose solution is zero down to ``ratio`` times that.
    count : int
    ratio : float
        Between 0 and 1.
    tol : float
        Relative certificate of each solve, as for `minimize`.
    folds : int or sequence of (train, test), optional
        Also cross-validate: into so many random parts of the samples (first axis of the data), or with
        the rows given as pairs of arrays of indices, which is what the splitters of scikit-learn yield.
        The data fit must act on a matrix, or be least squares.
    seed : int or Generator
        Of the random parts.
    workers : int, optional
        Processes among which folds are shared (``None``: the cores). New processes take a second or
        two to start, so that small problems are quicker with 1.
    client : dask.distributed.Client, optional
        Maps the folds over its cluster instead.
    **options
        For `minimize`: ``solver``, ``max_iter``.

    Returns
    -------
    RegularisationPath
        ``x``, ``objective``, ``gap``, ``df`` and ``seconds`` per value, in decreasing order of the values;
        ``best(rule)`` takes one by an information criterion or by cross-validation.

    Raises
    ------
    TypeError, ValueError
        Before any solve: if the parameter is missing, a value is out of its bounds, the range is not
        known, or the folds do not fit the data.

    Warns
    -----
    ConvergenceWarning
        Once, if some solves ended before their tolerance; each point's ``result.status`` says which.

    Notes
    -----
    Each solve starts from the solution at the value before; weights of an L1 or elastic net penalty beside
    least squares of a matrix are solved ten at a time, by one Gram matrix. In a fold with ``m`` of ``n``
    samples (by total weight where they are weighted) the data fit is multiplied by ``n / m``, so that a value
    weighs the penalty against the fit of a sample as it does on the whole data.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(50, 20))
    >>> y = X[:, 0] - 2 * X[:, 1] + 0.1 * rng.normal(size=50)
    >>> weight = wp.Parameter("weight", 1.0)
    >>> found = wp.path(wp.LeastSquares(wp.operators.Matrix(X), y) + weight * wp.L1(), weight, count=20)
    >>> found.df[[0, 5]]
    array([0., 2.])
    >>> np.flatnonzero(found.points[5].x)
    array([0, 1])
    """
    objective = Objective.of(objective)
    found = find_parameter(objective, parameter)
    grid = _grid(objective, found, values, count, ratio)
    splits = None if folds is None else as_folds(objective, folds, seed)
    points = tuple(walk(objective, found.name, grid, tol, options))
    _warn_of_short(points)
    losses = None
    if splits is not None:
        losses = validation_losses(objective, found.name, grid, splits, tol, options, workers, client)
    return RegularisationPath(found.name, points, losses)


def walk(
    objective: Objective, name: str, values: np.ndarray, tol: float, options: dict[str, Any]
) -> Iterator[PathPoint]:
    """The points of a path, one after the other."""
    solved = solve_along(objective, name, values, tol, options)
    for value, (result, intercept) in zip(values, solved, strict=True):
        yield PathPoint(float(value), result, intercept=intercept, family=objective, parameter=name)


def weights(objective: Objective, name: str, count: int, ratio: float) -> np.ndarray:
    """Weights evenly spaced on a log scale, from the smallest one whose solution is zero down."""
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 1:
        raise ValueError(f"count must be an integer of at least 1, got {count!r}")
    if not 0 < ratio < 1:
        raise ValueError(f"ratio must be between 0 and 1, got {ratio!r}")
    top = zero_weight(objective, name)
    grid = np.geomspace(top, ratio * top, int(count))
    grid[0] = top
    return grid


def _grid(objective: Objective, parameter: Parameter, values: Any, count: int, ratio: float) -> np.ndarray:
    if values is None:
        grid = weights(objective, parameter.name, count, ratio)
        inside = (grid >= parameter.low) & (grid <= parameter.high)
        if not inside.any():
            raise ValueError(
                f"no weight from {grid[-1]:g} to {grid[0]:g} is in the bounds of {parameter.name},"
                f" [{parameter.low:g}, {parameter.high:g}]: give values"
            )
        return grid[inside]
    grid = np.asarray(values, dtype=float).reshape(-1)
    if grid.size == 0:
        raise ValueError("values is empty")
    arrays.check_finite(grid, "values")
    for value in grid:
        parameter.with_value(float(value))
    return np.sort(grid)[::-1]


def _warn_of_short(points: tuple[PathPoint, ...]) -> None:
    short = [p for p in points if not p.result.converged]
    if short:
        worst = max(short, key=lambda p: p.result.certificate.relative)
        relative = worst.result.certificate.relative
        size = f"{relative:.2g}" if math.isfinite(relative) else "infinite"
        warnings.warn(
            f"{len(short)} of {len(points)} solves ended before their tolerance; the worst relative"
            f" certificate is {size}, at {worst.value:g}: raise max_iter or tol",
            ConvergenceWarning,
            stacklevel=3,
        )


__all__ = ["path"]
