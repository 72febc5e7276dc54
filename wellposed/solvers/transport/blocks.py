r"""Plans that are constant on blocks, and a dual point that proves them optimal where there is one.

With classes of points that are joined inside, and ``lam`` large enough, the optimal plan is constant on
blocks of classes. The dual vectors that prove it solve a Laplacian system: they carry the deviations of
the costs from their class means along the pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed.functionals.network_simplex import exact_transport
from wellposed.functionals.pairs import PairWeights
from wellposed.solvers.transport.class_penalty import Anchors, ClassPenalty
from wellposed.solvers.transport.data import check_transport
from wellposed.solvers.transport.weights import class_weights


def block_plan(
    cost: np.ndarray, a: np.ndarray, b: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The best plan with ``P_ij = Q_kl a_i b_j / (A_k B_l)`` for classes ``k`` of ``i`` and ``l`` of ``j``.

    Returns
    -------
    plan : array
    means : array
        The mean cost between the classes of each entry.
    """
    u, v = _members(rows), _members(columns)
    A, B = u.T @ a, v.T @ b
    mean = (u * a[:, None]).T @ cost @ (v * b[:, None]) / np.outer(A, B)
    Q = exact_transport(mean, A, B * (A.sum() / B.sum())).plan
    return np.outer(a, b) * (Q / np.outer(A, B))[np.ix_(rows, columns)], mean[np.ix_(rows, columns)]


def block_anchors(penalty: ClassPenalty, cost: np.ndarray, a: np.ndarray, b: np.ndarray) -> Anchors:
    """Duals that cancel the deviations of costs from their class means, as far as they are long enough."""
    left = np.zeros_like(cost)
    rest = cost - cost.mean(axis=1, keepdims=True)
    if penalty.rows is not None:
        left, rest = _cancel(penalty.rows, rest, a, penalty.lam)
    rest = rest - rest.mean(axis=0)
    right = np.zeros_like(cost)
    if penalty.columns is not None:
        right = _cancel(penalty.columns, np.ascontiguousarray(rest.T), b, penalty.lam)[0].T
    return Anchors(left, np.ascontiguousarray(right), 1.0, 1.0)


def _cancel(
    graph: PairWeights, cost: np.ndarray, weights: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """``u`` with ``lam s_i (L u)_i = mean_i - cost_i``, the means being those of classes; and the means."""
    labels = graph.components
    members = _members(labels)
    means = ((members * weights[:, None]).T @ cost / (members.T @ weights)[:, None])[labels]
    wanted = (means - cost) * (weights / (weights.mean() * lam))[:, None]
    u = np.zeros_like(cost)
    for k in range(labels.max() + 1):
        here = np.flatnonzero(labels == k)
        if len(here) > 1:
            u[here] = _laplacian_solve(graph.of_rows(here), wanted[here])
    return u, means


def _laplacian_solve(graph: PairWeights, wanted: np.ndarray) -> np.ndarray:
    """``u`` with ``L u = wanted`` on a connected graph, up to a common shift."""
    if graph.constant_norm is not None and graph.pairs == graph.count * (graph.count - 1) // 2:
        return wanted / graph.constant_norm
    from scipy.linalg import solve

    laplacian = -graph.dense
    degrees = graph.dense.sum(axis=1)
    laplacian[np.diag_indices(len(degrees))] += degrees
    laplacian += degrees.mean() / len(degrees)
    return np.asarray(solve(laplacian, wanted, assume_a="pos", check_finite=False))


def _members(labels: np.ndarray) -> np.ndarray:
    """One column per class, 1 where a row is in it."""
    return np.asarray((labels[:, None] == np.arange(labels.max() + 1)).astype(np.float64))


def recovery_bound(cost: Any, row_labels: Any, column_labels: Any, a: Any = None, b: Any = None) -> float:
    r"""The ``lam`` from which `sum_of_norms` with class weights is sure to give a plan of class blocks.

    .. math:: \lambda_0 = \max\Big(
        \max_a \max_{i,i' \in C_a} \frac{\|P(D_{i\cdot} - D_{i'\cdot})\|_2}{|C_a|},\;
        \max_b \max_{j,j' \in E_b} \frac{\|P(\bar D_{\cdot j} - \bar D_{\cdot j'})\|_2}{|E_b|}\Big)

    for equal weights; ``P`` subtracts the mean, and in the second term rows are replaced by their class
    means. For other weights the like bound for shares is computed.

    Parameters
    ----------
    cost : array of shape (n, m)
    row_labels, column_labels : array of int
        Classes of sources and of targets, as for `class_weights`.
    a, b : array, optional
        As for `exact`, all positive.

    Returns
    -------
    float
        Sufficient, and often twice to ten times what is needed.

    Notes
    -----
    Derived from the optimality conditions, after A. Rahbar, A. Panahi, M. H. Chehreghani, D. Dubhashi and
    H. Krim, Recovery bounds on class-based optimal transport, 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> cost = np.array([[0.0, 0.1, 1.0], [0.1, 0.0, 0.8], [1.0, 0.9, 0.0]])
    >>> wp.transport.recovery_bound(cost, [0, 0, 1], [0, 0, 1])
    0.108
    """
    data = check_transport(cost, a, b)
    if not data.whole:
        raise ValueError("recovery_bound needs positive weights: leave points of weight 0 out")
    sides = [PairWeights.of(class_weights(labels), "labels") for labels in (row_labels, column_labels)]
    if (sides[0].count, sides[1].count) != data.shape:
        raise ValueError(
            f"there are {sides[0].count} and {sides[1].count} labels, but the cost has shape {data.shape}"
        )
    anchors = block_anchors(ClassPenalty(1.0, sides[0], sides[1]), data.cost, data.a, data.b)
    return max(_longest(sides[0], anchors.rows), _longest(sides[1], anchors.columns.T))


def _longest(graph: PairWeights, u: np.ndarray) -> float:
    """Largest distance of two rows that are joined."""
    from wellposed.kernels.transport_pairs import pair_distances

    first, second, _ = graph.edges
    sizes = np.empty(len(first))
    if len(first):
        pair_distances(first, second, np.ascontiguousarray(u), sizes)
    return float(sizes.max(initial=0.0))
