"""`representers`: a prediction as a sum over the training samples, for sparse and low-rank models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import peel
from wellposed.functionals.datafits import DataFit
from wellposed.functionals.low_rank import NuclearNorm
from wellposed.functionals.objective import Objective
from wellposed.operators._base import LinearOperator
from wellposed.solvers.problem import canonical
from wellposed.solvers.result import Result

Side = Literal["both", "rows", "columns", "two-sided"]
SIDES = ("both", "rows", "columns", "two-sided")

Map = Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Representers:
    r"""What each training sample adds to the predictions of a fitted model; made by `representers`.

    Parameters
    ----------
    x : array
        The coefficients of the model.
    importance : array
        Minus the slope of the loss at each sample, :math:`\alpha_i = -\ell_i'`: its weight in all
        predictions, of the shape of the data.
    residual : float
        How far ``x`` is from a minimum: :math:`\|x - \mathrm{prox}_r(x + v)\| / \|x\|` with the penalty
        ``r`` and :math:`v = A^* \alpha`.
    """

    x: Array
    importance: Array
    residual: float
    _operator: LinearOperator = field(repr=False)
    _map: Map = field(repr=False)

    def kernel(self, target: Array) -> Array:
        r"""The similarity :math:`k(x_i, x') = \langle J x_i, x' \rangle` of each sample with a target.

        Parameters
        ----------
        target : array
            The features of one target, of the shape of the coefficients.

        Returns
        -------
        array
            Of the shape of the data.
        """
        target = arrays.as_namespace(target, self.x, "target")
        if tuple(target.shape) != tuple(self.x.shape):
            raise ValueError(
                f"target has shape {tuple(target.shape)}, the coefficients have {tuple(self.x.shape)}"
            )
        arrays.check_finite(target, "target")
        return self._operator(self._map(target))

    def values(self, target: Array) -> Array:
        r"""What each sample adds to the prediction for a target: :math:`\alpha_i\, k(x_i, x')`.

        Parameters
        ----------
        target : array
            The features of one target, of the shape of the coefficients; for the entry (u, v) of a matrix
            an array that is 1 there and 0 elsewhere.

        Returns
        -------
        array
            Of the shape of the data; positive where a sample pushes the prediction up.
        """
        return self.importance * self.kernel(target)

    def prediction(self, target: Array) -> float:
        """The prediction without intercept, ``<x, target>``."""
        return arrays.inner(self.x, arrays.as_namespace(target, self.x, "target"))

    def remainder(self, target: Array) -> float:
        """The prediction minus the sum of `values`: rounding, or for low rank of the order of `residual`."""
        return self.prediction(target) - arrays.total(self.values(target))


def representers(objective: Functional, result: Result | Array, side: Side = "both") -> Representers:
    r"""Write the predictions of a regularised linear model as a sum over its training samples.

    At a minimum of :math:`\sum_i \ell_i(\langle x_i, \theta\rangle) + r(\theta)` the vector
    :math:`v = -\sum_i \ell_i' x_i` is a subgradient of ``r``. With a self-adjoint map ``J`` for which
    :math:`\theta = J v`,

    .. math:: \langle x', \theta \rangle = \sum_i \alpha_i\, k(x_i, x'), \qquad
              \alpha_i = -\ell_i', \quad k(x_i, x') = \langle J x_i, x' \rangle.

    Parameters
    ----------
    objective : Functional
        One data fit (with or without intercept) plus a penalty that is a sum over coefficients (`L1`,
        `ElasticNet`, `SquaredL2`, with bounds or not), or `NuclearNorm`.
    result : Result or array
        Its minimum.
    side : {"both", "rows", "columns", "two-sided"}
        For the nuclear norm, through which factor samples are compared: rows (a rating explains others of
        its column: "users"), columns ("items"), the mean of the two, or both at once.

    Returns
    -------
    Representers

    Raises
    ------
    TypeError, ValueError
        If the objective is of another form, or ``result`` is not near its minimum.

    Notes
    -----
    For sums over coefficients :math:`J = \mathrm{diag}(\theta_j / v_j)` on the support, which at the minimum
    of ``lam * L1()`` is :math:`|\theta_j| / \lambda`: values add up to the prediction to rounding at any
    tolerance. For ``lam * NuclearNorm()`` and :math:`\theta = U S V^T` it is :math:`X V S V^T / \lambda`
    (columns), :math:`U S U^T X / \lambda` (rows) or :math:`U S^{1/2} U^T X V S^{1/2} V^T / \lambda`; values
    add up to within the error of the optimality condition, see `Representers.remainder`. In all cases
    ``J`` is positive semi-definite, so ``k`` is a kernel. An intercept is not part of the sum.
    Source: C.-P. Tsai et al., Representer point selection for explaining regularized high-dimensional models,
    ICML 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> X, y = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]), np.array([2.0, 3.0, 1.0])
    >>> objective = wp.LeastSquares(wp.operators.Matrix(X), y) + 1.0 * wp.L1()
    >>> explained = wp.representers(objective, wp.minimize(objective, tol=1e-10))
    >>> values = explained.values(np.array([1.0, 1.0]))
    >>> bool(np.isclose(values.sum(), explained.prediction(np.array([1.0, 1.0]))))
    True
    """
    if side not in SIDES:
        raise ValueError(f"side is one of {', '.join(SIDES)}, got {side!r}")
    factor, fit = _data_fit(objective)
    problem = canonical(objective, result.x if isinstance(result, Result) else result)
    x = result.x if isinstance(result, Result) else arrays.as_floating(result, "result")
    if tuple(x.shape) != problem.shape:
        raise ValueError(f"the result has shape {tuple(x.shape)}, the objective takes {problem.shape}")
    arrays.check_finite(x, "the result")
    A, penalty = fit.A, problem.simple
    if A is None or len(problem.terms) != 1:
        raise TypeError(
            "representers take one data fit of an operator plus a penalty on x itself; "
            f"{objective} is not of this form"
        )
    importance = -factor * fit._plain().gradient(A(x) + fit.intercept_at(x))
    v = A.apply_adjoint(importance)
    size = arrays.norm(x)
    moved = arrays.norm(penalty.prox(x + v, 1.0) - x)
    return Representers(x, importance, moved / size if size else moved, A, _map_of(penalty, x, v, side))


def _data_fit(objective: Functional) -> tuple[float, DataFit]:
    """The data fit of an objective, and the number in front of it."""
    found = [(c, f) for c, f in map(peel, Objective.of(objective).terms) if isinstance(f, DataFit)]
    if len(found) != 1 or not found[0][1].traits.smooth:
        raise TypeError(
            f"representers need one smooth data fit, such as LeastSquares or LogisticLoss; {objective} has "
            f"{len(found)} data fits"
        )
    return float(found[0][0]), found[0][1]


def _map_of(penalty: Functional, x: Array, v: Array, side: Side) -> Map:
    """``J``, with ``x = J v``."""
    weight, inner = peel(penalty)
    if isinstance(inner, NuclearNorm):
        return _low_rank(x, float(weight), side)
    if penalty.traits.separable and penalty.traits.convex:
        scale = _scale(x, v)
        return lambda target: scale * target
    raise TypeError(
        "representers are known for penalties that are sums over coefficients and for NuclearNorm, "
        f"not {penalty}"
    )


def _scale(x: Array, v: Array) -> Array:
    """``x / v`` on the support of ``x``."""
    xp = arrays.namespace(x, v)
    used = x != 0
    wrong = used & (x * v <= 0)
    if bool(xp.any(wrong)):
        count = int(xp.sum(xp.astype(wrong, xp.int64)))
        raise ValueError(
            f"{count} coefficients are not held by the penalty at this point: it is not near the minimum "
            "(minimise with a smaller tol), or they are free of penalty"
        )
    return xp.where(used, x / xp.where(used, v, xp.ones_like(v)), 0.0 * x)


def _low_rank(x: Array, weight: float, side: Side) -> Map:
    """The map through the singular vectors of ``x``."""
    if len(x.shape) != 2:
        raise ValueError(f"representers of the nuclear norm take one matrix, got shape {tuple(x.shape)}")
    xp = arrays.namespace(x)
    U, s, Vh = xp.linalg.svd(x, full_matrices=False)
    # Singular values that are rounding have singular vectors that are not determined.
    s = xp.where(s > max(x.shape) * arrays.epsilon(x) * xp.max(s), s, 0.0 * s)
    root = s**0.5

    def through(values: Array) -> tuple[Any, Any]:
        return (U * values) @ U.T, (Vh.T * values) @ Vh

    left, right = through(root if side == "two-sided" else s)
    if side == "rows":
        return lambda target: (left @ target) / weight
    if side == "columns":
        return lambda target: (target @ right) / weight
    if side == "two-sided":
        return lambda target: (left @ target @ right) / weight
    return lambda target: (left @ target + target @ right) / (2 * weight)
