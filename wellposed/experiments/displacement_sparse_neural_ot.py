r"""Maps whose displacements have few entries: four penalties, a game, a trade-off, and an exact reference.

P. L. Chen, Y. Xie and Q. Zhang, Displacement-sparse neural optimal transport, 2025, arXiv 2502.01889. The
numbers of its tables are not known here: the claims are its statements on made points, and what follows from
its formulas.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCALE, GAMMA, K = 0.7, 0.5, 3
PENALTIES = {
    "smoothed l0": wp.SmoothedL0(SCALE),
    "STVS": wp.STVS(GAMMA),
    "l1": wp.L1(),
    "k-overlap": wp.SparseEnvelope(K),
}
WEIGHTS = {
    "smoothed l0": (0.5, 1.0, 2.0, 4.0),
    "STVS": (0.2, 0.4, 0.8, 1.2),
    "l1": (0.05, 0.1, 0.2, 0.4),
    "k-overlap": (0.05, 0.15),
}
CHOSEN = {"l1": 0.4, "smoothed l0": 4.0}
"""Weights with which the small shifts almost vanish."""
LONGER = 3
"""How many times longer the second game is."""
ELASTIC = {
    "elastic map, l1": [w * wp.L1() for w in (0.5, 1.0, 2.0, 4.0)],
    "elastic map, STVS": [w * wp.STVS(4.0) for w in (0.25, 0.5, 1.0, 2.0)],
}
COUNTED = 0.5
"""Size from which an entry of a displacement counts."""
COLOURS = {
    "smoothed l0": "tab:blue",
    "STVS": "tab:orange",
    "l1": "tab:green",
    "k-overlap": "tab:red",
    "elastic map, l1": "tab:olive",
    "elastic map, STVS": "tab:brown",
}


@dataclass(frozen=True)
class Size:
    """How large the experiment is; widths of hidden layers, and numbers of steps."""

    points: int
    hidden: tuple[int, ...]
    steps: int
    game_steps: int
    game_rate: float
    stage: int


SMALL = Size(300, (16, 16), 240, 80, 5e-3, 20)
FULL = Size(1000, (64, 64, 64, 64), 600, 500, 2e-3, 50)


# --- T1: penalties -------------------------------------------------------------------------------


def derivatives(seed: int) -> Iterator[Claim]:
    """Gradients by differences, and proximal maps by brute force."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for penalty in PENALTIES.values():
        for _ in range(20):
            x = rng.uniform(0.3, 2.0, 6) * rng.choice([-1, 1], 6)
            v = rng.standard_normal(6)
            slope = (penalty(x + 1e-6 * v) - penalty(x - 1e-6 * v)) / 2e-6
            worst = max(worst, abs(slope - float(penalty.subgradient(x) @ v)))
    yield at_most("T1: error of the gradients of the penalties against differences", worst, 1e-7)

    gamma, r = 0.8, rng.uniform(0, 4, 200)
    stvs = wp.STVS(gamma)
    grid = np.linspace(0, 5, 50_001)
    sigma = np.arcsinh(grid / (2 * gamma))
    values = gamma**2 * (sigma + 0.5 - 0.5 * np.exp(-2 * sigma))
    best = np.array([grid[np.argmin(values + 0.5 * (grid - s) ** 2)] for s in r])
    formula = r * np.maximum(1 - gamma**2 / np.maximum(r, 1e-300) ** 2, 0)
    error = max(float(np.abs(stvs.prox(r) - best).max()), float(np.abs(formula - best).max()))
    yield at_most(
        "T1: distance of the proximal map of STVS, and of z (1 - gamma^2/z^2)_+, from the best of a grid",
        error,
        1e-4,
        "The grid has steps of 1e-4.",
    )


# --- T2, T3: shifts ------------------------------------------------------------------------------


def saddle(
    m: np.ndarray, penalty: wp.Functional, lam: float, steps: int = 500, rate: float = 0.1
) -> np.ndarray:
    """The shift ``b`` after the game between ``f = |x|^2/2 + <a, x>`` and ``g = |y|^2/2 + <b, y>``."""
    a, b = -m.copy(), np.zeros_like(m)
    for _ in range(steps):
        for _ in range(10):
            b = (lam * penalty).prox(b - rate * (a + b), rate)
        a = a + 5 * rate * (b - m)
    return b


def shifts(problem: Any) -> tuple[dict[str, Any], list[Claim]]:
    """Shifts alone: what the game and the trade-off make of the difference of the means."""
    y, x = problem.source, problem.target
    m = x.mean(0) - y.mean(0)
    tested = {"smoothed l0": (0.2, 0.5), "STVS": (0.2, 0.8), "l1": (0.1, 0.4)}
    game = max(
        float(np.abs(saddle(m, PENALTIES[name], lam) - m).max())
        for name, all_ in tested.items()
        for lam in all_
    )
    error, paths = 0.0, {}
    for name in ("smoothed l0", "STVS", "l1"):
        path = []
        for lam in (0.0, *WEIGHTS[name]):
            # One proximal gradient step of length 1 from no shift at all, then what is missing to a minimum.
            weighted = lam * PENALTIES[name]
            at = [np.zeros_like(m)]
            for _ in range(2):
                pull = wp.transport.sinkhorn_divergence(y + at[-1], x, eps=5.0, tol=1e-10).gradient.sum(0)
                at.append(weighted.prox(at[-1] - pull, 1.0) if lam else at[-1] - pull)
            error = max(error, float(np.abs(at[2] - at[1]).max()))
            path.append(at[2].tolist())
        paths[name] = path
    order = [float(np.abs(np.asarray(path)[:, ~problem.large]).mean(1).max()) for path in paths.values()]
    fall = all(np.all(np.diff(np.abs(np.asarray(p)), axis=0) <= 1e-9) for p in paths.values())
    lost = m[problem.large] - np.asarray(paths["l1"][-1])[problem.large]
    return {"difference of means": m.tolist(), "paths": paths, "mean small shift": order}, [
        at_most(
            "T2: distance of the shift at the end of the game from the difference of means, any penalty",
            game,
            1e-3,
            "The penalty has no say at the saddle; three penalties with two weights each.",
        ),
        at_most(
            "T3: distance of prox(m) from a fixed point of proximal gradients on divergence plus penalty",
            error,
            1e-8,
            "The divergence of a shifted sample is |b - m|^2/2 plus a constant, so one step ends there.",
        ),
        Claim(
            "T3: sizes of all shifts as the weight grows", "fall", "fall" if fall else "do not", bool(fall)
        ),
        at_most(
            "T3: what l1 takes from large shifts, less its weight", float(np.abs(lost - 0.4).max()), 1e-8
        ),
    ]


# --- networks ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Points:
    """Points to train with, and others to measure on."""

    train: Any
    test: Any

    @staticmethod
    def made(count: int, seed: int) -> Points:
        """Both halves of a problem in 20 dimensions, 3 of which move much."""
        whole = wp.problems.sparse_shift(2 * count, seed=seed)
        halves = (slice(None, count), slice(count, None))
        train, test = (
            wp.problems.SparseShift(whole.source[h], whole.target[h], whole.shift, whole.large)
            for h in halves
        )
        return Points(train, test)

    def measure(self, move: Any) -> dict[str, float]:
        """Feasibility on the points of the training, all else on new ones."""
        fit = wp.transport.sinkhorn_divergence(move(self.train.source), self.train.target, eps=5.0, tol=1e-6)
        z, large = move.displacement(self.test.source), self.test.large
        return {
            "feasibility": fit.value,
            "small": float(np.abs(z[:, ~large]).mean()),
            "small shift": float(np.abs(z[:, ~large].mean(0)).max()),
            "large shift": float(np.abs(z[:, large].mean(0)).mean()),
            "coordinates": int(np.sum(np.abs(z).mean(0) > COUNTED)),
            "zeros": float(np.sum(z == 0, axis=1).mean()),
            "error": float(np.sqrt(np.mean((z - self.test.shift) ** 2))),
        }


def train(points: Points, size: Size, name: str, lam: Any, seed: int, **options: Any) -> Any:
    """A trained map of the trade-off."""
    return wp.transport.neural_map(
        points.train.source,
        points.train.target,
        PENALTIES[name],
        lam,
        **{
            "hidden": size.hidden,
            "iterations": size.steps,
            "batch": 128,
            "learning_rate": 0.03,
            "threshold": COUNTED,
            "seed": seed,
            "progress": False,
            **options,
        },
    )


def curves(points: Points, size: Size, seed: int) -> dict[str, list[dict[str, float]]]:
    """What each penalty trades, from no penalty on."""
    none = {"lam": 0.0, **points.measure(train(points, size, "l1", 0.0, seed))}
    found: dict[str, list[dict[str, float]]] = {}
    for name, weights in WEIGHTS.items():
        found[name] = [none]
        for lam in weights:
            found[name].append({"lam": lam, **points.measure(train(points, size, name, lam, seed))})
    for name, penalties in ELASTIC.items():
        found[name] = []
        for penalty in penalties:
            move = wp.transport.elastic_map(
                points.train.source, points.train.target, penalty, eps=5.0, tol=1e-6
            )
            gap = move.result.certificate.relative
            found[name].append({**points.measure(move), "gap": gap})
    return found


def at_feasibility(curve: list[dict[str, float]], level: float) -> float:
    """The least mean size of small displacements at this feasibility or a better one; infinite if none."""
    best = min((row["small"] for row in curve if row["feasibility"] <= level), default=math.inf)
    for pair in itertools.pairwise(curve):
        low, high = sorted(pair, key=lambda row: row["feasibility"])
        if low["feasibility"] <= level < high["feasibility"]:
            share = (level - low["feasibility"]) / (high["feasibility"] - low["feasibility"])
            best = min(best, (1 - share) * low["small"] + share * high["small"])
    return best


def trade_off(found: dict[str, list[dict[str, float]]]) -> tuple[dict[str, Any], list[Claim]]:
    """How much of small and large shifts is left, and the penalties at equal feasibility."""
    row = {name: next(r for r in found[name] if r["lam"] == lam) for name, lam in CHOSEN.items()}
    l0, l1, none = row["smoothed l0"], row["l1"], found["l1"][0]
    bias0, bias1 = (abs(none["large shift"] - r["large shift"]) for r in (l0, l1))
    top = min(found[name][-1]["feasibility"] for name in ("smoothed l0", "STVS", "l1"))
    low = none["feasibility"]
    levels = [low + share * (top - low) for share in (0.4, 0.8)]
    small = {name: [at_feasibility(curve, level) for level in levels] for name, curve in found.items()}
    small["elastic maps"] = [min(small[name][k] for name in ELASTIC) for k in range(len(levels))]
    ratio = {
        name: max(a / b for a, b in zip(small["smoothed l0"], small[name], strict=True))
        for name in ("l1", "STVS", "elastic maps")
    }
    nearest = min(r["error"] for name in ELASTIC for r in found[name])
    shown = "; ".join(f"{name} {_shown(values)}" for name, values in small.items())
    note = f"Mean small displacements at divergences {levels[0]:.3g} and {levels[1]:.3g}: {shown}."
    gap = max(r["gap"] for name in ELASTIC for r in found[name])
    numbers = {"levels": levels, "small at levels": {k: [_number(v) for v in vs] for k, vs in small.items()}}
    return numbers, [
        Claim(
            "coordinates that move, smoothed l0",
            "3",
            str(l0["coordinates"]),
            l0["coordinates"] == 3,
            f"Mean size above {COUNTED:g}, of 20; lam = {CHOSEN['smoothed l0']:g}.",
        ),
        at_most("largest of the small shifts, smoothed l0", l0["small shift"], 0.05),
        at_least("large shifts, smoothed l0 over no penalty", l0["large shift"] / none["large shift"], 0.95),
        at_least(
            "what l1 takes from large shifts over its weight",
            bias1 / CHOSEN["l1"],
            0.8,
            f"lam = {CHOSEN['l1']:g}, largest small shift {l1['small shift']:.3g}.",
        ),
        at_most("bias of large shifts, smoothed l0 over l1", bias0 / bias1, 0.2),
        at_most("small displacements at equal feasibility, smoothed l0 over l1", ratio["l1"], 1.0, note),
        at_most("small displacements at equal feasibility, smoothed l0 over STVS", ratio["STVS"], 1.0, note),
        at_most(
            "small displacements at equal feasibility, smoothed l0 over the best elastic map",
            ratio["elastic maps"],
            1.0,
        ),
        at_most(
            "error of displacements of new points, smoothed l0 over the best elastic map",
            l0["error"] / nearest,
            1.0,
            f"Root mean square per coordinate: {l0['error']:.3g} and {nearest:.3g}.",
        ),
        at_most("largest relative duality gap of the plans behind the elastic maps", gap, 1e-4),
    ]


def _shown(values: list[float]) -> str:
    return ", ".join(f"{v:.3g}" if math.isfinite(v) else "not reached" for v in values)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


# --- the game ------------------------------------------------------------------------------------


def game(
    points: Points, size: Size, seed: int, found: dict[str, list[dict[str, float]]]
) -> tuple[dict[str, Any], list[Claim]]:
    """The game of the paper with networks, against the trade-off with the same penalty and weight."""
    played: dict[str, dict[str, dict[str, float]]] = {"short": {}, "long": {}}
    runs = {"none": ("l1", 0.0), **{name: (name, lam) for name, lam in CHOSEN.items()}}
    for length, factor in (("short", 1), ("long", LONGER)):
        for label, (name, lam) in runs.items():
            if length == "short" or label != "l1":
                steps = factor * size.game_steps
                options = {"method": "minimax", "iterations": steps, "learning_rate": size.game_rate}
                played[length][label] = points.measure(train(points, size, name, lam, seed, **options))
    ratio = {
        k: {name: r["small"] / rows["none"]["small"] for name, r in rows.items()}
        for k, rows in played.items()
    }
    claims = []
    for name, lam in CHOSEN.items():
        traded = next(r for r in found[name] if r["lam"] == lam)
        claims.append(
            at_most(
                f"the game's penalty makes displacements sparse: small ones with {name} over without",
                ratio["short"][name],
                0.5,
                f"{size.game_steps} steps of f, 10 of g for each; lam = {lam:g} of a mean, {lam / 128:.2g} "
                "in the units of the paper's code.",
            )
        )
        share = traded["small"] / found[name][0]["small"]
        claims.append(at_most(f"the same in the trade-off, {name}", share, 0.5))
    fades = ratio["long"]["smoothed l0"] / ratio["short"]["smoothed l0"]
    return played, [
        *claims,
        at_least(
            f"T2 with networks: that ratio of smoothed l0 after {LONGER} times the steps, over that before",
            fades,
            1.1,
            f"{ratio['short']['smoothed l0']:.3g}, then {ratio['long']['smoothed l0']:.3g}.",
        ),
    ]


# --- weights that are found ----------------------------------------------------------------------


def found_weights(points: Points, size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """The rule for a number of dimensions in 20, and annealing in 2."""
    wanted = 3.02
    rule = wp.transport.DimensionTarget(
        wanted, start=0.05, warm_up=8 * size.stage, stage=2 * size.stage, trial=size.stage, cooling=0.8
    )
    move = train(points, size, "smoothed l0", rule, seed, iterations=None)
    counts = [(r.iteration, r.lam, r.count) for r in move.history]
    z = move.displacement(points.train.source)
    reached = float(np.mean(np.sum(np.abs(z) > COUNTED, axis=1)))

    flat = wp.problems.sparse_shift(size.points // 2, 2, 1, 3.0, 0.3, seed)
    penalty = wp.SmoothedL0(0.5)
    anneal = wp.transport.AnnealedWeight(0.2, warm_up=8 * size.stage, stage=size.stage, cooling=0.85)
    options = {"hidden": size.hidden, "seed": seed, "progress": False, "learning_rate": 0.02}
    plane = wp.transport.neural_map(flat.source, flat.target, penalty, anneal, **options)
    first = plane.history[0]
    last = next(r for r in reversed(plane.history) if r.lam == plane.lam)
    score = 0.8 * last.penalty / first.penalty + 0.2 * last.distance / first.distance
    bare = wp.transport.elastic_map(flat.source, flat.target)
    sparse = wp.transport.elastic_map(flat.source, flat.target, wp.L1())
    second = [float(np.mean(m.displacement(flat.source)[:, 1] == 0)) for m in (sparse, bare)]
    numbers = {
        "dimension target": {"weight": move.lam, "status": move.status, "history": counts},
        "annealing": {"weight": plane.lam, "score over first": score},
    }
    drawn = {"plane": plane, "sparse": sparse, "problem": flat}
    return {"numbers": numbers, "drawn": drawn}, [
        Claim(
            "the adaptive weight reaches the dimension target",
            f"at most {wanted:g} of 20 entries on average",
            f"{reached:.3g}",
            reached <= wanted and move.status == "finished",
            f"From {counts[0][2]:.3g} after the warm-up; weight {move.lam:.3g}.",
        ),
        at_most(
            "2-D: score of the annealed weight over that of the first (lower is better)",
            score,
            1.0,
            f"Weight {plane.lam:.3g} from 0.2; penalty {last.penalty / first.penalty:.3g} and distance "
            f"{last.distance / first.distance:.3g} times the first.",
        ),
        at_least(
            "2-D: share of the points that the elastic l1 map leaves in their row exactly",
            second[0],
            0.3,
            f"Without a penalty: {second[1]:g}.",
        ),
    ]


# --- the report ----------------------------------------------------------------------------------


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int

    Returns
    -------
    Report
    """
    points = Points.made(size.points, seed)
    moved, shift_claims = shifts(points.train)
    found = curves(points, size, seed)
    levels, trade_claims = trade_off(found)
    played, game_claims = game(points, size, seed, found)
    weights, weight_claims = found_weights(points, size, seed)
    claims = (*derivatives(seed), *shift_claims, *trade_claims, *game_claims, *weight_claims)
    numbers = {"shifts": moved, "curves": found, **levels, "game": played, **weights["numbers"]}
    return Report(claims, draw(found, moved, played, weights), {**asdict(size), "seed": seed}, numbers)


def draw(
    found: dict[str, list[dict[str, float]]], moved: dict[str, Any], played: Any, weights: dict[str, Any]
) -> Figure:
    """The trade-off, its bias, shifts alone, the game, the weight that is found, two maps of the plane."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.5, 7.4), layout="constrained")
    axes = figure.subplots(2, 3).reshape(-1)
    for name, curve in found.items():
        x = [r["feasibility"] for r in curve]
        style = "s--" if name in ELASTIC else "o-"
        axes[0].plot(x, [r["small"] for r in curve], style, color=COLOURS[name], label=name, ms=4)
        axes[1].plot(
            [r["small"] for r in curve], [r["large shift"] for r in curve], style, color=COLOURS[name], ms=4
        )
    axes[0].set(
        xlabel="divergence to the targets", ylabel="mean small displacement", title="trade-off", ylim=0
    )
    axes[0].legend(fontsize=7)
    axes[1].axhline(3, color="k", lw=0.8)
    axes[1].set(xlabel="mean small displacement", ylabel="mean large shift", title="bias (truth: 3)")
    m = np.abs(moved["difference of means"])
    for name, path in moved["paths"].items():
        axes[2].plot(m, np.abs(path[-1]), "o", color=COLOURS[name], ms=4, label=name)
    axes[2].plot([0, 3.2], [0, 3.2], "k--", lw=0.8)
    axes[2].set(
        xlabel="|difference of means|", ylabel="|shift|", title="shifts alone: prox(m), largest weights"
    )
    axes[2].legend(fontsize=7)
    names = ["none", *CHOSEN]
    first = found["l1"][0]["small"]
    traded = [first, *(next(r["small"] for r in found[k] if r["lam"] == lam) for k, lam in CHOSEN.items())]
    at = np.arange(3)
    for place, (length, label, colour) in enumerate(
        (("short", "game", "0.75"), ("long", f"game, {LONGER} times the steps", "0.5"))
    ):
        heights = [played[length].get(k, {"small": 0.0})["small"] for k in names]
        axes[3].bar(at + 0.27 * (place - 1), heights, 0.26, label=label, color=colour)
    axes[3].bar(at + 0.27, traded, 0.26, label="divergence plus penalty", color="tab:blue")
    axes[3].set(ylabel="mean small displacement", title="does the penalty sparsify?")
    axes[3].set_xticks(at, names)
    axes[3].legend(fontsize=7)
    steps, lam, count = zip(*weights["numbers"]["dimension target"]["history"], strict=True)
    axes[4].semilogy(steps, lam, "o-", ms=3, label="weight")
    axes[4].semilogy(steps, count, "s-", ms=3, label="entries that move")
    axes[4].set(xlabel="steps", title="weight for 3 of 20 dimensions")
    axes[4].legend(fontsize=7)
    drawn = weights["drawn"]
    y = drawn["problem"].source[:60]
    axes[5].plot(*drawn["problem"].target.T, ".", color="0.75", ms=3)
    for name, key, colour in (
        ("network, smoothed l0", "plane", "tab:blue"),
        ("elastic, l1", "sparse", "tab:olive"),
    ):
        z = drawn[key].displacement(y)
        axes[5].quiver(
            *y.T,
            *z.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.003,
            color=colour,
            label=name,
            alpha=0.7,
        )
    axes[5].set(title="in the plane")
    axes[5].legend(fontsize=7, loc="upper left")
    return figure


EXPERIMENT = Experiment(
    "Displacement-sparse neural optimal transport",
    "Chen, Xie, Zhang, 2025, arXiv 2502.01889",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
