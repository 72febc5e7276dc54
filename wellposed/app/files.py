"""Files as such: atomic writes, checks before work starts, fingerprints, memory."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wellposed.app.errors import InputError

__all__ = [
    "atomic_path",
    "available_memory",
    "check_readable",
    "check_writable",
    "fingerprint",
    "format_bytes",
    "full_suffix",
    "reading",
    "require_memory",
]

_FULL_HASH_LIMIT = 256 * 2**20
_EDGE = 2**20
_FOLDER_EDGE = 2**16


def full_suffix(path: Path) -> str:
    """Lower-case suffix, with ``.nii.gz`` kept in one piece.

    Examples
    --------
    >>> full_suffix(Path("brain.NII.gz")), full_suffix(Path("a.b.tif"))
    ('.nii.gz', '.tif')
    """
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else path.suffix.lower()


def format_bytes(count: float) -> str:
    """Write a number of bytes in the largest binary unit that keeps it at or above one.

    Examples
    --------
    >>> format_bytes(1536), format_bytes(3 * 2**30)
    ('1.5 KiB', '3.0 GiB')
    """
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def check_readable(path: Path) -> None:
    """Refuse a path that does not exist, cannot be opened, or is an empty file or folder.

    Raises
    ------
    InputError
        With the reason and the remedy.
    """
    try:
        if path.is_dir():
            if not any(path.iterdir()):
                raise InputError(f"the folder {path} is empty; give the folder that holds the files")
            return
        with path.open("rb") as stream:
            if not stream.read(1):
                raise InputError(f"{path} is empty (0 bytes); copy or export the file again")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path") from None
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {_reason(error)}; check the path and its permissions"
        ) from error


class _PageErrors(logging.Handler):
    """Collects what tifffile merely logs when the chain of pages breaks off."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "TiffPages" in message:
            self.messages.append(message)


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Turn whatever a library says about a damaged file into an `InputError`.

    The libraries for HDF5, TIFF, NPZ, PNG and NIfTI raise more than a dozen unrelated exceptions (of zlib,
    struct, tokenize, ...) for damaged bytes, so every `Exception` counts; the original one is chained.
    A TIFF file that lost its last pages raises none: tifffile logs it, and the log is heard here.

    Parameters
    ----------
    path : Path
        File that is read in the block.
    what : str
        Name of the format.

    Raises
    ------
    InputError
        If the block raises anything but `MemoryError`, or pages of a TIFF file are lost.
    """
    logger = logging.getLogger("tifffile")
    lost = _PageErrors()
    logger.addHandler(lost)
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"cannot read {path} as {what}: {error}; the file is damaged, cut short or of another kind: copy "
            "it again"
        ) from error
    finally:
        logger.removeHandler(lost)
    if lost.messages:
        raise InputError(f"{path} is damaged or cut short ({lost.messages[0]}); copy the file again")


def check_writable(path: Path) -> None:
    """Make sure that a file can be created at `path`, by creating and removing one beside it.

    A test by permission bits alone would miss read-only mounts and full quotas.

    Raises
    ------
    InputError
        If the folder is missing or read-only, or `path` is a folder.
    """
    folder = path.parent
    if path.is_dir():
        raise InputError(
            f"the output {path} is a folder; give a file name inside it, e.g. {path / 'recon.tif'}"
        )
    if not folder.is_dir():
        raise InputError(f"the output folder {folder} does not exist; create it or choose another one")
    probe = _temporary_name(path)
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot write into {folder}: {_reason(error)}; choose another folder with --output"
        ) from error


def _temporary_name(path: Path) -> Path:
    suffix = full_suffix(path)
    return path.with_name(f".{path.name[: len(path.name) - len(suffix)]}.{os.getpid()}.part{suffix}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` only if the block succeeds.

    The temporary file has the same suffix, lies in the same folder (a rename within one file
    system is atomic), reaches the disk before the rename, and is removed if the block fails.

    Raises
    ------
    InputError
        If the system refuses to write (disk full, permission); `path` is then as it was before.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("done")
    >>> target.read_text()
    'done'
    """
    temporary = _temporary_name(path)
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {_reason(error)}; free some space or choose another folder"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def fingerprint(path: Path) -> tuple[str, str]:
    """SHA-256 that identifies a file or a folder of files, and the rule by which it was made.

    Returns
    -------
    digest : str
        64 hexadecimal digits.
    rule : str
        ``"whole file"`` up to 256 MiB (equal to the output of ``sha256sum``); larger files:
        the size in decimal, the first MiB and the last MiB; folders: for each file in order of its
        name the name, the size and the first 64 KiB.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.iterdir() if p.is_file()):
            digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                digest.update(stream.read(_FOLDER_EDGE))
        return digest.hexdigest(), "name, size and first 64 KiB of each file"
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= _FULL_HASH_LIMIT:
            return hashlib.file_digest(stream, "sha256").hexdigest(), "whole file"
        digest.update(str(size).encode())
        digest.update(stream.read(_EDGE))
        stream.seek(size - _EDGE)
        digest.update(stream.read(_EDGE))
    return digest.hexdigest(), "size, first and last MiB"


def available_memory() -> int | None:
    """Bytes of memory that can be had without swapping; None where the system does not tell.

    On Linux ``MemAvailable`` counts reclaimable caches, which ``SC_AVPHYS_PAGES`` leaves out;
    elsewhere `os.sysconf` is asked.
    """
    try:
        with Path("/proc/meminfo").open() as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass  # no /proc on this system: the next question has the answer
    for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"):
        if pages in getattr(os, "sysconf_names", {}):
            return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def require_memory(needed: int, purpose: str) -> None:
    """Refuse work that needs more memory than is available.

    Parameters
    ----------
    needed : int
        Bytes.
    purpose : str
        What needs them, e.g. ``"an image of 40000 x 40000 pixels"``.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    available = available_memory()
    if available is not None and needed > available:
        raise InputError(
            f"{purpose} needs about {format_bytes(needed)} of memory but {format_bytes(available)} are "
            "available; "
            "use a smaller image, fewer views or a larger machine"
        )
