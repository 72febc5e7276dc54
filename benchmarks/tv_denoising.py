"""Total variation denoising to a given accuracy: isotropic, weight 0.1, noise 0.1, float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

import wellposed as wp
from benchmarks.peers_tv import Peer, counts, numpy_pdhg, pyproximal, scikit_image
from benchmarks.problems import Reference, certified, noisy_photograph, total_variation
from benchmarks.report import Settings, Table, quiet, ratio, seconds
from benchmarks.timing import interleaved
from wellposed.kernels.tv import rof

LAM = 0.1

GOALS = {(512, 1e-2): 0.003, (512, 1e-3): 0.006, (512, 1e-4): 0.015, (2048, 1e-3): 0.08}
"""Seconds, on the machine where the goals were set."""


def objective(b: np.ndarray) -> wp.Functional:
    return wp.LeastSquares(None, b) + LAM * wp.TotalVariation()


def reference(b: np.ndarray) -> Reference:
    """The certified minimum for data ``b``, in double precision."""
    exact = b.astype(np.float64)

    def value(x: np.ndarray) -> float:
        r = x - b
        return 0.5 * float((r * r).sum(dtype=np.float64)) + LAM * total_variation(x)

    return certified(objective(exact), value, tol=1e-6)[0]


def run(settings: Settings) -> Iterator[Table]:
    """One table per image size."""
    cases = {128: (1e-2, 1e-3)} if settings.quick else {512: (1e-2, 1e-3, 1e-4), 2048: (1e-2, 1e-3)}
    for size, targets in cases.items():
        yield measure(size, targets, settings)


def measure(size: int, targets: tuple[float, ...], settings: Settings) -> Table:
    table = Table(
        f"TV denoising, {size} x {size}",
        ("method", "target", "iterations", "median", "best", "ratio", "objective error", "goal"),
    )
    b = noisy_photograph(size)
    exact = reference(b)
    peers = [scikit_image(b, LAM, table), pyproximal(b, LAM, table), numpy_pdhg(b, LAM)]
    found = {p.name: counts(p, exact.error, targets, settings.slow) for p in peers if p is not None}
    for target in targets:
        rows = ours(b, target)
        for p in peers:
            if p is not None and target in found[p.name]:
                rows[p.name] = at(p, found[p.name][target])
        with quiet():
            times = interleaved({name: call for name, (call, _) in rows.items()}, settings.repeat)
            base = times["wp.minimize"].median
            for name, (call, iterations) in rows.items():
                t = times[name]
                goal = GOALS.get((size, target)) if name == "wp.minimize" else None
                table.add(
                    name,
                    f"{target:.0e}",
                    str(iterations),
                    seconds(t.median),
                    seconds(t.best),
                    ratio(t.median, base),
                    f"{exact.error(call()):.1e}",
                    "" if goal is None else seconds(goal),
                )
        for p in peers:
            if p is not None and target not in found[p.name]:
                table.add(p.name, f"{target:.0e}", "-", f"> {settings.slow:.0f} s", "-", "-", "-", "")
    table.note(
        f"The minimum is certified to {exact.certified:.0e} (duality gap, by wp.verify); errors are upper "
        "bounds of the relative objective error."
    )
    table.note(
        "wellposed runs until its own duality gap proves the target, that proof included. The others run the "
        "smallest number of iterations whose objective error meets the target, found beforehand from the "
        "reference and not timed: an easier goal, which they could not know."
    )
    table.note(
        f"'> {settings.slow:.0f} s': not reached in that time while looking for the number of iterations."
    )
    return table


def ours(b: np.ndarray, target: float) -> dict[str, tuple[Callable[[], np.ndarray], int]]:
    def minimize() -> np.ndarray:
        return wp.minimize(objective(b), tol=target, progress=False).x

    def kernel() -> np.ndarray:
        return rof(b, LAM, tol=target)[0]

    steps = wp.minimize(objective(b), tol=target, progress=False).iterations
    return {
        "wp.minimize": (minimize, steps),
        "wellposed.kernels.tv.rof": (kernel, rof(b, LAM, tol=target)[4]),
    }


def at(p: Peer, count: int) -> tuple[Callable[[], np.ndarray], int]:
    """A solve with a fixed number of iterations."""
    return (lambda: p.solve(count)), count
