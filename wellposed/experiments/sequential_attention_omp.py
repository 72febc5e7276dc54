r"""Sequential attention, sequential Lasso and orthogonal matching pursuit: one choice of features.

T. Yasuda, M. Bateni, L. Chen, M. Fahrbach, G. Fu and V. Mirrokni, Sequential attention for feature selection,
ICLR 2023, arXiv 2209.14881. The linear theory on random designs, and pixels of 8 x 8 digits in place of the
paper's six data sets: by matching pursuit, by the correlation of each pixel alone, and by the softmax mask of
a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._masked_network import attention_order, retrained
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.experiments._small_network import Digits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RULES = ("lasso", "attention")
CLOSE = 1e-3
"""Distance of the weight from the largest one, relative to it."""

FAR = 0.03
"""The same where the paper's claim is seen to need a smaller one."""

METHODS = ("matching pursuit", "each pixel alone", "network with attention", "at random")


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    problems: int
    values: int
    descents: int
    splits: int
    designs: int
    epochs: int = 100
    final_epochs: int = 60
    pixels: tuple[int, ...] = (5, 10, 15, 20)
    features: int = 12
    count: int = 3
    correlations: tuple[float, ...] = (0.0, 0.5, 0.9)
    shares: tuple[float, ...] = (0.9, 0.5, 0.1)


SMALL = Size(problems=20, values=4, descents=6, splits=3, designs=10)
FULL = Size(problems=500, values=20, descents=60, splits=20, designs=100, epochs=300)


# --- the linear theory ----------------------------------------------------------------------------


def design(seed: int, n: int = 40, p: int = 25, correlation: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Columns of length 1, and data of the first six with a tenth of noise."""
    rng = np.random.default_rng(seed)
    X = np.sqrt(1 - correlation) * rng.standard_normal((n, p))
    X += np.sqrt(correlation) * rng.standard_normal((n, 1))
    X /= np.linalg.norm(X, axis=0)
    return X, X[:, :6] @ rng.standard_normal(6) + 0.1 * rng.standard_normal(n)


def residual(X: np.ndarray, y: np.ndarray, chosen: list[int]) -> np.ndarray:
    """What least squares on these features leave."""
    part = X[:, chosen]
    left: np.ndarray = y - part @ np.linalg.lstsq(part, y, rcond=None)[0]
    return left


def equal_choices(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """R1: five rounds of each rule against orthogonal matching pursuit."""
    problems = [design(seed + k) for k in range(size.problems)]
    greedy = [wp.orthogonal_matching_pursuit(X, y, 5) for X, y in problems]
    margins = [min(r.margin for r in one.rounds) for one in greedy]
    clear = [k for k, margin in enumerate(margins) if margin > CLOSE]
    note = (
        f"{len(clear)} of {size.problems} problems: those whose two largest correlations are never within "
        f"{CLOSE:g} of each other (least distance of all: {min(margins):.1g})."
    )
    claims = []
    for rule in RULES:
        runs = {k: wp.orthogonal_matching_pursuit(*problems[k], 5, select=rule, below=CLOSE) for k in clear}
        rounds = [r for run in runs.values() for r in run.rounds]
        same = np.mean([run.support.tolist() == greedy[k].support.tolist() for k, run in runs.items()])
        claims += [
            at_least(
                f"R1 {rule}: share of problems whose 5 features are those of matching pursuit, in order",
                float(same),
                1.0,
                note,
            ),
            at_most(
                f"R1 {rule}: features that enter in one round, at most",
                max(len(r.features) for r in rounds),
                1.0,
            ),
            at_least(
                f"R1 {rule}: share of rounds in which the gap proves that no other feature can enter",
                float(np.mean([r.proven for r in rounds])),
                1.0,
                f"Largest gap, as a part of what there is to be gained: "
                f"{max(r.certificate.relative for r in rounds if r.certificate):.1g}",
            ),
        ]
    plain = np.mean(
        [path_order(X, y, 5) == one.support.tolist() for (X, y), one in zip(problems, greedy, strict=True)]
    )
    claims.append(
        at_most(
            "R1 share of problems in which the first 5 features of the plain Lasso path are the same",
            float(plain),
            0.95,
            "There selected features stay penalised, so that what is left of the data is not the residual.",
        )
    )
    return {"margins": margins, "plain path": float(plain)}, claims


def path_order(X: np.ndarray, y: np.ndarray, count: int) -> list[int]:
    """Features in the order in which they enter the Lasso path for the first time."""
    from sklearn.linear_model import lars_path

    coefs = lars_path(X, y, method="lasso")[2]
    order: list[int] = []
    for column in coefs.T:
        order += [int(j) for j in np.flatnonzero(column) if j not in order]
    return order[:count]


def equal_values(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """R2: the Lasso, and the best of three runs of alternating ridge regressions on the factors."""
    gaps, below, unbalanced = [], [], []
    for k in range(size.values):
        X, y = design(seed + k)
        for share in size.shares:
            weight = share * float(np.abs(X.T @ y).max())
            lasso = wp.minimize(wp.LeastSquares(wp.operators.Matrix(X), y) + weight * wp.L1(), tol=1e-12)
            runs = [alternating(X, y, weight, np.random.default_rng([seed, k, t])) for t in range(3)]
            value, s, b = min(runs, key=lambda run: run[0])
            gaps.append(abs(value - lasso.objective) / lasso.objective)
            below.append(min(run[0] for run in runs) / lasso.certificate.lower_bound - 1)
            unbalanced.append(float(np.abs(s**2 - b**2).max() / np.max(s**2)))
    return {"differences": gaps}, [
        at_most(
            "R2 relative difference of the least values, Lasso and over-parametrised",
            max(gaps),
            1e-4,
            f"{len(gaps)} problems, weights of {size.shares} of the largest.",
        ),
        at_least(
            "R2 least value with factors over the proven lower bound of the Lasso, minus 1",
            min(below),
            -1e-12,
        ),
        at_most("R2 difference of the squares of the two factors at the end", max(unbalanced), 1e-3),
    ]


def alternating(
    X: np.ndarray, y: np.ndarray, weight: float, rng: np.random.Generator, rounds: int = 500
) -> tuple[float, np.ndarray, np.ndarray]:
    """Attention and coefficients in turn, each a ridge regression, and the value at the end."""
    eye = weight * np.eye(X.shape[1])
    s = np.asarray(rng.standard_normal(X.shape[1]))
    G, q = X.T @ X, X.T @ y
    for _ in range(rounds):
        b = np.linalg.solve(s[:, None] * G * s + eye, s * q)
        s = np.linalg.solve(b[:, None] * G * b + eye, b * q)
    value = 0.5 * np.sum((X @ (s * b) - y) ** 2) + 0.5 * weight * (np.sum(s**2) + np.sum(b**2))
    return float(value), s, b


def descents(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """R3: gradient descent on the factors, four rounds, at two distances from the largest weight."""
    problems = [design(seed + k) for k in range(size.descents)]
    greedy = [wp.orthogonal_matching_pursuit(X, y, 4) for X, y in problems]
    margins = np.array([min(r.margin for r in one.rounds) for one in greedy])
    same = {}
    for below in (FAR, CLOSE):
        chosen: list[list[int]] = [[] for _ in problems]
        for _ in range(4):
            found = descend(*projected(problems, chosen), below)
            chosen = [[*old, int(new)] for old, new in zip(chosen, found, strict=True)]
        same[below] = np.array([c == g.support.tolist() for c, g in zip(chosen, greedy, strict=True)])
    far, close = float(same[FAR].mean()), float(same[CLOSE].mean())

    def clear(below: float) -> Claim:
        kept = margins > below
        return at_least(
            f"R3 the same at {1 - below:g} among problems without near ties",
            float(same[below][kept].mean()) if kept.any() else 1.0,
            1.0,
            f"{kept.sum()} of {size.descents} problems, whose correlations are not within {below:g}; "
            f"all: {same[below].mean():.3g}",
        )

    return {"margins": margins.tolist(), "far": far, "close": close}, [
        at_least(
            "R3 share of problems in which gradient descent at 0.97 of the largest weight selects the 4 "
            "features of matching pursuit",
            far,
            0.6,
            f"{size.descents} problems",
        ),
        clear(FAR),
        clear(CLOSE),
    ]


def projected(
    problems: list[tuple[np.ndarray, np.ndarray]], chosen: list[list[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """Gram matrices and correlations of what the chosen columns leave."""
    grams, pulls = [], []
    for (X, y), own in zip(problems, chosen, strict=True):
        Q = np.linalg.qr(X[:, own])[0]
        Z = X - Q @ (Q.T @ X)
        Z[:, own] = 0.0
        grams.append(Z.T @ Z)
        pulls.append(Z.T @ y)
    return np.stack(grams), np.stack(pulls)


def descend(G: np.ndarray, q: np.ndarray, below: float) -> np.ndarray:
    """For each problem the largest product of attention and coefficient where gradient descent ends.

    Coefficients start at 0 and attention beside it: with both equal, products could not become negative.
    """
    top = np.abs(q).max(axis=1, keepdims=True)
    weight, step = (1 - below) * top, 0.5 / top
    s, b = np.full(q.shape, 1e-2), np.zeros(q.shape)
    for _ in range(round(100 / below)):
        pull = q - (G @ (s * b)[..., None])[..., 0]
        ds, db = pull * b - weight * s, pull * s - weight * b
        s, b = s + step * ds, b + step * db
        if np.all(np.abs(ds).max(axis=1) < 1e-2 * below * top[:, 0] * np.abs(s).max(axis=1)):
            break
    return np.asarray(np.abs(s * b).argmax(axis=1))


# --- the guarantee --------------------------------------------------------------------------------


def guarantee(size: Size, seed: int) -> tuple[list[tuple[str, float, float]], list[Claim]]:
    r"""Part of the best value that matching pursuit reaches, and :math:`1 - e^{-m}`, all subsets tried."""
    rows, steps = [], []
    for rho in size.correlations:
        for k in range(size.designs):
            X, _ = design(seed + k, 30, size.features, rho)
            least = restricted_eigenvalue(X, 2 * size.count - 1)
            for kind, y in data_of(X, size.count, np.random.default_rng([seed, k, 31])):
                best = max(combinations(range(size.features), size.count), key=partial(explained, X, y))
                top = explained(X, y, best)
                support = wp.orthogonal_matching_pursuit(X, y, size.count).support.tolist()
                part = explained(X, y, support) / top
                rows.append((f"correlation {rho:g}, {kind}", part, 1 - float(np.exp(-least))))
                steps += list(step_ratios(X, y, support, best, top))
    ratios, bounds = np.array([r[1:] for r in rows]).T
    shown = "; ".join(
        f"{name}: at least {min(r[1] for r in rows if r[0] == name):.3f}, bounds up to "
        f"{max(r[2] for r in rows if r[0] == name):.3f}"
        for name in dict.fromkeys(r[0] for r in rows)
    )
    return rows, [
        at_least(
            "T1 part of the best value that is reached over 1 - exp(-m), least over all designs",
            float((ratios / bounds).min()),
            1.0,
            f"{len(rows)} problems of {size.features} features of length 1, {size.count} selected; m: least "
            f"eigenvalue of the Gram matrices of {2 * size.count - 1} features. {shown}",
        ),
        at_least(
            "T2 gain of a step over what the proof asks for, with the eigenvalue of the sets in question",
            min(steps),
            1.0,
            "The proof: no gain is below m / k times what is missing to the best value.",
        ),
    ]


def data_of(X: np.ndarray, count: int, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Data of so many features: with random coefficients, and with those that cancel most."""
    part = X[:, rng.choice(X.shape[1], count, replace=False)]
    for kind, w in (
        ("random", rng.standard_normal(count)),
        ("cancelling", np.linalg.eigh(part.T @ part)[1][:, 0]),
    ):
        clean = part @ w
        size = 0.1 * float(np.linalg.norm(clean)) / np.sqrt(len(X))
        yield kind, clean + size * rng.standard_normal(len(X))


def explained(X: np.ndarray, y: np.ndarray, chosen: Any) -> float:
    """The part of the squared length of the data that these features explain, times that length."""
    return float(y @ y - np.sum(residual(X, y, list(chosen)) ** 2))


def restricted_eigenvalue(X: np.ndarray, count: int) -> float:
    """The least eigenvalue of the Gram matrices of so many features."""
    G = X.T @ X
    sets = np.array(list(combinations(range(X.shape[1]), count)))
    return float(np.linalg.eigvalsh(G[sets[:, :, None], sets[:, None, :]])[:, 0].min())


def step_ratios(
    X: np.ndarray, y: np.ndarray, support: list[int], best: tuple[int, ...], top: float
) -> Iterator[float]:
    """Each step's gain, times k, over the eigenvalue times what is missing."""
    for t in range(len(support)):
        now = explained(X, y, support[:t])
        if now >= top:
            return
        union = sorted({*support[:t], *best})
        least = float(np.linalg.eigvalsh(X[:, union].T @ X[:, union])[0])
        yield (explained(X, y, support[: t + 1]) - now) * len(best) / (least * (top - now))


# --- digits ---------------------------------------------------------------------------------------


def selections(data: Digits, size: Size, seed: int) -> tuple[dict[str, list[int]], float]:
    """Pixels by each method, the first ones first; the least margin of matching pursuit."""
    most = max(size.pixels)
    x, y = data.parts["train"]
    Z, Y = x - x.mean(axis=0), np.eye(10)[y]
    lengths = np.linalg.norm(Z, axis=0)
    Z, Y = Z / np.where(lengths > 0, lengths, 1.0), Y - Y.mean(axis=0)
    alone = np.argsort(-np.linalg.norm(Z.T @ Y, axis=1), kind="stable")
    found = [wp.orthogonal_matching_pursuit(Z, Y, most, select=s) for s in ("correlation", *RULES)]
    kept = {
        "matching pursuit": found[0].support.tolist(),
        "sequential Lasso": found[1].support.tolist(),
        "linear attention": found[2].support.tolist(),
        "each pixel alone": alone[:most].tolist(),
        "network with attention": attention_order(data, most, size.epochs, seed),
        "at random": np.random.default_rng([seed, 23]).permutation(x.shape[1])[:most].tolist(),
    }
    return kept, min(one.margin for one in found[0].rounds)


def ridge_accuracy(data: Digits, kept: list[int]) -> float:
    """Of a ridge regression on indicators of the labels."""
    (x, y), (tests, labels) = data.parts["train"], data.parts["test"]
    ones = [np.hstack([part[:, kept], np.ones((len(part), 1))]) for part in (x, tests)]
    gram = ones[0].T @ ones[0] + 1e-2 * np.eye(len(kept) + 1)
    W = np.linalg.solve(gram, ones[0].T @ np.eye(10)[y])
    return float(np.mean((ones[1] @ W).argmax(axis=1) == labels))


def digits(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """R4: accuracies of ridge regression by number of pixels, and of networks on the largest number."""
    ridge = {name: np.zeros((size.splits, len(size.pixels))) for name in METHODS}
    network = {name: np.zeros(size.splits) for name in METHODS}
    maps = {name: np.zeros(64) for name in METHODS}
    same: list[bool] = []
    for split in range(size.splits):
        data = Digits.load(seed + split)
        kept, margin = selections(data, size, seed + split)
        if margin > CLOSE:
            same.append(kept["matching pursuit"] == kept["sequential Lasso"] == kept["linear attention"])
        for name in METHODS:
            ridge[name][split] = [ridge_accuracy(data, kept[name][:count]) for count in size.pixels]
            network[name][split] = retrained(data, kept[name], size.final_epochs, seed + split)
            maps[name][kept[name]] += 1 / size.splits
    numbers = {
        "pixels": list(size.pixels),
        "ridge": {name: a.mean(axis=0).tolist() for name, a in ridge.items()},
        "ridge, standard errors": {name: spread(a).tolist() for name, a in ridge.items()},
        "network": {name: float(a.mean()) for name, a in network.items()},
        "maps": {name: m.tolist() for name, m in maps.items()},
    }
    return numbers, list(digit_claims(size, ridge, network, same))


def spread(a: np.ndarray) -> np.ndarray:
    """Standard errors of the means over the first axis."""
    return np.asarray(a.std(axis=0) / np.sqrt(len(a)))


def digit_claims(
    size: Size, ridge: dict[str, np.ndarray], network: dict[str, np.ndarray], same: list[bool]
) -> Iterator[Claim]:
    """The gain over correlations alone, and what the network's mask adds."""
    yield at_least(
        f"R4 share of splits without near ties in which Lasso and linear attention select the "
        f"{max(size.pixels)} pixels of matching pursuit",
        float(np.mean(same)) if same else 1.0,
        1.0,
        f"{len(same)} of {size.splits} splits; in the others two correlations are within {CLOSE:g}. Ten "
        "targets, the indicators of the labels: the Lasso is one of groups.",
    )
    pursuit, alone, masked = (ridge[name] for name in METHODS[:3])
    gains = [f"{c} pixels: {g:.3f}" for c, g in zip(size.pixels, (pursuit - alone).mean(axis=0), strict=True)]
    yield at_least(
        f"R4 accuracy of ridge regression: pursuit minus each pixel alone, {size.pixels[-1]} pixels",
        float((pursuit - alone)[:, -1].mean()),
        0.02,
        f"Standard error {float(spread(pursuit - alone)[-1]):.2g}. {', '.join(gains)}",
    )
    yield at_least(
        f"R4 the same, {size.pixels[1]} pixels",
        float((pursuit - alone)[:, 1].mean()),
        0.02,
        f"Standard error {float(spread(pursuit - alone)[1]):.2g}",
    )
    pairs = ", ".join(f"{name} {a.mean():.3f}" for name, a in network.items())
    yield at_least(
        f"R4 accuracy of a network on {size.pixels[-1]} pixels: its own mask minus each pixel alone",
        float((network[METHODS[2]] - network[METHODS[1]]).mean()),
        0.0,
        pairs,
    )
    yield at_least(
        "R4 the same, minus matching pursuit",
        float((network[METHODS[2]] - network[METHODS[0]]).mean()),
        -0.01,
        f"{pairs}; ridge regression on the pixels of the mask: {masked[:, -1].mean():.3f}",
    )


# --- all ------------------------------------------------------------------------------------------


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first problem, design and split; the others follow.

    Returns
    -------
    Report
    """
    choices, first = equal_choices(size, seed)
    values, second = equal_values(size, seed)
    agreement, third = descents(size, seed)
    rows, bounds = guarantee(size, seed)
    pixels, fourth = digits(size, seed)
    numbers = {"R1": choices, "R2": values, "R3": agreement, "R4": pixels, "guarantee": rows}
    claims = (*first, *second, *third, *fourth, *bounds)
    return Report(claims, draw(pixels, rows), asdict(size), numbers)


def draw(pixels: dict[str, Any], rows: list[tuple[str, float, float]]) -> Figure:
    """Accuracies, the pixels that are taken, and the guarantee."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9), layout="constrained")
    parts: Any = figure.subfigures(1, 3, width_ratios=(1.1, 0.9, 1.0))
    left, middle, right = parts
    ax = left.subplots()
    for name, marker in zip(METHODS, "os^x", strict=True):
        errors = pixels["ridge, standard errors"][name]
        ax.errorbar(pixels["pixels"], pixels["ridge"][name], errors, marker=marker, capsize=2, label=name)
    ax.set(xlabel="pixels", ylabel="test accuracy", title="digits, ridge regression on labels")
    ax.set_xticks(pixels["pixels"])
    ax.legend()
    for ax, name in zip(np.ravel(middle.subplots(2, 2)), METHODS, strict=True):
        ax.imshow(np.reshape(pixels["maps"][name], (8, 8)), cmap="Greys", vmin=0, vmax=1)
        ax.set_title(name, fontsize=9)
        ax.set(xticks=[], yticks=[])
    middle.suptitle(f"how often each of {pixels['pixels'][-1]} pixels is taken", fontsize=10)
    ax = right.subplots()
    names = list(dict.fromkeys(row[0] for row in rows))
    for k, name in enumerate(names):
        own = np.array([row[1:] for row in rows if row[0] == name])
        ax.plot(own[:, 1], own[:, 0], "ox"[k % 2], color=f"C{k // 2}", ms=5, alpha=0.8, label=name)
    ax.plot([0, 1], [0, 1], color="0.5", lw=1, label="guarantee")
    ax.set(xlabel="1 - exp(-m)", ylabel="part of the best value", title="matching pursuit, 3 of 12 features")
    ax.set(xlim=(0, 1.1 * max(row[2] for row in rows)), ylim=(0, 1.03))
    right.legend(loc="outside lower center", ncols=2, fontsize=8)
    return figure


EXPERIMENT = Experiment(
    "Sequential attention and sequential Lasso select what orthogonal matching pursuit selects",
    "Yasuda, Bateni, Chen, Fahrbach, Fu, Mirrokni, ICLR 2023, arXiv 2209.14881",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
