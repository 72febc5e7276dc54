"""How much denoising gains from learning its parameters on photographs, by total variation and by experts.

Run it as ``python -m benchmarks.learned_denoising FOLDER``; ``--output`` names the picture. The photographs
are made grey and cut to their middle; those at even places of the alphabetical order are learned from, until
there are ``--train`` of them, the others judge. Noise is normal. The prints are tables for the manual.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.problems.metrics import psnr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Photographs:
    """Clean images and noisy ones."""

    names: tuple[str, ...]
    clean: tuple[np.ndarray, ...]
    sigma: float
    seed: int

    @cached_property
    def noisy(self) -> tuple[np.ndarray, ...]:
        """The images with noise, each from its own stream."""
        return tuple(
            (x + self.sigma * np.random.default_rng([self.seed, k]).standard_normal(x.shape)).astype(x.dtype)
            for k, x in enumerate(self.clean)
        )

    @cached_property
    def fits(self) -> list[wp.Functional]:
        """Half the squared distance to each noisy image."""
        return [wp.LeastSquares(None, y) for y in self.noisy]

    def losses(self, images: Sequence[np.ndarray] | None = None) -> list[wp.Functional]:
        """Half the squared distance to each clean image, over the mean squared error of ``images``.

        Near these, the mean of such losses moves as the mean of PSNRs does; without, each image counts by
        its error, the hard ones most.
        """
        losses: list[wp.Functional] = [wp.SquaredError(t) for t in self.clean]
        if images is None:
            return losses
        errors = [float(np.mean((x - t) ** 2)) for x, t in zip(images, self.clean, strict=True)]
        mean = float(np.mean(errors))
        return [loss * (mean / error) for loss, error in zip(losses, errors, strict=True)]

    def denoised(self, prior: wp.Functional, starts: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
        """The minimisers, each to within 1e-2 in the Euclidean norm, from ``starts`` (the noisy images)."""
        starts = self.noisy if starts is None else starts
        return [minimiser(fit + prior, y, 1e-2) for fit, y in zip(self.fits, starts, strict=True)]

    def error(self, images: Sequence[np.ndarray]) -> float:
        """The mean squared error of all pixels."""
        return float(np.mean((np.stack(images) - np.stack(self.clean)) ** 2))

    def quality(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """The PSNR (dB) of each image, for the range 0 to 1."""
        pairs = zip(images, self.clean, strict=True)
        return np.array([psnr(image, x, data_range=1.0) for image, x in pairs])


def minimiser(objective: wp.Functional, start: np.ndarray, tol: float) -> np.ndarray:
    """Accelerated descent for an objective of strong convexity 1, to within ``tol`` of the minimiser."""
    L = objective.traits_on(start.shape).lipschitz
    beta = (1 - L**-0.5) / (1 + L**-0.5)
    z, before = start, start
    while np.linalg.norm(g := objective.gradient(z)) > tol:
        after = z - g / L
        z, before = after + beta * (after - before), after
    return z


def photographs(
    folder: Path, crop: int, train: int, sigma: float, seed: int, dtype: type
) -> tuple[Photographs, Photographs]:
    """Those to learn from, and the others."""
    from PIL import Image

    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in ENDINGS)
    learned = files[0 : 2 * train : 2]
    if len(learned) < train or len(files) == train:
        raise SystemExit(f"{folder} holds {len(files)} photographs, too few to learn from {train} of them")
    others = [p for p in files if p not in learned]

    def middle(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            grey = np.asarray(image.convert("L"), dtype=dtype) / 255
        if min(grey.shape) < crop:
            raise SystemExit(f"{path} has {grey.shape} pixels, too few for --crop {crop}")
        row, column = ((n - crop) // 2 for n in grey.shape)
        return grey[row : row + crop, column : column + crop]

    return tuple(  # type: ignore[return-value]
        Photographs(tuple(p.stem for p in part), tuple(map(middle, part)), sigma, seed + k)
        for k, part in enumerate((learned, others))
    )


# --- total variation -------------------------------------------------------------------------------


def total_variation(weight: float = np.exp(-5.0), eps: float = np.exp(-5.0)) -> wp.Functional:
    """Smoothed total variation whose weight and smoothing are parameters."""
    smoothing = wp.Parameter("smoothing", float(eps), low=1e-4, high=1.0)
    return wp.Parameter("weight", float(weight)) * wp.SmoothedTotalVariation(smoothing)


TV_WORK = 2000
"""Iterations for each photograph that two parameters get."""

WEIGHTS = np.geomspace(0.04, 0.16, 9)
SMOOTHINGS = np.geomspace(1e-3, 1e-1, 5)


def grid(test: Photographs) -> np.ndarray:
    """PSNR at each weight and smoothing of a grid, for each image."""
    rows, images = [], list(test.noisy)
    for w, e in itertools.product(WEIGHTS, SMOOTHINGS[::-1]):
        images = test.denoised(total_variation(w, e), images)
        rows.append(test.quality(images))
    return np.array(rows).reshape(len(WEIGHTS), len(SMOOTHINGS), -1)[:, ::-1]


# --- experts ---------------------------------------------------------------------------------------


def experts_to_learn(size: int, count: int, weight: float, smoothing: float, scale: float) -> wp.Functional:
    """A field of experts whose filters are cosines of norm ``scale``.

    The scale changes nothing but how far one step moves filters, beside weights and smoothing constants.
    """
    start = wp.FieldOfExperts.learnable(size, count)
    filters = scale * np.asarray(start.parameters[0].value)
    return wp.FieldOfExperts(
        wp.Parameter("filters", filters, low=-np.inf, transform="identity"),
        wp.Parameter("weights", np.full(count, weight / scale)),
        wp.Parameter("smoothing", np.full(count, smoothing * scale)),
    )


def learned_prior(
    prior: wp.Functional,
    train: Photographs,
    losses: list[wp.Functional],
    work: float,
    method: str = "maid",
    **options: Any,
) -> tuple[wp.Functional, wp.Learned]:
    """A prior with parameters learned from the photographs, and the run."""
    if method == "maid":
        options["descent_test"] = False
    result = wp.learn(
        [fit + prior for fit in train.fits],
        losses,
        method=method,
        max_work=work,
        max_iter=100_000,
        **options,
    )
    return result.objective(prior), result


def main() -> None:
    args = arguments()
    train, test = photographs(
        args.folder, args.crop, args.train, args.noise, args.seed, np.float32 if args.single else np.float64
    )
    print(
        f"learned from {', '.join(train.names)}; judged on {', '.join(test.names)}\n"
        f"middle {args.crop} x {args.crop} pixels, sigma = {args.noise:g}\n"
    )
    print("| prior | parameters | work per image | s | PSNR learned from | PSNR of the others |")
    print("|---|---|---|---|---|---|", flush=True)
    row("noisy", 0, None, train.quality(train.noisy), test.quality(test.noisy))
    plain, run = learned_prior(total_variation(), train, train.losses(), TV_WORK, alpha=0.01)
    train_images = train.denoised(plain)
    row("total variation, squared error", 2, run, train.quality(train_images), qualities(plain, test)[0])
    losses = train.losses(train_images)
    tv, tv_run = learned_prior(plain, train, losses, TV_WORK / 4)
    tv_images = test.denoised(tv)
    tv_quality = test.quality(tv_images)
    row("total variation, PSNR", 2, tv_run, qualities(tv, train)[0], tv_quality)
    print(f"learned weight {tv_run.values['weight']:.4g}, smoothing {tv_run.values['smoothing']:.4g}\n")
    if not args.no_grid:
        report_grid(grid(test), tv_quality, test.names)
    if args.no_experts:
        return
    experts, run = report_experts(args, train, test, losses)
    images = test.denoised(experts)
    gain = test.quality(images) - tv_quality
    print(f"\nexperts over TV: {gain.mean():.3f} dB on average, {gain.min():.3f} to {gain.max():.3f}")
    print(
        f"mean squared error over that of TV: {test.error(images) / test.error(tv_images):.4f} of the others"
    )
    if args.output is not None:
        save(draw(test, tv_images, images, experts, run), args.output)


def report_experts(
    args: argparse.Namespace, train: Photographs, test: Photographs, losses: list[wp.Functional]
) -> tuple[wp.Functional, wp.Learned]:
    """Learn a field of experts and print the lines of the table: as it starts, and after each stage."""
    start = experts_to_learn(args.size, args.filters, args.weight, args.smoothing, args.scale)
    count = sum(p.size for p in start.parameters)
    row(f"{start}, before", 0, None, *qualities(start, train, test))
    # Weights and smoothing constants first: what they should be decides how long a step of filters may be.
    rough, first = learned_prior(start, train, losses, args.first, parameters=["weights", "smoothing"])
    row(f"{start}, without filters", 2 * args.filters, first, *qualities(rough, train, test))
    experts, run = learned_prior(
        rough, train, losses, args.work, args.method, max_seconds=args.seconds, progress=True
    )
    row(f"{start}", count, run, *qualities(experts, train, test))
    return experts, run


def qualities(prior: wp.Functional, *parts: Photographs) -> list[np.ndarray]:
    """The PSNR of each image of some parts."""
    return [part.quality(part.denoised(prior)) for part in parts]


def row(name: str, count: int, run: wp.Learned | None, of_train: np.ndarray, of_test: np.ndarray) -> None:
    """A line of the table."""
    cost = "- | -" if run is None else f"{run.work:.0f} | {run.seconds:.0f}"
    print(f"| {name} | {count} | {cost} | {of_train.mean():.2f} | {of_test.mean():.2f} |", flush=True)


def report_grid(qualities: np.ndarray, learned: np.ndarray, names: tuple[str, ...]) -> None:
    """What the learned weight and smoothing lose against the best of a grid on the images themselves."""
    joint = qualities.mean(-1)
    i, j = np.unravel_index(np.argmax(joint), joint.shape)
    each = qualities.reshape(-1, len(names)).max(0)
    print(
        f"grid of {len(WEIGHTS)} x {len(SMOOTHINGS)}, best for all: {joint.max():.3f} dB at weight "
        f"{WEIGHTS[i]:.3g}, smoothing {SMOOTHINGS[j]:.3g}; learned loses {joint.max() - learned.mean():.3f}\n"
        f"best for each: {each.mean():.3f} dB; learned loses {(each - learned).mean():.3f} on average\n"
    )
    print("| image | learned | own best of the grid | loss |\n|---|---|---|---|")
    for name, a, b in zip(names, learned, each, strict=True):
        print(f"| {name} | {a:.2f} | {b:.2f} | {b - a:.3f} |")


# --- picture ---------------------------------------------------------------------------------------


def draw(
    test: Photographs,
    tv: list[np.ndarray],
    experts: list[np.ndarray],
    prior: wp.Functional,
    run: wp.Learned,
) -> Figure:
    """The image that gains most, the filters, and the loss over the work."""
    from matplotlib.figure import Figure

    a, b = test.quality(tv), test.quality(experts)
    k = int(np.argmax(b - a))
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    shown = {
        test.names[k]: test.clean[k],
        f"noisy, {test.quality(test.noisy)[k]:.2f} dB": test.noisy[k],
        f"total variation, {a[k]:.2f} dB": tv[k],
        f"experts, {b[k]:.2f} dB": experts[k],
    }
    for ax, (title, image) in zip(axes.flat, shown.items(), strict=False):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set_title(title)
        ax.set_axis_off()
    filters, weights = (np.asarray(p.value) for p in prior.parameters[:2])
    axes[1, 1].imshow(mosaic(filters, weights), cmap="gray", vmin=-1, vmax=1)
    axes[1, 1].set_title("filters, by their strength")
    axes[1, 1].set_axis_off()
    axes[1, 2].semilogx([r.work for r in run.history[1:]], [r.loss for r in run.history[1:]])
    axes[1, 2].set(xlabel="lower-level and linear iterations", ylabel="mean loss", title="learning")
    return figure


def mosaic(filters: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Filters as small pictures in a rectangle, the strongest first, each scaled to its largest entry."""
    strength = weights * np.sqrt((filters**2).sum((1, 2)))
    rows, columns = filters.shape[1:]
    across = int(np.ceil(np.sqrt(len(filters))))
    picture = np.ones((-(-len(filters) // across) * (rows + 1) - 1, across * (columns + 1) - 1))
    for place, k in enumerate(np.argsort(-strength)):
        i, j = place // across * (rows + 1), place % across * (columns + 1)
        picture[i : i + rows, j : j + columns] = filters[k] / np.abs(filters[k]).max()
    return picture


def save(figure: Figure, path: Path) -> None:
    """Write a picture with a palette of 256 colours, which keeps it small."""
    from PIL import Image

    figure.savefig(path, dpi=90)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256)
    small.save(path, optimize=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.learned_denoising", description=__doc__)
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--crop", type=int, default=96, help="side of the square that is cut out (96)")
    parser.add_argument("--train", type=int, default=8, help="photographs to learn from (8)")
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation; the range is 1 (0.1)")
    parser.add_argument("--filters", type=int, default=24, help="number of filters (24)")
    parser.add_argument("--size", type=int, default=5, help="side of a filter (5)")
    parser.add_argument("--weight", type=float, default=0.006, help="first weight of a filter (0.006)")
    parser.add_argument("--smoothing", type=float, default=0.007, help="first smoothing (0.007)")
    parser.add_argument("--scale", type=float, default=1.0, help="first norm of a filter (1)")
    parser.add_argument("--first", type=float, default=500, help="iterations without filters (500)")
    parser.add_argument("--work", type=float, default=20000, help="iterations with them (20000)")
    parser.add_argument("--method", default="maid", help="of the stage with filters (maid)")
    parser.add_argument("--seconds", type=float, default=np.inf, help="limit on their time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--single", action="store_true", help="images in single precision")
    parser.add_argument("--no-grid", action="store_true", help="leave out the grid of total variation")
    parser.add_argument("--no-experts", action="store_true", help="total variation only")
    parser.add_argument("--output", type=Path, help="where to write the picture")
    return parser.parse_args()


if __name__ == "__main__":
    main()
