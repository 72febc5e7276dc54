r"""Self-tuning: minimisers of lower levels as affine functions of the parameters, learned on the way.

On the scale of learning, near the current vector ``t``, the minimiser is taken to be

.. math:: \hat x(t') = x_0 + V^T (t' - t)

Two kinds of steps take turns. Those of the response draw :math:`\epsilon \sim N(0, \mathrm{diag}
\sigma^2)` and descend along the mean of :math:`h(\hat x(t + \epsilon), t + \epsilon)` in ``(x_0, V)``,
``V`` on the scale of ``sigma``; with ``U`` the matrix of rows :math:`(1, \epsilon / \sigma)` of ``S``
draws, a step of :math:`1 / (L\, \lambda_{\max}(U^T U / S))` never increases that mean. Those of the
parameters descend (Adam) along

.. math:: \nabla_t \; E_\epsilon\, g(\hat x(t + \epsilon)) - \tau \sum_j \log \sigma_j

with the response fixed, and :math:`x_0` moves along with ``t``. Where ``sigma`` is not tuned,
:math:`\epsilon = 0` here. Neither Hessians nor derivatives along parameters are needed. For a lower level
that is jointly quadratic the response is exact, for any ``sigma``. M. MacKay, P. Vicol, J. Lorraine, D.
Duvenaud and R. Grosse, Self-tuning networks: bilevel optimization of hyperparameters using structured
best-response functions, 2019; the affine response is theirs for a vector of weights (that of a network's
layer has gates).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.solvers.bilevel.method import State, Step, at_least, positive
from wellposed.solvers.bilevel.pair import Pair
from wellposed.solvers.bilevel.training import Training

LARGEST = 100_000_000
"""Entries of a response, up to which it is kept."""

DECAY, DECAY_OF_SQUARES, FLOOR = 0.9, 0.999, 1e-8
"""Of Adam."""


@dataclass
class Memory:
    """The responses and what the steps carry along.

    ``response[k]`` has the rows ``x_0, V_1, V_2, ...`` of pair ``k``; ``velocity`` has the same shape.
    """

    response: list[Array]
    velocity: list[Array]
    raw: np.ndarray  # softplus of it is sigma
    first: np.ndarray  # Adam's mean of the derivatives along t and along raw
    second: np.ndarray  # and of their squares
    count: int = 0

    @property
    def sigma(self) -> np.ndarray:
        """Standard deviations of the perturbations."""
        sigma: np.ndarray = np.logaddexp(0.0, self.raw)
        return sigma


@dataclass(frozen=True)
class SelfTuning:
    """The method; see the module. For smooth lower levels, convex or not, and few parameters.

    An iteration is ``rounds`` turns. The loss in the history is that of the response, not of a minimiser;
    nothing is proven, and ``tol`` does not end a run. Pairs are worked on in this process.

    Parameters
    ----------
    rate : float
        Adam's rate for the parameters, on the scale of learning.
    scale : float
        First ``sigma`` of all parameters: how far around the current values the response is to be right.
    entropy : float, optional
        ``tau``: tune ``sigma`` too. By default it stays.
    draws : int
        Perturbations in one step, rounded up to a multiple of twice the number of parameters.
    inner : int
        Steps of the response in a turn.
    momentum : float
        Of these steps.
    response_rate : float, optional
        Their length, where the Lipschitz constant of the lower level is not known (or to override it).
    warmup : int
        Steps of the response before the parameters move.
    rounds : int
    seed : int
        Of the draws.
    eps : float
        Accuracy of minimisers for validation pairs.
    """

    rate: float = 0.03
    scale: float = 0.5
    entropy: float | None = None
    draws: int = 2
    inner: int = 2
    momentum: float = 0.9
    response_rate: float | None = None
    warmup: int = 100
    rounds: int = 20
    seed: int = 0
    eps: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("rate", "scale", "eps"):
            positive(getattr(self, name), name)
        for name in ("entropy", "response_rate"):
            if getattr(self, name) is not None:
                positive(getattr(self, name), name)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {self.momentum!r}")
        for name, least in (("draws", 2), ("inner", 1), ("warmup", 0), ("rounds", 1), ("seed", 0)):
            at_least(getattr(self, name), name, least)

    @property
    def name(self) -> str:
        """``"self-tuning"``."""
        return "self-tuning"

    @property
    def descends(self) -> bool:
        """True: the last vector is handed back."""
        return True

    def memory(self, training: Training, state: State) -> Memory:
        """A response that does not depend on the parameters."""
        n = training.vector.size
        if training.workers != 1 or training.client is not None:
            raise ValueError("method 'self-tuning' works in this process: leave workers and client out")
        response = []
        for pair in training.pairs:
            size = math.prod(pair.lower.shape)
            if (n + 1) * size > LARGEST:
                raise ValueError(
                    f"pair {pair.number}: a response of {size} numbers to {n} parameters is too large "
                    "to keep: take 'maid' or 'hoag'"
                )
            if pair.lower.at(training.vector.values(state.t)).simple is not None:
                raise TypeError(
                    f"pair {pair.number}: method 'self-tuning' takes smooth lower levels, "
                    f"not {pair.lower.objective}: smooth its terms, or take 'maid'"
                )
            response.append(arrays.zeros((n + 1, size), pair.lower.like))
            response[-1][0, :] = arrays.namespace(pair.lower.like).reshape(pair.lower.like, (-1,))
        raw = np.full(n, math.log(math.expm1(self.scale)))
        return Memory(response, [0.0 * r for r in response], raw, np.zeros(2 * n), np.zeros(2 * n))

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """Warm up the response."""
        rng = np.random.default_rng([self.seed, 0, 0])
        for _ in range(self.warmup):
            self._train(training, state, memory, rng)
        state.x[:] = [_at(memory, pair) for pair in training.pairs]
        return Step(self._loss(training, state, memory), self.eps)

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """Some turns."""
        rng = np.random.default_rng([self.seed, 1, state.iteration])
        slope = np.zeros(training.vector.size)
        before = state.t
        for _ in range(self.rounds):
            for _ in range(self.inner):
                self._train(training, state, memory, rng)
            slope = self._tune(training, state, memory, rng)
        state.x[:] = [_at(memory, pair) for pair in training.pairs]
        moved, size = float(np.linalg.norm(state.t - before)), float(np.linalg.norm(slope))
        length = moved / size if size > 0 else 0.0
        return Step(self._loss(training, state, memory), self.eps, step=length, slope=size)

    # --- the response -------------------------------------------------------------------------

    def _train(self, training: Training, state: State, memory: Memory, rng: np.random.Generator) -> None:
        """One step of all responses along the mean over draws."""
        draws = _draws(training, state, memory, rng, self.draws)
        scaled = np.hstack([np.ones((len(draws), 1)), draws / memory.sigma])
        widest = float(np.linalg.norm(scaled, 2)) ** 2 / len(draws)
        # Rows of the response, from gradients at the draws; V is preconditioned by sigma^2.
        back = scaled.T / len(draws)
        back[1:] /= memory.sigma[:, None]
        values = [training.vector.values(state.t + e) for e in draws]
        shared: list[dict[int, Functional]] = [{} for _ in values]
        for pair in training.pairs:
            gradients, L = [], 0.0
            places = _places(memory, pair, draws)
            for k, v in enumerate(values):
                at = pair.lower.fresh(v, {p: v[p] for p in v if p in pair.lower.names}, shared[k])
                gradients.append(at.gradient(places[k]).reshape(-1))
                L = max(L, at.L) if self.response_rate is None else L
            G = arrays.namespace(places[0]).stack(gradients)
            length = self.response_rate or self._length(pair, L) / widest
            change = arrays.from_host(_like(back, G), like=G) @ G
            memory.velocity[pair.number] = self.momentum * memory.velocity[pair.number] - length * change
            memory.response[pair.number] = memory.response[pair.number] + memory.velocity[pair.number]
            if not math.isfinite(arrays.norm(memory.response[pair.number])):
                raise ValueError(
                    f"pair {pair.number}: the response is not finite: "
                    "take a smaller response_rate or momentum"
                )
        state.lower += len(draws) * len(training.pairs)

    def _length(self, pair: Pair, L: float) -> float:
        if math.isinf(L):
            raise ValueError(
                f"pair {pair.number}: no Lipschitz constant of the gradient of {pair.lower.objective} "
                "is known: give response_rate, the length of the steps of the response"
            )
        return 1 / L

    # --- the parameters -----------------------------------------------------------------------

    def _tune(self, training: Training, state: State, memory: Memory, rng: np.random.Generator) -> np.ndarray:
        """One step of the parameters (and of sigma); the derivative along the parameters."""
        n = training.vector.size
        tuned = self.entropy is not None
        draws = _draws(training, state, memory, rng, self.draws) if tuned else np.zeros((1, n))
        values = training.vector.values(state.t)
        slopes = np.zeros((len(draws), n))
        for pair in training.pairs:
            loss, V = pair.loss_at(values), memory.response[pair.number][1:, :]
            for k, x in enumerate(_places(memory, pair, draws)):
                slopes[k] += arrays.to_host(V @ loss.gradient(x).reshape(-1))
                if pair.loss_names.intersection(training.vector.names):
                    inside = training.vector.pack(loss.parameter_gradient(x))
                    slopes[k] += training.vector.slopes(state.t) * inside
        slopes /= len(training.pairs)
        along = np.zeros(2 * n)
        along[:n] = slopes.mean(axis=0)
        if self.entropy is not None:
            of_sigma = (draws / memory.sigma * slopes).mean(axis=0) - self.entropy / memory.sigma
            along[n:] = of_sigma * (1 - np.exp(-memory.sigma))  # the derivative of softplus
        if not np.all(np.isfinite(along)):
            raise ValueError("the derivative of the loss at the response is not finite: start elsewhere")
        change = self._adam(memory, along)
        new = training.vector.project(state.t + change[:n])
        moved = new - state.t
        for pair in training.pairs:
            r = memory.response[pair.number]
            r[0, :] += arrays.from_host(_like(moved, r), like=r) @ r[1:, :]
        state.t = new
        if tuned:
            memory.raw = memory.raw + change[n:]
        return along[:n]

    def _adam(self, memory: Memory, along: np.ndarray) -> np.ndarray:
        memory.count += 1
        memory.first = DECAY * memory.first + (1 - DECAY) * along
        memory.second = DECAY_OF_SQUARES * memory.second + (1 - DECAY_OF_SQUARES) * along**2
        first = memory.first / (1 - DECAY**memory.count)
        second = memory.second / (1 - DECAY_OF_SQUARES**memory.count)
        step: np.ndarray = -self.rate * first / (np.sqrt(second) + FLOOR)
        return step

    def _loss(self, training: Training, state: State, memory: Memory) -> float:
        values = training.vector.values(state.t)
        losses = [pair.loss_at(values)(_at(memory, pair)) for pair in training.pairs]
        return math.fsum(losses) / len(losses)


def _draws(
    training: Training, state: State, memory: Memory, rng: np.random.Generator, count: int
) -> np.ndarray:
    """Perturbations in opposite pairs along random orthogonal directions, cut at the bounds.

    Their mean is 0 and their covariance that of ``sigma`` exactly, so that the curvature which the steps
    of the response meet does not change from step to step: momentum would diverge where it did.
    """
    n = training.vector.size
    blocks = []
    for _ in range(-(-count // (2 * n))):
        turned = np.linalg.qr(rng.standard_normal((n, n)))[0]
        blocks += [turned, -turned]
    noise = math.sqrt(n) * memory.sigma * np.vstack(blocks)
    cut: np.ndarray = training.vector.project(state.t + noise) - state.t
    return cut


def _at(memory: Memory, pair: Pair) -> Array:
    """A copy of the response at the current parameters."""
    row = memory.response[pair.number][0, :]
    return arrays.namespace(row).reshape(row, pair.lower.shape) + 0.0


def _places(memory: Memory, pair: Pair, draws: np.ndarray) -> list[Array]:
    """The response at each perturbation."""
    r = memory.response[pair.number]
    U = arrays.from_host(_like(np.hstack([np.ones((len(draws), 1)), draws]), r), like=r)
    rows = U @ r
    return [arrays.namespace(r).reshape(rows[k, :], pair.lower.shape) for k in range(len(draws))]


def _like(a: np.ndarray, r: Array) -> Any:
    """A host array in the precision of ``r``."""
    return a.astype(arrays.to_host(r[:1, :1]).dtype)
