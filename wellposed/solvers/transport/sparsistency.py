"""The certificate that l1-regularised inverse transport finds the support of an affinity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.transport.coupling_model import CouplingModel
from wellposed.solvers.transport.data import check_positive
from wellposed.solvers.transport.gaussian_coupling import gaussian_model, matrix
from wellposed.solvers.transport.inverse_data import observation, penalty_weights, point_weights


@dataclass(frozen=True)
class Sparsistency:
    r"""Whether the support of an affinity can be found, and the numbers behind the answer.

    Parameters
    ----------
    z : array
        :math:`H_{\cdot I} H_{II}^{-1} \operatorname{sign}(A_I)`, the certificate: ``H`` is the Hessian of the
        potential at the affinity ``A``, and ``I`` its support. With weights ``lam`` of the coefficients it is
        :math:`H_{\cdot I} H_{II}^{-1} (\lambda \operatorname{sign} A)_I / \lambda`.
    support : array of bool
    largest : float
        The largest :math:`|z_k|` off the support.
    """

    z: Array = field(repr=False)
    support: Array = field(repr=False)
    largest: float

    @property
    def holds(self) -> bool:
        """Whether ``largest`` is below 1.

        Then every small enough penalty gives the signs of ``A`` from the exact coupling, and penalties that
        fall slowly enough with the number of samples do so from samples. Above 1, no small penalty does.
        """
        return self.largest < 1


def certificate_at(point: Any, A: np.ndarray, like: Any, lam: Any = None) -> Sparsistency:
    """The certificate at a point of a model of couplings."""
    support = A != 0
    if not support.any():
        raise ValueError("the affinity is zero everywhere: it has no support to find")
    weights = penalty_weights(1.0 if lam is None else lam, A.shape)
    chosen = np.flatnonzero(support)
    H = point.curvature(chosen)
    w = np.linalg.eigvalsh(H)
    if not w[0] > 1e-12 * w[-1]:
        raise ValueError(
            "the features of the support are linearly dependent (their curvature has eigenvalues from "
            f"{w[0]:g} to {w[-1]:g}): the affinity is not determined; leave some of them out"
        )
    direction = np.zeros(A.shape)
    direction[support] = np.linalg.solve(H, (weights * np.sign(A))[support])
    z = point.curve(direction) / weights
    largest = float(np.abs(z[~support]).max()) if not support.all() else 0.0
    given = arrays.as_floating(like, "affinity")
    back = arrays.namespace(given).astype(arrays.from_numpy(z, given), given.dtype, copy=False)
    return Sparsistency(back, arrays.from_numpy(support, given), largest)


def gaussian_sparsistency(
    affinity: Array, cov_x: Any = None, cov_y: Any = None, *, eps: float, lam: Any = None
) -> Sparsistency:
    r"""Whether `inverse_gaussian` can find the support of an affinity between normal distributions.

    Parameters
    ----------
    affinity : array of shape (d, e)
        The true one.
    cov_x, cov_y : array, optional
        Covariances; the identity if absent.
    eps : float
    lam : array, optional
        Weights of the coefficients over each other, as in `inverse`; equal if absent.

    Returns
    -------
    Sparsistency

    Raises
    ------
    ValueError
        As for `gaussian_coupling`, or if the affinity is zero or its support linearly dependent.

    Notes
    -----
    F. Andrade, G. Peyre and C. Poon, Sparsistency for inverse optimal transport, ICLR 2024. For large ``eps``
    the certificate becomes that of the Lasso with matrix :math:`S_y^{1/2} \otimes S_x^{1/2}`; for small ones,
    identity covariances and a symmetric positive definite affinity, that of the graphical Lasso. The Hessian
    is applied in closed form and never formed.

    Examples
    --------
    >>> import wellposed as wp
    >>> ring = wp.problems.gaussian_inverse_transport(nodes=80).affinity
    >>> [round(wp.transport.gaussian_sparsistency(ring, eps=e).largest, 3) for e in (0.1, 10.0)]
    [2.138, 0.124]
    """
    A = matrix(affinity, "affinity")
    return certificate_at(gaussian_model(A, cov_x, cov_y, eps).at(A), A, affinity, lam)


def sparsistency(
    affinity: Array,
    x: Any = None,
    y: Any = None,
    a: Any = None,
    b: Any = None,
    *,
    features: Any = None,
    eps: float,
    lam: Any = None,
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
    lam : array, optional
        Weights of the coefficients over each other, as in `inverse`; equal if absent.

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
    weights = np.outer(point_weights(a, n, "a"), point_weights(b, m, "b"))
    basis, observed, _ = observation(x, y, weights, features)
    A = arrays.numpy_view(arrays.as_floating(affinity, "affinity")).astype(np.float64)
    if A.shape != basis.shape:
        raise ValueError(f"affinity has shape {A.shape}, expected {basis.shape}")
    arrays.check_finite(A, "affinity")
    model = CouplingModel(
        basis, observed.sum(axis=1), observed.sum(axis=0), check_positive(eps, "eps"), 1e-12
    )
    return certificate_at(model.at(A), A, affinity, lam)
