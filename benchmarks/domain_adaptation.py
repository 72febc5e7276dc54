"""Class-based transport against POT's regularised transports: domain adaptation and colour transfer.

Every method has its weights chosen on a grid with problems of other seeds, whose target labels are used for
that; then it meets the test problems once. ``python benchmarks/domain_adaptation.py [--figure PATH]``
"""

from __future__ import annotations

import argparse
import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import wellposed as wp

Make = Callable[..., Any]

SHOWN = 0.06
"""Distance to the reference's colours of the photographs in the figure."""

TUNING, TESTS = range(100, 104), range(10)


def methods() -> dict[str, tuple[Make, dict[str, tuple[Any, ...]]]]:
    """Each method and the grid of its weights; costs are divided by the largest for all."""
    from ot import da

    eps, class_weight = (0.003, 0.01, 0.03, 0.1, 0.3), (0.01, 0.1, 1.0)
    entropic = {"norm": ["max"], "reg_e": eps}
    return {
        "EMDTransport": (da.EMDTransport, {"norm": ("max",)}),
        "SinkhornTransport": (da.SinkhornTransport, {**entropic, "max_iter": (5000,)}),
        "SinkhornLpl1Transport": (da.SinkhornLpl1Transport, {**entropic, "reg_cl": class_weight}),
        "SinkhornL1l2Transport": (da.SinkhornL1l2Transport, {**entropic, "reg_cl": class_weight}),
        "EMDLaplaceTransport": (
            da.EMDLaplaceTransport,
            {"norm": ("max",), "reg_lap": (0.1, 1.0, 10.0, 100.0, 1000.0), "reg_src": (0.5,)},
        ),
        "wp GroupLassoTransport": (
            wp.sklearn.GroupLassoTransport,
            {"reg": (0.003, 0.01, 0.03, 0.1, 0.3), "eta": class_weight},
        ),
        "wp SumOfNormsTransport": (
            wp.sklearn.SumOfNormsTransport,
            {
                "lam": (0.002, 0.005, 0.01, 0.02, 0.05),
                "target": ("gaussian", None),
                "tol": (1e-2,),
                "max_iter": (2000,),
            },
        ),
    }


def moons(degrees: float) -> Callable[[int], Any]:
    return lambda seed: wp.problems.rotated_moons(60, degrees, seed=seed)


PROBLEMS: dict[str, Callable[[int], Any]] = {
    "moons, 30 degrees": moons(30.0),
    "moons, 50 degrees": moons(50.0),
    "moons, 70 degrees": moons(70.0),
    "2 clouds, overlapping": lambda s: wp.problems.class_clouds(30, 2, noise=1.5, seed=s),
    "3 clouds, stretched x 3": lambda s: wp.problems.class_clouds(20, 3, noise=1.0, stretch=3.0, seed=s),
    "4 clouds, separated": lambda s: wp.problems.class_clouds(15, 4, noise=0.7, seed=s),
}


def settings(grid: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def accuracy(make: Make, options: dict[str, Any], clouds: Any) -> tuple[float, float]:
    """Share of targets that the nearest image of a source labels rightly, and seconds."""
    begin = time.perf_counter()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model = make(**options)
        images = model.fit_transform(Xs=clouds.sources, ys=clouds.source_labels, Xt=clouds.targets)
    seconds = time.perf_counter() - begin
    return (clouds.accuracy(images) if np.isfinite(images).all() else 0.0), seconds


def adaptation() -> Iterator[tuple[str, dict[str, tuple[float, float, float]]]]:
    """Per problem: mean accuracy, its standard error, median seconds of each method."""
    for name, make_problem in PROBLEMS.items():
        tuning, tests = [make_problem(s) for s in TUNING], [make_problem(s) for s in TESTS]
        found = {"no transport": statistics([(c.accuracy(c.sources), 0.0) for c in tests])}
        for method, (make, grid) in methods().items():
            options = settings(grid)
            best = options[0]
            if len(options) > 1:
                best = max(options, key=lambda o: np.mean([accuracy(make, o, c)[0] for c in tuning]))
            found[method] = statistics([accuracy(make, best, c) for c in tests])
        yield name, found


def statistics(runs: list[tuple[float, float]]) -> tuple[float, float, float]:
    values, times = np.asarray(runs).T
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), float(np.median(times))


def colour_plans(problem: Any) -> Iterator[tuple[str, np.ndarray, float]]:
    """Name, plan and seconds of each method, along its grid; shares of colours are the weights."""
    import ot
    from sklearn.cluster import KMeans

    a, b, C = problem.shares, problem.reference_shares, problem.cost
    x, y = problem.colours, problem.reference_colours
    labels = KMeans(6, n_init=1, random_state=0).fit(x).labels_
    near = {
        "row_weights": wp.transport.gaussian_weights(x, 0.15),
        "column_weights": wp.transport.gaussian_weights(y, 0.15),
        "tol": 1e-2,
        "max_iter": 3000,
    }
    eps = (0.002, 0.005, 0.01, 0.02, 0.05)
    runs: list[tuple[str, Callable[[], Any]]] = [("EMDTransport", lambda: ot.emd(a, b, C))]
    runs += [("SinkhornTransport", lambda e=e: ot.sinkhorn(a, b, C, e, "sinkhorn_log", 5000)) for e in eps]
    runs += [
        ("SinkhornLpl1Transport", lambda e=e, w=w: ot.da.sinkhorn_lpl1_mm(a, labels, b, C, e, w))
        for e in eps
        for w in (0.01, 0.1)
    ]
    runs += [
        ("SinkhornL1l2Transport", lambda e=e, w=w: ot.da.sinkhorn_l1l2_gl(a, labels, b, C, e, w))
        for e in eps
        for w in (0.01, 0.1)
    ]
    runs += [
        ("EMDLaplaceTransport", lambda w=w: ot.da.emd_laplace(a, b, x, y, C, eta=w, alpha=0.5))
        for w in (0.01, 0.1, 1.0, 10.0)
    ]
    runs += [
        ("wp SumOfNormsTransport", lambda w=w: wp.transport.sum_of_norms(C, a, b, lam=w, **near).rounded)
        for w in (0.001, 0.003, 0.01, 0.03, 0.1)
    ]
    for name, run in runs:
        begin = time.perf_counter()
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            plan = np.asarray(run())
        seconds = time.perf_counter() - begin
        if np.isfinite(plan).all() and plan.sum(axis=1).min() > 0:
            yield name, plan, seconds


def colours(count: int) -> tuple[dict[str, list[tuple[float, float, float]]], dict[str, np.ndarray], Any]:
    """Per method: spread of the images of near colours, distance to the reference's colours, seconds."""
    problem = wp.problems.colour_transfer(count)
    weights = wp.transport.gaussian_weights(problem.colours, 0.15).tocoo()
    found: dict[str, list[tuple[float, float, float]]] = {}
    pictures: dict[str, np.ndarray] = {}
    nearest: dict[str, float] = {}
    for name, plan, seconds in colour_plans(problem):
        images = plan @ problem.reference_colours / plan.sum(axis=1)[:, None]
        apart = np.linalg.norm(images[weights.row] - images[weights.col], axis=1)
        spread = float((weights.data * apart).sum() / weights.data.sum())
        cost = wp.transport.squared_distances(images, problem.reference_colours, normalise=False)
        distance = wp.transport.exact(cost, problem.shares, problem.reference_shares).value ** 0.5
        found.setdefault(name, []).append((spread, distance, seconds))
        if name not in pictures or abs(distance - SHOWN) < abs(nearest[name] - SHOWN):
            nearest[name], pictures[name] = distance, problem.recoloured(images)
    return found, pictures, problem


def spread_at(points: list[tuple[float, float, float]], level: float) -> float:
    """The spread on the broken line through a method's points, at one distance from the reference."""
    distances, spreads = np.asarray(sorted((d, s) for s, d, _ in points)).T
    return float(np.interp(level, distances, spreads, left=np.nan, right=np.nan))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", help="where to write the figure")
    parser.add_argument("--colours", type=int, default=32)
    args = parser.parse_args()
    # Compiled before anything is timed.
    accuracy(wp.sklearn.SumOfNormsTransport, {"lam": 0.01}, wp.problems.rotated_moons(60))
    names = ["no transport", *methods()]
    accuracies: dict[str, dict[str, tuple[float, float, float]]] = {}
    for problem, found in adaptation():
        accuracies[problem] = found
        print(problem, {k: f"{v[0]:.3f} +- {v[1]:.3f}, {v[2]:.3f} s" for k, v in found.items()}, flush=True)
    print(
        "\n| method | "
        + " | ".join(accuracies)
        + " | seconds |\n|---"
        + "|---:" * (len(accuracies) + 1)
        + "|"
    )
    for name in names:
        row = [accuracies[p][name] for p in accuracies]
        best = [max(v[0] for v in accuracies[p].values()) for p in accuracies]
        shown = [
            f"**{v[0]:.3f}**" if v[0] >= b - 1e-9 else f"{v[0]:.3f}" for v, b in zip(row, best, strict=True)
        ]
        print(f"| {name} | " + " | ".join(shown) + f" | {np.median([v[2] for v in row]):.3f} |")
    found, pictures, problem = colours(args.colours)
    levels = (0.055, 0.065, 0.08)
    print(
        "\n| method | "
        + " | ".join(f"spread at distance {v}" for v in levels)
        + " | seconds |\n|---|---:|---:|---:|---:|"
    )
    for name, points in found.items():
        shown = " | ".join(f"{spread_at(points, v):.4f}" for v in levels)
        print(f"| {name} | {shown} | {np.median([p[2] for p in points]):.3f} |")
    if args.figure:
        draw(accuracies, found, pictures, problem).savefig(args.figure, dpi=80)


def draw(accuracies: Any, found: Any, pictures: Any, problem: Any) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6.5), layout="constrained")
    left, right = figure.subfigures(2, 1, height_ratios=(1.6, 1))
    bars, curve = left.subplots(1, 2, width_ratios=(1.6, 1))
    names = list(next(iter(accuracies.values())))
    for k, name in enumerate(names):
        values = [accuracies[p][name][0] for p in accuracies]
        errors = [accuracies[p][name][1] for p in accuracies]
        at = np.arange(len(values)) + (k - len(names) / 2) * 0.1
        bars.bar(at, values, 0.1, yerr=errors, label=name)
    bars.set(ylim=(0.5, 1.0), ylabel="accuracy on the targets")
    bars.set_xticks(range(len(accuracies)), [p.replace(", ", ",\n") for p in accuracies], fontsize=8)
    bars.legend(fontsize=7, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.17))
    for name, points in found.items():
        line = sorted((d, s) for s, d, _ in points)
        curve.plot(*np.asarray(line).T, "o-", ms=4, label=name)
    curve.set(xlabel="distance of the moved colours to the reference's", ylabel="spread of near colours")
    curve.legend(fontsize=7)
    shown = {"image": problem.image, "reference": problem.reference, **pictures}
    keep = ("image", "reference", "EMDTransport", "SinkhornTransport", "wp SumOfNormsTransport")
    for ax, name in zip(right.subplots(1, len(keep)), keep, strict=True):
        ax.imshow(shown[name])
        ax.set_axis_off()
        ax.set_title(name, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
