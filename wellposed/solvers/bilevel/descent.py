r"""Minimise a smooth strongly convex function until its gradient is short: gradient descent, accelerated.

With ``tau = 1/L`` and ``q = mu/L`` the accelerated method (Nesterov's, constant momentum) is

.. math:: x_{k+1} = z_k - \tau \nabla h(z_k), \quad z_{k+1} = x_{k+1} + \beta (x_{k+1} - x_k), \quad
          \beta = \frac{1 - \sqrt q}{1 + \sqrt q}

The gradient is known at ``z_k`` only, so that is the point which is handed back: then
``||z_k - x*|| <= ||grad h(z_k)|| / mu``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.bilevel.linear import Product, conjugate_gradients

Gradient = Callable[[Array], Array]

PATIENCE = 20
"""Characteristic times ``sqrt(L/mu)`` without a new least residual, after which rounding is to blame."""

PATIENCE_IN_NOISE = 2
"""The same where the residual is as small as rounding errors may be, and falls by less than a tenth."""


@dataclass(frozen=True)
class Descent:
    """Where a descent ended.

    Parameters
    ----------
    x : array
    residual : float
        Norm of the gradient at ``x``.
    iterations : int
    status : {"converged", "max_iter", "stalled", "failed"}
    """

    x: Array
    residual: float
    iterations: int
    status: str


def momentum(L: float, mu: float) -> float:
    """The constant momentum of the accelerated method."""
    root = math.sqrt(min(mu / L, 1.0))
    return (1 - root) / (1 + root)


def descend(
    gradient: Gradient,
    x: Array,
    tol: float,
    max_iter: int,
    L: float,
    mu: float,
    accelerated: bool = True,
    noise: Callable[[Array], float] = lambda x: 0.0,
) -> Descent:
    """Run until ``||grad|| <= tol``; ``mu = 0`` gives no momentum.

    ``noise`` tells how far rounding may put the gradient off.
    """
    tau, beta = 1 / L, momentum(L, mu) if accelerated and mu > 0 else 0.0
    time = math.ceil(math.sqrt(L / mu) if accelerated else L / mu) if mu > 0 else max_iter
    patience, in_noise = 100 + PATIENCE * time, 100 + PATIENCE_IN_NOISE * time
    z, x_old = x, x
    best, best_at, best_z = math.inf, 0, x
    marked, marked_at = math.inf, 0
    k = 0
    while True:
        g = gradient(z)
        size = arrays.norm(g)
        if size <= tol:
            return Descent(z, size, k, "converged")
        if not math.isfinite(size):
            return Descent(best_z, best, k, "failed")
        if size < best:
            best, best_at, best_z = size, k, z
        if size < 0.9 * marked:
            marked, marked_at = size, k
        elif k - marked_at > in_noise:
            if best <= noise(z):
                return Descent(best_z, best, k, "stalled")
            marked, marked_at = best, k
        if k >= max_iter or k - best_at > patience:
            return Descent(best_z, best, k, "max_iter" if k >= max_iter else "stalled")
        x_new = z - tau * g
        z = x_new + beta * (x_new - x_old) if beta else x_new
        x_old = x_new
        k += 1


def lbfgs(
    value_and_gradient: Callable[[Array], tuple[float, Array]], x: Array, tol: float, max_iter: int
) -> Descent:
    """SciPy's L-BFGS, stopped at the first point with a short gradient; in double precision on the host.

    Iterations are evaluations of the gradient after the first.
    """
    from scipy.optimize import minimize

    best: list[tuple[float, Array]] = []
    count = -1

    def fun(flat: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal count
        count += 1
        at = arrays.from_host(flat.reshape(tuple(x.shape)).astype(arrays.to_host(x).dtype, copy=True), like=x)
        value, g = value_and_gradient(at)
        size = arrays.norm(g)
        if math.isfinite(size) and (not best or size < best[0][0]):
            best[:] = [(size, at)]
        if size <= tol or count >= max_iter:
            raise _Enough
        return value, arrays.to_host(g).reshape(-1).astype(np.float64)

    start = arrays.to_host(x).reshape(-1).astype(np.float64)
    options = {"maxiter": max_iter, "maxfun": max_iter + 1, "ftol": 0.0, "gtol": 0.0, "maxcor": 20}
    with contextlib.suppress(_Enough):
        minimize(fun, start, jac=True, method="L-BFGS-B", options=options)
    if not best:
        return Descent(x, math.inf, count, "failed")
    size, found = best[0]
    status = "converged" if size <= tol else "max_iter" if count >= max_iter else "stalled"
    return Descent(found, size, count, status)


def newton(
    gradient: Gradient, hessian: Callable[[Array], Product], found: Descent, tol: float, max_iter: int
) -> Descent:
    """Newton steps from where a descent by values stalled: they need no values, whose rounding stops it.

    The iterations of conjugate gradients count.
    """
    x, g, size, count = found.x, gradient(found.x), found.residual, found.iterations
    while size > tol and count < max_iter:
        solve = conjugate_gradients(hessian(x), g, None, 0.1 * size, max_iter - count)
        new = x - solve.q
        g_new = gradient(new)
        count += solve.iterations + 1
        new_size = arrays.norm(g_new)
        if not new_size < size:
            break
        x, g, size = new, g_new, new_size
    status = "converged" if size <= tol else "max_iter" if count >= max_iter else "stalled"
    return Descent(x, size, count, status)


class _Enough(Exception):  # noqa: N818
    """Ends a run of SciPy from within."""
