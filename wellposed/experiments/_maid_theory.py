"""Checks of the theory of inexact hypergradients: bounds, proven decrease, derivatives by differences."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from wellposed.experiments._bilevel import Problem, flat
from wellposed.experiments._bilevel_problems import (
    cameraman,
    digits,
    experts,
    noisy_images,
    quadratic,
    ridge_classifier,
    total_variation,
)
from wellposed.experiments._model import Claim, at_least, at_most
from wellposed.functionals.field_of_experts import FieldOfExperts
from wellposed.solvers.bilevel import Maid, Progress, hypergradient, learn

ETA = Maid().eta


def bounds(seed: int, seeds: int = 4) -> Iterator[Claim]:
    """Errors of hypergradients against their bounds, over accuracies, seeds and parameters."""
    # The paper's problem, and one of good condition.
    steep: tuple[list[float], list[float]] = ([], [])
    well: tuple[list[float], list[float]] = ([], [])
    for number in range(seed, seed + seeds):
        for centred, (ratios, cosines) in ((False, steep), (True, well)):
            for ratio, cosine in _bounds_of(number, centred):
                ratios.append(ratio)
                cosines.extend(cosine)
    shown = ", ".join(
        f"{name} {min(r):.3g} to {max(r):.3g}, median {np.median(r):.3g}"
        for name, (r, _) in (("paper's problem", steep), ("condition 2", well))
    )
    ratios, cosines = steep[0] + well[0], steep[1] + well[1]
    yield at_least(
        f"T1: bound of the hypergradient over its error, least of {len(ratios)} accuracies and parameters",
        min(ratios),
        1.0,
        f"{shown}.",
    )
    yield at_most("T1: the same, largest with a condition of 2", max(well[0]), 1e3)
    yield at_least(
        f"T3: <z, exact> / (eta |z|^2) where the bound is below (1 - eta) |z|, least of {len(cosines)}",
        min(cosines),
        1.0,
    )


def _bounds_of(seed: int, centred: bool) -> Iterator[tuple[float, list[float]]]:
    """Bound over error, and the share of the proven slope where the bound proves one."""
    for k in range(3):
        theta = np.random.default_rng([seed, k]).uniform(-1, 2, 10)
        toy = quadratic(seed, theta, centred)
        exact = toy.slope(theta)
        for eps, delta in itertools.product((1e-1, 1e-2, 1e-3, 1e-4), (1e-1, 1e-2, 1e-3)):
            found = hypergradient(toy.problem.lower, toy.problem.loss, tol=(eps, delta))
            z = flat(found.gradient)
            size = float(np.linalg.norm(z))
            proven = found.error <= (1 - ETA) * size
            share = [float(z @ exact) / (ETA * size**2)] if proven else []
            yield found.error / float(np.linalg.norm(z - exact)), share


def decrease(seed: int, work: float) -> tuple[list[float], Claim]:
    """The exact decrease of each accepted step over what is proven; at least 1 if the proof is right."""
    toy = quadratic(seed)
    seen: list[tuple[Any, float]] = []

    def look(progress: Progress) -> None:
        seen.append((progress.row, toy.loss(progress.values["theta"])))

    learn(
        toy.problem.lower,
        toy.problem.loss,
        alpha=0.01,
        relax=1.25,
        max_work=work,
        max_iter=100_000,
        callback=look,
    )
    steps = itertools.pairwise(seen)
    shares = [
        (before - after) / (Maid().decrease * row.step * row.slope**2)
        for (_, before), (row, after) in steps
        if row.step > 0
    ]
    return shares, at_least(
        f"T2: exact decrease over the proven one, least of {len(shares)} accepted steps", min(shares), 1.0
    )


def vanishing_slope(seed: int) -> Claim:
    """The exact hypergradient of a well-conditioned problem goes to zero."""
    toy = quadratic(seed, centred=True)
    run = learn(toy.problem.lower, toy.problem.loss, relax=1.25, tol=1e-7, max_iter=2000)
    first, last = (float(np.linalg.norm(toy.slope(t))) for t in (np.ones(10), run.values["theta"]))
    note = f"After {len(run.history) - 1} steps and {run.work:.0f} iterations ({run.status})."
    return at_most(
        "T4: norm of the exact gradient, condition of 2, over that at the start", last / first, 1e-8, note
    )


def small_problems(seed: int) -> dict[str, Problem]:
    """One problem of each kind, small enough for differences."""
    images = noisy_images(cameraman(seed, 16, 2).clean, seed)
    prior = FieldOfExperts.learnable(3, 4, weights=0.02, smoothing=0.1, rng=seed)
    return {
        "quadratic": quadratic(seed).problem,
        "logistic": ridge_classifier("breast cancer", seed),
        "multinomial": digits(100, box=4.0),
        "TV": total_variation(images, 0.05, 0.05),
        "experts": experts(images, prior),
    }


def differences(seed: int, directions: int = 2) -> list[Claim]:
    """Hypergradients against central differences of fourth order along random directions."""
    errors = {}
    for name, problem in small_problems(seed).items():
        lowers = problem.lower if isinstance(problem.lower, list) else [problem.lower]
        parameters = {p.name: p for h in lowers for p in h.parameters}
        rng, worst = np.random.default_rng([seed, 9]), 0.0
        exact = problem.slope({name: p.value for name, p in parameters.items()}, 1e-10)
        for _ in range(directions):
            d = {name: rng.standard_normal(p.shape) for name, p in parameters.items()}
            size = float(np.linalg.norm(flat(d)))
            measured = _along(problem, parameters, {name: v / size for name, v in d.items()})
            worst = max(worst, abs(measured - float(exact @ flat(d)) / size) / float(np.linalg.norm(exact)))
        errors[name] = worst
    return [
        at_most(f"T5: relative error of the hypergradient against differences, {name}", error, 1e-6)
        for name, error in errors.items()
    ]


def _along(problem: Problem, parameters: dict[str, Any], direction: dict[str, Any], h: float = 2e-3) -> float:
    """The derivative of the loss along a direction on the scale of learning."""

    def loss(s: float) -> float:
        values = {
            name: p.from_scale(p.to_scale(p.value) + s * direction[name]) for name, p in parameters.items()
        }
        return problem.evaluate(values, 1e-12)[0]

    return (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
