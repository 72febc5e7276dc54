"""The command ``wellposed info``: what is in a scan, an image, or a result of ours."""

from __future__ import annotations

import json
from pathlib import Path

from wellposed.app.files import check_readable, format_bytes, full_suffix, reading
from wellposed.app.images import read_image
from wellposed.app.scans import info as scan_info

__all__ = ["describe"]


def describe(path: Path, angles: str | None = None) -> dict[str, str]:
    """Label to text, in the order to print.

    A TIFF file with several pages, a folder, HDF5, and an ``.npz`` with the array ``sinogram`` are scans;
    everything else is an image. Results of `wellposed` come with what was stored in them.

    Parameters
    ----------
    path : Path
    angles : str, optional
        As for ``reconstruct``.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    check_readable(path)
    stored = _attributes(path)
    if stored:
        return {"file": f"{path} ({format_bytes(path.stat().st_size)})", "made by": "wellposed", **stored}
    return scan_info(path, angles=angles) if _is_scan(path) else _image_info(path)


def _is_scan(path: Path) -> bool:
    if path.is_dir():
        return True
    suffix = full_suffix(path)
    if suffix == ".npz":
        import numpy as np

        with reading(path, "NPZ"), np.load(path, allow_pickle=False) as archive:
            return "sinogram" in archive
    if suffix in (".tif", ".tiff"):
        import tifffile

        with reading(path, "TIFF"), tifffile.TiffFile(path) as file:
            return len(file.pages) > 1
    return suffix in (".h5", ".hdf5", ".hdf", ".nxs")


def _attributes(path: Path) -> dict[str, str]:
    """What `write_result` stored beside the numbers; nothing for files of others."""
    suffix = "" if path.is_dir() else full_suffix(path)
    if suffix in (".tif", ".tiff"):
        import tifffile

        with reading(path, "TIFF"), tifffile.TiffFile(path) as file:
            page = file.pages.first if len(file.pages) else None
            return _ours("" if page is None else page.description)
    if suffix in (".h5", ".hdf5"):
        import h5py

        with reading(path, "HDF5"), h5py.File(path, "r") as file:
            process = file.get("process")
            found = {} if process is None else {k: str(v) for k, v in process.attrs.items()}
            return found if "summary" in found else {}
    if suffix == ".npz":
        import numpy as np

        with reading(path, "NPZ"), np.load(path, allow_pickle=False) as archive:
            return _ours(str(archive["attributes"])) if "attributes" in archive else {}
    return {}


def _ours(text: object) -> dict[str, str]:
    try:
        found = json.loads(text if isinstance(text, str) else "")
    except ValueError:
        return {}
    if not isinstance(found, dict) or "summary" not in found:
        return {}
    return {str(label): str(value) for label, value in found.items()}


def _image_info(path: Path) -> dict[str, str]:
    image = read_image(path)
    kind = "colour image" if image.colour else ("volume" if image.pixels.ndim == 3 else "grey image")
    pixels = image.pixels
    summary = {
        "file": f"{path} ({format_bytes(path.stat().st_size)})",
        "kind": kind,
        "shape": " x ".join(map(str, pixels.shape)),
        "numbers": image.stored + (f", divided by {image.scale:g} when read" if image.scale != 1.0 else ""),
        "range": f"{pixels.min():.6g} to {pixels.max():.6g}, mean {pixels.mean(dtype='f8'):.6g}",
    }
    try:
        from wellposed.solvers.noise import estimate_noise

        axes = (0, 1) if image.colour else None
        summary["noise"] = (
            f"about {estimate_noise(pixels, axes):.3g} (standard deviation, from third differences)"
        )
    except ValueError as error:
        summary["noise"] = f"not known: {error}"
    for number, note in enumerate(image.notes, 1):
        summary[f"note {number}"] = note
    return summary
