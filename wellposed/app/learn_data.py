"""Examples to learn from: images of a folder, cut and degraded, each with its own seeded noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.images import read_image
from wellposed.app.restore import blurring, point_spread

if TYPE_CHECKING:
    from wellposed.operators._base import LinearOperator

__all__ = ["Degradation", "Example", "examples", "read_truths"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".npy", ".npz", ".nii", ".gz")
LEAST = 8
"""Rows and columns of the smallest image."""


@dataclass(frozen=True)
class Degradation:
    """How a true image becomes data.

    Attributes
    ----------
    task : {"denoise", "deblur", "ct"}
    noise : float
        Standard deviation of white noise; for ``ct`` as a share of the largest line integral of the image.
    psf, boundary : str or None, str
        For ``deblur``, see `wellposed.app.restore.point_spread`.
    views : int
        For ``ct``: parallel projections, evenly spread over half a turn.
    """

    task: str
    noise: float
    psf: str | None = None
    boundary: str = "reflect"
    views: int = 60

    @property
    def setting(self) -> dict[str, str]:
        """Label to text of what the parameters depend on."""
        if self.task == "deblur":
            return {"psf": str(self.psf), "boundary": self.boundary}
        return {"views": str(self.views)} if self.task == "ct" else {}

    def operator(self, shape: tuple[int, ...]) -> LinearOperator | None:
        """What is measured of an image, before the noise; None for the image itself."""
        if self.task == "denoise":
            return None
        if self.task == "deblur":
            assert self.psf is not None
            return blurring(point_spread(self.psf), shape, len(shape) == 3, self.boundary)
        from wellposed.operators.tomography import ParallelBeam

        angles = math.pi * np.arange(self.views) / self.views
        return ParallelBeam(shape, angles, math.ceil(math.hypot(*shape)))


@dataclass(frozen=True)
class Example:
    """A true image and what was measured of it.

    Attributes
    ----------
    name : str
    truth, data, noise : ndarray
        float64; ``noise`` is part of ``data``.
    operator : LinearOperator or None
    """

    name: str
    truth: NDArray[np.float64]
    operator: LinearOperator | None
    data: NDArray[np.float64]
    noise: NDArray[np.float64]

    def simple(self) -> NDArray[np.float64]:
        """What there is without a prior: the data, or for projections the filtered back-projection."""
        from wellposed.operators.tomography import ParallelBeam, fbp

        if isinstance(self.operator, ParallelBeam):
            return np.asarray(fbp(self.data, self.operator))
        return self.data


def read_truths(
    folder: Path, option: str, *, grey: bool, crop: int | None, crops: int, seed: int
) -> dict[str, NDArray[np.float64]]:
    """Images of a folder by name, in the order of their names, or random parts of them.

    Parameters
    ----------
    folder : Path
        Files in other formats are passed over.
    option : str
        That named the folder, for messages.
    grey : bool
        Make colour images grey: the mean over the colours.
    crop : int or None
        Side of the square parts to cut out.
    crops : int
        Parts of each image.
    seed : int
        Of their places.

    Raises
    ------
    InputError
        If the folder is missing or holds no image, or one that cannot be used.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{option} {folder} {what}; give a folder of images")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    if not paths:
        raise InputError(f"{option} {folder} holds no image; put some there ({' '.join(SUFFIXES)})")
    found: dict[str, NDArray[np.float64]] = {}
    for number, path in enumerate(paths):
        pixels = _read(path, grey)
        if crop is None:
            found[path.name] = pixels
            continue
        rows, columns = pixels.shape[:2]
        if min(rows, columns) < crop:
            raise InputError(
                f"{path} of {rows} x {columns} pixels is smaller than --crop {crop}; leave it out"
            )
        rng = np.random.default_rng([seed, number])
        for k in range(crops):
            i, j = rng.integers(0, rows - crop + 1), rng.integers(0, columns - crop + 1)
            name = f"{path.name}, {crop} x {crop} at {i}, {j}" + (f" ({k + 1})" if crops > 1 else "")
            found[name] = np.ascontiguousarray(pixels[i : i + crop, j : j + crop])
    return found


def _read(path: Path, grey: bool) -> NDArray[np.float64]:
    image = read_image(path)
    if image.pixels.ndim - image.colour != 2:
        raise InputError(
            f"{path} holds an array of shape {image.pixels.shape}; learning takes images of two axes: save "
            "slices of a volume as images"
        )
    pixels = image.pixels.astype(np.float64)
    if image.colour and grey:
        pixels = pixels.mean(axis=-1)
    if min(pixels.shape[:2]) < LEAST:
        raise InputError(
            f"{path} of {pixels.shape[0]} x {pixels.shape[1]} pixels is too small: at least {LEAST} x {LEAST}"
        )
    return pixels


def examples(
    truths: dict[str, NDArray[Any]], degradation: Degradation, seed: tuple[int, int]
) -> tuple[Example, ...]:
    """Degrade images, each with noise of its own.

    Parameters
    ----------
    truths : dict
    degradation : Degradation
    seed : (int, int)
        The user's, and a number that tells training from validation.

    Raises
    ------
    InputError
        If a point spread function cannot be used with an image.
    """
    made: list[Example] = []
    operators: dict[tuple[int, ...], LinearOperator | None] = {}
    for number, (name, truth) in enumerate(truths.items()):
        if truth.shape not in operators:
            operators[truth.shape] = degradation.operator(truth.shape)
        A = operators[truth.shape]
        clean = truth if A is None else np.asarray(A(truth))
        size = degradation.noise
        if degradation.task == "ct":
            size *= float(np.max(np.abs(clean)))
        noise = size * np.random.default_rng([*seed, number]).standard_normal(clean.shape)
        made.append(Example(name, truth, A, clean + noise, noise))
    return tuple(made)
