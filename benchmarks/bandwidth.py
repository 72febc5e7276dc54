"""The time that memory alone needs for one iteration of total variation denoising.

An iteration of the primal-dual method must read five numbers per pixel (newest and previous iterate,
two dual components, data) and write three (new iterate, two dual components): 32 bytes in float32.
The bound is measured by a loop that reads and writes just these and hardly computes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numba
import numpy as np

from benchmarks.problems import noisy_photograph
from benchmarks.report import Settings, Table, ratio, seconds
from benchmarks.timing import interleaved
from wellposed.kernels import tv
from wellposed.kernels._compile import kernel

READS, WRITES = 5, 3


def _one_pass(new: Any, old: Any, q0: Any, q1: Any, b: Any) -> None:
    n, m = b.shape
    for i in numba.prange(n):
        for j in range(m):
            v = b[i, j] - new[i, j]
            q0[i, j] = v - q0[i, j]
            q1[i, j] = v - q1[i, j]
            old[i, j] = v - old[i, j]


one_pass = kernel("r2 w2 w2 w2 r2")(_one_pass)
"""Reads five and writes three arrays, as one iteration must."""


def run(settings: Settings) -> Iterator[Table]:
    """Time per iteration against the bound."""
    table = Table(
        "One iteration of TV denoising and the bandwidth bound",
        (
            "image",
            "one-pass bound",
            "bandwidth",
            "wellposed, one at a time",
            "ratio",
            "wellposed, 48 at a time",
            "ratio",
        ),
    )
    for size in (256, 512) if settings.quick else (512, 1024, 2048, 4096):
        bound, alone, many = measure(size, settings)
        rate = 4 * (READS + WRITES) * size**2 / bound
        table.add(
            f"{size}^2",
            seconds(bound),
            f"{rate / 1e9:.0f} GB/s",
            seconds(alone),
            ratio(alone, bound),
            seconds(many),
            ratio(many, bound),
        )
    table.note(
        f"Best of {3 * settings.repeat} repeats. The bound reads {READS} and writes {WRITES} float32 numbers "
        "per pixel. Goal: within 1.5 times of it for single iterations, and below it for many, which share "
        "passes over memory."
    )
    yield table


def measure(size: int, settings: Settings) -> tuple[float, float, float]:
    """Seconds of the bound, of a single iteration, and of one among 48."""
    b = noisy_photograph(size)
    arrays = [np.full_like(b, 0.5) for _ in range(4)]
    state = tv.start(b, 0.1)
    rounds = max(1, 2**22 // b.size)

    def bound() -> None:
        for _ in range(rounds):
            one_pass(*arrays, b)

    def alone() -> None:
        for _ in range(rounds):
            tv.advance(state, 1)

    def many() -> None:
        tv.advance(state, 48)

    times = interleaved({"bound": bound, "alone": alone, "many": many}, 3 * settings.repeat)
    return times["bound"].best / rounds, times["alone"].best / rounds, times["many"].best / 48
