r"""Convex potentials that are networks, and the maps that are their gradients.

.. math:: h_1 = \ell(A_0 y + b_0)^2, \qquad h_{k+1} = \ell(A_k y + b_k + W_k h_k), \qquad
    g(y) = \tfrac{c}{2} \|y\|^2 + \langle s, y\rangle + \langle w, h_L\rangle

with :math:`\ell(t) = \max(t, t/5)`. With ``W``, ``w`` and ``c`` at least 0 the potential is convex, so that
its gradient is a monotone map. (B. Amos, L. Xu and Z. Kolter, Input convex neural networks, 2017.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array

LEAK = 0.2
STARTS = ("identity", "uniform")

Weights = dict[str, Any]


@dataclass(frozen=True)
class ConvexNetwork:
    """A convex potential of points in units of ``unit`` about ``centre``; weights by name, of any library."""

    weights: Weights
    centre: Array
    unit: float

    @property
    def layers(self) -> int:
        """How many hidden layers there are."""
        return sum(name.startswith("A") for name in self.weights)

    def potential(self, y: Array) -> Array:
        """The value for each of the points, which are in units of the network."""
        xp, w = arrays.namespace(y), self.weights
        value = 0.5 * w["curvature"] * xp.sum(y * y, axis=-1) + y @ w["shift"]
        inputs = self._inputs(y)
        return value + _hidden(inputs[-1], len(inputs) == 1) @ w["last"] if inputs else value

    def gradient(self, y: Array) -> Array:
        """The gradient at each of the points, in units of the network: the chain rule written out."""
        w = self.weights
        total = w["curvature"] * y + w["shift"]
        inputs = self._inputs(y)
        slope = w["last"] if inputs else None
        for k in reversed(range(len(inputs))):
            slope = slope * _hidden_slope(inputs[k], k == 0)
            total = total + slope @ w[f"A{k}"]
            if k:
                slope = slope @ w[f"W{k}"]
        return total

    def _inputs(self, y: Array) -> list[Array]:
        """What goes into each hidden layer."""
        w = self.weights
        inputs: list[Array] = []
        for k in range(self.layers):
            value = y @ w[f"A{k}"].T + w[f"b{k}"]
            inputs.append(value + _hidden(inputs[-1], k == 1) @ w[f"W{k}"].T if k else value)
        return inputs

    def map(self, points: Array) -> Array:
        """The images of points in the user's units."""
        return self.centre + self.unit * self.gradient((points - self.centre) / self.unit)


def initial_weights(
    dimensions: int, hidden: tuple[int, ...], rng: np.random.Generator, start: str
) -> dict[str, np.ndarray]:
    """Weights of a map that is the identity, or those of the paper: ``A`` and ``W`` uniform in 0 to 0.1."""
    weights: dict[str, np.ndarray] = {}
    uniform = start == "uniform"
    for k, size in enumerate(hidden):
        if uniform:
            weights[f"A{k}"] = rng.uniform(0, 0.1, (size, dimensions))
        else:
            weights[f"A{k}"] = rng.standard_normal((size, dimensions)) / np.sqrt(dimensions)
        weights[f"b{k}"] = np.zeros(size) if uniform else rng.uniform(-1, 1, size)
        if k:
            largest = 0.1 if uniform else 2 / hidden[k - 1]
            weights[f"W{k}"] = rng.uniform(0, largest, (size, hidden[k - 1]))
    weights["shift"] = rng.uniform(0, 0.1, dimensions) if uniform else np.zeros(dimensions)
    if hidden:
        weights["last"] = rng.uniform(0, 0.1, hidden[-1]) if uniform else np.zeros(hidden[-1])
    weights["curvature"] = np.asarray(0.0 if uniform else 1.0)
    return weights


def must_not_be_negative(name: str) -> bool:
    """Whether the potential is convex only if this weight is at least 0."""
    return name[0] == "W" or name in ("last", "curvature")


def _leaky(t: Array) -> Array:
    return arrays.namespace(t).maximum(t, LEAK * t)


def _leaky_slope(t: Array) -> Array:
    xp = arrays.namespace(t)
    return LEAK + (1 - LEAK) * xp.astype(t > 0, t.dtype)


def _hidden(t: Array, first: bool) -> Array:
    """The activation; squared in the first layer."""
    return _leaky(t) ** 2 if first else _leaky(t)


def _hidden_slope(t: Array, first: bool) -> Array:
    return 2 * _leaky(t) * _leaky_slope(t) if first else _leaky_slope(t)
