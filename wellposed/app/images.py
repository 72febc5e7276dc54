"""Images in: grey, colour and volumes, scaled to floating numbers by one documented rule."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.files import check_readable, full_suffix, reading, require_memory

__all__ = ["Image", "nibabel_or_error", "read_image"]

_PILLOW = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
_TIFF = (".tif", ".tiff")
_NIFTI = (".nii", ".nii.gz")
_NUMPY = (".npy", ".npz")
_WORKING_COPIES = 8


@dataclass(frozen=True)
class Image:
    """An image or volume and how its numbers were scaled.

    Attributes
    ----------
    pixels : ndarray
        (rows, columns), (rows, columns, 3) for colour, or (slices, rows, columns) for a volume; float32, or
        float64 if the file holds float64.
    colour : bool
        True if the last axis holds red, green and blue.
    scale : float
        The file's numbers were divided by this: 255, 65535 or 1.
    stored : str
        Type of the numbers in the file, e.g. ``"uint16"``.
    notes : tuple of str
        What the user should know.
    """

    pixels: NDArray[np.floating[Any]]
    colour: bool
    scale: float
    stored: str
    notes: tuple[str, ...]


def read_image(path: Path) -> Image:
    """Read an image or volume.

    Unsigned 8-bit numbers are divided by 255 and 16-bit ones by 65535, so that they lie in [0, 1]; black
    and white becomes 0 and 1; floating numbers stay as they are; other integers become float32 as they are.
    An alpha channel that is opaque everywhere is dropped; a translucent image is laid over white, with a
    note. The orientation that a camera stored is applied.

    Parameters
    ----------
    path : Path
        ``.png .jpg .jpeg .bmp .webp .tif .tiff .npy .npz .nii .nii.gz``. An ``.npz`` file needs the array
        ``image`` or a single array. Several TIFF pages or a 3-D array are a volume.

    Returns
    -------
    Image

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, of an unknown kind, too large for the memory, or holds
        numbers that are not finite.
    """
    path = Path(path)
    check_readable(path)
    suffix = full_suffix(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give one image file")
    if suffix in _PILLOW:
        array, colour, notes = _read_pillow(path)
    elif suffix in _TIFF:
        array, colour, notes = _read_tiff(path)
    elif suffix in _NUMPY:
        array, colour, notes = _read_numpy(path)
    elif suffix in _NIFTI:
        array, colour, notes = _read_nifti(path)
    else:
        known = " ".join((*_PILLOW, *_TIFF, *_NUMPY, *_NIFTI))
        raise InputError(
            f"{path} has the suffix {suffix or '(none)'}, which is no known kind of image; use {known}"
        )
    if array.ndim - colour not in (2, 3) or array.size == 0:
        raise InputError(
            f"{path} holds an array of shape {array.shape}; an image or volume is needed, not empty"
        )
    stored = str(array.dtype)
    pixels, scale = _to_float(array)
    bad = ~np.isfinite(pixels)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{path}: {int(bad.sum())} of {pixels.size} numbers are NaN or infinite, the first at {place}; "
            "repair them first"
        )
    if colour:
        pixels, alpha_note = _without_alpha(pixels)
        notes = notes + alpha_note
    return Image(pixels, colour and pixels.ndim == 3, scale, stored, notes)


_Raw = tuple[NDArray[Any], bool, tuple[str, ...]]


def _read_pillow(path: Path) -> _Raw:
    from PIL import Image as Pillow
    from PIL import ImageOps

    notes: tuple[str, ...] = ()
    with reading(path, "an image"), warnings.catch_warnings():
        # Size is judged by the memory check below, not by Pillow's fixed limit.
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
        try:
            opened = Pillow.open(path)
        except Pillow.DecompressionBombError as error:
            raise InputError(f"{path} is too large: {error}; cut it into tiles or save it as TIFF") from error
        with opened as file:
            require_memory(
                _WORKING_COPIES * 4 * file.width * file.height * len(file.getbands()),
                f"the image {path} of {file.width} x {file.height} pixels",
            )
            if _png_bits(path) == 16 and file.mode in ("RGB", "RGBA", "LA"):
                notes = ("16-bit colour PNG is read with 8 bits a channel; use TIFF to keep all bits",)
            turned = ImageOps.exif_transpose(file)
            if turned.mode in ("P", "PA"):
                turned = turned.convert(
                    "RGBA" if "transparency" in turned.info or turned.mode == "PA" else "RGB"
                )
            elif turned.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX"):
                turned = turned.convert("RGB")
            array = np.asarray(turned)
            if turned.mode == "I" and array.size and array.min() >= 0 and array.max() <= 65535:
                array = array.astype(np.uint16)
    return array, array.ndim == 3, notes


def _png_bits(path: Path) -> int:
    """Bits per channel that the header of a PNG file declares; 0 for other files."""
    with path.open("rb") as stream:
        head = stream.read(25)
    return head[24] if len(head) == 25 and head.startswith(b"\x89PNG") else 0


def _read_tiff(path: Path) -> _Raw:
    import tifffile

    with reading(path, "TIFF"), tifffile.TiffFile(path) as file:
        if not file.series:
            raise InputError(f"{path} holds no image; export it again")
        series = file.series[0]
        require_memory(
            _WORKING_COPIES * 4 * int(np.prod(series.shape)), f"the image {path} of shape {series.shape}"
        )
        size = path.stat().st_size
        for number, page in enumerate(file.pages):
            ends = [int(o) + int(n) for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
            if max(ends, default=0) > size:
                raise InputError(f"{path} is cut short at {size} bytes (page {number}); copy the file again")
        array = series.asarray()
        if series.axes.endswith("S"):
            return array, True, ()
        if series.axes.startswith("S") and array.ndim == 3:
            return np.moveaxis(array, 0, -1), True, ()
    return array, False, ()


def _read_numpy(path: Path) -> _Raw:
    with reading(path, "NPY or NPZ"), path.open("rb") as stream:
        opened = np.load(stream, allow_pickle=False)
        if isinstance(opened, np.ndarray):
            array = opened
        else:
            with opened as archive:
                names = list(archive)
                name = "image" if "image" in names else (names[0] if len(names) == 1 else "")
                if not name:
                    raise InputError(
                        f"{path} has no array 'image' (it has: {', '.join(names) or 'nothing'}); add one"
                    )
                array = archive[name]
    if array.dtype.kind not in "buif":
        raise InputError(f"{path} holds numbers of type {array.dtype}; real numbers are needed")
    return array, array.ndim == 3 and array.shape[-1] in (3, 4), ()


def nibabel_or_error() -> Any:
    """Import nibabel, or raise an `InputError` that names the extra to install."""
    try:
        import nibabel
    except ImportError:
        raise InputError("NIfTI files need the extra 'nifti'; run: pip install 'wellposed[nifti]'") from None
    return nibabel


def _read_nifti(path: Path) -> _Raw:
    nibabel = nibabel_or_error()
    with reading(path, "NIfTI"):
        file = nibabel.load(path)
        require_memory(
            _WORKING_COPIES * 4 * int(np.prod(file.shape)), f"the volume {path} of shape {file.shape}"
        )
        # NIfTI's first axis runs fastest: (x, y, z) becomes (slices, rows, columns).
        array = np.asarray(file.dataobj).T
    return np.squeeze(array, axis=0) if array.ndim == 3 and array.shape[0] == 1 else array, False, ()


def _to_float(array: NDArray[Any]) -> tuple[NDArray[np.floating[Any]], float]:
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255), 255.0
    if array.dtype == np.uint16:
        return array.astype(np.float32) / np.float32(65535), 65535.0
    dtype = np.float64 if array.dtype == np.float64 else np.float32
    return array.astype(dtype), 1.0


def _without_alpha(pixels: NDArray[np.floating[Any]]) -> tuple[NDArray[np.floating[Any]], tuple[str, ...]]:
    """Drop an opaque alpha channel, lay a translucent image over white; one channel becomes grey."""
    channels = pixels.shape[-1]
    notes: tuple[str, ...] = ()
    if channels in (2, 4):
        alpha = pixels[..., -1:]
        pixels = pixels[..., :-1]
        if alpha.min() < 1:
            pixels = pixels * alpha + (1 - alpha)
            notes = ("translucent pixels were laid over white",)
    if pixels.shape[-1] == 1:
        return np.ascontiguousarray(pixels[..., 0]), notes
    if pixels.shape[-1] != 3:
        raise InputError(f"the image has {channels} channels; grey, grey and alpha, RGB and RGBA can be read")
    return np.ascontiguousarray(pixels), notes
