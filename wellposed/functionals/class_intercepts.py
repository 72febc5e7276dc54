"""The cross-entropy with free intercepts: the smallest loss over one constant per class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.multinomial import MultinomialLoss, softmax

NEWTON_STEPS = 100

HALVINGS = 40
"""Times that a Newton step is halved at most."""

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
        """The best constants, which add up to 0: Newton's method with steps that decrease the loss."""
        c = np.zeros(u.shape[-1])
        value = self.loss(u)
        for _ in range(NEWTON_STEPS):
            here = u + _like(c, u)
            slopes = self.loss.gradient(here)
            total, size = _sums(slopes), _sums(arrays.namespace(u).abs(slopes)).sum()
            if np.abs(total).max() <= arrays.epsilon(u) * size:
                break
            step = np.linalg.pinv(self._bend(here), hermitian=True) @ total
            step, new = self._shortened(u, c, step, value)
            if not step.any():
                break
            c, value = c - step, new
        return _like(c - c.mean(), u)

    def _shortened(self, u: Array, c: np.ndarray, step: np.ndarray, value: float) -> tuple[np.ndarray, float]:
        """The step, halved until the loss falls up to rounding, and the loss after it."""
        noise = 4 * arrays.epsilon(u) * abs(value)
        for _ in range(HALVINGS):
            new = self.loss(u + _like(c - step, u))
            if new <= value + noise:
                return step, new
            step = step / 2
        return 0 * step, value

    def _bend(self, u: Array) -> np.ndarray:
        """Second derivatives along the constants."""
        return _products(self.expected(u), softmax(u))

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
        return _like(np.linalg.pinv(self._bend(u), hermitian=True) @ total, u)

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
            a = _like(np.linalg.pinv(_products(h, p), hermitian=True) @ _sums(y), y)
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


def _rows(y: Array) -> Array:
    """One row per sample, in double precision."""
    xp = arrays.namespace(y)
    return xp.astype(xp.reshape(y, (-1, y.shape[-1])), xp.float64)


def _like(c: np.ndarray, u: Array) -> Array:
    """Constants of the kind and precision of ``u``."""
    return arrays.namespace(u).astype(arrays.from_numpy(c, u), u.dtype)
