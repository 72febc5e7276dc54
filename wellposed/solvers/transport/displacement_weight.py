"""Weights of the penalty that are found while a map is trained: by annealing, or for few dimensions."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Measurement:
    """Where a training stands.

    Parameters
    ----------
    penalty : float
        Mean penalty of a displacement.
    count : float
        Mean number of entries of a displacement above the threshold.
    distance : float
        Sliced Wasserstein distance of the images to the targets.
    """

    penalty: float
    count: float
    distance: float


@dataclass(frozen=True)
class Stage:
    """Train for some steps with one weight; with ``undo`` from the network before the last stage.

    ``rate`` multiplies the learning rate.
    """

    lam: float
    iterations: int
    undo: bool = False
    rate: float = 1.0


Stages = Generator[Stage, Measurement, bool]
"""Stages, each answered with what was measured after it; the value says whether the last is kept."""


class WeightRule(Protocol):
    """How the weight of the penalty moves."""

    def stages(self, rng: np.random.Generator) -> Stages:
        """The stages of a training."""

    def missed(self, at: Measurement) -> str:
        """What the final network fails to do, in words; empty if nothing."""


@dataclass(frozen=True)
class ConstantWeight:
    """One weight after a first quarter without: from the identity, a penalty that is not convex may hold it.

    The learning rate falls to 0 over the last half. There are ``looks`` stages.
    """

    lam: float
    iterations: int
    looks: int = 48

    def stages(self, rng: np.random.Generator) -> Stages:
        done = 0
        for look in range(1, self.looks + 1):
            upto = self.iterations * look // self.looks
            share = done / self.iterations
            if upto > done:
                lam = 0.0 if 4 * look <= self.looks else self.lam
                yield Stage(lam, upto - done, rate=min(1.0, 2 * (1 - share)))
            done = upto
        return True

    def missed(self, at: Measurement) -> str:
        return ""


@dataclass(frozen=True)
class AnnealedWeight:
    r"""A weight that trades sparsity for feasibility, by simulated annealing: for few dimensions.

    After a warm-up, weights :math:`\lambda (1 + U(-r, r))` are tried, each for a stage of training, and kept
    if the score is better, or else with probability :math:`e^{\Delta / T}`; otherwise the stage is undone.

    .. math:: \mathrm{score} = -\alpha \frac{\mathrm{penalty}}{\mathrm{penalty}_0}
        - (1 - \alpha) \frac{\mathrm{distance}}{\mathrm{distance}_0}

    Parameters
    ----------
    start : float
        First weight, positive.
    alpha : float
        From 0 to 1: how much sparsity counts.
    warm_up, stage : int
        Steps of training before the first trial, and of each trial.
    cooling, coldest : float
        The temperature ``T`` starts at 1, is multiplied by ``cooling`` and ends at ``coldest``;
        :math:`r = \max(0.01, e^{-3 (1 - T)})`.

    Notes
    -----
    Penalty and sliced Wasserstein distance count relative to those after the warm-up, so that the score does
    not depend on the units of the data; the paper multiplies the distance by ``1e5`` instead.
    Source: P. L. Chen, Y. Xie and Q. Zhang, Displacement-sparse neural optimal transport, 2025.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.transport.AnnealedWeight(start=0.1, warm_up=200, stage=20).alpha
    0.8
    """

    start: float
    alpha: float = 0.8
    warm_up: int = 20_000
    stage: int = 2_000
    cooling: float = 0.95
    coldest: float = 0.15

    def __post_init__(self) -> None:
        _check_rule(self.start, self.warm_up, self.stage, self.cooling, self.coldest)
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, got {self.alpha}")

    def stages(self, rng: np.random.Generator) -> Stages:
        """The stages of a training."""
        lam, accepted = self.start, True
        first = yield Stage(lam, self.warm_up)

        def score_of(at: Measurement) -> float:
            sparsity = at.penalty / first.penalty if first.penalty > 0 else at.penalty
            distance = at.distance / first.distance if first.distance > 0 else at.distance
            return -self.alpha * sparsity - (1 - self.alpha) * distance

        score = score_of(first)
        for temperature, r in _temperatures(self.cooling, self.coldest):
            trial = lam * (1 + rng.uniform(-r, r))
            new = score_of((yield Stage(trial, self.stage, undo=not accepted)))
            accepted = new > score or rng.random() < math.exp((new - score) / temperature)
            if accepted:
                lam, score = trial, new
        return accepted

    def missed(self, at: Measurement) -> str:
        """Nothing: there is no target."""
        return ""


@dataclass(frozen=True)
class DimensionTarget:
    r"""The smallest weight found with which displacements have few entries: for many dimensions.

    The weight grows by a factor after each stage until the mean number of entries above the threshold is at
    most ``dimensions``. Then smaller weights :math:`\lambda (1 - U(0, r))` are tried, each for a stage, and
    kept if the number still is; otherwise the stage is undone.

    Parameters
    ----------
    dimensions : float
        Largest mean number of entries whose size is above ``threshold`` of `neural_map`.
    start : float
        First weight, positive. The paper's 0.005 multiplies a sum over 128 points: 0.64 for the mean.
    growth : float
        Above 1.
    warm_up, stage, trial : int
        Steps of training before the first count, after each growth, and of each smaller weight.
    cooling, coldest : float
        As for `AnnealedWeight`.
    limit : int
        How often the weight grows at most.

    Notes
    -----
    Source: P. L. Chen, Y. Xie and Q. Zhang, Displacement-sparse neural optimal transport, 2025.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.transport.DimensionTarget(3, warm_up=200, stage=50, trial=20).growth
    1.5
    """

    dimensions: float
    start: float = 0.64
    growth: float = 1.5
    warm_up: int = 10_000
    stage: int = 5_000
    trial: int = 2_000
    cooling: float = 0.95
    coldest: float = 0.15
    limit: int = 30

    def __post_init__(self) -> None:
        _check_rule(self.start, self.warm_up, min(self.stage, self.trial), self.cooling, self.coldest)
        if not self.dimensions >= 0:
            raise ValueError(f"dimensions must be at least 0, got {self.dimensions}")
        if not self.growth > 1:
            raise ValueError(f"growth must be above 1, got {self.growth}")

    def stages(self, rng: np.random.Generator) -> Stages:
        """The stages of a training."""
        lam = self.start
        at = yield Stage(lam, self.warm_up)
        for _ in range(self.limit):
            if at.count <= self.dimensions:
                break
            lam *= self.growth
            at = yield Stage(lam, self.stage)
        if at.count > self.dimensions:
            return True
        accepted = True
        for _, r in _temperatures(self.cooling, self.coldest):
            smaller = lam * (1 - rng.uniform(0, r))
            at = yield Stage(smaller, self.trial, undo=not accepted)
            accepted = at.count <= self.dimensions
            if accepted:
                lam = smaller
        return accepted

    def missed(self, at: Measurement) -> str:
        """Says so if displacements still have too many entries."""
        if at.count <= self.dimensions:
            return ""
        return (
            f"displacements have {at.count:.3g} entries above the threshold, more than {self.dimensions:g}: "
            "raise limit, start or the lengths of the stages"
        )


def _temperatures(cooling: float, coldest: float) -> Iterator[tuple[float, float]]:
    """Temperatures from 1 down, each with the relative size of a change."""
    temperature = 1.0
    while temperature >= coldest:
        yield temperature, max(0.01, math.exp(-3 * (1 - temperature)))
        temperature *= cooling


def _check_rule(start: float, warm_up: int, stage: int, cooling: float, coldest: float) -> None:
    if not 0 < start < math.inf:
        raise ValueError(f"start must be a positive finite number, got {start}")
    if warm_up < 1 or stage < 1:
        raise ValueError(f"stages must have at least one step, got {warm_up} and {stage}")
    if not (0 < cooling < 1 and coldest > 0):
        raise ValueError(f"needs 0 < cooling < 1 and coldest > 0, got {cooling} and {coldest}")
