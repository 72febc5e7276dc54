"""``wellposed learn`` and ``--params``: parameters that restore better, and bad input."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import wellposed as wp
from wellposed.app.cli import main
from wellposed.app.errors import InputError
from wellposed.app.learned_file import read_learned
from wellposed.operators.tomography import fbp
from wellposed.problems.metrics import psnr

SIDE = 24


def blocks(seed: int, shape: tuple[int, ...] = (SIDE, SIDE)) -> np.ndarray:
    """Flat rectangles on a ramp."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape) + 0.2 * np.linspace(0, 1, shape[1]).reshape(1, -1, *(1,) * (len(shape) - 2))
    for _ in range(4):
        i, j = rng.integers(0, SIDE - 8, 2)
        image[i : i + rng.integers(4, 12), j : j + rng.integers(4, 12)] = rng.uniform(0.2, 1, shape[2:])
    return image.astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images to learn from, one to validate with."""
    root = tmp_path_factory.mktemp("learn")
    for name, seeds in (("train", (0, 1)), ("validate", (2,))):
        (root / name).mkdir()
        for seed in seeds:
            tifffile.imwrite(root / name / f"{seed}.tif", blocks(seed))
        (root / name / "notes.txt").write_text("not an image")
    return root


def command(folder: Path, output: Path, *options: str) -> list[str]:
    chosen = dict(zip(options[::2], options[1::2], strict=False))
    task = [] if "--task" in chosen else ["--task", "denoise"]
    noise = [] if "--noise" in chosen else ["--noise", "0.1"]
    folders = ["--train", str(folder / "train"), "--validate", str(folder / "validate")]
    return ["learn", *task, *noise, *folders, "-o", str(output), "--max-iter", "3", *options]


@pytest.fixture(scope="module")
def learned(folder: Path) -> Path:
    """Parameters of smoothed total variation."""
    output = folder / "tv.json"
    assert main([*command(folder, output, "--report", str(folder / "tv.html"))]) == 0
    return output


def decibels(path: Path) -> tuple[float, float]:
    training = read_learned(path).training
    return tuple(float(training[k].split()[0]) for k in ("validation PSNR before", "validation PSNR"))


def test_the_written_files(learned: Path) -> None:
    made = read_learned(learned)
    assert (made.task, made.prior, made.noise, made.channels) == ("denoise", "tv", 0.1, 1)
    assert sorted(made.values) == ["smoothing", "weight"]
    before, after = decibels(learned)
    assert before == pytest.approx(20, abs=0.6)  # noise of 0.1
    assert after > before + 4
    assert learned.with_suffix(".png").stat().st_size > 10_000
    text = (learned.parent / "tv.html").read_text()
    assert "before / dB" in text
    assert "Loss, accuracies" in text


def test_it_is_the_minimum_of_the_validation_loss_on_a_line(folder: Path, tmp_path: Path) -> None:
    """Tikhonov with one number: no nearby weight does better on the images learned from."""
    output = tmp_path / "t.json"
    options = ["--prior", "tikhonov", "--validate", str(folder / "train"), "--seed", "3"]
    arguments = command(folder, output, *options)
    arguments[arguments.index("--max-iter") + 1] = "30"
    place = arguments.index("--validate")
    assert main(arguments[:place] + arguments[place + 2 :]) == 0
    weight = read_learned(output).values["weight"]

    def loss(value: float) -> float:
        # The same noise: drawn from the seed, 0 for training, and the number of the image.
        total = 0.0
        for number in range(2):
            truth = blocks(number).astype(float)
            noise = 0.1 * np.random.default_rng([3, 0, number]).standard_normal(truth.shape)
            fit = wp.LeastSquares(None, truth + noise)
            x = wp.minimize(fit + value * wp.SobolevSeminorm(1.0), tol=1e-9, progress=False).x
            total += 0.5 * float(np.sum((x - truth) ** 2))
        return total

    assert loss(weight) < min(loss(1.15 * weight), loss(weight / 1.15))


def test_the_method_can_be_chosen(folder: Path, learned: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    assert main(command(folder, output, "--method", "maid")) == 0
    methods = [read_learned(path).training["method"] for path in (output, learned)]
    assert methods == ["maid", "quasi-newton"]
    assert decibels(output)[1] == pytest.approx(decibels(learned)[1], abs=1.5)


@pytest.mark.parametrize("prior", ["weighted-tv", "foe", "tikhonov"])
def test_each_prior_denoises(prior: str, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    extra = {"weighted-tv": ("--eta", "0.05"), "foe": ("--filters", "3", "--filter-size", "3")}
    assert main(command(folder, output, "--prior", prior, *extra.get(prior, ()))) == 0
    before, after = decibels(output)
    assert after > before + 1.5
    noisy = blocks(7) + 0.1 * np.random.default_rng(7).standard_normal((SIDE, SIDE))
    tifffile.imwrite(tmp_path / "noisy.tif", noisy.astype(np.float32))
    result = tmp_path / "clean.tif"
    assert main(["denoise", str(tmp_path / "noisy.tif"), "--params", str(output), "-o", str(result)]) == 0
    assert psnr(tifffile.imread(result), blocks(7), data_range=1.0) > 21.5


def test_eta_is_searched_for(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    assert main(command(folder, output, "--prior", "weighted-tv")) == 0
    assert 1e-4 < read_learned(output).values["eta"] < 1


def test_params_are_the_learned_objective(learned: Path, tmp_path: Path) -> None:
    """The written numbers in an objective written down here give the same image."""
    noisy = (blocks(5) + 0.1 * np.random.default_rng(5).standard_normal((SIDE, SIDE))).astype(np.float32)
    tifffile.imwrite(tmp_path / "noisy.tif", noisy)
    output = tmp_path / "clean.tif"
    arguments = ["denoise", str(tmp_path / "noisy.tif"), "--params", str(learned), "-o", str(output)]
    assert main([*arguments, "--tol", "1e-7"]) == 0
    v = json.loads(learned.read_text())["values"]
    expected = wp.minimize(
        wp.LeastSquares(None, noisy.astype(float)) + v["weight"] * wp.SmoothedTotalVariation(v["smoothing"]),
        tol=1e-9,
        progress=False,
    ).x
    np.testing.assert_allclose(tifffile.imread(output), expected, atol=2e-3)


def test_another_noise_is_noted(learned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "noisy.tif", blocks(5))
    arguments = ["denoise", str(tmp_path / "noisy.tif"), "--params", str(learned)]
    assert main([*arguments, "-o", str(tmp_path / "a.tif"), "--noise", "0.1"]) == 0
    assert "learned for noise" not in capsys.readouterr().err
    assert main([*arguments, "-o", str(tmp_path / "b.tif"), "--noise", "0.3"]) == 0
    assert "learned for noise 0.1, and the noise here is 0.3" in capsys.readouterr().err


def test_deblur(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "p.json"
    options = ("--task", "deblur", "--noise", "0.02", "--psf", "gaussian:1")
    assert main(command(folder, output, *options)) == 0
    kernel = wp.operators.Convolution(
        np.outer(*2 * [np.exp(-(np.arange(-3, 4) ** 2) / 2)]) / (2 * math.pi),
        (SIDE, SIDE),
        boundary="reflect",
    )
    blurred = kernel(blocks(6)) + 0.02 * np.random.default_rng(6).standard_normal((SIDE, SIDE))
    tifffile.imwrite(tmp_path / "b.tif", blurred.astype(np.float32))
    result = tmp_path / "sharp.tif"
    arguments = ["deblur", str(tmp_path / "b.tif"), "--params", str(output), "-o", str(result)]
    assert main([*arguments, "--psf", "gaussian:1"]) == 0
    before, after = (psnr(image, blocks(6), data_range=1.0) for image in (blurred, tifffile.imread(result)))
    assert after > before + 1
    capsys.readouterr()
    assert main([*arguments, "--psf", "gaussian:1.5"]) == 0
    assert "learned for the blur gaussian:1, not gaussian:1.5" in capsys.readouterr().err


def test_ct_at_any_scale(folder: Path, tmp_path: Path) -> None:
    """An image with numbers 100 times as large gets 100 times the reconstruction."""
    output = tmp_path / "p.json"
    assert main(command(folder, output, "--task", "ct", "--noise", "0.01", "--views", "20")) == 0
    before, after = decibels(output)
    assert after > before + 1
    angles = np.pi * np.arange(20) / 20
    A = wp.operators.ParallelBeam((SIDE, SIDE), angles, SIDE)
    truth = blocks(8) * (np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]) < 0.9)
    sinogram = A(truth)
    sinogram = sinogram + 0.01 * sinogram.max() * np.random.default_rng(0).standard_normal(sinogram.shape)
    images = []
    for factor in (1, 100):
        scan, result = tmp_path / f"{factor}.npz", tmp_path / f"{factor}.tif"
        np.savez(scan, sinogram=factor * sinogram, angles=angles)
        arguments = ["reconstruct", str(scan), "--params", str(output), "--center", "11.5"]
        assert main([*arguments, "--double", "-o", str(result)]) == 0
        images.append(tifffile.imread(result))
    np.testing.assert_allclose(images[1] / 100, images[0], atol=0.02)
    assert psnr(images[0], truth, data_range=1.0) > psnr(np.asarray(fbp(sinogram, A)), truth, data_range=1.0)


def test_a_run_goes_on_from_its_checkpoint(
    folder: Path, tmp_path: Path, learned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off after three steps, then resumed: the same numbers."""
    from wellposed.solvers.bilevel import run as loop

    class KilledError(Exception):
        pass

    iterate = loop.Run._iterate

    def killed(self: Any) -> None:
        if self.state.iteration == 2:
            self._save(0.0)
            raise KilledError
        iterate(self)

    output = tmp_path / "p.json"
    arguments = [*command(folder, output), "--checkpoint", str(tmp_path / "run")]
    monkeypatch.setattr(loop.Run, "_iterate", killed)
    with pytest.raises(KilledError):
        main(arguments)
    monkeypatch.undo()
    assert not output.exists()
    assert main(arguments) == 2  # not without --resume
    assert main([*arguments, "--resume"]) == 0
    assert read_learned(output).values == read_learned(learned).values
    assert not list(tmp_path.glob("run*"))


def test_colour_is_learned_on_colour(folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "colour"
    for name, seed in (("train", 0), ("validate", 1)):
        (root / name).mkdir(parents=True)
        np.save(root / name / "a.npy", blocks(seed, (SIDE, SIDE, 3)))
    output = tmp_path / "p.json"
    assert main(command(root, output)) == 0
    assert read_learned(output).channels == 3
    result = tmp_path / "c.tif"
    picture = str(root / "train" / "a.npy")
    assert main(["denoise", picture, "--params", str(output), "-o", str(result)]) == 0
    assert tifffile.imread(result).shape == (SIDE, SIDE, 3)
    grey = str(folder / "train" / "0.tif")
    assert main(["denoise", grey, "--params", str(output), "-o", str(result)]) == 2


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--train", "nowhere"), "--train nowhere does not exist; give a folder of images"),
        (("--crop", "25"), "24 x 24 pixels is smaller than --crop 25"),
        (("--crops", "2"), "give their side with --crop"),
        (("--psf", "gaussian:2"), "--psf is for --task deblur"),
        (("--task", "deblur"), "--task deblur needs the blur"),
        (("--task", "deblur", "--psf", "gaussian:9"), "is larger than the image"),
        (("--eta", "0.1"), "--eta is for --prior weighted-tv"),
        (("--filters", "3"), "--filters is for --prior foe"),
        (("--prior", "foe", "--filter-size", "3", "--filters", "9"), "there are up to 8 cosine filters"),
        (("--resume",), "--resume needs --checkpoint"),
        (("--noise", "0"), "--noise"),
        (("--report", "r.pdf"), "suffix .html"),
    ],
)
def test_bad_options(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    arguments = command(folder, tmp_path / "p.json", *options)
    if options[0] == "--train":
        place = arguments.index("--train")
        arguments = arguments[:place] + arguments[place + 2 :]
    assert said in refused(arguments, capsys)
    assert not list(tmp_path.iterdir())


def test_bad_folders(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    (root / "train").mkdir(parents=True)
    (root / "validate").mkdir()
    output = tmp_path / "p.json"
    assert "holds no image" in refused(command(root, output), capsys)
    np.save(root / "train" / "a.npy", np.zeros((4, 20, 20)))
    np.save(root / "validate" / "a.npy", np.zeros((20, 20)))
    assert "learning takes images of two axes" in refused(command(root, output), capsys)
    np.save(root / "train" / "a.npy", np.zeros((4, 20)))
    assert "too small" in refused(command(root, output), capsys)
    np.save(root / "train" / "a.npy", np.zeros((20, 20, 3)))
    assert "add --grey" in refused(command(root, output), capsys)
    assert "suffix .json" in refused(command(folder, tmp_path / "p.txt"), capsys)


def test_params_for_another_task_or_with_a_prior(
    learned: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, output = str(folder / "train" / "0.tif"), ["-o", str(tmp_path / "o.tif")]
    params = ["--params", str(learned)]
    said = refused(["deblur", picture, "--psf", "gaussian:1", *params, *output], capsys)
    assert "were learned for denoise" in said
    assert "leave out --prior" in refused(["denoise", picture, *params, "--weight", "1", *output], capsys)
    assert "does not exist" in refused(["denoise", picture, "--params", "no.json", *output], capsys)


def changed(**entries: Any) -> Any:
    return lambda content: {**content, **entries}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (changed(format="other"), "is no file of parameters"),
        (lambda content: [content], "is no file of parameters"),
        (changed(version=2), "of version 2, this program reads version 1"),
        (changed(prior="tgv"), "prior is 'tgv'"),
        (changed(task=["ct"]), "task is"),
        (changed(channels=True), "channels is True"),
        (changed(noise=-1), "noise holds -1.0"),
        (changed(noise="0.1"), "noise is '0.1', not a number"),
        (changed(values={"weight": 1.0}), "values for weight, smoothing"),
        (changed(values={"weight": 0.0, "smoothing": 0.1}), "weight holds 0.0"),
        (changed(values=None), "values for weight, smoothing"),
        (changed(more=1), "the entries more are unknown"),
        (lambda content: {k: v for k, v in content.items() if k != "ridge"}, "the entries ridge are missing"),
        (changed(setting={"size": 3}), "setting should be a table of texts"),
        (
            changed(prior="foe", values={"filters": [[1.0]], "weights": [1.0], "smoothing": [1.0]}),
            "3 level",
        ),
        (
            changed(prior="foe", values={"filters": [[[1], [1, 2]]], "weights": [1.0], "smoothing": [1.0]}),
            "nested list",
        ),
        (
            changed(prior="foe", values={"filters": [[[1.0]]], "weights": [1.0, 2.0], "smoothing": [1.0]}),
            "equally many",
        ),
    ],
)
def test_damaged_parameters(learned: Path, tmp_path: Path, change: Any, said: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(change(json.loads(learned.read_text()))))
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        read_learned(path)


@pytest.mark.parametrize("text", ["", "{", '{"a": NaN}', "\x00", "[" * 100_000])
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"p\.json"):
        read_learned(path)
