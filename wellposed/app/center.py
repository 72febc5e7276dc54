"""The centre of rotation, found by methods that check each other.

The first two use that the view at angle theta + 180 degrees is the mirror image of the view at theta.

- *double wedge*: the sinogram of a whole turn, put together from the half turn and its mirror image, has
  no Fourier coefficients outside a double wedge; the axis is where least energy is found there (Vo et al.,
  Optics Express 22 (2014) 19078). The measure is algotom's. Its search ``find_center_vo`` first blurs across
  neighbouring views, which shifts the answer in proportion to the angular step (on a tooth by one column for
  steps of one degree, by five for nine degrees), so the search here leaves the views as they are.
- *opposite views*: the mirrored view at theta is compared with the views around theta + 180 degrees,
  interpolated in angle.
- *centre of mass*: the centroid of each view moves as ``center + x cos(theta) + y sin(theta)`` (the first
  Helgason-Ludwig condition), and every view takes part; only where the object stays inside the detector. It
  is a check alone, since a background that is not flat pulls it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.preprocess import choose_views

__all__ = ["Center", "find_center"]

_DISAGREE = 1.0
_COARSE_COLUMNS = 320
_COARSE_VIEWS = 61
_FINE_VIEWS = 361
_MAX_GAP = math.radians(6.0)
_MAX_PAIRS = 24
_MIN_OVERLAP = 0.25
_EMPTY_BORDER = 0.02


@dataclass(frozen=True)
class Center:
    """A rotation axis and how sure it is.

    Attributes
    ----------
    value : float
        Detector column, counted from 0, fractional.
    method : str
        Name of the method that gave `value`.
    estimates : dict
        Method to detector column, for every method that could be used.
    notes : tuple of str
        Disagreement, or why a method could not be used.
    """

    value: float
    method: str
    estimates: dict[str, float]
    notes: tuple[str, ...]


def find_center(sinogram: NDArray[np.floating[Any]], angles: NDArray[np.float64]) -> Center:
    """Find the rotation axis of a parallel-beam sinogram.

    Parameters
    ----------
    sinogram : ndarray
        Line integrals, (n_views, n_detectors). Use all views of the scan, not the few-view subset.
    angles : ndarray
        Radians, (n_views,), in any order; at least half a turn has to be covered.

    Returns
    -------
    Center
        The double-wedge value where the views are evenly spaced, otherwise that of opposite views, and the
        centre of mass for comparison. A difference of more than one column between any two is a note.

    Raises
    ------
    InputError
        If neither method can be used; the remedy is to give the axis.
    """
    data = np.asarray(sinogram, dtype=np.float64)
    order = np.argsort(angles, kind="stable")
    theta = np.asarray(angles, dtype=np.float64)[order] - angles[order[0]]
    data = data[order]
    estimates: dict[str, float] = {}
    notes: list[str] = []
    half = _half_turn(theta)
    if half is None:
        notes.append("double wedge: not used, it needs evenly spaced views over half a turn")
    else:
        estimates["double wedge"] = _double_wedge(data[half])
    pairs = _opposite_pairs(theta)
    if pairs:
        estimates["opposite views"] = _opposite_views(data, pairs)
    else:
        notes.append("opposite views: not used, no view has neighbours 180 degrees away")
    if not estimates:
        raise InputError(
            f"the centre of rotation cannot be found: the views span {math.degrees(theta[-1]):.1f} degrees "
            "and half a "
            "turn is needed; give it with --center COLUMN (counted from 0)"
        )
    method, value = next(iter(estimates.items()))
    mass = _centre_of_mass(data, theta)
    if mass is not None:
        estimates["centre of mass"] = mass
    if max(estimates.values()) - min(estimates.values()) > _DISAGREE:
        shown = ", ".join(f"{name} {column:.2f}" for name, column in estimates.items())
        notes.append(
            f"the methods disagree on the centre of rotation ({shown}): compare results with --center COLUMN"
        )
    return Center(value, method, estimates, tuple(notes))


def _half_turn(theta: NDArray[np.float64]) -> slice | None:
    """Views of the first half turn if they are evenly spaced and fill it seamlessly."""
    if theta.size < 8:
        return None
    step = float(np.median(np.diff(theta)))
    stop = int(np.searchsorted(theta, math.pi - 0.5 * step))
    # Views may sit up to 0.6 steps from the even grid, as those of a rounded few-view choice do.
    grid = np.arange(stop) * (math.pi / max(stop, 1))
    even = stop >= 8 and bool(np.all(np.abs(theta[:stop] - grid) < 0.6 * math.pi / stop))
    return slice(0, stop) if even else None


def _refined_minimum(columns: NDArray[np.float64], cost: NDArray[np.float64]) -> float:
    """Vertex of the parabola through the smallest value and its two neighbours."""
    i = int(np.argmin(cost))
    if i in (0, len(cost) - 1):
        return float(columns[i])
    left, here, right = cost[i - 1 : i + 2]
    curvature = left - 2 * here + right
    shift = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(columns[i] + shift * (columns[1] - columns[0]))


def _double_wedge(half: NDArray[np.float64]) -> float:
    """Search the axis on a thinned sinogram, then around it on the full one."""
    columns = half.shape[1]
    binning = max(1, columns // _COARSE_COLUMNS)
    coarse = half[choose_views(len(half), min(len(half), _COARSE_VIEWS))]
    coarse = coarse[:, : columns // binning * binning].reshape(len(coarse), -1, binning).mean(axis=2)
    width = coarse.shape[1]
    trial = np.arange(width // 2 - width // 3, width // 2 + width // 3 + 1, dtype=np.float64)
    cost = _wedge_measure(coarse)(trial)
    guess = trial[int(np.argmin(cost))] * binning + 0.5 * (binning - 1)
    radius = 2.0 * binning
    trial = np.arange(guess - radius, guess + radius + 0.25, 0.5)
    fine = half[choose_views(len(half), min(len(half), _FINE_VIEWS))]
    return _refined_minimum(trial, _wedge_measure(fine)(trial))


def _wedge_measure(half: NDArray[np.float64]) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    from algotom.prep.calculation import calculate_center_metric, make_inverse_double_wedge_mask

    views, columns = half.shape
    mask = make_inverse_double_wedge_mask(2 * views, columns, 0.25 * columns)
    mirrored, filler = half[:, ::-1], half[::-1]

    def measure(trial: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.array([calculate_center_metric(c, half, mirrored, filler, mask) for c in trial])

    return measure


@dataclass(frozen=True)
class _Pair:
    """Mirrored view `target` equals about (1 - weight) * first + weight * second (each view, mirrored?)."""

    target: int
    first: int
    first_mirrored: bool
    second: int
    second_mirrored: bool
    weight: float


def _opposite_pairs(theta: NDArray[np.float64]) -> list[_Pair]:
    """Views whose opposite direction lies between two views close by, at least one of them not mirrored."""
    views = theta.size
    circle = np.concatenate([theta, theta + math.pi])
    order = np.argsort(circle, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(order.size)
    pairs: list[_Pair] = []
    for target in range(views):
        place = int(position[views + target])
        if place + 1 >= order.size:
            continue
        before, after = int(order[place - 1]), int(order[place + 1])
        gap = circle[after] - circle[before]
        if gap > _MAX_GAP or (before >= views and after >= views):
            continue
        weight = float((circle[views + target] - circle[before]) / gap) if gap > 0 else 0.0
        if (weight == 0.0 and before >= views) or (weight == 1.0 and after >= views):
            continue
        pairs.append(_Pair(target, before % views, before >= views, after % views, after >= views, weight))
    step = max(1, math.ceil(len(pairs) / _MAX_PAIRS))
    return pairs[::step]


def _opposite_views(data: NDArray[np.float64], pairs: list[_Pair]) -> float:
    """Half-column shifts at which mirrored views match best, refined by a parabola."""
    columns = data.shape[1]
    least = max(8, int(_MIN_OVERLAP * columns))
    sums = np.arange(least - 1, 2 * columns - least)
    cost = np.zeros(sums.size)
    for pair in pairs:
        for i, total in enumerate(sums):
            low, high = max(0, total - columns + 1), min(columns - 1, total)
            straight = slice(low, high + 1)
            # Column k of a view mirrored about total/2 is column total - k.
            back = slice(total - high, total - low + 1)

            def view(index: int, mirrored: bool, straight: slice = straight, back: slice = back) -> Any:
                return data[index, back][::-1] if mirrored else data[index, straight]

            expected = (1 - pair.weight) * view(pair.first, pair.first_mirrored)
            expected = expected + pair.weight * view(pair.second, pair.second_mirrored)
            target = view(pair.target, True)
            scale = np.sum(target**2) + np.sum(expected**2)
            cost[i] += np.sum((target - expected) ** 2) / scale if scale > 0 else 2.0
    return _refined_minimum(sums / 2.0, cost)


def _centre_of_mass(data: NDArray[np.float64], theta: NDArray[np.float64]) -> float | None:
    """Fit the path of the centroids; None if less than half a turn is covered or the object is cut off."""
    columns = data.shape[1]
    border = max(1, columns // 40)
    edges = np.abs(np.concatenate([data[:, :border].mean(axis=1), data[:, -border:].mean(axis=1)])).max()
    mass = data.sum(axis=1)
    if theta[-1] < math.radians(150.0) or edges > _EMPTY_BORDER * data.max() or mass.min() <= 0:
        return None
    centroid = data @ np.arange(columns) / mass
    path = np.stack([np.ones_like(theta), np.cos(theta), np.sin(theta)], axis=1)
    return float(np.linalg.lstsq(path, centroid, rcond=None)[0][0])
