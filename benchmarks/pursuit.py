"""Orthogonal matching pursuit in many columns, against scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from sklearn.linear_model import orthogonal_mp

import wellposed as wp
from benchmarks.lasso import planted
from benchmarks.report import Settings, Table, ratio, seconds

RULES = ("correlation", "lasso", "attention")


def run(settings: Settings) -> Iterator[Table]:
    """A dense and a sparse problem with 50 features to find."""
    n, p, m, q = (100, 1000, 200, 2000) if settings.quick else (1000, 20_000, 5000, 100_000)
    count = 10 if settings.quick else 50
    yield measure(f"Dense {n} x {p}, {count} features", *planted(n, p), count, settings)
    sparse = planted(m, q, density=1e-3 if not settings.quick else 2e-2)
    yield measure(f"Sparse {m} x {q}, {count} features", *sparse, count, settings)


def measure(title: str, X: Any, y: np.ndarray, count: int, settings: Settings) -> Table:
    table = Table(title, ("method", "best", "median", "ratio", "residual"))
    calls: dict[str, Callable[[], np.ndarray]] = {
        f"wellposed, {rule}": (lambda rule=rule: _ours(X, y, count, rule)) for rule in RULES
    }
    if isinstance(X, np.ndarray):
        calls["scikit-learn, orthogonal_mp"] = lambda: orthogonal_mp(X, y, n_nonzero_coefs=count)
    times = {name: sorted(_cpu(call) for _ in range(max(settings.repeat, 3))) for name, call in calls.items()}
    first = times[f"wellposed, {RULES[0]}"][0]
    for name, call in calls.items():
        left = float(np.linalg.norm(y - X @ call()) / np.linalg.norm(y))
        own = times[name]
        table.add(name, seconds(own[0]), seconds(own[len(own) // 2]), ratio(own[0], first), f"{left:.6f}")
    table.note(
        "Seconds of processor time, checks of the input included. The two rules that solve a Lasso in each "
        "round prove their choice with its duality gap. scikit-learn takes dense matrices only."
    )
    return table


def _ours(X: Any, y: np.ndarray, count: int, rule: Any) -> np.ndarray:
    return np.asarray(wp.orthogonal_matching_pursuit(X, y, count, select=rule).x)


def _cpu(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin
