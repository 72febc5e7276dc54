"""The penalty whose proximal map is soft thresholding with vanishing shrinkage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.size_penalties import SizePenalty, either, where_kept


@dataclass(frozen=True, eq=False)
class STVS(SizePenalty):
    r"""Soft thresholding with vanishing shrinkage: L1 near zero, a logarithm far out.

    .. math:: f(x) = \gamma^2 \sum_i w_i \big(\sigma_i + \tfrac12 - \tfrac12 e^{-2 \sigma_i}\big), \qquad
        \sigma_i = \operatorname{arsinh} \frac{|x_i|}{2 \gamma}

    Parameters
    ----------
    gamma : float or Parameter
        Positive, in the units of ``x``: slope at zero, and so threshold of the proximal map of step 1.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex; adding :math:`\tfrac{\rho}{2}\|x\|^2` with ``rho = weak_convexity``, half the weight, makes
    it so. The slope is :math:`w \gamma e^{-\sigma}`. For ``step * w`` of 1 the proximal map is
    :math:`x \max(1 - \gamma^2 / x^2, 0)`: large entries lose :math:`\gamma^2 / |x|`. For ``t = step * w`` up
    to 2 it is 0 up to :math:`t \gamma` and beyond that
    :math:`2 (x^2 - t^2 \gamma^2) / ((2 - t) |x| + t \sqrt{x^2 + 4 (1 - t) \gamma^2})`; for larger ``t`` it
    jumps. Sources: A. Schreck, G. Fort, S. Le Corff and E. Moulines, A shrinkage-thresholding Metropolis
    adjusted Langevin algorithm for Bayesian variable selection, 2016; M. Cuturi, M. Klein and P. Ablin,
    Monge, Bregman and Occam: interpretable optimal transport in high dimensions, 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.STVS(gamma=1.0).prox(np.array([-4.0, 0.5, 2.0]), 1.0)
    array([-3.75,  0.  ,  1.5 ])
    """

    gamma: float | Parameter = 1.0
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.gamma, "gamma of STVS")

    @property
    def _g(self) -> float:
        return float(current(self.gamma))

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex."""
        return 0.5 * self._largest_weight

    def _penalty(self, size: Array) -> Array:
        xp = arrays.namespace(size)
        sigma = xp.asinh(size / (2 * self._g))
        return self._g**2 * (sigma - 0.5 * xp.expm1(-2 * sigma))

    def subgradient(self, x: Array) -> Array:
        xp = arrays.namespace(x)
        half = xp.abs(x) / (2 * self._g)
        slope = self._g * self._w(x) / (half + xp.sqrt(1 + half * half))
        return xp.sign(x) * slope

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not isinstance(self.gamma, Parameter):
            return {}
        xp = arrays.namespace(x)
        sigma = xp.asinh(xp.abs(x) / (2 * self._g))
        return {self.gamma.name: 2 * self._g * arrays.total(self._w(x) * sigma)}

    def _shrink(self, size: Array, t: Array) -> Array:
        xp = arrays.namespace(size)
        g = self._g
        # In units of gamma, so that no square leaves the range of the numbers before the point itself does.
        v = size / g

        def continuous() -> Array:
            root = xp.sqrt(xp.clip(v * v + 4 * (1 - t), 0.0, None))
            below = xp.where(v > t, (2 - t) * v + t * root, xp.ones_like(v))
            return xp.clip(2 * (v - t) * (v + t) / below, 0.0, None)

        def jumping() -> Array:
            # The larger of two stationary points, where it costs less than 0.
            inside = v * v > 4 * (t - 1)
            root = xp.sqrt(xp.clip(v * v - 4 * (t - 1), 0.0, None))
            z = ((t - 2) * v + t * root) / xp.where(t > 1.5, 2 * (t - 1), 1.0 + 0 * t)
            sigma = xp.asinh(0.5 * z)
            better = t * (sigma - 0.5 * xp.expm1(-2 * sigma)) < z * (v - 0.5 * z)
            return where_kept(inside & better, z)

        return g * either(t <= 2, continuous, jumping)

    def __str__(self) -> str:
        return f"STVS({self.gamma.name if isinstance(self.gamma, Parameter) else f'{self._g:g}'})"
