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
    CouplingModel,
    CouplingPoint,
    CouplingTarget,
)
from wellposed.solvers.transport.data import check_control, check_positive
from wellposed.solvers.transport.gaussian_coupling import GaussianModel, GaussianTarget
from wellposed.solvers.transport.inverse_data import (
    covariance_blocks,
    first_affinity,
    observation,
    penalty_weights,
)
from wellposed.solvers.transport.inverse_newton import proximal_newton
from wellposed.solvers.transport.result import MESSAGES, Clock, TransportRecord

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
        :math:`\sum_k \lambda_k |A_k| + L(A)`; 0 at ``A = 0``.
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
    lam: Any,
    start: Any = None,
    tol: float = 1e-6,
    max_iter: int = 100,
    callback: Callable[[Array, Certificate], Any] | None = None,
) -> InverseResult:
    r"""Learn a sparse affinity from a coupling, or from pairs of samples.

    .. math:: \min_A \sum_k \lambda_k |A_k| + W(A) - \langle c_A, \hat\pi\rangle, \qquad
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
    lam : float or array
        Positive; one number, or one for each coefficient, in the shape of the affinity. The affinity is zero
        where no centred moment of the coupling is larger than its ``lam``.
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
    by more than its ``lam``; a ``lam`` of 0 would leave no such bound. `verify_inverse` proves it again.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=400)
    >>> result = wp.transport.inverse(problem.x, problem.y, eps=5.0, lam=0.15)
    >>> result.affinity.shape, result.certificate.relative < 1e-6
    ((3, 3), True)
    """
    basis, observed, like = observation(x, y, coupling, features)
    eps = check_positive(eps, "eps")
    check_control(tol, max_iter)
    model = CouplingModel(basis, observed.sum(axis=1), observed.sum(axis=0), eps, min(1e-9, 1e-4 * tol))
    target = CouplingTarget(observed, basis.moments(observed))
    weights, first = penalty_weights(lam, model.shape), first_affinity(start, model.shape)
    return _learn(model, target, weights, first, tol, max_iter, callback, like)


def inverse_gaussian(
    cross: Any,
    cov_x: Any = None,
    cov_y: Any = None,
    *,
    eps: float,
    lam: Any,
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
        As in `inverse`. The affinity is zero where no ``|cross|`` is larger than its ``lam``.

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
    root_x, root_y, target = covariance_blocks(cross, cov_x, cov_y)
    check_control(tol, max_iter)
    model = GaussianModel(root_x, root_y, check_positive(eps, "eps"))
    like = arrays.as_floating(cross, "cross")
    weights, first = penalty_weights(lam, model.shape), first_affinity(start, model.shape)
    return _learn(model, target, weights, first, tol, max_iter, callback, like)


def _learn(
    model: CouplingModel | GaussianModel,
    target: CouplingTarget | GaussianTarget,
    lam: np.ndarray,
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
