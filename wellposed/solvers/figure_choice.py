"""The picture behind ``Choice.plot()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wellposed.solvers.selection import Choice


def draw(choice: Choice) -> Figure:
    """The criterion over the weights beside the residual against the regulariser."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    weights = np.array([r.value for r in choice.curve])
    criteria = np.array([r.criterion for r in choice.curve])
    shown = np.isfinite(criteria)
    left.semilogx(weights[shown], criteria[shown], ".-")
    left.axvline(choice.value, color="0.6", ls="--", label=f"chosen: {choice.value:.3g}")
    if choice.rule == "discrepancy":
        left.axhline(0.0, color="0.6", lw=0.8)
    left.set(title=choice.rule, xlabel="weight", ylabel="criterion")
    left.legend()
    right.plot([r.residual for r in choice.curve], [r.penalty for r in choice.curve], ".-")
    right.set(title="residual and regulariser", xlabel="root mean square of the residual", ylabel="penalty")
    right.set(xscale="log", yscale="log")
    return figure
