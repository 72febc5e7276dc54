"""Cross-validation of ``alpha`` for any of the linear models."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.model_selection import check_cv

from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter
from wellposed.sklearn._base import LinearModel, at_least, check_flags
from wellposed.sklearn.linear import Squares
from wellposed.solvers.path import weights
from wellposed.solvers.path_folds import as_folds, validation_losses
from wellposed.solvers.path_result import one_standard_error
from wellposed.solvers.zero_weight import zero_weight

SELECTIONS = ("min", "1se")


class CrossValidated(LinearModel):
    """A model that chooses ``alpha`` by cross-validation, and is then fitted to all samples."""

    alphas: Any
    n_alphas: int
    eps: float
    cv: Any
    n_jobs: int | None
    selection: str
    warm_start = False

    def _fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        if self.selection not in SELECTIONS:
            raise ValueError(f"selection must be 'min' or '1se', got {self.selection!r}")
        at_least(self, "tol", 0.0)
        check_flags(self)
        X, y, sample_weight = self._read(X, y, sample_weight)
        objective = self._objective(X, y, sample_weight, Parameter("alpha", 1.0))
        self.alphas_ = self._grid(objective)
        splitter = check_cv(self.cv, y, classifier=is_classifier(self))
        folds = as_folds(objective, list(splitter.split(X, y)), 0)
        options, tol = {"max_iter": self.max_iter}, self._tolerance(X.dtype)
        self.loss_path_ = validation_losses(
            objective, "alpha", self.alphas_, folds, tol, options, _workers(self.n_jobs)
        )
        best = int(np.argmin(self.loss_path_.mean(axis=1)))
        if self.selection == "1se":
            best = one_standard_error(self.loss_path_)
        self.alpha_ = float(self.alphas_[best])
        return self._finish(objective.with_parameters({"alpha": self.alpha_}), None)

    def _grid(self, objective: Objective) -> np.ndarray:
        if self.alphas is not None:
            alphas = np.sort(np.asarray(self.alphas, dtype=np.float64).reshape(-1))[::-1]
            if alphas.size == 0 or not np.all(np.isfinite(alphas) & (alphas > 0)):
                raise ValueError(f"alphas must hold positive numbers, got {self.alphas!r}")
            return alphas
        try:
            zero_weight(objective, "alpha")
        except ValueError as error:
            if "zero at every" in str(error):
                # Whatever the weight, the solution is zero.
                return np.ones(1)
            raise
        return weights(objective, "alpha", self.n_alphas, self.eps)


class SquaresCV(CrossValidated, Squares):
    """Cross-validation of least squares."""

    @property
    def mse_path_(self) -> np.ndarray:
        """Mean squared error on each fold, of shape ``(n_alphas, n_folds)``."""
        return 2 * self.loss_path_


def _workers(n_jobs: int | None) -> int | None:
    return 1 if n_jobs is None else None if n_jobs < 0 else n_jobs
