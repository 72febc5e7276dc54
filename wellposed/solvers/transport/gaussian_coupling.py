r"""Entropic couplings of two normal distributions under a bilinear affinity, in closed form.

With :math:`S_x^{1/2} A S_y^{1/2} = U \,\mathrm{diag}(s)\, V^T` and
:math:`c_i = 2 s_i / (\sqrt{\varepsilon^2 + 4 s_i^2} + \varepsilon)` the coupling is normal with
cross-covariance :math:`S_x^{1/2} U \,\mathrm{diag}(c)\, V^T S_y^{1/2}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.transport.data import check_positive


@dataclass(frozen=True)
class GaussianModel:
    """Two covariances, by their roots, and the width of the entropy."""

    root_x: np.ndarray
    root_y: np.ndarray
    eps: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the coefficients."""
        return len(self.root_x), len(self.root_y)

    def at(self, A: np.ndarray, near: GaussianPoint | None = None) -> GaussianPoint:
        """The coupling of coefficients; ``near`` is not needed."""
        U, s, Vt = np.linalg.svd(self.root_x @ A @ self.root_y)
        return GaussianPoint(self, A, self.root_x @ U, Vt @ self.root_y, U, s, Vt)


@dataclass(frozen=True)
class GaussianPoint:
    """The coupling of some coefficients; ``left`` and ``right`` are the roots times the singular vectors."""

    model: GaussianModel
    A: np.ndarray
    left: np.ndarray
    right: np.ndarray
    U: np.ndarray
    s: np.ndarray
    Vt: np.ndarray

    @cached_property
    def _length(self) -> np.ndarray:
        return np.asarray(np.hypot(self.model.eps, 2 * self.s))

    @property
    def correlations(self) -> np.ndarray:
        """The canonical correlations of the coupling."""
        return np.asarray(2 * self.s / (self._length + self.model.eps))

    @property
    def value(self) -> float:
        """``W(A)``."""
        eps, c = self.model.eps, self.correlations
        # The logarithm of 1 - c^2, without cancellation for correlations near 0 and near 1.
        kept = np.log(2 * eps / (self._length + eps))
        return float(self.s @ c + 0.5 * eps * np.where(c < 0.5, np.log1p(-c * c), kept).sum())

    @cached_property
    def moments(self) -> np.ndarray:
        """The gradient of ``W``: the cross-covariance."""
        k = len(self.s)
        return np.asarray((self.left[:, :k] * self.correlations) @ self.right[:k])

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        """What an entry between two singular vectors is multiplied with, and its mirror image."""
        n, m = self.model.shape
        eps, k = self.model.eps, len(self.s)
        first, second = np.ones(n), np.ones(m)
        first[:k] = second[:k] = (self._length + eps) / (2 * eps)
        D = eps * np.outer(first, second)
        O = np.zeros((n, m))
        O[:k, :k] = np.outer(self.s, self.s) / eps
        below = (D - O) * (D + O)
        return D / below, (O / below)[:k, :k]

    def curvature(self, chosen: np.ndarray) -> np.ndarray:
        """The block of the Hessian of ``W`` of some coefficients."""
        p, q = np.divmod(chosen, self.model.shape[1])
        straight, crossed = self._weights
        k = len(self.s)
        left, right = np.ascontiguousarray(self.left[p]), np.ascontiguousarray(self.right[:, q].T)
        M = left[:, :, None] * right[:, None, :]
        H = np.einsum("kij,ij->kij", M, straight).reshape(len(p), -1) @ M.reshape(len(p), -1).T
        M = M[:, :k, :k]
        mirrored = np.ascontiguousarray(M.transpose(0, 2, 1)).reshape(len(p), -1)
        H -= (M * crossed).reshape(len(p), -1) @ mirrored.T
        return np.asarray((H + H.T) / 2)

    def curve(self, direction: np.ndarray) -> np.ndarray:
        """The Hessian of ``W`` times a direction."""
        straight, crossed = self._weights
        k = len(self.s)
        inner = self.left.T @ direction @ self.right.T
        out = straight * inner
        out[:k, :k] -= crossed * inner[:k, :k].T
        return np.asarray(self.left @ out @ self.right)

    def lower_bound(self, target: GaussianTarget, lam: np.ndarray) -> float:
        """The dual value at the cross-covariance mixed with the observed one until it is feasible."""
        share = mixture(self.moments - target.moments, lam)
        k = len(self.s)
        K = (1 - share) * (self.U[:, :k] * self.correlations) @ self.Vt[:k] + share * target.whitened
        c = np.linalg.svd(K, compute_uv=False)
        with np.errstate(divide="ignore"):
            return 0.5 * self.model.eps * float(np.log1p(-np.minimum(c * c, 1.0)).sum())


@dataclass(frozen=True)
class GaussianTarget:
    """The observed cross-covariance, also between whitened variables."""

    moments: np.ndarray
    whitened: np.ndarray


def mixture(left: np.ndarray, lam: np.ndarray) -> float:
    """The share of the observed coupling with which no moment is off by more than ``lam``."""
    worst = float((np.abs(left) / lam).max())
    return 1 - 1 / worst if worst > 1 else 0.0


def matrix(values: Any, name: str, shape: tuple[int, int] | None = None) -> np.ndarray:
    """A finite real matrix in double precision."""
    given = arrays.as_floating(values, name)
    if len(given.shape) != 2 or 0 in given.shape:
        raise ValueError(f"{name} must be a matrix, got shape {tuple(given.shape)}")
    if shape is not None and tuple(given.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(given.shape)}, expected {shape}")
    arrays.check_finite(given, name)
    return np.ascontiguousarray(arrays.numpy_view(given), dtype=np.float64)


def root(
    covariance: Any, name: str, size: int | None, inverse: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """The square root of a covariance, and its pseudo-inverse; the identity for ``None`` and a size."""
    if covariance is None:
        if size is None:
            raise ValueError(f"{name} is missing")
        return np.eye(size), np.eye(size)
    S = matrix(covariance, name, None if size is None else (size, size))
    if S.shape[0] != S.shape[1] or not np.allclose(S, S.T, rtol=1e-6, atol=1e-6 * np.abs(S).max()):
        raise ValueError(f"{name} must be symmetric, got a matrix of shape {S.shape}")
    w, Q = np.linalg.eigh((S + S.T) / 2)
    floor = 1e-12 * max(float(w[-1]), 0.0)
    if w[-1] <= 0 or w[0] < -1e-6 * w[-1]:
        raise ValueError(f"{name} must be a covariance, but its eigenvalues reach from {w[0]:g} to {w[-1]:g}")
    r = np.sqrt(np.maximum(w, 0.0))
    back = np.divide(1.0, r, out=np.zeros_like(r), where=w > floor)
    return (Q * r) @ Q.T, (Q * back) @ Q.T


def gaussian_model(A: np.ndarray, cov_x: Any, cov_y: Any, eps: float) -> GaussianModel:
    """The model of coefficients of a given shape."""
    rows, columns = A.shape
    return GaussianModel(
        root(cov_x, "cov_x", rows)[0], root(cov_y, "cov_y", columns)[0], check_positive(eps, "eps")
    )


def gaussian_coupling(affinity: Array, cov_x: Any = None, cov_y: Any = None, *, eps: float) -> Array:
    r"""The cross-covariance of the entropic coupling of two normal distributions.

    .. math:: \arg\max_\pi \int x^T A y \, d\pi - \varepsilon\, \mathrm{KL}(\pi \,|\, \alpha \otimes \beta),
        \qquad \alpha = N(0, S_x),\ \beta = N(0, S_y)

    Parameters
    ----------
    affinity : array of shape (d, e)
        ``A``; larger :math:`x^T A y` means a likelier pair. Any rank.
    cov_x, cov_y : array, optional
        Covariances; the identity if absent.
    eps : float
        Positive, in units of the affinity.

    Returns
    -------
    array of shape (d, e)

    Raises
    ------
    ValueError
        If shapes do not match, a covariance is none, or ``eps`` is not positive.

    Notes
    -----
    F. Andrade, G. Peyre and C. Poon, Sparsistency for inverse optimal transport, ICLR 2024.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.gaussian_coupling(np.diag([2.0, 0.0]), eps=3.0).round(4)
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    A = matrix(affinity, "affinity")
    return _like(affinity, gaussian_model(A, cov_x, cov_y, eps).at(A).moments)


def gaussian_affinity(cross: Array, cov_x: Any = None, cov_y: Any = None, *, eps: float) -> Array:
    r"""The affinity whose entropic coupling has a given cross-covariance: the inverse of `gaussian_coupling`.

    .. math:: A = \varepsilon\, S_x^{-1} \Sigma\, (S_y - \Sigma^T S_x^{-1} \Sigma)^{-1}

    Parameters
    ----------
    cross : array of shape (d, e)
    cov_x, cov_y, eps
        As in `gaussian_coupling`.

    Returns
    -------
    array of shape (d, e)

    Raises
    ------
    ValueError
        As in `gaussian_coupling`, or if the joint covariance is not positive definite.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.transport.gaussian_affinity(np.diag([0.5, 0.0]), eps=3.0).round(4)
    array([[2., 0.],
           [0., 0.]])
    """
    S = matrix(cross, "cross")
    eps = check_positive(eps, "eps")
    (_, back_x), (_, back_y) = root(cov_x, "cov_x", S.shape[0]), root(cov_y, "cov_y", S.shape[1])
    U, c, Vt = np.linalg.svd(back_x @ S @ back_y, full_matrices=False)
    if (
        c[0] >= 1 - 1e-12
        or np.linalg.matrix_rank(back_x) < len(back_x)
        or np.linalg.matrix_rank(back_y) < len(back_y)
    ):
        raise ValueError(
            "the joint covariance is not positive definite "
            f"(largest canonical correlation {c[0]:.6g}): no affinity has this coupling; use more samples"
        )
    return _like(cross, back_x @ ((U * (eps * c / (1 - c * c))) @ Vt) @ back_y)


def _like(given: Any, values: np.ndarray) -> Array:
    like = arrays.as_floating(given, "matrix")
    return arrays.namespace(like).astype(arrays.from_numpy(values, like), like.dtype, copy=False)
