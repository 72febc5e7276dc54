"""The Laplacian of a graph whose nodes are the pixels of an image."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._host import HostOperator, host_array
from wellposed.operators._pixel_graphs import Edges, Stencil, nearest_neighbours, symmetric_adjacency

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NORMALISATIONS = ("frobenius", "none", "symmetric", "random-walk")


class GraphLaplacian(HostOperator):
    r"""The Laplacian of the graph that joins each pixel to the similar ones near it.

    .. math:: \omega_{pq} = \exp\Big(-\frac{|f_p - f_q|^2}{\sigma^2}\Big)
        \exp\Big(-\frac{|p - q|^2}{\sigma_s^2}\Big)
        \quad\text{for}\quad 0 < \|p - q\|_\infty \le \mathrm{radius}

    With :math:`D = \mathrm{diag}(\omega 1)` the operator is, by ``normalisation``,

    =============== ==========================================================
    ``frobenius``   :math:`(D - \omega) / \|\omega\|_F` (default)
    ``none``        :math:`D - \omega`
    ``symmetric``   :math:`D^{-1/2} (D - \omega) D^{-1/2}`
    ``random-walk`` :math:`D^{-1} (D - \omega)`, which is not self-adjoint
    =============== ==========================================================

    Parameters
    ----------
    features : array
        The image :math:`f` that the weights are made from, in host memory, with one to three axes
        beside its channels.
    radius : int
        Neighbours are at most this many pixels away along each axis, at least 1.
    sigma : float
        Width of the weights in the units of the features, positive.
    spatial_sigma : float, optional
        Width of the weights in pixels; by default distance in the image does not matter.
    normalisation : {"frobenius", "none", "symmetric", "random-walk"}
        See above.
    channel_axis : int, optional
        The axis of the features that holds the channels; the operator takes arrays without it.

    Raises
    ------
    ValueError
        If the radius is below 1, a width is not positive, the features are constant or hold
        non-finite entries, or all weights are 0.

    Notes
    -----
    Neighbours beyond the border are left out. A pixel without any weight gives 0. ``L(c) = 0``
    exactly for a constant ``c``, but for "symmetric", where ``L(sqrt(D)) = 0``.

    Norm, in closed form: by Gershgorin's theorem twice the largest degree; 2 for "symmetric"; for
    "random-walk" the root of the largest sum of a row times that of a column.

    One weight is stored for each pair of neighbours, in the precision of the features. On a GPU
    the product runs from slices, with the same weights; `from_adjacency` and `from_neighbours` give
    operators for host memory only.

    Source: D. Bianchi et al., A data-dependent regularization method based on the graph Laplacian,
    arXiv 2312.16936. Their ``sigma`` is the square of this one, and their window ``R = 5`` has a
    radius of 4 here. The regulariser of that paper is ``wp.L1() @ GraphLaplacian(...)``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> L = wp.operators.GraphLaplacian([0.0, 0.0, 9.0, 9.0], 1, 1.0, normalisation="none")
    >>> L(np.array([1.0, 2.0, 3.0, 5.0])).round(6)
    array([-1.,  1., -2.,  2.])
    """

    def __init__(
        self,
        features: Array,
        radius: int = 4,
        sigma: float = 0.03,
        *,
        spatial_sigma: float | None = None,
        normalisation: str = "frobenius",
        channel_axis: int | None = None,
    ):
        _check_normalisation(normalisation)
        if isinstance(radius, bool) or int(radius) != radius or radius < 1:
            raise ValueError(f"radius must be a whole number of pixels of at least 1, got {radius}")
        if spatial_sigma is not None:
            _check_width(spatial_sigma, "spatial_sigma")
        image = _channels_first(features, channel_axis)
        if image.ndim > 4:
            raise ValueError(f"features have up to three axes beside channels, got {image.shape[1:]}")
        if bool(np.all(image == image[(slice(None), *[slice(0, 1)] * (image.ndim - 1))])):
            raise ValueError(
                "the features are constant, so that the graph would know nothing of the image: "
                "pass a reconstruction or another guide image"
            )
        self._set_up(Stencil(_scaled(image, sigma), int(radius), spatial_sigma), normalisation)

    @classmethod
    def from_adjacency(
        cls, adjacency: Any, domain_shape: Any, *, normalisation: str = "frobenius"
    ) -> GraphLaplacian:
        """The Laplacian of a user's graph.

        Parameters
        ----------
        adjacency : sparse array or array
            Symmetric weights of at least 0 between the pixels, in C order. The diagonal is left out.
        domain_shape : tuple of int
            Shape of the arrays that the operator takes.
        normalisation : {"frobenius", "none", "symmetric", "random-walk"}
            As for the class.

        Raises
        ------
        ValueError
            If the weights are not symmetric, negative, not finite, all 0 or of the wrong shape.

        Examples
        --------
        >>> import numpy as np, wellposed as wp
        >>> W = np.array([[0.0, 2.0], [2.0, 0.0]])
        >>> wp.operators.GraphLaplacian.from_adjacency(W, (2,), normalisation="none")(np.array([1.0, 2.0]))
        array([-2.,  2.])
        """
        _check_normalisation(normalisation)
        shape = as_shape(domain_shape, "domain_shape")
        made = cls.__new__(cls)
        made._set_up(Edges(symmetric_adjacency(adjacency, math.prod(shape)), shape), normalisation)
        return made

    @classmethod
    def from_neighbours(
        cls,
        features: Array,
        neighbours: int,
        sigma: float,
        *,
        channel_axis: int | None = None,
        normalisation: str = "frobenius",
    ) -> GraphLaplacian:
        r"""The Laplacian of the graph of nearest neighbours among the features, wherever in the image.

        Two pixels are joined, with weight :math:`\exp(-|f_p - f_q|^2 / \sigma^2)`, where one is among
        the ``neighbours`` nearest of the other. Append coordinates as channels to keep neighbours near.

        Parameters
        ----------
        features : array
            In host memory; patches or coordinates can be its channels.
        neighbours : int
            At least 1 and less than the number of pixels.
        sigma : float
            Width of the weights in the units of the features, positive.
        channel_axis : int, optional
            The axis of the features that holds the channels.
        normalisation : {"frobenius", "none", "symmetric", "random-walk"}
            As for the class.

        Raises
        ------
        ValueError
            If the number of neighbours is out of range, ``sigma`` is not positive, features are not
            finite, or all weights are 0.
        """
        _check_normalisation(normalisation)
        image = _channels_first(features, channel_axis)
        points = image.reshape(len(image), -1).T
        if int(neighbours) != neighbours or not 1 <= neighbours < len(points):
            raise ValueError(f"neighbours must be from 1 to {len(points) - 1}, got {neighbours}")
        made = cls.__new__(cls)
        graph = nearest_neighbours(_scaled(points, sigma), int(neighbours))
        made._set_up(Edges(symmetric_adjacency(graph, len(points)), image.shape[1:]), normalisation)
        return made

    def _set_up(self, graph: Stencil | Edges, normalisation: str) -> None:
        super().__init__(graph.shape, graph.shape)
        self.normalisation = normalisation
        self._graph = graph
        if not graph.frobenius > 0:
            raise ValueError(
                "all weights of the graph are 0: take a larger sigma, or an image of more than one pixel"
            )
        if normalisation == "frobenius":
            graph.multiplied(1 / graph.frobenius)
        degrees = graph.degrees()
        self._largest_degree = float(degrees.max())
        positive = degrees > 0
        inverse = np.where(positive, 1 / np.where(positive, degrees, 1), 0).astype(degrees.dtype)
        # L = left (D - W) right, with diagonal factors.
        self._left: arrays.Constant | None = None
        self._right: arrays.Constant | None = None
        if normalisation == "symmetric":
            self._left = self._right = arrays.Constant(np.sqrt(inverse))
        elif normalisation == "random-walk":
            self._left = arrays.Constant(inverse)

    @property
    def weights(self) -> csr_array:
        """The matrix of weights between flattened pixels, divided by its norm for "frobenius"."""
        return self._graph.adjacency()

    # --- application --------------------------------------------------------------------------

    def _apply(self, x: Array, out: Array) -> None:
        self._between(self._left, self._right, x, out)

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self._between(self._right, self._left, y, out)

    def _between(
        self, left: arrays.Constant | None, right: arrays.Constant | None, x: Array, out: Array
    ) -> None:
        if right is not None:
            x = x * right.like(x)
        if arrays.is_gpu(x) and isinstance(self._graph, Stencil):
            self._graph.product_on_device(x, out)
        else:
            self._graph.product(host_array(self, x), host_array(self, out))
        if left is not None:
            out *= left.like(x)

    def gram_diagonal(self, weights: Array) -> Array:
        """The diagonal of ``L* C L`` for the diagonal matrix ``C`` of an array of weights.

        Parameters
        ----------
        weights : array
            Of the shape of the image.

        Returns
        -------
        array
            The sum over ``i`` of ``weights_i L_ij^2`` at each pixel ``j``.
        """
        left, right = (None if c is None else c.like(weights) for c in (self._left, self._right))
        weights = weights if left is None else weights * left**2
        squared, out = self._graph.squared(), 0.0 * weights
        if arrays.is_gpu(weights) and isinstance(squared, Stencil):
            squared.product_on_device(weights, out)
        else:
            squared.product(host_array(self, weights), host_array(self, out))
        own = arrays.Constant(self._graph.degrees() ** 2 + squared.degrees()).like(weights)
        diagonal = own * weights - out
        return diagonal if right is None else diagonal * right**2

    @property
    def adjoint(self) -> LinearOperator:
        return super().adjoint if self.normalisation == "random-walk" else self

    def _norm(self) -> float:
        rounding = 1 + 1e-6 if self._graph.weights.array.dtype == np.float32 else 1 + 1e-12
        if self.normalisation == "symmetric":
            return 2.0 * rounding
        if self.normalisation == "random-walk":
            assert self._left is not None
            inverse = self._left.array.astype(np.float64)
            flow = np.empty_like(inverse)
            self._graph.product(inverse, flow)
            # (D - W) D^-1 1 = 1 - W D^-1 1 where the degree is positive.
            columns = np.where(inverse > 0, 2 - flow, 0.0)
            return math.sqrt(2.0 * float(columns.max())) * rounding
        return 2.0 * self._largest_degree * rounding

    def __repr__(self) -> str:
        return f"GraphLaplacian({self.domain_shape}, {self.normalisation!r})"


def _check_normalisation(normalisation: str) -> None:
    if normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {normalisation!r}")


def _check_width(sigma: float, name: str) -> None:
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"{name} must be finite and positive, got {sigma}")


def _channels_first(features: Array, channel_axis: int | None) -> np.ndarray:
    """The features in host memory, with their channels (or an axis of size 1) in front."""
    host = arrays.numpy_view(arrays.as_floating(features, "features"))
    if host.size == 0:
        raise ValueError(f"the features are empty, of shape {host.shape}")
    arrays.check_finite(host, "features")
    if channel_axis is None:
        return host[None]
    if not -host.ndim <= channel_axis < host.ndim or host.ndim == 1:
        raise ValueError(f"channel_axis={channel_axis} is not an axis beside those of an image: {host.shape}")
    return np.moveaxis(host, channel_axis, 0)


def _scaled(features: np.ndarray, sigma: float) -> np.ndarray:
    """The features in units of the width."""
    _check_width(sigma, "sigma")
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        scaled = features / features.dtype.type(sigma)
    if not np.all(np.isfinite(scaled)):
        raise ValueError(f"sigma={sigma:g} is too small for features in {features.dtype}: take a larger one")
    return np.asarray(scaled)
