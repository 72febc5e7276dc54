"""The picture and the page of ``wellposed learn``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.files import atomic_path
from wellposed.app.learn_data import Example
from wellposed.app.learned_file import LearnedFile
from wellposed.app.report import Report, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wellposed.solvers.bilevel.learned import Learned

__all__ = ["Made", "draw", "write_page", "write_picture"]


@dataclass(frozen=True)
class Made:
    """What came out.

    Attributes
    ----------
    learned : LearnedFile
    run : Learned
        The last stage.
    held : tuple of Example
        Validation images.
    before, after : mapping
        Name to image without a prior, and with the learned one.
    scores : mapping
        Name to PSNR before and after.
    summary, command : str
    stopped : bool
    """

    learned: LearnedFile
    run: Learned
    held: tuple[Example, ...]
    before: Mapping[str, NDArray[Any]]
    after: Mapping[str, NDArray[Any]]
    scores: Mapping[str, tuple[float, float]]
    summary: str
    command: str
    stopped: bool

    @property
    def example(self) -> Example:
        """The validation image whose gain is the median."""
        order = sorted(self.held, key=lambda e: self.scores[e.name][1] - self.scores[e.name][0])
        return order[len(order) // 2]

    @property
    def panels(self) -> dict[str, NDArray[Any]]:
        """Title to image of the example."""
        e = self.example
        first, last = self.scores[e.name]
        given = "filtered back-projection" if self.learned.task == "ct" else "data"
        return {
            f"{given}, {first:.2f} dB": self.before[e.name],
            "truth": e.truth,
            f"{self.learned.prior}, {last:.2f} dB": self.after[e.name],
        }


def draw(made: Made) -> Figure:
    """Loss over the work, and an example."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, *others = figure.subplots(1, 4, width_ratios=[1.35, 1, 1, 1])
    rows = made.run.history
    work = [row.work for row in rows]
    left.plot(work, [row.loss for row in rows], ".-", label="training")
    left.plot(work, [row.validation for row in rows], ".-", label="validation")
    left.set(title="loss", xlabel="iterations per image")
    left.legend(frameon=False)
    panels = made.panels
    low, high = (float(v) for v in np.percentile(panels["truth"], (0, 100)))
    for axis, (title, image) in zip(others, panels.items(), strict=True):
        if image.ndim == 3:
            axis.imshow(np.clip(image, 0, 1))
        else:
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=10)
        axis.set_axis_off()
    return figure


def write_picture(path: Path, made: Made) -> None:
    """Write the figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        draw(made).savefig(temporary, dpi=110, metadata={"Software": None})


def write_page(path: Path, made: Made, settings: Mapping[str, str]) -> None:
    """Write the HTML report."""
    from wellposed.solvers.bilevel.figure import draw as draw_run

    truth = made.example.truth
    shown = {
        name: f"{value:.6g}" if isinstance(value, float) else f"{len(value)}"
        for name, value in made.learned.values.items()
    }
    write_report(
        path,
        Report(
            title=f"Learned parameters: {made.learned.prior}, {made.learned.task}",
            summary=made.summary,
            good=not made.stopped,
            images=made.panels,
            command=made.command,
            window=(float(truth.min()), float(truth.max())),
            notes=["interrupted by Ctrl-C: the best parameters so far"] if made.stopped else [],
            outcome=shown | {k: v for k, v in made.learned.training.items() if k != "command"},
            settings=settings,
            metrics={
                name: {"before / dB": first, "after / dB": last}
                for name, (first, last) in made.scores.items()
            },
            reference="the true validation images (PSNR)",
            figures={"Loss, accuracies and hypergradient of the last run over its work.": draw_run(made.run)},
        ),
    )
