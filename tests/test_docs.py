"""The documentation runs and tells the truth: its blocks of code, what they print, its scripts, its links."""

import contextlib
import importlib
import inspect
import io
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import wellposed as wp
from wellposed.app.cli import app

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]\d+)?")
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
SCRIPTS = sorted(p for p in ROOT.glob("docs/examples/*.py") if p.name != "pictures.py")


def blocks(page):
    """Line, code, and what the page says that the code prints (or None) of each block."""
    text = (ROOT / page).read_text()
    return [(text[: m.start()].count("\n") + 2, *m.groups()) for m in BLOCK.finditer(text)]


def without_numbers(text):
    return NUMBER.sub("#", text).split()


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/tutorial.md",
        "docs/multiscale.md",
        "docs/transport.md",
        "docs/sparse-regression-papers.md",
        "docs/sparse-regression.md",
    ],
)
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page):
    names = {"__name__": "page"}
    found = blocks(page)
    assert found
    for line, code, said in found:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + code, page, "exec"), names)
        if said is not None:
            assert without_numbers(printed.getvalue()) == without_numbers(said), f"{page}, line {line}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_a_script_of_the_gallery_runs_and_draws_its_picture(script, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
    monkeypatch.syspath_prepend(str(script.parent))
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        runpy.run_path(str(script), run_name="__main__")
    assert "converged" in printed.getvalue()
    with (
        Image.open(tmp_path / f"{script.stem}.png") as made,
        Image.open(ROOT / "docs" / "images" / f"{script.stem}.png") as kept,
    ):
        assert made.size == kept.size
        assert np.asarray(made.convert("L")).std() > 20
    assert (ROOT / "docs" / "images" / f"{script.stem}.png").stat().st_size < 200_000


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    local = [t for t in targets if not t.startswith("http")]
    assert not [t for t in local if not (page.parent / t).exists()]


def test_every_option_of_the_command_line_is_documented():
    text = (ROOT / "docs" / "command-line.md").read_text()
    for command in ("reconstruct", "denoise", "deblur", "learn", "info", "demo"):
        options = {
            name
            for argument in app[command].assemble_argument_collection()
            for name in argument.names
            if name.startswith("--") and not name.startswith("--help")
        }
        assert options or command == "info"
        assert not [name for name in sorted(options) if f"`{name}`" not in text], command


@pytest.mark.parametrize("module", ["transport", "multitask", "sklearn", "operators", "testing", "problems"])
def test_the_reference_has_every_public_name_of(module):
    names = runpy.run_path(str(ROOT / "docs" / "reference_names.py"))
    home = getattr(wp, module)
    marks = names["MARK"].findall((ROOT / "docs" / "reference.md").read_text())
    listed = {name for mark in marks if mark[0] == home.__name__ for name in names["public"](*mark)}
    public = {name for name in home.__all__ if not inspect.ismodule(getattr(home, name))}
    assert {name.rsplit(".", 1)[1] for name in listed} >= public
    for name in listed:
        where, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(where), last)


def test_conventions():
    x = np.array([3.0, 4.0])
    assert wp.SquaredL2()(x) == 12.5
    assert wp.ElasticNet(1.0, 2.0)(x) == 32.0
    assert wp.HuberLoss(None, 0 * x, 2.0)(x) == 10.0
    assert wp.KullbackLeibler(None, x)(x) == 0.0
    assert wp.L1().prox(x, 1.0).tolist() == (0.5 * wp.L1()).prox(x, 2.0).tolist() == [2.0, 3.0]
    A = wp.operators.ParallelBeam((9, 9), [0.0, np.pi / 2], n_detectors=9)
    image = np.zeros((9, 9))
    image[2, 7] = 1.0  # x = 3, y = 2
    assert A(image).argmax(axis=1).tolist() == [7, 6]
    axis = 3.0
    shifted = wp.operators.ParallelBeam((9, 9), [0.0], n_detectors=9, center_offset=(9 - 1) / 2 - axis)
    middle = np.zeros((9, 9))
    middle[4, 4] = 1.0
    assert shifted(middle)[0].argmax() == axis
    fan = wp.operators.FanBeam((9, 9), [0.3], 20.0, 10.0, n_detectors=9)
    points, directions = fan.rays()
    assert points[0, 4] == pytest.approx([20 * np.sin(0.3), -20 * np.cos(0.3)])
    assert directions[0, 4] == pytest.approx([-np.sin(0.3), np.cos(0.3)])
    unit = np.array([0.0, 0.0, 1.0, 0.0, 0.0])
    kernel = wp.operators.Convolution(np.array([1.0, 2.0, 3.0]), (5,), boundary="zero")
    assert kernel(unit) == pytest.approx([0.0, 1.0, 2.0, 3.0, 0.0])


def test_the_dual_of_total_variation_has_the_length_of_its_weight(rng):
    b = rng.random((16, 16))
    result = wp.minimize(wp.LeastSquares(None, b) + 0.1 * wp.TotalVariation(), tol=1e-8)
    (q,) = result.dual
    assert 0.0999 < np.sqrt((q**2).sum(axis=0)).max() <= 0.1 * (1 + 1e-12)
    assert np.abs(result.x - b + wp.operators.Gradient((16, 16)).T(q)).max() < 1e-3
