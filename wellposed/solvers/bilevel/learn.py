"""`learn`: find the parameters of an objective with which its minimisers fit given truths best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wellposed.functionals.norms import SquaredL2
from wellposed.solvers.bilevel.constants import Given
from wellposed.solvers.bilevel.elbo import Elbo
from wellposed.solvers.bilevel.hoag import Hoag
from wellposed.solvers.bilevel.learned import Learned, Progress
from wellposed.solvers.bilevel.lower import StrongConvexity
from wellposed.solvers.bilevel.maid import Maid
from wellposed.solvers.bilevel.method import Method
from wellposed.solvers.bilevel.pair import Pair, Solves
from wellposed.solvers.bilevel.quasi_newton import QuasiNewton
from wellposed.solvers.bilevel.run import Control, Run
from wellposed.solvers.bilevel.search import Grid, NelderMead, Random
from wellposed.solvers.bilevel.self_tuning import SelfTuning
from wellposed.solvers.bilevel.training import Training, starting_arrays, training_pairs
from wellposed.solvers.bilevel.vector import parameter_vector
from wellposed.solvers.fingerprint import digest

METHODS: dict[str, type[Any]] = {
    "maid": Maid,
    "hoag": Hoag,
    "quasi-newton": QuasiNewton,
    "grid": Grid,
    "random": Random,
    "nelder-mead": NelderMead,
    "elbo": Elbo,
    "self-tuning": SelfTuning,
}


def learn(
    lower: Any,
    loss: Any = None,
    parameters: Any = None,
    method: str | Method = "maid",
    *,
    validation: tuple[Any, Any] | None = None,
    x0: Any = None,
    tol: float = 0.0,
    max_iter: int | None = None,
    max_work: float = math.inf,
    max_seconds: float = math.inf,
    batch: int | None = None,
    seed: int = 0,
    solver: str = "accelerated",
    max_lower: int = 10_000,
    max_linear: int = 10_000,
    strong_convexity: StrongConvexity = None,
    constants: Given | None = None,
    workers: int = 1,
    client: Any = None,
    callback: Callable[[Progress], Any] | None = None,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    **options: Any,
) -> Learned:
    r"""Learn parameters of an objective from examples.

    .. math:: \min_\theta \; \frac1m \sum_i g_i(\hat x_i(\theta)), \qquad
              \hat x_i(\theta) = \arg\min_x h_i(x, \theta)

    Parameters
    ----------
    lower : Functional or list of Functional
        ``h_i``, with the `Parameter` objects to learn inside; convex. Smooth ones must be strongly convex;
        L1 norms, bounds and elastic nets are allowed (without proven accuracies).
    loss : Functional or list of Functional
        ``g_i``, differentiable, such as ``LeastSquares(None, truth)``. None for ``"elbo"``.
    parameters : list of Parameter or str, optional
        Which to learn (default: all inside ``lower`` and ``loss``). They start from their values and stay
        within their bounds; steps are taken on the scale of their transform.
    method : {"maid", "hoag", "quasi-newton", "elbo", "self-tuning", "grid", "random", "nelder-mead"}, Method
        ``"maid"``: gradient descent whose accuracies adapt, each decrease proven. ``"hoag"``: tolerances
        that follow a schedule. ``"quasi-newton"``: L-BFGS steps, the fewest iterations, without proofs.
        ``"elbo"``: variances of the noise and of a normal prior from the lower levels alone (empirical
        Bayes), for ``LeastSquares`` and ``SquaredL2``. ``"self-tuning"``: learns how minimisers respond
        to the parameters, without solving for them. The others use values of the loss only. Options of a
        method are further keyword arguments: see `Maid`, `Hoag`, `QuasiNewton`, `Elbo`, `SelfTuning`,
        `Grid`, `Random`, `NelderMead` in ``wellposed.solvers.bilevel``.
    validation : (lower, loss), optional
        Further pairs. What is handed back is then the best on them.
    x0 : array or list of array, optional
        Where the lower levels start (default: zero). Later solves start from earlier solutions.
    tol : float
        Stop when the norm of the hypergradient, plus the bound of its error, is at most this; for
        ``"nelder-mead"`` by name the size of the simplex (0: 1e-3).
    max_iter : int, optional
        Outer iterations (default: 100; for searches, as many points as they have).
    max_work : float
        Lower-level plus linear iterations, per training pair.
    max_seconds : float
    batch : int, optional
        Use a random part of the pairs of this size in each iteration.
    seed : int
        Of the mini-batches, and of the draws of ``"random"`` and ``"self-tuning"`` by name.
    solver : {"accelerated", "gradient", "lbfgs"}
        Of smooth lower levels.
    max_lower, max_linear : int
        Limits of iterations of one solve. A solve that ends early enters the bounds as it is.
    strong_convexity : float or callable, optional
        Of the lower levels, if you know it: a number, or a function of the values of the parameters.
    constants : Given, optional
        Other constants of the bound that you know.
    workers : int
        Processes over which the pairs are spread. They are started for each evaluation, which costs about
        a second: worth it for large pairs only.
    client : dask.distributed.Client, optional
        A cluster over which the pairs are spread instead.
    callback : callable, optional
        Called with a `Progress` after each iteration; returning ``False`` stops the run.
    progress : bool, optional
        Show a line in the terminal (default), lines in a pipe (True), or nothing (False).
    checkpoint : path, optional
        A file that is written now and then. If it exists the run is taken up from it, with the same result
        as without the interruption.
    **options
        Of the method.

    Returns
    -------
    Learned
        The parameters with their values, the history, and why the run ended.

    Raises
    ------
    TypeError, ValueError
        Before any work if something does not fit; also if a lower level is not known to be strongly
        convex or is not convex, and if a loss is not finite (a step of MAID to where the loss is infinite is
        refused instead).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> weight = wp.Parameter("weight", 1.0)
    >>> lower = wp.LeastSquares(None, np.array([4.0])) + weight * wp.SquaredL2()
    >>> result = wp.learn(lower, wp.LeastSquares(None, np.array([2.5])), max_iter=40)
    >>> print(round(result.values["weight"], 3))  # 4 / (1 + weight) = 2.5
    0.6
    """
    chosen = _method(method, options, {"seed": seed, "tol": tol})
    pairs = training_pairs(lower, _losses(loss, lower, chosen, batch), x0, strong_convexity, constants)
    aside = () if validation is None else _validation(validation, strong_convexity, constants)
    vector = parameter_vector(parameters, [f for p in pairs for f in (p.lower.objective, p.loss)])
    how = Solves(solver, max_lower, max_linear)
    _check_limits(max_iter, batch, len(pairs), workers)
    start = starting_arrays(x0, pairs, "x0")
    given = (batch, seed), how, constants
    limit = max_iter if max_iter is not None else 100 if chosen.descends else 1_000_000
    control = Control(
        tol=_at_least_zero(tol, "tol"),
        max_iter=limit,
        max_work=_at_least_zero(max_work, "max_work"),
        max_seconds=_at_least_zero(max_seconds, "max_seconds"),
        batch=batch,
        seed=seed,
        callback=callback,
        progress=progress,
        checkpoint=None if checkpoint is None else _file(Path(checkpoint)),
        mark="" if checkpoint is None else _mark(chosen, pairs, aside, vector.names, start, *given),
    )
    training = Training(pairs, vector, how, workers, client)
    held = Training(aside, vector, how, workers, client) if aside else None
    return Run(chosen, training, held, control, start).run()


def _method(method: str | Method, options: dict[str, Any], shared: dict[str, Any]) -> Method:
    """The method, which by name takes also those arguments of `learn` that are not 0 and options of it."""
    if not isinstance(method, str):
        if options:
            raise TypeError(f"options {sorted(options)} go into the method object, {method!r}")
        return method
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    known = [f.name for f in dataclasses.fields(METHODS[method])]
    if unknown := sorted(set(options) - set(known)):
        raise TypeError(f"method {method!r} has no option {', '.join(unknown)}; it has {', '.join(known)}")
    mine = {name: value for name, value in shared.items() if name in known and value != 0}
    made: Method = METHODS[method](**mine, **options)
    return made


def _losses(loss: Any, lower: Any, method: Method, batch: int | None) -> Any:
    """The losses as they are given; for a method without any, what stands in their place."""
    if not isinstance(method, Elbo):
        if loss is None:
            raise TypeError(f"method {method.name!r} needs a loss; only 'elbo' learns without one")
        return loss
    if loss is not None:
        raise TypeError("method 'elbo' takes no loss: it learns from the data in the lower level")
    if batch is not None:
        raise ValueError("method 'elbo' works on all examples at once: leave batch out")
    return [SquaredL2()] * len(lower) if isinstance(lower, (list, tuple)) else SquaredL2()


def _validation(
    validation: Any, strong_convexity: StrongConvexity, constants: Given | None
) -> tuple[Pair, ...]:
    if not (isinstance(validation, tuple) and len(validation) == 2):
        raise TypeError("validation must be a pair (lower, loss) of functionals or lists of them")
    return training_pairs(*validation, None, strong_convexity, constants)


def _check_limits(max_iter: int | None, batch: int | None, count: int, workers: int) -> None:
    for name, value, least in (("max_iter", max_iter, 0), ("batch", batch, 1), ("workers", workers, 1)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if batch is not None and batch > count:
        raise ValueError(f"batch is {batch}, but there are {count} training pairs")


def _at_least_zero(value: float, name: str) -> float:
    if isinstance(value, bool) or not (isinstance(value, (int, float)) and value >= 0):
        raise ValueError(f"{name} must be at least 0, got {value!r}")
    return float(value)


def _file(path: Path) -> Path:
    if path.is_dir() or not path.parent.is_dir():
        raise ValueError(f"checkpoint {path} must be a file in an existing folder")
    return path


def _mark(
    method: Method,
    pairs: tuple[Pair, ...],
    aside: tuple[Pair, ...],
    names: tuple[str, ...],
    start: list[Any],
    *rest: Any,
) -> str:
    """By which a checkpoint knows what it belongs to: everything that the course of a run depends on."""
    functionals = [f for pair in (*pairs, *aside) for f in (pair.lower.objective, pair.loss)]
    known = [_known_convexity(pair) for pair in (*pairs, *aside)]
    return digest(repr(method), names, len(pairs), repr(rest), known, start, *functionals)


def _known_convexity(pair: Pair) -> float | None:
    """The constant of a lower level that was given; of a function, its value where the parameters begin."""
    given = pair.lower.strong_convexity
    if callable(given):
        return float(given({p.name: p.value for p in pair.lower.objective.parameters}))
    return given
