"""Adaptive accuracies on images: total variation, and a field of experts."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.experiments._bilevel import SCHEDULES, short, traced
from wellposed.experiments._bilevel_problems import (
    Images,
    experts,
    noisy_images,
    photographs,
    total_variation,
)
from wellposed.experiments._maid_size import Curves, Size
from wellposed.experiments._model import Claim, at_least, at_most
from wellposed.functionals.field_of_experts import FieldOfExperts

# --- denoising by total variation -----------------------------------------------------------------

TV = {"alpha": 0.01, "relax": 1.05, "descent_test": False}
START = float(np.exp(-5))


def tv_curves(images: Images, size: Size) -> Curves:
    """MAID from several accuracies and steps, fixed accuracies, and HOAG."""
    problem, work = total_variation(images, START / 2, START), size.tv_work
    runs: dict[str, dict[str, Any]] = {
        **{f"adaptive {short(eps)}": {**TV, "eps": eps} for eps in size.tv_starts},
        **{f"adaptive, first step {short(a)}": {**TV, "eps": 1e-1, "alpha": a} for a in (1e-4, 1.0)},
        **{f"fixed {short(e)}": {**TV, "eps": e, "adaptive": False} for e in (1e-1, 1e-2, 1e-3)},
    }
    curves = {name: traced(name, problem, "maid", work, **options) for name, options in runs.items()}
    for schedule in SCHEDULES:
        curves[f"HOAG {schedule}"] = traced(schedule, problem, "hoag", work, schedule=schedule)
    return curves


def tv_claims(curves: Curves, images: Images, size: Size) -> tuple[dict[str, float], list[Claim]]:
    """Quality at the end of each run, against a grid and each other."""
    problem = total_variation(images, START / 2, START)
    quality, exact = {}, {}
    for name, curve in curves.items():
        exact[name], (x,) = problem.evaluate(curve.values, 1e-2)
        quality[name] = images.quality(x)
    grid = []
    for a in np.linspace(-4, 0, 9):
        for b in np.linspace(-6, -1, 6):
            values = {"weight": float(np.exp(a)) / 2, "smoothing": float(np.exp(b))}
            grid.append(problem.evaluate(values, 1e-1)[0])
    starts = [name for name in curves if name.startswith("adaptive")]
    goal = 1.01 * min(grid)
    fixed = min((n for n in curves if n.startswith("fixed")), key=lambda n: curves[n].work_to(goal))
    best = curves[fixed].work_to(goal)
    known = [curves[name].work_to(goal) for name in starts]
    each = (
        f"{len(starts)} first accuracies {short(size.tv_starts[0])} to {short(size.tv_starts[-1])} and steps"
    )
    shown = ", ".join(f"{name}: {work:.0f}" for name, work in zip(starts, known, strict=True))
    claims = [
        at_most(
            f"R2: spread of the PSNR (dB) after {size.tv_work:.0f} iterations from {each}",
            max(quality[n] for n in starts) - min(quality[n] for n in starts),
            0.05,
        ),
        at_least("R2: least PSNR (dB) of those", min(quality[n] for n in starts), 30.1),
        at_most(
            "R2: largest loss of those over the best of a grid of 9 x 6",
            max(exact[n] for n in starts) / min(grid),
            1.0,
            f"The grid's best is {min(grid):.4g}, that of the reference 2.706, its limit 2.6964.",
        ),
        at_most(
            "R2: work to within 1 % of the grid, from accuracy 1e0 over the best fixed accuracy",
            curves["adaptive 1e0"].work_to(goal) / best,
            1.0,
            f"{shown}; {fixed}: {best:.0f}.",
        ),
        at_most(
            "R2: work to within 1 % of the grid, worst start over the best fixed accuracy",
            max(known) / best,
            1.0,
            "A first step of 1e-4 has to grow by 10/9 in each iteration; fixed accuracies start from 1e-2.",
        ),
    ]
    return {"grid": min(grid), **{f"PSNR, {n}": q for n, q in quality.items()}}, claims


# --- field of experts -----------------------------------------------------------------------------


def experts_images(size: Size, seed: int) -> tuple[Images, Images]:
    """Those to learn from, and as many others."""
    clean = photographs(size.pixels, 2 * size.images)
    return noisy_images(clean[: size.images], seed), noisy_images(clean[size.images :], seed + 1000)


def experts_curves(size: Size, seed: int) -> tuple[Curves, dict[str, dict[str, float]], list[Claim]]:
    """MAID and HOAG from the same random filters and the same first step; losses and PSNR at the end."""
    train, test = experts_images(size, seed)
    prior = FieldOfExperts.learnable(size.filter_size, size.filters, weights=0.02, smoothing=0.03, rng=seed)
    problem, judge = experts(train, prior), experts(test, prior)
    options = {"alpha": 0.01, "relax": 1.05, "descent_test": False}
    work = size.experts_work
    curves = {"MAID": traced("MAID", problem, "maid", work, **options, eps=1e-1)}
    for schedule in SCHEDULES:
        name = f"HOAG {schedule}"
        curves[name] = traced(name, problem, "hoag", work, schedule=schedule, lipschitz=100.0)
    ends = {}
    for name, curve in curves.items():
        loss, _ = problem.evaluate(curve.values, 1e-2)
        ends[name] = {"loss": loss, "PSNR": test.quality(judge.evaluate(curve.values, 1e-2)[1])}
    hoag = [ends[f"HOAG {s}"] for s in SCHEDULES]
    shown = ", ".join(f"{name} {e['loss']:.4g} and {e['PSNR']:.2f} dB" for name, e in ends.items())
    where = f"work {short(work)} for each image, same first step"
    claims = [
        at_most(
            f"R4: loss of MAID over the best HOAG, {where}",
            ends["MAID"]["loss"] / min(e["loss"] for e in hoag),
            1.0,
            f"{shown}.",
        ),
        at_least(
            "R4: PSNR (dB) of other images, MAID minus the best HOAG",
            ends["MAID"]["PSNR"] - max(e["PSNR"] for e in hoag),
            0.0,
        ),
    ]
    return curves, ends, claims
