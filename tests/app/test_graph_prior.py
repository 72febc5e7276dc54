"""``wellposed reconstruct --prior graph``."""

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
    folder = tmp_path_factory.mktemp("graph")
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


@pytest.mark.parametrize("initial", ["tv", "fbp", "tikhonov"])
def test_it_is_better_than_filtered_back_projection(scan, tmp_path, initial):
    output = tmp_path / "recon.tif"
    options = ["--prior", "graph", "--initial", initial, "--noise", "0.2", "--tol", "1e-2"]
    error = error_of(scan, output, *options)
    assert error < 0.7 * error_of(scan, tmp_path / "fbp.tif", "--prior", "none")
    with tifffile.TiffFile(output) as file:
        assert "graph Laplacian" in file.pages.first.description
        assert "discrepancy principle" in file.pages.first.description


def test_it_is_the_public_function(scan, tmp_path):
    """At a given weight and from filtered back-projection, where nothing is left to choose."""
    output = tmp_path / "recon.tif"
    options = ["--initial", "fbp", "--radius", "2", "--sigma", "0.2", "--weight", "50", "--double"]
    error_of(scan, output, "--prior", "graph", *options, "--tol", "1e-4")
    with np.load(scan) as arrays:
        b, angles = arrays["sinogram"].astype(np.float64), arrays["angles"]
    A = wp.operators.ParallelBeam((32, 32), angles, 32)
    fit = wp.LeastSquares(A, b) + wp.NonNegative()
    expected = wp.graph_regularised(fit, 50.0, "fbp", radius=2, sigma=0.2, tol=1e-4).x
    np.testing.assert_allclose(tifffile.imread(output), expected, atol=2e-2)


def test_the_plan_names_the_graph(scan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", str(scan), "--prior", "graph", "--plan"]) == 0
    assert "GraphLaplacian" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--initial", "unet"], "--initial"),
        (["--radius", "0"], "--radius"),
        (["--sigma", "-1"], "--sigma"),
        (["--noise", "50"], "noise"),
        (["--checkpoint", "run.ckpt"], "initial image"),
    ],
)
def test_bad_input(scan, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["reconstruct", str(scan), "--prior", "graph", "-o", "recon.tif", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "recon.tif").exists()


def test_tikhonov_is_no_initial_image_of_weighted_tv(scan, capsys):
    assert main(["reconstruct", str(scan), "--prior", "weighted-tv", "--initial", "tikhonov"]) == 2
    assert "--prior graph" in capsys.readouterr().err
