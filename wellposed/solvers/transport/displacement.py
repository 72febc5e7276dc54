"""Maps of sparse displacements: entropic transport for a cost with a penalty on each displacement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional
from wellposed.functionals.calculus import Zero, peel
from wellposed.functionals.rows import row_prox, row_subgradients, row_values
from wellposed.solvers.transport.data import check_positive
from wellposed.solvers.transport.entropic import entropic
from wellposed.solvers.transport.result import TransportResult

CHUNK = 4_000_000
"""Numbers that a block of displacements may have."""
DEFAULT_EPS = 0.05
"""Over the mean cost."""


@dataclass(frozen=True, eq=False)
class ElasticMap:
    r"""The entropic map of an elastic cost; call it with points, those of the sources or new ones.

    .. math:: T(y) = y + \operatorname{prox}_\tau\Big(\sum_j p_j(y)\, \nabla h(x_j - y)\Big), \qquad
        p_j(y) \propto b_j \exp\big((g_j - h(x_j - y)) / \varepsilon\big)

    Parameters
    ----------
    targets : array of shape (m, dimensions)
    penalty : Functional
        The penalty :math:`\tau` of a displacement.
    eps : float
    result : TransportResult
        The plan between the points given, with its potentials and its duality gap.
    log_weights : array of shape (m,)
        Logarithms of the weights of the targets.
    """

    targets: np.ndarray = field(repr=False)
    penalty: Functional
    eps: float
    result: TransportResult = field(repr=False)
    log_weights: np.ndarray = field(repr=False)

    def displacement(self, points: Array) -> Array:
        """What is added to each point; entries that the penalty cuts off are exactly 0.

        Parameters
        ----------
        points : array of shape (points, dimensions)

        Returns
        -------
        array of the shape, kind and dtype of ``points``
        """
        y, like = checked_points(points, "points", self.targets.shape[1])
        potential = np.asarray(arrays.numpy_view(self.result.g), dtype=np.float64)
        moved = np.empty_like(y)
        for block, z in displacements(y, self.targets):
            exponent = (potential - elastic_values(self.penalty, z)) / self.eps + self.log_weights
            exponent -= exponent.max(axis=1, keepdims=True)
            p = np.exp(exponent)
            p /= p.sum(axis=1, keepdims=True)
            slopes = z + row_subgradients(self.penalty, z)
            moved[block] = row_prox(self.penalty, np.einsum("ij,ijk->ik", p, slopes))
        return as_given(moved, like)

    def __call__(self, points: Array) -> Array:
        """The images of ``points``, an array of shape (points, dimensions)."""
        return arrays.as_floating(points, "points") + self.displacement(points)


def elastic_map(
    source: Array,
    target: Array,
    penalty: Functional | None = None,
    *,
    eps: float | None = None,
    a: Any = None,
    b: Any = None,
    tol: float = 1e-9,
    max_iter: int = 10_000,
) -> ElasticMap:
    r"""Map with sparse displacements, from entropic transport for an elastic cost.

    .. math:: h(z) = \tfrac12 \|z\|_2^2 + \tau(z)

    Parameters
    ----------
    source, target : array of shape (points, dimensions)
        Points ``y`` that are moved, and points ``x`` where they go.
    penalty : Functional, optional
        :math:`\tau`, such as ``2.0 * wp.L1()``, ``wp.STVS(0.5)``, ``wp.SmoothedL0()`` or
        ``wp.SparseEnvelope(k)``: with a proximal map and a subgradient, of one displacement or a sum over its
        entries. A penalty that is not convex needs a ``weak_convexity`` of at most 1, weight included,
        so that ``h`` is convex. Default: none, for the usual entropic map.
    eps : float, optional
        Positive, in units of ``h``; by default a twentieth of the mean cost.
    a, b : array, optional
        Weights of the sources and of the targets, as for `exact`.
    tol, max_iter
        As for `entropic`.

    Returns
    -------
    ElasticMap
        ``map(points)``, ``map.displacement(points)`` and ``map.result`` with its duality gap.

    Raises
    ------
    ValueError
        If shapes do not fit, points are not finite, or ``h`` is not convex.
    TypeError
        If the penalty is no functional, or has no proximal map or subgradient.

    Notes
    -----
    The certificate is that of the plan between the given points for this ``eps``; the map follows from its
    potentials in closed form. Where two points agree in a coordinate, the subgradient 0 is taken there. Costs
    and maps are computed in blocks: memory is that of the plan, not of all displacements. An entry of the
    displacement is 0 where the targets that a point goes to lie on both sides of it: a small shift in which
    all agree is kept.
    Source: M. Cuturi, M. Klein and P. Ablin, Monge, Bregman and Occam: interpretable optimal transport in
    high dimensions with feature-sparse maps, 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> source, target = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[4.0, 0.3], [4.0, -0.3]])
    >>> move = wp.transport.elastic_map(source, target, 0.5 * wp.L1(), eps=0.1)
    >>> move(np.array([[0.0, 0.0], [1.0, 0.1]])).round(3)
    array([[4. , 0. ],
           [4. , 0.1]])
    >>> move.result.certificate.relative < 1e-6
    True
    """
    penalty = elastic_penalty(penalty)
    y, like = checked_points(source, "source")
    x, _ = checked_points(target, "target", y.shape[1])
    row_subgradients(penalty, y[:1])
    cost = np.empty((len(y), len(x)))
    for block, z in displacements(y, x):
        cost[block] = elastic_values(penalty, z)
    if eps is None:
        mean = float(cost.mean())
        eps = DEFAULT_EPS * mean if mean > 0 else 1.0
    eps = check_positive(eps, "eps")
    result = entropic(as_given(cost, like), a, b, eps=eps, tol=tol, max_iter=max_iter)
    with np.errstate(divide="ignore"):
        weights = np.log(np.full(len(x), 1.0) if b is None else np.asarray(b, dtype=np.float64))
    return ElasticMap(x, penalty, eps, result, weights)


def elastic_penalty(penalty: Functional | None) -> Functional:
    """A penalty with which the elastic cost is convex, or a clear error."""
    if penalty is None:
        return Zero()
    if not isinstance(penalty, Functional):
        raise TypeError(f"penalty must be a functional such as 2.0 * wp.L1(), got {type(penalty).__name__}")
    if not penalty.traits.prox:
        raise TypeError(f"{penalty} has no proximal map, which the map of an elastic cost needs")
    if not penalty.traits.convex:
        weight, inner = peel(penalty)
        lack = weight * getattr(inner, "weak_convexity", np.inf)
        if not lack <= 1:
            raise ValueError(
                f"with {penalty} the cost |z|^2/2 + tau(z) is not convex: tau lacks {lack:.3g} to convexity, "
                "and at most 1 is allowed; lower its weight or widen its scale"
            )
    return penalty


def elastic_values(penalty: Functional, z: np.ndarray) -> np.ndarray:
    """The elastic cost of each displacement along the last axis."""
    return np.asarray(0.5 * np.einsum("...k,...k->...", z, z) + row_values(penalty, z))


def displacements(y: np.ndarray, x: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """All differences ``x_j - y_i`` in blocks of ``i`` that fit in memory."""
    step = max(1, CHUNK // max(x.size, 1))
    for start in range(0, len(y), step):
        block = slice(start, start + step)
        yield block, x - y[block, None]


def checked_points(points: Array, name: str, dimensions: int | None = None) -> tuple[np.ndarray, Array]:
    """Points on the host in double precision, and as they came."""
    like = arrays.as_floating(points, name)
    if len(like.shape) != 2 or 0 in like.shape or (dimensions is not None and like.shape[1] != dimensions):
        wanted = "dimensions" if dimensions is None else dimensions
        raise ValueError(f"{name} must have shape (points, {wanted}), got {tuple(like.shape)}")
    arrays.check_finite(like, name)
    return np.ascontiguousarray(arrays.numpy_view(like), dtype=np.float64), like


def as_given(values: np.ndarray, like: Array) -> Array:
    """An array of the kind and dtype of ``like``."""
    return arrays.namespace(like).astype(arrays.from_numpy(values, like), like.dtype, copy=False)
