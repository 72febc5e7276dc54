r"""Class-based optimal transport with a sum-of-norms penalty: recovery of classes, and what it gains.

A. Rahbar, A. Panahi, M. H. Chehreghani, D. Dubhashi and H. Krim, Recovery bounds on class-based optimal
transport: a sum-of-norms regularization framework, ICML 2023, arXiv 1903.03850. Random classes of points; the
bound of recovery is the one of `recovery_bound`, derived from the optimality conditions. The paper's own
numbers could not be read, so claims are those that its text makes, at sizes chosen here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.problems.transport import ClassClouds, class_clouds, colour_transfer, rotated_moons

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the bound of recovery: the weights of the path."""

METHODS = ("exact", "entropic", "group lasso", "laplacian", "sum of norms")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    seeds: int
    moons: int
    colours: int
    large: int
    tol: float = 1e-4


SMALL = Size(seeds=4, moons=40, colours=24, large=200)
FULL = Size(seeds=20, moons=60, colours=64, large=1000)


def plans(
    clouds: ClassClouds, row_weights: Any, column_weights: Any, lam: float, tol: float
) -> dict[str, np.ndarray]:
    """The plan of each method; sources have labels, targets have none."""
    cost, n = clouds.cost, len(clouds.cost)
    return {
        "exact": wp.transport.exact(cost).plan,
        "entropic": wp.transport.entropic(cost, eps=0.02).plan,
        "group lasso": wp.transport.group_lasso(
            cost, labels=clouds.source_labels, reg=0.01 * cost.size, eta=0.1
        ).rounded,
        "laplacian": laplacian_plan(clouds),
        "sum of norms": wp.transport.sum_of_norms(
            cost,
            lam=lam * 10 / n,
            row_weights=row_weights,
            column_weights=column_weights,
            tol=tol,
            max_iter=20_000,
        ).rounded,
    }


def laplacian_plan(clouds: ClassClouds) -> np.ndarray:
    """POT's transport with Laplacian regularisation."""
    import ot

    n = len(clouds.cost)
    ones = np.full(n, 1 / n)
    return np.asarray(
        ot.da.emd_laplace(ones, ones, clouds.sources, clouds.targets, clouds.cost, eta=1.0, alpha=0.5)
    )


def recovery(size: Size, seed: int) -> tuple[list[dict[str, Any]], list[Claim]]:
    """Plans at the bound of recovery, and the mass between classes along the path of weights."""
    rows = []
    for s in range(seed, seed + size.seeds):
        clouds = class_clouds(seed=s)
        pairs = wp.transport.class_weights(clouds.source_labels)
        bound = wp.transport.recovery_bound(clouds.cost, clouds.source_labels, clouds.target_labels)
        same = clouds.source_labels[:, None] == clouds.target_labels
        path = [
            wp.transport.sum_of_norms(
                clouds.cost,
                lam=share * bound,
                row_weights=pairs,
                column_weights=pairs,
                tol=size.tol,
                max_iter=20_000,
            )
            for share in SHARES
        ]
        rows.append(
            {
                "seed": s,
                "bound": bound,
                "exact": clouds.mixed_mass(wp.transport.exact(clouds.cost).plan),
                "path": [clouds.mixed_mass(r.rounded) for r in path],
                "distance to blocks": float(np.abs(path[-1].rounded - same / same.sum()).max()),
                "gap": max(r.certificate.relative for r in path),
            }
        )
    count = f"{len(rows)} random problems of two classes"
    half = sum(r["path"][SHARES.index(0.5)] < 1e-6 for r in rows)
    return rows, [
        at_most(
            f"largest distance of the plan to the blocks of classes, at the bound of recovery, {count}",
            max(r["distance to blocks"] for r in rows),
            1e-6,
        ),
        at_least(
            "mean mass between classes of the exact plan over that at the bound of recovery plus 1e-6",
            float(np.mean([r["exact"] for r in rows])) / (max(r["path"][-1] for r in rows) + 1e-6),
            10.0,
            "The exact plan mixes classes where they overlap.",
        ),
        Claim(
            "no mass between classes already at half the bound (the bound is sufficient, not sharp)",
            "each problem",
            f"{half} of {len(rows)}",
            half == len(rows),
        ),
        at_most("largest relative duality gap on the path", max(r["gap"] for r in rows), size.tol),
    ]


def geometries(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """Mass between classes of the plan of each method, with two and with four classes in a row."""
    masses: dict[str, Any] = {}
    shown: dict[str, np.ndarray] = {}
    claims = []
    for classes in (2, 4):
        found: dict[str, list[float]] = {name: [] for name in METHODS}
        farthest = 0.0
        for s in range(seed, seed + size.seeds):
            clouds = class_clouds(classes=classes, seed=s)
            pairs = wp.transport.class_weights(clouds.source_labels)
            bound = wp.transport.recovery_bound(clouds.cost, clouds.source_labels, clouds.target_labels)
            same = clouds.source_labels[:, None] == clouds.target_labels
            # plans() gives the weight for 10 points and scales it.
            made = plans(clouds, pairs, pairs, bound * len(clouds.cost) / 10, size.tol)
            above = wp.transport.sum_of_norms(
                clouds.cost, lam=2 * bound, row_weights=pairs, column_weights=pairs
            ).rounded
            for name, plan in made.items():
                found[name].append(clouds.mixed_mass(plan))
            for plan in (made["sum of norms"], above):
                farthest = max(farthest, float(np.abs(plan - same / same.sum()).max()))
            shown = made if s == seed else shown
        means = {name: float(np.mean(values)) for name, values in found.items()}
        masses[f"{classes} classes"] = means
        others = min(means[name] for name in METHODS[:-1])
        count = f"{classes} classes, {size.seeds} random problems"
        claims.append(
            Claim(
                f"mean mass between classes, {count}: {', '.join(METHODS)}",
                "least for the last",
                " ".join(f"{means[name]:.3g}" for name in METHODS),
                means["sum of norms"] <= others + 1e-9,
                "At the bound of recovery; only the sum of norms is told the classes of the targets.",
            )
        )
        claims.append(
            at_most(
                f"largest distance to blocks, at the bound and at twice the bound, {count}", farthest, 1e-6
            )
        )
    return {"masses": masses, "plans": shown}, claims


def adaptation(size: Size, seed: int) -> tuple[dict[str, float], Iterator[Claim]]:
    """Domain adaptation between moons turned by 50 degrees, sources labelled, against other penalties."""
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for s in range(seed, seed + min(size.seeds, 5)):
        clouds = rotated_moons(size.moons, seed=s)
        rows = wp.transport.class_weights(clouds.source_labels)
        columns = wp.transport.gaussian_weights(clouds.targets)
        for name, plan in plans(clouds, rows, columns, 0.02, 1e-2).items():
            images = plan @ clouds.targets / plan.sum(axis=1, keepdims=True)
            found[name].append(clouds.accuracy(images))
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means, (
        at_least(
            f"accuracy of sum of norms minus that of {name}, moons turned by 50 degrees",
            means["sum of norms"] - means[name],
            0.0,
            "The paper's order; weights of the penalties fixed beforehand, not tuned on the targets.",
        )
        for name in METHODS[:-1]
    )


def colours(size: Size, seed: int) -> tuple[dict[str, Any], Claim]:
    """Colour transfer: how far apart the images of similar colours come to lie."""
    problem = colour_transfer(size.colours, seed=seed)
    weights = wp.transport.gaussian_weights(problem.colours, 0.15)
    others = wp.transport.gaussian_weights(problem.reference_colours, 0.15)
    i, j = weights.nonzero()

    def spread(result: Any) -> float:
        images = result.rounded @ problem.reference_colours / problem.shares[:, None]
        return float(np.sum(weights[i, j] * np.linalg.norm(images[i] - images[j], axis=1)) / 2)

    marginals = (problem.cost, problem.shares, problem.reference_shares)
    lams = (0.002, 0.01, 0.05)
    results = [
        wp.transport.sum_of_norms(
            *marginals, lam=lam, row_weights=weights, column_weights=others, tol=1e-2, max_iter=3000
        )
        for lam in lams
    ]
    first = wp.transport.exact(*marginals)
    spreads = [spread(first), *map(spread, results)]
    falls = all(a > b for a, b in itertools.pairwise(spreads))
    pictures = {
        "image": problem.image,
        "exact": problem.recoloured(first.barycentric(problem.reference_colours)),
        "sum of norms": problem.recoloured(results[1].barycentric(problem.reference_colours)),
    }
    shown = " ".join(f"{s:.3g}" for s in spreads)
    claim = Claim("spread of the images of similar colours, from exact to lam = 0.05", "falls", shown, falls)
    return {"lam": (0.0, *lams), "spread": spreads, "pictures": pictures}, claim


def large(size: Size, seed: int) -> tuple[dict[str, float], list[Claim]]:
    """Time and gap with many points."""
    clouds = class_clouds(size.large // 4, 4, noise=1.0, seed=seed)
    pairs = wp.transport.class_weights(clouds.source_labels)
    bound = wp.transport.recovery_bound(clouds.cost, clouds.source_labels, clouds.target_labels)
    result = wp.transport.sum_of_norms(
        clouds.cost, lam=0.2 * bound, row_weights=pairs, column_weights=pairs, tol=1e-3
    )
    points = f"{len(clouds.cost)} x {len(clouds.cost)} points"
    return {"seconds": result.seconds, "iterations": result.iterations}, [
        at_most(f"relative duality gap, {points}, a fifth of the bound", result.certificate.relative, 1e-3),
        at_most(f"seconds, {points}, a fifth of the bound", result.seconds, 60.0),
    ]


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first random problem; the others follow.

    Returns
    -------
    Report
    """
    rows, recovered = recovery(size, seed)
    compared, apart = geometries(size, seed)
    accuracies, adapted = adaptation(size, seed)
    coloured, fewer = colours(size, seed)
    timed, quick = large(size, seed)
    numbers = {
        "recovery": rows,
        "mass between classes": compared["masses"],
        "accuracy": accuracies,
        "colour transfer": {"lam": list(coloured["lam"]), "spread": coloured["spread"]},
        "large": timed,
    }
    return Report(
        (*recovered, *apart, *adapted, fewer, *quick),
        draw(rows, compared["plans"], accuracies, coloured),
        asdict(size),
        numbers,
    )


def draw(
    rows: list[dict[str, Any]],
    shown: dict[str, np.ndarray],
    accuracies: dict[str, float],
    coloured: dict[str, Any],
) -> Figure:
    """Mass between classes along the path, plans, accuracies, and the pictures of the colour transfer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 10), layout="constrained")
    bands: Any = figure.subfigures(3, 1, height_ratios=(1.3, 0.9, 1))
    upper, middle, lower = bands
    axes = upper.subplots(1, 3)
    for row in rows[:8]:
        axes[0].plot((0.0, *SHARES), (row["exact"], *row["path"]), "o-", label=f"seed {row['seed']}")
    axes[0].set(xlabel="weight over the bound of recovery", ylabel="mass between classes")
    axes[0].legend()
    axes[1].barh(list(accuracies), list(accuracies.values()))
    axes[1].set(xlabel="accuracy, moons turned by 50 degrees", xlim=(0.5, 1))
    axes[2].plot(coloured["lam"], coloured["spread"], "o-")
    axes[2].set(xlabel="lam", ylabel="spread of images of similar colours")
    middle.suptitle("plans between four classes in a row, sources down, targets across")
    for ax, (name, plan) in zip(middle.subplots(1, len(shown)), shown.items(), strict=True):
        ax.imshow(plan, cmap="viridis", vmin=0)
        ax.set(title=name, xticks=[], yticks=[])
    for ax, (name, picture) in zip(lower.subplots(1, 3), coloured["pictures"].items(), strict=True):
        ax.imshow(picture)
        ax.set_axis_off()
        ax.set_title(name)
    return figure


EXPERIMENT = Experiment(
    "Class-based optimal transport with a sum-of-norms penalty",
    "Rahbar, Panahi, Chehreghani, Dubhashi, Krim, ICML 2023, arXiv 1903.03850",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
