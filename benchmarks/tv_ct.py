"""Few-view TV reconstruction, 60 views, 1 % noise, non-negative, to a relative objective error of 1e-3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import wellposed as wp
from benchmarks.peers_ct import astra_matrix
from benchmarks.problems import Reference
from benchmarks.report import Settings, Table, peer, ratio, seconds
from benchmarks.scans import VIEWS, CountedBeam, Scan, matrix_reference, own_reference, scan
from benchmarks.solvers_ct import SOLVERS, Outcome, attempt, numpy_csr
from benchmarks.timing import Timing

TARGET = 1e-3

BALANCES = (0.1, 0.3, 0.03)
"""Step balances tried for the peers. They run one and the same iteration, so the quickest peer tries them."""

REPEAT_BELOW = 2.0
"""Seconds below which a run is repeated."""


def run(settings: Settings) -> Iterator[Table]:
    """One table per scan."""
    cases = (
        [("Shepp-Logan", 64)]
        if settings.quick
        else [("Shepp-Logan", 256), ("CT slice", 256), ("Shepp-Logan", 512)]
    )
    if settings.full:
        cases.append(("CT slice", 512))
    known: dict[str, float] = {}
    for image, size in cases:
        yield measure(scan(image, size), settings, known)


def measure(s: Scan, settings: Settings, known: dict[str, float]) -> Table:
    """One scan; ``known`` keeps the best step balance of each image."""
    table = Table(
        f"TV reconstruction, {s.image} {s.size} x {s.size}, {VIEWS} views",
        ("method", "seconds", "ratio", "pairs", "objective error", "goal"),
    )
    base = add_own(table, s, settings)
    if peer(table, "astra") is None:
        table.note("Without ASTRA there is no matrix for NumPy PDHG either.")
        return table
    matrix = astra_matrix(s.beam())
    reference = matrix_reference(s, matrix)
    limit = settings.slow * (2 if settings.full else 1)
    if s.image not in known:
        tried = search(s, matrix, reference, limit)
        known[s.image] = min(tried, key=lambda k: (tried[k].error > TARGET, tried[k].pairs))
        listed = ", ".join(
            f"{k:g}: " + ("" if v.error <= TARGET else "> ") + f"{v.pairs:g}"
            for k, v in sorted(tried.items())
        )
        table.note(f"Pairs of the peers' iteration by step balance: {listed}. This search is not timed.")
    for name, (solver, modules) in SOLVERS.items():
        if peer(table, *modules) is not None:
            run_once = partial(attempt, solver, s, matrix, known[s.image], reference, TARGET, limit)
            add_peer(table, name, run_once, base)
    table.note(
        f"Peers run the same primal-dual iteration, at balance {known[s.image]:g}, the best of those tried "
        "on the smallest scan of the image. They use ASTRA's linear projector, whose own minimum is "
        f"certified to {reference.certified:.0e}, and stop as soon as their objective error, seen from the "
        "reference, meets the target; looking is not timed. '>': given up before the target."
    )
    return table


def search(s: Scan, matrix: Any, reference: Reference, limit: float) -> dict[float, Outcome]:
    """What NumPy PDHG does with each balance, given up once it takes longer than the best so far."""
    tried: dict[float, Outcome] = {}
    for balance in BALANCES:
        outcome = attempt(numpy_csr, s, matrix, balance, reference, TARGET, limit)
        tried[balance] = outcome
        if outcome.error <= TARGET:
            limit = min(limit, 1.1 * outcome.seconds)
    return tried


def add_own(table: Table, s: Scan, settings: Settings) -> float:
    """The rows of `wp.minimize`; returns the seconds to the certificate."""
    reference = own_reference(s)
    solve(s)
    runs = [solve(s) for _ in range(1 if settings.quick else max(3, settings.repeat // 2))]
    proven = Timing(tuple(r[1] for r in runs))
    seen = Timing(tuple(first_below(r[2], reference)[0] for r in runs))
    result, _, history, beam = runs[0]
    goal = "0.3 s, 100 pairs" if s.size == 256 else ""
    reached = all(r[0].converged for r in runs)
    table.add(
        "wp.minimize, certificate" if reached else f"wp.minimize, {result.status} before its certificate",
        ("" if reached else "> ") + seconds(proven.median),
        "1x",
        ("" if reached else "> ") + f"{beam.pairs:g}",
        f"{reference.error(result.x):.1e}",
        goal,
    )
    _, pairs, error = first_below(history, reference)
    share = ratio(seen.median, proven.median)
    table.add("wp.minimize, error seen", seconds(seen.median), share, f"{pairs:g}", f"{error:.1e}", goal)
    table.note(
        f"wp.minimize: {result.plan.solver}, {result.iterations} iterations, {result.status} with a relative "
        f"gap of {result.certificate.relative:.1e}, "
        f"PSNR {s.psnr(result.x):.1f} dB. Its minimum is certified to {reference.certified:.0e}. "
        "'certificate': until its own gap proves 1e-3, set-up included; 'error seen': the first look at "
        "which the objective was in truth that near."
    )
    return proven.median


Look = tuple[float, float, float]
"""Seconds, pairs, and the objective when a run looked at its certificate."""


def solve(s: Scan) -> tuple[wp.Result, float, list[Look], CountedBeam]:
    """One run on a fresh projector, with its looks."""
    begin = time.perf_counter()
    A = s.beam()
    looks: list[Look] = []

    def look(info: Any) -> None:
        looks.append((time.perf_counter() - begin, A.pairs, info.objective))

    result = wp.minimize(s.objective(A), tol=TARGET, progress=False, callback=look)
    return result, time.perf_counter() - begin, looks, A


def first_below(looks: list[Look], reference: Reference) -> Look:
    """The first look with an objective error within the target: seconds, pairs, error."""
    errors = [(objective - reference.lower) / reference.lower for _, _, objective in looks]
    k = int(np.argmax(np.array(errors) <= TARGET))
    return looks[k][0], looks[k][1], errors[k]


def add_peer(table: Table, name: str, run_once: Callable[[], Outcome], base: float) -> None:
    """The row of a peer, its run repeated if it is short."""
    outcomes = [run_once()]
    if outcomes[0].error <= TARGET and outcomes[0].seconds < REPEAT_BELOW:
        outcomes += [run_once(), run_once()]
    taken = Timing(tuple(o.seconds for o in outcomes)).median
    outcome = outcomes[0]
    more = "" if outcome.error <= TARGET else "> "
    table.add(
        name,
        more + seconds(taken),
        more + ratio(taken, base),
        more + f"{outcome.pairs:g}",
        f"{outcome.error:.1e}",
        "",
    )
