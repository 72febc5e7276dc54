r"""The convex envelope of a squared norm under a limit on the number of groups: regression and training.

Y. Refael, I. Arbel and W. Huleihel, Learning k-level structured sparse neural networks using group envelope
regularization, arXiv 2212.12921 (2024). Two small stand-ins for the paper's networks: linear regression with
six active groups of columns, and a network 64-64-10 for the digits of scikit-learn, whose hidden neurons
(their incoming weights) are the groups, trained by proximal stochastic gradients.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.experiments._small_network import Digits, train
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import Zero
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.groups import GroupL2
from wellposed.functionals.sparse_envelope import SparseEnvelope
from wellposed.operators.matrices import Matrix
from wellposed.solvers.minimize import minimize

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = 16
"""Hidden neurons that remain."""


LISTED = (0.01, 0.03, 0.1, 0.3, 1.0)
"""Weights of the regression for which numbers of groups are expected to fall."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    columns: int = 200
    group: int = 5
    active: int = 6
    noise: float = 0.1
    weights: tuple[float, ...] = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
    regressions: int = 3
    trainings: int = 3
    epochs: int = 40
    training_weights: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    entries: int = 1_000_000


SMALL = Size()
FULL = Size(
    regressions=20, trainings=10, epochs=100, training_weights=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3)
)


# --- regression -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """Noisy data of a vector of which few groups are not zero."""

    truth: np.ndarray
    matrix: np.ndarray
    y: np.ndarray
    labels: np.ndarray

    @classmethod
    def simulate(cls, size: Size, seed: int) -> Regression:
        """Columns of length about 1; entries of the active groups, and the noise, are Gaussian."""
        rng = np.random.default_rng([seed, 10])
        n = size.columns
        matrix = rng.standard_normal((n, n)) / np.sqrt(n)
        labels = np.arange(n) // size.group
        active = rng.choice(n // size.group, size.active, replace=False)
        truth = np.where(np.isin(labels, active), rng.standard_normal(n), 0.0)
        return cls(truth, matrix, matrix @ truth + size.noise * rng.standard_normal(n), labels)

    @cached_property
    def fit(self) -> LeastSquares:
        """The data fit."""
        return LeastSquares(Matrix(self.matrix), self.y)

    def solve(self, penalty: Functional, weight: float) -> np.ndarray:
        """Minimise with a penalty."""
        x: np.ndarray = minimize(self.fit + weight * penalty, tol=1e-6, max_iter=50_000, progress=False).x
        return x

    def error(self, x: np.ndarray) -> float:
        """Distance to the truth."""
        return float(np.linalg.norm(x - self.truth))

    def sizes(self, x: np.ndarray) -> np.ndarray:
        """Norms of the groups."""
        squares: np.ndarray = np.bincount(self.labels, x * x)
        norms: np.ndarray = np.sqrt(squares)
        return norms

    def largest(self, x: np.ndarray, count: int) -> set[int]:
        """The groups of largest norm."""
        return set(np.argsort(-self.sizes(x), kind="stable")[:count].tolist())

    def refit(self, groups: set[int]) -> np.ndarray:
        """Least squares on some groups, without any penalty."""
        kept = np.isin(self.labels, list(groups))
        x = np.zeros_like(self.truth)
        x[kept] = np.linalg.lstsq(self.matrix[:, kept], self.y, rcond=None)[0]
        return x


def compare(size: Size, seed: int) -> dict[str, Any]:
    """Errors, numbers of groups and supports along both paths of weights."""
    data = Regression.simulate(size, seed)
    right = data.largest(data.truth, size.active)
    row: dict[str, Any] = {"seed": seed, "right": [], "refit": []}
    for name, penalty in (
        ("envelope", SparseEnvelope(size.active, data.labels)),
        ("lasso", GroupL2(data.labels)),
    ):
        xs = [data.solve(penalty, w) for w in size.weights]
        row[name] = {
            "error": [data.error(x) for x in xs],
            "groups": [int(np.sum(data.sizes(x) > 1e-8)) for x in xs],
        }
        if name == "envelope":
            tops = [data.largest(x, size.active) for x in xs]
            row["right"] = [top == right for top in tops]
            row["refit"] = [data.error(data.refit(top)) for top in tops]
    return row


def _best(row: dict[str, Any], name: str) -> tuple[float, int]:
    """Least error along a path, and the number of groups there."""
    k = int(np.argmin(row[name]["error"]))
    return row[name]["error"][k], row[name]["groups"][k]


def regression_claims(rows: list[dict[str, Any]], size: Size) -> Iterator[Claim]:
    """Support, refit, sparsity along the path, and the comparison with the group lasso."""
    right = [r for row in rows for r in row["right"]]
    yield Claim(
        f"regression: the {size.active} largest groups are the true ones",
        "each weight and seed",
        f"{sum(right)} of {len(right)}",
        all(right),
    )
    refits = [r for row in rows for r in row["refit"]]
    yield at_most("regression: error of the fit on those groups, largest", max(refits), 0.9)
    coarse = [k for k, w in enumerate(size.weights) if w in LISTED]
    counts = [row["envelope"]["groups"] for row in rows]
    falls = all(c[i] >= c[j] for c in counts for i, j in itertools.pairwise(coarse))
    rises = sum(a < b for c in counts for a, b in itertools.pairwise(c))
    shown = "; ".join(
        f"{w:g}: {min(c)} to {max(c)}" for w, c in zip(size.weights, zip(*counts, strict=True), strict=True)
    )
    yield Claim(
        "regression: number of groups from one to the next of the weights "
        + ", ".join(f"{size.weights[k]:g}" for k in coarse),
        "falls, each seed",
        "falls" if falls else "does not fall",
        falls,
        f"Weight: groups over the seeds, of {size.columns // size.group}. {shown}. "
        f"Between neighbours of all these weights it rises {rises} times.",
    )
    pairs = [(_best(row, "envelope"), _best(row, "lasso")) for row in rows]
    ratios = [e[0] / lasso[0] for e, lasso in pairs]
    each = "Error (groups), envelope against group lasso: " + ", ".join(
        f"{e[0]:.2f} ({e[1]}) : {lasso[0]:.2f} ({lasso[1]})" for e, lasso in pairs
    )
    yield at_most(
        "regression: best error over that of the group lasso, mean", float(np.mean(ratios)), 1.0, each
    )
    sparser = float(np.mean([e[1] - lasso[1] for e, lasso in pairs]))
    yield at_most(
        "regression: groups at the best error less those of the group lasso, mean",
        sparser,
        0.0,
        "The paper's claim of more sparsity at equal accuracy.",
    )
    refit = float(
        np.mean([min(row["refit"]) / lasso[0] for row, (_, lasso) in zip(rows, pairs, strict=True)])
    )
    yield at_most("regression: error after the refit over the best of the group lasso, mean", refit, 1.0)


# --- training -------------------------------------------------------------------------------------


def train_all(size: Size, seed: int) -> dict[str, Any]:
    """Accuracy before and after neurons are dropped, at the weight of each method that is best for it.

    The best weight has the highest accuracy after the selection, on images that are not tested on.
    """
    data = Digits.load(seed)
    groups = np.repeat(np.arange(64), 64).reshape(64, 64)
    row: dict[str, Any] = {"seed": seed}
    for name, penalty, weights in (
        ("no penalty", Zero(), (1.0,)),
        ("group lasso", GroupL2(groups), size.training_weights),
        ("envelope", SparseEnvelope(KEPT, groups), size.training_weights),
    ):
        tried = [(w, train(data, penalty, w, size.epochs, seed)) for w in weights]
        weight, network = max(tried, key=lambda t: t[1].keeping(KEPT).accuracy(data.parts["choose"]))
        row[name] = {
            "weight": weight,
            "accuracy": network.accuracy(data.parts["test"]),
            "accuracy of the kept": network.keeping(KEPT).accuracy(data.parts["test"]),
            "neurons": int(np.sum(network.sizes > 0)),
            "sizes": sorted(network.sizes.tolist(), reverse=True),
        }
    return row


def training_claims(rows: list[dict[str, Any]]) -> Iterator[Claim]:
    """What the selection costs, and what training without a penalty or with the group lasso gives."""
    drops = [100 * (r["envelope"]["accuracy"] - r["envelope"]["accuracy of the kept"]) for r in rows]
    each = "; ".join(
        f"seed {r['seed']}, weight {r['envelope']['weight']:g}, {r['envelope']['neurons']} neurons, "
        f"{100 * r['envelope']['accuracy']:.1f} to {100 * r['envelope']['accuracy of the kept']:.1f} %"
        for r in rows
    )
    yield at_most(
        f"digits: points of accuracy lost when {KEPT} of 64 neurons are kept, largest", max(drops), 4.0, each
    )
    for other in ("no penalty", "group lasso"):
        gains = [
            100 * (r["envelope"]["accuracy of the kept"] - r[other]["accuracy of the kept"]) for r in rows
        ]
        shown = ", ".join(f"{100 * r[other]['accuracy of the kept']:.1f} %" for r in rows)
        yield at_least(
            f"digits: accuracy with {KEPT} neurons, points above {other}, mean",
            float(np.mean(gains)),
            0.0,
            f"Accuracies with {other}: {shown}",
        )


# --- the proximal map -----------------------------------------------------------------------------


def prox_claims(size: Size, seed: int) -> Iterator[Claim]:
    """Its cost, and how many groups it leaves."""
    rng = np.random.default_rng([seed, 13])
    v = rng.standard_normal(size.entries)
    f = SparseEnvelope(size.entries // 100)
    seconds = []
    for _ in range(5):
        begun = time.process_time()
        f.prox(v, 0.7)
        seconds.append(time.process_time() - begun)
    yield at_most(f"seconds of the processor for a proximal map of {size.entries} groups", min(seconds), 1.0)
    v = rng.standard_normal((6, 3))
    labels = np.repeat(np.arange(6), 3).reshape(6, 3)
    left = {
        k: [int(np.any(SparseEnvelope(k, labels).prox(v, t), axis=1).sum()) for t in (0.7, 7.0, 700.0)]
        for k in (1, 2, 4)
    }
    yield Claim(
        "groups left by one proximal map with k = 1, 2, 4 and step 0.7, of 6",
        "more than k for some k",
        ", ".join(str(n[0]) for n in left.values()),
        any(n[0] > k for k, n in left.items()),
    )
    yield Claim(
        "the same with steps 7 and 700",
        "falls to at most k",
        ", ".join(f"{n[1]} and {n[2]}" for n in left.values()),
        all(n[0] >= n[1] >= n[2] <= k for k, n in left.items()),
    )


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
    regressions = [compare(size, s) for s in range(seed, seed + size.regressions)]
    trainings = [train_all(size, s) for s in range(seed, seed + size.trainings)]
    claims = (
        *regression_claims(regressions, size),
        *training_claims(trainings),
        *prox_claims(size, seed),
    )
    numbers = {"regression": regressions, "digits": trainings}
    return Report(claims, draw(regressions, trainings, size), asdict(size), numbers)


def draw(regressions: list[dict[str, Any]], trainings: list[dict[str, Any]], size: Size) -> Figure:
    """Errors and numbers of groups along the weights; sizes of the neurons after training."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    error, groups, neurons = figure.subplots(1, 3)
    for name, label, style in (("envelope", "envelope", "o-"), ("lasso", "group lasso", "s--")):
        path = [row[name] for row in regressions]
        error.semilogx(size.weights, np.mean([p["error"] for p in path], axis=0), style, label=label)
        groups.semilogx(size.weights, np.mean([p["groups"] for p in path], axis=0), style, label=label)
    refits = np.mean([row["refit"] for row in regressions], axis=0)
    error.semilogx(size.weights, refits, "^:", label=f"refit on the {size.active} largest groups")
    error.set(
        title=f"regression, mean of {len(regressions)}", xlabel="weight", ylabel="distance to the truth"
    )
    groups.axhline(size.active, color="k", linestyle=":", label="truth")
    groups.set(title="groups that are not zero", xlabel="weight")
    for name in ("no penalty", "group lasso", "envelope"):
        row = trainings[0][name]
        kept = 100 * row["accuracy of the kept"]
        neurons.plot(range(1, 65), row["sizes"], label=f"{name}, {kept:.1f} % with {KEPT}")
    neurons.axvline(KEPT, color="k", linestyle=":")
    neurons.set(title="digits: norms of the neurons, sorted", xlabel="neuron")
    for ax in (error, groups, neurons):
        ax.legend()
    return figure


EXPERIMENT = Experiment(
    "Convex envelope of group sparsity: regression and the neurons of a small network",
    "Refael, Arbel, Huleihel, arXiv 2212.12921 (2024)",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
