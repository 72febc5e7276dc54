"""A field of experts: small filters of an image, each with an absolute value that is rounded off at zero.

All loops take images that have been extended by the border rule, so that the response of the filter ``c`` is

    u[i, j] = sum_ab c[a, b] * wide[i + a, j + b]

for each pixel. What goes back to the extended image is the same sum with the filter turned round, over a
plane where the slopes stand with zeros around them. Bands of rows are independent of each other: each has a
plane of its own and computes again the few slopes of its neighbours that it needs.
"""

from __future__ import annotations

import math
from typing import Any

from wellposed.kernels._compile import inline, kernel, prange

WORK = 16
"""A pixel costs as much as some hundreds of a simple loop; less is said, since small images suffer most from
a thread that another process keeps waiting."""

BAND = 64
"""Rows of a band: its plane stays in the cache."""


@inline
def add_responses(out: Any, wide: Any, i: Any, c: Any) -> None:
    """Add one row of responses to ``out``; the taps of a filter's row are written out for usual sizes."""
    m = out.shape[0]
    width = c.shape[1]
    for a in range(c.shape[0]):
        x = wide[i + a]
        w = c[a]
        if width == 7:
            for j in range(m):
                out[j] += (
                    w[0] * x[j]
                    + w[1] * x[j + 1]
                    + w[2] * x[j + 2]
                    + w[3] * x[j + 3]
                    + w[4] * x[j + 4]
                    + w[5] * x[j + 5]
                    + w[6] * x[j + 6]
                )
        elif width == 5:
            for j in range(m):
                out[j] += w[0] * x[j] + w[1] * x[j + 1] + w[2] * x[j + 2] + w[3] * x[j + 3] + w[4] * x[j + 4]
        elif width == 3:
            for j in range(m):
                out[j] += w[0] * x[j] + w[1] * x[j + 1] + w[2] * x[j + 2]
        else:
            for b in range(width):
                for j in range(m):
                    out[j] += w[b] * x[j + b]


@inline
def add_products(c: Any, wide: Any, i: Any, row: Any) -> None:
    """Add to ``c`` what the responses of row ``i`` bring, times ``row``, for each tap."""
    for a in range(c.shape[0]):
        x = wide[i + a]
        for b in range(c.shape[1]):
            product = row[0] * x[b]
            for j in range(1, row.shape[0]):
                product += row[j] * x[j + b]
            c[a, b] += product


@kernel("r2 r3 r1 r1 w2", work=WORK)
def values(wide: Any, filters: Any, weights: Any, rounding: Any, rows: Any) -> None:
    """``rows[i, 0]``: the value of row ``i``, summed over filters; ``rows`` has the shape of the image."""
    m = rows.shape[1]
    for i in prange(rows.shape[0]):
        u = rows[i]
        total = 0.0
        for k in range(filters.shape[0]):
            u[:] = 0
            add_responses(u, wide, i, filters[k])
            part = 0.0
            for j in range(m):
                # The root minus its rounding without cancellation.
                square = u[j] * u[j]
                part += square / (math.sqrt(square + rounding[k] * rounding[k]) + rounding[k])
            total += weights[k] * part
        u[0] = total


@kernel("r2 r3 r3 r1 r1 w3 w2", work=WORK)
def slopes(wide: Any, filters: Any, turned: Any, weights: Any, rounding: Any, planes: Any, out: Any) -> None:
    """``out``: the gradient on the extended grid; ``planes`` is workspace, one for each band."""
    above, beside = filters.shape[1] - 1, filters.shape[2] - 1
    height = out.shape[0]
    n, m = height - above, out.shape[1] - beside
    for band in prange(planes.shape[0]):
        first = band * height // planes.shape[0]
        last = (band + 1) * height // planes.shape[0]
        plane = planes[band]
        plane[:] = 0
        out[first:last] = 0
        for k in range(filters.shape[0]):
            w, square = weights[k], rounding[k] * rounding[k]
            for i in range(max(first - above, 0), min(last, n)):
                u = plane[i - first + above, beside : beside + m]
                u[:] = 0
                add_responses(u, wide, i, filters[k])
                for j in range(m):
                    u[j] *= w / math.sqrt(u[j] * u[j] + square)
            for i in range(first, last):
                add_responses(out[i], plane, i - first, turned[k])


@kernel("r2 r2 r3 r3 r1 r1 w3 w2 w2", work=WORK)
def curvatures(
    wide: Any,
    direction: Any,
    filters: Any,
    turned: Any,
    weights: Any,
    rounding: Any,
    planes: Any,
    lines: Any,
    out: Any,
) -> None:
    """``out``: the Hessian at ``wide`` times ``direction``, on the extended grid; ``lines`` is workspace."""
    above, beside = filters.shape[1] - 1, filters.shape[2] - 1
    height = out.shape[0]
    n, m = height - above, out.shape[1] - beside
    for band in prange(planes.shape[0]):
        first = band * height // planes.shape[0]
        last = (band + 1) * height // planes.shape[0]
        plane, u = planes[band], lines[band]
        plane[:] = 0
        out[first:last] = 0
        for k in range(filters.shape[0]):
            square = rounding[k] * rounding[k]
            w = weights[k] * square
            for i in range(max(first - above, 0), min(last, n)):
                t = plane[i - first + above, beside : beside + m]
                t[:] = 0
                u[:] = 0
                add_responses(u, wide, i, filters[k])
                add_responses(t, direction, i, filters[k])
                for j in range(m):
                    power = u[j] * u[j] + square
                    t[j] *= w / (power * math.sqrt(power))
            for i in range(first, last):
                add_responses(out[i], plane, i - first, turned[k])


@kernel("r2 r2 r3 r1 r1 w2 w2 w3", work=WORK)
def along_parameters(
    wide: Any,
    direction: Any,
    filters: Any,
    weights: Any,
    rounding: Any,
    lines: Any,
    scalars: Any,
    taps: Any,
) -> None:
    """The derivative of <gradient, direction> along weights and roundings (``scalars``) and ``taps``.

    ``lines`` is workspace, two rows of the image for each filter.
    """
    n, m = wide.shape[0] - filters.shape[1] + 1, wide.shape[1] - filters.shape[2] + 1
    for k in prange(filters.shape[0]):
        u, t = lines[2 * k], lines[2 * k + 1]
        w, square = weights[k], rounding[k] * rounding[k]
        of_weight, of_rounding = 0.0, 0.0
        taps[k, :, :] = 0
        for i in range(n):
            u[:] = 0
            t[:] = 0
            add_responses(u, wide, i, filters[k])
            add_responses(t, direction, i, filters[k])
            for j in range(m):
                power = u[j] * u[j] + square
                slope = u[j] / math.sqrt(power)
                bend = t[j] * slope
                of_weight += bend
                of_rounding -= bend / power
                t[j] *= w * square / (power * math.sqrt(power))
                u[j] = w * slope
            add_products(taps[k], wide, i, t)
            add_products(taps[k], direction, i, u)
        scalars[k, 0] = of_weight
        scalars[k, 1] = w * rounding[k] * of_rounding


@kernel("r2 r3 r1 r1 w2 w2 w3", work=WORK)
def along_parameters_of_value(
    wide: Any, filters: Any, weights: Any, rounding: Any, lines: Any, scalars: Any, taps: Any
) -> None:
    """The derivative of the value with respect to weights and roundings (``scalars``) and ``taps``."""
    n, m = wide.shape[0] - filters.shape[1] + 1, wide.shape[1] - filters.shape[2] + 1
    for k in prange(filters.shape[0]):
        u = lines[k]
        w, nu = weights[k], rounding[k]
        of_weight, of_rounding = 0.0, 0.0
        taps[k, :, :] = 0
        for i in range(n):
            u[:] = 0
            add_responses(u, wide, i, filters[k])
            for j in range(m):
                root = math.sqrt(u[j] * u[j] + nu * nu)
                size = u[j] * u[j] / (root + nu)
                of_weight += size
                of_rounding -= size / root
                u[j] *= w / root
            add_products(taps[k], wide, i, u)
        scalars[k, 0] = of_weight
        scalars[k, 1] = w * of_rounding
