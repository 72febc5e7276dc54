"""The search for the best weight of a rule: a coarse path from large to small, then refinement."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from wellposed.solvers.selection_path import Path, Point, Record
from wellposed.solvers.selection_range import Range
from wellposed.solvers.selection_rules import Judge

PASSED = 2
"""The coarse path ends once the best of its weights has this many smaller ones behind it."""

REFINEMENTS = 4
"""Solves at most after the coarse path."""

ROOT_TOLERANCE = 0.01
"""A root is found when the criterion is this near 0."""

NARROW = 0.15
"""Minima are refined until the bracket is this wide in log weight."""


@dataclass
class Search:
    """Looks for the minimum or root of a judge's criterion on a path.

    Parameters
    ----------
    path : Path
    judge : Judge
    span : Range
    count : int
        Weights on the coarse path.
    watch : callable
        Called with each `Record`; the search ends if it returns ``False``.
    """

    path: Path
    judge: Judge
    span: Range
    count: int
    watch: Callable[[Record], Any]
    stopped: bool = field(default=False, init=False)
    _refinements: int = field(default=0, init=False)

    def run(self) -> tuple[float, str]:
        """The weight found, and a remark if the search ended at a border or was stopped."""
        root = self.judge.rule.root
        value, remark = self._root() if root else self._minimum()
        return value, "stopped by the callback" if self.stopped else remark

    def curve(self) -> tuple[Record, ...]:
        """All weights tried, in increasing order."""
        points = self._points()
        return tuple(_record(p, c) for p, c in zip(points, self.judge.criteria(points), strict=True))

    def _points(self) -> list[Point]:
        return [self.path.points[v] for v in sorted(self.path.points)]

    def _visit(self, value: float) -> float:
        """The criterion at a weight, after a solve."""
        point = self.path.at(value)
        criterion = math.nan if self.judge.rule.whole else self.judge.criteria([point])[0]
        if self.watch(_record(point, criterion)) is False or point.result.status == "interrupted":
            self.stopped = True
        return criterion

    @cached_property
    def _ratio(self) -> float:
        """Of neighbours on the coarse path."""
        # A rule on the whole path needs it even: close points would turn errors into curvature.
        count = self.count + (REFINEMENTS if self.judge.rule.whole else 0)
        return math.exp(math.log(self.span.high / self.span.low) / (count - 1))

    def _down(self) -> Iterator[float]:
        """The coarse path, and on to the lower limit."""
        value = self.span.high
        while value > self.span.low * self._ratio**-0.5:
            yield value
            value /= self._ratio
        if not self.judge.rule.whole:
            while value > self.span.lower_limit * self._ratio**-0.5:
                yield value
                value /= self._ratio

    def _up(self) -> Iterator[float]:
        """Above the coarse path, up to the upper limit."""
        value = self.span.high * self._ratio
        while value < self.span.upper_limit * self._ratio**0.5:
            yield value
            value *= self._ratio

    # --- a root -------------------------------------------------------------------------------

    def _root(self) -> tuple[float, str]:
        last: tuple[float, float] | None = None
        for values in (self._down(), self._up()):
            for value in values:
                here = math.log(value), self._visit(value)
                if self.stopped or abs(here[1]) <= ROOT_TOLERANCE:
                    return value, ""
                if last is not None and (last[1] > 0) != (here[1] > 0):
                    above, below = (last, here) if last[1] > 0 else (here, last)
                    return self._between(above, below), ""
                last = here
                if here[1] < 0 and len(self.path.points) == 1:
                    break
        assert last is not None
        if last[1] < 0:
            return math.exp(last[0]), "even the largest weight fits the data to the noise level"
        return math.exp(last[0]), "no weight in the range fits the data to the noise level: is it larger?"

    def _between(self, above: tuple[float, float], below: tuple[float, float]) -> float:
        """Regula falsi in the logarithms of weight and residual; the Illinois rule frees a stuck end."""
        (a, fa), (b, fb) = ((t, math.log1p(max(c, -0.999999))) for t, c in (above, below))
        t, side = a, 0
        for _ in range(2 * REFINEMENTS):
            t = (a * fb - b * fa) / (fb - fa)
            c = self._visit(math.exp(t))
            if abs(c) <= ROOT_TOLERANCE or self.stopped:
                break
            f = math.log1p(max(c, -0.999999))
            if f > 0:
                a, fa, fb, side = t, f, fb / 2 if side == 1 else fb, 1
            else:
                b, fb, fa, side = t, f, fa / 2 if side == -1 else fa, -1
        return math.exp(t)

    # --- a minimum ----------------------------------------------------------------------------

    def _minimum(self) -> tuple[float, str]:
        criteria: list[float] = []
        for value in self._down():
            criteria.append(self._visit(value))
            if self.stopped or (not self.judge.rule.whole and self._passed(criteria)):
                break
        if int(np.argmin(criteria)) == 0 and not self.judge.rule.whole:
            upwards = criteria[:1]
            for value in self._up():
                if self.stopped or self._passed(upwards):
                    break
                upwards.append(self._visit(value))
        while not (self.stopped or self.judge.rule.whole) and self._refinements < REFINEMENTS:
            between = self._between_best()
            if between is None:
                break
            self._refinements += 1
            self._visit(between)
        return self._best()

    def _passed(self, criteria: list[float]) -> bool:
        """Whether the best is clearly behind."""
        return len(criteria) - 1 - int(np.argmin(criteria)) >= PASSED

    def _judged(self) -> tuple[list[float], list[float]]:
        points = self._points()
        return [math.log(p.value) for p in points], self.judge.criteria(points)

    def _best(self) -> tuple[float, str]:
        t, c = self._judged()
        k = int(np.argmin(c))
        if not math.isfinite(c[k]):
            return math.exp(t[len(t) // 2]), "the rule found no minimum: the middle of the range was taken"
        if k in (0, len(t) - 1):
            end = "smallest" if k == 0 else "largest"
            return math.exp(t[k]), f"the {end} weight of the range was best: widen it"
        return math.exp(_vertex(t[k - 1 : k + 2], c[k - 1 : k + 2])), ""

    def _between_best(self) -> float | None:
        """Where to look next: in the wider of the two gaps beside the best weight, or at its parabola."""
        t, c = self._judged()
        k = int(np.argmin(c))
        if not math.isfinite(c[k]) or k in (0, len(t) - 1):
            return None
        left, right = t[k] - t[k - 1], t[k + 1] - t[k]
        if max(left, right) <= NARROW:
            return None
        middle = t[k] - 0.5 * left if left >= right else t[k] + 0.5 * right
        return math.exp(middle)


def _vertex(t: list[float], c: list[float]) -> float:
    """The minimum of the parabola through three points around the best."""
    (a, m, b), (fa, fm, fb) = t, c
    if not all(math.isfinite(v) for v in c):
        return m
    top = (m - a) ** 2 * (fm - fb) - (m - b) ** 2 * (fm - fa)
    bottom = (m - a) * (fm - fb) - (m - b) * (fm - fa)
    return min(max(m - 0.5 * top / bottom, 0.5 * (a + m)), 0.5 * (m + b)) if bottom != 0 else m


def _record(p: Point, criterion: float) -> Record:
    rms = math.sqrt(p.mean_square)
    return Record(p.value, criterion, rms, p.penalty, p.degrees, p.iterations, p.result.status)
