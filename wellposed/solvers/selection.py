"""`choose`: the weight of a regulariser from the data alone."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.functionals.objective import Objective
from wellposed.functionals.parameter import Parameter
from wellposed.solvers.minimize import minimize
from wellposed.solvers.noise import estimate_noise
from wellposed.solvers.result import Result
from wellposed.solvers.selection_data import DataTerm, data_term, find_parameter, weighted_term
from wellposed.solvers.selection_path import Path, Record
from wellposed.solvers.selection_range import DECADES, FIRST, MORE_DECADES, Range, largest_weight
from wellposed.solvers.selection_rules import RULES, Judge, Rule
from wellposed.solvers.selection_search import Search

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEARCH_TOL = 3e-3
"""Tolerance of the solves of a search, unless the final one is to be looser."""


@dataclass(frozen=True)
class Choice:
    """The outcome of `choose`.

    Parameters
    ----------
    value : float
        The chosen weight.
    objective : Objective
        With that weight in place of the parameter's value.
    result : Result
        Of the final solve, at the tolerance asked for.
    curve : tuple of Record
        All weights that were tried, in increasing order, with the rule's criterion at each.
    rule : str
        The rule that was used.
    noise_level : float or None
        Given or estimated; ``None`` if the rule does without.
    note : str
        Where range and noise level came from, and what to know about the choice.
    """

    value: float
    objective: Objective
    result: Result
    curve: tuple[Record, ...]
    rule: str
    noise_level: float | None
    note: str

    @property
    def solves(self) -> int:
        """Number of weights tried."""
        return len(self.curve)

    def plot(self) -> Figure:
        """Draw the criterion, and the residual against the regulariser, over the weights tried."""
        from wellposed.solvers.figure_choice import draw

        return draw(self)

    def __repr__(self) -> str:
        return f"Choice({self.value:.4g} by {self.rule} among {len(self.curve)} weights; {self.note})"


def choose(
    objective: Functional,
    parameter: Parameter | str,
    rule: str = "auto",
    noise_level: float | None = None,
    low: float | None = None,
    high: float | None = None,
    count: int = 7,
    tol: float = 1e-3,
    eta: float = 1.0,
    seed: int | np.random.Generator = 0,
    callback: Callable[[Record], Any] | None = None,
    progress: bool | None = None,
    **options: Any,
) -> Choice:
    r"""Choose the weight of a regulariser by a rule that needs no ground truth.

    Parameters
    ----------
    objective : Functional
        With one data fit and a `Parameter`, as in
        ``wp.LeastSquares(A, b) + wp.Parameter("weight", 1.0) * wp.TotalVariation()``.
    parameter : Parameter or str
        Which one (or its name). It usually multiplies a term; anywhere else it needs ``low`` and ``high``.
    rule : str
        ``"discrepancy"``, ``"gcv"``, ``"upre"``, ``"sure"``, ``"lcurve"``, ``"residual-whiteness"``, or
        ``"auto"``, which takes one of them and says which and why in ``note``.
    noise_level : float, optional
        Standard deviation of the noise in ``b``; with weighted squares, of the noise times the root
        of the weights, so 1 if the weights are inverse variances. Where a rule needs it and it is not
        given, `estimate_noise` finds it in ``b`` (1 for weighted squares).
    low, high : float, optional
        Range of the search. By default it begins at a tenth of (a bound of) the weight above which the
        regulariser leaves only the trivial solution, or for smooth ones outweighs the data tenfold, and
        spans three decades; it grows at an end that turns out best. The bounds of the parameter hold in
        any case.
    count : int
        Weights on the coarse path from ``high`` to ``low``, evenly spaced on a log scale; the path ends
        early once the criterion has clearly passed its best.
    tol : float
        Tolerance of the final solve; those of the search use 3e-3, or ``tol`` if that is
        larger, and less where the data fit is a small part of the objective.
    eta : float
        Factor on the noise level in the discrepancy rule; above 1 it smooths more.
    seed : int or Generator
        Of the probe behind the Monte-Carlo traces of ``gcv``, ``upre`` and ``sure``.
    callback : callable, optional
        Called with the `Record` of each weight tried; return ``False`` to end the search there.
    progress : bool, optional
        Print a line for each weight on standard error (default: in a terminal only).
    **options
        For `minimize`: ``solver``, ``max_iter``.

    Returns
    -------
    Choice

    Raises
    ------
    TypeError, ValueError
        Before any solve: if the rule is unknown or cannot be used for this data fit, the parameter or
        a data fit is missing, the noise level is not positive, or the range is empty.

    Notes
    -----
    Each solve starts from the solution at the nearest weight before it. Minima are bracketed on the
    coarse path and refined by halving the wider gap and a last parabola on the log scale, roots by regula
    falsi. The trace is estimated as :math:`p^T (A x(b + \epsilon p) - A x(b)) / \epsilon` with one fixed
    probe ``p`` of random signs for all weights and :math:`\epsilon = \sigma / 2`, within the range that
    Ye (1998) advises; the two solves are loose alike, so that most of their errors cancel.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> clean = np.kron(np.eye(4), np.ones((8, 8)))
    >>> noisy = clean + 0.2 * np.random.default_rng(0).normal(size=clean.shape)
    >>> weight = wp.Parameter("weight", 1.0)
    >>> choice = wp.choose(wp.LeastSquares(None, noisy) + weight * wp.TotalVariation(), weight)
    >>> 0.1 < choice.value < 0.5
    True
    """
    objective = Objective.of(objective)
    found, data = find_parameter(objective, parameter), data_term(objective)
    picked, why = _rule(rule, data, noise_level)
    level, about_noise = _noise_level(picked, data, noise_level)
    span, about_range = _span(objective, data, found, low, high)
    if not (isinstance(count, int) and count >= 3):
        raise ValueError(f"count must be an integer of at least 3, got {count!r}")
    if not eta > 0:
        raise ValueError(f"eta must be positive, got {eta}")
    path = Path(objective, found.name, max(tol, SEARCH_TOL), picked.trace, level, seed, options)
    judge = Judge(picked, data, level, eta)
    search = Search(path, judge, span, count, _watch(callback, progress, picked.name))
    value, remark = search.run()
    chosen = path.objective_at(value)
    nearest = path.nearest(value)
    start = None if nearest is None else nearest.result
    result = minimize(chosen, x0=start, tol=tol, progress=False, **options)
    curve = search.curve()
    short = sum(r.status not in ("converged", "stationary") for r in curve)
    about_solves = f"{short} of {len(curve)} solves ended before their tolerance" if short else ""
    note = "; ".join(part for part in (why, about_noise, about_range, about_solves, remark) if part)
    return Choice(value, chosen, result, curve, picked.name, level, note)


def _rule(name: str, data: DataTerm, noise_level: float | None) -> tuple[Rule, str]:
    """The rule of that name, or one for these data; why."""
    if name == "auto":
        return _automatic(data, noise_level)
    if name not in RULES:
        raise ValueError(f"unknown rule {name!r}; choose 'auto' or one of {', '.join(RULES)}")
    rule = RULES[name]
    if reason := rule.refuses(data):
        raise ValueError(f"rule {name!r} cannot be used: {reason}")
    return rule, ""


def _automatic(data: DataTerm, noise_level: float | None) -> tuple[Rule, str]:
    """By the evidence in docs/choosing-the-weight.md."""
    if data.least_squares and noise_level is not None:
        name = "sure" if data.A is None else "upre"
        return RULES[name], f"{name}, since the noise level is known"
    image = sum(n > 3 for n in data.fit.b.shape) >= 2
    if data.least_squares and (data.A is None or data.A.domain_shape == data.A.range_shape or not image):
        return RULES["gcv"], "gcv, which needs no noise level"
    if image:
        squares = data.least_squares
        why = "one solve a weight is enough" if squares else "the data fit is no sum of squares"
        return RULES["residual-whiteness"], f"residual-whiteness, since {why}"
    return RULES["lcurve"], "lcurve, since the data fit is no sum of squares and the data are no image"


def _noise_level(rule: Rule, data: DataTerm, given: float | None) -> tuple[float | None, str]:
    """The noise level that the rule works with, and a remark where it was estimated."""
    if given is not None:
        if not (isinstance(given, (int, float, np.number)) and math.isfinite(given) and given > 0):
            raise ValueError(f"noise_level must be a positive number, got {given!r}")
        return float(given), ""
    if not (rule.noise or rule.trace) or not data.least_squares:
        return None, ""
    if data.weights is not None:
        return 1.0, "weights taken as inverse variances of the noise"
    try:
        if data.seen is not None:
            raise ValueError("the noise level cannot be estimated from masked data: give noise_level")
        level = estimate_noise(data.fit.b)
    except ValueError:
        if rule.noise:
            raise
        return None, "noise level not known"
    return level, f"noise level {level:.3g} estimated from the data"


def _span(
    objective: Objective, data: DataTerm, parameter: Parameter, low: float | None, high: float | None
) -> tuple[Range, str]:
    """The range of the search, within the bounds of the parameter."""
    for value, name in ((low, "low"), (high, "high")):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a positive number, got {value!r}")
    about, limit = "", high
    if limit is None:
        limit, about = _upper_end(objective, data, parameter), "range from the data"
    top = min(limit if high is not None else FIRST * limit, parameter.high)
    bottom = max(top * 10.0**-DECADES if low is None else low, parameter.low)
    if not 0 < bottom < top:
        raise ValueError(
            f"the range of {parameter.name} is empty: low is {bottom:g}, high is {top:g}"
            f" (the parameter's own bounds are [{parameter.low:g}, {parameter.high:g}])"
        )
    lowest = bottom if low is not None else max(bottom * 10.0**-MORE_DECADES, parameter.low)
    return Range(bottom, top, lowest, min(limit, parameter.high)), about


def _upper_end(objective: Objective, data: DataTerm, parameter: Parameter) -> float:
    weighted = weighted_term(objective, parameter.name)
    if weighted is None:
        if math.isfinite(parameter.high):
            return parameter.high
        raise ValueError(f"{parameter.name} does not multiply one regulariser: give low and high")
    if not data.fit.traits.smooth:
        kind = type(data.fit).__name__
        raise ValueError(f"the range of {parameter.name} is not known for {kind}: give high")
    high = largest_weight(objective, data, weighted)
    if not 0 < high < math.inf:
        raise ValueError(f"the data do not tell the range of {parameter.name} (are they 0?): give high")
    return high


def _watch(
    callback: Callable[[Record], Any] | None, progress: bool | None, rule: str
) -> Callable[[Record], Any]:
    shown = sys.stderr.isatty() if progress is None else progress

    def watch(record: Record) -> Any:
        if shown:
            line = f"{rule}: weight {record.value:.4g}, criterion {record.criterion:.4g}"
            print(f"{line}, {record.iterations} iterations", file=sys.stderr, flush=True)
        return None if callback is None else callback(record)

    return watch


__all__ = ["Choice", "Record", "choose"]
