"""From raw counts to line integrals: flat and dark fields, logarithm, rings, few views."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.scan_formats import Slice

__all__ = ["Sinogram", "center_offset", "choose_views", "line_integrals", "remove_rings"]

_MAX_CLIPPED = 0.01
_RINGS_MIN_VIEWS = 20


@dataclass(frozen=True)
class Sinogram:
    """Line integrals of one slice and what was done to get them.

    Attributes
    ----------
    values : ndarray
        (n_views, n_detectors), float32 (float64 if the file holds float64), without unit: integrals of the
        attenuation per length along the rays.
    clipped : int
        Number of transmissions that were not positive and were raised to the smallest positive one.
    notes : tuple of str
        What the user should know.
    """

    values: NDArray[np.floating[Any]]
    clipped: int
    notes: tuple[str, ...]


def line_integrals(counts: Slice, *, already: bool = False) -> Sinogram:
    r"""Correct by flat and dark fields and take the negative logarithm (Beer-Lambert).

    .. math:: p = -\log T, \qquad T = \frac{I - D}{W - D},

    with the means W and D over the flat and dark frames; D = 0 where there are no dark frames.
    A transmission T <= 0 (more dark signal than counts) is raised to the smallest positive one of the slice,
    counted, and reported; more than 1 % of them is an error.

    Parameters
    ----------
    counts : Slice
        Raw numbers, see `wellposed.app.scans.Scan.read`.
    already : bool
        The data are line integrals: only the dtype is made floating.

    Returns
    -------
    Sinogram

    Raises
    ------
    InputError
        If flat fields are missing or not brighter than the dark fields, or too many transmissions are not
        positive.

    Examples
    --------
    >>> counts = Slice(np.array([[60, 110]]), np.array([[110, 110]]), np.array([[10, 10]]))
    >>> line_integrals(counts).values.round(3).tolist()
    [[0.693..., ...0.0]]
    """
    dtype = np.float64 if counts.data.dtype == np.float64 else np.float32
    if already:
        return Sinogram(counts.data.astype(dtype), 0, ())
    if counts.white is None or counts.white.size == 0:
        raise InputError(
            "the scan has no flat fields (/exchange/data_white or --white), so counts cannot become line "
            "integrals; "
            "add them, or save line integrals as .npz with the arrays sinogram and angles"
        )
    notes: list[str] = []
    white = counts.white.mean(axis=0, dtype=np.float64)
    if counts.dark is None or counts.dark.size == 0:
        dark = np.zeros_like(white)
        notes.append("no dark fields: the detector's offset is taken as zero")
    else:
        dark = counts.dark.mean(axis=0, dtype=np.float64)
    range_ = white - dark
    bad = range_ <= 0
    if bad.any():
        raise InputError(
            f"the flat field is not above the dark field in {int(bad.sum())} of {bad.size} detector columns, "
            "the first "
            f"is column {int(np.flatnonzero(bad)[0])} (flat {white[bad][0]:g}, dark {dark[bad][0]:g}); "
            "replace the flat fields, or choose another slice"
        )
    transmission = (counts.data - dark) / range_
    positive = transmission > 0
    clipped = int(positive.size - positive.sum())
    if clipped > _MAX_CLIPPED * positive.size:
        raise InputError(
            f"{clipped} of {positive.size} transmissions ({clipped / positive.size:.1%}) are not positive; "
            "check that flat and dark fields belong to this scan and are not exchanged"
        )
    if clipped:
        transmission = np.where(positive, transmission, transmission[positive].min())
        notes.append(
            f"{clipped} of {positive.size} transmissions were not positive and were raised to the smallest "
            "positive one"
        )
    return Sinogram((-np.log(transmission)).astype(dtype), clipped, tuple(notes))


def remove_rings(sinogram: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Remove stripes of faulty detector columns, which would become rings around the axis.

    Calls ``algotom.prep.removal.remove_all_stripe`` (Vo, Atwood and Drakopoulos, Optics Express 26 (2018)
    28396) with its standard settings. Apply it to the full scan, before views are left out: it compares
    each column with its neighbours over all views.

    Parameters
    ----------
    sinogram : ndarray
        (n_views, n_detectors).

    Returns
    -------
    ndarray
        Same shape and dtype.

    Raises
    ------
    InputError
        With fewer than 20 views, too few to tell a stripe from the object, or data without any noise.
    """
    if sinogram.shape[0] < _RINGS_MIN_VIEWS:
        raise InputError(
            f"ring removal needs at least {_RINGS_MIN_VIEWS} views and the scan has {sinogram.shape[0]}; "
            "leave --rings out"
        )
    from algotom.prep.removal import remove_all_stripe

    # It divides by column means, which are near zero in air: lift all values above zero meanwhile.
    lift = float(np.ptp(sinogram)) - float(sinogram.min())
    try:
        cleaned = remove_all_stripe(sinogram + lift)
    except ValueError as error:
        raise InputError(f"rings cannot be removed: {error}; leave --rings out") from error
    return np.asarray(cleaned - lift, dtype=sinogram.dtype)


def choose_views(available: int, wanted: int | None) -> NDArray[np.intp]:
    """Indices of `wanted` views, evenly spread over the `available` ones.

    View k of n is ``k * available / n`` rounded to the nearest index: the first view is always kept, and the
    spacing stays even across the end of a half turn that does not count its last direction twice.

    Raises
    ------
    InputError
        If `wanted` is below 1 or above `available`.

    Examples
    --------
    >>> choose_views(181, 4).tolist()
    [0, 45, 91, 136]
    """
    if wanted is None:
        return np.arange(available)
    if not 1 <= wanted <= available:
        raise InputError(
            f"--views {wanted} is out of range: the scan has {available} views; choose 1 to {available}"
        )
    return (2 * np.arange(wanted) * available + wanted) // (2 * wanted)


def center_offset(center: float, n_detectors: int, spacing: float = 1.0) -> float:
    """Convert a rotation axis in detector columns to the ``center_offset`` of the projector.

    The projector puts the centre of detector k at
    ``s_k = (k - (n_detectors - 1)/2) * spacing + center_offset`` and the rotation axis at s = 0,
    hence ``center_offset = ((n_detectors - 1)/2 - center) * spacing``.

    Parameters
    ----------
    center : float
        Rotation axis in detector columns, counted from 0; column k has its centre at k.
    n_detectors : int
        Number of columns.
    spacing : float
        Distance of two columns.

    Examples
    --------
    >>> center_offset(296.0, 640)
    23.5
    """
    return ((n_detectors - 1) / 2 - center) * spacing
