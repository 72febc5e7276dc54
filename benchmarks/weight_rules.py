"""How much each rule for choosing a weight loses against the best weight of a fine grid.

Run it as ``python benchmarks/weight_rules.py``; ``--tasks`` and ``--rules`` select, ``--full`` adds images.
The loss is the PSNR (dB) at the best weight of the grid minus that at the chosen one.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import wellposed as wp
from wellposed.problems.phantoms import shepp_logan
from wellposed.solvers.selection_data import data_term, weighted_term
from wellposed.solvers.selection_range import largest_weight
from wellposed.solvers.selection_rules import RULES

MAX_ITER = 200
"""Of each solve: enough for the PSNR, if not always for the certificate."""

TASKS = ("denoising", "deblurring", "ct")


@dataclass(frozen=True)
class Instance:
    """One problem with its truth."""

    task: str
    name: str
    objective: wp.Objective
    truth: np.ndarray
    noise_level: float

    def psnr(self, x: np.ndarray) -> float:
        error = float(np.mean((x.astype(float) - self.truth) ** 2))
        return 10 * np.log10(float(np.ptp(self.truth)) ** 2 / error)


def images(full: bool) -> dict[str, np.ndarray]:
    from skimage import data

    found = {
        "camera": data.camera()[120:248, 180:308] / 255.0,
        "astronaut": data.astronaut()[20:148, 160:288].mean(axis=-1) / 255.0,
    }
    if full:
        found["coins"] = data.coins()[60:188, 100:228] / 255.0
        found["text"] = data.text()[:128, :128] / 255.0
        found["brick"] = data.brick()[:128, :128] / 255.0
    return {name: image.astype(np.float32) for name, image in found.items()}


def slices(full: bool) -> dict[str, np.ndarray]:
    import pydicom
    from pydicom.data import get_testdata_file

    scan = pydicom.dcmread(get_testdata_file("CT_small.dcm")).pixel_array.astype(np.float32)
    scan = np.clip(scan / np.percentile(scan, 99.5), 0, 1)
    found = {"Shepp-Logan": shepp_logan((128, 128)), "CT slice": scan}
    if full:
        discs = np.zeros((128, 128))
        rng = np.random.default_rng(3)
        y, x = np.mgrid[:128, :128]
        for _ in range(25):
            centre, radius = rng.uniform(34, 94, 2), rng.uniform(2, 14)
            discs[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2] = rng.uniform(0.2, 1.0)
        found["discs"] = discs
    return {name: image.astype(np.float32) for name, image in found.items()}


def instances(task: str, full: bool) -> Iterator[Instance]:
    """All problems of a task, each with its own seeded noise."""
    rng = np.random.default_rng(11)
    weight = wp.Parameter("weight", 1.0)

    def made(name: str, A: wp.LinearOperator | None, truth: np.ndarray, sigma: float) -> Instance:
        clean = truth if A is None else A(truth)
        b = (clean + sigma * rng.normal(size=clean.shape)).astype(np.float32)
        objective = wp.LeastSquares(A, b) + weight * wp.TotalVariation()
        return Instance(task, name, objective if A is None else objective + wp.NonNegative(), truth, sigma)

    if task == "denoising":
        for name, image in images(full).items():
            for sigma in (0.05, 0.1, 0.2):
                yield made(f"{name}, noise {sigma}", None, image, sigma)
    elif task == "deblurring":
        r = np.arange(-6, 7)
        kernel = np.exp(-(r[:, None] ** 2 + r**2) / (2 * 1.5**2))
        for name, image in images(full).items():
            A = wp.operators.Convolution(kernel / kernel.sum(), image.shape, boundary="reflect")
            for sigma in (0.01, 0.03):
                yield made(f"{name}, noise {sigma}", A, image, sigma)
    else:
        for name, image in slices(full).items():
            for views in (30, 60):
                A = wp.operators.ParallelBeam(
                    image.shape, np.linspace(0, np.pi, views, endpoint=False), n_detectors=183
                )
                for share in (0.01, 0.03):
                    sigma = share * float(A(image).max())
                    yield made(f"{name}, {views} views, {share:.0%}", A, image, sigma)


def best_of_grid(instance: Instance, points: int, tol: float) -> tuple[float, float]:
    """The weight of a fine grid with the best PSNR, and that PSNR; the grid ends once it has fallen,
    and is three times finer around its best."""
    data = data_term(instance.objective)
    weighted = weighted_term(instance.objective, "weight")
    assert weighted is not None
    high = 0.3 * largest_weight(instance.objective, data, weighted)
    best, nearest, result = (0.0, -np.inf), None, None
    ratio = 1e5 ** (1 / (points - 1))

    def solved(value: float, start: wp.Result | None) -> wp.Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wp.ConvergenceWarning)
            objective = instance.objective.with_parameters({"weight": value})
            return wp.minimize(objective, x0=start, tol=tol, max_iter=MAX_ITER, progress=False)

    for k in range(points):
        value = high / ratio**k
        result = solved(value, result)
        psnr = instance.psnr(result.x)
        if psnr > best[1]:
            best, nearest = (value, psnr), result
        elif psnr < best[1] - 1.0 and value < best[0] / 3:
            break
    for value in best[0] * ratio ** np.array([0.67, 0.33, -0.33, -0.67]):
        psnr = instance.psnr(solved(float(value), nearest).x)
        best = max(best, (float(value), psnr), key=lambda pair: pair[1])
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--rules", nargs="+", choices=("auto", *RULES), default=tuple(RULES))
    parser.add_argument("--full", action="store_true", help="more images")
    parser.add_argument("--known-noise", action="store_true", help="tell the rules the true noise level")
    parser.add_argument("--grid", type=int, default=36, help="weights of the fine grid, over five decades")
    parser.add_argument("--tol", type=float, default=1e-3)
    arguments = parser.parse_args()
    for task in arguments.tasks:
        losses: dict[str, list[float]] = {rule: [] for rule in arguments.rules}
        solves: dict[str, list[int]] = {rule: [] for rule in arguments.rules}
        for instance in instances(task, arguments.full):
            weight, psnr = best_of_grid(instance, arguments.grid, arguments.tol)
            print(f"{task}: {instance.name}: best weight {weight:.4g}, {psnr:.2f} dB", flush=True)
            for rule in arguments.rules:
                if rule == "sure" and task != "denoising":
                    continue
                start = time.perf_counter()
                level = instance.noise_level if arguments.known_noise else None
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", wp.ConvergenceWarning)
                    choice = wp.choose(
                        instance.objective, "weight", rule, level, tol=arguments.tol, max_iter=MAX_ITER
                    )
                losses[rule].append(psnr - instance.psnr(choice.result.x))
                solves[rule].append(choice.solves)
                print(
                    f"    {rule:20s} weight {choice.value:9.4g}  loss {losses[rule][-1]:6.2f} dB  "
                    f"{choice.solves:2d} weights  {time.perf_counter() - start:5.1f} s  {choice.note}",
                    flush=True,
                )
        print(f"\n| {task} | median loss (dB) | largest loss (dB) | weights tried |\n|---|---|---|---|")
        for rule in arguments.rules:
            if losses[rule]:
                row = np.median(losses[rule]), np.max(losses[rule]), np.median(solves[rule])
                print(f"| {rule} | {row[0]:.2f} | {row[1]:.2f} | {row[2]:.0f} |")
        print(flush=True)


if __name__ == "__main__":
    main()
