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


def good_size(n: int) -> int:
    """The smallest size of at least ``n`` for which real transforms are quick."""
    from scipy.fft import next_fast_len

    return int(next_fast_len(n, real=True))
