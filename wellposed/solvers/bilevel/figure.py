"""The picture behind ``Learned.plot()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wellposed.solvers.bilevel.learned import Learned


def draw(learned: Learned) -> Figure:
    """Loss, accuracies and hypergradient over the work."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    rows = learned.history
    work = np.array([r.work for r in rows])
    left.plot(work, [r.loss for r in rows], ".-", label="training")
    validation = np.array([r.validation for r in rows])
    if np.any(np.isfinite(validation)):
        left.plot(work, validation, ".-", label="validation")
    left.set(title="loss", xlabel="iterations per pair")
    left.legend()
    middle.set(title="accuracy", xlabel="iterations per pair")
    for name in ("eps", "delta", "step"):
        series = np.array([getattr(r, name) for r in rows], dtype=float)
        if np.any(series > 0):
            middle.semilogy(work, np.where(series > 0, series, np.nan), ".-", label=name)
    middle.legend()
    right.set(title="hypergradient", xlabel="iterations per pair")
    for name in ("slope", "error"):
        series = np.array([getattr(r, name) for r in rows], dtype=float)
        shown = np.isfinite(series) & (series > 0)
        if np.any(shown):
            right.semilogy(
                work[shown], series[shown], ".-", label={"slope": "norm", "error": "bound of error"}[name]
            )
            right.legend()
    return figure
