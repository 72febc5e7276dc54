"""Maps of sparse displacements that are gradients of convex networks; training needs PyTorch, maps do not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import Zero
from wellposed.functionals.rows import row_subgradients
from wellposed.solvers.transport.data import check_positive
from wellposed.solvers.transport.displacement import as_given, checked_points
from wellposed.solvers.transport.displacement_network import STARTS, ConvexNetwork, initial_weights
from wellposed.solvers.transport.displacement_run import MEASURED_POINTS, NeuralMapRecord, Run, some_points
from wellposed.solvers.transport.displacement_training import (
    MinimaxTraining,
    SinkhornTraining,
    Training,
    TrainingData,
)
from wellposed.solvers.transport.displacement_weight import (
    AnnealedWeight,
    ConstantWeight,
    DimensionTarget,
    WeightRule,
)
from wellposed.solvers.transport.divergence import half_squares

DEFAULT_EPS = 0.25
"""Over the mean half squared distance of two targets."""


@dataclass(frozen=True, eq=False)
class NeuralMap:
    r"""The gradient of a convex network; call it with points, those of the training or new ones.

    Parameters
    ----------
    network : ConvexNetwork
    lam : float
        Weight of the penalty with which the training ended.
    status : {"finished", "target missed", "stopped", "interrupted"}
    history : tuple of NeuralMapRecord

    Notes
    -----
    Monotone, :math:`\langle T(y) - T(z), y - z\rangle \ge 0`, and an optimal map between the points and their
    images. How near the images are to the targets is measured, not certified: see `sinkhorn_divergence`.
    """

    network: ConvexNetwork
    lam: float
    status: str
    history: tuple[NeuralMapRecord, ...] = field(repr=False)

    def __call__(self, points: Array) -> Array:
        """The images of ``points``, an array of shape (points, dimensions)."""
        y, like = checked_points(points, "points", len(self.network.centre))
        return as_given(self.network.map(y), like)

    def displacement(self, points: Array) -> Array:
        """What is added to each of the points."""
        return self(points) - arrays.as_floating(points, "points")

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a file of safetensors."""
        from safetensors.numpy import save_file

        net = self.network
        tensors = {name: np.array(value, order="C") for name, value in net.weights.items()}
        about = json.dumps({"unit": net.unit, "lam": self.lam, "status": self.status})
        save_file({**tensors, "centre": np.array(net.centre, order="C")}, path, {"wellposed": about})

    @staticmethod
    def load(path: str | PathLike[str]) -> NeuralMap:
        """Read a map written by `save`; its history is empty."""
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            about = (file.metadata() or {}).get("wellposed")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about is None or "centre" not in tensors:
            raise ValueError(f"{path} holds no map: it was not written by NeuralMap.save")
        said = json.loads(about)
        centre = tensors.pop("centre")
        return NeuralMap(ConvexNetwork(tensors, centre, said["unit"]), said["lam"], said["status"], ())


def neural_map(
    source: Array,
    target: Array,
    penalty: Functional | None = None,
    lam: float | AnnealedWeight | DimensionTarget = 0.0,
    *,
    method: str = "sinkhorn",
    eps: float | None = None,
    hidden: tuple[int, ...] = (64, 64, 64, 64),
    iterations: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    inner_steps: int = 10,
    start: str = "identity",
    threshold: float = 1.0,
    seed: int = 0,
    callback: Callable[[NeuralMapRecord], Any] | None = None,
    progress: bool | None = None,
) -> NeuralMap:
    r"""Train a monotone map with sparse displacements, the gradient of a convex network.

    .. math:: \min_g\; S_\varepsilon\big((\nabla g)_\# Q,\, P\big)
        + \lambda\, \mathbb{E}_Q\, \tau(\nabla g(y) - y)

    Parameters
    ----------
    source, target : array of shape (points, dimensions)
        Samples of ``Q``, which is moved, and of ``P``.
    penalty : Functional, optional
        :math:`\tau`, of one displacement or a sum over its entries: ``wp.SmoothedL0()``, ``wp.L1()``,
        ``wp.STVS()``, ``wp.SparseEnvelope(k)``, or another one with a subgradient.
    lam : float or AnnealedWeight or DimensionTarget
        Weight of the *mean* penalty of a displacement, or how it is found. The code of the paper sums over a
        batch of 128 points instead: its weight times 128 is this one, in units of half squared distances.
    method : {"sinkhorn", "minimax"}
        ``"sinkhorn"`` minimises the formula above. ``"minimax"`` is the game of the paper:
        :math:`\sup_f \inf_g -E_P f - E_Q[\langle y, \nabla g\rangle - f(\nabla g)] + \lambda E_Q\, \tau`.
    eps : float, optional
        Of the divergence; by default a quarter of the mean half squared distance of two targets.
        Smaller values follow the samples more closely, and in many dimensions their noise: images contract.
    hidden : tuple of int
        Widths of the hidden layers; with none the map is a shift and a dilation.
    iterations : int, optional
        Steps of training for a constant ``lam``: 1000, and 80000 for the game. The first quarter is without
        the penalty, and the learning rate falls to 0 over the last half. The rules have their own numbers.
    batch : int, optional
        Points of a step: 512, and 128 for the game.
    learning_rate : float, optional
        Of Adam, whose averages decay by 0.5 and 0.9: 0.01, and 0.0001 for the game.
    inner_steps : int
        Steps of ``g`` for each of ``f`` in the game.
    start : {"identity", "uniform"}
        The map before training: the identity, or that of weights uniform in 0 to 0.1 as in the paper.
    threshold : float
        Size, in units of the points, above which an entry of a displacement counts.
    seed : int
        Of the first weights, the batches and the trials of a rule.
    callback : callable, optional
        Called with a `NeuralMapRecord` after each stage; ``False`` stops.
    progress : bool, optional
        Lines on standard error; by default in a terminal only.

    Returns
    -------
    NeuralMap

    Raises
    ------
    ValueError
        If shapes do not fit, points are not finite, or an option is out of range.
    TypeError
        If the penalty is no functional or has no subgradient.
    ImportError
        If PyTorch is not installed: ``pip install wellposed[torch]``.

    Warns
    -----
    ConvergenceWarning
        If a `DimensionTarget` is missed.

    Notes
    -----
    At a saddle of the game the penalty has no say in shifts: for every :math:`\lambda` the opponent sees to
    it that no convex function has a larger mean over images than over targets, so that their means agree.
    Sparsity comes from what that leaves free, and from an opponent that is stopped early or too weak. The
    divergence plus penalty has a minimum that depends on :math:`\lambda` as intended: for shifts ``b`` of
    samples whose means differ by ``m`` the divergence is :math:`\|b - m\|^2 / 2` plus a constant, and so
    :math:`b = \operatorname{prox}_{\lambda \tau}(m)`. Hence the default.

    Both players have a quadratic term beside the layers of the paper, so that the training can start from the
    identity, and both are kept convex after each step (the paper's code only penalises negative weights of
    ``g``). Networks see the points in units of the spread of the sources. Computed in the precision of
    ``source``; on one machine a seed gives one map.
    Sources: P. L. Chen, Y. Xie and Q. Zhang, Displacement-sparse neural optimal transport, 2025; A. Makkuva,
    A. Taghvaei, S. Oh and J. Lee, Optimal transport mapping via input convex neural networks, 2020.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> y = np.random.default_rng(0).standard_normal((50, 3))
    >>> x = y + np.array([3.0, 0.1, -0.1])
    >>> move = wp.transport.neural_map(y, x, wp.SmoothedL0(0.5), 1.0, hidden=(), iterations=500)
    >>> np.abs(move.displacement(y).mean(axis=0).round(1))
    array([3., 0., 0.])
    """
    check_positive(threshold, "threshold")
    data = _data(source, target, penalty, batch, method, seed)
    rule = _rule(lam, iterations, method)
    training = _training(data, method, hidden, start, eps, learning_rate, inner_steps)
    run = Run(data, rule, training, threshold, callback, progress)
    weight, status = run.go()
    return NeuralMap(training.player.frozen(), weight, status, tuple(run.history))


# --- from arguments ------------------------------------------------------------------------------


def _data(
    source: Array, target: Array, penalty: Functional | None, batch: int | None, method: str, seed: int
) -> TrainingData:
    if method not in DEFAULTS:
        raise ValueError(f"method must be 'sinkhorn' or 'minimax', got {method!r}")
    y, like = checked_points(source, "source")
    x, _ = checked_points(target, "target", y.shape[1])
    if penalty is not None and not isinstance(penalty, Functional):
        raise TypeError(f"penalty must be a functional such as wp.L1(), got {type(penalty).__name__}")
    penalty = Zero() if penalty is None else penalty
    row_subgradients(penalty, y[:1])
    size = DEFAULTS[method].batch if batch is None else batch
    if size < 1:
        raise ValueError(f"batch must be at least 1, got {size}")
    dtype = np.float32 if arrays.epsilon(like) > 1e-10 else np.float64
    return TrainingData(y.astype(dtype), x.astype(dtype), penalty, int(size), np.random.default_rng(seed))


def _rule(lam: Any, iterations: int | None, method: str) -> WeightRule:
    if isinstance(lam, AnnealedWeight | DimensionTarget):
        if iterations is not None:
            raise ValueError(f"{type(lam).__name__} has its own numbers of steps: leave iterations out")
        return lam
    count = DEFAULTS[method].iterations if iterations is None else iterations
    if count < 1:
        raise ValueError(f"iterations must be at least 1, got {count}")
    weight = float(lam)
    if not 0 <= weight < math.inf:
        raise ValueError(f"lam must be a finite number of at least 0, or a rule, got {lam}")
    return ConstantWeight(weight, count)


def _training(
    data: TrainingData,
    method: str,
    hidden: tuple[int, ...],
    start: str,
    eps: float | None,
    learning_rate: float | None,
    inner_steps: int,
) -> Training:
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}")
    if min(hidden, default=1) < 1 or inner_steps < 1:
        raise ValueError(f"widths and inner_steps must be at least 1, got {hidden} and {inner_steps}")
    rate = DEFAULTS[method].learning_rate if learning_rate is None else learning_rate
    check_positive(rate, "learning_rate")
    centre = data.source.mean(axis=0, dtype=np.float64).astype(data.source.dtype)
    unit = float(data.source.std(axis=0, dtype=np.float64).mean()) or 1.0

    def network() -> ConvexNetwork:
        weights = initial_weights(len(centre), tuple(hidden), data.rng, start)
        return ConvexNetwork({k: v.astype(centre.dtype) for k, v in weights.items()}, centre, unit)

    if method == "minimax":
        return MinimaxTraining(data, network(), network(), rate, inner_steps)
    if eps is None:
        some = some_points(data.target, MEASURED_POINTS)
        eps = DEFAULT_EPS * float(half_squares(some, some).mean()) or unit**2
    return SinkhornTraining(data, network(), rate, check_positive(eps, "eps"))


@dataclass(frozen=True)
class _Defaults:
    iterations: int
    batch: int
    learning_rate: float


DEFAULTS = {"sinkhorn": _Defaults(1000, 512, 1e-2), "minimax": _Defaults(80_000, 128, 1e-4)}
