"""Sparsity-constrained optimal transport: values of the relaxation, sparsity, errors of sums, smoothness.

T. Liu, J. Puigcerver and M. Blondel, Sparsity-constrained optimal transport, ICLR 2023, arXiv 2209.15466.
Histograms of 32 bins, and the colours of two photographs. Reference values of the relaxation were computed
with a cone solver.
"""

from __future__ import annotations

import itertools
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.problems.transport import colour_transfer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = {1: 0.066332, 2: 0.052496, 3: 0.048278, 4: 0.046594, 6: 0.045783, 8: 0.045770}
"""Minimum of the relaxation for the histograms with ``reg = 1``, by ``k``."""

QUADRATIC = 0.045770


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    colours: int
    max_iter: int


SMALL = Size(colours=16, max_iter=2000)
FULL = Size(colours=128, max_iter=10_000)


def histograms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Costs and two Gaussian histograms of 32 bins."""
    x = np.arange(32.0)
    a, b = np.exp(-((x - 10) ** 2) / 32), np.exp(-((x - 16) ** 2) / 50)
    cost = (x[:, None] - x) ** 2
    return cost / cost.max(), a / a.sum(), b / b.sum()


def solve(problem: Any, reg: float, k: int, size: Size) -> wp.transport.TransportResult:
    """One plan; runs that stop early tell by their gap."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        return wp.transport.sparsity_constrained(*problem, reg=reg, k=k, max_iter=size.max_iter)


def entries(plan: np.ndarray) -> int:
    """The largest number of entries of a column."""
    return int((plan > 0).sum(axis=0).max())


def relaxation(size: Size) -> tuple[dict[int, wp.transport.TransportResult], list[Claim]]:
    """Values, sparsity and errors for one pair of histograms."""
    problem = histograms()
    results = {k: solve(problem, 1.0, k, size) for k in REFERENCE}
    exact, b = wp.transport.exact(*problem), problem[2]
    worst = max(
        max(r.certificate.primal - REFERENCE[k], REFERENCE[k] - r.certificate.lower_bound)
        for k, r in results.items()
    )
    values = [r.value for r in results.values()]
    errors = [r.marginal_errors[0] for r in results.values()]
    shown = " ".join(f"{e:.2g}" for e in errors)
    falling = all(x >= y - 1e-5 for x, y in itertools.pairwise(values))
    return results, [
        at_most("distance of value and bound to the reference, k = 1, 2, 3, 4, 6, 8", worst, 1e-5),
        at_most(
            "value for k = 1 minus exact transport plus half the squared norm of b, absolute",
            abs(results[1].value - exact.value - 0.5 * float(b @ b)),
            1e-9,
        ),
        Claim("value as k grows", "does not rise", " ".join(f"{v:.5f}" for v in values), falling),
        at_most("value for k = 8 minus that of quadratic transport", abs(values[-1] - QUADRATIC), 1e-5),
        Claim(
            "entries of each column",
            "at most k",
            " ".join(str(entries(r.plan)) for r in results.values()),
            all(entries(r.plan) <= k for k, r in results.items()),
        ),
        at_most("error of the sums of columns", max(r.marginal_errors[1] for r in results.values()), 1e-12),
        Claim(
            "error of the sums of rows as k grows",
            "falls",
            shown,
            all(x > y for x, y in itertools.pairwise(errors)),
            "Inherent for small k: the maximum of the dual is at a kink, no plan with k entries need exist.",
        ),
        at_least(
            "Newton steps for k = 3 over those for k = 8 (the dual is smoother for larger k)",
            results[3].iterations / max(results[8].iterations, 1),
            1.0,
        ),
    ]


def colour_plans(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """Colours of two photographs, two entries for each colour."""
    images = colour_transfer(size.colours, seed=seed)
    problem = (images.cost, images.shares, images.reference_shares)
    exact, ours = wp.transport.exact(*problem), solve(problem, 1.0, 2, size)
    linear = float(np.sum(images.cost * ours.plan))
    share = float(np.mean(ours.plan > 0))
    pictures = {
        "image": images.image,
        "exact": images.recoloured(exact.barycentric(images.reference_colours)),
    }
    moved = ours.plan @ images.reference_colours / np.maximum(ours.plan.sum(axis=1), 1e-12)[:, None]
    empty = ours.plan.sum(axis=1) < 1e-12
    pictures["k = 2"] = images.recoloured(np.where(empty[:, None], images.colours, moved))
    return {"cost": linear, "exact": exact.value, "share": share, "pictures": pictures}, [
        at_most(f"share of entries, {size.colours} colours, k = 2", share, 2 / size.colours),
        at_most(
            "cost of the plan over exact transport, k = 2",
            linear / exact.value,
            1.25,
            "The plan's row sums err, so it can also be cheaper than the exact plan.",
        ),
    ]


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the palettes.

    Returns
    -------
    Report
    """
    results, relaxed = relaxation(size)
    coloured, cheap = colour_plans(size, seed)
    numbers = {
        "values": {str(k): r.value for k, r in results.items()},
        "bounds": {str(k): r.certificate.lower_bound for k, r in results.items()},
        "row errors": {str(k): r.marginal_errors[0] for k, r in results.items()},
        "colours": {name: v for name, v in coloured.items() if name != "pictures"},
    }
    return Report((*relaxed, *cheap), draw(results, coloured["pictures"]), asdict(size), numbers)


def draw(results: dict[int, Any], pictures: dict[str, np.ndarray]) -> Figure:
    """Plans for three ``k``, and the photograph with the colours of the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots(2, 3).reshape(-1)
    for ax, k in zip(axes, (1, 2, 8), strict=False):
        ax.imshow(results[k].plan, cmap="gray_r")
        ax.set(title=f"k = {k}", xlabel="target", ylabel="source")
    for ax, (name, picture) in zip(axes[3:], pictures.items(), strict=True):
        ax.imshow(picture)
        ax.set_axis_off()
        ax.set_title(name)
    return figure


EXPERIMENT = Experiment(
    "Optimal transport with at most k entries per column",
    "Liu, Puigcerver, Blondel, ICLR 2023, arXiv 2209.15466",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
