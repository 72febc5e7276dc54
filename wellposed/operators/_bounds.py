"""Upper bounds of operator norms, for operators without a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from wellposed import arrays

if TYPE_CHECKING:
    from wellposed.operators._base import LinearOperator

REORTHOGONALISE_BELOW = 1 << 18
"""Size up to which `lanczos_bound` keeps all its vectors."""


def collatz_wielandt_bound(A: LinearOperator, steps: int = 8, wanted: float = 1.02) -> float:
    r"""Rigorous upper bound of the norm of an operator with entries at least 0.

    For every positive vector ``v`` the largest eigenvalue of :math:`A^*A` is at most
    :math:`\max_j (A^*A v)_j / v_j` (Collatz and Wielandt). Power iterations from the vector of
    ones make the bound tight; they stop once it is within ``wanted`` of the Rayleigh quotient.
    """
    v = np.ones(A.domain_shape)
    bound = math.inf
    for _ in range(steps):
        w = _apply_gram(A, v)
        bound = min(bound, float(np.max(w / v)))
        rayleigh = arrays.inner(v, w) / arrays.inner(v, v)
        if bound <= 0.0 or bound <= wanted**2 * rayleigh:
            break
        v = np.maximum(w, 1e-3 * float(w.max())) / float(w.max())
    rounding = 1.0 + 1e-10
    return math.sqrt(max(bound, 0.0)) * rounding


def lanczos_bound(A: LinearOperator, steps: int = 40, failure: float = 1e-6) -> float:
    """Upper bound of the norm of an operator from `eigenvalue_bound` of :math:`A^*A`."""
    kind = np.complex128 if A.complex_domain else np.float64
    return math.sqrt(eigenvalue_bound(lambda v: _apply_gram(A, v), A.domain_shape, steps, failure, kind))


def eigenvalue_bound(
    apply: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, ...],
    steps: int = 40,
    failure: float = 1e-6,
    kind: type = np.float64,
) -> float:
    r"""Upper bound of the eigenvalues of a map that is symmetric and positive semidefinite, on host arrays.

    From Lanczos steps with a random start (fixed seed).
    After ``k`` steps in dimension ``n`` the largest Ritz value :math:`\theta` satisfies
    :math:`\lambda_{\max} \le \theta / (1 - \epsilon)` except with probability
    :math:`1.648 \sqrt{n} \exp(-\sqrt{\epsilon} (2k - 1))` (Kuczynski and Wozniakowski, 1992);
    :math:`\epsilon` is set so that this probability is ``failure``. When the Krylov space is
    exhausted first, the Ritz value is exact. A complex space is taken as a real one of twice the
    dimension, so maps may be linear over the real numbers only.
    """
    size = math.prod(shape) * (2 if kind is np.complex128 else 1)
    v: np.ndarray = np.random.default_rng(20240229).standard_normal(size).view(kind)
    basis = [v / arrays.norm(v)]
    diagonal: list[float] = []
    off_diagonal: list[float] = []
    exhausted = False
    for _ in range(min(steps, size)):
        w = apply(basis[-1].reshape(shape)).reshape(-1)
        diagonal.append(arrays.inner(basis[-1], w))
        # Twice: where the spectrum is narrow, what one pass leaves grows at each step, until Ritz
        # values leave the spectrum.
        for u in (*basis, *basis):
            w = w - arrays.inner(u, w) * u
        beta = arrays.norm(w)
        if beta <= 1e-12 * max(*map(abs, diagonal), 1e-300):
            exhausted = True
            break
        off_diagonal.append(beta)
        basis.append(w / beta)
        if size > REORTHOGONALISE_BELOW:
            # Without it, copies of converged Ritz values appear; the largest one stays right.
            del basis[:-2]
    k = len(diagonal)
    ritz = np.diag(diagonal) + np.diag(off_diagonal[: k - 1], 1) + np.diag(off_diagonal[: k - 1], -1)
    theta = max(float(np.linalg.eigvalsh(ritz)[-1]), 0.0)
    if exhausted or k == size:
        return theta * (1 + 2e-8)
    epsilon = (math.log(1.648 * math.sqrt(size) / failure) / (2 * k - 1)) ** 2
    return theta / (1 - epsilon)


def _apply_gram(A: LinearOperator, v: np.ndarray) -> np.ndarray:
    """``A* A v`` of a host array; an operator that holds arrays of another kind gets a copy of that kind."""
    if not A.data:
        return np.asarray(A.apply_adjoint(A(v)))
    home = A.data[0]
    moved = arrays.namespace(home).asarray(v, device=arrays.device_of(home), copy=True)
    return arrays.to_numpy(A.apply_adjoint(A(moved)))
