"""Cut an image into the overlapping, padded bands of `tv_sweep`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from wellposed.kernels._compile import PARALLEL_FROM, threads
from wellposed.kernels.tv_sweep import PAD

Array = npt.NDArray[Any]


def cut(n: int, halo: int, size: int) -> Array:
    """Bands of rows, one per thread: first row, rows with halo, begin and end of those that it owns."""
    count = min(threads(), n // (4 * halo)) if size >= PARALLEL_FROM else 1
    count = max(count, 1)
    edges = [n * p // count for p in range(count + 1)]
    bands = []
    for begin, end in pairwise(edges):
        first, last = max(begin - halo, 0), min(end + halo, n)
        if count == 1:
            first, last = 0, n
        bands.append((first, last - first, begin - first, end - first))
    return np.array(bands, np.int64)


def scatter(source: Array, out: Array, bands: Array, above: int) -> None:
    """Write ``(C, n, s, m)`` into the bands, ``above`` rows kept free over each of them."""
    channels, _, s, m = source.shape
    view = out.reshape(out.shape[0], channels, -1, s, out.shape[-1])
    for p, (first, rows, _, _) in enumerate(bands):
        view[p, :, above : above + rows, :, PAD : PAD + m] = source[:, first : first + rows]
