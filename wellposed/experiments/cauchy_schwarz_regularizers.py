r"""Cauchy-Schwarz regularisers: vectors of a known pattern, and unknown scale, from linear equations.

S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, arXiv 2503.01639 (2025). A Gaussian matrix
``A`` of ``M`` rows and 100 columns, exact data ``b = A x``: minimise the regulariser subject to
``A x = b``, from random starts, and the convex norm of the paper for comparison. A trial succeeds if the
relative error is below 0.01. Runs stop by the library's fixed-point residual and not, as the published
programs do, by the distance to the truth; of several starts the one of the least regulariser counts.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.functionals._base import Functional
from wellposed.functionals.affine import AffineConstraint
from wellposed.functionals.cauchy_schwarz import (
    BinaryPenalty,
    EigenvectorPenalty,
    OrthogonalPenalty,
    TernaryPenalty,
)
from wellposed.functionals.largest import LInf
from wellposed.functionals.norms import L1
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import Matrix
from wellposed.operators.matrix_product import MatrixProduct
from wellposed.parallel import map_tasks
from wellposed.problems.metrics import relative_error
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import ConvergenceWarning, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUCCESS = 1e-2
"""Relative error of a success."""

FOUND = 1e-10
"""Value of a regulariser, over its value at the start, below which no other start is tried."""


@dataclass(frozen=True)
class Pattern:
    """Vectors to recover, the regulariser that knows their pattern, and the norm it is compared with."""

    values: tuple[float, ...]
    penalty: Functional
    norm: Functional
    starts: int


PATTERNS = {
    "binary": Pattern((-1.0, 1.0), BinaryPenalty(), LInf(), 10),
    "one-sided binary": Pattern((0.0, 1.0), BinaryPenalty(one_sided=True), L1(), 1),
    "ternary": Pattern((-1.0, 0.0, 0.0, 1.0), TernaryPenalty(), L1(), 1),
}


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    entries: int = 100
    trials: int = 40
    max_iter: int = 3000
    rows: tuple[tuple[str, tuple[int, ...]], ...] = (
        ("binary", (40, 44, 50, 56, 60)),
        ("one-sided binary", (40, 50, 60, 76)),
        ("ternary", (60, 70, 76, 80)),
    )
    eigenvector_rows: tuple[int, ...] = (30, 50, 70)
    eigenvector_trials: int = 10
    orthogonal_side: int = 20
    orthogonal_rows: tuple[int, ...] = (6, 10, 14)
    workers: int | None = 1


SMALL = Size()
_ALL = tuple(range(30, 91, 2))
FULL = Size(
    trials=200,
    rows=tuple((name, _ALL) for name in PATTERNS),
    eigenvector_rows=tuple(range(30, 71, 4)),
    eigenvector_trials=50,
    orthogonal_side=100,
    orthogonal_rows=tuple(range(30, 91, 10)),
    workers=None,
)
"""The paper's grid of rows, with 200 trials where it has 1000."""


def search(
    penalty: Functional,
    A: LinearOperator,
    b: np.ndarray,
    draw: Callable[[], np.ndarray],
    size: Size,
    starts: int,
) -> Result:
    """The best of up to ``starts`` runs for ``min penalty(x)`` subject to ``A x = b``.

    Parameters
    ----------
    penalty : Functional
    A : LinearOperator
    b : array
    draw : callable
        Returns a random start, which is projected onto the equations.
    size : Size
    starts : int

    Returns
    -------
    Result
        Of the least value; later starts are spared once the pattern is met.
    """
    equations = AffineConstraint(A, b)
    best = None
    for _ in range(starts):
        start = equations.prox(draw())
        result = minimize(penalty + equations, start, tol=1e-7, max_iter=size.max_iter, progress=False)
        best = result if best is None or result.objective < best.objective else best
        if best.objective <= FOUND * penalty(start):
            break
    assert best is not None
    return best


def pattern_trial(size: Size, name: str, rows: int, seed: int) -> tuple[bool, bool]:
    """Whether the regulariser and the norm recover a vector of a pattern."""
    pattern, rng = PATTERNS[name], np.random.default_rng([seed, rows])
    x = rng.choice(pattern.values, size.entries)
    A = Matrix(rng.standard_normal((rows, size.entries)))
    b = A(x)
    with _without_convergence_warnings():
        found = search(pattern.penalty, A, b, lambda: rng.standard_normal(x.shape), size, pattern.starts).x
    return relative_error(found, x) < SUCCESS, norm_recovers(pattern.norm, A, x, size)


def norm_recovers(norm: Functional, A: LinearOperator, x: np.ndarray, size: Size) -> bool:
    """Whether ``x`` is the solution of ``A z = A x`` of least norm.

    A solution of smaller norm settles that it is not, and ends the run.
    """
    limit = (1 - 1e-4) * norm(x)
    with _without_convergence_warnings():
        found = minimize(
            norm + AffineConstraint(A, A(x)),
            tol=1e-4,
            max_iter=size.max_iter,
            callback=lambda info: info.objective >= limit,
            progress=False,
        )
    return found.objective >= limit and relative_error(found.x, x) < SUCCESS


def eigenvector_trial(size: Size, rows: int, seed: int) -> bool:
    """Whether a random eigenvector of a random symmetric matrix is recovered."""
    rng = np.random.default_rng([seed, rows, 1])
    C = rng.standard_normal((size.entries, size.entries))
    C = 0.5 * (C + C.T)
    x = np.linalg.eigh(C)[1][:, rng.integers(size.entries)]
    A = Matrix(rng.standard_normal((rows, size.entries)))
    with _without_convergence_warnings():
        draw = lambda: rng.standard_normal(x.shape) / math.sqrt(size.entries)  # noqa: E731
        found = search(EigenvectorPenalty(Matrix(C)), A, A(x), draw, size, 10).x
    return relative_error(found, x) < SUCCESS


def orthogonal_trial(size: Size, rows: int, seed: int) -> float:
    """How far the matrix found is from orthogonal: ``||X^T X - I||_F`` over the root of the side."""
    rng, side = np.random.default_rng([seed, rows, 2]), size.orthogonal_side
    X, start = (np.linalg.qr(rng.standard_normal((side, side)))[0] for _ in range(2))
    A = MatrixProduct(rng.standard_normal((rows, side)), side)
    with _without_convergence_warnings():
        found = search(OrthogonalPenalty(), A, A(X), lambda: start, size, 1).x
    return float(np.linalg.norm(found.T @ found - np.eye(side)) / math.sqrt(side))


def wendel(entries: int, rows: int) -> float:
    """Probability that a vector of signs is the flattest solution of Gaussian equations.

    Parameters
    ----------
    entries, rows : int

    Examples
    --------
    >>> from wellposed.experiments.cauchy_schwarz_regularizers import wendel
    >>> wendel(100, 50)
    0.5
    """
    return float(sum(math.comb(entries - 1, k) for k in range(rows)) / 2 ** (entries - 1))


def curves(size: Size, seed: int) -> dict[str, dict[str, list[float]]]:
    """Success rates by pattern: ``rows``, ``regulariser`` and ``norm``."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, rows in size.rows:
        shares = []
        for m in rows:
            trial = partial(pattern_trial, size, name, m)
            outcomes = map_tasks(trial, range(seed, seed + size.trials), workers=size.workers)
            shares.append(np.mean(outcomes, axis=0))
        found[name] = {
            "rows": list(rows),
            "regulariser": [float(s[0]) for s in shares],
            "norm": [float(s[1]) for s in shares],
        }
    return found


def _rate(curve: dict[str, list[float]], which: str, rows: int) -> float:
    return curve[which][curve["rows"].index(rows)] if rows in curve["rows"] else math.nan


def binary_claims(curve: dict[str, list[float]], size: Size) -> Iterator[Claim]:
    """Two-valued vectors: the regulariser, and the exact curve of the largest absolute value."""
    yield at_least("binary, M = 60: success of the regulariser", _rate(curve, "regulariser", 60), 0.95)
    worst, shown = 0.0, []
    for m, rate in zip(curve["rows"], curve["norm"], strict=True):
        p = wendel(size.entries, int(m))
        # The error of a share of successes; with p near 0 or 1 at least that of one trial in all.
        error = max(math.sqrt(p * (1 - p) / size.trials), 1 / size.trials)
        worst = max(worst, abs(rate - p) / error)
        shown.append(f"{m:g}: {rate:.2f} ({p:.3f})")
    yield at_most(
        "binary: success of the largest absolute value against its exact probability, in standard errors",
        worst,
        3.0,
        "The probability is Wendel's. M: measured (exact). " + ", ".join(shown),
    )
    yield _never_behind("binary", curve, size, "the largest absolute value")


def _never_behind(name: str, curve: dict[str, list[float]], size: Size, norm: str) -> Claim:
    gains = [a - b for a, b in zip(curve["regulariser"], curve["norm"], strict=True)]
    pairs = zip(curve["rows"], curve["regulariser"], curve["norm"], strict=True)
    return at_least(
        f"{name}: least gain in success over {norm}, any M",
        min(gains),
        -3 * math.sqrt(0.5 / size.trials),
        "M: regulariser/norm. " + ", ".join(f"{m:g}: {a:.2f}/{b:.2f}" for m, a, b in pairs),
        claimed="not behind (3 s.e.)",
    )


def sparse_claims(name: str, curve: dict[str, list[float]], size: Size) -> Iterator[Claim]:
    """One-sided and ternary vectors, half of whose entries are 0, against L1."""
    at = 76
    rate, norm = _rate(curve, "regulariser", at), _rate(curve, "norm", at)
    if name == "ternary":
        yield at_least(f"{name}, M = {at}: success of the regulariser", rate, 0.7)
    note = "" if name == "ternary" else "The paper shows the gap in a figure; the number is that for ternary."
    yield at_least(f"{name}, M = {at}: gain in success over L1", rate - norm, 0.4, note)
    yield _never_behind(name, curve, size, "L1")


def other_claims(size: Size, seed: int) -> tuple[dict[str, list[float]], Iterator[Claim]]:
    """Eigenvectors and orthogonal matrices, of which the paper shows that they are found."""
    trials = range(seed, seed + size.eigenvector_trials)
    eigen = [
        float(np.mean(map_tasks(partial(eigenvector_trial, size, m), trials, workers=size.workers)))
        for m in size.eigenvector_rows
    ]
    orthogonal = [
        float(np.mean([orthogonal_trial(size, m, s) < SUCCESS for s in trials])) for m in size.orthogonal_rows
    ]
    numbers = {
        "eigenvector rows": [float(m) for m in size.eigenvector_rows],
        "eigenvector": eigen,
        "orthogonal rows": [float(m) for m in size.orthogonal_rows],
        "orthogonal": orthogonal,
    }

    def claims() -> Iterator[Claim]:
        note = "The paper gives no number; this bound is ours. M: success. "
        each = ", ".join(f"{m}: {r:.2f}" for m, r in zip(size.eigenvector_rows, eigen, strict=True))
        last = size.eigenvector_rows[-1]
        yield at_least(f"eigenvector, M = {last}: success", eigen[-1], 0.5, note + each)
        each = ", ".join(f"{m}: {r:.2f}" for m, r in zip(size.orthogonal_rows, orthogonal, strict=True))
        yield at_least(
            f"orthogonal {size.orthogonal_side} x {size.orthogonal_side} matrix: least success, any M",
            min(orthogonal),
            0.5,
            f"{note}{each}. Success: an orthogonal matrix that satisfies the equations, not the one drawn.",
        )

    return numbers, claims()


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the first trial; the others follow.

    Returns
    -------
    Report
    """
    found = curves(size, seed)
    numbers, others = other_claims(size, seed)
    claims: list[Claim] = []
    for name, curve in found.items():
        claims += binary_claims(curve, size) if name == "binary" else sparse_claims(name, curve, size)
    claims += others
    return Report(tuple(claims), draw(found, numbers, size), asdict(size), {"success": found, **numbers})


@contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    """A run that does not end in time counts as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def draw(found: dict[str, dict[str, list[float]]], numbers: dict[str, list[float]], size: Size) -> Figure:
    """Success against the number of rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 2, sharey=True).reshape(-1)
    for ax, (name, curve) in zip(axes, found.items(), strict=False):
        norm = PATTERNS[name].norm
        for which, label in (("regulariser", "Cauchy-Schwarz regulariser"), ("norm", str(norm))):
            rates = np.array(curve[which])
            errors = np.sqrt(rates * (1 - rates) / size.trials)
            ax.errorbar(curve["rows"], rates, errors, marker="o", capsize=3, label=label)
        if name == "binary":
            rows = range(int(min(curve["rows"])), int(max(curve["rows"])) + 1)
            ax.plot(rows, [wendel(size.entries, m) for m in rows], "k:", label="LInf, exact probability")
        ax.set(title=f"{name}, {size.entries} entries", xlabel="equations", ylabel="success")
        ax.set_xticks(curve["rows"][:: max(1, len(curve["rows"]) // 6)])
        ax.legend()
    last = axes[-1]
    share = np.array(numbers["orthogonal rows"]) / size.orthogonal_side
    last.plot(
        np.array(numbers["eigenvector rows"]) / size.entries,
        numbers["eigenvector"],
        "o-",
        label="eigenvector",
    )
    last.plot(share, numbers["orthogonal"], "s--", label="orthogonal matrix")
    last.set(title="eigenvectors and orthogonal matrices", xlabel="equations per unknown", ylabel="success")
    last.legend()
    return figure


EXPERIMENT = Experiment(
    "Cauchy-Schwarz regularisers: binary, ternary, eigenvector and orthogonal solutions of linear equations",
    "Taner, Wang, Studer, arXiv 2503.01639 (2025)",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
