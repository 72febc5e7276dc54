r"""What is added to the cost of a plan: values, and conjugates over plans that are not negative."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Regulariser(Protocol):
    """A convex function of plans."""

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        """The value at a plan with the sums ``a`` and ``b``."""

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        """The dual value at the potentials: a lower bound of the minimum."""

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        """Potentials of columns for given ones of rows, also of columns of weight 0."""

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        """How large values are at plans far from the best; 0 if values are nowhere 0."""


@dataclass(frozen=True)
class Nothing:
    """No regulariser: the linear programme."""

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return 0.0

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        excess = float((f[:, None] + g - cost).max())
        size = float(np.abs(f).max() + np.abs(g).max() + np.abs(cost).max())
        if excess > 8 * np.finfo(np.float64).eps * size:
            return -math.inf
        return float(f @ a + g @ b)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        return np.asarray((cost - f[:, None]).min(axis=0))

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        return 0.0

    def __str__(self) -> str:
        return "exact"


@dataclass(frozen=True)
class Entropic:
    r""":math:`\varepsilon\, \mathrm{KL}(P\,|\,a b^T / M) = \varepsilon \sum P \log(P M / (a b^T))`."""

    eps: float

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        reference = np.outer(a, b / a.sum())
        positive = plan > 0
        ratio = np.divide(plan, reference, out=np.ones_like(plan), where=positive)
        np.log(ratio, out=ratio)
        divergence = float(np.einsum("ij,ij->", plan, ratio))
        return self.eps * (divergence - float(plan.sum()) + float(a.sum()))

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        plan = (f[:, None] + g - cost) / self.eps
        with np.errstate(over="ignore"):
            np.exp(plan, out=plan)
        mass = float(a.sum())
        return float(f @ a + g @ b) - self.eps * (float(a @ plan @ b) / mass - mass)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        exponent = (f[:, None] - cost) / self.eps
        top = exponent.max(axis=0)
        sums = (a / a.sum()) @ np.exp(exponent - top)
        return np.asarray(-self.eps * (np.log(sums) + top))

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        return self.eps * float(a.sum())

    def __str__(self) -> str:
        return f"entropic, eps = {self.eps:g}"


@dataclass(frozen=True)
class Quadratic:
    r""":math:`\tfrac{\mathrm{reg}}{2} \|P\|_F^2`."""

    reg: float

    def value(self, plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return 0.5 * self.reg * float(np.einsum("ij,ij->", plan, plan))

    def bound(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray, g: np.ndarray) -> float:
        slack = np.maximum(f[:, None] + g - cost, 0.0)
        return float(f @ a + g @ b) - float(np.einsum("ij,ij->", slack, slack)) / (2 * self.reg)

    def best_g(self, cost: np.ndarray, a: np.ndarray, b: np.ndarray, f: np.ndarray) -> np.ndarray:
        from wellposed.functionals.semidual import QuadraticColumns

        turned = np.ascontiguousarray(cost.T)
        return QuadraticColumns(self.reg).columns(turned, a, b, f, np.zeros_like(b)).g

    def size(self, a: np.ndarray, b: np.ndarray) -> float:
        return 0.0

    def __str__(self) -> str:
        return f"quadratic, reg = {self.reg:g}"
