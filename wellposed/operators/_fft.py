"""Fourier transforms of the library that an array comes from, in its precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array


def fft_of(x: Array) -> Any:
    """A module with ``fftn``, ``rfftn`` and their inverses for the kind of ``x``: SciPy's for NumPy."""
    if type(x) is np.ndarray:
        import scipy.fft

        return scipy.fft
    return arrays.namespace(x).fft


THREADS_FROM = 1 << 18
"""Entries from which a cosine transform runs on two threads."""


def filter_cosines(
    a: np.ndarray, factors: Any, axes: tuple[int, ...] | None = None, overwrite: bool = False
) -> np.ndarray:
    """``a`` with its cosine transform (type II, orthonormal) multiplied by ``factors``.

    With ``overwrite`` the memory of ``a`` may be used for the result.
    """
    from scipy.fft import dctn, idctn

    workers = 2 if a.size >= THREADS_FROM else 1
    waves = dctn(a, axes=axes, norm="ortho", overwrite_x=overwrite, workers=workers)
    waves *= factors
    return np.ascontiguousarray(idctn(waves, axes=axes, norm="ortho", overwrite_x=True, workers=workers))


def good_size(n: int) -> int:
    """The smallest size of at least ``n`` for which real transforms are quick."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(n, real=True))
