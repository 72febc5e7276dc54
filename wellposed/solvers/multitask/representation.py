"""A linear representation that many regression tasks share: alternating least squares."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wellposed import arrays
from wellposed.functionals.parameter import positive
from wellposed.solvers.result import ConvergenceWarning

Samples = tuple[np.ndarray, np.ndarray]

RIDGE = 1e-3
"""Of the estimates that the start is made of, relative to the mean square of a feature."""


@dataclass(frozen=True, eq=False)
class SharedRepresentation:
    """The outcome of `shared_representation`.

    Parameters
    ----------
    basis : array of shape (features, rank)
        With orthonormal columns.
    heads : array of shape (rank, tasks)
        The coefficients of each task.
    objective : float
        Half the sum of squared errors over all samples.
    history : tuple of float
        The objective after each sweep; it does not rise.
    """

    basis: np.ndarray
    heads: np.ndarray
    objective: float
    history: tuple[float, ...]

    def head(self, X: np.ndarray, y: np.ndarray) -> np.ndarray:
        """The least-squares coefficients of another task in this basis."""
        X, y = _checked((X, y), "the samples", len(self.basis))
        return np.asarray(np.linalg.lstsq(X @ self.basis, y, rcond=None)[0])

    def predict(self, X: np.ndarray, head: np.ndarray) -> np.ndarray:
        """Predictions for rows of features, by one head."""
        return np.asarray((X @ self.basis) @ head)


def shared_representation(
    tasks: Sequence[Samples], rank: int, tol: float = 1e-8, max_iter: int = 200
) -> SharedRepresentation:
    r"""Fit linear tasks whose coefficients lie in a common subspace of few dimensions.

    .. math:: \min_{B, w} \; \tfrac12 \sum_m \|y_m - X_m B w_m\|^2, \qquad B^\top B = I

    Parameters
    ----------
    tasks : sequence of (array of shape (samples, features), array of shape (samples,))
        A task may have few samples or none; its head is then the shortest that fits.
    rank : int
        The dimension of the subspace.
    tol : float
        The run ends when a sweep lowers the objective by at most ``tol`` of its size.
    max_iter : int
        Sweeps at most.

    Returns
    -------
    SharedRepresentation

    Raises
    ------
    ValueError
        If shapes do not fit, data are not finite, or there are not ``rank`` tasks and features.

    Warns
    -----
    ConvergenceWarning
        If ``max_iter`` is reached.

    Notes
    -----
    Alternating least squares from the singular vectors of ridge estimates, each of which counts by its
    number of samples. Both halves of a sweep are solved exactly; the problem as a whole is not convex. All is
    computed in double precision.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> problem = wp.problems.related_tasks(features=8, tasks=6, rank=2)
    >>> samples = problem.samples([40] * 6, np.random.default_rng(0))
    >>> wp.multitask.shared_representation(samples, rank=2).heads.shape
    (2, 6)
    """
    if not len(tasks):
        raise ValueError("there must be one task at least")
    width = np.shape(tasks[0][0])[-1] if np.ndim(tasks[0][0]) == 2 else 0
    data = [_checked(t, f"task {m}", width) for m, t in enumerate(tasks)]
    if (
        isinstance(rank, bool)
        or not isinstance(rank, (int, np.integer))
        or not 1 <= rank <= min(width, len(data))
    ):
        raise ValueError(f"rank must be an integer from 1 to {min(width, len(data))}, got {rank!r}")
    positive(tol, "tol")
    sums = _Sums.of(data)
    basis, history = sums.start(rank), []
    for _ in range(max_iter):
        heads = sums.heads(basis)
        basis = sums.basis(heads)
        history.append(sums.objective(basis, sums.heads(basis)))
        if len(history) > 1 and history[-2] - history[-1] <= tol * history[-2]:
            break
    else:
        warnings.warn(
            f"shared_representation: {max_iter} sweeps ended before tol = {tol:g}: raise max_iter",
            ConvergenceWarning,
            stacklevel=2,
        )
    return SharedRepresentation(basis, sums.heads(basis), history[-1], tuple(history))


@dataclass(frozen=True, eq=False)
class _Sums:
    """All that least squares needs of each task: sums over its samples."""

    counts: np.ndarray
    gram: np.ndarray
    cross: np.ndarray
    squares: float

    @classmethod
    def of(cls, data: list[Samples]) -> _Sums:
        gram = np.stack([X.T @ X for X, _ in data])
        cross = np.stack([X.T @ y for X, y in data])
        return cls(np.array([len(y) for _, y in data]), gram, cross, float(sum(y @ y for _, y in data)))

    def start(self, rank: int) -> np.ndarray:
        """Singular vectors of ridge estimates."""
        d = self.gram.shape[1]
        ridge = RIDGE * np.trace(self.gram, axis1=1, axis2=2) / d + np.finfo(float).tiny
        estimates = np.linalg.solve(self.gram + ridge[:, None, None] * np.eye(d), self.cross[:, :, None])
        scaled = estimates[:, :, 0] * np.sqrt(self.counts)[:, None]
        return np.asarray(np.linalg.svd(scaled.T, full_matrices=False)[0][:, :rank])

    def heads(self, basis: np.ndarray) -> np.ndarray:
        """The best coefficients in a basis, the shortest where there are several."""
        small = basis.T @ self.gram @ basis
        return np.asarray(
            (np.linalg.pinv(small, hermitian=True) @ (self.cross @ basis)[:, :, None])[:, :, 0].T
        )

    def basis(self, heads: np.ndarray) -> np.ndarray:
        """The best basis for given coefficients, made orthonormal."""
        d, k = self.gram.shape[1], len(heads)
        normal = np.einsum("im,jm,mab->aibj", heads, heads, self.gram, optimize=True).reshape(d * k, d * k)
        right = np.einsum("im,ma->ai", heads, self.cross).reshape(d * k)
        return np.asarray(np.linalg.qr(np.linalg.lstsq(normal, right, rcond=None)[0].reshape(d, k))[0])

    def objective(self, basis: np.ndarray, heads: np.ndarray) -> float:
        """Half the sum of squares that is left."""
        theta = (basis @ heads).T
        fitted = np.einsum("ma,mab,mb->", theta, self.gram, theta, optimize=True)
        return max(0.5 * (self.squares - 2 * float(np.sum(self.cross * theta)) + float(fitted)), 0.0)


def _checked(samples: Samples, name: str, width: int) -> Samples:
    X, y = (np.asarray(a, dtype=np.float64) for a in samples)
    if X.ndim != 2 or X.shape != (len(y), width) or y.ndim != 1 or width < 1:
        raise ValueError(
            f"{name} needs X of shape (samples, {width or 'features'}) and y of shape (samples,): got "
            f"{X.shape} and {y.shape}"
        )
    arrays.check_finite(X, f"X of {name}")
    arrays.check_finite(y, f"y of {name}")
    return X, y
