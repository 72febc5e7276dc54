"""``wellposed reconstruct --prior weighted-tv``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

import wellposed as wp
from wellposed.app.cli import main


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few noisy line integrals of two flat squares, beside their truth."""
    folder = tmp_path_factory.mktemp("weighted")
    truth = np.zeros((32, 32), np.float32)
    truth[6:24, 8:22] = 1.0
    truth[12:17, 11:19] = 0.3
    angles = np.pi * np.arange(16) / 16
    A = wp.operators.ParallelBeam(truth.shape, angles, 32)
    b = A(truth)
    noise = 0.01 * b.max() * np.random.default_rng(0).standard_normal(b.shape)
    np.savez(folder / "scan.npz", sinogram=(b + noise).astype(np.float32), angles=angles)
    tifffile.imwrite(folder / "truth.tif", truth)
    return folder / "scan.npz"


def error_of(scan: Path, output: Path, *options: str) -> float:
    arguments = ["reconstruct", str(scan), "--center", "15.5", "-q", "-o", str(output), *options]
    assert main(arguments) == 0
    truth = tifffile.imread(scan.with_name("truth.tif"))
    return float(np.linalg.norm(tifffile.imread(output) - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("initial", ["tv", "fbp"])
def test_the_weight_is_chosen_and_edges_are_spared(scan, tmp_path, initial):
    output = tmp_path / "recon.tif"
    error = error_of(scan, output, "--prior", "weighted-tv", "--initial", initial)
    assert error < error_of(scan, tmp_path / "tv.tif")
    with tifffile.TiffFile(output) as file:
        assert "weighted total variation" in file.pages.first.description


def test_it_is_the_two_stage_method(scan, tmp_path):
    """At a given weight and from filtered back-projection, where nothing is left to choose."""
    output = tmp_path / "recon.tif"
    options = ["--initial", "fbp", "--eta", "0.05", "--power", "0.5", "--weight", "0.7", "--double"]
    error_of(scan, output, "--prior", "weighted-tv", *options, "--tol", "1e-6")
    with np.load(scan) as arrays:
        b, angles = arrays["sinogram"].astype(np.float64), arrays["angles"]
    A = wp.operators.ParallelBeam((32, 32), angles, 32)
    fit = wp.LeastSquares(A, b) + wp.NonNegative()
    expected = wp.two_stage(fit, 0.7, "fbp", eta=0.05, p=0.5, tol=1e-6).x
    np.testing.assert_allclose(tifffile.imread(output), expected, atol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--initial", "unet"], "--initial"),
        (["--eta", "0"], "--eta"),
        (["--power", "2"], "--power"),
        (["--checkpoint", "run.ckpt"], "initial image"),
    ],
)
def test_bad_input(scan, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", str(scan), "--prior", "weighted-tv", "-o", "recon.tif", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "recon.tif").exists()
