r"""Weighted total variation for few-view tomography, with weights from a reference image.

E. Morotti, D. Evangelista, A. Sebastiani and E. Loli Piccolomini, Adaptive weighted total variation
boosted by learning techniques in few-view tomographic imaging, arXiv 2501.09845 (2025). Random phantoms of
ellipses and small discs, parallel beam, white noise of a given share of the norm of the data; each method
at the weight of a grid that is best for it, as the truth is known. Errors are relative:
:math:`\|x - x_0\| / \|x_0\|`.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.functionals._base import Functional
from wellposed.functionals.adaptive_weights import tv_weights_from
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.indicators import NonNegative
from wellposed.functionals.tv import TotalVariation
from wellposed.operators.tomography import ParallelBeam, fbp
from wellposed.problems.metrics import relative_error
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import ConvergenceWarning, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARP = (2e-3, 0.1)
"""``eta`` and ``p`` of the group's programs."""

SOFT = (2e-2, 0.5)
"""Gentler ones, for a reference that is not to be trusted."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    pixels: int
    views: int
    phantoms: int
    levels: tuple[float, ...] = (0.005, 0.02)
    vanishing: tuple[float, ...] = (0.08, 0.04, 0.02, 0.01, 0.005, 0.0025, 0.00125)
    reweightings: int = 3
    changes: tuple[float, ...] = (1e-1, 1e-2, 1e-3)
    tol: float = 1e-3


SMALL = Size(pixels=64, views=20, phantoms=3)
FULL = Size(pixels=256, views=60, phantoms=5, reweightings=5)
"""The size of the images and the number of views in the group's programs."""


def phantom(pixels: int, rng: np.random.Generator) -> np.ndarray:
    """A body with seven ellipses of random places, sizes and values, and six small bright discs.

    Parameters
    ----------
    pixels : int
        Side of the square image.
    rng : Generator

    Returns
    -------
    array of shape (pixels, pixels)
        In the range 0 to 1.
    """
    t = (np.arange(pixels) - (pixels - 1) / 2) / (pixels / 2)
    x, y = np.meshgrid(t, -t)
    image = np.where((x / 0.85) ** 2 + (y / 0.9) ** 2 <= 1, 0.25, 0.0)
    for _ in range(7):
        (cx, cy), (a, b) = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.06, 0.32, 2)
        image[((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 <= 1] = rng.uniform(0.2, 1.0)
    for _ in range(6):
        (cx, cy), r = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.02, 0.04)
        image[(x - cx) ** 2 + (y - cy) ** 2 <= r**2] = 1.0
    return image


@dataclass(frozen=True)
class Scan:
    """Noisy data of a phantom, and the methods that are compared on them."""

    truth: np.ndarray
    A: ParallelBeam
    b: np.ndarray
    tol: float

    @classmethod
    def simulate(cls, size: Size, seed: int, level: float) -> Scan:
        """Phantom, geometry and noise; ``level`` is the norm of the noise over that of the data."""
        truth = phantom(size.pixels, np.random.default_rng([seed, 0]))
        bins = round(92 / 64 * size.pixels)
        A = ParallelBeam(truth.shape, np.pi * np.arange(size.views) / size.views, bins)
        clean = A(truth)
        noise = np.random.default_rng([seed, 1]).standard_normal(clean.shape)
        b = clean + level * np.linalg.norm(clean) / np.linalg.norm(noise) * noise
        return cls(truth, A, b, size.tol)

    @cached_property
    def fit(self) -> Functional:
        """Least squares and ``x >= 0``."""
        return LeastSquares(self.A, self.b) + NonNegative()

    def error(self, x: np.ndarray) -> float:
        """Relative error."""
        return relative_error(x, self.truth)

    def solve(self, weight: float, weights: np.ndarray | None, start: Any = None, **options: Any) -> Result:
        """Minimise with (weighted) total variation."""
        objective = self.fit + weight * TotalVariation(weights=weights)
        return minimize(objective, x0=start, **{"tol": self.tol, "progress": False, **options})

    def best(self, grid: tuple[float, ...], weights: np.ndarray | None) -> tuple[float, float, np.ndarray]:
        """Error, weight and image at the best weight of a grid, which is passed from its lower end."""
        tried, start = [], None
        for weight in sorted(grid):
            start = self.solve(weight, weights, start)
            tried.append((self.error(start.x), weight, start.x))
        return min(tried, key=lambda t: t[0])


PLAIN_GRID = (0.032, 0.1, 0.32, 1.0, 3.2)
SOFT_GRID = (0.1, 0.32, 1.0, 3.2)
SHARP_GRID = (3.2, 10.0, 32.0, 100.0)


def compare(size: Size, seed: int, level: float) -> dict[str, Any]:
    """Errors of all methods on one phantom; the images under ``"images"``."""
    scan = Scan.simulate(size, seed, level)
    back = fbp(scan.b, scan.A)
    tv, tv_weight, image = scan.best(PLAIN_GRID, None)
    weighted, weight, sharp = scan.best(SHARP_GRID, tv_weights_from(image, *SHARP))
    again, repeated = sharp, []
    for _ in range(size.reweightings - 1):
        again = scan.solve(weight, tv_weights_from(again, *SHARP), again).x
        repeated.append(scan.error(again))
    return {
        "seed": seed,
        "level": level,
        "FBP": scan.error(back),
        "TV": tv,
        "W-FBP": scan.best(SOFT_GRID, tv_weights_from(back, *SOFT))[0],
        "W-TV": weighted,
        "W-GT": scan.best(SHARP_GRID, tv_weights_from(scan.truth, *SHARP))[0],
        "reweighted": repeated,
        "weights": {"TV": tv_weight, "W-TV": weight},
        "images": {"truth": scan.truth, "FBP": back, "TV": image, "W-TV": sharp},
    }


def _mean_ratio(rows: list[dict[str, Any]], above: str, below: str = "TV") -> float:
    return float(np.mean([r[above] for r in rows]) / np.mean([r[below] for r in rows]))


def comparison_claims(rows: list[dict[str, Any]]) -> Iterator[Claim]:
    """The order of the methods, and by how much one is better than another."""
    bounds = {0.005: 0.5, 0.02: 0.8}
    for level in sorted({r["level"] for r in rows}):
        here = [r for r in rows if r["level"] == level]
        percent = f"noise {100 * level:g} %"
        ratio = _mean_ratio(here, "W-TV")
        yield at_most(f"error of W-TV / TV, {percent}", ratio, bounds.get(level, 1.0))
        ordered = sum(r["W-GT"] < r["W-TV"] < r["TV"] < r["FBP"] for r in here)
        yield Claim(
            f"W-GT < W-TV < TV < FBP in error, {percent}",
            "each phantom",
            f"{ordered} of {len(here)}",
            ordered == len(here),
        )
        soft = _mean_ratio(here, "W-FBP")
        yield at_most(f"error of W-FBP / TV (eta = 0.02, p = 0.5), {percent}", soft, 1.0)
        final = float(np.mean([r["reweighted"][-1] for r in here])) if here[0]["reweighted"] else np.nan
        start, once = (float(np.mean([r[name] for r in here])) for name in ("TV", "W-TV"))
        yield at_most(
            f"error of W-TV / iterative reweighting, {percent}",
            once / final,
            1.0,
            "The paper's order. Reweighting here starts from the W-TV image and keeps its weight.",
        )
        yield at_least(
            f"share of the gain of reweighting in its first step, {percent}",
            (start - once) / (start - final),
            0.8,
        )


def vanishing_noise(size: Size, seed: int) -> tuple[list[float], list[Claim]]:
    """Errors as noise and weight go to zero together; the weights of W-TV from a TV solution."""
    errors = []
    for level in size.vanishing:
        scan = Scan.simulate(size, seed, level)
        reference = scan.solve(16 * level, None).x
        x = scan.solve(1000 * level, tv_weights_from(reference, *SHARP), reference).x
        errors.append(scan.error(x))
    falls = all(a > b for a, b in itertools.pairwise(errors))
    shown = " ".join(f"{e:.2g}" for e in errors)
    least = f"at noise {100 * size.vanishing[-1]:g} %"
    return errors, [
        Claim("error as the noise is halved again and again (regularisation)", "falls", shown, falls),
        at_most(f"error {least}, weight 1000 times the level", errors[-1], 0.005),
    ]


def stability(size: Size, seed: int) -> tuple[list[float], Claim]:
    """How far the solution moves when the reference does."""
    scan = Scan.simulate(size, seed, 0.005)
    reference = scan.solve(0.1, None).x
    direction = np.random.default_rng([seed, 2]).standard_normal(reference.shape)
    # The solver's own error must be well below the least change that is measured.
    tight = {"tol": 1e-2 * size.tol}
    first = scan.solve(20.0, tv_weights_from(reference, *SHARP), **tight)
    moved = []
    for change in size.changes:
        weights = tv_weights_from(reference + change * direction, *SHARP)
        x = scan.solve(20.0, weights, first, **tight).x
        moved.append(float(np.linalg.norm(x - first.x) / np.linalg.norm(first.x)))
    ratios = [m / c for m, c in zip(moved, size.changes, strict=True)]
    shown = ", ".join(f"{c:g}: {m:.2g}" for c, m in zip(size.changes, moved, strict=True))
    holds = max(ratios) <= 2.0 and all(a > b for a, b in itertools.pairwise(moved))
    note = f"Change of the reference per pixel: relative change of the solution. {shown}"
    claim = Claim(
        "relative change of the solution over the change of its reference",
        "at most 2 each",
        f"{max(ratios):.2g} at most",
        holds,
        note,
    )
    return moved, claim


def uniqueness(size: Size, seed: int) -> tuple[dict[str, float], Claim]:
    """Distance of the solutions from three starts, after some and after more iterations."""
    scan = Scan.simulate(size, seed, 0.005)
    weights = tv_weights_from(scan.solve(0.1, None).x, *SHARP)
    ones = np.ones(scan.truth.shape)
    starts = [0 * ones, ones, np.random.default_rng([seed, 3]).uniform(size=ones.shape)]
    distances = {}
    for count in (400, 2000):
        options = {"solver": "primal-dual", "tol": 1e-14, "max_iter": count}
        ends = [scan.solve(20.0, weights, start, **options).x for start in starts]
        apart = [np.linalg.norm(ends[i] - ends[j]) for i in range(3) for j in range(i)]
        distances[str(count)] = float(max(apart) / np.linalg.norm(ends[0]))
    holds = distances["2000"] < min(distances["400"], 1e-3)
    shown = ", ".join(f"{d:.1g} after {count}" for count, d in distances.items())
    claim = Claim("relative distance of the solutions from three starts", "falls, below 0.001", shown, holds)
    return distances, claim


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first phantom; the others follow.

    Returns
    -------
    Report
    """
    with _without_convergence_warnings():
        seeds = range(seed, seed + size.phantoms)
        rows = [compare(size, s, level) for level in size.levels for s in seeds]
        errors, regularisation = vanishing_noise(size, seed)
        moved, stable = stability(size, seed)
        distances, unique = uniqueness(size, seed)
    claims = (*comparison_claims(rows), *regularisation, stable, unique)
    numbers = {
        "errors": [{k: v for k, v in r.items() if k != "images"} for r in rows],
        "vanishing noise": dict(zip(map(str, size.vanishing), errors, strict=True)),
        "stability": dict(zip(map(str, size.changes), moved, strict=True)),
        "distance of three starts": distances,
    }
    grids = {"grid of TV": PLAIN_GRID, "grid of W-FBP": SOFT_GRID, "grid of W-TV and W-GT": SHARP_GRID}
    settings = {**asdict(size), **grids, "sharp (eta, p)": SHARP, "soft (eta, p)": SOFT}
    return Report(claims, draw(rows, size, errors), settings, numbers)


@contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    """Some runs are stopped on purpose, and the others' errors show how good they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def draw(rows: list[dict[str, Any]], size: Size, errors: list[float]) -> Figure:
    """The images of the first phantom, its weights, and the errors against the noise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.2), layout="constrained")
    axes = figure.subplots(2, 3).reshape(-1)
    first = rows[0]
    images = first["images"]
    for ax, name in zip(axes, ("truth", "FBP", "TV", "W-TV"), strict=False):
        ax.imshow(images[name], cmap="gray", vmin=0, vmax=1)
        ax.set_axis_off()
        ax.set_title(name if name == "truth" else f"{name}, relative error {first[name]:.3f}")
    axes[4].imshow(tv_weights_from(images["TV"], *SHARP), cmap="gray", vmin=0, vmax=1)
    axes[4].set_axis_off()
    axes[4].set_title("weights from TV: 0 (black) to 1")
    axes[5].loglog([100 * level for level in size.vanishing], errors, "o-")
    axes[5].minorticks_off()
    axes[5].set_xticks([100 * level for level in size.vanishing], [f"{100 * v:g}" for v in size.vanishing])
    axes[5].set(title="W-TV, weight 1000 x noise", xlabel="noise (%)", ylabel="relative error")
    noise = f"noise {100 * first['level']:g} %"
    figure.suptitle(f"{size.pixels} x {size.pixels} pixels, {size.views} views, {noise}")
    return figure


EXPERIMENT = Experiment(
    "Space-variant total variation from a reference image, few-view tomography",
    "Morotti, Evangelista, Sebastiani, Loli Piccolomini, arXiv 2501.09845 (2025)",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
