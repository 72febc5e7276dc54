r"""graphLa+Psi: the graph Laplacian of a quick reconstruction as a regulariser, for tomography.

D. Bianchi, D. Evangelista, S. Aleotti, M. Donatelli, E. Loli Piccolomini and W. Li, A data-dependent
regularization method based on the graph Laplacian, arXiv 2312.16936 (2024). Random phantoms, parallel beam
over 179 degrees, white noise of a given share of the norm of the data. Psi is FBP, Tikhonov regularisation
with cross-validation, or anisotropic periodic total variation; True stands for the graph of the truth. All
methods but the first two run in a generalised Krylov space, with the discrepancy principle in each iteration,
from the noise level that is known. Errors are relative: :math:`\|x - x_0\| / \|x_0\|`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.experiments.weighted_tv_tomography import phantom
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.objective import Objective
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators._base import LinearOperator
from wellposed.operators.graph import GraphLaplacian
from wellposed.operators.periodic import PeriodicGradient
from wellposed.operators.tomography import ParallelBeam, fbp
from wellposed.problems.metrics import psnr, relative_error, ssim
from wellposed.solvers.hybrid import hybrid_tikhonov
from wellposed.solvers.mm_gks import MMGKS, Fitted, fit_to_noise
from wellposed.solvers.problem import Problem, Term, canonical

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = math.sqrt(1e-3)
"""Of the weights; its square is the paper's sigma."""

RADIUS = 4
"""The paper's R = 5 counts the pixel itself."""

EPS = 0.1
TAU = 1.01
LARGEST = 1e6
"""Bound of the majorant's weight, as in the programs of the group."""

METHODS = ("FBP", "Tik", "TV")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    pixels: int
    views: int
    bins: int
    phantoms: int
    lines: int = 0
    noise: float = 0.02
    levels: tuple[float, ...] = (0.1, 0.04, 0.01, 0.005)
    iterations: int = 200
    sweep_iterations: int = 100
    changes: tuple[float, ...] = (1e-1, 1e-2, 1e-3)


SMALL = Size(pixels=64, views=45, bins=90, phantoms=2)
FULL = Size(
    pixels=256,
    views=120,
    bins=362,
    phantoms=3,
    lines=5,
    levels=(0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0.001),
    iterations=500,
    sweep_iterations=500,
)
"""The size of the paper's experiments on synthetic images of ellipses, lines and dots."""


def with_lines(image: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """The image with straight lines, two pixels wide, of random places and values.

    Parameters
    ----------
    image : array
    count : int
    rng : Generator
    """
    drawn = image.copy()
    n = len(image)
    t = (np.arange(n) - (n - 1) / 2) / (n / 2)
    x, y = np.meshgrid(t, -t)
    for _ in range(count):
        (cx, cy), turn, half = rng.uniform(-0.4, 0.4, 2), rng.uniform(0, math.pi), rng.uniform(0.1, 0.35)
        along = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn)
        across = (y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)
        drawn[(abs(along) <= half) & (abs(across) <= 2 / n)] = rng.uniform(0.3, 1.0)
    return drawn


@dataclass(frozen=True)
class Scan:
    """Noisy data of a phantom, and the methods that are compared on them."""

    truth: np.ndarray
    A: ParallelBeam
    b: np.ndarray
    noise: float
    """Norm of the noise."""

    @classmethod
    def simulate(cls, size: Size, seed: int, level: float) -> Scan:
        """Phantom, geometry and noise; ``level`` is the norm of the noise over that of the data."""
        rng = np.random.default_rng([seed, 0])
        truth = with_lines(phantom(size.pixels, rng), size.lines, rng)
        A = ParallelBeam(truth.shape, np.deg2rad(np.linspace(0, 179, size.views)), size.bins)
        clean = A(truth)
        noise = np.random.default_rng([seed, 1]).standard_normal(clean.shape)
        norm = level * float(np.linalg.norm(clean))
        return cls(truth, A, clean + norm / np.linalg.norm(noise) * noise, norm)

    @cached_property
    def differences(self) -> PeriodicGradient:
        """The operator of Tik and TV."""
        return PeriodicGradient(self.truth.shape)

    def problem(self, L: LinearOperator, weight: float = 1.0) -> Problem:
        """Least squares plus the smoothed norm of ``L x``."""
        return canonical(smoothed(self.A, self.b, L, weight))

    def fitted(self, L: LinearOperator, iterations: int) -> Fitted:
        """By the discrepancy principle in each iteration."""
        return fit_to_noise(self.problem(L), TAU * self.noise, 1e-4, iterations, LARGEST)

    def reconstruct(self, psi: str, iterations: int) -> np.ndarray:
        """The image of a reconstructor."""
        if psi == "FBP":
            return np.asarray(fbp(self.b, self.A))
        if psi == "Tik":
            return np.asarray(hybrid_tikhonov(Term(None, self.A), self.b, self.differences).x)  # type: ignore[arg-type]
        return np.asarray(self.fitted(self.differences, iterations).x)

    def on_graph(self, image: np.ndarray, iterations: int) -> Fitted:
        """With the graph Laplacian of an image."""
        return self.fitted(laplacian(image), iterations)

    def error(self, x: np.ndarray) -> float:
        """Relative error."""
        return relative_error(x, self.truth)


def smoothed(A: LinearOperator, b: np.ndarray, L: LinearOperator, weight: float) -> Objective:
    """The objective of the paper's solver."""
    return Objective.of(LeastSquares(A, b) + weight * (SmoothedL21(EPS, axes=()) @ L))


def laplacian(image: np.ndarray) -> GraphLaplacian:
    """With the paper's parameters."""
    return GraphLaplacian(image, RADIUS, WIDTH)


def compare(size: Size, seed: int) -> dict[str, Any]:
    """Errors of all methods on one phantom; the images under ``"images"``."""
    scan = Scan.simulate(size, seed, size.noise)
    images = {name: scan.reconstruct(name, size.iterations) for name in METHODS}
    ends = {f"La+{name}": scan.on_graph(image, size.iterations) for name, image in images.items()}
    ends["La+True"] = scan.on_graph(scan.truth, size.iterations)
    images |= {name: np.asarray(end.x) for name, end in ends.items()}
    ends["TV"] = scan.fitted(scan.differences, size.iterations)
    return {
        "seed": seed,
        "errors": {name: scan.error(image) for name, image in images.items()},
        "psnr": {name: psnr(image, scan.truth, data_range=1.0) for name, image in images.items()},
        "ssim": {name: ssim(image, scan.truth, data_range=1.0) for name, image in images.items()},
        "misfit": {name: end.misfit / scan.noise for name, end in ends.items()},
        "nu": {name: end.weight / EPS for name, end in ends.items()},
        "images": {"truth": scan.truth, **images},
    }


def _mean(rows: list[dict[str, Any]], name: str) -> float:
    return float(np.mean([r["errors"][name] for r in rows]))


def comparison_claims(rows: list[dict[str, Any]], noise: float) -> Iterator[Claim]:
    """What the graph gains over each reconstructor, and the order of the methods."""
    percent = f"noise {100 * noise:g} %"
    for name in METHODS:
        ratio = _mean(rows, f"La+{name}") / _mean(rows, name)
        yield at_most(f"error of graphLa+{name} / {name}, {percent}", ratio, 0.65)
    means = {name: _mean(rows, f"La+{name}") for name in METHODS}
    best = min(means, key=lambda name: means[name])
    shown = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    yield Claim(f"best Psi for the graph, {percent}", "TV", best, best == "TV", f"Mean errors: {shown}.")
    oracle = _mean(rows, "La+True") / min(means.values())
    yield at_most(f"error with the graph of the truth / the best other, {percent}", oracle, 0.15)
    runs = [(r["misfit"][name], nu < 0.999 * LARGEST) for r in rows for name, nu in r["nu"].items()]
    yield at_most(
        "distance of the residual from 1.01 times the noise, over the noise",
        max(abs(misfit - TAU) for misfit, free in runs if free),
        1e-3,
        f"In the {sum(free for _, free in runs)} of {len(runs)} runs whose weight ends below its bound.",
    )


def sweep(size: Size, seed: int) -> tuple[dict[str, list[float]], list[Claim]]:
    """Errors as the noise falls, with one direction of the noise."""
    errors: dict[str, list[float]] = {"FBP": [], "La+FBP": [], "TV": [], "La+TV": []}
    for level in size.levels:
        scan = Scan.simulate(size, seed, level)
        for name in ("FBP", "TV"):
            image = scan.reconstruct(name, size.sweep_iterations)
            errors[name].append(scan.error(image))
            errors[f"La+{name}"].append(scan.error(np.asarray(scan.on_graph(image, size.sweep_iterations).x)))
    pairs = list(zip(errors["La+TV"], errors["TV"], strict=True))
    wins = sum(a < b for a, b in pairs)
    falling = all(a > b for a, b in itertools.pairwise(errors["La+TV"]))
    shown = " ".join(f"{e:.3f}" for e in errors["La+TV"])
    worst = errors["La+FBP"][0] / errors["FBP"][0]
    return errors, [
        Claim(
            "error of graphLa+TV below that of TV, over the noise levels",
            "each",
            f"{wins} of {len(pairs)}",
            wins == len(pairs),
        ),
        Claim("error of graphLa+TV as the noise falls (regularisation)", "falls", shown, falling),
        at_least(
            f"error of graphLa+FBP / FBP, noise {100 * size.levels[0]:g} %",
            worst,
            0.9,
            "The reconstructor must itself remove noise: at much noise its graph gains little or nothing.",
        ),
    ]


def continuity(size: Size, seed: int) -> tuple[list[float], Claim]:
    """How far the minimiser at a fixed weight moves with the image behind the graph."""
    scan = Scan.simulate(size, seed, size.noise)
    reference = scan.reconstruct("TV", size.sweep_iterations)
    direction = np.random.default_rng([seed, 2]).standard_normal(reference.shape)
    first = minimiser(scan.problem(laplacian(reference), 50.0), size.iterations)
    moved = []
    for change in size.changes:
        x = minimiser(scan.problem(laplacian(reference + change * direction), 50.0), size.iterations)
        moved.append(float(np.linalg.norm(x - first) / np.linalg.norm(first)))
    shown = ", ".join(f"{c:g}: {m:.2g}" for c, m in zip(size.changes, moved, strict=True))
    ratio = max(m / c for m, c in zip(moved, size.changes, strict=True))
    holds = ratio <= 5 and all(a > b for a, b in itertools.pairwise(moved))
    note = f"Change per pixel of the image behind the graph: relative change of the solution. {shown}"
    statement = "relative change of the solution over the change of its graph's image, weight 50"
    return moved, Claim(statement, "at most 5 each", f"{ratio:.2g} at most", holds, note)


def minimiser(problem: Problem, iterations: int, restart: int = 30) -> np.ndarray:
    """After a number of iterations in generalised Krylov spaces at the problem's weight."""
    method = MMGKS(problem, restart=restart)
    state = method.start(None, None)
    method.advance(state, iterations)
    return np.asarray(state.x)


def solver_check() -> tuple[dict[str, float], list[Claim]]:
    """The smoothed objective against SciPy's L-BFGS, on 16 x 16 pixels."""
    from scipy.optimize import minimize

    size = Size(pixels=16, views=12, bins=23, phantoms=1)
    scan = Scan.simulate(size, 0, 0.02)
    guide = scan.truth + 0.02 * np.random.default_rng(0).standard_normal(scan.truth.shape)
    problem = scan.problem(laplacian(guide), 5.0)

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        x = flat.reshape(scan.truth.shape)
        slope = sum(t.backward(t.f.gradient(t.forward(x))) for t in problem.terms)
        return problem.value(x), np.asarray(slope).reshape(-1)

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-16, "gtol": 1e-12, "maxcor": 50}
    peer = minimize(
        value_and_slope, np.zeros(scan.truth.size), jac=True, method="L-BFGS-B", options=options
    ).fun
    runs = {"100 iterations, restart 30": (100, 30), "150 iterations, no restart": (150, 200)}
    gaps = {name: problem.value(minimiser(problem, *run)) / peer - 1 for name, run in runs.items()}
    method = MMGKS(problem, restart=200)
    state, values = method.start(None, None), []
    for _ in range(60):
        method.advance(state, 1)
        values.append(problem.value(state.x))
    rises = max(b / a - 1 for a, b in itertools.pairwise(values))
    claims = [
        at_most(f"objective over that of L-BFGS, minus 1: {name}", gap, 1e-6) for name, gap in gaps.items()
    ]
    claims.append(
        at_most("largest relative rise of the objective in an iteration without restart", rises, 1e-12)
    )
    return gaps, claims


def exact_facts() -> Iterator[Claim]:
    """Properties of the graph Laplacian that hold to rounding."""
    from scipy.sparse.csgraph import connected_components

    image = np.random.default_rng(0).uniform(size=(12, 12))
    L = laplacian(image).to_dense()
    yield at_most("asymmetry of the Laplacian", float(abs(L - L.T).max()), 0.0)
    yield at_most("Laplacian of a constant", float(abs(laplacian(image)(np.ones(image.shape))).max()), 1e-15)
    yield at_least("least eigenvalue", float(np.linalg.eigvalsh(L)[0]), -1e-15)
    shifted = abs(laplacian(image + 0.25).to_dense() - L).max()
    yield at_most("change of the Laplacian under a shift of the image", float(shifted), 1e-13)
    scaled = abs(GraphLaplacian(3 * image, RADIUS, 3 * WIDTH).to_dense() - L).max()
    yield at_most("change under a scaling of image and width alike", float(scaled), 1e-13)
    halves = np.where(np.arange(12) < 6, 0.0, 1.0) * np.ones((12, 1))
    parts = [connected_components(laplacian(jump * halves).weights)[0] for jump in (0.9, 0.8)]
    yield Claim(
        "components of the graph of two halves, jump 0.9 and 0.8",
        "2 and 1",
        f"{parts[0]} and {parts[1]}",
        parts == [2, 1],
        "exp(-t) is 0 in double precision for t above 745: jumps above 0.863 cut the graph.",
    )


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
    rows = [compare(size, s) for s in range(seed, seed + size.phantoms)]
    errors, regularisation = sweep(size, seed)
    moved, stable = continuity(size, seed)
    gaps, solver = solver_check()
    claims = (*comparison_claims(rows, size.noise), *regularisation, stable, *solver, *exact_facts())
    numbers = {
        "phantoms": [{k: v for k, v in r.items() if k != "images"} for r in rows],
        "noise": {name: dict(zip(map(str, size.levels), e, strict=True)) for name, e in errors.items()},
        "continuity": dict(zip(map(str, size.changes), moved, strict=True)),
        "solver": gaps,
    }
    constants = {"width": WIDTH, "radius": RADIUS, "eps": EPS, "tau": TAU, "largest nu": LARGEST}
    return Report(claims, draw(rows, size, errors), {**asdict(size), **constants}, numbers)


def draw(rows: list[dict[str, Any]], size: Size, errors: dict[str, list[float]]) -> Figure:
    """The images of the first phantom, and the errors against the noise."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.6), layout="constrained")
    axes = figure.subplots(2, 4)
    first = rows[0]
    for column, name in enumerate(METHODS):
        for ax, shown in zip(axes[:, column], (name, f"La+{name}"), strict=True):
            ax.imshow(first["images"][shown], cmap="gray", vmin=0, vmax=1)
            ax.set_axis_off()
            ax.set_title(f"{shown}, relative error {first['errors'][shown]:.3f}")
    axes[0, 3].imshow(first["images"]["truth"], cmap="gray", vmin=0, vmax=1)
    axes[0, 3].set_axis_off()
    axes[0, 3].set_title("truth")
    for name, values in errors.items():
        style = "o-" if name.startswith("La") else "o--"
        axes[1, 3].loglog([100 * level for level in size.levels], values, style, label=name)
    axes[1, 3].set(xlabel="noise (%)", ylabel="relative error")
    axes[1, 3].legend()
    noise = f"noise {100 * size.noise:g} %"
    figure.suptitle(f"{size.pixels} x {size.pixels} pixels, {size.views} views, {noise}")
    return figure


EXPERIMENT = Experiment(
    "The graph Laplacian of a first reconstruction as a regulariser, tomography",
    "Bianchi, Evangelista, Aleotti, Donatelli, Loli Piccolomini, Li, arXiv 2312.16936 (2024)",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
