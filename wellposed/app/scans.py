"""CT scans: what is in the file, at which angles, and the raw numbers of one slice.

scan = open_scan(Path("tooth.h5"))
scan.angles           # radians, one per projection
counts = scan.read(0) # raw counts, flat and dark fields of slice 0; nothing else is loaded
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.errors import InputError
from wellposed.app.files import check_readable, fingerprint, format_bytes, full_suffix, require_memory
from wellposed.app.scan_formats import Dataset, Slice, Source, open_hdf5, open_npz, open_tiff

__all__ = ["Provenance", "Scan", "info", "open_scan", "parse_angles"]

_MAX_SATURATED = 1e-3
_FULL_SCALES = frozenset(2**bits - 1 for bits in (8, 10, 12, 14, 16))


@dataclass(frozen=True)
class Provenance:
    """Where the data come from: enough to recognise the same input again.

    Attributes
    ----------
    path : str
        Absolute path.
    size : int
        Bytes (of all files, for a folder).
    sha256, sha256_of : str
        Digest and the rule by which it was made, see `wellposed.app.files.fingerprint`.
    datasets : tuple of Dataset
        Arrays that were found, with shapes and dtypes.
    """

    path: str
    size: int
    sha256: str
    sha256_of: str
    datasets: tuple[Dataset, ...]


@dataclass(frozen=True)
class Scan:
    """An opened scan; the projections stay on disk until `read` asks for a slice.

    Attributes
    ----------
    path : Path
        File or folder.
    format : str
        ``"data-exchange HDF5"``, ``"TIFF stack"`` or ``"NPZ sinogram"``.
    shape : tuple of int
        (n_views, n_rows, n_detectors).
    dtype : str
        Of the projections as stored.
    angles : ndarray or None
        Radians, shape (n_views,), read-only; None only if `open_scan` was told to do without.
    line_integrals : bool
        True if the file holds line integrals, not counts.
    pixel_size, center : float or None
        As stored in the file: detector spacing, and rotation axis in detector columns from 0.
    provenance : Provenance
        Origin of the data.
    notes : tuple of str
        What the user should know, e.g. that the angles were not in the file.
    """

    path: Path
    format: str
    shape: tuple[int, int, int]
    dtype: str
    angles: NDArray[np.float64] | None
    line_integrals: bool
    pixel_size: float | None
    center: float | None
    provenance: Provenance
    notes: tuple[str, ...]
    _source: Source = field(repr=False, compare=False)

    def read(self, row: int, *, allow_saturated: bool = False) -> Slice:
        """Read the raw numbers of one slice.

        Parameters
        ----------
        row : int
            Slice (detector row), from 0.
        allow_saturated : bool
            Accept more than 0.1 % saturated counts. A count is saturated if it equals the largest count of
            the slice and that is the full scale of 8, 10, 12, 14 or 16 bits.

        Returns
        -------
        Slice
            Arrays in the dtype of the file.

        Raises
        ------
        InputError
            If the slice is out of range, does not fit into memory, or holds non-finite or saturated counts.
        """
        views, rows, columns = self.shape
        if not 0 <= row < rows:
            raise InputError(
                f"slice {row} is out of range: {self.path} has {rows} slice(s); choose 0 to {rows - 1}"
            )
        require_memory(4 * 8 * views * columns, f"a slice of {views} x {columns} numbers")
        counts = self._source.read(row)
        for name, array in (
            ("projections", counts.data),
            ("flat fields", counts.white),
            ("dark fields", counts.dark),
        ):
            if array is not None:
                _check_finite(array, f"the {name} of slice {row} in {self.path}")
        if not (self.line_integrals or allow_saturated):
            _check_saturation(counts.data, f"slice {row} of {self.path}")
        return counts


def _check_finite(array: NDArray[Any], what: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        view, column = (int(i) for i in np.argwhere(bad)[0])
        raise InputError(
            f"{what}: {int(bad.sum())} of {array.size} numbers are NaN or infinite, the first at frame "
            f"{view}, "
            f"column {column}; repair or interpolate them, or choose another slice"
        )


def _check_saturation(data: NDArray[Any], what: str) -> None:
    top = float(data.max())
    share = float(np.mean(data == top))
    if top in _FULL_SCALES and share > _MAX_SATURATED:
        raise InputError(
            f"{what}: {share:.1%} of the counts are saturated at {top:.0f}; scan again with a shorter "
            "exposure, "
            "or pass --allow-saturated to go on"
        )


def open_scan(
    path: Path,
    *,
    angles: str | None = None,
    white: Path | None = None,
    dark: Path | None = None,
    require_angles: bool = True,
) -> Scan:
    """Open a CT scan: data-exchange HDF5, a TIFF stack or folder, or an ``.npz`` sinogram.

    Parameters
    ----------
    path : Path
        ``.h5``, ``.hdf5``, ``.hdf``, ``.nxs``, ``.tif``, ``.tiff``, ``.npz`` or a folder of TIFF files.
    angles : str, optional
        Overrides the angles of the file, see `parse_angles`. Needed where the file has none.
    white, dark : Path, optional
        Flat and dark fields of a TIFF stack.
    require_angles : bool
        If False, a scan without angles is opened with ``angles=None``.

    Returns
    -------
    Scan

    Raises
    ------
    InputError
        For each input that cannot be used, with the remedy.
    """
    path = Path(path)
    check_readable(path)
    source = _open_source(path, white, dark)
    notes: list[str] = []
    if angles is not None:
        radians: NDArray[np.float64] | None = parse_angles(angles, source.shape[0])
        if source.angles is not None:
            notes.append(f"the angles stored in the file are overridden by --angles {angles}")
    elif source.angles is not None:
        radians = _stored_angles(source, path)
    elif require_angles:
        raise InputError(
            f"{path} has no angles ({_angle_home(source)}); pass --angles 0:180 (degrees, evenly spaced) or "
            "--angles FILE"
        )
    else:
        radians = None
        notes.append("the file has no angles: pass --angles")
    if radians is not None:
        radians = radians.copy()
        radians.flags.writeable = False
    files = [path] if path.is_file() else [p for p in path.iterdir() if p.is_file()]
    digest, rule = fingerprint(path)
    provenance = Provenance(
        str(path.resolve()), sum(p.stat().st_size for p in files), digest, rule, source.datasets
    )
    return Scan(
        path=path,
        format=source.format,
        shape=source.shape,
        dtype=source.dtype,
        angles=radians,
        line_integrals=source.line_integrals,
        pixel_size=source.pixel_size,
        center=source.center,
        provenance=provenance,
        notes=tuple(notes),
        _source=source,
    )


def _open_source(path: Path, white: Path | None, dark: Path | None) -> Source:
    suffix = ".tif" if path.is_dir() else full_suffix(path)
    if suffix in (".tif", ".tiff"):
        for place in (white, dark):
            if place is not None:
                check_readable(place)
        return open_tiff(path, white, dark)
    if white is not None or dark is not None:
        raise InputError(
            f"--white and --dark are for TIFF stacks; {path} holds its own fields: leave them out"
        )
    if suffix in (".h5", ".hdf5", ".hdf", ".nxs"):
        return open_hdf5(path)
    if suffix == ".npz":
        return open_npz(path)
    raise InputError(
        f"{path} has the suffix {suffix or '(none)'}, which is no known kind of scan; "
        "use .h5/.hdf5 (data-exchange), .tif/.tiff or a folder of them, or .npz"
    )


def _angle_home(source: Source) -> str:
    homes = {"data-exchange HDF5": "dataset /exchange/theta", "NPZ sinogram": "array 'angles'"}
    return "no " + homes[source.format] if source.format in homes else "a TIFF stack stores none"


def _stored_angles(source: Source, path: Path) -> NDArray[np.float64]:
    """Check the angles of the file and convert them to radians."""
    values = source.angles
    assert values is not None
    _check_angles(values, source.shape[0], f"the angles in {path}")
    span = float(np.ptp(values))
    if source.angle_unit == "degrees" and source.shape[0] > 10 and 2.8 < span <= 2 * np.pi + 0.01:
        raise InputError(
            f"the angles in {path} span {span:.3f} degrees, which looks like radians; "
            "set the attribute units='radians' on theta, or pass --angles 0:180"
        )
    if source.angle_unit == "radians" and span > 4 * np.pi + 0.01:
        raise InputError(
            f"the angles in {path} span {span:.1f} radians, which looks like degrees; "
            "store angle_unit='degrees' beside them, or pass --angles 0:180"
        )
    return np.deg2rad(values) if source.angle_unit == "degrees" else values


def _check_angles(values: NDArray[np.float64], views: int, what: str) -> None:
    if values.size != views:
        raise InputError(
            f"{what}: {values.size} angles for {views} projections; give one angle per projection, or "
            "--angles 0:180"
        )
    if not np.isfinite(values).all():
        first = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(f"{what}: angle {first} is not finite; repair it or pass --angles 0:180")
    if views > 1 and np.ptp(values) == 0:
        raise InputError(f"{what}: all {views} angles are equal to {values[0]:g}; pass --angles 0:180")


def parse_angles(option: str, views: int) -> NDArray[np.float64]:
    """Angles in radians from the option ``--angles``.

    Parameters
    ----------
    option : str
        ``"START:STOP"`` in degrees, `views` evenly spaced angles from START on, STOP excluded (the usual
        half turn ``0:180`` counts no direction twice); or the name of a text file with one angle in
        degrees per line (``#`` starts a comment).
    views : int
        Number of projections.

    Returns
    -------
    ndarray
        Shape (views,), float64, radians.

    Raises
    ------
    InputError
        If the option cannot be read or gives another number of angles.

    Examples
    --------
    >>> np.rad2deg(parse_angles("0:180", 4)).round(6).tolist()
    [0.0, 45.0, 90.0, 135.0]
    """
    parts = option.split(":")
    if len(parts) == 2 and not Path(option).exists():
        try:
            start, stop = (float(part) for part in parts)
        except ValueError:
            raise InputError(
                f"--angles {option} is not START:STOP in degrees; write e.g. --angles 0:180"
            ) from None
        if not np.isfinite([start, stop]).all() or start == stop:
            raise InputError(f"--angles {option} is an empty range; write e.g. --angles 0:180")
        return np.deg2rad(np.linspace(start, stop, views, endpoint=False))
    file = Path(option)
    check_readable(file)
    try:
        values = np.loadtxt(file, dtype=np.float64, ndmin=1).ravel()
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read angles from {file}: {error}; write one angle in degrees per line"
        ) from error
    _check_angles(values, views, f"the angles in {file}")
    return np.deg2rad(values)


def info(
    path: Path, *, angles: str | None = None, white: Path | None = None, dark: Path | None = None
) -> dict[str, str]:
    """Summary of a scan for the command ``wellposed info``; reads headers and one slice.

    Returns
    -------
    dict
        Label to text, in the order to print.

    Raises
    ------
    InputError
        If the file cannot be opened as a scan.
    """
    scan = open_scan(path, angles=angles, white=white, dark=dark, require_angles=False)
    views, rows, columns = scan.shape
    summary = {
        "file": f"{scan.path} ({format_bytes(scan.provenance.size)})",
        "format": scan.format,
        "projections": f"{views} of {rows} x {columns} (slices x detectors), {scan.dtype}",
        "values": "line integrals" if scan.line_integrals else "counts",
    }
    for dataset in scan.provenance.datasets:
        summary[dataset.name] = f"{' x '.join(map(str, dataset.shape)) or 'number'}, {dataset.dtype}"
    if scan.angles is not None:
        degrees = np.rad2deg(scan.angles)
        step = f", median step {np.median(np.abs(np.diff(degrees))):.4g}" if views > 1 else ""
        summary["angles"] = f"{degrees.min():.4g} to {degrees.max():.4g} degrees{step}"
    middle = rows // 2
    try:
        counts = scan.read(middle, allow_saturated=True)
        summary[f"range in slice {middle}"] = f"{counts.data.min():.6g} to {counts.data.max():.6g}"
    except InputError as error:
        summary[f"problem in slice {middle}"] = str(error)
    if scan.pixel_size is not None:
        summary["pixel size"] = f"{scan.pixel_size:g}"
    if scan.center is not None:
        summary["rotation axis"] = f"detector column {scan.center:g}"
    summary["sha256"] = f"{scan.provenance.sha256} ({scan.provenance.sha256_of})"
    for number, note in enumerate(scan.notes, 1):
        summary[f"note {number}"] = note
    return summary
