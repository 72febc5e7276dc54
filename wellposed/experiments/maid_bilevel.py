r"""Learning with adaptive accuracies (MAID) against fixed accuracies and HOAG.

M. S. Salehi, S. Mukherjee, L. Roberts and M. J. Ehrhardt, An adaptively inexact first-order method for
bilevel optimization with application to hyperparameter learning, SIAM J. Math. Data Sci. 7(3) (2025). The
quadratic problem, denoising by smoothed total variation, multinomial regression and denoising by a field of
experts. Work is iterations of lower levels and of linear systems, those of refused steps included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments import _maid_theory as theory
from wellposed.experiments._bilevel import SCHEDULES, Curve, short, traced
from wellposed.experiments._bilevel_problems import cameraman, digits
from wellposed.experiments._maid_images import experts_curves, tv_claims, tv_curves
from wellposed.experiments._maid_quadratic import LEVELS, quadratic_claims, quadratic_curves, seeds_claim
from wellposed.experiments._maid_size import FULL, SMALL, Curves, Size
from wellposed.experiments._model import Claim, Experiment, Report, at_most

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# --- classification -------------------------------------------------------------------------------


def digits_curves(size: Size) -> Curves:
    """MAID and HOAG on multinomial regression."""
    problem, work = digits(), size.digits_work
    slope = problem.slope({"ridge": problem.lower.parameters[0].value}, 1e-3)
    # The first step of HOAG, of length sqrt(p), as in the paper.
    alpha = float(np.sqrt(slope.size) / np.linalg.norm(slope))
    first = {"alpha": alpha, "shrink": 0.9, "relax": 1.05, "descent_test": False}
    curves = {
        f"adaptive {short(eps)}": traced("", problem, "maid", work, **first, eps=eps) for eps in (1e-1, 1e-3)
    }
    for schedule in SCHEDULES:
        curves[f"HOAG {schedule}"] = traced(schedule, problem, "hoag", work, schedule=schedule)
    return curves


def digits_claims(curves: Curves, work: float) -> Iterator[Claim]:
    """MAID decreases, and is not far from HOAG."""
    maid = [name for name in curves if name.startswith("adaptive")]
    rises = sum(int(np.sum(np.diff(curves[name].loss) > 0)) for name in maid)
    yield at_most("R3: steps of MAID at which the loss rises", rises, 0)
    losses = {name: curve.at(work) for name, curve in curves.items()}
    best = min(losses[f"HOAG {s}"] for s in SCHEDULES)
    yield at_most(
        f"R3: loss of MAID over the best HOAG, worst start, work {short(work)}",
        max(losses[name] for name in maid) / best,
        1.5,
        f"{', '.join(f'{name} {loss:.4f}' for name, loss in losses.items())}.",
    )


# --- all of it ------------------------------------------------------------------------------------


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first quadratic problem, and of the noise of the images.

    Returns
    -------
    Report
    """
    images = cameraman(seed, size.tv_pixels)
    first = quadratic_curves(size, seed)
    second = tv_curves(images, size)
    third = digits_curves(size)
    fourth, ends, last = experts_curves(size, seed)
    tv_numbers, of_tv = tv_claims(second, images, size)
    claims = (
        *quadratic_claims(first, size, seed),
        seeds_claim(size, seed),
        *of_tv,
        *digits_claims(third, size.digits_work),
        *last,
        *theory.bounds(seed, size.bound_seeds),
        theory.decrease(seed, 3e3)[1],
        theory.vanishing_slope(seed),
        *theory.differences(seed),
    )
    groups = {"quadratic": first, "TV": second, "digits": third, "experts": fourth}
    numbers = {
        **{group: {name: summary(c) for name, c in curves.items()} for group, curves in groups.items()},
        "TV, in the end": tv_numbers,
        "experts, in the end": ends,
    }
    return Report(claims, draw(first, second, third, fourth), asdict(size), numbers)


def summary(curve: Curve) -> dict[str, Any]:
    """Losses at a few levels of work, and how the run ended; ``None`` before its first step."""
    levels = [level for level in LEVELS if level < curve.work[-1]] + [float(curve.work[-1])]
    losses = {f"{level:.0f}": curve.at(level) for level in levels}
    return {
        "loss": {level: loss if np.isfinite(loss) else None for level, loss in losses.items()},
        "steps": len(curve.loss) - 1,
        "status": curve.status,
        "seconds": round(curve.seconds, 3),
    }


def draw(first: Curves, second: Curves, third: Curves, fourth: Curves) -> Figure:
    """Loss against work for each problem, and the accuracies of the last."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 8.5), layout="constrained")
    axes = figure.subplots(2, 3)
    steps = {n: c for n, c in first.items() if n == "adaptive 1e-1" or "step" in n or "gradient" in n}
    starts = {n: c for n, c in first.items() if n == "adaptive 1e-1" or n not in steps}
    for ax, title, curves in (
        (axes[0, 0], "quadratic problem", starts),
        (axes[0, 1], "quadratic problem: first steps", steps),
        (axes[0, 2], "total variation", second),
        (axes[1, 0], "digits", third),
        (axes[1, 1], "field of experts", fourth),
    ):
        for (name, curve), style in zip(curves.items(), styles(curves), strict=True):
            ax.loglog(np.maximum(curve.work, 1), curve.loss, label=name, **style)
        ax.set(title=title, xlabel="lower-level and linear iterations", ylabel="upper loss")
        ax.legend(fontsize=7, loc="lower left")
    last = axes[1, 2]
    for (name, curve), style in zip(fourth.items(), styles(fourth), strict=True):
        last.loglog(np.arange(1, len(curve.eps)), curve.eps[1:], label=name, **style)
    last.set(title="field of experts: accuracy of the lower level", xlabel="upper iterations", ylabel="eps")
    last.legend(fontsize=7, loc="lower left")
    return figure


def styles(names: Iterable[str]) -> list[dict[str, Any]]:
    """Solid lines for MAID, dashed ones for fixed accuracies, dotted ones for HOAG, each with its colours."""
    from matplotlib import colormaps

    kinds = {"-": "winter", "--": "autumn", ":": "copper"}
    chosen = ["--" if n.startswith("fixed") else ":" if n.startswith("HOAG") else "-" for n in names]
    seen = dict.fromkeys(kinds, 0)
    found = []
    for kind in chosen:
        share = seen[kind] / max(chosen.count(kind) - 1, 1)
        seen[kind] += 1
        found.append({"ls": kind, "color": colormaps[kinds[kind]](0.9 * share), "lw": 1.4})
    return found


EXPERIMENT = Experiment(
    "Bilevel learning with adaptive accuracies (MAID) against fixed ones and HOAG",
    "Salehi, Mukherjee, Roberts, Ehrhardt, SIAM J. Math. Data Sci. 7(3) (2025), arXiv 2308.10098",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
