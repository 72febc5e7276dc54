"""Learning regularisation parameters to a given validation loss: hypergradients, grids, unrolling."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize

import wellposed as wp
from benchmarks.report import Settings, Table, peer, quiet, ratio, seconds

SLACK = 1.005
"""The target is the best validation loss of the grid times this."""

POINTS = 10
"""Of the grids, on each axis."""

UNROLLED = 200
"""Lower-level steps that are differentiated through."""

SLOW = 8.0
"""Seconds from which a run is not repeated."""

INNER_TOL = 1e-4
"""Of the lower levels of jaxopt, relative to the first gradient."""


def clock() -> tuple[float, float]:
    """Seconds on the wall, and of the processor for this process."""
    return time.perf_counter(), time.process_time()


@dataclass
class Score:
    """What one run took to reach the target."""

    loss: float = float("inf")
    lower: float = 0
    linear: float = 0
    seconds: float = 0.0
    cpu: float = 0.0

    def stop(self, begin: tuple[float, float]) -> None:
        """Note the time since `clock` was read."""
        now = clock()
        self.seconds, self.cpu = now[0] - begin[0], now[1] - begin[1]


@dataclass
class Race:
    """A bilevel problem: lower level ``h(x, theta)``, upper level the mean of ``g(x)``, both written for each
    library; ``theta`` are logarithms.

    ``shape`` is that of ``x``, ``start`` the first ``theta``; ``lower`` and ``upper`` take the namespace.
    """

    name: str
    shape: tuple[int, ...]
    start: np.ndarray
    lower: Callable[[Any, Any, Any], Any]
    """``lower(xp, x, theta)``"""
    upper: Callable[[Any, Any], Any]
    """``upper(xp, x)``"""
    wellposed: Callable[[], tuple[Any, Any, dict[str, Any]]]
    """Lower levels, losses, and options of `wp.learn`."""
    lipschitz: Callable[[np.ndarray], tuple[float, float]]
    """Constants of smoothness and strong convexity of the lower level at ``theta``."""
    scale: float = 1.0
    """What the mean loss of `wp.learn` is to be multiplied with."""
    pairs: int = 1
    """Lower levels that ``lower`` holds together."""


class Reached(Exception):  # noqa: N818
    """The target is reached."""


def learned(race: Race, target: float, **options: Any) -> Score:
    """`wp.learn`, stopped at the target."""
    lower, upper, settings = race.wellposed()
    found = Score()
    begin = clock()

    def watch(seen: Any) -> bool:
        row = seen.row
        found.loss = race.scale * row.loss
        found.lower, found.linear = row.lower_iterations, row.linear_iterations
        return found.loss > target

    wp.learn(lower, upper, callback=watch, progress=False, **settings, **options)
    found.stop(begin)
    return found


def own_grid(race: Race, axes: list[np.ndarray]) -> Score:
    """All points of a grid by the solver of `wp.learn`, warm-started."""
    lower, upper, settings = race.wellposed()
    settings = {**settings, "method": "grid", "eps": 1e-2}
    names = [p.name for p in (lower[0] if isinstance(lower, list) else lower).parameters]
    values = {name: [float(v) for v in axis] for name, axis in zip(names, axes, strict=True)}
    begin = clock()
    result = wp.learn(lower, upper, values=values, progress=False, **settings)
    found = Score(race.scale * result.loss, result.lower_iterations)
    found.stop(begin)
    return found


def outer(evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]], race: Race, target: float) -> float:
    """L-BFGS of SciPy on the parameters, until the target; the loss that was reached."""
    best = [float("inf")]

    def watched(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = evaluate(theta)
        best[0] = min(best[0], value)
        if value <= target:
            raise Reached
        return value, slope

    with contextlib.suppress(Reached):
        scipy.optimize.minimize(watched, race.start, jac=True, method="L-BFGS-B", options={"maxiter": 60})
    return best[0]


def jaxopt_implicit(jax: Any, jaxopt: Any, race: Race) -> Callable[[float], Score]:
    """jaxopt: L-BFGS with implicit differentiation, compiled, warm-started; outer steps of SciPy's L-BFGS."""
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    solver = jaxopt.LBFGS(
        lambda x, theta: race.lower(jnp, x, theta), implicit_diff=True, maxiter=500, tol=INNER_TOL, jit=True
    )

    def loss(theta: Any, x0: Any) -> Any:
        x, state = solver.run(x0, theta)
        return race.upper(jnp, x), (x, state.iter_num)

    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

    def run(target: float) -> Score:
        found, x = Score(), jnp.zeros(race.shape)
        begin = clock()

        def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal x
            (value, (x, count)), slope = compiled(jnp.asarray(theta), x)
            found.lower += race.pairs * int(count)
            return float(value), np.asarray(slope)

        found.loss = outer(evaluate, race, target)
        found.stop(begin)
        return found

    return run


def unrolled(torch: Any, race: Race) -> Callable[[float], Score]:
    """PyTorch: accelerated steps that are differentiated through, warm-started; the same outer steps."""

    def run(target: float) -> Score:
        found = Score()
        start = torch.zeros(race.shape, dtype=torch.float64)
        begin = clock()

        def evaluate(theta: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal start
            t = torch.tensor(theta, dtype=torch.float64, requires_grad=True)
            L, mu = race.lipschitz(theta)
            momentum = (1 - np.sqrt(mu / L)) / (1 + np.sqrt(mu / L))
            x = before = start.clone().requires_grad_()
            for _ in range(UNROLLED):
                y = x + momentum * (x - before)
                (slope,) = torch.autograd.grad(race.lower(torch, y, t), y, create_graph=True)
                before, x = x, y - slope / L
            found.lower += race.pairs * UNROLLED
            value = race.upper(torch, x)
            (gradient,) = torch.autograd.grad(value, t)
            start = x.detach()
            return float(value), gradient.numpy()

        found.loss = outer(evaluate, race, target)
        found.stop(begin)
        return found

    return run


# --- two weights of a logistic regression ---------------------------------------------------------


@dataclass(frozen=True)
class Split:
    """Features in two groups, labels of -1 and 1, for training and validation."""

    X: np.ndarray
    y: np.ndarray
    X_held: np.ndarray
    y_held: np.ndarray
    first: int
    """Features of the first group."""


def digits(quick: bool) -> Split:
    """Even and odd digits: pixels, and products of pairs of neighbours."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = (images / 16).reshape(-1, 8, 8)
    products = [
        (pixels[:, a:, b:] * pixels[:, : 8 - a, : 8 - b]).reshape(len(pixels), -1)
        for a, b in ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
    ]
    X = np.hstack([pixels.reshape(-1, 64), *products])
    X = X - X.mean(axis=0)
    y = np.where(labels % 2 == 0, 1.0, -1.0)
    order = np.random.default_rng(0).permutation(len(y))[: 300 if quick else 1400]
    train, held = np.split(order, [len(order) // 2])
    return Split(X[train], y[train], X[held], y[held], 64)


def logistic_race(split: Split) -> Race:
    n, p, first = len(split.y), split.X.shape[1], split.first
    masks = [np.arange(p) < first, np.arange(p) >= first]
    size = np.linalg.norm(split.X, 2) ** 2
    A, V = split.y[:, None] * split.X, split.y_held[:, None] * split.X_held
    kept: dict[int, Any] = {}

    def at(xp: Any, a: np.ndarray) -> Any:
        if xp.__name__ == "torch":
            return kept.setdefault(id(a), xp.as_tensor(a))
        return a

    def log1pexp(xp: Any, u: Any) -> Any:
        if xp.__name__ == "torch":
            return xp.nn.functional.softplus(u)
        return xp.logaddexp(0.0, u)

    def lower(xp: Any, x: Any, theta: Any) -> Any:
        w = xp.exp(theta)
        fit = log1pexp(xp, -(at(xp, A) @ x)).sum()
        return fit + 0.5 * (w[0] * (x[:first] ** 2).sum() + w[1] * (x[first:] ** 2).sum())

    def upper(xp: Any, x: Any) -> Any:
        return log1pexp(xp, -(at(xp, V) @ x)).mean()

    def ours() -> tuple[Any, Any, dict[str, Any]]:
        parts = [wp.operators.Diagonal(mask.astype(float)) for mask in masks]
        weights = [wp.Parameter(name, 1.0) for name in ("pixels", "products")]
        h = wp.LogisticLoss(wp.operators.Matrix(split.X), split.y)
        for weight, part in zip(weights, parts, strict=True):
            h = h + weight * (wp.SquaredL2() @ part)
        g = (1.0 / len(split.y_held)) * wp.LogisticLoss(wp.operators.Matrix(split.X_held), split.y_held)
        options = {
            "strong_convexity": lambda v: min(v["pixels"], v["products"]),
            "solver": "lbfgs",
        }
        return h, g, options

    def constants(theta: np.ndarray) -> tuple[float, float]:
        w = np.exp(theta)
        return float(size / 4 + w.max()), float(w.min())

    name = f"Two weights of a logistic regression, {n} samples, {first} + {p - first} features"
    return Race(name, (p,), np.zeros(2), lower, upper, ours, constants)


def scikit_grid(split: Split, linear_model: Any) -> Score:
    """`LogisticRegressionCV` for each ratio of the two weights, on the split."""
    grid = np.logspace(-3, 3, POINTS)
    both = np.vstack([split.X, split.X_held])
    labels = np.concatenate([split.y, split.y_held])
    n = len(split.y)
    cv = [(np.arange(n), np.arange(n, len(labels)))]
    found = Score()
    begin = clock()
    for share in grid:
        scaled = np.hstack([both[:, : split.first], both[:, split.first :] / np.sqrt(share)])
        model = linear_model.LogisticRegressionCV(
            Cs=1 / grid, cv=cv, fit_intercept=False, scoring="neg_log_loss", max_iter=1000, refit=False
        )
        model.fit(scaled, labels)
        scores = next(iter(model.scores_.values())) if isinstance(model.scores_, dict) else model.scores_
        found.loss = min(found.loss, float(-np.max(scores)))
        found.lower += int(np.sum(model.n_iter_))
    found.stop(begin)
    return found


# --- weight and smoothing of total variation ------------------------------------------------------


def denoising_race(quick: bool) -> Race:
    from skimage import data

    side, count = (24, 2) if quick else (64, 8)
    corners = [(60, 180), (100, 230), (150, 100), (200, 300), (300, 180), (350, 60), (30, 30), (400, 400)]
    camera = data.camera() / 255.0
    truths = np.stack([camera[i : i + side, j : j + side] for i, j in corners[:count]])
    noisy = truths + 0.1 * np.random.default_rng(0).standard_normal(truths.shape)
    kept: dict[int, Any] = {}

    def at(xp: Any, a: np.ndarray) -> Any:
        if xp.__name__ == "torch":
            return kept.setdefault(id(a), xp.as_tensor(a))
        return a

    def lower(xp: Any, x: Any, theta: Any) -> Any:
        w, nu = xp.exp(theta[0]), xp.exp(theta[1])
        rows, columns = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
        tv = xp.sqrt(rows**2 + nu**2).sum() + xp.sqrt(columns**2 + nu**2).sum()
        return 0.5 * ((x - at(xp, noisy)) ** 2).sum() + w * tv

    def upper(xp: Any, x: Any) -> Any:
        return 0.5 * ((x - at(xp, truths)) ** 2).sum() / count

    def ours() -> tuple[Any, Any, dict[str, Any]]:
        weight, smoothing = wp.Parameter("weight", 0.01), wp.Parameter("smoothing", 0.1)
        prior = weight * wp.SmoothedTotalVariation(smoothing, isotropic=False)
        lowers = [wp.LeastSquares(None, b) + prior for b in noisy]
        return lowers, [wp.LeastSquares(None, t) for t in truths], {"eps": 1.0}

    def constants(theta: np.ndarray) -> tuple[float, float]:
        return float(1 + 8 * np.exp(theta[0] - theta[1])), 1.0

    name = f"Weight and smoothing of total variation, {count} images of {side} x {side}"
    start = np.log([0.01, 0.1])
    return Race(name, truths.shape, start, lower, upper, ours, constants, pairs=count)


# --- one weight -----------------------------------------------------------------------------------


def regression(quick: bool) -> Split:
    """Diabetes with products of features, standardised."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures

    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(2, include_bias=False).fit_transform(X / X.std(axis=0))
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    order = np.random.default_rng(0).permutation(len(y))[: 120 if quick else None]
    train, held = np.split(order, [2 * len(order) // 3])
    return Split(X[train], y[train], X[held], y[held], 0)


def one_weight(split: Split, penalty: str) -> Callable[[float], Score]:
    """`wp.learn` for ridge regression or the Lasso."""
    n = len(split.y)

    def run(target: float) -> Score:
        start = 10.0 if penalty == "ridge" else 0.03 * n
        term = wp.SquaredL2() if penalty == "ridge" else wp.L1()
        h = wp.LeastSquares(wp.operators.Matrix(split.X), split.y) + wp.Parameter("weight", start) * term
        g = (2.0 / len(split.y_held)) * wp.LeastSquares(wp.operators.Matrix(split.X_held), split.y_held)
        found = Score()
        begin = clock()

        def watch(seen: Any) -> bool:
            found.loss, found.lower = seen.row.loss, seen.row.lower_iterations
            found.linear = seen.row.linear_iterations
            return found.loss > target

        options = {"solver": "lbfgs"} if penalty == "ridge" else {}
        wp.learn(h, g, method="quasi-newton", callback=watch, progress=False, **options)
        found.stop(begin)
        return found

    return run


def scikit_one(split: Split, penalty: str, linear_model: Any) -> Score:
    """`RidgeCV`, or what `LassoCV` does, with 100 weights on the split."""
    n = len(split.y)
    found = Score()
    begin = clock()
    if penalty == "ridge":
        both, targets = np.vstack([split.X, split.X_held]), np.concatenate([split.y, split.y_held])
        cv = [(np.arange(n), np.arange(n, len(targets)))]
        model = linear_model.RidgeCV(
            alphas=np.logspace(-2, 4, 100), cv=cv, fit_intercept=False, scoring="neg_mean_squared_error"
        ).fit(both, targets)
        found.loss, found.lower = float(-model.best_score_), 100
    else:
        _, coefficients, _, counts = linear_model.lasso_path(split.X, split.y, alphas=100, return_n_iter=True)
        errors = np.mean((split.X_held @ coefficients - split.y_held[:, None]) ** 2, axis=0)
        found.loss, found.lower = float(errors.min()), int(np.sum(counts))
    found.stop(begin)
    return found


# --- tables ---------------------------------------------------------------------------------------

COLUMNS = (
    "method",
    "best time",
    "ratio",
    "processor",
    "lower-level iterations",
    "linear",
    "fewer than the grid",
    "loss",
)


def run(settings: Settings) -> Iterator[Table]:
    """Two parameters in two problems, then one."""
    split = digits(settings.quick)
    race = logistic_race(split)
    table = Table(race.name, COLUMNS)
    if (found := peer(table, "sklearn.linear_model")) is not None:
        with quiet():
            grid = "LogisticRegressionCV, 10 x 10"
            yield compare(table, race, grid, lambda: scikit_grid(split, found[-1]), settings)
    race = denoising_race(settings.quick)
    axes = [np.logspace(-2, 0, POINTS), np.logspace(-3, -0.5, POINTS)]
    with quiet():
        yield compare(
            Table(race.name, COLUMNS),
            race,
            "grid of wp.learn, 10 x 10",
            lambda: own_grid(race, axes),
            settings,
        )
    table = Table("One weight: diabetes with products of features", COLUMNS)
    if (found := peer(table, "sklearn.linear_model")) is not None:
        with quiet():
            yield single(table, found[-1], settings)


def compare(table: Table, race: Race, grid_name: str, grid: Callable[[], Score], settings: Settings) -> Table:
    """One row for each method, to the best loss of the grid."""
    first = grid()
    target = SLACK * first.loss
    calls: dict[str, Callable[[float], Score]] = {
        "wp.learn, quasi-newton": lambda goal: learned(race, goal, method="quasi-newton"),
        "wp.learn, MAID": lambda goal: learned(race, goal, descent_test=False),
    }
    if (found := peer(table, "jax", "jaxopt")) is not None:
        calls["jaxopt, implicit"] = jaxopt_implicit(*found, race)
    if (found := peer(table, "torch")) is not None:
        calls[f"PyTorch, {UNROLLED} steps unrolled"] = unrolled(found[0], race)
    scores = measured(calls, target, min(3, settings.repeat), table)
    scores[grid_name] = best([first, *([grid()] if first.seconds < settings.slow else [])])
    rows(table, scores, grid_name, target)
    return table


def measured(
    calls: dict[str, Callable[[float], Score]], target: float, repeat: int, table: Table
) -> dict[str, Score]:
    """The fastest of some runs of each, which take turns; a first one compiles."""
    scores: dict[str, list[Score]] = {name: [] for name in calls}
    for name, call in calls.items():
        warm = call(target)
        if warm.seconds > SLOW and "jaxopt" not in name:
            scores[name].append(warm)
        if "jaxopt" in name:
            table.note(f"jaxopt took {seconds(warm.seconds)} the first time, compilation included.")
    for _ in range(repeat):
        for name, call in calls.items():
            if not (scores[name] and scores[name][0].seconds > SLOW):
                scores[name].append(call(target))
    return {name: best(several) for name, several in scores.items()}


def best(scores: list[Score]) -> Score:
    return min(scores, key=lambda score: score.seconds)


def rows(table: Table, scores: dict[str, Score], grid: str, target: float, prefix: str = "") -> None:
    ours = next(score for name, score in scores.items() if name.startswith("wp.learn"))
    for name, score in scores.items():
        late = "" if score.loss <= target else ", target not reached"
        table.add(
            prefix + name + late,
            seconds(score.seconds),
            ratio(score.seconds, ours.seconds),
            seconds(score.cpu),
            f"{score.lower:.0f}",
            f"{score.linear:.0f}" if score.linear else "-",
            ratio(scores[grid].lower, score.lower),
            f"{score.loss:.4g}",
        )
    table.note(
        f"Until the validation loss is within {100 * (SLACK - 1):.1g} % of the best of the grid; double "
        "precision, warm starts. 'processor' is the time of all cores in the same run, which other processes "
        "disturb less. Iterations are summed over the images, which jaxopt and PyTorch solve together; "
        "'linear' are products with Hessians, which the others do not report. jaxopt and PyTorch take the "
        "outer steps of SciPy's "
        f"L-BFGS; jaxopt solves lower levels by L-BFGS to {INNER_TOL:.0e}."
    )


def single(table: Table, linear_model: Any, settings: Settings) -> Table:
    """Ridge regression and the Lasso."""
    split = regression(settings.quick)
    for penalty, grid in (("ridge", "RidgeCV, 100 weights"), ("lasso", "path of LassoCV, 100 weights")):
        first = best([scikit_one(split, penalty, linear_model) for _ in range(3)])
        target = SLACK * first.loss
        call = one_weight(split, penalty)
        scores = measured({"wp.learn, quasi-newton": call}, target, min(3, settings.repeat), table)
        scores[grid] = first
        rows(table, scores, grid, target, f"{penalty}: ")
    table.note("RidgeCV solves in closed form: its iterations are the weights.")
    return table
