"""What `path` hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.objective import Objective
from wellposed.solvers.path_criteria import CRITERIA, information_criterion
from wellposed.solvers.path_degrees import degrees_of_freedom
from wellposed.solvers.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = (*CRITERIA, "cv", "cv-1se")


@dataclass(frozen=True)
class PathPoint:
    """One value of the parameter with its solution.

    Parameters
    ----------
    value : float
    result : Result
    intercept : float
        The best constant beside ``x``, for data fits with ``intercept=True``; else 0.
    family : Objective
        The objective with any value of the parameter.
    parameter : str
        Its name.
    """

    value: float
    result: Result
    intercept: float = field(default=0.0, kw_only=True)
    family: Objective = field(kw_only=True, repr=False)
    parameter: str = field(kw_only=True)

    @cached_property
    def objective(self) -> Objective:
        """The objective at this value: what `verify` takes along with ``result``."""
        return self.family.with_parameters({self.parameter: self.value})

    @property
    def x(self) -> Array:
        """The solution."""
        return self.result.x

    @cached_property
    def df(self) -> float:
        """Effective degrees of freedom of ``x``, without the intercept; NaN where they are not known."""
        return degrees_of_freedom(self.objective, self.result.x)


@dataclass(frozen=True)
class RegularisationPath:
    """Solutions along a path of values of one parameter, from the largest value to the smallest.

    Parameters
    ----------
    parameter : str
        Its name.
    points : tuple of PathPoint
    losses : array or None
        For cross-validation: the mean loss of a sample that was left out, of shape ``(values, folds)``.
    """

    parameter: str
    points: tuple[PathPoint, ...]
    losses: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        """The values of the parameter, decreasing."""
        return np.array([p.value for p in self.points])

    @property
    def x(self) -> Array:
        """All solutions, along a new first axis."""
        xp = arrays.namespace(self.points[0].x)
        return xp.stack([p.x for p in self.points])

    @property
    def intercept(self) -> np.ndarray:
        """The intercept at each value."""
        return np.array([p.intercept for p in self.points])

    @property
    def objective(self) -> np.ndarray:
        """The least objective found at each value."""
        return np.array([p.result.objective for p in self.points])

    @property
    def gap(self) -> np.ndarray:
        """The certificate at each value, in units of the objective (see ``result.certificate``)."""
        return np.array([p.result.certificate.value for p in self.points])

    @property
    def df(self) -> np.ndarray:
        """Effective degrees of freedom at each value; NaN where they are not known."""
        return np.array([p.df for p in self.points])

    @property
    def seconds(self) -> np.ndarray:
        """Time of each solve."""
        return np.array([p.result.seconds for p in self.points])

    def criterion(
        self, rule: str = "bic", noise_variance: float | None = None, gamma: float = 0.5
    ) -> np.ndarray:
        r"""What a rule minimises, at each value.

        Parameters
        ----------
        rule : {"aic", "bic", "ebic", "cv", "cv-1se"}
            :math:`D + 2 k`, :math:`D + k \log n`, or
            :math:`D + k \log n + 2 \gamma \log \binom{p}{k}` with ``k`` degrees of freedom, ``n`` samples
            and ``p`` coefficients, where ``D`` is twice the negative log-likelihood; for least squares
            of unknown variance :math:`n \log(\mathrm{RSS}/n)`, and infinite where :math:`k \ge n - 1`.
            For cross-validation, the mean loss of a sample left out.
        noise_variance : float, optional
            Of least squares: then ``D`` is ``RSS / noise_variance``.
        gamma : float
            Between 0 (BIC) and 1.

        Returns
        -------
        array

        Raises
        ------
        ValueError
            If the rule is unknown, the path has no folds, or degrees of freedom or likelihood of this
            objective are not known.

        Notes
        -----
        Sources: J. Chen and Z. Chen, Extended Bayesian information criteria, 2008; H. Zou, T. Hastie and
        R. Tibshirani, On the degrees of freedom of the lasso, 2007.
        """
        if rule not in RULES:
            raise ValueError(f"unknown rule {rule!r}; choose one of {', '.join(RULES)}")
        if rule.startswith("cv"):
            return np.asarray(self._losses().mean(axis=1))
        return np.array(
            [
                information_criterion(rule, p.objective, p.result.x, p.df, noise_variance, gamma)
                for p in self.points
            ]
        )

    def best(self, rule: str = "cv", noise_variance: float | None = None, gamma: float = 0.5) -> PathPoint:
        """The point with the least criterion, the one of the larger value among equals.

        Parameters
        ----------
        rule : {"cv", "cv-1se", "aic", "bic", "ebic"}
            As for `criterion`; ``"cv-1se"`` takes the largest value whose mean loss is at most one
            standard error above the least.
        noise_variance, gamma
            As for `criterion`.

        Returns
        -------
        PathPoint
        """
        if rule == "cv-1se":
            return self.points[one_standard_error(self._losses())]
        criterion = self.criterion(rule, noise_variance, gamma)
        if not np.isfinite(criterion).any():
            raise ValueError(f"{rule} is nowhere finite on this path")
        return self.points[int(np.argmin(np.where(np.isnan(criterion), np.inf, criterion)))]

    def plot(self) -> Figure:
        """Draw the coefficients over the values, and beside them the criterion or the degrees of freedom."""
        from wellposed.solvers.figure_path import draw

        return draw(self)

    def _losses(self) -> np.ndarray:
        if self.losses is None:
            raise ValueError("this path has no cross-validation: give folds to path")
        return self.losses

    def __repr__(self) -> str:
        values, worst = self.values, max(p.result.certificate.relative for p in self.points)
        return (
            f"RegularisationPath({len(values)} values of {self.parameter} from {values[0]:.4g} to"
            f" {values[-1]:.4g}; relative certificates up to {worst:.2g}; {self.seconds.sum():.3g} s)"
        )


def one_standard_error(losses: np.ndarray) -> int:
    """The first row whose mean is at most one standard error above the least mean."""
    means = losses.mean(axis=1)
    best = int(np.argmin(means))
    error = losses[best].std(ddof=1) / np.sqrt(losses.shape[1]) if losses.shape[1] > 1 else 0.0
    return int(np.flatnonzero(means <= means[best] + error)[0])


__all__ = ["PathPoint", "RegularisationPath"]
