"""Timing: candidates take turns, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def best(self) -> float:
        return min(self.samples)


def interleaved(
    candidates: Mapping[str, Callable[[], Any]], repeat: int, budget: float = 2.0
) -> dict[str, Timing]:
    """Call each candidate in turn, ``repeat`` times.

    A first call of each compiles and fills caches and does not count, unless it alone takes half the
    ``budget`` (seconds): then it is the only sample. A candidate sits out once it has used its budget,
    but not before three samples.
    """
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    alone: set[str] = set()
    for name, call in candidates.items():
        seconds = once(call)
        if seconds > budget / 2:
            samples[name].append(seconds)
            alone.add(name)
    for _ in range(repeat):
        for name, call in candidates.items():
            taken = samples[name]
            if name not in alone and (len(taken) < 3 or sum(taken) < budget):
                taken.append(once(call))
    return {name: Timing(tuple(taken)) for name, taken in samples.items()}


def once(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


class Stopwatch:
    """A clock that stands still while the benchmark itself computes something."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._paused = 0.0

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._begin - self._paused

    def __enter__(self) -> None:
        self._pause_begin = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._paused += time.perf_counter() - self._pause_begin
