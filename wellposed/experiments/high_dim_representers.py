r"""High-dimensional representers: sums of training samples that explain sparse and low-rank models.

C.-P. Tsai, J. Zhang, E. Chien, H.-F. Yu, C.-J. Hsieh and P. Ravikumar, Representer point selection for
explaining regularized high-dimensional models, ICML 2023, arXiv 2305.20002. L1 logistic regression with few
relevant features, and completion of low-rank ratings; the paper's data sets (text, MovieLens) are replaced by
drawn ones. Deletion curves: remove the samples that a method holds responsible, fit again, and record the
change of the prediction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.problems.sparse_models import Ratings, low_rank_ratings, sparse_classification

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIGHT = 1e-12
METHODS = ("representer", "l2 representer", "influence", "random")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    samples: int
    features: int
    tests: int
    seeds: int
    cells: int
    levels: tuple[float, ...] = (0.01, 0.02, 0.03, 0.04, 0.05)
    stops: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-8)
    tol: float = 1e-5


SMALL = Size(samples=400, features=1000, tests=8, seeds=3, cells=20)
FULL = Size(samples=400, features=1000, tests=15, seeds=10, cells=100)


def logistic(X: np.ndarray, y: np.ndarray) -> wp.Objective:
    """L1 logistic regression with ``C = 1`` and no intercept."""
    return wp.LogisticLoss(wp.operators.Matrix(X), y) + 1.0 * wp.L1()


def importances(X: np.ndarray, y: np.ndarray, theta: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """What each method says that each sample adds to a prediction, as a function of the target."""
    objective = logistic(X, y)
    explained = wp.representers(objective, theta)
    margins = X @ theta
    slopes = -y / (1 + np.exp(y * margins))
    used = theta != 0
    p = 1 / (1 + np.exp(-margins))
    hessian = (X[:, used].T * (p * (1 - p))) @ X[:, used] + 1e-6 * np.eye(used.sum())
    return {
        "representer": explained.values,
        "l2 representer": lambda target: -slopes * (X @ target),
        "influence": lambda target: -slopes * (X[:, used] @ np.linalg.solve(hessian, target[used])),
        "random": lambda target: rng.standard_normal(len(X)),
    }


def deletion_curves(size: Size, seed: int) -> dict[str, np.ndarray]:
    """Changes of the predictions: arrays of shape (test points, modes, levels), by method."""
    problem = sparse_classification(size.samples, size.features, tests=size.tests, seed=seed)
    X, y = problem.features, problem.labels
    whole = wp.minimize(logistic(X, y), tol=TIGHT)
    methods = importances(X, y, whole.x, np.random.default_rng([seed, 1]))
    counts = [round(level * size.samples) for level in size.levels]
    changes = {name: np.zeros((size.tests, 2, len(counts))) for name in METHODS}
    for t, target in enumerate(problem.test_features):
        for name, values in methods.items():
            order = np.argsort(values(target))
            for mode, ranked in enumerate((order[::-1], order)):
                start = whole.x
                for k, count in enumerate(counts):
                    kept = np.sort(ranked[count:])
                    start = wp.minimize(logistic(X[kept], y[kept]), x0=start, tol=size.tol).x
                    changes[name][t, mode, k] = target @ (start - whole.x)
    return changes


def areas(size: Size, seed: int) -> dict[str, np.ndarray]:
    """The changes of all seeds, by method: shape (seeds * test points, modes, levels)."""
    runs = [deletion_curves(size, s) for s in range(seed, seed + size.seeds)]
    return {name: np.concatenate([r[name] for r in runs]) for name in METHODS}


def deletion_claims(changes: dict[str, np.ndarray]) -> Iterator[Claim]:
    """The order of the methods in both modes."""
    for mode, word in enumerate(("positive", "negative")):
        area = {name: float(c[:, mode].mean()) for name, c in changes.items()}
        sign = -1 if mode == 0 else 1
        shown = ", ".join(f"{name} {value:.2f}" for name, value in area.items())
        yield at_least(
            f"AUC-DEL of the representer over that of the l2 representer, {word} mode",
            area["representer"] / area["l2 representer"],
            1.0,
            f"Mean change of a prediction. {shown}",
        )
        yield at_least(
            f"AUC-DEL of the representer, signed, over five times the size of random deletion, {word} mode",
            sign * area["representer"] / (5 * abs(area["random"])),
            1.0,
            "Influence functions need the inverse of a Hessian on the support, and are the stronger ranking "
            "at this size.",
        )


def identities(size: Size, seed: int) -> tuple[dict[str, float], list[Claim]]:
    """Values add up to predictions; kernels are positive semi-definite; unused features do not matter."""
    problem = sparse_classification(size.samples, size.features, tests=20, seed=seed)
    X, y, targets = problem.features, problem.labels, problem.test_features
    A = wp.operators.Matrix(X)
    smooth = X @ problem.truth + np.random.default_rng([seed, 2]).standard_normal(len(X))
    objectives = {
        "Lasso": wp.LeastSquares(A, smooth) + 3.0 * wp.L1(),
        "logistic": logistic(X, y),
        "elastic net": wp.LeastSquares(A, smooth) + wp.ElasticNet(3.0, 2.0),
        "Lasso, intercept": wp.LeastSquares(A, smooth + 5, intercept=True) + 3.0 * wp.L1(),
    }
    errors = {}
    for name, objective in objectives.items():
        explained = wp.representers(objective, wp.minimize(objective, tol=TIGHT))
        largest = np.abs(targets @ explained.x).max()
        errors[name] = float(max(abs(explained.remainder(t)) for t in targets) / largest)
    formula, worst = early_stops(objectives["Lasso"], X, targets, size)
    errors["Lasso, |theta| / lambda in the formula"] = formula[-1]
    explained = wp.representers(objectives["Lasso"], wp.minimize(objectives["Lasso"], tol=TIGHT))
    gram = np.stack([explained.kernel(row) for row in X])
    least = float(np.linalg.eigvalsh(gram)[0])
    return errors, [
        at_most(
            "relative error of the sum of values: Lasso, logistic, elastic net, intercept",
            max(errors.values()),
            1e-6,
            "With theta / v in place of |theta| / lambda the sum is exact to rounding at any tolerance.",
        ),
        at_most(
            "error of the sum with |theta| / lambda over its bound by the error of the optimality condition, "
            "solver stopped early",
            worst,
            1.0 + 1e-6,
            "Relative errors: "
            + ", ".join(f"tol {s:g}: {e:.1g}" for s, e in zip(size.stops, formula, strict=False)),
        ),
        at_least("least eigenvalue of the kernel between samples, Lasso", least, -1e-10),
        unused_features(explained, X, targets, seed),
    ]


def early_stops(
    objective: wp.Objective, X: np.ndarray, targets: np.ndarray, size: Size
) -> tuple[list[float], float]:
    """Errors of the paper's formula at runs stopped early, and the worst ratio to the bound."""
    errors, worst = [], 0.0
    lam = 3.0
    for tol in (*size.stops, TIGHT):
        result = wp.minimize(objective, tol=tol, solver="fista", max_iter=100_000)
        theta = result.x
        v = X.T @ (objective.terms[0].b - X @ theta) / lam
        sums = targets @ (np.abs(theta) * v)
        residual = np.abs(v - np.sign(theta))[theta != 0].max()
        off = np.abs(sums - targets @ theta)
        errors.append(float(off.max() / np.abs(targets @ theta).max()))
        worst = max(worst, float((off / (residual * (np.abs(targets) @ np.abs(theta)) + 1e-13)).max()))
    return errors, worst


def unused_features(explained: wp.Representers, X: np.ndarray, targets: np.ndarray, seed: int) -> Claim:
    """What changes when features that the model does not use are drawn anew in the targets."""
    rng = np.random.default_rng([seed, 3])
    other = np.where(explained.x != 0, targets, rng.standard_normal(targets.shape))
    moved = max(
        float(np.abs(explained.kernel(a) - explained.kernel(b)).max())
        for a, b in zip(targets, other, strict=True)
    )
    plain = float(np.abs(X @ (targets - other).T).max())
    return at_most(
        "change of the similarities when features are changed that the model does not use",
        moved,
        1e-12,
        f"The similarities of the l2 representer change by up to {plain:.2g}.",
    )


def completion(ratings: Ratings) -> wp.Objective:
    """The sum of squared errors over two, and 1.5 times the nuclear norm."""
    return wp.LeastSquares(wp.operators.Mask(ratings.observed), ratings.values) + 1.5 * wp.NuclearNorm()


def without(ratings: Ratings, cells: np.ndarray) -> Ratings:
    """The ratings with some, given by their places in the flattened matrix, removed."""
    observed = ratings.observed.copy()
    observed.reshape(-1)[cells] = False
    return Ratings(ratings.truth, observed, np.where(observed, ratings.values, 0.0))


def low_rank(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """Decompositions of a prediction, and what deleting five ratings does to it."""
    ratings = low_rank_ratings(seed=seed)
    objective = completion(ratings)
    result = wp.minimize(objective, tol=TIGHT, max_iter=20_000)
    rng = np.random.default_rng([seed, 4])
    cells = rng.choice(ratings.truth.size, size.cells, replace=False)
    targets = [(np.arange(ratings.truth.size) == c).reshape(ratings.truth.shape) * 1.0 for c in cells]
    sides = {s: wp.representers(objective, result, s) for s in ("rows", "columns", "two-sided", "both")}
    scale = float(np.abs(result.x.reshape(-1)[cells]).max())
    errors = {s: max(abs(e.remainder(t)) for t in targets) / scale for s, e in sides.items()}
    deleted: list[float] = []
    chance: list[float] = []
    for cell, target in zip(cells, targets, strict=True):
        values = sides["both"].values(target).reshape(-1)
        around = np.flatnonzero(values)
        top = around[np.argsort(values[around])[::-1][:5]]
        picks = (top, rng.choice(around, 5, replace=False))
        for chosen, changes in zip(picks, (deleted, chance), strict=True):
            again = wp.minimize(completion(without(ratings, chosen)), x0=result.x, tol=size.tol)
            changes.append(float((again.x - result.x).reshape(-1)[cell]))
    mean, random = float(np.mean(deleted)), float(np.mean(np.abs(chance)))
    numbers = {
        "errors": errors,
        "deleted": deleted,
        "random": chance,
        "rank": int(np.linalg.matrix_rank(result.x, 1e-6)),
    }
    return numbers, [
        at_most(
            "relative error of the sums: rows, columns, two-sided, their mean", max(errors.values()), 1e-6
        ),
        at_most(
            "change of a predicted rating when the 5 that raise it most are deleted",
            mean,
            0.0,
            f"{size.cells} cells; standard error {np.std(deleted) / np.sqrt(len(deleted)):.2g}",
            "negative",
        ),
        at_least(
            "size of this change over that for 5 random ratings of the same user or item",
            -mean / random,
            2.0,
            f"{mean:.3g} against {random:.3g}",
        ),
    ]


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first data set; the others follow.

    Returns
    -------
    Report
    """
    errors, exact = identities(size, seed)
    ratings, decomposed = low_rank(size, seed)
    changes = areas(size, seed)
    claims = (*exact, *decomposed, *deletion_claims(changes))
    curves = {name: c.mean(axis=0).tolist() for name, c in changes.items()}
    spread = {
        name: (1.96 * c.mean(axis=2).std(axis=0) / np.sqrt(len(c))).tolist() for name, c in changes.items()
    }
    numbers = {"errors": errors, "ratings": ratings, "curves": curves, "1.96 standard errors": spread}
    return Report(claims, draw(changes, ratings, size), asdict(size), numbers)


def draw(changes: dict[str, np.ndarray], ratings: dict[str, Any], size: Size) -> Figure:
    """Deletion curves of both modes, and the changes of ratings."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    percent = [100 * level for level in size.levels]
    for mode, (ax, word) in enumerate(((left, "positive"), (middle, "negative"))):
        for name, c in changes.items():
            error = 1.96 * c[:, mode].std(axis=0) / np.sqrt(len(c))
            ax.errorbar(percent, c[:, mode].mean(axis=0), error, marker="o", capsize=2, label=name)
        ax.axhline(0, color="0.7", lw=0.8)
        ax.set(title=f"L1, most {word} deleted", xlabel="samples deleted (%)")
    left.set_ylabel("change of the prediction")
    left.legend()
    right.boxplot([ratings["deleted"], ratings["random"]], tick_labels=["5 largest values", "5 at random"])
    right.axhline(0, color="0.7", lw=0.8)
    right.set(title="nuclear norm, ratings deleted", ylabel="change of the predicted rating")
    return figure


EXPERIMENT = Experiment(
    "Representers of sparse and low-rank models: sums over training samples, and deletion curves",
    "Tsai, Zhang, Chien, Yu, Hsieh, Ravikumar, ICML 2023, arXiv 2305.20002",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
