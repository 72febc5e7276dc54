"""The regression problems behind lower levels, and what the parameters in front of their terms stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import Shifted, Weighted
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.parameter import Parameter
from wellposed.solvers.bilevel.evidence import Evidence, Regression
from wellposed.solvers.bilevel.pair import Pair
from wellposed.solvers.bilevel.training import Training

LARGEST = 100_000_000
"""Entries of the matrix of an example up to which it is assembled."""

FORM = "precision * LeastSquares(A, y) + weight * SquaredL2()"


@dataclass(frozen=True, eq=False)
class Model:
    """The regression problems behind the lower levels, and what their parameters stand for.

    ``data`` and ``prior`` are the factors in front of both terms: a number, and a parameter or ``None``.
    """

    evidence: Evidence
    centres: tuple[np.ndarray, ...]
    data: tuple[float, Parameter | None]
    prior: tuple[float, Parameter]
    learned: frozenset[str]

    @classmethod
    def of(cls, training: Training, family: str, emphasis: float | None) -> Model:
        """Read the lower levels.

        Raises
        ------
        TypeError
            If one has not the form that the method takes.
        ValueError
            If examples have different factors, or a matrix is too large.
        """
        read = [_terms(pair) for pair in training.pairs]
        first = read[0]
        for number, other in enumerate(read):
            if not (_same(first.data, other.data) and _same(first.prior, other.prior)):
                raise ValueError(
                    f"pair {number} has other factors in front of its terms than pair 0: they share both"
                )
        examples = tuple(_regression(t, pair) for t, pair in zip(read, training.pairs, strict=True))
        R, N = (sum(e.A.shape[k] for e in examples) for k in (1, 0))
        kappa = emphasis or (1.0 if family == "full" else max(1.0, R / N))
        assert first.prior[1] is not None
        return cls(
            Evidence(examples, family, kappa),
            tuple(_centre(t, pair) for t, pair in zip(read, training.pairs, strict=True)),
            first.data,
            (first.prior[0], first.prior[1]),
            frozenset(training.vector.names),
        )

    @property
    def _noise_known(self) -> bool:
        return self.data[1] is not None and self.data[1].name not in self.learned

    def variances(self, t: np.ndarray, noise: float | None) -> tuple[float, float]:
        """Those of prior and noise that the values of the parameters mean."""
        factor, precision = self.data
        if precision is not None:
            v = 1 / (factor * float(precision.value))
        elif noise is not None:
            v = noise
        else:
            count, power = self.evidence.N, sum(float(e.y @ e.y) for e in self.evidence.examples)
            v = 0.1 * power / count or 1.0
        scale, weight = self.prior
        return self._prior_of(scale * float(weight.value), v), v

    def _prior_of(self, weight: float, noise: float) -> float:
        return self._trust(noise) / (self.evidence.kappa * weight)

    def _trust(self, noise: float) -> float:
        """The factor of the data fit, times the variance of the noise."""
        factor, precision = self.data
        return 1.0 if precision is not None else factor * noise

    def prior_within(self, prior: float, noise: float) -> float:
        """The prior variance nearest to the best one that the bounds of the parameter allow."""
        scale, weight = self.prior
        if weight.name not in self.learned:
            return self._prior_of(scale * float(weight.value), noise)
        least = self._prior_of(scale * weight.high, noise)
        most = self._prior_of(scale * weight.low, noise) if weight.low > 0 else math.inf
        return min(max(prior, least), most)

    def noise_within(self, noise: float, prior: float, current: float) -> float:
        """The same for the variance of the noise."""
        factor, precision = self.data
        scale, weight = self.prior
        if self._noise_known:
            return current
        if precision is not None:
            most = 1 / (factor * precision.low) if precision.low > 0 else math.inf
            return min(max(noise, 1 / (factor * precision.high)), most)
        # The weight is factor * noise / (kappa * prior) and has bounds too.
        per_noise = factor / (self.evidence.kappa * prior * scale)
        return min(max(noise, weight.low / per_noise), weight.high / per_noise)

    def vector(self, training: Training, prior: float, noise: float) -> np.ndarray:
        """The vector of parameters that means these variances."""
        scale, weight = self.prior
        values: dict[str, Any] = {weight.name: self._trust(noise) / (self.evidence.kappa * prior * scale)}
        factor, precision = self.data
        if precision is not None:
            values[precision.name] = 1 / (factor * noise)
        parts = {p.name: p.to_scale(values[p.name]) for p in training.vector.parameters}
        return training.vector.pack(parts)


# --- reading a lower level ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Terms:
    fit: LeastSquares
    data: tuple[float, Parameter | None]
    prior: tuple[float, Parameter | None]
    centre: Any


def _terms(pair: Pair) -> _Terms:
    """The two terms of a lower level."""
    every = [_front(t) for t in pair.lower.objective.terms]
    fits = [t for t in every if isinstance(t[0], LeastSquares) and not t[0].intercept]
    priors = [t for t in every if isinstance(_unshifted(t[0]), SquaredL2)]
    if len(every) != 2 or len(fits) != 1 or len(priors) != 1:
        raise TypeError(
            f"pair {pair.number}: method 'elbo' takes {FORM}, without an intercept, "
            f"not {pair.lower.objective}: 'maid' and 'hoag' learn others with a loss"
        )
    (fit, factor, precision), (shifted, scale, weight) = fits[0], priors[0]
    norm = _unshifted(shifted)
    if not isinstance(weight, Parameter) or weight.shape or norm.weights is not None:
        raise TypeError(
            f"pair {pair.number}: the prior of method 'elbo' is Parameter(...) * SquaredL2(), got {shifted}"
        )
    inside = [p.name for p in fit.parameters] + ([] if fit.A is None else [p.name for p in fit.A.parameters])
    if inside:
        raise TypeError(
            f"pair {pair.number}: method 'elbo' learns the factors of the two terms, not {inside[0]} "
            f"inside {fit}: give it values from outside, and compare the losses"
        )
    return _Terms(fit, (factor, precision), (scale, weight), getattr(shifted, "b", None))


def _front(f: Functional) -> tuple[Any, float, Parameter | None]:
    """The functional behind its factors, their product without the parameter, and the parameter."""
    number, parameter = 1.0, None
    while isinstance(f, Weighted):
        if isinstance(f.weight, Parameter):
            if parameter is not None:
                raise TypeError(f"method 'elbo' takes one parameter in front of a term, got {f}")
            parameter = f.weight
        else:
            number *= f.c
        f = f.f
    if not number > 0:
        raise ValueError(f"a term of the lower level has the factor 0: {f}")
    return f, number, parameter


def _unshifted(f: Any) -> Any:
    return f.f if isinstance(f, Shifted) else f


def _same(a: tuple[float, Parameter | None], b: tuple[float, Parameter | None]) -> bool:
    return a[0] == b[0] and (a[1].name if a[1] else None) == (b[1].name if b[1] else None)


def _regression(terms: _Terms, pair: Pair) -> Regression:
    fit, size = terms.fit, math.prod(pair.lower.shape)
    if arrays.is_complex(fit.b):
        raise TypeError(f"pair {pair.number}: method 'elbo' takes real data")
    y = arrays.to_host(fit.b).astype(np.float64).reshape(-1)
    if y.size * size > LARGEST:
        raise ValueError(
            f"pair {pair.number}: method 'elbo' assembles the operator as a matrix, "
            f"and {y.size} by {size} is too large"
        )
    A = np.eye(size) if fit.A is None else fit.A.to_dense()
    y = y - A @ _centre(terms, pair)
    if fit.weights is None:
        return Regression(A, y)
    root = np.sqrt(arrays.to_host(fit.weights).astype(np.float64).reshape(-1))
    counted = root > 0
    return Regression(root[counted, None] * A[counted], root[counted] * y[counted])


def _centre(terms: _Terms, pair: Pair) -> np.ndarray:
    if terms.centre is None:
        return np.zeros(math.prod(pair.lower.shape))
    return arrays.to_host(terms.centre).astype(np.float64).reshape(-1)
