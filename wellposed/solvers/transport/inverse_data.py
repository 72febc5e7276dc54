"""What inverse transport is made of, checked once before any work."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.transport.coupling_model import BilinearFeatures, Features, ListedFeatures
from wellposed.solvers.transport.gaussian_coupling import GaussianTarget, matrix, root


def penalty_weights(lam: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The weight of each coefficient, from one number or one for each."""
    values = np.asarray(arrays.numpy_view(arrays.as_floating(lam, "lam")), dtype=np.float64)
    if values.shape not in ((), shape):
        raise ValueError(
            f"lam must be a number or have the shape of the affinity, {shape}, got {values.shape}"
        )
    if not np.all((values > 0) & np.isfinite(values)):
        worst = float(values[~((values > 0) & np.isfinite(values))].flat[0])
        raise ValueError(f"lam must be a positive finite number everywhere, got {worst:g}")
    return np.broadcast_to(values, shape)


def covariance_blocks(cross: Any, cov_x: Any, cov_y: Any) -> tuple[np.ndarray, np.ndarray, GaussianTarget]:
    """The roots of two covariances and the observed one between them, if they fit together."""
    S = matrix(cross, "cross")
    (root_x, back_x), (root_y, back_y) = root(cov_x, "cov_x", S.shape[0]), root(cov_y, "cov_y", S.shape[1])
    K = back_x @ S @ back_y
    largest = float(np.linalg.norm(K, 2))
    if largest > 1 + 1e-8 or not np.allclose(root_x @ K @ root_y, S, atol=1e-8 * (1 + np.abs(S).max())):
        raise ValueError(
            "cov_x, cov_y and cross are not the blocks of a covariance "
            f"(largest canonical correlation {largest:.6g}): estimate all three from the same samples"
        )
    return root_x, root_y, GaussianTarget(S, K)


def point_weights(weights: Any, count: int, name: str) -> np.ndarray:
    """Weights of points, equal ones if none are given."""
    if weights is None:
        return np.full(count, 1 / count)
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (count,):
        raise ValueError(f"{name} has shape {w.shape}, expected ({count},)")
    return w


def observation(x: Any, y: Any, coupling: Any, features: Any) -> tuple[Features, np.ndarray, Array]:
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


def first_affinity(start: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Where a run starts, zero if nothing is given."""
    if start is None:
        return np.zeros(shape)
    given = arrays.as_floating(start, "start")
    if tuple(given.shape) != shape:
        raise ValueError(f"start has shape {tuple(given.shape)}, expected {shape}")
    arrays.check_finite(given, "start")
    return np.array(arrays.numpy_view(given), dtype=np.float64)
