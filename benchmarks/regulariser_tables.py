"""Tables and the picture of what `benchmarks.imaging_regularisers` measured."""

from __future__ import annotations

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

PSI = ("FBP", "Tik", "TV of the paper", "TV")
TITLES = {"best": "At the best weight", "auto": "At the weight chosen automatically"}
DONE = ("converged", "stationary", "direct")

PHANTOMS = ("Shepp-Logan", "ellipses")
"""Images that are constant on regions."""

MARK = "<!-- measured -->"

Row = dict[str, Any]


def pairs() -> list[tuple[str, str]]:
    """What is compared: the plainer method first."""
    return [("TV", "weighted TV"), *((psi, f"La+{psi}") for psi in PSI)]


def cell(row: Row, how: str, name: str) -> str:
    """PSNR and SSIM of a method; a star if its solve ended before its tolerance."""
    score = row[how].get(name)
    if score is None:
        return ""
    star = "" if score["status"] in DONE else "*"
    return f"{score['psnr']:.2f}{star} {score['ssim']:.3f}".replace(" 0.", " .")


def noise(row: Row) -> str:
    """Of a scan, in words."""
    return "measured" if row["noise"] is None else f"{row['noise']:.0%}"


def compared(rows: list[Row], how: str, names: list[str]) -> list[str]:
    """A table with a line for each scan and a column for each method, the best PSNR in bold."""
    lines = [f"| image | views | noise | {' | '.join(names)} |", "|---|---|---|" + "---|" * len(names)]
    for row in rows:
        values = [row[how].get(name, {"psnr": -np.inf})["psnr"] for name in names]
        cells = [cell(row, how, name) for name in names]
        cells = [f"**{c}**" if v == max(values) else c for c, v in zip(cells, values, strict=True)]
        lines.append(f"| {row['image']} | {row['views']} | {noise(row)} | {' | '.join(cells)} |")
    return lines


def summary(rows: list[Row]) -> list[str]:
    """How often the second of each pair wins, and by how much, for phantoms and for the other images."""
    groups = {
        "phantoms": [row for row in rows if row["image"] in PHANTOMS],
        "others": [row for row in rows if row["image"] not in PHANTOMS],
    }
    lines = [
        "| pair | weight | images | wins, PSNR | median gain (dB) | from, to | wins, SSIM | median gain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for plain, other in pairs():
        for how, (kind, group) in itertools.product(TITLES, groups.items()):
            both = [(row[how][plain], row[how][other]) for row in group if other in row[how]]
            if not both:
                continue
            gains = np.array([[y[k] - x[k] for k in ("psnr", "ssim")] for x, y in both])
            wins, middle = (gains > 0).sum(axis=0), np.median(gains, axis=0)
            lines.append(
                f"| {other} against {plain} | {how} | {kind} | {wins[0]} of {len(both)} | {middle[0]:+.2f} "
                f"| {gains[:, 0].min():+.2f}, {gains[:, 0].max():+.2f} "
                f"| {wins[1]} of {len(both)} | {middle[1]:+.3f} |"
            )
    return lines


def losses(rows: list[Row]) -> list[str]:
    """PSNR at the best weight minus that at the chosen one."""
    names = [name for pair in pairs() for name in pair]
    names = [*dict.fromkeys(names), "La+TV, noise estimated"]
    lines = ["| method | median loss (dB) | largest loss (dB) |", "|---|---|---|"]
    for name in names[:]:
        best = name.removesuffix(", noise estimated")
        both = [(row["best"][best], row["auto"][name]) for row in rows if name in row["auto"]]
        if name != "FBP" and both:
            loss = [x["psnr"] - y["psnr"] for x, y in both]
            lines.append(f"| {name} | {np.median(loss):.2f} | {max(loss):.2f} |")
    return lines


def with_best_of_all(row: Row) -> Row:
    """The row with the chosen weight among those that the best is taken from."""
    found = {}
    for name, score in row["best"].items():
        chosen = row["auto"].get(name, score)
        found[name] = chosen if chosen["psnr"] > score["psnr"] and chosen["weight"] else score
    return row | {"best": found}


def text(rows: list[Row]) -> str:
    """All tables."""
    rows = [with_best_of_all(row) for row in rows]
    columns = {
        "best": [*PSI, *(f"La+{psi}" for psi in PSI), "weighted TV"],
        "auto": [*PSI, *(f"La+{psi}" for psi in PSI), "La+TV, noise estimated", "weighted TV"],
    }
    parts = ["## Who wins", "", *summary(rows), ""]
    for how, title in TITLES.items():
        parts += [f"## {title}", "", *compared(rows, how, columns[how]), ""]
    parts += ["## What the choice of the weight costs", "", *losses(rows), ""]
    seconds = np.median([row["seconds"] for row in rows])
    return "\n".join([*parts, f"{len(rows)} scans, {seconds:.0f} s of processor time each (median)."])


def write(rows: list[Row], page: Path) -> None:
    """Put the tables after the mark in a page of the manual."""
    before, mark, _ = page.read_text().partition(MARK)
    if not mark:
        raise ValueError(f"{page} has no line {MARK!r}")
    page.write_text(f"{before}{mark}\n\n{text(rows)}\n")


PICTURES = {
    "ellipses-45-views-3pc": "ellipses, 3 %",
    "tooth-slice-45-views-3pc": "tooth slice, 3 %",
    "camera-45-views-3pc": "camera, 3 %",
    "measured-scan-45-views": "measured, 45 views",
}
COLUMNS = ("truth", "FBP", "auto TV", "auto weighted TV", "auto La+FBP", "auto La+TV")


def picture(results: Path, target: Path) -> None:
    """Some of the images, a row for each scan."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    found = [name for name in PICTURES if (results / f"{name}.json").exists()]
    figure, axes = plt.subplots(
        len(found), len(COLUMNS), figsize=(2 * len(COLUMNS), 2.15 * len(found)), squeeze=False
    )
    for line, name in zip(axes, found, strict=True):
        images, row = np.load(results / f"{name}.npz"), json.loads((results / f"{name}.json").read_text())
        for axis, key in zip(line, COLUMNS, strict=True):
            axis.imshow(np.clip(images[key].astype(float), 0, 1), cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            if key == "truth":
                title = PICTURES[name]
            else:
                label = key.removeprefix("auto ")
                title = f"{label}: {row['auto'][label]['psnr']:.1f} dB"
            axis.set_title(title, fontsize=8)
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.96, 0.02, 0.12)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    plt.close(figure)
    Image.open(buffer).convert("RGB").quantize(256).save(target, optimize=True)
    print(f"wrote {target}")
