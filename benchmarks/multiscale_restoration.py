"""PSNR of multiscale sparsity on photographs: which transform, and how the weights fall from scale to scale.

Run it as ``python benchmarks/multiscale_restoration.py``; ``--tasks`` and ``--images`` select. Each method is
shown at its own best weight of a grid, with the scales' weights at ratios 1 and 1/2 from scale to scale.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable

import numpy as np

import wellposed as wp

O = wp.operators
SIZES = {"denoising": 256, "inpainting": 128}
TASKS = ("denoising", "inpainting")
LEVELS = {256: 4, 128: 3}
RATIOS = (1.0, 0.5)
WEIGHTS = {
    "denoising": 0.1 * np.array([0.5, 0.7, 1.0, 1.4, 2.0, 2.8]),
    "inpainting": 0.02 * np.array([0.25, 0.5, 1.0, 2.0]),
}
TRANSFORMS: dict[str, Callable[[tuple[int, ...]], O.LinearOperator]] = {
    "wavelets": lambda shape: O.Wavelet(shape, "sym4", LEVELS[shape[0]]),
    "undecimated wavelets": lambda shape: O.UndecimatedWavelet(shape, "sym4", LEVELS[shape[0]]),
    "shearlets": lambda shape: O.Shearlets(shape, LEVELS[shape[0]]),
}


def photographs(size: int) -> dict[str, np.ndarray]:
    from skimage import data, transform

    found = {
        "camera": transform.resize(data.camera() / 255.0, (256, 256), anti_aliasing=True)[
            (256 - size) // 3 :, (256 - size) // 2 :
        ][:size, :size],
        "astronaut": data.astronaut()[:size, 150 : 150 + size].mean(axis=-1) / 255.0,
        "brick": data.brick()[:size, :size] / 255.0,
    }
    return {name: image.astype(np.float32, order="C") for name, image in found.items()}


def problem(task: str, image: np.ndarray) -> wp.problems.ImagingProblem:
    if task == "denoising":
        return wp.problems.denoising(image, noise=0.1, seed=3)
    return wp.problems.inpainting(image, keep=0.3, noise=0.02, seed=3)


def best(p: wp.problems.ImagingProblem, penalty: wp.Functional, grid: np.ndarray) -> tuple[float, float]:
    """The largest PSNR over the grid and its weight; warm-started from weight to weight."""
    found, x0 = [], None
    for weight in grid[::-1]:
        result = wp.minimize(
            p.data_fit + float(weight) * penalty, tol=2e-3, max_iter=300, x0=x0, progress=False
        )
        x0 = result.x
        found.append((p.psnr(result.x), float(weight)))
    return max(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--images", nargs="+", choices=("camera", "astronaut", "brick"))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for task in args.tasks:
        shape = (SIZES[task], SIZES[task])
        images = photographs(SIZES[task])
        chosen = args.images or list(images)
        print(f"\n{task}: PSNR (dB) at the best weight\n")
        print("| method | weights from scale to scale | " + " | ".join(chosen) + " | seconds a solve |")
        print("|---|---|" + "---|" * (len(chosen) + 1))
        rows: dict[tuple[str, str], Callable[[tuple[int, ...]], wp.Functional]] = {
            ("total variation", ""): lambda shape: wp.TotalVariation()
        }
        for name, make in TRANSFORMS.items():
            for ratio in RATIOS:
                rows[name, f"x {ratio:g}"] = lambda shape, make=make, ratio=ratio: analysis(
                    make(shape), ratio
                )
        for (name, how), penalty in rows.items():
            begin, cells = time.perf_counter(), []
            for image in chosen:
                psnr, weight = best(problem(task, images[image]), penalty(shape), WEIGHTS[task])
                cells.append(f"{psnr:.2f} ({weight:.3g})")
            seconds = (time.perf_counter() - begin) / len(chosen) / len(WEIGHTS[task])
            print(f"| {name} | {how} | " + " | ".join(cells) + f" | {seconds:.2g} |", flush=True)


def analysis(W: O.LinearOperator, ratio: float) -> wp.Functional:
    """L1 of the coefficients; weights change by a factor from each scale to the next coarser one."""
    levels = int(W.scales.max())
    return wp.L1(W.weights_per_scale(ratio ** np.arange(levels))) @ W


if __name__ == "__main__":
    main()
