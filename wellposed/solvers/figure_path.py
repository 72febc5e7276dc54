"""The picture behind ``RegularisationPath.plot()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wellposed import arrays

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wellposed.solvers.path_result import RegularisationPath

MOST_LINES = 200


def draw(path: RegularisationPath) -> Figure:
    """The largest coefficients over the values beside the validation loss or the degrees of freedom."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    x = arrays.to_host(path.x).reshape(len(path.points), -1)
    largest = np.argsort(np.abs(x).max(axis=0))[::-1][:MOST_LINES]
    left.plot(path.values, x[:, largest], lw=1)
    left.set(title="coefficients", xlabel=path.parameter, xscale="log")
    left.invert_xaxis()
    _beside(right, path)
    right.set(xlabel=path.parameter, xscale="log")
    right.invert_xaxis()
    return figure


def _beside(axes: Axes, path: RegularisationPath) -> None:
    if path.losses is None:
        axes.plot(path.values, path.df, ".-")
        axes.set(title="degrees of freedom")
        return
    axes.plot(path.values, path.losses, color="0.8", lw=1)
    axes.plot(path.values, path.losses.mean(axis=1), ".-")
    for rule, style in (("cv", "--"), ("cv-1se", ":")):
        value = path.best(rule).value
        axes.axvline(value, color="0.4", ls=style, label=f"{rule}: {value:.3g}")
    axes.set(title="loss of a sample left out")
    axes.legend()
