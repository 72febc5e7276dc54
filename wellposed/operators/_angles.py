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


def arc(angles: np.ndarray) -> tuple[np.ndarray, float]:
    """Angles counted from the start of the arc that they cover, and the length of the arc."""
    order, gaps = _sorted_gaps(angles, 2 * np.pi)
    widest = int(gaps.argmax())
    start = angles[order[(widest + 1) % len(angles)]]
    spread = 2 * np.pi - float(gaps[widest])
    step = spread / max(len(angles) - 1, 1)
    # Rounding may take the first angle for one turn.
    counted = np.mod(angles - start + step / 2, 2 * np.pi) - step / 2
    return counted + step / 2, spread + step


def short_scan_weights(counted: np.ndarray, length: float, fan_angles: np.ndarray) -> np.ndarray:
    """Parker's weights, which share each line between the two rays that run along it.

    ``counted`` and ``length`` come from `arc`; ``fan_angles`` are those of the rays, counted against
    the direction of the angles. The overlap of the scan, ``length - pi``, takes the place of the
    opening angle of the fan (D. L. Parker, Medical Physics 9, 1982). Rays beyond it see no pixel.
    """
    overlap = (length - np.pi) / 2
    gamma = np.clip(-fan_angles, -0.999 * overlap, 0.999 * overlap)[None, :]
    beta = counted[:, None]
    rise = np.clip(beta / (overlap - gamma) / 2, 0, 1)
    fall = np.clip((length - beta) / (overlap + gamma) / 2, 0, 1)
    return np.asarray((np.sin(np.pi / 2 * rise) * np.sin(np.pi / 2 * fall)) ** 2)


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
