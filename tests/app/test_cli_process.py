"""The command line in a process of its own: Ctrl-C, SIGKILL and resume, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from wellposed.app import demo
from wellposed.app.cli import main

COMMAND = [sys.executable, "-m", "wellposed", "reconstruct"]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    demo.simulate(path, (0.02 * (np.hypot(x, y) < 0.8) + 0.01 * (x > 0.2)).astype(np.float32), 1 / 3)
    return path


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def finish(*arguments: str) -> str:
    process = start(*arguments)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return err


def wait_for(condition: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not condition.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_a_killed_run_resumes_to_the_same_image(scan: Path, tmp_path: Path) -> None:
    """The weight is chosen once; the iterates go on from the file, bit by bit."""
    often = ["--size", "64", "--tol", "1e-13", "--double", "--max-iter", "600", "--checkpoint-seconds", "0"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(str(scan), *often, "--checkpoint", f"{whole}.npz", "-o", f"{whole}.tif")
    process = start(str(scan), *often, "--checkpoint", f"{broken}.npz", "-o", f"{broken}.tif")
    wait_for(tmp_path / "broken.npz", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "broken.tif").exists()
    err = finish(str(scan), *often, "--checkpoint", f"{broken}.npz", "--resume", "-o", f"{broken}.tif")
    assert "resuming" in err
    assert "choosing" not in err
    np.testing.assert_array_equal(tifffile.imread(f"{whole}.tif"), tifffile.imread(f"{broken}.tif"))


def test_ctrl_c_leaves_the_best_image_marked(scan: Path, tmp_path: Path) -> None:
    output, report = tmp_path / "r.tif", tmp_path / "r.html"
    endless = ["--size", "160", "--tol", "1e-14", "--double", "--max-iter", "1000000", "--weight", "0.1"]
    process = start(str(scan), *endless, "-o", str(output), "--report", str(report))
    assert process.stderr is not None
    while "iteration" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "note: interrupted by Ctrl-C" in err
    with tifffile.TiffFile(output) as file:
        stored = json.loads(file.pages.first.description)
    assert stored["status"] == "interrupted"
    assert stored["summary"].startswith("Stopped early")
    assert "interrupted by Ctrl-C" in report.read_text()
    assert np.isfinite(tifffile.imread(output)).all()


def test_ctrl_c_while_the_weight_is_chosen(scan: Path, tmp_path: Path) -> None:
    """The image belongs to a weight that nobody chose, however good its certificate: it is marked."""
    output, checkpoint = tmp_path / "r.tif", tmp_path / "c.npz"
    process = start(str(scan), "--size", "160", "-o", str(output), "--checkpoint", str(checkpoint))
    assert process.stderr is not None
    while "choosing the weight" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "note: interrupted by Ctrl-C while the weight was chosen" in err
    with tifffile.TiffFile(output) as file:
        assert json.loads(file.pages.first.description)["status"] == "interrupted"
    # Nothing is kept that a resumed run would take for a choice.
    assert list(tmp_path.glob("c.npz*")) == []


def test_checkpoints_are_not_overwritten_or_mixed_up(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "c.npz"
    common = ["reconstruct", str(scan), "--checkpoint", str(checkpoint), "-q", "-o", str(tmp_path / "r.tif")]
    # A run that is not complete keeps its checkpoint.
    assert main([*common, "--weight", "0.1", "--max-iter", "2", "--tol", "1e-9"]) == 0
    assert checkpoint.exists()
    assert main([*common, "--weight", "0.1"]) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main([*common, "--weight", "0.2", "--resume"]) == 2
    assert "was made with weight 0.1, not 0.2" in capsys.readouterr().err
    # A complete one removes it; --resume without a file begins.
    assert main([*common, "--weight", "0.1", "--resume"]) == 0
    assert [p.name for p in tmp_path.iterdir() if "c.npz" in p.name] == []
    assert main([*common, "--weight", "0.1", "--resume"]) == 0


@pytest.mark.parametrize("damage", ["{", "{}", '{"settings": {}, "chosen": {}}'])
def test_a_damaged_companion_of_a_checkpoint(
    scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    (tmp_path / "c.npz.json").write_text(damage)
    common = [
        "reconstruct",
        str(scan),
        "--checkpoint",
        str(tmp_path / "c.npz"),
        "-o",
        str(tmp_path / "r.tif"),
    ]
    assert main([*common, "--resume"]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from wellposed.app.cli import main; main(['--help']); print(sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(shown.splitlines()[-1].replace("'", "").strip("[]").split(", "))
    assert (
        loaded & {"numpy", "numba", "scipy", "h5py", "matplotlib", "skimage", "tifffile", "pydicom"} == set()
    )


def test_a_reader_that_goes_early_ends_the_command_without_a_traceback() -> None:
    """As in a pipe into ``head``: what is written then has no one to read it."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-m", "wellposed", "reproduce", "--list"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=120,
    )
    os.close(write)
    assert process.returncode == 141
    assert process.stderr == ""
