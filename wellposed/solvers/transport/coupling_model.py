r"""Entropic couplings of weighted points under a learned affinity: value, moments and curvature.

The affinity of a pair is :math:`c_A = \sum_k A_k c_k`; the coupling is the plan of entropic transport of
cost :math:`-c_A`, the potential :math:`W(A) = \max_\pi \langle c_A, \pi\rangle - \varepsilon\,
\mathrm{KL}(\pi \,|\, a \otimes b)`, its gradient the moments :math:`\int c_k \, d\pi_A`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from wellposed.functionals.feasible import rounded
from wellposed.functionals.semidual import EntropicColumns, newton
from wellposed.solvers.transport.gaussian_coupling import mixture


class Features(Protocol):
    """Functions of pairs of points, centred along both axes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the coefficients."""

    def combine(self, A: np.ndarray) -> np.ndarray:
        """The affinities of all pairs."""

    def moments(self, weights: np.ndarray) -> np.ndarray:
        """The sum of each feature over all pairs."""

    def sums(self, P: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sums of some features over each row, and over each column; one column per feature."""

    def products(self, P: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The sums of all products of two of some features."""


@dataclass(frozen=True)
class BilinearFeatures:
    """:math:`x_p y_q`, for centred points."""

    x: np.ndarray
    y: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x.shape[1], self.y.shape[1]

    def combine(self, A: np.ndarray) -> np.ndarray:
        return np.asarray(self.x @ A @ self.y.T)

    def moments(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(self.x.T @ (weights @ self.y))

    def sums(self, P: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, q = np.divmod(chosen, self.y.shape[1])
        return self.x[:, p] * (P @ self.y)[:, q], self.y[:, q] * (P.T @ self.x)[:, p]

    def products(self, P: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        p, q = np.divmod(chosen, self.y.shape[1])
        used, place = np.unique(q, return_inverse=True)
        out = np.empty((len(chosen), len(chosen)))
        for k, column in enumerate(used):
            mine = place == k
            spread = P @ (self.y[:, [column]] * self.y[:, used])
            out[mine] = self.x[:, p[mine]].T @ (self.x[:, p] * spread[:, place])
        return out


@dataclass(frozen=True)
class ListedFeatures:
    """Any features, one matrix each, centred."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.values),)

    def combine(self, A: np.ndarray) -> np.ndarray:
        return np.asarray(np.tensordot(A, self.values, 1))

    def moments(self, weights: np.ndarray) -> np.ndarray:
        return np.asarray(np.tensordot(self.values, weights, 2))

    def sums(self, P: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weighted = self.values[chosen] * P
        return weighted.sum(axis=2).T, weighted.sum(axis=1).T

    def products(self, P: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        some = self.values[chosen].reshape(len(chosen), -1)
        return np.asarray((some * P.reshape(-1)) @ some.T)


@dataclass(frozen=True)
class CouplingModel:
    """Points, features and the width of the entropy."""

    features: Features
    a: np.ndarray
    b: np.ndarray
    eps: float
    tol: float
    """Of the marginals of each coupling."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the coefficients."""
        return self.features.shape

    def at(self, A: np.ndarray, near: CouplingPoint | None = None) -> CouplingPoint:
        """The coupling of coefficients, found from that of others near by."""
        cost = np.ascontiguousarray(-self.features.combine(A).T)
        f, g = (np.zeros_like(self.a), np.zeros_like(self.b)) if near is None else (near.f, near.g)
        found, _, _ = newton(EntropicColumns(self.eps), cost, self.a, self.b, f, g, self.tol, 100)
        return CouplingPoint(self, A, np.ascontiguousarray(found.plan.T), found.f, found.g, -found.value)

    def divergence(self, P: np.ndarray) -> float:
        """``eps`` times the relative entropy to the independent coupling."""
        ratio = np.divide(P, np.outer(self.a, self.b))
        logs = np.log(ratio, out=np.zeros_like(ratio), where=ratio > 0)
        return self.eps * float(np.einsum("ij,ij->", P, logs))


@dataclass(frozen=True)
class CouplingPoint:
    """The coupling of some coefficients."""

    model: CouplingModel
    A: np.ndarray
    plan: np.ndarray
    f: np.ndarray
    g: np.ndarray
    value: float
    """A bound above ``W(A)``, tight where the marginals are met."""

    @cached_property
    def moments(self) -> np.ndarray:
        """The gradient of ``W``."""
        return self.model.features.moments(self.plan)

    def curvature(self, chosen: np.ndarray) -> np.ndarray:
        r"""The block of the Hessian of ``W`` of some features.

        It is :math:`\varepsilon^{-1}` times the covariance under the coupling of what is left of the
        features once the best sums of a function of ``x`` and one of ``y`` are taken off.
        """
        rows, columns = self.model.features.sums(self.plan, chosen)
        u, v = self._fitted(rows, columns)
        H = self.model.features.products(self.plan, chosen) - rows.T @ u - columns.T @ v
        return np.asarray((H + H.T) / (2 * self.model.eps))

    def curve(self, direction: np.ndarray) -> np.ndarray:
        """The Hessian of ``W`` times a direction."""
        weighted = self.plan * self.model.features.combine(direction)
        u, v = self._fitted(weighted.sum(axis=1)[:, None], weighted.sum(axis=0)[:, None])
        weighted -= self.plan * (u + v.T)
        return self.model.features.moments(weighted) / self.model.eps

    def _fitted(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        factor, lifted = self._factor
        from scipy.linalg import cho_solve

        v = cho_solve(factor, columns - lifted.T @ rows, check_finite=False)
        u = rows / self.plan.sum(axis=1)[:, None] - lifted @ v
        return u, v

    @cached_property
    def _factor(self) -> tuple[tuple[np.ndarray, bool], np.ndarray]:
        from scipy.linalg import cho_factor

        P = self.plan
        b = P.sum(axis=0)
        lifted = P / P.sum(axis=1)[:, None]
        # A constant moves freely between the two functions; the last term pins it.
        S = np.diag(b * (1 + 1e-13)) - P.T @ lifted + np.outer(b, b) / b.sum()
        return cho_factor(S, lower=True, overwrite_a=True, check_finite=False), lifted

    def lower_bound(self, target: CouplingTarget, lam: np.ndarray) -> float:
        """The dual value at the coupling mixed with the observed one until its moments are feasible."""
        model = self.model
        plan = rounded(self.plan, model.a, model.b)
        share = mixture(model.features.moments(plan) - target.moments, lam)
        if share > 0:
            plan = (1 - share) * plan + share * target.plan
        return -model.divergence(plan)


@dataclass(frozen=True)
class CouplingTarget:
    """What was observed: a coupling and its moments."""

    plan: np.ndarray
    moments: np.ndarray
