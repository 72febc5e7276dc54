"""Sequential attention with a network: a softmax mask on the inputs learns which comes next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wellposed.experiments._small_network import Digits, Network

BATCH = 50
RATE = 1e-3
WARM_UP = 0.1
"""Part of the training before the mask, all ones until then, is learned."""


class Adam:
    """Steps for a list of arrays, which are changed in place."""

    def __init__(self, variables: list[np.ndarray], rate: float = RATE):
        self.variables, self.rate, self.count = variables, rate, 0
        self.first = [np.zeros_like(v) for v in variables]
        self.second = [np.zeros_like(v) for v in variables]

    def step(self, gradients: list[np.ndarray]) -> None:
        """One step, with the usual constants."""
        self.count += 1
        for v, g, m, s in zip(self.variables, gradients, self.first, self.second, strict=True):
            m += 0.1 * (g - m)
            s += 1e-3 * (g**2 - s)
            v -= self.rate * (m / (1 - 0.9**self.count)) / (np.sqrt(s / (1 - 0.999**self.count)) + 1e-8)


def mask_of(logits: np.ndarray, chosen: list[int]) -> np.ndarray:
    """1 at what is chosen, a softmax over the others."""
    weights = logits.copy()
    weights[chosen] = -np.inf
    mask: np.ndarray = np.exp(weights - weights.max())
    mask /= mask.sum()
    mask[chosen] = 1.0
    return mask


def logit_gradient(mask: np.ndarray, chosen: list[int], slope: np.ndarray) -> np.ndarray:
    """From the gradient for the mask to that for the logits."""
    open_mask = mask.copy()
    open_mask[chosen] = 0.0
    gradient: np.ndarray = open_mask * (slope - open_mask @ slope)
    return gradient


def masked_loss(
    network: Network, logits: np.ndarray, chosen: list[int], x: np.ndarray, y: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """The loss of the network on masked inputs; gradients for its fields, and for the logits."""
    mask = mask_of(logits, chosen)
    # A mask on the inputs is one on the columns of the first layer.
    seen = Network(network.W * mask, network.b, network.V, network.c)
    loss, (W, b, V, c) = seen.loss_and_gradients(x, y)
    return loss, [W * mask, b, V, c, logit_gradient(mask, chosen, np.sum(W * network.W, axis=0))]


def attention_order(data: Digits, count: int, epochs: int, seed: int) -> list[int]:
    """Inputs in the order in which sequential attention takes them, in one training."""
    rng = np.random.default_rng([seed, 21])
    x, y = data.parts["train"]
    network, logits = Network.start(rng, x.shape[1]), _fresh(rng, x.shape[1])
    chosen: list[int] = []
    weights = [network.W, network.b, network.V, network.c]
    adam, looker = Adam(weights), Adam([logits])
    batches = list(_batches(len(y), epochs, rng))
    warm = round(WARM_UP * len(batches))
    ends = np.linspace(warm, len(batches), count + 1)[1:].round()
    for step, batch in enumerate(batches, start=1):
        if step <= warm:
            adam.step(network.loss_and_gradients(x[batch], y[batch])[1])
            continue
        *own, slope = masked_loss(network, logits, chosen, x[batch], y[batch])[1]
        adam.step(own)
        looker.step([slope])
        if step >= ends[len(chosen)]:
            open_logits = logits.copy()
            open_logits[chosen] = -np.inf
            chosen.append(int(np.argmax(open_logits)))
            if len(chosen) == count:
                break
            logits[...] = _fresh(rng, len(logits))
            looker = Adam([logits])
    return chosen


def retrained(data: Digits, kept: list[int], epochs: int, seed: int) -> float:
    """Test accuracy of a network that is trained on these inputs alone."""
    rng = np.random.default_rng([seed, 22])
    x, y = data.parts["train"]
    network = Network.start(rng, len(kept))
    adam = Adam([network.W, network.b, network.V, network.c])
    for batch in _batches(len(y), epochs, rng):
        adam.step(network.loss_and_gradients(x[batch][:, kept], y[batch])[1])
    tests, labels = data.parts["test"]
    return network.accuracy((tests[:, kept], labels))


def _fresh(rng: np.random.Generator, count: int) -> np.ndarray:
    return 1e-5 * rng.standard_normal(count)


def _batches(count: int, epochs: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(epochs):
        yield from np.array_split(rng.permutation(count), max(count // BATCH, 1))
