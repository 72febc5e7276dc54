r"""Transfer functions of compactly supported shearlets (the construction of ShearLab 3D, in 2-D).

All filters are symmetric, so their discrete-time Fourier transforms are real polynomials in cosines,
which are evaluated at the frequencies of any grid; on a grid that is smaller than a filter this is the
periodic filter. With :math:`v = a - k b'` the shear of level ``l`` is exact in frequency, as the columns
have been refined ``2^l`` times: :math:`b' = (b + 2 \pi m) / 2^l`, summed over ``m``.

Source: G. Kutyniok, W.-Q. Lim and R. Reisenhofer, ShearLab 3D: faithful digital shearlet transforms
based on compactly supported shearlets, 2016.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev

LOW = (0.582566738241592, 0.276348304703363, -0.0517766952966370, -0.0263483047033631, 0.0104933261758410)
"""The low-pass filter from its centre outwards; the other half is its mirror image."""

QUARTER = (
    (0, 1454, 0, 34, 0),
    (1454, 0, -276, 0, -3),
    (0, -276, 0, 52, 0),
    (34, 0, 52, 0, -5),
    (0, -3, 0, -5, 0),
)
"""The diamond map from its centre outwards, times 4096."""


@cache
def _low_polynomial() -> np.ndarray:
    """The response of the low-pass filter as a polynomial in the cosine of the frequency."""
    series = np.array(LOW) * np.array([1.0, 2.0, 2.0, 2.0, 2.0])
    return np.asarray(chebyshev.cheb2poly(series))


def low(z: np.ndarray) -> np.ndarray:
    """The low-pass response at frequencies with cosine ``z``."""
    return np.asarray(np.polynomial.polynomial.polyval(z, _low_polynomial()))


def cascade(z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The product of the low-pass responses at a frequency times ``2^i``, ``i < count``; the next cosine."""
    product = np.ones_like(z)
    for _ in range(count):
        product = product * low(z)
        z = 2 * z * z - 1
    return product, z


def band(b: np.ndarray, octave: int) -> np.ndarray:
    """The band-pass filter at frequencies ``b``: ``octave`` 0 is the finest."""
    product, z = cascade(np.cos(b), octave)
    # The high-pass filter is the low-pass one, modulated: the sign of the cosine changes.
    return np.asarray(product * low(-z))


@cache
def _diamond() -> tuple[np.ndarray, tuple[float, float, float]]:
    """The diamond map by powers of the row cosine and by column offsets; the fan as a polynomial in it."""
    m, k = 1 / math.sqrt(2), 1 - math.sqrt(2)
    outer, middle, centre = k * m * m / 4, m * m / 2, (1 + k * m / 2) * m
    whole = np.array([[QUARTER[abs(r)][abs(c)] for c in range(-4, 5)] for r in range(-4, 5)]) / 4096
    squared = sum(whole[r, c] * np.pad(whole, ((r, 8 - r), (c, 8 - c))) for r in range(9) for c in range(9))
    taps = 2 * middle * np.pad(whole, 4) + 4 * outer * squared
    taps[8, 8] += centre - 2 * outer
    scale = 1 / float(np.abs(taps).sum())
    series = np.array(QUARTER) / 4096 * np.outer([1, 2, 2, 2, 2], [1, 2, 2, 2, 2])
    powers = np.zeros((5, 5))
    for r in range(5):
        powers[: r + 1, r] = chebyshev.cheb2poly(np.eye(5)[r, : r + 1])
    return powers @ series, ((centre - 2 * outer) * scale, 2 * middle * scale, 4 * outer * scale)


def fan(z: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The directional filter at row frequencies with cosine ``z`` and column frequencies ``b``."""
    series, (c0, c1, c2) = _diamond()
    # Of each power of z the coefficient, which depends on b; the columns are modulated.
    p = np.tensordot(series, np.cos(np.multiply.outer(np.arange(5), b + np.pi)), axes=(1, 0))
    diamond = (((p[4] * z + p[3]) * z + p[2]) * z + p[1]) * z + p[0]
    return np.asarray(c0 + diamond * (c1 + c2 * diamond))


def wedge(a: np.ndarray, b: np.ndarray, level: int, shear: int) -> np.ndarray:
    """The directional part of a shearlet at frequencies ``a`` across and ``b`` along its cone."""
    fine = 2**level
    total = np.zeros(np.broadcast_shapes(a.shape, b.shape))
    for m in range(fine):
        b_fine = (b + 2 * np.pi * m) / fine
        product, z = cascade(np.cos(a - shear * b_fine), level + 1)
        smooth = cascade(np.cos(b_fine), level)[0] ** 2
        total += smooth * product * fan(z, b)
    return total
