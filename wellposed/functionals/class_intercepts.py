"""The cross-entropy with free intercepts: the smallest loss over one constant per class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.multinomial import MultinomialLoss, softmax

STEPS = 200

ROUNDING = 64.0
"""Rounding errors of the gradient below which it need not get shorter, and of a value that is no worse."""

BALANCE = 64.0
"""Rounding errors of the sums over the samples, in units of the precision, that a dual point may have."""

REPAIRS = 3
"""Steps at most from a dual point to one that is balanced."""


@dataclass(frozen=True, eq=False)
class ClassIntercepts(Functional):
    r"""The least cross-entropy over one constant per class added to the scores.

    .. math:: f(u) = \min_{c} \; \ell(u + 1 c^T)

    What `MultinomialLoss` with ``intercept=True`` is made of.

    Parameters
    ----------
    loss : MultinomialLoss
        Of the scores themselves, with some weight on each class, so that the minimum is attained.

    Notes
    -----
    The gradient is that of the loss at the best constants, where it adds up to 0 over the samples for each
    class. The conjugate is that of the loss on such points, and infinite elsewhere.
    """

    loss: MultinomialLoss

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=self.loss.traits.lipschitz, prox=False)

    @property
    def shape(self) -> Shape | None:
        return self.loss.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return self.loss.data

    def best(self, u: Array) -> Array:
        """The best constants, which add up to 0: Newton's method within a radius that grows with success."""
        if (known := self._latest.get("scores")) is not None and bool(arrays.namespace(u).all(u == known[0])):
            return known[1]
        c, radius = np.zeros(u.shape[-1]), 1.0
        p, total, floor = self._balance(u, c)
        value = self.loss(u)
        noise = ROUNDING * arrays.epsilon(u) * abs(value)
        for _ in range(STEPS):
            size = float(np.linalg.norm(total))
            if size <= floor:
                break
            new = c - _solved(_products(self.loss._each(u) * p, p), total, size / radius)
            if (reached := self.loss(u + _like(new, u))) > value + noise:
                radius /= 8
                continue
            p, total, floor = self._balance(u, new)
            if np.linalg.norm(total) >= size and size <= ROUNDING * floor:
                break
            c, value, radius = new, reached, 4 * radius
        best = _like(c - c.mean(), u)
        self._latest["scores"] = (arrays.namespace(u).asarray(u, copy=True), best)
        return best

    @cached_property
    def _latest(self) -> dict[str, tuple[Array, Array]]:
        """The latest scores, and their constants: value, gradient and curvature are asked for together."""
        return {}

    def _balance(self, u: Array, c: np.ndarray) -> tuple[Array, np.ndarray, float]:
        """Probabilities at constants ``c``, the gradient along these, and its rounding."""
        p = softmax(u + _like(c, u))
        slopes = self.loss._each(u) * (p - self.loss.b)
        return p, _sums(slopes), arrays.epsilon(u) * arrays.total(arrays.namespace(u).abs(slopes))

    def expected(self, u: Array) -> Array:
        """The weighted probabilities of the classes at scores ``u``."""
        return self.loss._each(u) * softmax(u)

    def __call__(self, x: Array) -> float:
        return self.loss(x + self.best(x))

    def gradient(self, x: Array) -> Array:
        return self.project_dual(self.loss.gradient(x + self.best(x)))

    def curvature(self, x: Array) -> Array:
        """`expected` at the best constants."""
        return self.expected(x + self.best(x))

    def hessian_product(self, x: Array, v: Array) -> Array:
        u = x + self.best(x)
        return self.loss.hessian_product(u, v - self._follow(u, v))

    def _follow(self, u: Array, v: Array) -> Array:
        """How the best constants fall as the scores move along ``v``."""
        total = _sums(self.loss.hessian_product(u, v))
        return _like(_solved(_products(self.expected(u), softmax(u)), total), u)

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return self.loss.parameter_gradient(x + self.best(x))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        u = x + self.best(x)
        return self.loss.parameter_product(u, v - self._follow(u, v))

    # --- the conjugate: that of the loss on points that add up to 0 over the samples ---------------

    def _conjugate(self, y: Array) -> float:
        return self.loss._conjugate(y) if self._balanced(y) else np.inf

    def dual_scale(self, y: Array) -> float:
        return self.loss.dual_scale(y) if self._balanced(y) else 0.0

    def _balanced(self, y: Array) -> bool:
        size = arrays.total(arrays.namespace(y).abs(y))
        return bool(np.abs(_sums(y)).max() <= BALANCE * arrays.epsilon(y) * size)

    def project_dual(self, y: Array) -> Array:
        """A point of the domain near ``y``: a Newton step in probabilities; 0 where that leads outside."""
        y = self.loss.project_dual(y)
        xp = arrays.namespace(y)
        for _ in range(REPAIRS):
            size = arrays.total(xp.abs(y))
            if np.abs(_sums(y)).max() <= 0.25 * BALANCE * arrays.epsilon(y) * size:
                return y
            p = xp.clip(self.loss._probabilities_at(y)[0], 0.0, None)
            h = self.loss._each(y) * p
            a = _like(_solved(_products(h, p), _sums(y)), y)
            y = self.loss.project_dual(y - h * (a - xp.sum(p * a, axis=-1, keepdims=True)))
        return y if self._balanced(y) else 0.0 * y

    def __str__(self) -> str:
        return f"{self.loss} with free intercepts"


def _sums(y: Array) -> np.ndarray:
    """Sums over the samples, in double precision."""
    xp = arrays.namespace(y)
    return arrays.to_numpy(xp.sum(_rows(y), axis=0))


def _products(h: Array, p: Array) -> np.ndarray:
    """The curvature of the loss along the constants, from (weighted) probabilities."""
    h, p = _rows(h), _rows(p)
    return np.asarray(np.diag(_sums(h)) - arrays.to_numpy(h.T @ p))


def _solved(bend: np.ndarray, total: np.ndarray, more: float = 0.0) -> np.ndarray:
    """The constants that change sums over the samples by ``total``; adding to all of them changes nothing."""
    bend = bend + np.trace(bend) / len(bend) ** 2 + more * np.eye(len(bend))
    try:
        return np.linalg.solve(bend, total)
    except np.linalg.LinAlgError:
        return np.asarray(np.linalg.pinv(bend, hermitian=True) @ total)


def _rows(y: Array) -> Array:
    """One row per sample, in double precision."""
    xp = arrays.namespace(y)
    return xp.astype(xp.reshape(y, (-1, y.shape[-1])), xp.float64)


def _like(c: np.ndarray, u: Array) -> Array:
    """Constants of the kind and precision of ``u``."""
    return arrays.namespace(u).astype(arrays.from_numpy(c, u), u.dtype)
