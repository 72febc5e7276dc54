"""Quadrature weights of scan angles."""

from __future__ import annotations

import numpy as np

MISSING_WEDGE = np.deg2rad(10)
"""A gap between neighbouring angles below this is never taken for a missing wedge."""


def angular_weights(angles: np.ndarray, period: float) -> np.ndarray:
    """Half the gaps to both neighbours, in a circle of ``period``, for angles in any order.

    A gap above `MISSING_WEDGE` and above four times the mean of the other gaps is a wedge that was
    not measured; it counts as one mean gap. Without such a wedge the weights add up to ``period``.
    """
    if len(angles) == 1:
        return np.array([period])
    order, gaps = _sorted_gaps(angles, period)
    widest = int(gaps.argmax())
    if is_missing(gaps):
        gaps[widest] = (gaps.sum() - gaps[widest]) / (len(gaps) - 1)
    weights = np.empty(len(angles))
    weights[order] = (gaps + np.roll(gaps, 1)) / 2
    return weights


def covers_circle(angles: np.ndarray) -> bool:
    """Whether the angles go all around, without a missing wedge."""
    return len(angles) > 2 and not is_missing(_sorted_gaps(angles, 2 * np.pi)[1])


def is_missing(gaps: np.ndarray) -> bool:
    """Whether the widest gap is a wedge that was not measured."""
    widest = float(gaps.max())
    others = (float(gaps.sum()) - widest) / (len(gaps) - 1)
    return widest > MISSING_WEDGE and widest > 4 * others


def _sorted_gaps(angles: np.ndarray, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Order of the angles in the circle, and the gap after each of them."""
    wrapped = np.mod(angles, period)
    order = np.argsort(wrapped, kind="stable")
    ordered = wrapped[order]
    return order, np.diff(ordered, append=ordered[0] + period)
