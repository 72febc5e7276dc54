"""The certificate that l1-regularised inverse transport finds the support of an affinity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.transport.gaussian_coupling import gaussian_model, matrix


@dataclass(frozen=True)
class Sparsistency:
    r"""Whether the support of an affinity can be found, and the numbers behind the answer.

    Parameters
    ----------
    z : array
        :math:`H_{\cdot I} H_{II}^{-1} \operatorname{sign}(A_I)`, the certificate: ``H`` is the Hessian of the
        potential at the affinity ``A``, and ``I`` its support.
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


def certificate_at(point: Any, A: np.ndarray, like: Any) -> Sparsistency:
    """The certificate at a point of a model of couplings."""
    support = A != 0
    if not support.any():
        raise ValueError("the affinity is zero everywhere: it has no support to find")
    chosen = np.flatnonzero(support)
    H = point.curvature(chosen)
    w = np.linalg.eigvalsh(H)
    if not w[0] > 1e-12 * w[-1]:
        raise ValueError(
            "the features of the support are linearly dependent (their curvature has eigenvalues from "
            f"{w[0]:g} to {w[-1]:g}): the affinity is not determined; leave some of them out"
        )
    direction = np.zeros(A.shape)
    direction[support] = np.linalg.solve(H, np.sign(A[support]))
    z = point.curve(direction)
    largest = float(np.abs(z[~support]).max()) if not support.all() else 0.0
    given = arrays.as_floating(like, "affinity")
    back = arrays.namespace(given).astype(arrays.from_numpy(z, given), given.dtype, copy=False)
    return Sparsistency(back, arrays.from_numpy(support, given), largest)


def gaussian_sparsistency(
    affinity: Array, cov_x: Any = None, cov_y: Any = None, *, eps: float
) -> Sparsistency:
    r"""Whether `inverse_gaussian` can find the support of an affinity between normal distributions.

    Parameters
    ----------
    affinity : array of shape (d, e)
        The true one.
    cov_x, cov_y : array, optional
        Covariances; the identity if absent.
    eps : float

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
    return certificate_at(gaussian_model(A, cov_x, cov_y, eps).at(A), A, affinity)
