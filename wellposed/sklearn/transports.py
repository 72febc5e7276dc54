"""Class-based transport for domain adaptation, as estimators in the manner of POT's ``ot.da``.

They take and keep what POT's do (``fit``, ``transform``, ``inverse_transform``, ``transform_labels``,
``cost_``, ``coupling_``, ``mu_s``, ``mu_t``), so that one can stand in place of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import numpy as np
from ot.da import BaseTransport, distribution_estimation_uniform

from wellposed import arrays
from wellposed.solvers.result import Certificate
from wellposed.solvers.transport.group_lasso import group_lasso
from wellposed.solvers.transport.result import TransportResult
from wellposed.solvers.transport.sum_of_norms import sum_of_norms
from wellposed.solvers.transport.weights import class_weights, gaussian_weights


class CertifiedTransport(BaseTransport):  # type: ignore[misc]
    """A transport whose plan comes with a duality gap; subclasses give the plan."""

    limit_max: float
    result_: TransportResult
    certificate_: Certificate

    def _plan(self, Xs: Any, ys: Any, Xt: Any, yt: Any) -> TransportResult:
        raise NotImplementedError

    def fit(self, Xs: Any = None, ys: Any = None, Xt: Any = None, yt: Any = None) -> Self:
        """Find the plan from sources to targets.

        Parameters
        ----------
        Xs, Xt : array of shape (points, features)
            Of any array library that both POT and this one know.
        ys, yt : array of int of shape (points,), optional
            Classes; -1 for points without one. Where both ends of a pair have a class and the classes differ,
            its cost is raised to ``limit_max`` times the largest cost.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If points or labels are missing, have the wrong shape or are not finite.
        """
        Xs, Xt = _points(Xs, "Xs"), _points(Xt, "Xt")
        if Xs.shape[1] != Xt.shape[1]:
            raise ValueError(f"Xs has {Xs.shape[1]} features, but Xt has {Xt.shape[1]}")
        ys, yt = _labels(ys, Xs, "ys"), _labels(yt, Xt, "yt")
        if not 0 < self.limit_max < np.inf:
            raise ValueError(f"limit_max must be a positive finite number, got {self.limit_max}")
        limit = self.limit_max
        try:
            # The base class multiplies its parameter by the largest cost, and divides by that cost.
            with np.errstate(invalid="ignore"):
                super().fit(Xs=Xs, ys=_like(ys, Xs), Xt=Xt, yt=_like(yt, Xt))
        finally:
            self.limit_max = limit
        if _identical(Xs, Xt):
            self.cost_ = arrays.zeros((Xs.shape[0], Xt.shape[0]), Xs)
        self.result_ = self._plan(Xs, ys, Xt, yt)
        self.coupling_ = self.result_.rounded
        self.certificate_ = self.result_.certificate
        return self


class SumOfNormsTransport(CertifiedTransport):
    r"""Transport that treats points of one class, or near ones, alike: `wellposed.transport.sum_of_norms`.

    Parameters
    ----------
    lam : float
        Of the penalty. A plan between ``n`` points has entries of about :math:`1/n^2`, so the ``lam`` that
        has some effect falls as ``1 / n``.
    source, target : {"labels", "gaussian", None}
        Which sources and which targets are alike: those of one class (`wellposed.transport.class_weights`),
        near ones (`wellposed.transport.gaussian_weights`), or none.
    sigma_source, sigma_target : float, optional
        Widths for ``"gaussian"``.
    neighbours : int, optional
        For ``"gaussian"``: only pairs of which one is among that many nearest neighbours of the other.
    tol : float
        Bound of the relative duality gap.
    max_iter : int
    metric, norm, distribution_estimation, limit_max
        As in ``ot.da.EMDTransport``; by default the costs are divided by the largest.

    Attributes
    ----------
    coupling_ : array of shape (sources, targets)
        The plan; its sums are exact.
    result_ : TransportResult
    certificate_ : Certificate

    Examples
    --------
    >>> import wellposed as wp
    >>> clouds = wp.problems.class_clouds()
    >>> model = wp.sklearn.SumOfNormsTransport(lam=0.1)
    >>> images = model.fit_transform(Xs=clouds.sources, ys=clouds.source_labels, Xt=clouds.targets)
    >>> images.shape, model.certificate_.relative < 1e-3
    ((10, 2), True)
    """

    def __init__(
        self,
        lam: float = 0.02,
        source: str | None = "labels",
        target: str | None = "gaussian",
        sigma_source: float | None = None,
        sigma_target: float | None = None,
        neighbours: int | None = None,
        tol: float = 1e-3,
        max_iter: int = 5000,
        metric: Any = "sqeuclidean",
        norm: str | None = "max",
        distribution_estimation: Callable[[Any], Any] = distribution_estimation_uniform,
        limit_max: float = 10.0,
    ):
        self.lam = lam
        self.source = source
        self.target = target
        self.sigma_source = sigma_source
        self.sigma_target = sigma_target
        self.neighbours = neighbours
        self.tol = tol
        self.max_iter = max_iter
        self.metric = metric
        self.norm = norm
        self.distribution_estimation = distribution_estimation
        self.limit_max = limit_max

    def _plan(self, Xs: Any, ys: Any, Xt: Any, yt: Any) -> TransportResult:
        return sum_of_norms(
            self.cost_,
            self.mu_s,
            self.mu_t,
            lam=self.lam,
            row_weights=self._weights(self.source, Xs, ys, self.sigma_source, "source", "ys"),
            column_weights=self._weights(self.target, Xt, yt, self.sigma_target, "target", "yt"),
            tol=self.tol,
            max_iter=self.max_iter,
        )

    def _weights(self, kind: str | None, X: Any, y: Any, sigma: float | None, side: str, needed: str) -> Any:
        if kind is None:
            return None
        if kind == "labels":
            if y is None:
                raise ValueError(f'{side}="labels" needs {needed}; "gaussian" needs points only')
            return class_weights(y)
        if kind == "gaussian":
            return gaussian_weights(X, sigma, neighbours=self.neighbours)
        raise ValueError(f'{side} must be "labels", "gaussian" or None, got {kind!r}')


class GroupLassoTransport(CertifiedTransport):
    """Transport in which a target takes from few classes of sources: `wellposed.transport.group_lasso`.

    Parameters
    ----------
    reg : float
        Of the squares of the plan, times the number of pairs of points: it means the same for all sizes.
    eta : float
        Of the norms of classes.
    tol : float
        Bound of the errors of sums of rows and columns.
    max_iter : int
    metric, norm, distribution_estimation, limit_max
        As in ``ot.da.EMDTransport``; by default the costs are divided by the largest.

    Attributes
    ----------
    coupling_ : array of shape (sources, targets)
        The plan; its sums are exact.
    result_ : TransportResult
    certificate_ : Certificate

    Examples
    --------
    >>> import wellposed as wp
    >>> clouds = wp.problems.class_clouds()
    >>> model = wp.sklearn.GroupLassoTransport()
    >>> model.fit(Xs=clouds.sources, ys=clouds.source_labels, Xt=clouds.targets).transform(
    ...     clouds.sources
    ... ).shape
    (10, 2)
    """

    def __init__(
        self,
        reg: float = 0.01,
        eta: float = 0.1,
        tol: float = 1e-9,
        max_iter: int = 500,
        metric: Any = "sqeuclidean",
        norm: str | None = "max",
        distribution_estimation: Callable[[Any], Any] = distribution_estimation_uniform,
        limit_max: float = 10.0,
    ):
        self.reg = reg
        self.eta = eta
        self.tol = tol
        self.max_iter = max_iter
        self.metric = metric
        self.norm = norm
        self.distribution_estimation = distribution_estimation
        self.limit_max = limit_max

    def _plan(self, Xs: Any, ys: Any, Xt: Any, yt: Any) -> TransportResult:
        if ys is None:
            raise ValueError("GroupLassoTransport needs ys, the classes of the sources")
        return group_lasso(
            self.cost_,
            self.mu_s,
            self.mu_t,
            labels=ys,
            reg=self.reg * Xs.shape[0] * Xt.shape[0],
            eta=self.eta,
            tol=self.tol,
            max_iter=self.max_iter,
        )


def _points(points: Any, name: str) -> Any:
    """Points as a matrix of floating numbers."""
    if points is None:
        raise ValueError(f"{name} is missing")
    given = arrays.as_floating(points, name)
    if len(given.shape) != 2 or 0 in given.shape:
        raise ValueError(f"{name} must have shape (points, features), got {tuple(given.shape)}")
    arrays.check_finite(given, name)
    return given


def _identical(Xs: Any, Xt: Any) -> bool:
    """Whether all points are the same, so that there is no largest cost to divide by."""
    xp = arrays.namespace(Xs)
    return bool(xp.all(Xs == Xs[:1])) and bool(xp.all(Xt == Xs[:1]))


def _labels(labels: Any, points: Any, name: str) -> np.ndarray | None:
    """Classes as integers on the host."""
    if labels is None:
        return None
    given = arrays.numpy_view(arrays.as_array(labels, name))
    if given.shape != (points.shape[0],):
        raise ValueError(f"{name} has shape {given.shape}, but there are {points.shape[0]} points")
    if given.dtype.kind == "b":
        given = given.astype(np.int64)
    if given.dtype.kind == "f" and np.array_equal(given, np.round(given)):
        given = given.astype(np.int64)
    if given.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be integers, with -1 for no class, got {given.dtype}; "
            "np.unique(names, return_inverse=True)[1] numbers the names of classes"
        )
    return given


def _like(labels: np.ndarray | None, points: Any) -> Any:
    """Classes in the array library of the points."""
    return None if labels is None else arrays.from_numpy(labels, points)
