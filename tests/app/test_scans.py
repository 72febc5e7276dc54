"""Each format of a scan, and each way in which it can be wrong."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile

from wellposed.app import scans
from wellposed.app.errors import InputError

VIEWS, ROWS, COLUMNS = 12, 3, 10


def counts(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(200, 60000, (VIEWS, ROWS, COLUMNS), dtype=np.uint16)


def write_scan(path: Path, **changed: Any) -> Path:
    """Write a good data-exchange file, with datasets replaced, or left out where None."""
    arrays = {
        "data": counts(),
        "data_white": np.full((2, ROWS, COLUMNS), 61000, np.uint16),
        "data_dark": np.full((2, ROWS, COLUMNS), 100, np.uint16),
        "theta": np.linspace(0, 180, VIEWS, endpoint=False),
    }
    with h5py.File(path, "w") as file:
        for name, array in (arrays | changed).items():
            if array is not None:
                file[f"exchange/{name}"] = array
    return path


def test_hdf5(tmp_path: Path) -> None:
    scan = scans.open_scan(write_scan(tmp_path / "scan.h5"))
    assert scan.shape == (VIEWS, ROWS, COLUMNS)
    assert scan.angles is not None
    np.testing.assert_allclose(scan.angles, np.arange(VIEWS) * np.pi / VIEWS)
    assert not scan.angles.flags.writeable
    raw = scan.read(1)
    np.testing.assert_array_equal(raw.data, counts()[:, 1])
    assert raw.data.dtype == np.uint16
    assert raw.white is not None
    assert raw.white.shape == (2, COLUMNS)
    assert [d.name for d in scan.provenance.datasets] == [
        f"/exchange/{n}" for n in ("data", "data_white", "data_dark", "theta")
    ]
    assert scan.provenance.size == (tmp_path / "scan.h5").stat().st_size


def test_hdf5_single_flat_frame_and_radians(tmp_path: Path) -> None:
    angles = np.linspace(0, np.pi, VIEWS, endpoint=False)
    path = write_scan(tmp_path / "s.h5", data_white=np.ones((ROWS, COLUMNS)), theta=angles)
    with h5py.File(path, "a") as file:
        file["exchange/theta"].attrs["units"] = "radians"
    scan = scans.open_scan(path)
    np.testing.assert_allclose(scan.angles, angles)
    white = scan.read(0).white
    assert white is not None
    assert white.shape == (1, COLUMNS)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": None}, r"no dataset /exchange/data \(it has: /exchange/data_dark"),
        ({"data": counts()[:, 0]}, r"shape \(12, 10\); expected \(projections, rows, columns\)"),
        ({"data": np.full((2, 2), b"text")}, "is not an array of numbers"),
        ({"data_white": np.ones((2, ROWS, 9))}, "data_white .* does not fit the projections"),
        ({"theta": None}, r"no dataset /exchange/theta\); pass --angles 0:180"),
        ({"theta": np.arange(5.0)}, "5 angles for 12 projections"),
        ({"theta": np.r_[np.nan, np.arange(11.0)]}, "angle 0 is not finite"),
        ({"theta": np.zeros(VIEWS)}, "all 12 angles are equal"),
        ({"theta": np.linspace(0, np.pi, VIEWS)}, "looks like radians"),
    ],
)
def test_bad_hdf5(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = write_scan(tmp_path / "scan.h5", **changed)
    with pytest.raises(InputError, match=message) as caught:
        scans.open_scan(path)
    assert "\n" not in str(caught.value)


def test_theta_axis_must_come_first(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "scan.h5")
    with h5py.File(path, "a") as file:
        file["exchange/data"].attrs["axes"] = "y:theta:x"
    with pytest.raises(InputError, match=r"reorder it to 'theta:y:x'"):
        scans.open_scan(path)


def test_truncated_empty_and_foreign_files(tmp_path: Path) -> None:
    whole = write_scan(tmp_path / "scan.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "scan.xyz").write_text("hello")
    for name, message in (
        ("cut.h5", "damaged, cut short"),
        ("text.h5", "cannot read .* as HDF5"),
        ("empty.h5", "0 bytes"),
        ("scan.xyz", "suffix .xyz, which is no known kind"),
        ("none.h5", "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            scans.open_scan(tmp_path / name)


def test_bad_counts_are_found_in_the_slice_that_is_read(tmp_path: Path) -> None:
    data = counts().astype(np.float32)
    data[3, 1, 4] = np.nan
    scan = scans.open_scan(write_scan(tmp_path / "scan.h5", data=data))
    scan.read(0)
    with pytest.raises(
        InputError, match=r"1 of 120 numbers are NaN or infinite, the first at frame 3, column 4"
    ):
        scan.read(1)
    for row in (-1, ROWS):
        with pytest.raises(InputError, match=r"out of range: .* choose 0 to 2"):
            scan.read(row)


@pytest.mark.parametrize("level", [255, 4095, 65535])
def test_saturated_counts(tmp_path: Path, level: int) -> None:
    data = np.minimum(counts(), level).astype(np.uint16)
    data[0, 0, :5] = level
    scan = scans.open_scan(write_scan(tmp_path / "scan.h5", data=data))
    with pytest.raises(InputError, match=f"saturated at {level}; .* --allow-saturated"):
        scan.read(0)
    np.testing.assert_array_equal(scan.read(0, allow_saturated=True).data, data[:, 0])


def test_slice_larger_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = scans.open_scan(write_scan(tmp_path / "scan.h5"))
    monkeypatch.setattr("wellposed.app.files.available_memory", lambda: 100)
    with pytest.raises(InputError, match=r"a slice of 12 x 10 numbers needs"):
        scan.read(0)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", ["file", "folder"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_stack(tmp_path: Path, layout: str, compression: str | None, byteorder: str) -> None:
    data = counts()
    path = tmp_path / "stack"
    if layout == "file":
        path = tmp_path / "stack.tif"
        tifffile.imwrite(path, data, compression=compression, byteorder=byteorder, photometric="minisblack")
    else:
        path.mkdir()
        for k, view in enumerate(data):
            tifffile.imwrite(path / f"v{k:03}.tif", view, compression=compression, byteorder=byteorder)
    flat = tmp_path / "flat.tif"
    tifffile.imwrite(flat, np.full((ROWS, COLUMNS), 61000, np.uint16))
    scan = scans.open_scan(path, angles="0:180", white=flat)
    for row in range(ROWS):
        raw = scan.read(row)
        np.testing.assert_array_equal(raw.data, data[:, row])
        assert raw.white is not None
        assert raw.white.shape == (1, COLUMNS)
        assert raw.dark is None


def test_bad_tiff_stacks(tmp_path: Path) -> None:
    good = tmp_path / "good.tif"
    tifffile.imwrite(good, counts(), photometric="minisblack")
    single = tmp_path / "single.tif"
    tifffile.imwrite(single, counts()[0])
    cut = tmp_path / "cut.tif"
    cut.write_bytes(good.read_bytes()[:-100])
    (tmp_path / "text.tif").write_text("hello")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    tifffile.imwrite(mixed / "a.tif", np.zeros((3, 4), np.uint16))
    tifffile.imwrite(mixed / "b.tif", np.zeros((3, 5), np.uint16))
    colour = tmp_path / "colour.tif"
    tifffile.imwrite(colour, np.zeros((2, 4, 5, 3), np.uint8), photometric="rgb")
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("x")
    for path, message in (
        (single, "a single image"),
        (cut, "cut short|damaged"),
        (tmp_path / "text.tif", "cannot read .* as TIFF"),
        (mixed, r"b\.tif is \(3, 5\) uint16 but the first page is \(3, 4\)"),
        (colour, "must be grey images"),
        (other, "holds no .tif"),
    ):
        with pytest.raises(InputError, match=message):
            scans.open_scan(path, angles="0:180")
    with pytest.raises(InputError, match=r"a TIFF stack stores none.; pass --angles"):
        scans.open_scan(good)
    with pytest.raises(InputError, match=r"flat fields in .* have shape"):
        scans.open_scan(good, angles="0:180", white=mixed / "a.tif")


@pytest.mark.parametrize("suffix", [".h5", ".tif", ".npz"])
def test_damage_never_passes_in_silence(tmp_path: Path, suffix: str) -> None:
    good = tmp_path / f"good{suffix}"
    if suffix == ".h5":
        write_scan(good)
    elif suffix == ".tif":
        tifffile.imwrite(good, counts(), photometric="minisblack", compression="zlib")
    else:
        np.savez_compressed(good, sinogram=counts()[:, 0], angles=np.arange(VIEWS) * 0.1)
    whole = good.read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / f"bad{suffix}"
    refused = 0
    for length in range(1, len(whole), len(whole) // 60):
        flipped = bytearray(whole)
        flipped[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        for content in (whole[:length], bytes(flipped)):
            bad.write_bytes(content)
            try:
                scan = scans.open_scan(bad, angles="0:180")
                raw = scan.read(0, allow_saturated=True)
            except InputError:
                refused += 1
            else:
                assert raw.data.shape == scan.shape[::2]
                assert content == bytes(flipped) or scan.shape[0] == VIEWS
    assert refused >= 60


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    sinogram = np.random.default_rng(1).random((VIEWS, COLUMNS))
    degrees = np.arange(VIEWS) * 15.0
    np.savez(path, sinogram=sinogram, angles=np.deg2rad(degrees), pixel_size=0.5, center=4.25)
    scan = scans.open_scan(path)
    assert (scan.shape, scan.pixel_size, scan.center) == ((VIEWS, 1, COLUMNS), 0.5, 4.25)
    assert scan.line_integrals
    np.testing.assert_allclose(np.rad2deg(scan.angles), degrees)
    np.testing.assert_array_equal(scan.read(0).data, sinogram)
    np.savez(path, sinogram=sinogram, angles=degrees, angle_unit="degrees")
    np.testing.assert_allclose(scans.open_scan(path).angles, np.deg2rad(degrees))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"angles": np.zeros(3)}, "no array 'sinogram'"),
        ({"sinogram": np.ones((12, 3))}, "no array 'angles'"),
        ({"sinogram": np.ones(3), "angles": np.arange(3)}, r"shape \(3,\)"),
        ({"sinogram": np.ones((12, 3)), "angles": np.arange(12) * 15.0}, "looks like degrees"),
        ({"sinogram": np.ones((2, 3)), "angles": [0, 1], "angle_unit": "turns"}, "'turns'; use 'radians'"),
        ({"sinogram": np.ones((2, 3)), "angles": [0, 1], "pixel_size": -1.0}, "pixel_size positive"),
        ({"sinogram": np.full((2, 3), object()), "angles": [0, 1]}, "cannot read .* as NPZ"),
    ],
)
def test_bad_npz(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(InputError, match=message):
        scans.open_scan(tmp_path / "s.npz")


def test_damaged_npz(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    np.savez(path, sinogram=np.ones((20, 30)), angles=np.arange(20) * 0.1)
    whole = path.read_bytes()
    for name, content in (("cut", whole[:-300]), ("text", b"hello"), ("flip", b"\0" * 200 + whole[200:])):
        bad = tmp_path / f"{name}.npz"
        bad.write_bytes(content)
        with pytest.raises(InputError, match=r"damaged"):
            scans.open_scan(bad)


def test_angles_option(tmp_path: Path) -> None:
    np.testing.assert_allclose(scans.parse_angles("10:-80", 3), np.deg2rad([10, -20, -50]))
    file = tmp_path / "angles.txt"
    file.write_text("# degrees\n0\n60.5\n120\n")
    np.testing.assert_allclose(scans.parse_angles(str(file), 3), np.deg2rad([0, 60.5, 120]))
    with pytest.raises(InputError, match=r"3 angles for 4 projections"):
        scans.parse_angles(str(file), 4)
    file.write_text("zero\none\n")
    for option, message in (
        (str(file), "cannot read angles"),
        ("a:b", "not START:STOP"),
        ("5:5", "empty range"),
        ("0:nan", "empty range"),
        (str(tmp_path / "none.txt"), "does not exist"),
    ):
        with pytest.raises(InputError, match=message):
            scans.parse_angles(option, 2)


def test_angles_option_overrides_the_file(tmp_path: Path) -> None:
    scan = scans.open_scan(write_scan(tmp_path / "s.h5"), angles="0:360")
    assert scan.angles is not None
    assert scan.angles[-1] == pytest.approx(2 * np.pi * 11 / 12)
    assert "overridden" in scan.notes[0]
    with pytest.raises(InputError, match=r"are for TIFF stacks"):
        scans.open_scan(tmp_path / "s.h5", white=tmp_path / "s.h5")


def test_info(tmp_path: Path) -> None:
    data = counts().astype(float)
    data[0, 1, 0] = np.inf
    summary = scans.info(write_scan(tmp_path / "s.h5", data=data, theta=None))
    assert summary["projections"] == "12 of 3 x 10 (slices x detectors), float64"
    assert "1 of 120" in summary["problem in slice 1"]
    assert "--angles" in summary["note 1"]
    summary = scans.info(write_scan(tmp_path / "t.h5"))
    assert summary["angles"] == "0 to 165 degrees, median step 15"


def test_tooth(shared_data: Path) -> None:
    scan = scans.open_scan(shared_data / "ct" / "tooth.h5")
    assert (scan.shape, scan.dtype) == ((181, 2, 640), "float32")
    raw = scan.read(0)
    assert raw.white is not None
    assert raw.white.shape == (10, 640)
