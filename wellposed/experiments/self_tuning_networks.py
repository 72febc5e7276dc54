r"""Ridge regression whose weight is tuned by a learned best response, without solving for minimisers.

M. MacKay, P. Vicol, J. Lorraine, D. Duvenaud and R. Grosse, Self-tuning networks, ICLR 2019: a small problem
where all is known. Diabetes data of scikit-learn with further columns of noise, a validation loss, and
``wp.learn(..., method="self-tuning")`` from weights of several sizes. Its networks are not repeated here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.parameter import Parameter
from wellposed.operators.matrices import Matrix
from wellposed.solvers.bilevel.learn import learn
from wellposed.solvers.bilevel.learned import Learned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = (-0.425, 0.33382)
"""Logarithm of the best weight, and the loss there, of an independent implementation for seed 0."""


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    noise_columns: int = 60
    starts: tuple[float, ...] = (-5.0, 0.0, 3.0)
    iterations: int = 25
    entropy: float = 1e-3


SMALL = Size()
FULL = Size(starts=(-6.0, -5.0, -2.0, 0.0, 3.0, 5.0), iterations=200)


@dataclass(frozen=True)
class Ridge:
    """The data, their exact minimisers and their loss."""

    size: Size
    seed: int

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Training matrix and data, and those for validation."""
        from sklearn.datasets import load_diabetes

        table, rng = load_diabetes(), np.random.default_rng(self.seed)
        X = (table.data - table.data.mean(0)) / table.data.std(0)
        X = np.hstack([X, rng.standard_normal((len(X), self.size.noise_columns))])
        y = (table.target - table.target.mean()) / table.target.std()
        order = rng.permutation(len(y))
        train, held = order[:120], order[120:281]
        return X[train], y[train], X[held], y[held]

    def minimiser(self, t: float) -> np.ndarray:
        """The exact one at the logarithm ``t`` of the weight."""
        X, y, _, _ = self.data
        w: np.ndarray = np.linalg.solve(X.T @ X / len(y) + np.exp(t) * np.eye(X.shape[1]), X.T @ y / len(y))
        return w

    def loss(self, t: float) -> float:
        """The validation loss of the exact minimiser."""
        _, _, X, y = self.data
        return 0.5 * float(np.mean((X @ self.minimiser(t) - y) ** 2))

    @cached_property
    def best(self) -> tuple[float, float]:
        """The best logarithm on a fine grid, and its loss."""
        grid = np.linspace(-6, 4, 2001)
        losses = [self.loss(t) for t in grid]
        return float(grid[np.argmin(losses)]), min(losses)

    def tune(self, start: float, entropy: float | None) -> tuple[Learned, list[float]]:
        """A run, and the logarithm of the weight along it."""
        X, y, X_held, y_held = self.data
        path = [start]
        fit = learn(
            (1 / len(y)) * LeastSquares(Matrix(X), y)
            + Parameter("ridge", float(np.exp(start))) * SquaredL2(),
            (1 / len(y_held)) * LeastSquares(Matrix(X_held), y_held),
            method="self-tuning",
            entropy=entropy,
            max_iter=self.size.iterations,
            callback=lambda seen: path.append(float(np.log(seen.values["ridge"]))),
            progress=False,
        )
        return fit, path


def sigmoid_claim(ridge: Ridge) -> Claim:
    """The gated form of the best response, which is exact for ridge regression."""
    X, y, _, _ = ridge.data
    U, d, V = np.linalg.svd(X / np.sqrt(len(y)), full_matrices=False)
    c = U.T @ y / np.sqrt(len(y))
    apart = [
        np.max(np.abs(V.T @ (c / d / (1 + np.exp(t - 2 * np.log(d)))) - ridge.minimiser(t)))
        for t in (-5.0, -1.0, 0.0, 3.0)
    ]
    return at_most(
        "T2: largest difference of the minimiser from sigmoids of the logarithm", float(max(apart)), 1e-10
    )


def run_claims(ridge: Ridge, runs: dict[str, dict[float, Learned]]) -> Iterator[Claim]:
    """Whether the runs end where the loss of exact minimisers is least."""
    best, least = ridge.best
    if ridge.seed == 0 and ridge.size.noise_columns == SMALL.noise_columns:
        yield at_most("best logarithm on the grid against the reference", abs(best - REFERENCE[0]), 0.01)
        yield at_most("its loss against the reference", abs(least - REFERENCE[1]), 1e-5)
    for name, fits in runs.items():
        ends = {start: float(np.log(fit.values["ridge"])) for start, fit in fits.items()}
        shown = ", ".join(f"{start:g}: {end:.3f}" for start, end in ends.items())
        yield at_most(
            f"largest distance of the logarithm from the best, {name}",
            max(abs(end - best) for end in ends.values()),
            0.1,
            f"Ends by start: {shown}; best {best:.3f}.",
        )
        yield at_most(
            f"largest excess of the exact loss there, {name}",
            max(ridge.loss(end) for end in ends.values()) - least,
            1e-4,
        )
        yield at_most(
            f"largest excess of the loss of the response itself, {name}",
            max(fit.loss for fit in fits.values()) - least,
            5e-3,
        )
        yield at_most(f"seconds of a run, {name}", max(fit.seconds for fit in fits.values()), 20.0)
    yield at_least("loss at the weight exp(-4) over the least", ridge.loss(-4.0) / least, 1.5)


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the columns of noise and the split.

    Returns
    -------
    Report
    """
    ridge = Ridge(size, seed)
    both = {"sigma fixed": None, "sigma tuned": size.entropy}
    traced = {name: {t: ridge.tune(t, tau) for t in size.starts} for name, tau in both.items()}
    runs = {name: {t: fit for t, (fit, _) in each.items()} for name, each in traced.items()}
    numbers: dict[str, Any] = {
        name: {
            f"start {t:g}": {"path": path, "loss": fit.loss, "seconds": fit.seconds}
            for t, (fit, path) in each.items()
        }
        for name, each in traced.items()
    }
    claims = (sigmoid_claim(ridge), *run_claims(ridge, runs))
    paths = {name: [path for _, path in each.values()] for name, each in traced.items()}
    return Report(claims, draw(ridge, paths), asdict(size), {"best": ridge.best[0], **numbers})


def draw(ridge: Ridge, paths: dict[str, list[list[float]]]) -> Figure:
    """The loss of exact minimisers, and the weights along the runs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    grid = np.linspace(-6, 4, 200)
    left.plot(grid, [ridge.loss(t) for t in grid])
    left.axvline(ridge.best[0], color="k", linestyle=":")
    left.set(title="validation loss of the exact minimiser", xlabel="logarithm of the weight")
    for (name, each), color in zip(paths.items(), ("C0", "C1"), strict=True):
        for k, path in enumerate(each):
            right.plot(path, color=color, label=name if k == 0 else None)
    right.axhline(ridge.best[0], color="k", linestyle=":")
    right.set(title="logarithm of the weight (best: dotted)", xlabel="iteration of 20 turns")
    right.legend()
    return figure


EXPERIMENT = Experiment(
    "Tuning by a learned best response, without solving the lower level",
    "MacKay, Vicol, Lorraine, Duvenaud, Grosse, ICLR 2019, arXiv 1903.03088",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
