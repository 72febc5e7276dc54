r"""Empirical Bayes: variances of prior and noise from the training data alone, by closed-form updates.

The lower level is ``precision * LeastSquares(A, y) + weight * SquaredL2()``. It is read as linear regression
with noise of variance ``v`` and weights of prior variance ``l``; its minimiser is the mean of

.. math:: q = N(\bar w, \Sigma), \qquad
          J_\kappa = E_q[\log p(y | w)] - \tfrac1\kappa \mathrm{KL}(q \| p)

which is maximised over ``q``, ``l`` and ``v`` in turn, each exactly, so that it never decreases:

.. math::
    \bar w = \Big(A^T A + \frac{v}{\kappa l} I\Big)^{-1} A^T y, \quad
    \Sigma^{-1} = \frac{\kappa}{v} A^T A + \frac1l I, \quad
    l = \frac{\mathrm{tr} \Sigma + \|\bar w\|^2}{R}, \quad
    v = \frac{\|y - A \bar w\|^2 + \mathrm{tr}(A \Sigma A^T)}{N}

For a diagonal :math:`\Sigma` the matrix ``A^T A`` is replaced by its diagonal, for a multiple of the
identity by its mean diagonal. With ``kappa = 1`` and any :math:`\Sigma` this is the EM method for the
evidence, which the bound then equals. With ``kappa > 1`` it is the data-emphasised bound of E. Harvey, M.
Petrov and M. C. Hughes, Learning hyperparameters via a data-emphasized variational objective, 2025: without
it the coarser families underfit where there are many more weights ``R`` than data ``N``.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass

import numpy as np

from wellposed import arrays
from wellposed.solvers.bilevel.elbo_model import Model
from wellposed.solvers.bilevel.evidence import FAMILIES
from wellposed.solvers.bilevel.method import State, Step, at_least, positive
from wellposed.solvers.bilevel.training import Training

LEAST = 1e-200
"""A variance below which arithmetic ends."""


@dataclass
class Memory:
    """The variances so far."""

    prior: float
    noise: float
    model: InitVar[Model]

    def __post_init__(self, model: Model) -> None:
        self.known = model


@dataclass(frozen=True)
class Elbo:
    """The method; see the module. ``wp.learn(lower, method="elbo")`` takes no loss.

    The weight of `SquaredL2` must be a `Parameter`; that of `LeastSquares` may be one. If it is, its
    value is ``1 / v`` and the other's ``1 / (kappa l)``; left out of ``parameters`` it states a known
    noise. If it is none, ``v`` is found too, and the weight is what gives the same minimiser.
    ``SquaredL2().shifted(mu)`` sets the centre of the prior. Examples share both variances. The loss in
    the history is ``-J`` per example, a step is ``sweeps`` updates of everything.

    Parameters
    ----------
    family : {"full", "diag", "iso"}
        The covariances that are allowed.
    emphasis : float, optional
        ``kappa``; by default 1 for ``"full"`` and ``max(1, R / N)`` for the others.
    change : float
        Stop when a sweep changes no variance by more than this part of it.
    sweeps : int
    noise : float, optional
        First ``v`` where it is no parameter; by default a tenth of the mean square of the data.
    eps : float
        Accuracy of minimisers for validation pairs.
    """

    family: str = "full"
    emphasis: float | None = None
    change: float = 1e-8
    sweeps: int = 100
    noise: float | None = None
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise ValueError(f"family must be one of {', '.join(FAMILIES)}, got {self.family!r}")
        positive(self.change, "change")
        positive(self.eps, "eps")
        for name in ("emphasis", "noise"):
            if getattr(self, name) is not None:
                positive(getattr(self, name), name)
        at_least(self.sweeps, "sweeps", 1)

    @property
    def name(self) -> str:
        """``"elbo"``."""
        return "elbo"

    @property
    def descends(self) -> bool:
        """True: no update decreases the bound."""
        return True

    def memory(self, training: Training, state: State) -> Memory:
        """The variances that the values of the parameters stand for."""
        model = Model.of(training, self.family, self.emphasis)
        return Memory(*model.variances(state.t, self.noise), model)

    def start(self, training: Training, state: State, memory: Memory) -> Step:
        """The bound at the start."""
        model = memory.known
        m = model.evidence.posterior(memory.prior, memory.noise)
        self._tell(training, state, memory)
        return Step(self._loss(model, model.evidence.bound(m, memory.prior, memory.noise)), self.eps)

    def step(self, training: Training, state: State, memory: Memory) -> Step:
        """Some sweeps of updates."""
        model = memory.known
        status = ""
        for _ in range(self.sweeps):
            before = np.log([memory.prior, memory.noise])
            m = model.evidence.posterior(memory.prior, memory.noise)
            memory.prior = model.prior_within(model.evidence.best_prior(m), memory.noise)
            memory.noise = model.noise_within(model.evidence.best_noise(m), memory.prior, memory.noise)
            state.lower += len(training.pairs)
            if not min(memory.prior, memory.noise) > LEAST:
                raise ValueError(
                    f"the variances of prior and noise went to {memory.prior:g} and {memory.noise:g}: "
                    "the data are 0, or fitted without error; give the parameters bounds"
                )
            if np.max(np.abs(np.log([memory.prior, memory.noise]) - before)) <= self.change:
                status = "converged"
                break
        m = model.evidence.posterior(memory.prior, memory.noise)
        self._tell(training, state, memory)
        loss = self._loss(model, model.evidence.bound(m, memory.prior, memory.noise))
        return Step(loss, self.eps, certified=True, status=status)

    def _loss(self, model: Model, bound: float) -> float:
        return -bound / len(model.evidence.examples)

    def _tell(self, training: Training, state: State, memory: Memory) -> None:
        """The values of the parameters and the means of the posteriors."""
        model = memory.known
        state.t = training.vector.project(model.vector(training, memory.prior, memory.noise))
        ridge = model.evidence.ridge(memory.prior, memory.noise)
        for k, (pair, e) in enumerate(zip(training.pairs, model.evidence.examples, strict=True)):
            like = pair.lower.like
            mean = model.centres[k] + e.mean(ridge)
            host = mean.reshape(pair.lower.shape).astype(arrays.to_host(like).dtype)
            state.x[k] = arrays.from_host(host, like=like)
