r"""Inverse optimal transport: the cost that makes an observed coupling the entropic one.

F. Andrade, G. Peyre and C. Poon, Sparsistency for inverse optimal transport, ICLR 2024, arXiv 2310.05461.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.result import Certificate, ConvergenceWarning
from wellposed.solvers.transport.coupling_model import (
    BilinearFeatures,
    CouplingModel,
    CouplingPoint,
    CouplingTarget,
    Features,
    ListedFeatures,
)
from wellposed.solvers.transport.data import check_control, check_positive
from wellposed.solvers.transport.gaussian_coupling import GaussianModel, GaussianTarget, matrix, root
from wellposed.solvers.transport.inverse_newton import proximal_newton
from wellposed.solvers.transport.result import MESSAGES, Clock, TransportRecord
from wellposed.solvers.transport.sparsistency import Sparsistency, certificate_at

REMEDIES = {**MESSAGES, "stalled": "Rounding stops further progress: raise tol, lam or eps."}


@dataclass(frozen=True)
class InverseResult:
    r"""A learned affinity with the proof of how good it is.

    Parameters
    ----------
    affinity : array
        ``A``, exactly zero where the penalty holds it; the cost of transport is minus the affinity of a pair.
    moments : array
        :math:`\int c_k \, d\pi_A`; for `inverse_gaussian` the cross-covariance.
    plan : array or None
        The coupling of ``A`` between the points; ``None`` for `inverse_gaussian`.
    f, g : array or None
        Its potentials for the cost of the centred features.
    value : float
        :math:`\lambda \|A\|_1 + L(A)`; 0 at ``A = 0``.
    certificate : Certificate
        A duality gap.
    status : {"converged", "max_iter", "stalled", "stopped"}
    message : str
    iterations : int
        Proximal Newton steps.
    seconds : float
    history : tuple of TransportRecord
    """

    affinity: Array
    moments: Array = field(repr=False)
    plan: Array | None = field(repr=False)
    f: Array | None = field(repr=False)
    g: Array | None = field(repr=False)
    value: float
    certificate: Certificate
    status: str
    message: str
    iterations: int
    seconds: float
    history: tuple[TransportRecord, ...] = field(repr=False)

    @property
    def converged(self) -> bool:
        """Whether the tolerance was reached."""
        return self.status == "converged"

    def __repr__(self) -> str:
        used = int(np.count_nonzero(arrays.numpy_view(self.affinity)))
        return (
            f"InverseResult({self.status}: {self.certificate}; value {self.value:.6g}, {used} of "
            f"{self.affinity.size} coefficients, {self.iterations} iterations, {self.seconds:.3g} s)"
        )


def inverse(
    x: Any = None,
    y: Any = None,
    coupling: Any = None,
    *,
    features: Any = None,
    eps: float,
    lam: float,
    start: Any = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    callback: Callable[[Array, Certificate], Any] | None = None,
) -> InverseResult:
    r"""Learn a sparse affinity from a coupling, or from pairs of samples.

    .. math:: \min_A \lambda \|A\|_1 + W(A) - \langle c_A, \hat\pi\rangle, \qquad
        W(A) = \max_{\pi} \langle c_A, \pi\rangle - \varepsilon\, \mathrm{KL}(\pi \,|\, a \otimes b)

    over couplings :math:`\pi` with the sums of rows and columns of :math:`\hat\pi`, where
    :math:`c_A(x, y) = x^T A y`, or :math:`\sum_k A_k c_k` with ``features``.

    Parameters
    ----------
    x : array of shape (n, d), optional
    y : array of shape (m, e), optional
        Points. Needed unless ``features`` are given.
    coupling : array of shape (n, m), optional
        How much of each pair was observed; it is divided by its sum. If absent, row ``i`` of ``x`` was seen
        with row ``i`` of ``y``.
    features : array of shape (s, n, m), optional
        The values of any features at all pairs, in place of points.
    eps : float
        Positive, in units of the affinity.
    lam : float
        Positive. From ``max |centred moments of the coupling|`` on, the affinity is zero.
    start : array, optional
        A first affinity, such as that of a larger ``lam``.
    tol : float
        Bound of the duality gap, relative to the value.
    max_iter : int
        Proximal Newton steps.
    callback : callable, optional
        Gets the affinity and the certificate before each step; ``False`` ends the run.

    Returns
    -------
    InverseResult

    Raises
    ------
    ValueError
        If shapes do not match, entries are negative, NaN or infinite, a point takes no part in the coupling,
        or ``eps``, ``lam``, ``tol`` are not positive.

    Notes
    -----
    A function of ``x`` alone plus one of ``y`` alone does not change a coupling, so features are centred
    along both axes first; for points this centres ``x`` and ``y``.

    Each step minimises a quadratic model on the coefficients in use and those that should be, by coordinate
    descent; its curvature is the covariance, under the coupling, of the features without their best sum of a
    function of ``x`` and one of ``y``. Couplings come from Newton's method on the semi-dual. Memory is a few
    matrices of ``n x m``, time per step some ``n^3``: meant for up to a few thousand points.

    The dual bound is minus the divergence of the coupling mixed with the observed one until no moment is off
    by more than ``lam``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=400)
    >>> result = wp.transport.inverse(problem.x, problem.y, eps=5.0, lam=0.15)
    >>> result.affinity.shape, result.certificate.relative < 1e-6
    ((3, 3), True)
    """
    basis, observed, like = _observation(x, y, coupling, features)
    eps, lam = check_positive(eps, "eps"), check_positive(lam, "lam")
    check_control(tol, max_iter)
    model = CouplingModel(basis, observed.sum(axis=1), observed.sum(axis=0), eps, min(1e-9, 1e-4 * tol))
    target = CouplingTarget(observed, basis.moments(observed))
    return _learn(model, target, lam, _start(start, model.shape), tol, max_iter, callback, like)


def inverse_gaussian(
    cross: Any,
    cov_x: Any = None,
    cov_y: Any = None,
    *,
    eps: float,
    lam: float,
    start: Any = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    callback: Callable[[Array, Certificate], Any] | None = None,
) -> InverseResult:
    r"""`inverse` between normal distributions, from covariances alone, in closed form.

    Parameters
    ----------
    cross : array of shape (d, e)
        The observed covariance of ``x`` with ``y``.
    cov_x, cov_y : array, optional
        The covariances; the identity if absent.
    eps, lam, start, tol, max_iter, callback
        As in `inverse`. From ``max |cross|`` on ``lam`` gives zero.

    Returns
    -------
    InverseResult

    Raises
    ------
    ValueError
        As for `inverse`, or if the three matrices are not the blocks of a covariance.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> A = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]])
    >>> cross = wp.transport.gaussian_coupling(A, eps=4.0)
    >>> wp.transport.inverse_gaussian(cross, eps=4.0, lam=1e-4).affinity.round(2)
    array([[1. , 0. , 0.5],
           [0. , 1. , 0. ]])
    """
    S = matrix(cross, "cross")
    (root_x, back_x), (root_y, back_y) = root(cov_x, "cov_x", S.shape[0]), root(cov_y, "cov_y", S.shape[1])
    K = back_x @ S @ back_y
    largest = float(np.linalg.norm(K, 2))
    if largest > 1 + 1e-8 or not np.allclose(root_x @ K @ root_y, S, atol=1e-8 * (1 + np.abs(S).max())):
        raise ValueError(
            "cov_x, cov_y and cross are not the blocks of a covariance "
            f"(largest canonical correlation {largest:.6g}): estimate all three from the same samples"
        )
    eps, lam = check_positive(eps, "eps"), check_positive(lam, "lam")
    check_control(tol, max_iter)
    model, target = GaussianModel(root_x, root_y, eps), GaussianTarget(S, K)
    like = arrays.as_floating(cross, "cross")
    return _learn(model, target, lam, _start(start, model.shape), tol, max_iter, callback, like)


def sparsistency(
    affinity: Array,
    x: Any = None,
    y: Any = None,
    a: Any = None,
    b: Any = None,
    *,
    features: Any = None,
    eps: float,
) -> Sparsistency:
    r"""Whether `inverse` can find the support of an affinity between given points.

    Parameters
    ----------
    affinity : array
        The true one, or an estimate.
    x, y, features
        As in `inverse`; all pairs of points take part.
    a, b : array, optional
        Weights of the points; equal if absent.
    eps : float

    Returns
    -------
    Sparsistency

    Raises
    ------
    ValueError
        As for `inverse`, or if the affinity is zero or its support linearly dependent.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> x, y = np.random.default_rng(0).normal(size=(2, 100, 3))
    >>> wp.transport.sparsistency(np.eye(3), x, y, eps=10.0).holds
    True
    """
    if features is None and x is not None and y is not None:
        n, m = len(x), len(y)
    elif features is not None and len(np.shape(features)) == 3:
        n, m = np.shape(features)[1:]
    else:
        raise ValueError("give points x and y, or features of shape (s, n, m)")
    weights = np.outer(_weights(a, n, "a"), _weights(b, m, "b"))
    basis, observed, _ = _observation(x, y, weights, features)
    A = arrays.numpy_view(arrays.as_floating(affinity, "affinity")).astype(np.float64)
    if A.shape != basis.shape:
        raise ValueError(f"affinity has shape {A.shape}, expected {basis.shape}")
    arrays.check_finite(A, "affinity")
    model = CouplingModel(
        basis, observed.sum(axis=1), observed.sum(axis=0), check_positive(eps, "eps"), 1e-12
    )
    return certificate_at(model.at(A), A, affinity)


def _weights(weights: Any, count: int, name: str) -> np.ndarray:
    if weights is None:
        return np.full(count, 1 / count)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (count,):
        raise ValueError(f"{name} has shape {w.shape}, expected ({count},)")
    return w


def _observation(x: Any, y: Any, coupling: Any, features: Any) -> tuple[Features, np.ndarray, Array]:
    """Centred features, the observed coupling of mass 1, and the array that sets the kind of answers."""
    if (features is None) == (x is None and y is None):
        raise ValueError("give points x and y, or features of shape (s, n, m): one of the two")
    if features is None:
        if x is None or y is None:
            raise ValueError("both x and y are needed")
        like = arrays.as_floating(x, "x")
        left, right = matrix(x, "x"), matrix(y, "y")
        P = _observed(coupling, len(left), len(right))
        left = left - P.sum(axis=1) @ left
        right = right - P.sum(axis=0) @ right
        return BilinearFeatures(left, right), P, like
    like = arrays.as_floating(features, "features")
    if len(like.shape) != 3 or 0 in like.shape:
        raise ValueError(f"features must have shape (s, n, m), got {tuple(like.shape)}")
    arrays.check_finite(like, "features")
    values = np.array(arrays.numpy_view(like), dtype=np.float64)
    P = _observed(coupling, values.shape[1], values.shape[2])
    values -= np.tensordot(values, P.sum(axis=0), 1)[:, :, None]
    values -= np.einsum("i,kij->kj", P.sum(axis=1), values)[:, None, :]
    return ListedFeatures(values), P, like


def _observed(coupling: Any, n: int, m: int) -> np.ndarray:
    if coupling is None:
        if n != m:
            raise ValueError(f"without a coupling x and y come in pairs, but there are {n} and {m} of them")
        return np.eye(n) / n
    P = matrix(coupling, "coupling", (n, m))
    if P.min() < 0:
        raise ValueError(f"a coupling must not be negative, but its least entry is {P.min():g}")
    for axis, name in ((1, "row"), (0, "column")):
        sums = P.sum(axis=axis)
        if not sums.min() > 0:
            where = int(sums.argmin())
            raise ValueError(f"{name} {where} of the coupling is zero: leave this point out")
    return np.asarray(P / P.sum())


def _start(start: Any, shape: tuple[int, ...]) -> np.ndarray:
    if start is None:
        return np.zeros(shape)
    given = arrays.as_floating(start, "start")
    if tuple(given.shape) != shape:
        raise ValueError(f"start has shape {tuple(given.shape)}, expected {shape}")
    arrays.check_finite(given, "start")
    return np.array(arrays.numpy_view(given), dtype=np.float64)


def _learn(
    model: CouplingModel | GaussianModel,
    target: CouplingTarget | GaussianTarget,
    lam: float,
    start: np.ndarray,
    tol: float,
    max_iter: int,
    callback: Callable[[Array, Certificate], Any] | None,
    like: Array,
) -> InverseResult:
    clock = Clock()

    def back(values: np.ndarray) -> Array:
        return arrays.namespace(like).astype(arrays.from_numpy(values, like), like.dtype, copy=False)

    def watch(k: int, certificate: Certificate, point: Any) -> bool:
        clock.record(k, certificate.lower_bound, 0.0)
        return callback is not None and callback(back(point.A), certificate) is False

    point, certificate, count, status = proximal_newton(model, target, lam, start, tol, max_iter, watch)
    coupled = isinstance(point, CouplingPoint)
    result = InverseResult(
        affinity=back(point.A),
        moments=back(point.moments),
        plan=back(point.plan) if coupled else None,
        f=back(point.f) if coupled else None,
        g=back(point.g) if coupled else None,
        value=certificate.primal,
        certificate=certificate,
        status=status,
        message=REMEDIES[status],
        iterations=count,
        seconds=clock.seconds,
        history=tuple(clock.history),
    )
    if status not in ("converged", "stopped"):
        warnings.warn(
            f"inverse transport: {result.message} ({certificate})", ConvergenceWarning, stacklevel=3
        )
    return result
