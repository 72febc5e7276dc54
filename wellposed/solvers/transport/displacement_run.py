"""The run of a training: stages of a rule, one after the other, measured, undone and shown."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.functionals.rows import row_values
from wellposed.solvers.progress import SECONDS_BETWEEN_LINES
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.transport.displacement_training import Training, TrainingData
from wellposed.solvers.transport.displacement_weight import Measurement, Stage, WeightRule

MEASURED_POINTS = 2000
DIRECTIONS = 64


@dataclass(frozen=True)
class NeuralMapRecord:
    """One line of the history of a training.

    Parameters
    ----------
    iteration : int
    seconds : float
    lam : float
        The weight of the penalty then.
    penalty, count, distance : float
        Mean penalty of a displacement, mean number of its entries above the threshold, and sliced Wasserstein
        distance of the images to the targets.
    """

    iteration: int
    seconds: float
    lam: float
    penalty: float
    count: float
    distance: float


class Run:
    """Stages of a rule, one after the other; what is undone, measured and shown."""

    def __init__(
        self,
        data: TrainingData,
        rule: WeightRule,
        training: Training,
        threshold: float,
        callback: Callable[[NeuralMapRecord], Any] | None,
        progress: bool | None,
    ) -> None:
        self._data, self._rule, self._training = data, rule, training
        self._threshold, self._callback = threshold, callback
        self._terminal = sys.stderr.isatty()
        self._wanted = self._terminal if progress is None else progress
        self._begin = self._shown = time.perf_counter()
        self._source = some_points(data.source, MEASURED_POINTS)
        self._target = some_points(data.target, MEASURED_POINTS)
        directions = data.rng.standard_normal((DIRECTIONS, data.source.shape[1]))
        self._directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        self.history: list[NeuralMapRecord] = []

    def go(self) -> tuple[float, str]:
        """Train; the last weight, and how the run ended."""
        kept, weight, at, status = self._training.snapshot(), 0.0, None, "finished"
        stages, count = self._rule.stages(self._data.rng), 0
        stage: Stage | None = next(stages)
        while stage is not None:
            try:
                for _ in range(stage.iterations):
                    self._training.step(stage.lam, stage.rate)
            except KeyboardInterrupt:
                status = "interrupted"
                break
            count += stage.iterations
            trained, at = self._training.snapshot(), self._measure()
            last = stage.lam
            accepted = True
            try:
                stage = stages.send(at)
                accepted = not stage.undo
            except StopIteration as end:
                accepted, stage = bool(end.value), None
            if accepted:
                kept, weight = trained, last
            else:
                self._training.restore(kept)
            if not self._look(count, last, at):
                status = "stopped"
                break
        self._training.restore(kept)
        if self._wanted and self._terminal and self.history:
            sys.stderr.write("\n")
        if status == "finished" and (message := self._rule.missed(self._measure())):
            warnings.warn(f"neural map: {message}", ConvergenceWarning, stacklevel=4)
            status = "target missed"
        return weight, status

    def _measure(self) -> Measurement:
        images = self._training.player.frozen().map(self._source)
        z = images - self._source
        return Measurement(
            penalty=float(np.mean(row_values(self._data.penalty, z))),
            count=float(np.mean(np.sum(np.abs(z) > self._threshold, axis=1))),
            distance=sliced_distance(images, self._target, self._directions),
        )

    def _look(self, iteration: int, lam: float, at: Measurement) -> bool:
        """Note and show where the run stands; false to stop."""
        now = time.perf_counter()
        record = NeuralMapRecord(iteration, now - self._begin, lam, at.penalty, at.count, at.distance)
        self.history.append(record)
        if self._wanted and now - self._shown >= (0.1 if self._terminal else SECONDS_BETWEEN_LINES):
            self._shown = now
            line = (
                f"neural map: step {iteration}, lam {lam:.3g}, penalty {at.penalty:.4g}, "
                f"{at.count:.3g} entries, distance {at.distance:.4g}, {record.seconds:.1f} s"
            )
            sys.stderr.write(f"\r\x1b[2K{line}" if self._terminal else line + "\n")
            sys.stderr.flush()
        return self._callback is None or self._callback(record) is not False


def sliced_distance(x: np.ndarray, y: np.ndarray, directions: np.ndarray) -> float:
    """The root mean square over directions of the distance W2 of two sets of points projected on them."""
    a, b = np.sort(x @ directions.T, axis=0), np.sort(y @ directions.T, axis=0)
    if len(a) != len(b):
        # Quantiles in the middle of equal shares.
        count = max(len(a), len(b))
        at = (np.arange(count) + 0.5) / count
        a, b = (v[np.minimum((at * len(v)).astype(int), len(v) - 1)] for v in (a, b))
    return float(np.sqrt(np.mean((a - b) ** 2)))


def some_points(points: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the points, evenly spread over their list."""
    return points[:: -(-len(points) // most)]
