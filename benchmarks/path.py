"""Regularisation paths and cross-validation of the lasso, against scikit-learn and celer; least times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse
from sklearn import datasets, linear_model

import wellposed as wp
from benchmarks.report import Settings, Table, peer, quiet
from benchmarks.timing import interleaved

TOL = 1e-6
"""Of wellposed relative to the objective; the others take it relative to that at zero, which is looser."""

TIGHTER = (1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
"""What is asked of the others, until each gap along the path is at most ``TOL`` times the objective."""


def run(settings: Settings) -> Iterator[Table]:
    """A path of 100 weights down to a hundredth of the largest, then cross-validation with five folds."""
    yield paths("Lasso path, dense", *dense(100, 200), settings)
    if not settings.quick:
        yield paths("Lasso path, diabetes", *diabetes(), settings)
        yield paths("Lasso path, dense", *dense(1000, 2000), settings)
        yield paths("Lasso path, sparse", *sparse(1000, 10_000), settings)
    yield validation(
        "LassoCV, five folds, dense", *dense(*((60, 100) if settings.quick else (200, 500))), settings
    )


def dense(n: int, p: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, p)))
    return X, X[:, :20] @ rng.standard_normal(20) + rng.standard_normal(n)


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    X, y = datasets.load_diabetes(return_X_y=True)
    return np.asfortranarray(X), y - y.mean()


def sparse(n: int, p: int) -> tuple[Any, np.ndarray]:
    rng = np.random.default_rng(0)
    X = scipy.sparse.random(n, p, 2e-3, format="csc", rng=rng)
    return X, X[:, :200] @ rng.standard_normal(200) + 0.1 * rng.standard_normal(n)


def paths(title: str, X: Any, y: np.ndarray, settings: Settings) -> Table:
    weight = wp.Parameter("weight", 1.0)
    objective = wp.LeastSquares(wp.operators.Matrix(X), y) + weight * wp.L1()
    values = np.abs(X.T @ y).max() * np.geomspace(1, 1e-2, 100)
    alphas = values / len(y)

    def gap(coefficients: np.ndarray) -> float:
        return max(relative_gap(X, y, w, x) for w, x in zip(values, np.asarray(coefficients).T, strict=True))

    def tightened(solve: Callable[[float], np.ndarray]) -> Callable[[], np.ndarray]:
        tol = next((tol for tol in TIGHTER if gap(solve(tol)) <= TOL), TIGHTER[-1])
        return lambda: solve(tol)

    table = Table(f"{title}, {X.shape[0]} x {X.shape[1]}, 100 weights", HEADER)
    table.note("The others with the largest tolerance whose gaps are as small, of 1e-6, 1e-7, ... 1e-10.")
    with quiet():
        candidates: dict[str, Callable[[], np.ndarray]] = {
            "wellposed": lambda: wp.path(objective, weight, values, tol=TOL).x.T,
            "scikit-learn": tightened(
                lambda tol: linear_model.lasso_path(X, y, alphas=alphas, tol=tol, max_iter=100_000)[1]
            ),
        }
        if found := peer(table, "celer"):
            candidates["celer"] = tightened(
                lambda tol: found[0].celer_path(X, y, "lasso", alphas=alphas, tol=tol)[1]
            )
    return filled(table, candidates, gap, settings)


def validation(title: str, X: np.ndarray, y: np.ndarray, settings: Settings) -> Table:
    options = {"cv": 5, "tol": TOL}
    candidates: dict[str, Callable[[], Any]] = {
        "wellposed": lambda: wp.sklearn.LassoCV(**options).fit(X, y),
        "scikit-learn": lambda: linear_model.LassoCV(**options).fit(X, y),
    }
    table = Table(f"{title}, {X.shape[0]} x {X.shape[1]}, 100 weights", HEADER)
    table.note("LassoCV of celer 0.7.4 does not work with scikit-learn 1.9")

    def gap(model: Any) -> float:
        Z, b = X - X.mean(axis=0), y - y.mean()
        return relative_gap(Z, b, model.alpha_ * len(y), model.coef_)

    return filled(table, candidates, gap, settings)


HEADER = ("library", "seconds", "wellposed / this", "largest relative gap")


def filled(
    table: Table, candidates: Mapping[str, Callable[[], Any]], gap: Callable[[Any], float], settings: Settings
) -> Table:
    with quiet():
        times = interleaved(candidates, settings.repeat, budget=30.0)
        for name, call in candidates.items():
            best = times[name].best
            table.add(name, f"{best:.3f}", f"{times['wellposed'].best / best:.2f}", f"{gap(call()):.1e}")
    return table


def relative_gap(X: Any, y: np.ndarray, weight: float, x: np.ndarray) -> float:
    """The duality gap at the residual, scaled until it is feasible, over the objective."""
    r = y - X @ x
    primal = 0.5 * r @ r + weight * np.abs(x).sum()
    theta = r * min(1.0, weight / np.abs(X.T @ r).max())
    return float((primal - (theta @ y - 0.5 * theta @ theta)) / primal)
