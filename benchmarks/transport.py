"""Optimal transport against POT, and against RegOT where it is installed (``pip install regot``)."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import wellposed as wp
from benchmarks.report import Settings, Table, quiet, ratio, seconds
from benchmarks.timing import interleaved

Problem = tuple[np.ndarray, np.ndarray, np.ndarray]

Candidate = Callable[[], np.ndarray]


def run(settings: Settings) -> Iterator[Table]:
    """Exact, quadratic and entropic transport, and the class-based one."""
    yield exact(200 if settings.quick else 1000, settings)
    for reg in (1.0, 10.0):
        yield quadratic(100 if settings.quick else 800, reg, settings)
    for eps in (0.1, 0.01, 0.001):
        yield entropic(100 if settings.quick else 800, eps, settings)
    yield classes(100 if settings.quick else 1000)


def problem(n: int) -> Problem:
    """Random points with random weights; squared distances over the largest."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((n, 2)), rng.standard_normal((n, 2)) + 1
    a, b = rng.random(n) + 0.1, rng.random(n) + 0.1
    return wp.transport.squared_distances(x, y), a / a.sum(), b / b.sum()


def exact(n: int, settings: Settings) -> Table:
    import ot

    cost, a, b = problem(n)
    return measured(
        f"Exact transport, {n} x {n} points",
        (cost, a, b),
        {
            "wp.transport.exact": lambda: wp.transport.exact(cost, a, b).plan,
            "ot.emd": lambda: ot.emd(a, b, cost),
        },
        settings,
    )


def quadratic(n: int, reg: float, settings: Settings) -> Table:
    cost, a, b = problem(n)
    candidates: dict[str, Candidate] = {
        "wp.transport.quadratic": lambda: wp.transport.quadratic(cost, a, b, reg=reg, tol=1e-9).plan
    }
    if (regot := peer()) is not None:
        columns = np.asfortranarray(cost)
        candidates["regot.qrot_grssn"] = lambda: regot.qrot_grssn(columns, a, b, reg, 1e-9, 2000).plan
        candidates["regot.qrot_assn"] = lambda: regot.qrot_assn(columns, a, b, reg, 1e-9, 2000).plan
    return measured(
        f"Quadratic transport, {n} x {n} points, reg = {reg:g}", (cost, a, b), candidates, settings
    )


def entropic(n: int, eps: float, settings: Settings) -> Table:
    import ot

    cost, a, b = problem(n)

    def theirs(method: str) -> Candidate:
        return lambda: ot.sinkhorn(a, b, cost, eps, method=method, stopThr=1e-9, numItermax=20_000)

    candidates: dict[str, Candidate] = {
        "wp.transport.entropic": lambda: wp.transport.entropic(cost, a, b, eps=eps, tol=1e-8).plan,
        "ot.sinkhorn": theirs("sinkhorn"),
        "ot.sinkhorn, stabilised": theirs("sinkhorn_stabilized"),
    }
    if (regot := peer()) is not None:
        columns = np.asfortranarray(cost)
        candidates["regot.sinkhorn_splr"] = lambda: regot.sinkhorn_splr(columns, a, b, eps, 1e-9, 2000).plan
    return measured(
        f"Entropic transport, {n} x {n} points, eps = {eps:g}", (cost, a, b), candidates, settings
    )


def classes(n: int) -> Table:
    """One run each: a solve takes seconds."""
    table = Table(
        f"Sum-of-norms transport, {n} x {n} points in 4 classes",
        ("weight over the bound of recovery", "seconds", "iterations", "relative gap"),
    )
    clouds = wp.problems.class_clouds(n // 4, 4, noise=1.0)
    pairs = wp.transport.class_weights(clouds.source_labels)
    bound = wp.transport.recovery_bound(clouds.cost, clouds.source_labels, clouds.target_labels)
    with quiet():
        for share in (1.0, 0.3, 0.1):
            result = wp.transport.sum_of_norms(
                clouds.cost, lam=share * bound, row_weights=pairs, column_weights=pairs, max_iter=400
            )
            gap = f"{result.certificate.relative:.1e}"
            table.add(f"{share:g}", seconds(result.seconds), str(result.iterations), gap)
    return table


def measured(title: str, data: Problem, candidates: dict[str, Candidate], settings: Settings) -> Table:
    table = Table(title, ("method", "median", "best", "ratio", "errors of sums"))
    _, a, b = data
    with quiet():
        times = interleaved(candidates, settings.repeat, budget=8.0)
        base = next(iter(times.values())).median
        for name, call in candidates.items():
            plan = np.asarray(call())
            error = np.abs(plan.sum(1) - a).sum() + np.abs(plan.sum(0) - b).sum()
            t = times[name]
            table.add(name, seconds(t.median), seconds(t.best), ratio(t.median, base), f"{error:.0e}")
    table.note("'errors of sums': of the plan's rows and columns, absolute, in all; the mass is 1.")
    return table


def peer() -> Any:
    """RegOT, or ``None``."""
    try:
        return importlib.import_module("regot")
    except ImportError:
        return None
