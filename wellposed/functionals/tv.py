"""Total variation."""

from __future__ import annotations

from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.datafits import check_weights
from wellposed.functionals.norms import L1, L21
from wellposed.operators._base import LinearOperator
from wellposed.operators.calculus import Gradient


@dataclass(frozen=True, eq=False)
class TotalVariation(Functional):
    r"""Sum over pixels of the size of the forward difference, which is 0 across the far edge.

    .. math:: \mathrm{TV}(x) = \sum_i w_i\, \|(D x)_i\|

    Parameters
    ----------
    isotropic : bool
        The norm of a difference is Euclidean (default), or else the sum of absolute values.
    weights : array, optional
        ``w >= 0`` of the shape of the image without its channel axis (space-variant TV).
    channel_axis : int, optional
        For colour: the Euclidean norm then joins all channels of a pixel (vectorial TV).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.TotalVariation()(np.array([[0.0, 3.0], [4.0, 0.0]]))
    12.0
    """

    isotropic: bool = True
    weights: Array | None = None
    channel_axis: int | None = None

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(arrays.as_floating(self.weights, "weights"), None))

    @property
    def traits(self) -> Traits:
        return Traits(homogeneous=True, prox=False, conjugate=False)

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        channel = None if self.channel_axis is None else self.channel_axis % len(shape)
        axes = tuple(k for k in range(len(shape)) if k != channel)
        weights = self._weights_for(shape, axes, channel)
        D = Gradient(shape, axes)
        if not self.isotropic:
            return L1(weights), D
        return L21((0,) if channel is None else (0, channel + 1), weights), D

    def _weights_for(self, shape: Shape, axes: tuple[int, ...], channel: int | None) -> Array | None:
        if self.weights is None:
            return None
        spatial = tuple(shape[k] for k in axes)
        if tuple(self.weights.shape) != spatial:
            raise ValueError(f"weights have shape {tuple(self.weights.shape)}, the image has {spatial}")
        broadcast = [1, *(1 if k == channel else n for k, n in enumerate(shape))]
        return arrays.namespace(self.weights).reshape(self.weights, tuple(broadcast))

    def __call__(self, x: Array) -> float:
        f, D = self.factor(tuple(x.shape))
        assert D is not None
        return f(D(x))

    def __str__(self) -> str:
        kind = "" if self.isotropic else "anisotropic "
        kind += "weighted " if self.weights is not None else ""
        return f"{kind}TotalVariation"

