"""Inverse transport between normal distributions: a sparse affinity on a graph, its coupling, samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from wellposed.solvers.transport.gaussian_coupling import gaussian_coupling


@dataclass(frozen=True, eq=False)
class GaussianInverseTransport:
    """An affinity and what is observed of its coupling.

    Parameters
    ----------
    affinity : array of shape (nodes, nodes)
        The truth: ``delta`` times the identity plus the Laplacian of ``graph``.
    eps : float
    graph : array of bool of shape (nodes, nodes)
        Which nodes are neighbours.
    cov_x, cov_y, cross : array of shape (nodes, nodes)
        The covariances: of the samples if there are any, else the exact ones.
    x, y : array of shape (samples, nodes)
        Pairs from the coupling.
    """

    affinity: np.ndarray
    eps: float
    graph: np.ndarray
    cov_x: np.ndarray
    cov_y: np.ndarray
    cross: np.ndarray
    x: np.ndarray
    y: np.ndarray

    def wrong_positions(self, affinity: np.ndarray, threshold: float = 1e-6) -> int:
        """How many entries are zero and should not be, or the other way round."""
        return int(np.sum((np.abs(affinity) > threshold) != (self.affinity != 0)))

    def distances(self) -> np.ndarray:
        """The number of edges between each two nodes; infinite between parts of the graph."""
        from scipy.sparse.csgraph import shortest_path

        return np.asarray(shortest_path(self.graph.astype(float), unweighted=True))


def gaussian_inverse_transport(
    nodes: int = 20,
    graph: str = "ring",
    delta: float = 0.1,
    eps: float = 1.0,
    samples: int = 0,
    seed: int = 0,
) -> GaussianInverseTransport:
    """Standard normal points, coupled by an affinity whose entries are the edges of a graph.

    Parameters
    ----------
    nodes : int
    graph : {"ring", "grid", "random"}
        ``"grid"`` is planar and as square as ``nodes`` allows; ``"random"`` has each edge with probability
        ``4 / nodes``.
    delta : float
        Positive; the affinity is ``delta I`` plus the Laplacian.
    eps : float
        Width of the entropy of the coupling.
    samples : int
        0 for the exact covariances.
    seed : int

    Returns
    -------
    GaussianInverseTransport

    Raises
    ------
    ValueError
        If there is no such graph, or a number is out of range.

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.gaussian_inverse_transport(nodes=4)
    >>> problem.affinity[0].tolist()
    [2.1, -1.0, 0.0, -1.0]
    """
    if nodes < 2 or samples < 0 or not delta > 0:
        raise ValueError(f"needs nodes >= 2, delta > 0, samples >= 0; got {nodes}, {delta} and {samples}")
    rng = np.random.default_rng(seed)
    near = _neighbours(nodes, graph, rng)
    A = delta * np.eye(nodes) + np.diag(near.sum(axis=1)) - near
    cross = np.asarray(gaussian_coupling(A, eps=eps))
    unit = np.eye(nodes)
    if not samples:
        none = np.empty((0, nodes))
        return GaussianInverseTransport(A, float(eps), near, unit, unit, cross, none, none)
    x = rng.standard_normal((samples, nodes))
    # Given x, y is normal with mean cross.T x and covariance I - cross.T cross.
    rest = np.linalg.cholesky(unit - cross.T @ cross)
    y = x @ cross + rng.standard_normal((samples, nodes)) @ rest.T
    u, v = x - x.mean(axis=0), y - y.mean(axis=0)
    return GaussianInverseTransport(
        A, float(eps), near, u.T @ u / samples, v.T @ v / samples, u.T @ v / samples, x, y
    )


def _neighbours(nodes: int, graph: str, rng: np.random.Generator) -> np.ndarray:
    near = np.zeros((nodes, nodes), dtype=bool)
    here = np.arange(nodes)
    if graph == "ring":
        near[here, (here + 1) % nodes] = True
    elif graph == "grid":
        width = next(w for w in range(int(nodes**0.5), 0, -1) if nodes % w == 0)
        right, down = here[(here + 1) % width != 0], here[: nodes - width]
        near[right, right + 1] = True
        near[down, down + width] = True
    elif graph == "random":
        near |= np.triu(rng.random((nodes, nodes)) < 4 / nodes, 1)
    else:
        raise ValueError(f'graph must be "ring", "grid" or "random", got {graph!r}')
    return near | near.T
