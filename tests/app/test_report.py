"""The report: self-contained, escaped, complete."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from wellposed.app.report import Report, certificate_sentence, render, versions, write_report

IMAGE = np.random.default_rng(0).random((20, 24))
REPORT = Report(
    title="Reconstruction of <b>tooth</b>.h5",
    summary="within 0.1 % of the best",
    good=True,
    images={"FBP": IMAGE, "TV & non-negative": IMAGE / 2},
    command="wellposed reconstruct 'a <script>.h5' --views 45",
    plan="minimise  1/2 ||A x - b||^2\n  solver: primal-dual",
    history=[{"iteration": 1, "seconds": 0.1, "objective": 2.0, "certificate": 0.1}],
    tol=1e-3,
    sinogram=IMAGE,
    angles=np.linspace(0, 3, 20),
    center=11.5,
    notes=["<script>alert(1)</script>"],
    outcome={"status": "converged"},
    provenance={"sha256": "ab" * 32},
    settings={"views": "45"},
    timings={"read": 0.25, "solve": 1.5},
    metrics={"FBP": {"PSNR / dB": 21.34}, "TV": {"PSNR / dB": np.inf, "SSIM": 0.98765}},
    reference="the full scan",
)


class _Page(HTMLParser):
    """Collects tags, and checks that they close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parse(text: str) -> _Page:
    page = _Page()
    page.feed(text)
    assert not page.open
    return page


def test_the_page_is_self_contained_and_escaped() -> None:
    text = render(REPORT)
    page = parse(text)
    for tag, attributes in page.tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert "url(" not in text
    assert "&lt;b&gt;tooth&lt;/b&gt;" in text
    assert sum(tag == "img" for tag, _ in page.tags) == 4


def test_everything_is_shown() -> None:
    text = render(REPORT)
    for piece in (
        REPORT.summary, "solver: primal-dual", "converged", "ab" * 32, "--views 45", "1.75 s", "21.34", "∞",
        "0.9877", "Compared with the full scan", f"wellposed {versions()['wellposed']}", versions()["numpy"],
    ):  # fmt: skip
        assert piece in text
    assert 'class="summary good"' in text
    assert 'class="summary"' in render(replace(REPORT, good=False))


def test_empty_parts_are_left_out() -> None:
    text = render(Report("Title", "Summary.", False, {"image": IMAGE}, "wellposed denoise a.png"))
    parse(text)
    for heading in (
        "Quality",
        "Plan",
        "Please note",
        "Convergence",
        "Origin",
        "All settings",
        "Time",
        "Data",
    ):
        assert f"<h2>{heading}" not in text


def test_write_report(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", REPORT)
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]


def test_certificate_sentence() -> None:
    def sentence(kind: str, relative: float, *, finished: bool = True) -> str:
        return certificate_sentence("It", kind, relative, 1e-3, iterations=3, seconds=0.5, finished=finished)

    assert sentence("duality gap", 5e-4).startswith(
        "It has an objective at most 0.05 % above the best possible, proven by"
    )
    assert sentence("duality gap", 5e-2).endswith("the tolerance was not reached.")
    assert "proven by its strong convexity" in sentence("strong convexity", 5e-4)
    assert "no bound" in sentence("fixed-point residual", 5e-4)
    assert "best possible" not in sentence("fixed-point residual", 5e-4)
    assert sentence("duality gap", 5e-4, finished=False).startswith("Stopped early: It")
    assert "without a certificate" in sentence("duality gap", np.nan)


@pytest.mark.parametrize("images", [{"v": np.zeros((3, 5, 6))}, {"c": np.zeros((5, 6, 3))}])
def test_volumes_and_colour(images: dict[str, np.ndarray]) -> None:
    parse(render(replace(REPORT, images=images)))
