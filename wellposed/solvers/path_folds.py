"""Cross-validation of a path: the same values on parts of the samples, judged by the samples left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.calculus import peel
from wellposed.functionals.datafits import DataFit, LeastSquares
from wellposed.functionals.multinomial import MultinomialLoss
from wellposed.functionals.objective import Objective
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix, Matrix, SparseMatrix
from wellposed.operators.matrix_product import MatrixProduct
from wellposed.parallel import map_tasks
from wellposed.solvers.selection_data import data_term, replaced, shape_of
from wellposed.solvers.warm import solve_along

Split = tuple[np.ndarray, np.ndarray]
"""Rows to train with, and rows to test with."""


@dataclass(frozen=True)
class Fold:
    """What one task of the cross-validation needs."""

    objective: Objective
    name: str
    values: np.ndarray
    split: Split
    tol: float
    options: dict[str, Any]

    def __repr__(self) -> str:
        return f"fold that tests {len(self.split[1])} samples"


def validation_losses(
    objective: Objective,
    name: str,
    values: np.ndarray,
    splits: Sequence[Split],
    tol: float,
    options: dict[str, Any],
    workers: int | None = 1,
    client: Any = None,
) -> np.ndarray:
    """The mean loss of a sample that was left out, of shape ``(values, folds)``."""
    folds = [Fold(objective, name, values, split, tol, options) for split in splits]
    return np.array(map_tasks(losses_of, folds, workers=workers, client=client)).T


def losses_of(fold: Fold) -> list[float]:
    """The losses of one fold along the path."""
    fit = data_term(fold.objective).fit
    train, test = (rows_of(fit, rows) for rows in fold.split)
    share = mass(fit) / mass(train)
    objective = Objective(tuple(replaced(t, fit, share * train) for t in fold.objective.terms))
    plain = test._plain()
    losses = []
    enough = fold.tol * _at_zero(objective)
    solved = solve_along(objective, fold.name, fold.values, fold.tol, fold.options, enough)
    for result, intercept in solved:
        u = (result.x if test.A is None else test.A(result.x)) + intercept
        losses.append(plain(u) / mass(test))
    return losses


def _at_zero(objective: Objective) -> float:
    """The objective at zero, against which a gap is small enough for a validation loss.

    At small weights the data may be fitted exactly; a gap relative to what is then left of the objective
    would take long, and no validation loss would show it.
    """
    zero = arrays.zeros(shape_of(objective), objective.data[0], arrays.real_dtype(objective.data[0]))
    return abs(objective(zero))


def mass(fit: DataFit) -> float:
    """Number of samples, or their total weight."""
    weights = getattr(fit, "weights", None)
    if weights is not None and not hasattr(weights, "value"):
        return arrays.total(weights)
    return float(fit.b.shape[0] if isinstance(fit, MultinomialLoss) else np.prod(fit.b.shape))


def as_folds(objective: Objective, folds: Any, seed: int | np.random.Generator) -> list[Split]:
    """The folds as pairs of rows, checked against the data fit."""
    fit = data_term(objective).fit
    if not any(peel(term)[1] is fit for term in objective.terms):
        raise ValueError("cross-validation needs the operator inside the data fit: LeastSquares(A @ B, b)")
    count = int(fit.b.shape[0])
    counted = isinstance(folds, (int, np.integer))
    splits = _random(count, int(folds), seed) if counted else _given(count, folds)
    for train, test in splits:
        for rows in (train, test):
            _check_rows(fit, rows)
    return splits


def _random(count: int, parts: int, seed: int | np.random.Generator) -> list[Split]:
    if not 2 <= parts <= count:
        raise ValueError(f"folds must be from 2 to the number of samples, {count}, got {parts!r}")
    order = np.random.default_rng(seed).permutation(count)
    tests = [np.sort(part) for part in np.array_split(order, parts)]
    return [(np.setdiff1d(np.arange(count), test), test) for test in tests]


def _given(count: int, folds: Any) -> list[Split]:
    pairs = list(folds)
    if not pairs or not all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        raise TypeError("folds must be an integer or pairs (train, test) of arrays of indices")
    splits = [(np.asarray(train), np.asarray(test)) for train, test in pairs]
    for k, rows in enumerate(rows for split in splits for rows in split):
        if rows.ndim != 1 or rows.size == 0 or rows.dtype.kind not in "iu":
            raise ValueError(f"fold {k // 2} must hold two non-empty arrays of indices")
        if rows.min() < 0 or rows.max() >= count:
            raise ValueError(f"fold {k // 2} has an index outside 0 to {count - 1}")
    return splits


def rows_of(fit: DataFit, rows: np.ndarray) -> DataFit:
    """A data fit restricted to some samples."""
    if not isinstance(fit, LeastSquares) or _rows_known(fit.A):
        return dataclasses.replace(fit, A=_rows_of_operator(fit.A, rows), **_data_of(fit, rows))
    known = np.zeros(int(fit.b.shape[0]), bool)
    known[rows] = True
    shape = (-1,) + (1,) * (len(fit.b.shape) - 1)
    xp = arrays.namespace(fit.b)
    kept = arrays.from_host(known.reshape(shape).astype(arrays.to_host(fit.b).real.dtype), fit.b)
    return dataclasses.replace(
        fit, weights=kept * (xp.ones_like(fit.b) if fit.weights is None else fit.weights)
    )


def _data_of(fit: DataFit, rows: np.ndarray) -> dict[str, Array]:
    """The arrays of a data fit that have an entry per sample, at some samples."""
    changes = {}
    for field in dataclasses.fields(fit):
        value = getattr(fit, field.name)
        if field.name != "A" and getattr(value, "shape", ())[:1] == tuple(fit.b.shape)[:1]:
            xp = arrays.namespace(value)
            changes[field.name] = xp.take(value, xp.asarray(rows, device=arrays.device_of(value)), axis=0)
    return changes


def _check_rows(fit: DataFit, rows: np.ndarray) -> None:
    """Refuse what a fold cannot be fitted with, before any work."""
    if not (_rows_known(fit.A) or isinstance(fit, LeastSquares)) or fit.A is None:
        what = "no operator" if fit.A is None else repr(fit.A)
        raise TypeError(f"cross-validation of {type(fit).__name__} needs a matrix of samples, got {what}")
    outer = fit._plain()
    object.__setattr__(outer, "intercept", getattr(fit, "intercept", False))
    try:
        restricted = dataclasses.replace(outer, **_data_of(fit, rows))
    except ValueError as error:
        raise ValueError(f"a fold cannot be fitted: {error}") from error
    if not mass(restricted) > 0:
        raise ValueError("a fold has samples of weight 0 only")


def _rows_known(A: LinearOperator | None) -> bool:
    flat = isinstance(A, DenseMatrix) and len(A.range_shape) == 1
    return flat or isinstance(A, (SparseMatrix, MatrixProduct))


def _rows_of_operator(A: LinearOperator | None, rows: np.ndarray) -> LinearOperator:
    if isinstance(A, SparseMatrix):
        rest = A.range_shape[1:]
        each = int(np.prod(rest))
        lines = (rows[:, None] * each + np.arange(each)).reshape(-1)
        return Matrix(scipy.sparse.csc_array(A.matrix[lines]), A.domain_shape, (len(rows), *rest))
    if isinstance(A, MatrixProduct):
        return MatrixProduct(_taken(A.matrix, rows), columns=A.domain_shape[1])
    assert isinstance(A, DenseMatrix)
    return Matrix(_taken(A.matrix, rows), domain_shape=A.domain_shape)


def _taken(matrix: Array, rows: np.ndarray) -> Array:
    if type(matrix) is np.ndarray:
        return np.asfortranarray(matrix[rows]) if matrix.flags.f_contiguous else matrix[rows]
    xp = arrays.namespace(matrix)
    return xp.take(matrix, xp.asarray(rows, device=arrays.device_of(matrix)), axis=0)
