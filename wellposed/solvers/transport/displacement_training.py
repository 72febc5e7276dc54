r"""How the potential of a map is trained in PyTorch: by the Sinkhorn divergence, or as one of two players.

Penalties are functionals: their subgradients are computed on the host and handed to PyTorch as constants, and
so is the gradient of the divergence.
"""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.functionals._base import Functional
from wellposed.functionals.rows import row_subgradients
from wellposed.solvers.transport.displacement_network import ConvexNetwork, Weights, must_not_be_negative
from wellposed.solvers.transport.divergence import DivergenceSteps

BETAS = (0.5, 0.9)


@dataclass(frozen=True)
class TrainingData:
    """Points, how many of them are looked at in a step, and the chance that picks them."""

    source: np.ndarray
    target: np.ndarray
    penalty: Functional
    batch: int
    rng: np.random.Generator

    @property
    def whole(self) -> bool:
        """Whether each step looks at all points."""
        return self.batch >= max(len(self.source), len(self.target))

    def draw(self) -> tuple[np.ndarray, np.ndarray]:
        """Points of the sources and of the targets."""
        return self._some(self.source), self._some(self.target)

    def _some(self, points: np.ndarray) -> np.ndarray:
        if self.batch >= len(points):
            return points
        return points[self.rng.choice(len(points), self.batch, replace=False)]


class Player:
    """A potential with its optimiser."""

    def __init__(self, network: ConvexNetwork, learning_rate: float, dtype: np.dtype[Any]) -> None:
        torch = _torch()
        self._start = network
        self.weights: Weights = {
            name: torch.tensor(value.astype(dtype)).requires_grad_()
            for name, value in network.weights.items()
        }
        self.network = ConvexNetwork(self.weights, torch.tensor(network.centre.astype(dtype)), network.unit)
        self._learning_rate = learning_rate
        self._optimiser = torch.optim.Adam(list(self.weights.values()), lr=learning_rate, betas=BETAS)

    def tensor(self, points: np.ndarray) -> Any:
        """Points as a tensor in units of the network."""
        torch = _torch()
        return (
            torch.tensor(points, dtype=self.network.centre.dtype) - self.network.centre
        ) / self.network.unit

    def points(self, tensor: Any) -> np.ndarray:
        """A tensor in units of the network as points."""
        net = self.network
        return np.asarray((net.centre + net.unit * tensor.detach()).numpy(), dtype=np.float64)

    def descend(self, loss: Any, rate: float) -> None:
        """One step, after which the potential is convex again."""
        self._optimiser.param_groups[0]["lr"] = rate * self._learning_rate
        self._optimiser.zero_grad()
        loss.backward(inputs=list(self.weights.values()))
        self._optimiser.step()
        with _torch().no_grad():
            for name, value in self.weights.items():
                if must_not_be_negative(name):
                    value.clamp_(min=0)

    def snapshot(self) -> Any:
        """What it takes to come back to this point."""
        weights = {name: value.detach().clone() for name, value in self.weights.items()}
        return weights, copy.deepcopy(self._optimiser.state_dict())

    def restore(self, snapshot: Any) -> None:
        """Come back to the point of a snapshot."""
        weights, state = snapshot
        with _torch().no_grad():
            for name, value in self.weights.items():
                value.copy_(weights[name])
        self._optimiser.load_state_dict(copy.deepcopy(state))

    def frozen(self) -> ConvexNetwork:
        """The network with weights on the host."""
        weights = {name: value.detach().numpy().copy() for name, value in self.weights.items()}
        return ConvexNetwork(weights, self._start.centre, self._start.unit)


class SinkhornTraining:
    r"""Descent on :math:`S_\varepsilon(T_\# Q, P) + \lambda\, E_Q\, \tau(T(y) - y)`."""

    def __init__(self, data: TrainingData, network: ConvexNetwork, learning_rate: float, eps: float) -> None:
        self._data = data
        self.player = Player(network, learning_rate, data.source.dtype)
        self._divergence = DivergenceSteps(eps)

    def step(self, lam: float, rate: float = 1.0) -> None:
        """One step of Adam."""
        y, x = self._data.draw()
        inside = self.player.tensor(y)
        images = self.player.network.gradient(inside)
        moved = self.player.points(images)
        pull = self._divergence.gradient(moved, np.asarray(x, dtype=np.float64), self._data.whole)
        if lam > 0:
            pull = pull + lam / len(y) * row_subgradients(self._data.penalty, moved - y)
        self.player.descend((images * _like(pull / self.player.network.unit, images)).sum(), rate)

    def snapshot(self) -> Any:
        """What it takes to come back to this point."""
        return self.player.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Come back to the point of a snapshot."""
        self.player.restore(snapshot)


class MinimaxTraining:
    r"""Two players, and the map :math:`T = \nabla g`.

    .. math:: \sup_f \inf_g -E_P f(x) - E_Q[\langle y, T(y)\rangle - f(T(y))] + \lambda\, E_Q\, \tau(T(y) - y)
    """

    def __init__(
        self,
        data: TrainingData,
        network: ConvexNetwork,
        opponent: ConvexNetwork,
        learning_rate: float,
        inner_steps: int,
    ) -> None:
        self._data = data
        self.player = Player(network, learning_rate, data.source.dtype)
        self.opponent = Player(opponent, learning_rate, data.source.dtype)
        self._inner_steps = inner_steps

    def step(self, lam: float, rate: float = 1.0) -> None:
        """Some steps of the map, then one of its opponent."""
        unit = self.player.network.unit
        for _ in range(self._inner_steps):
            y, x = self._data.draw()
            inside = self.player.tensor(y)
            images = self.player.network.gradient(inside)
            loss = (self.opponent.network.potential(images) - (inside * images).sum(dim=1)).mean()
            if lam > 0:
                slopes = row_subgradients(self._data.penalty, self.player.points(images) - y)
                loss = loss + lam / (unit * len(y)) * (images * _like(slopes, images)).sum()
            self.player.descend(loss, rate)
        f, images = self.opponent.network, images.detach()
        self.opponent.descend(f.potential(self.player.tensor(x)).mean() - f.potential(images).mean(), rate)

    def snapshot(self) -> Any:
        """What it takes to come back to this point."""
        return self.player.snapshot(), self.opponent.snapshot()

    def restore(self, snapshot: Any) -> None:
        """Come back to the point of a snapshot."""
        mine, theirs = snapshot
        self.player.restore(mine)
        self.opponent.restore(theirs)


Training = SinkhornTraining | MinimaxTraining


def _like(values: np.ndarray, tensor: Any) -> Any:
    return _torch().tensor(values, dtype=tensor.dtype)


def _torch() -> Any:
    return importlib.import_module("torch")
