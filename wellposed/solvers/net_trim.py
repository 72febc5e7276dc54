"""`net_trim`: the sparsest weights, in L1 norm, that keep a layer of a network within a given error."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wellposed import arrays
from wellposed.functionals.censored import CensoredLeastSquares
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import positive
from wellposed.operators.matrix_product import MatrixProduct
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import Certificate, ConvergenceWarning, Result

ACTIVE = 1e-6
"""Output from which on a unit counts as active, as in the paper's program."""

ROUNDS = ((0.1, 5.0), (1e-2, 1.3), (1e-3, 1.1), (1e-4, 1.03))
"""Gap of the penalised problems, as a part of the wanted gap, and the first step of the search in each round.

The error of a solution is known less well than its value, so a search may end beside the right weight."""

SEARCH = 30
"""Weights that are tried at most in each round."""


@dataclass(frozen=True, eq=False)
class PrunedLayer:
    """The outcome of `net_trim`.

    Parameters
    ----------
    weights : array of shape (inputs, units)
        Many entries are exactly 0.
    error : float
        An upper bound of the Euclidean error of the outputs on the samples; at most ``allowed``.
    allowed : float
    weight : float
        The multiplier of the L1 norm for which ``weights`` minimise error plus L1 norm.
    certificate : Certificate
        The L1 norm of ``weights``, and a lower bound of that of any weights within the allowed error.
    converged : bool
        Whether the certificate reached the tolerance.
    """

    weights: np.ndarray
    error: float
    allowed: float
    weight: float
    certificate: Certificate
    converged: bool

    @property
    def kept(self) -> float:
        """The share of the weights that are not 0."""
        return float(np.mean(self.weights != 0))


def net_trim(
    inputs: np.ndarray,
    weights: np.ndarray,
    gain: float = 0.1,
    activation: Literal["relu", "linear"] = "relu",
    *,
    outputs: np.ndarray | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
) -> PrunedLayer:
    r"""Prune one layer of a network: the least L1 norm of weights that keep its outputs on samples.

    .. math:: \min_W \|W\|_{1} \quad\text{with}\quad
              \sum_{(i,k) \in \Omega} (x_i^\top W_k - y_{ik})^2
              + \sum_{(i,k) \notin \Omega} \max(x_i^\top W_k, 0)^2 \le \epsilon^2

    Here :math:`\Omega` is where the outputs ``y`` are positive; where a rectified unit is silent, its input
    may be anything below 0.

    Parameters
    ----------
    inputs : array of shape (samples, inputs)
        ``x``. For biases append a column of ones, and to the weights the row of biases.
    weights : array of shape (inputs, units)
        Those of the trained network.
    gain : float
        :math:`\epsilon = \text{gain} \cdot \|y\|`, in (0, 1).
    activation : {"relu", "linear"}
        Linear for the last layer: then all outputs count.
    outputs : array of shape (samples, units), optional
        ``y``, if they are not those of ``weights`` on ``inputs``: for a cascade, in which the inputs come
        from the layers that are pruned already.
    tol : float
        The relative gap between the L1 norm and its lower bound.
    max_iter : int, optional
        Iterations of each penalised problem.

    Returns
    -------
    PrunedLayer

    Raises
    ------
    ValueError
        If shapes do not fit, data are not finite, ``gain`` is out of range, all outputs are 0, or no weights
        reach the allowed error.

    Warns
    -----
    ConvergenceWarning
        If the gap does not reach ``tol``.

    Notes
    -----
    The constraint bounds the error of the outputs: :math:`\|\max(X W, 0) - Y\| \le \epsilon`. It is solved by
    `minimize` as :math:`\tfrac12 E(W) + \lambda \|W\|_1`, with `CensoredLeastSquares`, and a search for
    :math:`\lambda`. With a lower bound ``L`` of that minimum, no feasible weights have a norm below
    :math:`(L - \epsilon^2 / 2) / \lambda`: the certificate. The paper's program asks for inputs of at most 0
    of all silent units instead, and for the error :math:`\epsilon` of the others; its solution is feasible
    here, so that the norm here is at most as large.
    Source: A. Aghasi, A. Abdi and J. Romberg, Fast convex pruning of deep neural networks, SIAM J. Math. Data
    Sci. 2020.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> rng = np.random.default_rng(0)
    >>> X, W = rng.standard_normal((100, 8)), rng.standard_normal((8, 3))
    >>> layer = wp.net_trim(X, W, gain=0.2)
    >>> layer.error <= layer.allowed, bool(layer.certificate.primal < np.abs(W).sum())
    (True, True)
    """
    task = _Task.checked(inputs, weights, gain, activation, outputs, tol, max_iter)
    found = _search(task)
    if not found.converged:
        warnings.warn(
            f"net_trim: the gap is {found.certificate.relative:.2g}, tol = {tol:g} was asked for: raise "
            "max_iter or tol",
            ConvergenceWarning,
            stacklevel=2,
        )
    return found


@dataclass(frozen=True, eq=False)
class _Task:
    """The constraint as a function, and what is wanted of the search."""

    fit: CensoredLeastSquares
    allowed: float
    first: np.ndarray
    tol: float
    max_iter: int | None

    @classmethod
    def checked(
        cls,
        inputs: np.ndarray,
        weights: np.ndarray,
        gain: float,
        activation: str,
        outputs: np.ndarray | None,
        tol: float,
        max_iter: int | None,
    ) -> _Task:
        """The task, or an error that says what is wrong with it."""
        X, W = arrays.as_floating(inputs, "inputs"), arrays.as_floating(weights, "weights")
        if X.ndim != 2 or W.ndim != 2 or X.shape[1] != W.shape[0]:
            raise ValueError(
                "inputs need shape (samples, inputs) and weights (inputs, units): "
                f"got {X.shape} and {W.shape}"
            )
        arrays.check_finite(X, "inputs")
        arrays.check_finite(W, "weights")
        if activation not in ("relu", "linear"):
            raise ValueError(f"activation is 'relu' or 'linear', got {activation!r}")
        if not 0 < gain < 1:
            raise ValueError(f"gain must be between 0 and 1, got {gain!r}")
        positive(tol, "tol")
        Y = X @ W if outputs is None else arrays.as_namespace(outputs, X, "outputs")
        if Y.shape != (len(X), W.shape[1]):
            raise ValueError(f"outputs have shape {Y.shape}, expected {(len(X), W.shape[1])}")
        silent = Y <= ACTIVE if activation == "relu" else np.zeros(Y.shape, dtype=bool)
        Y = np.where(silent, np.zeros_like(Y), Y)
        size = arrays.norm(Y)
        if size == 0:
            raise ValueError("all outputs are 0: weights of 0 keep them")
        fit = CensoredLeastSquares(MatrixProduct(X, W.shape[1]), Y, silent)
        return cls(fit, gain * size, W, float(tol), max_iter)

    def solve(self, weight: float, start: np.ndarray | Result, inner: float) -> Result:
        """The penalised problem."""
        with warnings.catch_warnings():
            # What an early stop costs is part of the certificate.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return minimize(
                self.fit + weight * L1(),
                x0=start,
                tol=inner * self.tol,
                max_iter=self.max_iter,
                progress=False,
            )

    def judged(self, weight: float, result: Result) -> PrunedLayer:
        """The layer with its certificate."""
        size = float(np.abs(result.x).sum(dtype=np.float64))
        error = math.sqrt(2 * self.fit(result.x))
        bound = max((result.certificate.lower_bound - 0.5 * self.allowed**2) / weight, 0.0)
        gap = max(size - bound, 0.0)
        note = f"by the penalised problem at {weight:.4g}"
        certificate = Certificate("duality gap", gap, size, size, bound, note)
        good = error <= self.allowed and certificate.relative <= self.tol
        return PrunedLayer(result.x, error, self.allowed, weight, certificate, good)


def _search(task: _Task) -> PrunedLayer:
    """The largest weight whose error is allowed: the error grows with the weight."""
    top = float(np.abs(task.fit.gradient(np.zeros_like(task.first))).max())
    weight, best = 0.1 * top, None
    start: np.ndarray | Result = task.first
    for inner, stretch in ROUNDS:
        low, high = 0.0, math.inf
        errors: dict[float, float] = {}
        for _ in range(SEARCH):
            start = task.solve(weight, start, inner)
            layer = task.judged(weight, start)
            errors[weight] = layer.error
            if layer.error <= task.allowed:
                low = weight
                if best is None or layer.certificate.value < best.certificate.value:
                    best = layer
                if layer.converged:
                    return layer
            else:
                high = weight
            if weight < 1e-9 * top or high <= low * (1 + 1e-3 * task.tol):
                break
            weight = _next(errors, low, high, task.allowed, stretch)
    if best is None:
        raise ValueError(
            f"no weights were found with an error of at most {task.allowed:.3g}: raise gain, or give outputs "
            "that the inputs can produce"
        )
    return best


def _next(errors: dict[float, float], low: float, high: float, allowed: float, stretch: float) -> float:
    """A weight between the two bounds: where the logarithm of the error, interpolated, is just allowed."""
    if low == 0:
        return high / stretch
    if math.isinf(high):
        return low * stretch
    x0, x1 = math.log(low), math.log(high)
    e0, e1 = math.log(max(errors[low], 1e-300)), math.log(errors[high])
    part = (math.log(allowed * (1 - 1e-4)) - e0) / (e1 - e0) if e1 > e0 else 0.5
    return math.exp(x0 + min(max(part, 0.05), 0.95) * (x1 - x0))
