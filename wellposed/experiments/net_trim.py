r"""Net-Trim: convex pruning of a trained network, layer by layer.

A. Aghasi, A. Abdi and J. Romberg, Fast convex pruning of deep neural networks, SIAM J. Mathematics of Data
Science 2020. A network for 8 x 8 digits in place of the paper's for MNIST and CIFAR-10; all layers pruned
independently, none tuned afterwards; compared with keeping as many weights of each layer, the largest.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Layers = list[np.ndarray]


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    samples: int
    gains: tuple[float, ...]
    trials: int
    hidden: tuple[int, ...] = (100, 50)
    epochs: int = 300
    tol: float = 1e-2
    counts: tuple[int, ...] = (10, 20, 30, 60)
    ratios: tuple[float, ...] = (0.25, 0.5, 1.0)


SMALL = Size(samples=400, gains=(0.1, 0.3), trials=4)
FULL = Size(samples=600, gains=(0.02, 0.05, 0.1, 0.2, 0.3, 0.5), trials=20)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network with the biases as last rows, and its data."""

    layers: Layers
    inputs: np.ndarray
    tests: np.ndarray
    labels: np.ndarray


def train(size: Size, seed: int) -> Trained:
    """The network of the specification: digits, two hidden layers."""
    from sklearn.datasets import load_digits
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    X, y = load_digits(return_X_y=True)
    X, tests, y, labels = train_test_split(X / 16, y, test_size=500, random_state=seed)
    network = MLPClassifier(size.hidden, alpha=1e-2, max_iter=size.epochs, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(X, y)
    layers = [np.vstack([W, b]) for W, b in zip(network.coefs_, network.intercepts_, strict=True)]
    return Trained(layers, X[: size.samples], tests, labels)


def with_ones(X: np.ndarray) -> np.ndarray:
    """The inputs with a column for the biases."""
    return np.hstack([X, np.ones((len(X), 1))])


def signals(layers: Layers, X: np.ndarray) -> list[np.ndarray]:
    """The inputs of each layer, with ones, and last the scores."""
    found = []
    for k, W in enumerate(layers):
        found.append(with_ones(X))
        X = found[-1] @ W
        if k < len(layers) - 1:
            X = np.maximum(X, 0)
    return [*found, X]


def accuracy(layers: Layers, X: np.ndarray, labels: np.ndarray) -> float:
    """Share of right labels."""
    return float(np.mean(signals(layers, X)[-1].argmax(axis=1) == labels))


def prune(net: Trained, gain: float, size: Size) -> list[wp.PrunedLayer]:
    """Each layer on the signals of the trained network."""
    inside = signals(net.layers, net.inputs)
    kinds = ["relu"] * (len(net.layers) - 1) + ["linear"]
    with warnings.catch_warnings():
        # The gaps that are reached are measured.
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        return [
            wp.net_trim(X, W, gain, kind, tol=size.tol)
            for X, W, kind in zip(inside, net.layers, kinds, strict=False)
        ]


def largest(W: np.ndarray, count: int) -> np.ndarray:
    """All weights but the largest set to 0."""
    order = np.argsort(-np.abs(W), axis=None)
    kept = np.zeros(W.size, dtype=bool)
    kept[order[:count]] = True
    return np.where(kept.reshape(W.shape), W, 0.0)


def measure(net: Trained, gain: float, size: Size) -> dict[str, Any]:
    """Pruned and thresholded networks at one gain."""
    pruned = prune(net, gain, size)
    layers = [p.weights for p in pruned]
    cut = [largest(W, int(np.count_nonzero(V))) for W, V in zip(net.layers, layers, strict=True)]
    total = sum(W.size for W in layers)
    exact, ours = (signals(n, net.inputs)[-1] for n in (net.layers, layers))
    # An error of one layer is multiplied by the norms of those above it.
    norms = [float(np.linalg.norm(W[:-1], 2)) for W in layers]
    bound = sum(p.allowed * float(np.prod(norms[k + 1 :])) for k, p in enumerate(pruned))
    return {
        "gain": gain,
        "kept": sum(int(np.count_nonzero(W)) for W in layers) / total,
        "kept by layer": [p.kept for p in pruned],
        "accuracy": accuracy(layers, net.tests, net.labels),
        "thresholded": accuracy(cut, net.tests, net.labels),
        "errors": [p.error / p.allowed for p in pruned],
        "gaps": [p.certificate.relative for p in pruned],
        "norms": [
            float(np.abs(p.weights).sum() / np.abs(W).sum()) for p, W in zip(pruned, net.layers, strict=True)
        ],
        "discrepancy": float(np.linalg.norm(exact - ours)) / bound,
        "layers": layers,
    }


def pruning_claims(rows: list[dict[str, Any]], trained: float) -> list[Claim]:
    """What is kept, at what accuracy, and what the program guarantees."""
    row = min(rows, key=lambda r: abs(r["gain"] - 0.1))
    name = f"gain {row['gain']:g}"
    return [
        at_most(f"share of the weights that is kept, {name}", row["kept"], 0.35),
        at_least(f"accuracy, {name}", row["accuracy"], 0.93, f"The trained network has {trained:.3f}."),
        at_least(
            f"accuracy over that of the largest weights, as many in each layer, {name}",
            row["accuracy"] - row["thresholded"],
            0.08,
            ", ".join(
                f"gain {r['gain']:g}: {100 * r['kept']:.0f} % kept, {r['accuracy']:.3f} against "
                f"{r['thresholded']:.3f}"
                for r in rows
            ),
        ),
        at_most("error of a layer over the allowed one", max(max(r["errors"]) for r in rows), 1.001),
        at_most("relative duality gap of a layer", max(max(r["gaps"]) for r in rows), 0.01),
        at_most("L1 norm of a layer over that of the trained one", max(max(r["norms"]) for r in rows), 1.0),
        at_most(
            "error of the scores over the sum of allowed errors, each times the norms of the layers above",
            max(r["discrepancy"] for r in rows),
            1.0,
        ),
    ]


def robustness(
    net: Trained, row: dict[str, Any], size: Size, seed: int
) -> tuple[dict[str, list[float]], Claim]:
    """Accuracies with noise on the inputs, of the trained and of the pruned network."""
    rng = np.random.default_rng([seed, 1])
    found: dict[str, list[float]] = {"trained": [], "pruned": []}
    power = float(np.sqrt(np.mean(net.tests**2)))
    for ratio in size.ratios:
        noisy = net.tests + ratio * power * rng.standard_normal(net.tests.shape)
        found["trained"].append(accuracy(net.layers, noisy, net.labels))
        found["pruned"].append(accuracy(row["layers"], noisy, net.labels))
    clean = accuracy(net.layers, net.tests, net.labels)
    lost = [
        (clean - a) - (row["accuracy"] - b) for a, b in zip(found["trained"], found["pruned"], strict=True)
    ]
    shown = "; ".join(
        f"noise {r:g}: {a:.3f}, {b:.3f}" for r, a, b in zip(size.ratios, *found.values(), strict=True)
    )
    return found, at_least(
        f"accuracy lost to noise: trained minus pruned, gain {row['gain']:g}, least over noise levels",
        min(lost),
        -0.02,
        f"Noise over signal: accuracy of the trained and of the pruned network. {shown}",
    )


def recovery(size: Size, seed: int, inputs: int = 50, used: int = 3) -> tuple[list[float], Claim]:
    """How often one unit with few weights is found again from so many Gaussian samples."""
    shares = []
    for count in size.counts:
        good = 0
        for trial in range(size.trials):
            rng = np.random.default_rng([seed, count, trial])
            W = np.zeros((inputs, 1))
            W[rng.choice(inputs, used, replace=False)] = rng.standard_normal((used, 1))
            X = rng.standard_normal((count, inputs))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", wp.ConvergenceWarning)
                found = wp.net_trim(X, W, 1e-3, tol=size.tol).weights
            good += bool(np.linalg.norm(found - W) < 0.1 * np.linalg.norm(W))
        shares.append(good / size.trials)
    shown = ", ".join(f"{c}: {s:.2f}" for c, s in zip(size.counts, shares, strict=True))
    enough = [s for c, s in zip(size.counts, shares, strict=True) if c >= 30]
    few = [s for c, s in zip(size.counts, shares, strict=True) if c <= 10]
    return shares, Claim(
        f"share of units with {used} of {inputs} weights that are recovered, gain 0.001",
        "1 from 30 samples on, 0 from 10",
        shown,
        all(s == 1 for s in enough) and all(s == 0 for s in few),
        "Recovered: relative error below 0.1. The paper asks for no error at all of the outputs.",
    )


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the network, the split of the data and the noise.

    Returns
    -------
    Report
    """
    net = train(size, seed)
    trained = accuracy(net.layers, net.tests, net.labels)
    rows = [measure(net, gain, size) for gain in size.gains]
    row = min(rows, key=lambda r: abs(r["gain"] - 0.1))
    noisy, robust = robustness(net, row, size, seed)
    shares, recovered = recovery(size, seed)
    claims = (*pruning_claims(rows, trained), robust, recovered)
    kept = [{k: v for k, v in r.items() if k != "layers"} for r in rows]
    numbers = {"trained": trained, "pruned": kept, "noise": noisy, "recovered": shares}
    return Report(claims, draw(net, rows, trained, row), asdict(size), numbers)


def draw(net: Trained, rows: list[dict[str, Any]], trained: float, row: dict[str, Any]) -> Figure:
    """Accuracies against what is kept, and the first layer before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    kept = [100 * r["kept"] for r in rows]
    left.plot(kept, [r["accuracy"] for r in rows], "o-", label="Net-Trim")
    left.plot(kept, [r["thresholded"] for r in rows], "s--", label="largest weights")
    left.axhline(trained, color="0.6", lw=0.8, label="trained network")
    left.set(xlabel="weights kept (%)", ylabel="accuracy", title="no tuning after pruning")
    left.legend()
    limit = float(np.quantile(np.abs(net.layers[0]), 0.99))
    for ax, W, title in (
        (middle, net.layers[0], "first layer, trained"),
        (right, row["layers"][0], f"first layer, gain {row['gain']:g}"),
    ):
        ax.imshow(W, cmap="RdBu", vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
        ax.set(title=title, xlabel="unit", ylabel="input")
    return figure


EXPERIMENT = Experiment(
    "Net-Trim: convex pruning of a trained network, layer by layer",
    "Aghasi, Abdi, Romberg, SIAM J. Mathematics of Data Science 2020",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
