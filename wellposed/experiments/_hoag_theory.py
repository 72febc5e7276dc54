"""Checks of the theory of approximate gradients: order of the error, limits, derivatives by differences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellposed.experiments._bilevel import SCHEDULES, Problem, flat
from wellposed.experiments._bilevel_problems import kernel_problem, ridge_classifier
from wellposed.experiments._model import Claim, at_least, at_most
from wellposed.solvers.bilevel import hypergradient, learn


def theory_claims(iterations: int) -> tuple[dict[str, Any], list[Claim]]:
    """The order of the error, one limit of all schedules, derivatives by differences."""
    problem = ridge_classifier("digits", 0, ridge=math.e)
    exact = _slope(problem, 1e-12)
    tolerances = 10.0 ** -np.arange(1, 9)
    errors = np.array([abs(_slope(problem, float(tol)) - exact) for tol in tolerances])
    order = float(np.polyfit(np.log(tolerances), np.log(errors), 1)[0])
    shown = " ".join(f"{e:.1e}" for e in errors)
    fixed = ridge_classifier("breast cancer", 0)
    ends = {}
    runs: dict[str, dict[str, Any]] = {
        "exact": {"schedule": "exact", "floor": 1e-9},
        **{schedule: {"schedule": schedule} for schedule in SCHEDULES},
        "constant 0.1": {"schedule": "exponential", "rate": 1 - 1e-12},
    }
    for name, options in runs.items():
        run = learn(
            fixed.lower,
            fixed.loss,
            method="hoag",
            lipschitz=4.0,
            fixed_step=True,
            max_iter=iterations,
            **options,
        )
        ends[name] = math.log(run.values["ridge"])
    bias = abs(ends["constant 0.1"] - ends["exact"])
    differences = {
        "logistic": _difference(ridge_classifier("breast cancer", 0), {"ridge": 1.0}),
        "kernel ridge": _difference(kernel_problem(), {"gamma": math.exp(-1), "ridge": math.exp(0.3)}),
    }
    claims = [
        at_most(
            "T1: error of the hypergradient over its tolerance, 1e-1 to 1e-8", max(errors / tolerances), 100
        ),
        at_least("T1: order of the error in the tolerance", order, 0.7, f"Errors {shown}."),
        at_most(
            "T2: distance of the limits of summable schedules from that of exact gradients, fixed step",
            max(abs(ends[s] - ends["exact"]) for s in SCHEDULES),
            1e-4,
        ),
        at_least("T2: bias of a constant tolerance of 0.1 (log lambda)", bias, 3e-4),
        *(
            at_most(f"T3: relative error of the hypergradient against differences, {name}", error, 1e-5)
            for name, error in differences.items()
        ),
    ]
    return {"errors": errors.tolist(), "limits": ends}, claims


def _slope(problem: Problem, tol: float) -> float:
    found = hypergradient(problem.lower, problem.loss, tol=tol, scale="learning", max_lower=200_000)
    return float(flat(found.gradient)[0])


def _difference(problem: Problem, values: dict[str, float], h: float = 1e-3) -> float:
    """The largest error of an entry of the hypergradient, relative to its norm."""
    slope = problem.slope(values, 1e-11)
    errors = []
    for k, name in enumerate(values):

        def loss(s: float, name: str = name) -> float:
            return problem.evaluate({**values, name: values[name] * math.exp(s)}, 1e-11)[0]

        measured = (8 * (loss(h) - loss(-h)) - (loss(2 * h) - loss(-2 * h))) / (12 * h)
        errors.append(abs(measured - slope[k]))
    return float(max(errors) / np.linalg.norm(slope))
