"""Each writer is read back by the library that others would use, and leaves nothing half-written."""

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wellposed.app.errors import InputError
from wellposed.app.images import read_image
from wellposed.app.writers import (
    RESULT_SUFFIXES,
    check_output,
    grey_window,
    write_png,
    write_result,
    write_text,
)

IMAGE = np.random.default_rng(0).standard_normal((6, 9))
TEXTS = {"command": "wellposed denoise ä.png", "certificate": "duality gap 1e-4"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_round_trips(tmp_path: Path, dtype: type) -> None:
    array = IMAGE.astype(dtype)
    array.flags.writeable = False
    for suffix in (".tif", ".npz"):
        path = tmp_path / f"a{suffix}"
        write_result(path, array, attributes=TEXTS, pixel_size=0.5)
        np.testing.assert_array_equal(
            read_image(path).pixels, array.astype(np.float32) if suffix == ".tif" else array
        )
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].dtype == np.float32
        assert json.loads(file.pages[0].description) == {**TEXTS, "pixel_size": 0.5}
    with np.load(tmp_path / "a.npz") as archive:
        assert json.loads(str(archive["attributes"])) == TEXTS
    write_result(tmp_path / "a.h5", array, attributes=TEXTS, pixel_size=0.5)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["exchange/data"][()], array)
        assert file["exchange/data"].dtype == dtype
        assert file["exchange/data"].attrs["pixel_size"] == 0.5
        assert dict(file["process"].attrs) == TEXTS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "a.npz", "a.tif"]


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 9)])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, shape: tuple[int, ...], suffix: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    array = np.random.default_rng(1).random(shape).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    write_result(path, array, pixel_size=0.25)
    file = nibabel.load(path)
    assert file.header.get_zooms() == (0.25, 0.25, 0.25)
    assert file.shape == (9, 6, 1 if len(shape) == 2 else 3)
    assert file.dataobj[4, 2, 0] == array[..., 2, 4].ravel()[0]
    np.testing.assert_array_equal(read_image(path).pixels, array)


def test_colour(tmp_path: Path) -> None:
    colour = np.random.default_rng(2).random((6, 8, 3)).astype(np.float32)
    write_result(tmp_path / "c.tif", colour)
    image = read_image(tmp_path / "c.tif")
    assert image.colour
    np.testing.assert_array_equal(image.pixels, colour)
    write_result(tmp_path / "c.png", colour, window=(0, 1))
    assert np.abs(read_image(tmp_path / "c.png").pixels - colour).max() <= 0.5 / 255 + 1e-6
    with pytest.raises(InputError, match="grey images only"):
        write_result(tmp_path / "c.nii", colour)
    with pytest.raises(InputError, match=r"write the colour image as \.tif"):
        write_png(tmp_path / "d.png", colour, bits=16)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.png", "c.tif"]


def test_png_window(tmp_path: Path) -> None:
    ramp = np.linspace(-1, 2, 7)[None].repeat(3, axis=0)
    write_png(tmp_path / "a.png", ramp, window=(0, 1))
    np.testing.assert_array_equal(
        np.asarray(Pillow.open(tmp_path / "a.png"))[0], [0, 0, 0, 128, 255, 255, 255]
    )
    write_png(tmp_path / "b.png", ramp, window=(0, 1), bits=16)
    assert np.asarray(Pillow.open(tmp_path / "b.png"))[0, 3] == 32768
    write_png(tmp_path / "v.png", np.stack([ramp * 0, ramp, ramp * 0]), window=(0, 1))
    assert np.asarray(Pillow.open(tmp_path / "v.png")).max() == 255
    write_png(tmp_path / "flat.png", np.zeros((4, 4)))
    low, high = grey_window(np.arange(1001.0))
    assert (low, high) == (5.0, 995.0)


def test_failure_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in RESULT_SUFFIXES:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"old")

        def refuse(*args: object, **options: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.replace", refuse)
            with pytest.raises(InputError, match="no space left on device"):
                write_result(path, IMAGE)
        assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == len(RESULT_SUFFIXES)


def test_check_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in RESULT_SUFFIXES:
        check_output(tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"suffix \.jpg; use one of \.tif"):
        check_output(tmp_path / "a.jpg")
    with pytest.raises(InputError, match=r"suffix \.jpg; use one of \.tif"):
        write_result(tmp_path / "a.jpg", IMAGE)
    with pytest.raises(InputError, match="does not exist; create it"):
        check_output(tmp_path / "none" / "a.tif")
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(InputError, match="extra 'nifti'"):
        check_output(tmp_path / "a.nii.gz")


def test_text(tmp_path: Path) -> None:
    write_text(tmp_path / "a.html", "<p>é</p>")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "<p>é</p>"
