"""The picture behind ``Result.plot()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wellposed import arrays

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wellposed.solvers.result import Result


def draw(result: Result) -> Figure:
    """Solution (image or curve) beside the objective and the relative certificate over iterations."""
    from matplotlib.figure import Figure

    x = arrays.to_host(result.x)
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    if x.ndim >= 2:
        colour = x.ndim == 3 and x.shape[-1] in (3, 4)
        image = x if colour else x[tuple(n // 2 for n in x.shape[:-2])]
        left.imshow(np.clip(image, 0, 1) if image.ndim == 3 else image, cmap="gray")
        left.set_axis_off()
    else:
        left.plot(x.reshape(-1), lw=1)
    left.set_title("solution")
    iterations = [record.iteration for record in result.history]
    middle.plot(iterations, [record.objective for record in result.history], ".-")
    middle.set(title="objective", xlabel="iteration")
    relative = [record.certificate.relative for record in result.history]
    right.semilogy(iterations, np.maximum(relative, 1e-17), ".-")
    right.axhline(result.plan.tol, color="0.6", ls="--", label=f"tol {result.plan.tol:g}")
    right.set(title=f"relative {result.certificate.kind}", xlabel="iteration")
    right.legend()
    return figure
