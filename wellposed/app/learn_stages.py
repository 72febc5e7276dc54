"""The runs of `wellposed.learn` behind ``wellposed learn``; weighted total variation takes several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.files import check_writable
from wellposed.app.learn_data import Example
from wellposed.app.learned_file import LearnedFile
from wellposed.app.learned_objective import (
    brought_back,
    edge_weights,
    objective,
    solve_learned,
    starting,
)
from wellposed.app.solve import Options

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional
    from wellposed.solvers.bilevel.learned import Learned, Progress

__all__ = ["Files", "Lesson", "Limits", "learned"]

ETAS = (0.25, 1.0, 4.0, 16.0)
"""Values of eta that are tried, relative to the typical jump of the references."""

SHARE = 5
"""The search for eta gives each value this part of the iterations."""

SETTLED, STEPS = 1e-3, 5
"""A run ends when so many steps have lowered the loss by less than this share of it."""

FINEST = 1e-4
"""Least accuracy of a lower level in the 2-norm, relative to the numbers in an image."""


@dataclass(frozen=True)
class Limits:
    """The method, how long it learns, and on how many processes."""

    max_iter: int = 50
    max_seconds: float = math.inf
    workers: int = 1
    method: str = "quasi-newton"


class Files:
    """The checkpoints of the stages of one command: the given name with the stage added.

    Parameters
    ----------
    path : Path or None
    resume : bool
        Without it existing files are refused.

    Raises
    ------
    InputError
        If a file exists and ``resume`` is False, or cannot be written.
    """

    def __init__(self, path: Path | None, resume: bool) -> None:
        self._path = path
        if path is None:
            return
        check_writable(path)
        if not resume and (there := self._existing()):
            raise InputError(
                f"the checkpoint {there[0]} exists already; add --resume to go on with it, or delete it"
            )

    def _existing(self) -> list[Path]:
        path = self._path
        if path is None:
            return []
        return sorted(p for p in path.parent.iterdir() if p.name.startswith(f"{path.name}.stage-"))

    def of(self, stage: str) -> Path | None:
        """The file of a stage."""
        path = self._path
        return None if path is None else path.with_name(f"{path.name}.stage-{stage}")

    def remove(self) -> None:
        """Delete them: the parameters are written."""
        for path in self._existing():
            path.unlink()


@dataclass(frozen=True)
class Lesson:
    """What all stages share.

    Attributes
    ----------
    file : LearnedFile
        With the task; its values are filled in.
    training, held : tuple of Example
    limits : Limits
    console, interrupt
    """

    file: LearnedFile
    training: tuple[Example, ...]
    held: tuple[Example, ...]
    limits: Limits
    console: Console
    interrupt: Interrupt

    def run(
        self,
        prior: str,
        parameters: Mapping[str, Any],
        checkpoint: Path | None,
        what: str,
        max_iter: int,
        weights: Mapping[str, NDArray[Any]] | None = None,
    ) -> Learned:
        """Learn the parameters of a prior on the training images, judged by the validation images."""
        from wellposed.functionals.datafits import LeastSquares
        from wellposed.solvers.bilevel.learn import learn

        def pairs(given: Sequence[Example]) -> tuple[list[Functional], list[Functional]]:
            lowers = [
                objective(
                    prior,
                    parameters,
                    e.operator,
                    e.data,
                    ridge=self.file.ridge,
                    channels=self.file.channels,
                    weights=None if weights is None else weights[e.name],
                )
                for e in given
            ]
            return lowers, [LeastSquares(None, e.truth) for e in given]

        lower, loss = pairs(self.training)
        losses: list[float] = []
        options: dict[str, Any] = {"floor": FINEST * self.file.image_scale}
        if self.limits.method == "maid":
            # Bounds of the error of hypergradients are far from tight for these priors: the line
            # search, whose decrease is proven by itself, alone decides on the accuracies.
            options = {"descent_test": False}
        with self.console.counting(what, max_iter) as show, as_input_error():

            def watch(seen: Progress) -> bool:
                row = seen.row
                show(
                    int(row.iteration),
                    f"iteration {row.iteration:.0f}, loss {row.loss:.5g}, validation {row.validation:.5g}, "
                    f"work {row.work:.0f}",
                )
                losses.append(row.loss)
                return not (self.interrupt.requested or _settled(losses))

            return learn(
                lower,
                loss,
                list(parameters.values()),
                self.limits.method,
                eps=self.file.image_scale,
                validation=pairs(self.held),
                max_iter=max_iter,
                workers=self.limits.workers,
                callback=watch,
                progress=False,
                checkpoint=checkpoint,
                **options,
                max_seconds=self.limits.max_seconds,
            )


def learned(
    lesson: Lesson, files: Files, filters: int | None, size: int, eta: float | None
) -> tuple[LearnedFile, Learned]:
    """Learn the parameters of the prior of the lesson.

    Parameters
    ----------
    lesson : Lesson
    files : Files
    filters, size : int or None, int
        Of a field of experts.
    eta : float or None
        For ``weighted-tv``; None: searched for.

    Raises
    ------
    InputError
        If the library refuses the problem, or a checkpoint belongs to another one.
    """
    prior, most = lesson.file.prior, lesson.limits.max_iter
    noise = float(np.mean([brought_back(e.operator, e.noise) for e in lesson.training]))
    begin = starting(prior, lesson.file.image_scale, noise, filters, size)
    first = "tv" if prior == "weighted-tv" else prior
    run = lesson.run(first, begin, files.of(first), f"learning {first}", most)
    if prior == "weighted-tv":
        return _weighted(lesson, files, run, eta)
    return replace(lesson.file, values=_plain(run.values)), run


def _weighted(lesson: Lesson, files: Files, first: Learned, eta: float | None) -> tuple[LearnedFile, Learned]:
    """Learn weight and smoothing for each eta on a few iterations, then further for the best one."""
    initial = _plain(first.values)
    plain = replace(lesson.file, prior="tv", values=initial)
    if lesson.interrupt.requested:
        return plain, first
    every = (*lesson.training, *lesson.held)
    lesson.console.stage("first images, whose edges are spared")
    references = {e.name: _image(plain, e) for e in every}
    etas = (eta,) if eta is not None else tuple(k * _typical_jump(references) for k in ETAS)
    begin = {p.name: p for p in first.parameters}

    def run(value: float, parameters: Mapping[str, Any], stage: str, most: int) -> Learned:
        weights = {
            name: edge_weights(image, value, lesson.file.power, lesson.file.channels)
            for name, image in references.items()
        }
        what = f"learning weighted-tv, eta {value:.3g}"
        return lesson.run("weighted-tv", parameters, files.of(stage), what, most, weights)

    most = lesson.limits.max_iter
    tried: list[tuple[float, Learned]] = []
    if len(etas) > 1:
        for number, value in enumerate(etas):
            tried.append((value, run(value, begin, f"eta-{number}", max(1, most // SHARE))))
            begin = {p.name: p for p in tried[-1][1].parameters}
            if lesson.interrupt.requested:
                break
    chosen, best = min(tried, key=lambda pair: pair[1].validation) if tried else (etas[0], None)
    if best is None or not lesson.interrupt.requested:
        begin = {p.name: p for p in best.parameters} if best is not None else begin
        best = run(chosen, begin, "weighted-tv", most)
    values = {**_plain(best.values), "eta": float(chosen)}
    return replace(lesson.file, values=values, initial=initial), best


def _image(plain: LearnedFile, example: Example) -> NDArray[Any]:
    done = solve_learned(
        plain,
        example.operator,
        example.data,
        Options(tol=1e-3),
        Console(quiet=True),
        Interrupt(quiet=True),
    )
    return np.asarray(done.result.x)


def _typical_jump(references: Mapping[str, NDArray[Any]]) -> float:
    from wellposed.functionals.adaptive_weights import default_eta, gradient_magnitude

    jumps = [gradient_magnitude(image, -1 if image.ndim == 3 else None) for image in references.values()]
    with as_input_error():
        return float(np.median([default_eta(g) for g in jumps]))


def _settled(losses: Sequence[float]) -> bool:
    """Whether the last steps changed the loss by next to nothing."""
    return len(losses) > STEPS and losses[-STEPS - 1] - losses[-1] < SETTLED * losses[-1]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and lists, as JSON holds them."""
    return {name: np.asarray(value, dtype=float).tolist() for name, value in values.items()}
