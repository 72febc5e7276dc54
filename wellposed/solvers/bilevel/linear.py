"""Linear systems with a symmetric matrix known by its products: conjugate gradients, else MINRES."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array

Product = Callable[[Array], Array]

RECOMPUTE_EVERY = 50
"""Iterations after which the residual is computed afresh, since its recursion drifts."""

DRIFT = 1e-9
"""Residual relative to the right-hand side below which its recursion is not trusted at the end."""


@dataclass(frozen=True)
class LinearSolve:
    """The solution of a linear system.

    Parameters
    ----------
    q : array
    residual : float
        Norm of the residual, absolute.
    iterations : int
        Products with the matrix after that for the first residual.
    status : {"converged", "max_iter", "stalled", "indefinite", "failed"}
    """

    q: Array
    residual: float
    iterations: int
    status: str


def conjugate_gradients(
    product: Product, b: Array, q: Array | None, tol: float, max_iter: int
) -> LinearSolve:
    """Solve ``H q = b`` to ``||H q - b|| <= tol``, for a positive definite ``H``."""
    if q is None:
        q, r = arrays.zeros(tuple(b.shape), b), b
    else:
        r = b - product(q)
    p, rr, k = r, arrays.inner(r, r), 0
    least, idle = math.inf, 0
    while True:
        if not math.isfinite(rr):
            return LinearSolve(q, math.inf, k, "failed")
        if math.sqrt(rr) <= tol:
            if k and tol < DRIFT * arrays.norm(b):
                r = b - product(q)
                rr = arrays.inner(r, r)
            if math.sqrt(rr) <= tol:
                return LinearSolve(q, math.sqrt(rr), k, "converged")
            p = r
        least, idle = (rr, 0) if rr < 0.99 * least else (least, idle + 1)
        # The residual may rise on the way, but not for longer than the dimension, unless it is rounding.
        if k >= max_iter or idle > 100 + 2 * min(math.prod(tuple(b.shape)), 1000):
            true = arrays.norm(b - product(q))
            return LinearSolve(q, true, k, "max_iter" if k >= max_iter else "stalled")
        Hp = product(p)
        curvature = arrays.inner(p, Hp)
        if not curvature > 0.0:
            return LinearSolve(q, arrays.norm(b - product(q)), k, "indefinite")
        alpha = rr / curvature
        q = q + alpha * p
        k += 1
        r = b - product(q) if k % RECOMPUTE_EVERY == 0 else r - alpha * Hp
        new = arrays.inner(r, r)
        p = r + (new / rr) * p
        rr = new


def minres(product: Product, b: Array, tol: float, max_iter: int) -> LinearSolve:
    """Solve ``H q = b`` for an indefinite ``H`` with SciPy's MINRES, in double precision on the host."""
    from scipy.sparse.linalg import LinearOperator, minres

    shape, count = tuple(b.shape), 0

    def matvec(flat: np.ndarray) -> np.ndarray:
        nonlocal count
        count += 1
        return arrays.to_host(product(_like(flat, b))).reshape(-1).astype(np.float64)

    n = math.prod(shape)
    host = arrays.to_host(b).reshape(-1).astype(np.float64)
    size = float(np.linalg.norm(host))
    relative = 0.1 * tol / size if size > 0 else 0.0
    flat, _ = minres(
        LinearOperator((n, n), matvec=matvec, dtype=float), host, rtol=relative, maxiter=max_iter
    )
    q = _like(flat, b)
    residual = arrays.norm(b - product(q))
    status = "converged" if residual <= tol else "max_iter" if count >= max_iter else "stalled"
    return LinearSolve(q, residual, count, status)


def solve(product: Product, b: Array, q: Array | None, tol: float, max_iter: int) -> LinearSolve:
    """Conjugate gradients; where they meet a direction without curvature, MINRES from the beginning."""
    first = conjugate_gradients(product, b, q, tol, max_iter)
    if first.status != "indefinite":
        return first
    second = minres(product, b, tol, max_iter)
    iterations = first.iterations + second.iterations
    return LinearSolve(second.q, second.residual, iterations, second.status)


def _like(flat: np.ndarray, b: Array) -> Array:
    host = flat.reshape(tuple(b.shape)).astype(arrays.to_host(b).dtype, copy=True)
    return arrays.from_host(host, like=b)
