"""Weighted total variation against total variation, and graphLa+Psi against its Psi, on few-view scans.

Run it as ``python -m benchmarks.imaging_regularisers --scan tooth.h5``. Each scan is a task of its own; its
scores and images go into ``--results`` as soon as it is done; a second run goes on from there. Methods
are shown at the weight with the best PSNR and at the one that they choose. See docs/regularisers-compared.md.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import wellposed as wp
from benchmarks import regulariser_tables as tables
from benchmarks.ct_cases import IMAGES, MEASURED, Case, Data, load
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators.periodic import PeriodicGradient
from wellposed.parallel import map_tasks
from wellposed.solvers.graph_regularised import SIGMA, SMOOTHING, spread
from wellposed.solvers.mm_gks import MMGKS
from wellposed.solvers.noise import estimate_noise
from wellposed.solvers.problem import canonical

FACTOR = 4.0
"""Between the weights of the first bracket; it is halved twice around the best."""

MOST = 9
"""Weights of a bracket at most."""

TV_ITERATIONS = 200
GRAPH_ITERATIONS = 60
GRAPH_TOL = 5e-3
QUICK_ITERATIONS = 60
"""Of MM-GKS at a weight of the search; a last solve with a certificate follows at the best one."""


@dataclass(frozen=True)
class Score:
    """One method on one scan.

    Parameters
    ----------
    psnr, ssim : float
    weight : float or None
    status : str
        Of the solve, or ``"direct"``.
    gap : float
        What its certificate says, relative.
    iterations : int
    """

    psnr: float
    ssim: float
    weight: float | None = None
    status: str = "direct"
    gap: float = 0.0
    iterations: int = 0


class Bench:
    """All methods on one scan."""

    def __init__(self, data: Data):
        self.data = data
        self.best: dict[str, Score] = {}
        self.auto: dict[str, Score] = {}
        self.images: dict[str, np.ndarray] = {"truth": data.truth}
        self.fit = data.fit + wp.NonNegative()
        self.level = data.noise_level or estimate_noise(data.b)

    def run(self) -> None:
        """Score all of them."""
        fbp = wp.tomography.fbp(self.data.b, self.data.A)
        for scores in (self.best, self.auto):
            scores["FBP"] = Score(*self.data.scores(fbp))
        self.images["FBP"] = fbp
        chosen = self._total_variation()
        initial = {"FBP": fbp, "TV": chosen, **self._krylov_images()}
        public: dict[str, Any] = {"FBP": "fbp", "Tik": "tikhonov", "TV of the paper": "tv", "TV": chosen}
        for name, psi in public.items():
            self._graph_auto(name, psi)
        if self.data.noise_level is not None:
            self._graph_auto("TV", chosen, estimated=True)
        for name in public:
            self._graph_best(name, self.images.get(f"best {name}", initial[name]))

    def _keep(self, where: dict[str, Score], name: str, result: wp.Result, weight: float | None) -> None:
        gap = float(result.certificate.relative)
        where[name] = Score(*self.data.scores(result.x), weight, result.status, gap, result.iterations)
        self.images[f"{'best' if where is self.best else 'auto'} {name}"] = np.asarray(result.x)

    def _total_variation(self) -> np.ndarray:
        """Plain and weighted, constrained; returns the plain one at the weight chosen from the data."""
        done = wp.two_stage(self.fit, max_iter=TV_ITERATIONS)
        first = done.first
        assert first is not None
        self._keep(self.auto, "TV", first, None)
        self._keep(self.auto, "weighted TV", done.result, done.weight)
        weight = self._tv_best("TV", wp.TotalVariation(), 3 * self.level)
        weights = wp.regularisation.tv_weights_from(self.images["best TV"])
        self._tv_best("weighted TV", wp.TotalVariation(weights=weights), 20 * weight)
        return np.asarray(first.x)

    def _tv_best(self, name: str, penalty: wp.Functional, start: float) -> float:
        last: wp.Result | None = None
        results: dict[float, wp.Result] = {}

        def solved(weight: float) -> float:
            nonlocal last
            objective = self.fit + weight * penalty
            last = wp.minimize(objective, x0=last, tol=2e-3, max_iter=TV_ITERATIONS, progress=False)
            results[weight] = last
            return self.data.scores(last.x)[0]

        weight = best_weight(solved, start)
        self._keep(self.best, name, results[weight], weight)
        return weight

    def _krylov_images(self) -> dict[str, np.ndarray]:
        """The Psi of the paper that have a weight, without constraint, at their best weight."""
        D = PeriodicGradient(self.data.truth.shape)
        psi: dict[str, tuple[wp.Functional, float]] = {
            "Tik": (wp.SquaredL2() @ D, 10 * self.level),
            "TV of the paper": (SmoothedL21(SMOOTHING, axes=()) @ D, 3 * self.level),
        }
        for name, (penalty, start) in psi.items():
            solver = "auto" if name == "Tik" else "mm-gks"
            results: dict[float, wp.Result] = {}

            def solved(
                weight: float, penalty: Any = penalty, solver: str = solver, results: Any = results
            ) -> float:
                whole = self.data.fit + weight * penalty
                results[weight] = wp.minimize(whole, tol=1e-2, max_iter=200, solver=solver, progress=False)
                return self.data.scores(results[weight].x)[0]

            weight = best_weight(solved, start)
            self._keep(self.best, name, results[weight], weight)
        return {name: self.images[f"best {name}"] for name in psi}

    def _graph_auto(self, name: str, psi: Any, estimated: bool = False) -> None:
        """The public call with the noise level that is known (if it is), or estimated."""
        done = wp.graph_regularised(
            self.fit,
            initial=psi,
            noise_level=None if estimated else self.data.noise_level,
            tol=GRAPH_TOL,
            max_iter=GRAPH_ITERATIONS,
        )
        if isinstance(psi, str) and name != "FBP":
            self.auto[name] = Score(*self.data.scores(done.initial))
            self.images[f"auto {name}"] = np.asarray(done.initial)
        key = f"La+{name}" + (", noise estimated" if estimated else "")
        self._keep(self.auto, key, done.result, done.weight)

    def _graph_best(self, name: str, psi: np.ndarray) -> None:
        """On the graph of one image: the best weight by MM-GKS, then its constrained minimiser."""
        L = wp.operators.GraphLaplacian(psi, 4, SIGMA * spread(psi))
        penalty = SmoothedL21(SMOOTHING * spread(psi), axes=()) @ L
        last = psi

        def solved(weight: float) -> float:
            nonlocal last
            method = MMGKS(canonical(self.data.fit + weight * penalty))
            state = method.start(last, None)
            method.advance(state, QUICK_ITERATIONS)
            last = state.x
            return self.data.scores(state.x)[0]

        start = self.auto[f"La+{name}"].weight
        assert start is not None
        weight = best_weight(solved, start)
        result = wp.minimize(
            self.fit + weight * penalty,
            x0=last,
            tol=GRAPH_TOL,
            max_iter=GRAPH_ITERATIONS,
            progress=False,
        )
        self._keep(self.best, f"La+{name}", result, weight)


def best_weight(score: Callable[[float], float], start: float) -> float:
    """The weight with the best score: a bracket on the log scale, halved twice."""
    found = {0.0: score(start)}
    step = 1.0
    while len(found) < MOST:
        best = max(found, key=lambda k: found[k])
        missing = [k for k in (best - step, best + step) if k not in found]
        if not missing:
            break
        found[missing[0]] = score(start * FACTOR ** missing[0])
    for step in (0.5, 0.25):
        best = max(found, key=lambda k: found[k])
        for place in (best + step, best - step):
            found[place] = score(start * FACTOR**place)
    return start * FACTOR ** max(found, key=lambda k: found[k])


def run_case(task: tuple[Case, Path]) -> str:
    """Run one scan and write what came out, unless that exists."""
    case, folder = task
    path = folder / f"{case.file_name}.json"
    if not path.exists():
        begin = time.process_time()
        bench = Bench(load(case))
        with warnings.catch_warnings():
            # Whether a solve converged is in its score.
            warnings.simplefilter("ignore", wp.ConvergenceWarning)
            bench.run()
        np.savez_compressed(
            path.with_suffix(".npz"),
            allow_pickle=False,
            **{k: v.astype(np.float16) for k, v in bench.images.items()},
        )
        noise = {"given": bench.data.noise_level, "estimated": estimate_noise(bench.data.b)}
        found = {
            "image": case.image,
            "views": case.views,
            "noise": case.noise,
            "level": noise,
            "seconds": time.process_time() - begin,
            "best": {k: asdict(v) for k, v in bench.best.items()},
            "auto": {k: asdict(v) for k, v in bench.auto.items()},
        }
        part = path.with_suffix(".part")
        part.write_text(json.dumps(found, indent=1))
        part.replace(path)
    return str(case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", nargs="*", choices=IMAGES, default=IMAGES)
    parser.add_argument("--noise", nargs="+", type=float, default=(0.03, 0.01, 0.05))
    parser.add_argument("--views", type=int, default=45)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--scan", type=Path, help="measured scan: a slice of it, and it at 45 and 30 views")
    parser.add_argument("--results", type=Path, default=Path("build/imaging-regularisers"))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="write this picture of some of the images")
    parser.add_argument("--write", type=Path, help="a page of the manual to put the tables into")
    parser.add_argument("--tables-only", action="store_true", help="of what is in --results")
    arguments = parser.parse_args()
    names = [name for name in arguments.images if name != "tooth slice" or arguments.scan]
    cases = [
        Case(name, arguments.views, noise, arguments.size, arguments.scan)
        for noise in arguments.noise
        for name in names
    ]
    if arguments.scan:
        cases[len(names) : len(names)] = [Case(MEASURED, v, None, 0, arguments.scan) for v in (45, 30)]
    arguments.results.mkdir(parents=True, exist_ok=True)
    if not arguments.tables_only:
        map_tasks(
            run_case,
            [(case, arguments.results) for case in cases],
            workers=arguments.workers,
            progress=lambda done: print(f"{done.finished} of {done.total}: {done.result}", flush=True),
        )
    paths = [arguments.results / f"{case.file_name}.json" for case in cases]
    rows = [json.loads(path.read_text()) for path in paths if path.exists()]
    print(tables.text(rows))
    if arguments.write:
        tables.write(rows, arguments.write)
    if arguments.picture:
        tables.picture(arguments.results, arguments.picture)


if __name__ == "__main__":
    main()
