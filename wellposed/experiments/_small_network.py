"""A network of one hidden layer for small images of digits, trained by proximal stochastic gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellposed.functionals._base import Functional


@dataclass(frozen=True)
class Digits:
    """Images of digits in three parts: to train on, to choose weights by, to test on."""

    parts: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def load(cls, seed: int) -> Digits:
        """Shuffled; 60 % to train on, 20 % each for the others; pixels in [0, 1]."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng([seed, 11]).permutation(len(labels))
        ends = (np.array([0.6, 0.8]) * len(labels)).astype(int)
        names = ("train", "choose", "test")
        return cls(
            {n: (images[k] / 16.0, labels[k]) for n, k in zip(names, np.split(order, ends), strict=True)}
        )


@dataclass
class Network:
    """One hidden layer of rectified neurons, whose incoming weights are the rows of ``W``."""

    W: np.ndarray
    b: np.ndarray
    V: np.ndarray
    c: np.ndarray

    @classmethod
    def start(
        cls, rng: np.random.Generator, inputs: int = 64, hidden: int = 64, classes: int = 10
    ) -> Network:
        """Gaussian weights of the usual size."""
        return cls(
            rng.standard_normal((hidden, inputs)) * np.sqrt(2 / inputs),
            np.zeros(hidden),
            rng.standard_normal((classes, hidden)) * np.sqrt(1 / hidden),
            np.zeros(classes),
        )

    def scores(self, x: np.ndarray) -> np.ndarray:
        """One row for each image."""
        scores: np.ndarray = np.maximum(x @ self.W.T + self.b, 0.0) @ self.V.T + self.c
        return scores

    def loss_and_gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Mean cross entropy, and its gradients in the order of the fields."""
        before = x @ self.W.T + self.b
        hidden = np.maximum(before, 0.0)
        scores = hidden @ self.V.T + self.c
        scores = scores - scores.max(axis=1, keepdims=True)
        logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        own = np.arange(len(y))
        error = np.exp(logs)
        error[own, y] -= 1.0
        error /= len(y)
        back = (error @ self.V) * (before > 0)
        gradients = [back.T @ x, back.sum(axis=0), error.T @ hidden, error.sum(axis=0)]
        return -float(logs[own, y].mean()), gradients

    def accuracy(self, data: tuple[np.ndarray, np.ndarray]) -> float:
        """Share of images whose largest score is that of their label."""
        x, y = data
        return float(np.mean(self.scores(x).argmax(axis=1) == y))

    @property
    def sizes(self) -> np.ndarray:
        """Norms of the incoming weights of the neurons."""
        norms: np.ndarray = np.linalg.norm(self.W, axis=1)
        return norms

    def keeping(self, count: int) -> Network:
        """The network with its largest neurons only; of the others remains the value at black images."""
        kept = np.sort(np.argsort(-self.sizes, kind="stable")[:count])
        gone = np.setdiff1d(np.arange(len(self.b)), kept)
        constant = self.V[:, gone] @ np.maximum(self.b[gone], 0.0)
        return Network(self.W[kept], self.b[kept], self.V[:, kept], self.c + constant)


def train(data: Digits, penalty: Functional, weight: float, epochs: int, seed: int) -> Network:
    """Proximal stochastic gradients: steps of 0.2 on batches of 50, then the proximal map for ``W``."""
    rng = np.random.default_rng([seed, 12])
    network, step = Network.start(rng), 0.2
    x, y = data.parts["train"]
    for _ in range(epochs):
        for batch in np.array_split(rng.permutation(len(y)), len(y) // 50):
            _, (W, b, V, c) = network.loss_and_gradients(x[batch], y[batch])
            network.W = penalty.prox(network.W - step * W, step * weight)
            network.b, network.V, network.c = network.b - step * b, network.V - step * V, network.c - step * c
    return network
