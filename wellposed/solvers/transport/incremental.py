"""Class-based transport by incremental proximal steps, one pair of points at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals.balls import Simplex
from wellposed.functionals.feasible import rounded
from wellposed.solvers.transport.class_penalty import ClassPenalty
from wellposed.solvers.transport.data import check_control, check_positive, check_transport
from wellposed.solvers.transport.result import Clock, TransportResult, finish
from wellposed.solvers.transport.sum_of_norms import Run, _side


def sum_of_norms_incremental(
    cost: Any,
    *,
    lam: float,
    row_weights: Any = None,
    column_weights: Any = None,
    step: float = 0.1,
    epochs: int = 100,
    seed: int = 0,
    tol: float = 1e-3,
) -> TransportResult:
    r"""The problem of `sum_of_norms` for equal weights of points, by Point-SAGA.

    Each step takes the proximal map of one term: a pair with its share of the cost, or the set of
    plans with the right sums of rows, or of columns; and corrects it by the subgradients that all terms
    had last. The step size stays constant.

    Parameters
    ----------
    cost : array of shape (n, m)
        Divide it by its largest entry.
    lam, row_weights, column_weights
        As for `sum_of_norms`.
    step : float
        Of the proximal maps: about 0.01 to 0.3 for 10 x 10 points. It decides on the speed only.
    epochs : int
        As many steps each as there are terms.
    seed : int
        Of the order of the terms.
    tol : float
        Relative duality gap for which the status is "converged"; the run always takes all epochs.

    Returns
    -------
    TransportResult

    Notes
    -----
    The dual point comes from the last plan and can prove less than the run has reached: the gap is a bound,
    but maybe a wide one. Meant for small problems and comparisons: each step touches the whole plan, and
    memory grows with the number of pairs. A. Defazio, A simple practical accelerated method for finite sums,
    2016, for the problem of A. Rahbar et al., 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> clouds = wp.problems.class_clouds(per_class=3)
    >>> pairs = wp.transport.class_weights(clouds.source_labels)
    >>> options = {"lam": 0.4, "row_weights": pairs, "column_weights": pairs}
    >>> result = wp.transport.sum_of_norms_incremental(clouds.cost, **options)
    >>> abs(result.value - wp.transport.sum_of_norms(clouds.cost, **options).value) < 1e-6
    True
    """
    data = check_transport(cost, None, None)
    lam, step = check_positive(lam, "lam"), check_positive(step, "step")
    check_control(tol, epochs)
    penalty = ClassPenalty(
        lam, _side(row_weights, data, 0, "row_weights"), _side(column_weights, data, 1, "column_weights")
    )
    if penalty.rows is None and penalty.columns is None:
        raise ValueError(
            "sum_of_norms_incremental needs pairs of positive weight: give row_weights or column_weights"
        )
    clock = Clock()
    x = point_saga(data.cost, penalty, step, epochs, np.random.default_rng(seed))
    run = Run(data, penalty, clock, tol)
    run.try_blocks()
    run.iterations, run.best_plan, run.best_value = epochs, x, np.inf
    run.offer(rounded(np.maximum(x, 0.0), data.a, data.b))
    width = data.mass / np.sqrt(data.a.size * data.b.size)
    for share in (1.0, 0.1, 0.01, 1e-3, 1e-4, 1e-5):
        mu = (share * width / np.sqrt(data.a.size), share * width / np.sqrt(data.b.size))
        anchors = penalty.anchors(x, data.a, data.b, *mu)
        run.prove(anchors, penalty.linear_part(anchors, data.a, data.b))
    best, status = run.best_dual, "converged" if run.gap <= tol else "max_iter"
    return finish(data, penalty, run.best_plan, best.f, best.g, clock, epochs, status, dual=best.anchors)


def point_saga(
    cost: np.ndarray, penalty: ClassPenalty, step: float, epochs: int, rng: np.random.Generator
) -> np.ndarray:
    """The last iterate; its sums are right up to the accuracy of the run."""
    n, m = cost.shape
    pairs = [(0, side) for side in _pairs(penalty.rows)] + [(1, side) for side in _pairs(penalty.columns)]
    terms = len(pairs) + 2
    share = cost / len(pairs)
    x = np.full((n, m), 1 / (n * m))
    # Of each term its last subgradient: of a pair, what goes to one end and from the other, with no share.
    of_pairs = [np.zeros(m if axis == 0 else n) for axis, _ in pairs]
    of_sums = [np.zeros((n, m)), np.zeros((n, m))]
    mean = np.zeros((n, m))
    simplices = (Simplex(1 / n, axis=1), Simplex(1 / m, axis=0))
    started = np.zeros(len(pairs), dtype=bool)
    for t in rng.integers(terms, size=epochs * terms):
        x = x - step * mean
        if t >= len(pairs):
            k = t - len(pairs)
            z = x + step * of_sums[k]
            x = simplices[k].prox(z)
            new = (z - x) / step
            mean += (new - of_sums[k]) / terms
            of_sums[k] = new
            continue
        axis, (i, j, weight) = pairs[t]
        # The share of the cost is a part of each subgradient and proximal map, from the first visit on.
        if not started[t]:
            x = x - step * share
            mean += share / terms
            started[t] = True
        view, slope = (x, mean) if axis == 0 else (x.T, mean.T)
        view[i] += step * of_pairs[t]
        view[j] -= step * of_pairs[t]
        difference = view[i] - view[j]
        size = float(np.sqrt(difference @ difference))
        reach = min(step * penalty.lam * weight, size / 2)
        moved = difference * (reach / size) if size > 0 else 0.0 * difference
        view[i] -= moved
        view[j] += moved
        change = moved / step - of_pairs[t]
        slope[i] += change / terms
        slope[j] -= change / terms
        of_pairs[t] = moved / step
    return x


def _pairs(side: Any) -> list[tuple[int, int, float]]:
    """Ends and weight of each pair."""
    return [] if side is None else [(int(i), int(j), float(w)) for i, j, w in zip(*side.edges, strict=True)]
