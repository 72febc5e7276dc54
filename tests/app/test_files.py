"""Atomic writes, checks of paths, fingerprints and memory."""

import hashlib
import os
from pathlib import Path

import pytest

from wellposed.app import files
from wellposed.app.errors import InputError


def test_an_error_is_one_line() -> None:
    assert str(InputError("a\n  b")) == "a b"


def test_atomic_path_replaces_only_on_success(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    target.write_text("old")

    def failing() -> None:
        with files.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        failing()
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]
    with files.atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_a_full_disk_is_an_input_error(tmp_path: Path) -> None:
    def failing() -> None:
        with files.atomic_path(tmp_path / "out.tif") as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"cannot write .*out\.tif: no space left"):
        failing()
    assert not list(tmp_path.iterdir())


def test_check_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.check_writable(tmp_path / "a.tif")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="does not exist; create it"):
        files.check_writable(tmp_path / "missing" / "a.tif")
    with pytest.raises(InputError, match=r"is a folder"):
        files.check_writable(tmp_path)

    def refuse(*args: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(InputError, match=r"permission denied; choose another folder"):
        files.check_writable(tmp_path / "a.tif")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write into read-only folders")
def test_check_writable_read_only_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(InputError, match=r"cannot write into"):
            files.check_writable(tmp_path / "a.tif")
    finally:
        tmp_path.chmod(0o755)


def test_check_readable(tmp_path: Path) -> None:
    (tmp_path / "empty.h5").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=r"empty \(0 bytes\)"):
        files.check_readable(tmp_path / "empty.h5")
    with pytest.raises(InputError, match=r"folder .* is empty"):
        files.check_readable(tmp_path / "folder")
    with pytest.raises(InputError, match=r"does not exist"):
        files.check_readable(tmp_path / "none.h5")


def test_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"x" * 5000)
    whole = hashlib.sha256(b"x" * 5000).hexdigest()
    assert files.fingerprint(file) == (whole, "whole file")
    folder, _ = files.fingerprint(tmp_path)
    file.write_bytes(b"x" * 4999 + b"y")
    assert files.fingerprint(tmp_path)[0] != folder
    monkeypatch.setattr(files, "_FULL_HASH_LIMIT", 1000)
    monkeypatch.setattr(files, "_EDGE", 100)
    expected = hashlib.sha256(b"5000" + b"x" * 100 + b"x" * 99 + b"y").hexdigest()
    assert files.fingerprint(file) == (expected, "size, first and last MiB")


def test_require_memory_names_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    available = files.available_memory()
    assert available is None or available > 2**20
    monkeypatch.setattr(files, "available_memory", lambda: 2**30)
    files.require_memory(2**30, "an image")
    with pytest.raises(InputError, match=r"an image needs about 5\.0 GiB .* 1\.0 GiB are available"):
        files.require_memory(5 * 2**30, "an image")
