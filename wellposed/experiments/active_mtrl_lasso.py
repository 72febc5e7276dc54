r"""Active multi-task representation learning: samples of source tasks by L1 and by L2 relevance.

Y. Wang, Y. Chen, K. Jamieson and S. S. Du, Improved active multi-task representation learning via Lasso, ICML
2023, arXiv 2306.02556. Linear tasks in a common subspace, in place of the paper's corrupted digits; excess
risks of a target whose head is fitted in the learned subspace. With L1 relevance ``nu`` task ``m`` gets
samples in proportion to ``|nu_m|``, with L2 relevance to its square.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import wellposed as wp
from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.problems.tasks import RelatedTasks, related_tasks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAMBDA = 0.05
METHODS = (
    "uniform",
    "L2, known",
    "L1, known",
    "L1, estimated apart",
    "two stages, L2",
    "two stages, L1",
    "5 tasks, at random",
    "5 tasks, L2",
    "5 tasks, L1",
)


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    replicates: int
    allocations: int
    features: int = 60
    tasks: int = 30
    rank: int = 5
    budget: int = 12_000
    least: int = 100
    first: int = 200
    target: int = 3000


SMALL = Size(replicates=12, allocations=1000)
FULL = Size(replicates=100, allocations=10_000)


def squared(nu: np.ndarray) -> np.ndarray:
    """The scores of the older rule."""
    return np.asarray(nu**2)


def shortest(heads: np.ndarray, target: np.ndarray) -> np.ndarray:
    """L2 relevance."""
    return np.asarray(np.linalg.pinv(heads) @ target)


def risk(
    problem: RelatedTasks, counts: np.ndarray, size: Size, rng: np.random.Generator, pooled: Any = None
) -> float:
    """Excess risk with so many samples of each task; ``pooled`` are samples taken before."""
    samples = problem.samples(counts, rng)
    if pooled is not None:
        samples = [
            (np.concatenate([X, more]), np.concatenate([y, values]))
            for (X, y), (more, values) in zip(pooled, samples, strict=True)
        ]
    learned = wp.multitask.shared_representation(samples, size.rank)
    return problem.excess_risk(learned.basis @ learned.head(*problem.target_samples(size.target, rng)))


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """All but the ``k`` largest set to 0."""
    return np.where(np.argsort(np.argsort(-np.abs(scores))) < k, scores, 0.0)


def compare(size: Size, seed: int) -> dict[str, float]:
    """Excess risks of all methods on one set of tasks."""
    problem = related_tasks(size.features, size.tasks, size.rank, seed=seed)
    streams = iter(np.random.default_rng([seed, 1]).spawn(len(METHODS) + 1))
    rng = next(streams)
    first = problem.samples([size.first] * size.tasks, rng)
    learned = wp.multitask.shared_representation(first, size.rank)
    head = learned.head(*problem.target_samples(size.target, rng))
    nu = wp.multitask.relevance(learned.heads, head, LAMBDA).x
    nu_two = shortest(learned.heads, head)
    exact = wp.multitask.relevance(problem.heads, problem.target).x
    exact_two = shortest(problem.heads, problem.target)
    even = np.ones(size.tasks)
    few = np.zeros(size.tasks)
    few[rng.choice(size.tasks, size.rank, replace=False)] = 1.0

    def once(scores: np.ndarray, least: int = size.least) -> float:
        return risk(problem, wp.multitask.allocate(scores, size.budget, least), size, next(streams))

    def later(scores: np.ndarray) -> float:
        rest = size.budget - size.first * size.tasks
        return risk(problem, wp.multitask.allocate(scores, rest), size, next(streams), first)

    risks = (
        once(even),
        once(squared(exact_two)),
        once(exact),
        once(nu),
        later(squared(nu_two)),
        later(nu),
        once(few, 0),
        once(squared(top(nu_two, size.rank)), 0),
        once(top(nu, size.rank), 0),
    )
    return dict(zip(METHODS, risks, strict=True))


def risk_claims(rows: list[dict[str, float]]) -> list[Claim]:
    """The order of the methods, by means over the sets of tasks."""
    mean = {name: float(np.mean([r[name] for r in rows])) for name in METHODS}
    error = {name: float(np.std([r[name] for r in rows]) / np.sqrt(len(rows))) for name in METHODS}
    shown = ", ".join(f"{name} {mean[name]:.4f} +- {error[name]:.4f}" for name in METHODS[:4])
    staged, few = (
        ", ".join(f"{name} {mean[name]:.4f} +- {error[name]:.4f}" for name in METHODS[i:j])
        for i, j in ((4, 6), (6, 9))
    )
    return [
        at_most(
            "excess risk, known relevance: L1 over L2", mean["L1, known"] / mean["L2, known"], 1.0, shown
        ),
        at_most("excess risk, known relevance: L2 over uniform", mean["L2, known"] / mean["uniform"], 1.0),
        at_least(
            "excess risk: uniform over L1 with known relevance", mean["uniform"] / mean["L1, known"], 1.8
        ),
        at_most(
            "excess risk: L1 with relevance estimated from other samples over known",
            mean["L1, estimated apart"] / mean["L1, known"],
            1.25,
        ),
        at_most(
            "excess risk in two stages of one budget, relevance estimated from the first: L1 over L2",
            mean["two stages, L1"] / mean["two stages, L2"],
            1.0,
            f"Half of the budget is spent evenly first, and its samples are used again. {staged}",
        ),
        at_most(
            "excess risk in two stages by L1 over uniform, same budget",
            mean["two stages, L1"] / mean["uniform"],
            1.0,
        ),
        at_most(
            "excess risk with samples of 5 tasks only, chosen by estimated relevance: L1 over L2",
            mean["5 tasks, L1"] / mean["5 tasks, L2"],
            1.0,
            few,
        ),
    ]


def theory(size: Size, seed: int) -> tuple[dict[str, Any], list[Claim]]:
    """The value of an allocation: its two forms, its minimum, the gap between the rules, prices."""
    problem = related_tasks(size.features, size.tasks, size.rank, seed=seed)
    W, w = problem.heads, problem.target
    rng = np.random.default_rng([seed, 2])
    result = wp.multitask.relevance(W, w)
    least = float(np.abs(result.x).sum() ** 2)
    share = np.abs(result.x) / np.abs(result.x).sum()
    draws = rng.dirichlet(np.full(size.tasks, 0.3), size.allocations)
    values = np.array([wp.multitask.allocation_value(W, w, n) for n in draws])
    closed = np.array([w @ np.linalg.solve((W * n) @ W.T, w) for n in draws[:20]])
    identity = float(np.max(np.abs(values[:20] / closed - 1)))
    descent = multiplicative(W, w)
    eps, M = 0.1, 10
    nu = np.concatenate([[1.0], np.full(M - 1, eps / M)])
    ours = float(np.abs(wp.multitask.relevance(np.eye(M), nu).x).sum() ** 2)
    counts = nu**2 / np.sum(nu**2)
    older = wp.multitask.allocation_value(np.eye(M), nu, counts)
    return {"least": least, "values": values.tolist(), "multiplicative updates": descent}, [
        at_most("relative difference of the two forms of E(n)", identity, 1e-8),
        at_most(
            f"minimum of E(n) by L1 relevance over the least of {size.allocations} random allocations",
            least / float(values.min()),
            1.0,
        ),
        at_most(
            "relative distance of E at the L1 allocation from the squared L1 norm",
            abs(wp.multitask.allocation_value(W, w, share) / least - 1),
            1e-6,
        ),
        at_most("E after multiplicative updates over the squared L1 norm", descent[-1] / least, 1.001),
        at_most("tasks with L1 relevance", int(np.sum(np.abs(result.x) > 1e-6)), size.rank),
        Claim(
            "E of the L1 and of the L2 rule where heads are the identity, 10 tasks, eps = 0.1",
            "1.188 and 10.009",
            f"{ours:.3f} and {older:.3f}",
            abs(ours - 1.1881) < 1e-3 and abs(older - 10.009) < 1e-3,
        ),
        priced(W, w, size, rng),
    ]


def multiplicative(W: np.ndarray, w: np.ndarray, steps: int = 3000) -> list[float]:
    """Values of E along multiplicative updates of the shares, which know nothing of L1."""
    n = np.full(W.shape[1], 1 / W.shape[1])
    values = []
    for _ in range(steps):
        scaled = np.linalg.solve((W * n) @ W.T, w)
        slopes = W.T @ scaled
        values.append(float(w @ scaled))
        n = n * np.abs(slopes)
        n = np.maximum(n / n.sum(), 1e-12)
    return values


def priced(W: np.ndarray, w: np.ndarray, size: Size, rng: np.random.Generator) -> Claim:
    """Prices: the closed form against random allocations of the same cost, and at its own."""
    prices = rng.uniform(0.2, 5.0, size.tasks)
    nu = wp.multitask.relevance(W, w, prices=prices).x
    best = float((np.sqrt(prices) @ np.abs(nu)) ** 2)
    shares = np.abs(nu) / np.sqrt(prices)
    own = wp.multitask.allocation_value(W, w, shares / (prices @ shares))
    draws = rng.dirichlet(np.full(size.tasks, 0.3), size.allocations) / prices
    others = min(wp.multitask.allocation_value(W, w, n) for n in draws)
    holds = abs(own / best - 1) < 1e-6 and best <= others
    return Claim(
        "minimum of E(n) at unit cost with prices: closed form, its allocation, the least at random",
        "equal, and less",
        f"{best:.4g}, {own:.4g}, {others:.4g}",
        holds,
    )


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first set of tasks; the others follow.

    Returns
    -------
    Report
    """
    numbers, first = theory(size, seed)
    rows = [compare(size, s) for s in range(seed, seed + size.replicates)]
    claims = (*first, *risk_claims(rows))
    kept = {
        "least E": numbers["least"],
        "multiplicative updates": numbers["multiplicative updates"][-1],
        "risks": rows,
    }
    return Report(claims, draw(rows, numbers), {**asdict(size), "lambda": LAMBDA}, kept)


def draw(rows: list[dict[str, float]], numbers: dict[str, Any]) -> Figure:
    """The risks, and the values of allocations."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    left.boxplot([[r[name] for r in rows] for name in METHODS], orientation="horizontal", tick_labels=METHODS)
    left.invert_yaxis()
    left.set(xscale="log", xlabel="excess risk", title="samples by relevance, one budget")
    values = np.array(numbers["values"])
    right.hist(np.log10(values[np.isfinite(values)]), bins=40, color="0.75", label="random allocations")
    right.axvline(np.log10(numbers["least"]), color="C0", label="squared L1 norm of the relevance")
    right.axvline(
        np.log10(numbers["multiplicative updates"][-1]), color="C1", ls="--", label="multiplicative updates"
    )
    right.set(xlabel="log10 of E(n)", title="value of an allocation")
    right.margins(y=0.4)
    right.legend()
    return figure


EXPERIMENT = Experiment(
    "Active multi-task representation learning: samples by L1 and by L2 relevance",
    "Wang, Chen, Jamieson, Du, ICML 2023, arXiv 2306.02556",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
