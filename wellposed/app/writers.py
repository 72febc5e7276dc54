"""Results out, by suffix, each written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.files import atomic_path, check_writable, full_suffix
from wellposed.app.images import nibabel_or_error

__all__ = ["RESULT_SUFFIXES", "check_output", "grey_window", "write_png", "write_result", "write_text"]

RESULT_SUFFIXES = (".tif", ".tiff", ".h5", ".hdf5", ".npz", ".nii", ".nii.gz", ".png")


def check_output(path: Path) -> None:
    """Make sure, before work starts, that `write_result` will accept `path`.

    Raises
    ------
    InputError
        If the suffix is unknown, the package it needs is missing, or the folder is missing or read-only.
    """
    suffix = full_suffix(path)
    if suffix not in RESULT_SUFFIXES:
        raise InputError(
            f"the output {path} has the suffix {suffix or '(none)'}; use one of {' '.join(RESULT_SUFFIXES)}"
        )
    if suffix in (".nii", ".nii.gz"):
        nibabel_or_error()
    check_writable(path)


def write_result(
    path: Path,
    array: NDArray[np.floating[Any]],
    *,
    attributes: Mapping[str, str] | None = None,
    pixel_size: float = 1.0,
    window: tuple[float, float] | None = None,
) -> None:
    """Write an image (rows, columns), colour image (rows, columns, 3) or volume (slices, rows, columns).

    ============= =====================================================================================
    suffix        what is written
    ============= =====================================================================================
    .tif .tiff    float32; the attributes as JSON in the image description
    .h5 .hdf5     ``/exchange/data`` in the dtype of `array` with attribute ``pixel_size``; the
                  attributes in ``/process``
    .npz          ``image``, ``pixel_size``, ``attributes`` (JSON text)
    .nii .nii.gz  float32 or float64, axes (x, y, z), `pixel_size` as spacing; grey only
    .png          quick look in 8 bits, see `write_png`
    ============= =====================================================================================

    Parameters
    ----------
    path : Path
        Its suffix chooses the format.
    array : ndarray
        Floating numbers.
    attributes : mapping, optional
        Texts to store with the numbers, e.g. certificate and command.
    pixel_size : float
        Side of a pixel.
    window : (float, float), optional
        For PNG, see `write_png`.

    Raises
    ------
    InputError
        If the suffix is unknown or the file cannot be written; `path` is then as it was before.
    """
    texts = dict(attributes or {})
    suffix = full_suffix(path)
    if suffix not in RESULT_SUFFIXES:
        check_output(path)
    if suffix == ".png":
        write_png(path, array, window=window)
        return
    with atomic_path(path) as temporary:
        if suffix in (".tif", ".tiff"):
            _write_tiff(temporary, array, texts, pixel_size)
        elif suffix in (".h5", ".hdf5"):
            _write_hdf5(temporary, array, texts, pixel_size)
        elif suffix == ".npz":
            np.savez(temporary, image=array, pixel_size=pixel_size, attributes=json.dumps(texts))
        else:
            _write_nifti(temporary, array, pixel_size)


def _is_colour(array: NDArray[Any]) -> bool:
    return array.ndim == 3 and array.shape[-1] == 3


def _write_tiff(path: Path, array: NDArray[Any], texts: dict[str, str], pixel_size: float) -> None:
    import tifffile

    description = json.dumps({**texts, "pixel_size": pixel_size})
    photometric = "rgb" if _is_colour(array) else "minisblack"
    tifffile.imwrite(
        path,
        np.asarray(array, dtype=np.float32),
        photometric=photometric,
        description=description,
        metadata=None,
    )


def _write_hdf5(path: Path, array: NDArray[Any], texts: dict[str, str], pixel_size: float) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["implements"] = "exchange:process"
        data = file.create_dataset("exchange/data", data=array)
        data.attrs["pixel_size"] = pixel_size
        process = file.create_group("process")
        for key, text in texts.items():
            process.attrs[key] = text


def _write_nifti(path: Path, array: NDArray[Any], pixel_size: float) -> None:
    nibabel = nibabel_or_error()
    if _is_colour(array):
        raise InputError(f"NIfTI holds grey images only; write the colour image {path.name} as .tif or .png")
    volume = array[np.newaxis] if array.ndim == 2 else array
    affine = np.diag([pixel_size, pixel_size, pixel_size, 1.0])
    nibabel.Nifti1Image(np.ascontiguousarray(volume.T), affine).to_filename(path)


def grey_window(array: NDArray[Any]) -> tuple[float, float]:
    """Grey window of the quick look: the 0.5 % and 99.5 % quantiles, widened if they coincide.

    Examples
    --------
    >>> grey_window(np.ones((4, 4)))
    (0.5, 1.5)
    """
    low, high = (float(q) for q in np.quantile(array, [0.005, 0.995]))
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def write_png(
    path: Path, array: NDArray[np.floating[Any]], *, window: tuple[float, float] | None = None, bits: int = 8
) -> None:
    """Write an 8-bit (or grey 16-bit) PNG: window[0] becomes black and window[1] white, linearly between.

    Parameters
    ----------
    path : Path
        File to write.
    array : ndarray
        Image or colour image; of a volume the middle slice is shown.
    window : (float, float), optional
        Defaults to `grey_window`; use (0, 1) for photographs.
    bits : {8, 16}
        16 bits only for grey images.

    Raises
    ------
    InputError
        If the file cannot be written, or 16-bit colour is asked for.
    """
    from PIL import Image as Pillow

    colour = _is_colour(array)
    if bits == 16 and colour:
        raise InputError("16-bit colour PNG cannot be written; write the colour image as .tif")
    shown = array[array.shape[0] // 2] if array.ndim == 3 and not colour else array
    low, high = grey_window(shown) if window is None else window
    top = 2**bits - 1
    levels = np.rint(np.clip((shown - low) / (high - low), 0, 1) * top)
    with atomic_path(path) as temporary:
        Pillow.fromarray(levels.astype(np.uint16 if bits == 16 else np.uint8)).save(temporary, format="PNG")


def write_text(path: Path, text: str) -> None:
    """Write a text file (the report) in UTF-8, whole or not at all.

    Raises
    ------
    InputError
        If the file cannot be written; `path` is then as it was before.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
