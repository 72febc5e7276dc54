"""The command line, run in this process: results, bad input, exit codes, nothing half-written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

import wellposed
from wellposed.app import demo
from wellposed.app.cli import main
from wellposed.app.information import describe
from wellposed.app.reconstruct import parse_slices
from wellposed.problems.metrics import psnr

COLUMNS = 40


def phantom(columns: int = COLUMNS) -> np.ndarray:
    """A disc with a hole and a bright spot, off the middle."""
    y, x = np.mgrid[-1 : 1 : columns * 1j, -1 : 1 : columns * 1j]
    image = 0.02 * (np.hypot(x - 0.1, y) < 0.7) + 0.02 * (np.hypot(x - 0.3, y + 0.2) < 0.2)
    return (image - 0.02 * (np.hypot(x + 0.2, y - 0.2) < 0.15)).astype(np.float32)


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 noisy views of the phantom, three slices of different brightness."""
    folder = tmp_path_factory.mktemp("scan")
    path = folder / "scan.h5"
    rows = []
    for row in range(3):
        demo.simulate(path, (1 + 0.2 * row) * phantom(3 * COLUMNS), 1 / 3, seed=row)
        with h5py.File(path) as file:
            rows.append({name: file[f"exchange/{name}"][...] for name in ("data", "data_white", "data_dark")})
    with h5py.File(path, "a") as file:
        for name in rows[0]:
            del file[f"exchange/{name}"]
            file[f"exchange/{name}"] = np.concatenate([r[name] for r in rows], axis=1)
    return path


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    path = tmp_path / "noisy.png"
    clean = np.kron([[0.2, 0.8], [0.6, 0.4]], np.ones((16, 16)))
    levels = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape)
    Image.fromarray((255 * levels.clip(0, 1)).astype(np.uint8)).save(path)
    return path


def attributes(path: Path) -> dict[str, str]:
    with tifffile.TiffFile(path) as file:
        return dict(json.loads(file.pages.first.description))


def filtered(scan: Path, folder: Path, *options: str) -> np.ndarray:
    output = folder / "filtered.tif"
    assert main(["reconstruct", str(scan), "--prior", "none", "-q", "-o", str(output), *options]) == 0
    return np.asarray(tifffile.imread(output))


def test_reconstruct(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, report = tmp_path / "r.tif", tmp_path / "r.html"
    command = ["reconstruct", str(scan), "--views", "10", "-o", str(output), "--report", str(report)]
    assert main(command) == 0
    image = tifffile.imread(output)
    assert image.dtype == np.float32
    assert image.min() >= 0
    truth = phantom()
    assert psnr(image, truth, data_range=0.04) > 24
    stored = attributes(output)
    assert stored["status"] == "converged"
    assert float(stored["weight"]) > 0
    assert stored["command"] == "wellposed " + " ".join(command)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.png", "r.tif"]
    text = report.read_text()
    assert "filtered back-projection of all 60 views" in text
    out, err = capsys.readouterr()
    scores = {name: float(value) for name, value in re.findall(r"^(FBP|TV), 10 views +([\d.]+)", out, re.M)}
    few, all_views = (filtered(scan, tmp_path, *views) for views in (("--views", "10"), ()))
    span = float(np.ptp(all_views))
    assert scores["TV"] == pytest.approx(psnr(image, all_views, data_range=span), abs=0.01)
    assert scores["FBP"] == pytest.approx(psnr(few, all_views, data_range=span), abs=0.01)
    assert scores["TV"] > scores["FBP"] + 3
    assert psnr(image, truth, data_range=0.04) > psnr(few, truth, data_range=0.04) + 5
    # A pipe gets plain lines, without the codes that draw a bar.
    assert "choosing the weight: " in err
    assert re.search(r"iteration \d+, duality gap .* \(goal 1e-03\)", err)
    assert "\x1b" not in err


@pytest.mark.slow
def test_the_measured_tooth(shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At half the resolution; nearer to the reconstruction from all views than filtered back-projection."""
    command = ["reconstruct", str(shared_data / "ct" / "tooth.h5"), "--views", "45", "--size", "320"]
    assert main([*command, "-o", str(tmp_path / "r.tif")]) == 0
    stored, out = attributes(tmp_path / "r.tif"), capsys.readouterr().out
    assert stored["status"] == "converged"
    scores = {
        name: (float(decibel), float(similarity))
        for name, decibel, similarity in re.findall(r"^(FBP|TV), 45 views +([\d.]+) +([\d.]+)", out, re.M)
    }
    assert scores["TV"][0] > scores["FBP"][0] + 5
    assert scores["TV"][1] > scores["FBP"][1] + 0.2
    assert float(stored["rotation axis"].split()[2].rstrip(",")) == pytest.approx(296, abs=1)


def test_a_given_weight_and_center_are_used(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.h5"
    assert (
        main(["reconstruct", str(scan), "--weight", "0.5", "--center", "19.5", "-q", "-o", str(output)]) == 0
    )
    stored = describe(output)
    assert stored["weight"] == "0.5"
    assert stored["weight chosen by"] == "given"
    assert stored["rotation axis"] == "detector column 19.500, given"


def test_without_a_prior(scan: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.npz"
    assert main(["reconstruct", str(scan), "--prior", "none", "-o", str(output)]) == 0
    with np.load(output) as archive:
        assert psnr(archive["image"], phantom(), data_range=0.04) > 18
    assert "no certificate" in describe(output)["summary"]


def test_fan_beam(tmp_path: Path) -> None:
    """Values and size of the image are those at the axis, where the detector is seen at half its size."""
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    fan = wellposed.operators.FanBeam((COLUMNS, COLUMNS), angles, 200.0, 200.0, COLUMNS, 2.0, 1.0)
    np.savez(tmp_path / "fan.npz", sinogram=fan(phantom()), angles=angles)
    output = tmp_path / "r.tif"
    command = [
        "reconstruct",
        str(tmp_path / "fan.npz"),
        "--geometry",
        "fan",
        "--weight",
        "1e-3",
        "-o",
        str(output),
    ]
    assert main([*command, "--source-origin", "200", "--origin-detector", "200", "--pixel-size", "2"]) == 0
    assert psnr(tifffile.imread(output), phantom(), data_range=0.04) > 30


def test_a_volume_equals_its_slices(scan: Path, tmp_path: Path) -> None:
    common = ["--weight", "0.1", "--center", "19.5", "--views", "20", "-q"]
    volume = tmp_path / "v.tif"
    assert (
        main(["reconstruct", str(scan), "--slice", "0:3", "--workers", "2", "-o", str(volume), *common]) == 0
    )
    stack = tifffile.imread(volume)
    assert stack.shape == (3, COLUMNS, COLUMNS)
    for row in range(3):
        single = tmp_path / f"s{row}.tif"
        assert main(["reconstruct", str(scan), "--slice", str(row), "-o", str(single), *common]) == 0
        image = tifffile.imread(single)
        # Other numbers of threads sum in another order; the slices themselves differ by 20 %.
        assert np.linalg.norm(stack[row] - image) < 0.01 * np.linalg.norm(image)


def test_the_plan_is_printed_and_nothing_done(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(scan), "--plan", "-o", str(tmp_path / "r.tif")]) == 0
    assert capsys.readouterr().out.startswith("minimise ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("prior", ["tv", "tgv"])
def test_denoise(noisy: Path, tmp_path: Path, prior: str) -> None:
    output = tmp_path / "d.tif"
    assert main(["denoise", str(noisy), "--weight", "0.15", "--prior", prior, "-o", str(output)]) == 0
    clean = np.kron([[0.2, 0.8], [0.6, 0.4]], np.ones((16, 16)))
    before = psnr(np.asarray(Image.open(noisy)) / 255, clean, data_range=1.0)
    assert psnr(tifffile.imread(output), clean, data_range=1.0) > before + 5


def test_denoise_colour_chooses_its_weight(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clean = np.zeros((24, 24, 3))
    clean[:12, :, 0] = clean[:, 8:, 1] = 0.7
    levels = (clean + 0.2 + 0.05 * np.random.default_rng(1).normal(size=clean.shape)).clip(0, 1)
    for name, pixels in (("noisy", levels), ("clean", clean + 0.2)):
        Image.fromarray((255 * pixels).astype(np.uint8)).save(tmp_path / f"{name}.png")
    output = tmp_path / "d.png"
    command = [
        "denoise",
        str(tmp_path / "noisy.png"),
        "--truth",
        str(tmp_path / "clean.png"),
        "-o",
        str(output),
    ]
    assert main(command) == 0
    assert np.asarray(Image.open(output)).shape == (24, 24, 3)
    scores = dict(re.findall(r"^(noisy|denoised) +([\d.]+)", capsys.readouterr().out, re.M))
    assert float(scores["denoised"]) > float(scores["noisy"]) + 4


@pytest.mark.parametrize("psf", ["gaussian:1.2", "file"])
def test_deblur(tmp_path: Path, psf: str) -> None:
    from scipy.ndimage import gaussian_filter

    clean = np.kron([[0.2, 0.8], [0.6, 0.4]], np.ones((16, 16)))
    blurred = gaussian_filter(clean, 1.2, mode="reflect")
    np.save(tmp_path / "b.npy", blurred)
    if psf == "file":
        psf = str(tmp_path / "psf.npy")
        # The file need not be normalised.
        np.save(psf, 7.0 * wellposed.operators.gaussian_kernel(1.2))
    output = tmp_path / "d.npz"
    assert main(["deblur", str(tmp_path / "b.npy"), "--psf", psf, "--weight", "1e-4", "-o", str(output)]) == 0
    with np.load(output) as archive:
        sharp = archive["image"]
    assert sharp.dtype == np.float64
    assert psnr(sharp, clean, data_range=1.0) > psnr(blurred, clean, data_range=1.0) + 5


def test_info(scan: Path, noisy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scan)]) == 0
    assert re.search(r"projections +60 of 3 x 40", capsys.readouterr().out)
    assert main(["info", str(noisy)]) == 0
    assert re.search(r"shape +32 x 32", capsys.readouterr().out)


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    scores = dict(re.findall(r"^(FBP|TV), 60 views +([\d.]+)", out, re.M))
    assert float(scores["TV"]) > float(scores["FBP"]) + 8
    assert str(tmp_path / "out" / "report.html") in out
    assert (tmp_path / "out" / "recon.png").stat().st_size > 1000


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == wellposed.__version__
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("reconstruct", "denoise", "deblur", "info", "demo"))
    assert main(["reconstruct", "--help"]) == 0
    assert "--checkpoint" in capsys.readouterr().out


SCAN, OUT = "SCAN", "OUT"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reconstruct", "missing.h5", "-o", OUT], "missing.h5 does not exist"),
        (["reconstruct"], "requires an argument"),
        (["reconstruct", SCAN, "--views", "61", "-o", OUT], "--views 61 is out of range"),
        (["reconstruct", SCAN, "--views", "many"], "--views"),
        (["reconstruct", SCAN, "--slice", "3", "-o", OUT], "--slice 3 is out of range"),
        (["reconstruct", SCAN, "--slice", "a:b", "-o", OUT], "--slice a:b is no slice"),
        (
            ["reconstruct", SCAN, "--weight", "-1", "-o", OUT],
            "--weight -1 is neither a positive number nor auto",
        ),
        (["reconstruct", SCAN, "--center", "left", "-o", OUT], "--center left is neither a number nor auto"),
        (["reconstruct", SCAN, "--center", "41", "-o", OUT], "--center 41 is off the detector"),
        (["reconstruct", SCAN, "--tol", "0", "-o", OUT], "--tol"),
        (["reconstruct", SCAN, "--prior", "magic", "-o", OUT], "--prior"),
        (["reconstruct", SCAN, "--geometry", "fan", "-o", OUT], "--source-origin and --origin-detector"),
        (["reconstruct", SCAN, "--source-origin", "9", "-o", OUT], "add --geometry fan"),
        (
            [
                "reconstruct",
                SCAN,
                "--geometry",
                "fan",
                "--source-origin",
                "9",
                "--origin-detector",
                "9",
                "-o",
                OUT,
            ],
            "source",
        ),
        (["reconstruct", SCAN, "--resume", "-o", OUT], "--resume needs --checkpoint"),
        (["reconstruct", SCAN, "--size", "1000000", "-o", OUT], "of memory"),
        (["reconstruct", SCAN, "--angles", "0:0", "-o", OUT], "--angles"),
        (["reconstruct", SCAN, "-o", "no/such/folder/r.tif"], "no/such/folder does not exist"),
        (["reconstruct", SCAN, "-o", "r.jpg"], "r.jpg has the suffix .jpg"),
        (["reconstruct", SCAN, "-o", OUT, "--report", "r.txt"], "give it the suffix .html"),
        (["reconstruct", SCAN, "--truth", SCAN, "-o", OUT], "no known kind of image"),
        (["denoise", SCAN, "-o", OUT], "no known kind of image"),
        (["deblur", "NOISY", "--psf", "gaussian", "-o", OUT], "has no size"),
        (["deblur", "NOISY", "--psf", "square:2", "-o", OUT], "neither gaussian:SIGMA nor disk:RADIUS"),
        (["deblur", "NOISY", "--psf", "disk:30", "-o", OUT], "larger than the image"),
        (["info", "missing.tif"], "missing.tif does not exist"),
        (["fly"], "fly"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line_and_leaves_no_file(
    scan: Path,
    noisy: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    before = sorted(tmp_path.iterdir())
    named = {SCAN: str(scan), "NOISY": str(noisy), OUT: str(tmp_path / "r.tif")}
    assert main([named.get(a, a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    last = err.strip().splitlines()[-1]
    assert last.startswith("wellposed: ")
    assert message in last
    assert "Traceback" not in err
    assert out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_damaged_scans(scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.h5"
    cut.write_bytes(scan.read_bytes()[:3000])
    empty = tmp_path / "empty.h5"
    empty.touch()
    dark = tmp_path / "dark.h5"
    with h5py.File(scan) as source, h5py.File(dark, "w") as target:
        source.copy("exchange", target)
        target["exchange/data_white"][...] = 0
    for path, message in ((cut, "damaged"), (empty, "is empty"), (dark, "flat field")):
        assert main(["reconstruct", str(path), "-o", str(tmp_path / "r.tif")]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("r.*"))


@pytest.mark.parametrize("text", ["", "1:1", "3", "-1", "2:9", "1:2:3"])
def test_bad_slices(text: str) -> None:
    with pytest.raises(ValueError, match="--slice"):
        parse_slices(text, 3)
