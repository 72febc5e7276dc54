"""The certificates of inverse transport again, from the data and what was handed back alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.functionals.feasible import rounded
from wellposed.solvers.result import Certificate
from wellposed.solvers.transport.data import check_positive
from wellposed.solvers.transport.gaussian_coupling import mixture
from wellposed.solvers.transport.inverse import InverseResult
from wellposed.solvers.transport.inverse_data import covariance_blocks, observation, penalty_weights


def verify_inverse(
    result: InverseResult,
    x: Any = None,
    y: Any = None,
    coupling: Any = None,
    *,
    features: Any = None,
    eps: float,
    lam: Any,
) -> Certificate:
    """Recompute the duality gap of `inverse`, with no transport problem solved.

    The value needs the potential of the affinity; any ``f`` and ``g`` bound it from above. The plan, made
    feasible and mixed with the observed coupling, bounds the minimum from below. So whatever the numbers in
    ``result`` are, the certificate holds.

    Parameters
    ----------
    result : InverseResult
        Only ``affinity``, ``plan``, ``f`` and ``g`` are read.
    x, y, coupling, features, eps, lam
        The problem, as given to `inverse`.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        As for `inverse`, or if the result does not belong to such a problem.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.gaussian_inverse_transport(nodes=3, eps=5.0, samples=200)
    >>> result = wp.transport.inverse(problem.x, problem.y, eps=5.0, lam=0.15)
    >>> wp.transport.verify_inverse(result, problem.x, problem.y, eps=5.0, lam=0.15).relative < 1e-6
    True
    """
    basis, observed, _ = observation(x, y, coupling, features)
    eps, lam = check_positive(eps, "eps"), penalty_weights(lam, basis.shape)
    n, m = observed.shape
    A = _read(result.affinity, "affinity", basis.shape)
    plan, f, g = (
        _read(values, name, shape)
        for values, name, shape in (
            (result.plan, "plan", (n, m)),
            (result.f, "f", (n,)),
            (result.g, "g", (m,)),
        )
    )
    a, b = observed.sum(axis=1), observed.sum(axis=0)
    independent = np.outer(a, b)
    with np.errstate(over="ignore"):
        mass = float(np.vdot(independent, np.exp((basis.combine(A) + f[:, None] + g) / eps)))
    potential = eps * (mass - 1) - float(f @ a + g @ b)
    moments = basis.moments(observed)
    primal = float(np.vdot(lam, np.abs(A))) + potential - float(np.vdot(A, moments))
    right = rounded(np.maximum(plan, 0.0), a, b)
    share = mixture(basis.moments(right) - moments, lam)
    mixed = (1 - share) * right + share * observed
    logs = np.log(mixed / independent, out=np.zeros_like(mixed), where=mixed > 0)
    return _certificate(result, primal, -eps * float(np.vdot(mixed, logs)))


def verify_inverse_gaussian(
    result: InverseResult, cross: Any, cov_x: Any = None, cov_y: Any = None, *, eps: float, lam: Any
) -> Certificate:
    """Recompute the duality gap of `inverse_gaussian`.

    The bound below comes from the determinants of covariances with the ``moments`` of the result, mixed
    with the observed ones; the value from the closed form of the potential.

    Parameters
    ----------
    result : InverseResult
        Only ``affinity`` and ``moments`` are read.
    cross, cov_x, cov_y, eps, lam
        The problem, as given to `inverse_gaussian`.

    Returns
    -------
    Certificate

    Raises
    ------
    ValueError
        As for `inverse_gaussian`, or if the result does not belong to such a problem.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cross = wp.transport.gaussian_coupling(np.eye(2), eps=4.0)
    >>> result = wp.transport.inverse_gaussian(cross, eps=4.0, lam=0.01)
    >>> wp.transport.verify_inverse_gaussian(result, cross, eps=4.0, lam=0.01).relative < 1e-6
    True
    """
    root_x, root_y, target = covariance_blocks(cross, cov_x, cov_y)
    shape = target.moments.shape
    eps, lam = check_positive(eps, "eps"), penalty_weights(lam, shape)
    A, S = _read(result.affinity, "affinity", shape), _read(result.moments, "moments", shape)
    s = np.linalg.svd(root_x @ A @ root_y, compute_uv=False)
    length = np.sqrt(eps**2 + 4 * s * s)
    potential = float(((length - eps) / 2 + eps / 2 * np.log(2 * eps / (length + eps))).sum())
    primal = float(np.vdot(lam, np.abs(A))) + potential - float(np.vdot(A, target.moments))
    share = mixture(S - target.moments, lam)
    mixed = (1 - share) * S + share * target.moments
    back_x, back_y = np.linalg.pinv(root_x), np.linalg.pinv(root_y)
    K = back_x @ mixed @ back_y
    c = np.linalg.svd(K, compute_uv=False)
    if c[0] > 1 or not np.allclose(root_x @ K @ root_y, mixed, atol=1e-8 * (1 + np.abs(mixed).max())):
        return _certificate(result, primal, -np.inf)
    sign, logarithm = np.linalg.slogdet(np.eye(len(K)) - K @ K.T)
    return _certificate(result, primal, eps / 2 * float(logarithm) if sign > 0 else -np.inf)


def _read(values: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A part of a result in double precision."""
    if values is None:
        raise ValueError(
            f"the result has no {name}: it comes from inverse_gaussian, use verify_inverse_gaussian"
        )
    given = np.asarray(arrays.numpy_view(values), dtype=np.float64)
    if given.shape != shape:
        raise ValueError(f"the {name} of the result has shape {given.shape}, but the problem needs {shape}")
    arrays.check_finite(given, name)
    return given


def _certificate(result: InverseResult, primal: float, lower: float) -> Certificate:
    note = "coupling mixed with the observed one"
    scale = max(abs(primal), result.certificate.scale)
    return Certificate("duality gap", max(primal - lower, 0.0), scale, primal, lower, note)
