r"""The quadratic problem on a working set with known Gram matrix.

Sweeps of coordinate descent find the coefficients that are neither zero nor at a bound. Newton's method on
these, where the penalty is smooth, then needs one step (groups: few). The curvature of a group is
:math:`\omega_g (I / r - x_g x_g^T / r^3)` with :math:`r = \|x_g\|`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wellposed.kernels import coordinate_gram
from wellposed.solvers.coordinate.penalty import Penalty

BURST = 5
"""Sweeps between two looks at the support."""

MOST = 4000
"""Sweeps at most for one quadratic problem."""

SHORTEST = 1.0 / 64
"""Part of a Newton step below which it is given up."""

SMALL = 200
"""Size of a system up to which NumPy solves it, without the triangle that SciPy would use again."""

WORK = 2000
"""Coefficients in all the systems of one active-set search, about."""

RIDGE = 16.0
"""What is added to the diagonal of a singular system, in rounding errors of its trace."""


class Gram:
    """The Gram matrix of a growing set of columns, empty at first."""

    def __init__(self, G: np.ndarray | None = None) -> None:
        self.G = np.empty((0, 0)) if G is None else G
        self._largest = np.empty(0)

    def extend(
        self, columns: np.ndarray, a: np.ndarray, h: np.ndarray, centred: Callable[..., np.ndarray]
    ) -> None:
        """Add the products of new columns, weighted with ``h``, and ``a`` on the diagonal."""
        known, count = len(self.G), len(columns)
        if known == count:
            return
        block = (centred(columns[known:], h) * h) @ centred(columns, h).T
        grown = np.empty((count, count), block.dtype)
        grown[:known, :known] = self.G
        grown[known:] = block
        grown[:known, known:] = block[:, :known].T
        new = np.arange(known, count)
        grown[new, new] += a[known:]
        self.G = grown

    def solve(self, p: Penalty, x: np.ndarray, v: np.ndarray, tol: float) -> np.ndarray:
        """The minimiser from ``x`` with pull ``v``, to slopes of at most ``tol``."""
        x, v = x.copy(), v.copy()
        report = np.zeros(2, x.dtype)
        curvature = None if p.groups is None else self._group_curvature(p.groups.first)
        tried: np.ndarray | None = None
        signs = np.sign(x)
        for _ in range(0, MOST, BURST):
            if p.groups is None:
                coordinate_gram.sweeps(x, v, self.G, p.w, p.low, p.high, BURST, tol, report)
            else:
                coordinate_gram.group_sweeps(
                    x, v, self.G, p.groups.first, curvature, p.groups.w, p.w, BURST, tol, report
                )
            if report[0] <= tol:
                break
            before, signs = signs, np.sign(x)
            if p.groups is not None:
                if np.array_equal(before != 0, signs != 0):
                    self._group_newton(p, x, v)
            elif np.array_equal(before, signs) and (tried is None or not np.array_equal(tried, signs)):
                tried = signs
                self._newton(p, x, v)
        return x

    def _newton(self, p: Penalty, x: np.ndarray, v: np.ndarray) -> None:
        """Solve for the coefficients that are neither 0 nor at a bound, and again while some get there."""
        for _ in range(1 + WORK // (1 + int(np.count_nonzero(x)))):
            S = np.flatnonzero((x != 0) & (x > p.low) & (x < p.high))
            xs, w = x[S], p.w[S]
            H = self.G[np.ix_(S, S)]
            d = _solved(H, v[S] - w * np.sign(xs))
            if d is None:
                return
            for target in _targets(p, xs, d):
                step = target - xs
                change = 0.5 * step @ (H @ step) - v[S] @ step + w @ (np.abs(target) - np.abs(xs))
                if change < 0:
                    break
            else:
                return
            x[S] = target
            v -= step @ self.G[S]
            if np.all((target != 0) & (target > p.low) & (target < p.high)):
                return

    def _group_curvature(self, first: np.ndarray) -> np.ndarray:
        """The largest eigenvalue of each group's block, a little above."""
        known = len(self._largest)
        spans = zip(first[known:-1], first[known + 1 :], strict=True)
        new = [np.linalg.eigvalsh(self.G[a:b, a:b])[-1] for a, b in spans]
        self._largest = np.concatenate([self._largest, new])
        return (self._largest * (1 + 1e-6)).astype(self.G.dtype)

    def _group_newton(self, p: Penalty, x: np.ndarray, v: np.ndarray) -> None:
        """A Newton step in the entries that are not zero, where that decreases the objective."""
        assert p.groups is not None
        S = np.flatnonzero(x)
        xs, l1, of = x[S], p.w[S], p.groups.of[S]
        omega, count = p.groups.w[of], len(p.groups.w)
        sizes = np.sqrt(np.bincount(of, xs * xs, count)).astype(x.dtype)[of]
        GS = self.G[np.ix_(S, S)]
        H = GS - np.where(of[:, None] == of, np.outer(xs, xs), 0) * (omega / sizes**3)
        H[np.diag_indices_from(H)] += omega / sizes
        d = _solved(H, v[S] - omega * xs / sizes - l1 * np.sign(xs))
        share, here = 1.0, p.groups.w @ np.sqrt(np.bincount(of, xs * xs, count))
        while d is not None and share >= SHORTEST:
            target = (xs + share * d).astype(x.dtype)
            target = np.where((target * xs < 0) & (l1 > 0), 0, target)
            step = target - xs
            change = 0.5 * step @ (GS @ step) - v[S] @ step + l1 @ (np.abs(target) - np.abs(xs))
            change += p.groups.w @ np.sqrt(np.bincount(of, target * target, count)) - here
            if change < 0:
                x[S] = target
                v -= step @ self.G[S]
                return
            share /= 4


def _solved(H: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """``H^-1 right``, or ``None`` where ``H`` is empty or not positive.

    More coefficients than the data tell apart make ``H`` singular. A little more on its diagonal then makes
    the solution long in a direction that only the penalty sees: the way to where one of them is zero.
    """
    if len(H) == 0:
        return None
    d = _by_cholesky(H, right)
    if d is None:
        more = RIDGE * np.finfo(H.dtype).eps * np.trace(H)
        d = _by_cholesky(H + more * np.eye(len(H), dtype=H.dtype), right)
    return d


def _by_cholesky(H: np.ndarray, right: np.ndarray) -> np.ndarray | None:
    """``H^-1 right``, or ``None`` where ``H`` is not positive definite."""
    if len(H) <= SMALL:
        try:
            np.linalg.cholesky(H)
            return np.asarray(np.linalg.solve(H, right))
        except np.linalg.LinAlgError:
            return None
    # The import takes longer than small systems do.
    import scipy.linalg

    try:
        factor = scipy.linalg.cho_factor(H, lower=True, check_finite=False)
    except scipy.linalg.LinAlgError:
        return None
    return np.asarray(scipy.linalg.cho_solve(factor, right, check_finite=False))


def _targets(p: Penalty, x: np.ndarray, d: np.ndarray) -> list[np.ndarray]:
    """The full step with crossings of 0 and of bounds cut off, then the step to the first of them."""
    full = np.clip(x + d, p.low, p.high)
    full = np.where(full * x < 0, 0, full).astype(x.dtype)
    low = np.where(x > 0, max(p.low, 0.0), p.low)
    high = np.where(x < 0, min(p.high, 0.0), p.high)
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(d > 0, (high - x) / d, np.where(d < 0, (low - x) / d, np.inf))
    first = min(1.0, float(room.min()))
    return [full, np.clip(x + first * d, low, high).astype(x.dtype)] if first < 1 else [full]
