r"""The rules by which a weight is chosen: what each computes from a solution, and what it needs.

With the residual :math:`r = A x - b` of ``m`` data (times the root of the weights of weighted squares),
the noise level :math:`\sigma` and :math:`t = \mathrm{tr}\,\partial (A x) / \partial b`:

=====================  ==========================================================================
discrepancy            root of :math:`\|r\|^2 / (m \sigma^2 \eta^2) - 1` (Morozov); for Kullback-Leibler
                       fits of :math:`2 f / (m \eta^2) - 1`
upre                   :math:`\|r\|^2 + 2 \sigma^2 t - m \sigma^2`: unbiased estimate of the error of ``A x``
sure                   the same where ``A`` is the identity: of the error of ``x`` (Stein)
gcv                    :math:`m \|r\|^2 / (m - t)^2` (Golub, Heath and Wahba)
lcurve                 minus the curvature of :math:`(\log\|r\|^2, \log\varphi(x))` (Hansen)
residual-whiteness     :math:`\|r \star r\|^2 / \|r\|^4`, the energy of the autocorrelation of the residual,
                       normalised (Almeida and Figueiredo; Lanza, Pragliola and Sgallari)
=====================  ==========================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import fftn
from scipy.interpolate import CubicSpline

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.kullback_leibler import KullbackLeibler
from wellposed.solvers.selection_data import DataTerm
from wellposed.solvers.selection_path import Point


@dataclass(frozen=True)
class Rule:
    """A rule.

    Parameters
    ----------
    name : str
    noise : bool
        Whether it needs the noise level.
    trace : bool
        Whether it needs the trace, by a second solve at each weight.
    root : bool
        Whether the criterion is to be 0, and not least.
    whole : bool
        Whether it judges all points of a path together.
    refuses : callable
        From a data fit to the reason why it cannot be used, or ``""``.
    """

    name: str
    refuses: Callable[[DataTerm], str]
    noise: bool = False
    trace: bool = False
    root: bool = False
    whole: bool = False


LEAST_FREE = 0.02
"""Where the solution fits nearly all data, generalised cross-validation is a ratio of two small errors."""

LEAST_PENALTY = 0.02
"""The L-curve is read where the penalty is at least this share of its largest value."""


def _any(data: DataTerm) -> str:
    return ""


def _squares(data: DataTerm) -> str:
    if data.least_squares:
        return ""
    return f"it needs a LeastSquares data fit, not {type(data.fit).__name__}: take 'residual-whiteness'"


def _squares_or_counts(data: DataTerm) -> str:
    return "" if isinstance(data.fit, KullbackLeibler) else _squares(data)


def _identity(data: DataTerm) -> str:
    if data.A is not None:
        return "it estimates the error of x, for denoising only: take 'upre', which estimates that of A x"
    return _squares(data)


def _several(data: DataTerm) -> str:
    return "" if data.count >= 16 else f"{data.count} data are too few to tell white from coloured"


RULES = {
    rule.name: rule
    for rule in (
        Rule("discrepancy", _squares_or_counts, noise=True, root=True),
        Rule("gcv", _squares, trace=True),
        Rule("upre", _squares, noise=True, trace=True),
        Rule("sure", _identity, noise=True, trace=True),
        Rule("lcurve", _any, whole=True),
        Rule("residual-whiteness", _several),
    )
}
"""All rules by name."""


@dataclass(frozen=True)
class Judge:
    """A rule with the numbers it needs.

    Parameters
    ----------
    rule : Rule
    data : DataTerm
    noise_level : float or None
    eta : float
        Factor on the noise level in the discrepancy rule.
    """

    rule: Rule
    data: DataTerm
    noise_level: float | None
    eta: float = 1.0

    def criteria(self, points: Sequence[Point]) -> list[float]:
        """The criterion at each point; the points are in order of their weights."""
        if self.rule.whole:
            return _minus_curvature(points)
        by_name: dict[str, Callable[[Point], float]] = {
            "discrepancy": self._discrepancy,
            "gcv": self._gcv,
            "upre": self._risk,
            "sure": self._risk,
            "residual-whiteness": self._whiteness,
        }
        return [by_name[self.rule.name](p) for p in points]

    def _discrepancy(self, p: Point) -> float:
        if isinstance(self.data.fit, KullbackLeibler):
            Ax = self.data.predict(p.result.x)
            return 2.0 * self.data.fit._loss(Ax) / (self.data.count * self.eta**2) - 1.0
        return p.mean_square / (self._level * self.eta) ** 2 - 1.0

    def _risk(self, p: Point) -> float:
        return p.mean_square + self._level**2 * (2.0 * p.degrees - 1.0)

    def _gcv(self, p: Point) -> float:
        free = 1.0 - p.degrees
        return p.mean_square / free**2 if free > LEAST_FREE else math.inf

    def _whiteness(self, p: Point) -> float:
        return whiteness(p.residual)

    @property
    def _level(self) -> float:
        assert self.noise_level is not None
        return self.noise_level


def whiteness(residual: Array) -> float:
    r"""Energy of the periodic autocorrelation of a residual over the square of its energy.

    At least 1, and about 2 for white noise: 1 from lag 0, and 1 from the sum of all other lags.
    """
    host = arrays.to_host(residual)
    spectrum: np.ndarray = np.asarray(fftn(host.astype(np.result_type(host, np.float64))))
    power = np.abs(spectrum) ** 2
    energy = float(power.sum())
    return float((power**2).sum()) * power.size / energy**2 if energy > 0 else math.inf


def _minus_curvature(points: Sequence[Point]) -> list[float]:
    """Minus the curvature of the L-curve over log weight, from splines through its points."""
    most = max(p.penalty for p in points)
    # Near the trivial solution the logarithm of the penalty plunges, which is a bend but no corner.
    usable = [p.penalty > LEAST_PENALTY * most and p.mean_square > 0 for p in points]
    result = np.full(len(points), math.inf)
    if sum(usable) < 5:
        return result.tolist()
    kept = [p for p, ok in zip(points, usable, strict=True) if ok]
    t = np.log([p.value for p in kept])
    u = CubicSpline(t, np.log([p.mean_square for p in kept]))
    v = CubicSpline(t, np.log([p.penalty for p in kept]))
    speed = np.maximum(u(t, 1) ** 2 + v(t, 1) ** 2, 1e-12)
    curvature = (u(t, 1) * v(t, 2) - u(t, 2) * v(t, 1)) / speed**1.5
    # The second derivative of a spline is least certain at its ends.
    curvature[[0, -1]] = -math.inf
    result[usable] = -curvature
    return result.tolist()
