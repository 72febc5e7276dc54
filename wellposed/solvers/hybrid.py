r"""Tikhonov regularisation in a Krylov space, its weight by generalised cross-validation.

.. math:: \min_x \|A x - b\|^2 + \mu \|L x\|^2

``k`` steps of Golub and Kahan with reorthogonalisation give :math:`A V = U B` with ``B`` bidiagonal of size
``(k + 1, k)``, and a thin QR factorisation :math:`L V = Q R`. What is left,
:math:`\min_z \|B z - \beta e_1\|^2 + \mu \|R z\|^2`, is solved for all ``mu`` at once, and ``mu`` minimises

.. math:: G(\mu) = \|(I - H_\mu) \beta e_1\|^2 / \operatorname{trace}(I - H_\mu)^2

with the hat matrix ``H`` of the small problem, all ``k + 1`` of its residuals included.

Source: J. Chung, J. G. Nagy, D. P. O'Leary, A weighted-GCV method for Lanczos-hybrid regularization, ETNA 28
(2008); as the reconstructor "Tik" of D. Bianchi et al., arXiv 2312.16936.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator
from wellposed.solvers.mm_gks import Projection
from wellposed.solvers.problem import Term
from wellposed.solvers.thin_qr import ThinQR

STEPS = 50
GRID = 200


@dataclass(frozen=True)
class Tikhonov:
    """A solution, and its weight.

    Parameters
    ----------
    x : array
    weight : float
        ``mu``.
    steps : int
        Dimension of the Krylov space.
    """

    x: Array
    weight: float
    steps: int


def hybrid_tikhonov(data: Term, b: Array, L: LinearOperator, steps: int = STEPS) -> Tikhonov:
    """Tikhonov regularisation with the seminorm of ``L`` in a Krylov space, see the module.

    Parameters
    ----------
    data : Term
        Its operator is ``A``.
    b : array
        Data, not 0.
    L : LinearOperator
    steps : int
        Of Golub and Kahan.

    Returns
    -------
    Tikhonov
    """
    like = data.backward(b)
    left, right = ThinQR(steps + 1, b), ThinQR(steps, like)
    seminorm = ThinQR(steps, L(like))
    B = np.zeros((steps + 1, steps))
    first = left.append(b)
    k = 0
    while k < steps:
        v = data.backward(left.last)
        length = right.append(v if k == 0 else v - B[k, k - 1] * right.last)
        if length == 0.0:
            right.count -= 1
            break
        B[k, k] = length
        seminorm.append(L(right.last))
        B[k + 1, k] = left.append(data.forward(right.last) - length * left.last)
        k += 1
        if B[k, k - 1] == 0.0:
            break
    if k == 0:
        raise ValueError(
            "the data are orthogonal to the range of the operator: they say nothing of the image"
        )
    target = np.zeros(k + 1)
    target[0] = first
    small = Projection(B[: k + 1, :k], seminorm.R, target, np.zeros(k))
    weight = _cross_validated(small)
    return Tikhonov(right.combination(small.solve(weight)), weight, k)


def _cross_validated(small: Projection) -> float:
    """The weight with the least ``G``: the best of a grid, refined between its neighbours."""
    from scipy.optimize import minimize_scalar

    low, high = (math.log(w) for w in small.range)
    grid = np.linspace(low, high, GRID)
    best = int(np.argmin([small.cross_validation(math.exp(t)) for t in grid]))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)]
    found = minimize_scalar(lambda t: small.cross_validation(math.exp(t)), bounds=ends, method="bounded")
    return math.exp(float(found.x))
