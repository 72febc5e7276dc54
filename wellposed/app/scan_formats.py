"""The three file formats of a scan, each opened as a `Source` that reads one slice at a time.

Everything here speaks of files: which dataset holds what, and what to do when one is missing. What
the numbers mean (angles in radians, saturation, slices) is decided in `wellposed.app.scans`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.files import reading

__all__ = ["Dataset", "Slice", "Source", "open_hdf5", "open_npz", "open_tiff"]


@dataclass(frozen=True)
class Dataset:
    """Name, shape and dtype of one array in a file, for the provenance."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Slice:
    """Raw numbers of one slice: `data` (n_views, n_detectors), `white` and `dark` (n_frames, n_detectors)."""

    data: NDArray[Any]
    white: NDArray[Any] | None
    dark: NDArray[Any] | None


@dataclass(frozen=True)
class Source:
    """An opened scan file before its angles are interpreted.

    Attributes
    ----------
    format : str
        Name of the file format.
    shape : tuple of int
        (n_views, n_rows, n_detectors).
    dtype : str
        Of the projections as stored.
    datasets : tuple of Dataset
        Everything that was found and is used.
    read : callable
        ``read(row)`` reads one slice and nothing else of the volume.
    angles : ndarray or None
        As stored, in `angle_unit`; None if the file has none.
    angle_unit : str
        ``"degrees"`` or ``"radians"``.
    line_integrals : bool
        True if the numbers are line integrals already, not counts.
    pixel_size, center : float or None
        As stored in an NPZ file.
    """

    format: str
    shape: tuple[int, int, int]
    dtype: str
    datasets: tuple[Dataset, ...]
    read: Callable[[int], Slice]
    angles: NDArray[np.float64] | None
    angle_unit: str = "degrees"
    line_integrals: bool = False
    pixel_size: float | None = None
    center: float | None = None


# --- data-exchange HDF5 ---------------------------------------------------------------------------------


def open_hdf5(path: Path) -> Source:
    """Open a data-exchange HDF5 file.

    Reads ``/exchange/data`` (theta, y, x) and, where present, ``data_white``, ``data_dark`` (frames, y, x)
    and ``theta``, whose attribute ``units`` may say radians (degrees otherwise).

    Raises
    ------
    InputError
        If the file is damaged, ``/exchange/data`` is missing or the shapes do not fit.
    """
    import h5py

    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        found = {name: _dataset(file, name) for name in ("data", "data_white", "data_dark", "theta")}
        data = found["data"]
        if data is None:
            raise InputError(
                f"{path} has no dataset /exchange/data (it has: {_contents(file)}); "
                "convert the scan to the data-exchange layout"
            )
        if data.ndim != 3 or 0 in data.shape:
            raise InputError(
                f"/exchange/data in {path} has shape {data.shape}; expected (projections, rows, columns), "
                "none empty"
            )
        axes = _text(data.attrs.get("axes", ""))
        if axes and not axes.lower().startswith("theta"):
            raise InputError(
                f"/exchange/data in {path} has axes {axes!r}; reorder it to 'theta:y:x' (projections first)"
            )
        shape = (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))
        for name in ("data_white", "data_dark"):
            frames = found[name]
            if frames is not None and (frames.ndim not in (2, 3) or frames.shape[-2:] != shape[1:]):
                raise InputError(
                    f"/exchange/{name} in {path} has shape {frames.shape}, which does not fit the "
                    "projections of "
                    f"shape {shape[1:]}; store it as (frames, {shape[1]}, {shape[2]})"
                )
        theta = found["theta"]
        unit = "degrees"
        if theta is not None and _text(theta.attrs.get("units", "")).lower().startswith("rad"):
            unit = "radians"
        return Source(
            format="data-exchange HDF5",
            shape=shape,
            dtype=str(data.dtype),
            datasets=tuple(
                Dataset(f"/exchange/{name}", tuple(item.shape), str(item.dtype))
                for name, item in found.items()
                if item is not None
            ),
            read=lambda row: _read_hdf5(path, row),
            angles=None if theta is None else np.asarray(theta[()], dtype=np.float64).ravel(),
            angle_unit=unit,
        )


def _dataset(file: Any, name: str) -> Any:
    """Return the dataset ``/exchange/name`` or None; a group or link of that name is refused."""
    import h5py

    item = file.get(f"exchange/{name}")
    if item is not None and not (isinstance(item, h5py.Dataset) and item.dtype.kind in "uif"):
        raise InputError(f"/exchange/{name} in {file.filename} is not an array of numbers; store it as one")
    return item


def _contents(file: Any) -> str:
    import h5py

    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    shown = ", ".join(f"/{name}" for name in names[:6]) or "no dataset at all"
    return shown + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _read_hdf5(path: Path, row: int) -> Slice:
    import h5py

    with reading(path, "HDF5"), h5py.File(path, "r") as file:
        exchange = file["exchange"]
        frames: list[NDArray[Any] | None] = []
        for name in ("data_white", "data_dark"):
            item = exchange.get(name)
            frames.append(None if item is None else np.atleast_2d(np.asarray(item[..., row, :])))
        return Slice(np.asarray(exchange["data"][:, row, :]), frames[0], frames[1])


# --- TIFF stack -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stack:
    """Pages (file, index) of equal shape in the order of the projections."""

    pages: tuple[tuple[Path, int], ...]
    shape: tuple[int, int]
    dtype: str

    def read(self, row: int) -> NDArray[Any]:
        """Read one row of every page; no more than one page is in memory."""
        import tifffile

        rows = np.empty((len(self.pages), self.shape[1]), dtype=self.dtype)
        position = 0
        for file, pages in itertools.groupby(self.pages, key=lambda page: page[0]):
            with (
                reading(file, "TIFF"),
                tifffile.TiffFile(file) as tiff,
            ):
                for _, index in pages:
                    page = tiff.pages[index]
                    if page.is_memmappable:
                        offset = int(page.dataoffsets[0])
                        itemsize = np.dtype(page.dtype).itemsize
                        tiff.filehandle.seek(offset + row * self.shape[1] * itemsize)
                        stored = np.dtype(page.dtype).newbyteorder(tiff.byteorder)
                        raw = tiff.filehandle.read(self.shape[1] * itemsize)
                        rows[position] = np.frombuffer(raw, dtype=stored)
                    else:
                        rows[position] = page.asarray()[row]
                    position += 1
        return rows


def _open_stack(path: Path, what: str) -> _Stack:
    """List the pages of a multi-page file or of a folder (files in the order of their names)."""
    import tifffile

    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in (".tif", ".tiff"))
        if not files:
            raise InputError(f"the folder {path} holds no .tif or .tiff files; give the folder of the {what}")
    else:
        files = [path]
    pages: list[tuple[Path, int]] = []
    first: tuple[tuple[int, int], str] | None = None
    for file in files:
        with (
            reading(file, "TIFF"),
            tifffile.TiffFile(file) as tiff,
        ):
            size = file.stat().st_size
            for index, page in enumerate(tiff.pages):
                shape = tuple(int(n) for n in page.shape)
                if len(shape) != 2 or page.dtype is None or page.dtype.kind not in "uif":
                    raise InputError(
                        f"page {index} of {file} has shape {shape}; the {what} must be grey images of one "
                        "size"
                    )
                this = ((shape[0], shape[1]), str(page.dtype))
                first = this if first is None else first
                if this != first:
                    raise InputError(
                        f"page {index} of {file} is {this[0]} {this[1]} but the first page is {first[0]} "
                        f"{first[1]}; "
                        f"the {what} must be of one size and type"
                    )
                ends = [int(o) + int(n) for o, n in zip(page.dataoffsets, page.databytecounts, strict=True)]
                if max(ends, default=0) > size:
                    raise InputError(
                        f"{file} is cut short at {size} bytes (page {index}); copy the file again"
                    )
                pages.append((file, index))
    if first is None:
        raise InputError(f"{path} holds no images; give a stack of {what}")
    return _Stack(tuple(pages), first[0], first[1])


def open_tiff(path: Path, white: Path | None = None, dark: Path | None = None) -> Source:
    """Open a TIFF stack: a multi-page file or a folder of files, one projection (rows, columns) each.

    Parameters
    ----------
    path : Path
        The projections, in the order of the angles (files in the order of their names).
    white, dark : Path, optional
        Flat and dark fields, in the same two layouts.

    Raises
    ------
    InputError
        If a file is damaged or cut short, or the pages differ in size or type.
    """
    stacks = {"projections": _open_stack(path, "projections")}
    for name, place in (("flat fields", white), ("dark fields", dark)):
        if place is not None:
            stacks[name] = _open_stack(place, name)
            if stacks[name].shape != stacks["projections"].shape:
                raise InputError(
                    f"the {name} in {place} have shape {stacks[name].shape} but the projections "
                    f"{stacks['projections'].shape}; give the {name} of this scan"
                )
    data = stacks["projections"]
    if len(data.pages) == 1:
        raise InputError(
            f"{path} holds a single image of shape {data.shape}; give all projections as a folder or "
            "multi-page "
            "TIFF, or save a sinogram as .npz with the arrays sinogram and angles"
        )

    def read(row: int) -> Slice:
        fields = [
            stacks[name].read(row) if name in stacks else None for name in ("flat fields", "dark fields")
        ]
        return Slice(data.read(row), fields[0], fields[1])

    return Source(
        format="TIFF stack",
        shape=(len(data.pages), *data.shape),
        dtype=data.dtype,
        datasets=tuple(Dataset(name, (len(s.pages), *s.shape), s.dtype) for name, s in stacks.items()),
        read=read,
        angles=None,
    )


# --- NPZ sinogram ---------------------------------------------------------------------------------------


def open_npz(path: Path) -> Source:
    """Open an ``.npz`` sinogram of line integrals.

    Arrays: ``sinogram`` (n_angles, n_detectors); ``angles`` (n_angles,), in radians unless the text
    ``angle_unit`` says ``degrees``; optionally the numbers ``pixel_size`` and ``center`` (rotation axis in
    detector columns, counted from 0).

    Raises
    ------
    InputError
        If the file is damaged or ``sinogram`` is missing or not two-dimensional.
    """
    with reading(path, "NPZ"), path.open("rb") as stream:
        opened = np.load(stream, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise InputError(
                f"{path} holds a single array; save it with np.savez(path, sinogram=..., angles=...)"
            )
        with opened as archive:
            if "sinogram" not in archive:
                raise InputError(
                    f"{path} has no array 'sinogram' (it has: {', '.join(archive) or 'nothing'}); "
                    "save it with np.savez(path, sinogram=..., angles=...)"
                )
            sinogram = archive["sinogram"]
            angles = np.asarray(archive["angles"], dtype=np.float64).ravel() if "angles" in archive else None
            unit = str(archive["angle_unit"]) if "angle_unit" in archive else "radians"
            extra = {key: float(archive[key]) for key in ("pixel_size", "center") if key in archive}
            datasets = tuple(Dataset(key, archive[key].shape, str(archive[key].dtype)) for key in archive)
    if sinogram.ndim != 2 or 0 in sinogram.shape or sinogram.dtype.kind not in "uif":
        raise InputError(
            f"the sinogram in {path} has shape {sinogram.shape} and type {sinogram.dtype}; "
            "expected numbers of shape (angles, detectors)"
        )
    if unit not in ("radians", "degrees"):
        raise InputError(f"angle_unit in {path} is {unit!r}; use 'radians' or 'degrees'")
    if extra.get("pixel_size", 1.0) <= 0 or not np.all(np.isfinite(list(extra.values()))):
        raise InputError(
            f"pixel_size and center in {path} must be finite and pixel_size positive; found {extra}"
        )
    return Source(
        format="NPZ sinogram",
        shape=(sinogram.shape[0], 1, sinogram.shape[1]),
        dtype=str(sinogram.dtype),
        datasets=datasets,
        read=lambda row: Slice(sinogram, None, None),
        angles=angles,
        angle_unit=unit,
        line_integrals=True,
        pixel_size=extra.get("pixel_size"),
        center=extra.get("center"),
    )
