r"""Newton's method on the semi-dual of regularised transport.

For a regulariser that is a sum over columns, :math:`\min \langle C, P\rangle + \sum_j \Omega(p_j)` over
:math:`P \ge 0,\ P 1 = a,\ P^T 1 = b` has the smooth concave semi-dual

.. math:: \Phi(f) = \langle f, a\rangle - \sum_j \Omega_{b_j}^*(f - c_j),
    \qquad \Omega_b^*(s) = \max_{t \ge 0,\ \sum t = b} \langle s, t\rangle - \Omega(t),

whose maximisers ``t`` are the columns of the plan: their sums are exact for every ``f``, and the gradient
:math:`a - P 1` is what the row sums lack. Arrays lie with one row per column of the plan.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from wellposed.kernels.transport_columns import quadratic_columns

ONE_THREAD_BELOW = 2_500_000
"""Costs from which linear algebra may use several threads: on a busy machine they stall for milliseconds."""

Watch = Callable[[int, float, float], bool]
"""Called with the iteration, the dual value and the largest error of a row sum; true stops."""


@dataclass
class Columns:
    """The columns of the plan for one ``f``: what a step of Newton's method looks at."""

    f: np.ndarray
    g: np.ndarray
    plan: np.ndarray
    """One row per target."""
    value: float
    gradient: np.ndarray
    rounding: float
    """How far rounding may have moved the value."""

    @property
    def error(self) -> float:
        """Sum of the errors of the row sums."""
        return float(np.abs(self.gradient).sum())


class ColumnRegulariser(Protocol):
    """A regulariser of columns whose maximisers are known."""

    def columns(
        self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray
    ) -> Columns:
        """The maximisers for ``f``; ``g`` is a guess."""

    def curvature(self, at: Columns, b: np.ndarray) -> tuple[np.ndarray, float]:
        """Minus the (generalised) Hessian of the semi-dual, and a typical entry of its larger summand."""


@dataclass(frozen=True)
class QuadraticColumns:
    r""":math:`\Omega(t) = \tfrac{\mathrm{reg}}{2} \|t\|^2`."""

    reg: float

    def columns(
        self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray
    ) -> Columns:
        plan, g, count = np.empty_like(cost), g.copy(), np.empty_like(b)
        quadratic_columns(cost, f, b, self.reg, g, plan, count)
        squares = float(np.einsum("ji,ji->", plan, plan))
        value = float(f @ a + g @ b) - 0.5 * self.reg * squares
        size = float(np.abs(f) @ a + np.abs(g) @ b)
        return Columns(f, g, plan, value, a - plan.sum(axis=0), 8 * np.finfo(np.float64).eps * size)

    def curvature(self, at: Columns, b: np.ndarray) -> tuple[np.ndarray, float]:
        active = at.plan > 0
        # A very small reg may leave a column without an entry, by rounding.
        counts = np.maximum(active.sum(axis=1), 1)
        if counts.sum() < 0.04 * active.size:
            from scipy.sparse import csr_array

            scaled = csr_array(active / np.sqrt(counts)[:, None])
            shared = np.asarray((scaled.T @ scaled).toarray())
        else:
            # Single precision is enough: the entries are sums of reciprocals of counts.
            half = active.astype(np.float32) / np.sqrt(counts).astype(np.float32)[:, None]
            shared = (half.T @ half).astype(np.float64)
        np.negative(shared, out=shared)
        shared[np.diag_indices_from(shared)] += active.sum(axis=0)
        shared /= self.reg
        return shared, float(counts.sum()) / (self.reg * len(shared))


@dataclass(frozen=True)
class EntropicColumns:
    r""":math:`\Omega(t) = \varepsilon \sum_i t_i \log(t_i / (a_i b_j / M))`, ``M`` the total mass."""

    eps: float

    def columns(
        self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray
    ) -> Columns:
        mass = float(a.sum())
        plan = (f - cost) / self.eps
        top = plan.max(axis=1, keepdims=True)
        plan -= top
        np.exp(plan, out=plan)
        plan *= a / mass
        sums = plan.sum(axis=1)
        plan *= (b / sums)[:, None]
        g = -self.eps * (np.log(sums) + top[:, 0])
        size = float(np.abs(f) @ a + np.abs(g) @ b)
        value = float(f @ a + g @ b)
        return Columns(f, g, plan, value, a - plan.sum(axis=0), 8 * np.finfo(np.float64).eps * size)

    def curvature(self, at: Columns, b: np.ndarray) -> tuple[np.ndarray, float]:
        half = at.plan / np.sqrt(b)[:, None]
        shared = -(half.T @ half)
        shared[np.diag_indices_from(shared)] += at.plan.sum(axis=0)
        shared /= self.eps
        return shared, float(b.sum()) / (self.eps * len(shared))


def newton(
    regulariser: ColumnRegulariser,
    cost: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    tol: float,
    max_iter: int,
    watch: Watch | None = None,
) -> tuple[Columns, int, str]:
    """Maximise the semi-dual until the row sums err by at most ``tol`` in all.

    Parameters
    ----------
    regulariser : ColumnRegulariser
    cost : array of shape (n, m)
        One row per target.
    a : array of shape (m,)
    b : array of shape (n,)
    f, g : array
        The start.
    tol : float
        Bound of the sum of the absolute errors of the row sums.
    max_iter : int
    watch : callable, optional

    Returns
    -------
    columns : Columns
    iterations : int
    status : {"converged", "max_iter", "stalled", "stopped"}
    """
    with one_blas_thread() if cost.size < ONE_THREAD_BELOW else contextlib.nullcontext():
        return _newton(regulariser, cost, a, b, f, g, tol, max_iter, watch)


def _newton(
    regulariser: ColumnRegulariser,
    cost: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
    tol: float,
    max_iter: int,
    watch: Watch | None,
) -> tuple[Columns, int, str]:
    at = regulariser.columns(cost, a, b, f, g)
    for k in range(max_iter + 1):
        if watch is not None and watch(k, at.value, at.error):
            return at, k, "stopped"
        if at.error <= tol:
            return at, k, "converged"
        if k == max_iter:
            break
        step = direction(*regulariser.curvature(at, b), at.gradient, at.error / float(a.sum()))
        moved = _line_search(regulariser, cost, a, b, at, step)
        if moved is None:
            return at, k, "stalled"
        at = moved
    return at, max_iter, "max_iter"


def direction(
    curvature: np.ndarray, typical: float, gradient: np.ndarray, relative_error: float
) -> np.ndarray:
    """Newton's direction, regularised: constants are in the kernel of the curvature, and more may be."""
    from scipy.linalg import cho_factor, cho_solve

    m = len(gradient)
    diagonal = np.diag_indices(m)
    # A constant added to f is taken off g again: without the mean the gradient is the same.
    curvature = curvature + typical / m
    shift = max(1e-3 * min(relative_error, 1.0), 1e-12) * typical
    curvature[diagonal] += shift
    gradient = gradient - gradient.mean()
    for _ in range(20):
        try:
            factor = cho_factor(curvature, lower=True, overwrite_a=False, check_finite=False)
        except np.linalg.LinAlgError:
            curvature[diagonal] += 9 * shift
            shift *= 10
            continue
        return np.asarray(cho_solve(factor, gradient, check_finite=False))
    # What overflowed, for a regulariser lost in rounding, has no direction.
    return np.zeros_like(gradient)


def _line_search(
    regulariser: ColumnRegulariser,
    cost: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    at: Columns,
    step: np.ndarray,
) -> Columns | None:
    """The first of the steps 1, 1/2, 1/4, ... that ascends; ``None`` where rounding hides any ascent."""
    slope = float(at.gradient @ step)
    if not slope > 0:
        return None
    length = 1.0
    for _ in range(40):
        there = regulariser.columns(cost, a, b, at.f + length * step, at.g)
        new_slope = float(there.gradient @ step)
        # A concave function still rises here, so it rose all the way.
        if 0 <= new_slope <= slope or there.value >= at.value + 1e-4 * length * slope:
            return there
        # Where values differ by rounding only, a smaller gradient decides.
        if there.value >= at.value - at.rounding and there.error < 0.9 * at.error:
            return there
        # The secant's zero of the slope, kept well inside.
        secant = slope / (slope - new_slope) if new_slope < 0 else 0.5
        length *= min(max(secant, 0.1), 0.5)
    return None


def levels_down(first: float, last: float, factor: float) -> list[float]:
    """``first``, ``first / factor``, ... as long as they are above ``last``."""
    levels: list[Any] = []
    while first > last * 1.001:
        levels.append(first)
        first /= factor
    return levels


def one_blas_thread() -> contextlib.AbstractContextManager[Any]:
    """A context in which the linear algebra of NumPy and SciPy uses one thread."""
    context: contextlib.AbstractContextManager[Any] = _controller().limit(limits=1, user_api="blas")
    return context


@functools.cache
def _controller() -> Any:
    # Both libraries bring a BLAS of their own, which must be loaded to be found.
    importlib.import_module("scipy.linalg")
    return importlib.import_module("threadpoolctl").ThreadpoolController()
