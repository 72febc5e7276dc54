"""The nuclear norm, which favours matrices of low rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Traits, step_for


@dataclass(frozen=True, eq=False)
class NuclearNorm(Functional):
    r"""Sum of the singular values :math:`\sum_k \sigma_k(X)` of a matrix.

    The last two axes are the matrix; leading axes are a batch, over which values are summed.

    Notes
    -----
    ``prox`` reduces each singular value by the step, down to 0; the conjugate is the indicator of
    matrices with largest singular value at most 1.
    Source: J.-F. Cai, E. Candes and Z. Shen, A singular value thresholding algorithm, 2010.

    Raises
    ------
    ValueError
        If the array has fewer than two axes.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.NuclearNorm().prox(np.diag([3.0, 0.5]), 1.0)
    array([[2., 0.],
           [0., 0.]])
    """

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True)

    def __call__(self, x: Array) -> float:
        return arrays.total(_singular_values(x))

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        return self.prox_and_value(x, step)[0]

    def prox_and_value(self, x: Array, step: Any = 1.0) -> tuple[Array, float]:
        _check_matrix(x)
        step = step_for(x, step)
        xp = arrays.namespace(x)
        U, s, Vh = xp.linalg.svd(x, full_matrices=False)
        s = xp.clip(s - step, 0.0, None)
        return (U * s[..., None, :]) @ Vh, arrays.total(s)

    def _conjugate(self, y: Array) -> float:
        return 0.0 if float(arrays.namespace(y).max(_singular_values(y))) <= 1.0 else math.inf

    def project_dual(self, y: Array) -> Array:
        xp = arrays.namespace(y)
        U, s, Vh = xp.linalg.svd(y, full_matrices=False)
        if float(xp.max(s)) <= 1 - _margin(y):
            return y
        return (U * xp.clip(s, 0.0, 1 - _margin(y))[..., None, :]) @ Vh

    def _conjugate_prox(self, y: Array, step: Any) -> Array:
        return self.project_dual(y)

    def dual_scale(self, y: Array) -> float:
        largest = float(arrays.namespace(y).max(_singular_values(y)))
        return 1.0 if largest <= 1.0 else (1 - _margin(y)) / largest

    def __str__(self) -> str:
        return "NuclearNorm"


def _singular_values(x: Array) -> Array:
    _check_matrix(x)
    return arrays.namespace(x).linalg.svdvals(x)


def _check_matrix(x: Array) -> None:
    if len(x.shape) < 2:
        raise ValueError(
            f"NuclearNorm takes a matrix (or a batch of them), got an array of shape {tuple(x.shape)}"
        )


def _margin(y: Array) -> float:
    """Relative error of computed singular values, with room."""
    eps = float(arrays.namespace(y).finfo(arrays.real_dtype(y)).eps)
    return 8 * eps * math.sqrt(max(y.shape[-2:]))
