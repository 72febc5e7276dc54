"""Images of each kind in, by the documented scaling and alpha rules."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from wellposed.app.errors import InputError
from wellposed.app.images import read_image

BYTES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    Pillow.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".npy"])
def test_eight_bits_are_divided_by_255(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, BYTES)
    else:
        save(path, BYTES)
    image = read_image(path)
    np.testing.assert_array_equal(image.pixels, BYTES.astype(np.float32) / 255)
    assert (image.pixels.dtype, image.scale, image.stored, image.colour) == (
        np.float32,
        255.0,
        "uint8",
        False,
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_divided_by_65535(tmp_path: Path, suffix: str) -> None:
    array = BYTES.astype(np.uint16) * 257
    image = read_image(save(tmp_path / f"a{suffix}", array))
    np.testing.assert_allclose(image.pixels, array / 65535, rtol=1e-6)
    assert image.pixels.max() == 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floating_numbers_stay(tmp_path: Path, dtype: type) -> None:
    array = (np.random.default_rng(0).standard_normal((5, 7)) * 100).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.pixels, array)
    assert (image.pixels.dtype, image.scale) == (dtype, 1.0)


def test_colour_and_alpha(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    image = read_image(save(tmp_path / "c.png", colour))
    assert image.colour
    np.testing.assert_array_equal(image.pixels, colour.astype(np.float32) / 255)
    opaque = np.dstack([colour, np.full((6, 8), 255, np.uint8)])
    image = read_image(save(tmp_path / "o.png", opaque))
    np.testing.assert_array_equal(image.pixels, colour.astype(np.float32) / 255)
    assert not image.notes
    opaque[0, 0] = (0, 0, 0, 51)
    image = read_image(save(tmp_path / "t.png", opaque))
    np.testing.assert_allclose(image.pixels[0, 0], 0.8, rtol=1e-6)
    assert image.notes == ("translucent pixels were laid over white",)
    grey = np.dstack([BYTES, np.full_like(BYTES, 255)])
    image = read_image(save(tmp_path / "la.png", grey))
    assert (image.pixels.shape, image.colour) == ((16, 16), False)
    planes = np.moveaxis(colour, -1, 0)
    tifffile.imwrite(tmp_path / "p.tif", planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "p.tif").pixels, colour.astype(np.float32) / 255)


def test_palette_black_and_white_and_camera_orientation(tmp_path: Path) -> None:
    colour = np.zeros((4, 6, 3), np.uint8)
    colour[:2] = (255, 0, 0)
    Pillow.fromarray(colour).quantize(4).save(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png").pixels, colour / 255)
    Pillow.fromarray(BYTES > 99).save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png").pixels, (BYTES > 99).astype(float))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image = read_image(save(tmp_path / "e.png", BYTES[:4], exif=exif))
    np.testing.assert_array_equal(image.pixels, np.rot90(BYTES[:4], -1).astype(np.float32) / 255)


def test_volumes(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).random((3, 4, 5)).astype(np.float32)
    tifffile.imwrite(tmp_path / "v.tif", volume, photometric="minisblack")
    np.savez(tmp_path / "v.npz", image=volume, other=1)
    for name in ("v.tif", "v.npz"):
        image = read_image(tmp_path / name)
        assert not image.colour
        np.testing.assert_array_equal(image.pixels, volume)


def test_sixteen_bit_colour_png_says_so(tmp_path: Path) -> None:
    # A PNG header with 16 bits a channel over a file that Pillow reads.
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    pixels = np.full((2, 3, 3), 0x8000, dtype=">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)
    path = tmp_path / "deep.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
    image = read_image(path)
    np.testing.assert_allclose(image.pixels, 0.5, atol=0.005)
    assert "8 bits a channel" in image.notes[0]


def test_bad_images(tmp_path: Path) -> None:
    whole = save(tmp_path / "good.png", BYTES).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "text.tif").write_text("hello")
    (tmp_path / "empty.png").touch()
    (tmp_path / "a.xyz").write_text("x")
    tifffile.imwrite(tmp_path / "good.tif", np.ones((20, 20), np.float32))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "good.tif").read_bytes()[:-50])
    tifffile.imwrite(tmp_path / "nan.tif", np.array([[1, 2], [3, np.nan]], np.float32))
    np.save(tmp_path / "line.npy", np.ones(3))
    np.save(tmp_path / "complex.npy", np.ones((3, 3), complex))
    np.savez(tmp_path / "two.npz", a=BYTES, b=BYTES)
    for name, message in (
        ("cut.png", "damaged, cut short"),
        ("text.png", "cannot read"),
        ("text.tif", "cannot read"),
        ("cut.tif", "cut short"),
        ("empty.png", "0 bytes"),
        ("a.xyz", "no known kind of image"),
        ("none.png", "does not exist"),
        ("nan.tif", r"1 of 4 numbers are NaN or infinite, the first at \(1, 1\)"),
        ("line.npy", r"shape \(3,\)"),
        ("complex.npy", "real numbers are needed"),
        ("two.npz", "no array 'image'"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)


def test_too_large_for_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wellposed.app.files.available_memory", lambda: 1000)
    for suffix in (".png", ".tif"):
        with pytest.raises(InputError, match=r"needs about 8\.0 KiB of memory but 1000 B are available"):
            read_image(save(tmp_path / f"a{suffix}", BYTES))


def test_nifti_needs_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    (tmp_path / "a.nii").write_bytes(b"x")
    with pytest.raises(InputError, match=r"extra 'nifti'; run: pip install 'wellposed\[nifti\]'"):
        read_image(tmp_path / "a.nii")
