"""Penalties that are concave in the size of an entry: MCP, CEL0, SCAD and the sum of logarithms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.datafits import as_weights
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.size_penalties import SizePenalty, either, where_kept


@dataclass(frozen=True, eq=False)
class MCP(SizePenalty):
    r"""Minimax concave penalty: L1 near zero, constant far out, so that large entries keep their size.

    .. math:: f(x) = \sum_i w_i\, \varphi(|x_i|), \qquad
        \varphi(r) = \begin{cases} \lambda r - r^2 / (2 \gamma) & r \le \gamma \lambda \\
                                   \gamma \lambda^2 / 2 & r > \gamma \lambda \end{cases}

    Parameters
    ----------
    lam : float or Parameter
        Slope at zero, positive.
    gamma : float or Parameter
        Positive; the penalty is constant beyond ``gamma * lam``.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex; adding :math:`\tfrac{\rho}{2}\|x\|^2` with ``rho = weak_convexity`` makes it so. For
    ``step * w < gamma`` the proximal map is firm thresholding,
    :math:`\min(|x|, \max(|x| - \mathrm{step}\,\lambda, 0) / (1 - \mathrm{step} / \gamma))`, else hard
    thresholding at :math:`\lambda \sqrt{\mathrm{step}\,\gamma}`.
    Source: C.-H. Zhang, Nearly unbiased variable selection under minimax concave penalty, 2010.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.MCP(lam=1.0, gamma=2.0).prox(np.array([-3.0, 0.5, 1.5]), 1.0)
    array([-3.,  0.,  1.])
    """

    lam: float | Parameter = 1.0
    gamma: float | Parameter = 3.0
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.lam, "lam of MCP")
        positive(self.gamma, "gamma of MCP")

    @property
    def _numbers(self) -> tuple[float, float]:
        return float(current(self.lam)), float(current(self.gamma))

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex."""
        return self._largest_weight / self._numbers[1]

    def _penalty(self, size: Array) -> Array:
        lam, gamma = self._numbers
        near = arrays.namespace(size).clip(size, None, gamma * lam)
        return near * (lam - near * (0.5 / gamma))

    def _shrink(self, size: Array, t: Array) -> Array:
        lam, gamma = self._numbers
        jump = lam * gamma**0.5 * arrays.namespace(size).sqrt(t)
        return _firm(size, t * lam, t * (1 / gamma), jump)


@dataclass(frozen=True, eq=False)
class CEL0(SizePenalty):
    r"""Continuous exact relaxation of the L0 penalty of a least squares problem.

    .. math:: f(x) = \sum_i w_i\, \varphi_i(|x_i|), \qquad
        \varphi_i(r) = \lambda - \tfrac12 \max\big(\sqrt{2 \lambda} - a_i r,\; 0\big)^2

    Parameters
    ----------
    norms : float or array
        The Euclidean norms ``a`` of the columns of ``A``, at least 0, broadcast against ``x``.
    lam : float or Parameter
        The weight of the L0 penalty that is replaced, positive. It shapes the penalty: write
        ``CEL0(norms, lam)``, not ``lam * CEL0(norms)``.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    :math:`\tfrac12\|A x - b\|^2 + f(x)` has the same global minimisers as with :math:`\lambda \|x\|_0`
    (up to minimisers that tie), and no other local minimisers than those. It is the minimax concave
    penalty of slope :math:`a \sqrt{2 \lambda}` and ``gamma`` :math:`1 / a^2`; where
    :math:`\mathrm{step}\, a^2 \ge 1` the proximal map is hard thresholding.
    Source: E. Soubies, L. Blanc-Feraud and G. Aubert, A continuous exact l0 penalty (CEL0), 2015.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.CEL0(norms=1.2, lam=0.5).prox(np.array([0.62, 0.7, 0.9]), 0.5)
    array([0.0714..., 0.3571..., 0.9...])
    """

    norms: Any = 1.0
    lam: float | Parameter = 1.0
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.lam, "lam of CEL0")
        if isinstance(self.norms, (int, float)):
            positive(self.norms, "norms of CEL0", zero_allowed=True)
        else:
            try:
                object.__setattr__(self, "norms", as_weights(self.norms))
            except ValueError as error:
                raise ValueError(str(error).replace("weights", "norms of CEL0")) from None

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex, or a bound above it."""
        numbers = isinstance(self.norms, (int, float))
        largest = float(self.norms if numbers else arrays.namespace(self.norms).max(self.norms))
        return self._largest_weight * largest * largest

    def _root(self) -> float:
        """The square root of ``2 lam``."""
        return math.sqrt(2 * float(current(self.lam)))

    def _a(self, like: Array) -> Array:
        return arrays.as_namespace(self.norms, like, "norms")

    def _penalty(self, size: Array) -> Array:
        xp = arrays.namespace(size)
        below = xp.clip(self._a(size) * size, None, self._root())
        return below * (self._root() - 0.5 * below)

    def _shrink(self, size: Array, t: Array) -> Array:
        a = self._a(size)
        return _firm(size, t * a * self._root(), t * a * a, self._root() * arrays.namespace(size).sqrt(t))


@dataclass(frozen=True, eq=False)
class SCAD(SizePenalty):
    r"""Smoothly clipped absolute deviation: L1 near zero, then a bend, then constant.

    .. math:: f(x) = \sum_i w_i\, \varphi(|x_i|), \qquad
        \varphi(r) = \begin{cases} \lambda r & r \le \lambda \\
            \frac{2 \gamma \lambda r - r^2 - \lambda^2}{2 (\gamma - 1)} & \lambda < r \le \gamma \lambda \\
            \lambda^2 (\gamma + 1) / 2 & r > \gamma \lambda \end{cases}

    Parameters
    ----------
    lam : float or Parameter
        Slope at zero, positive.
    gamma : float or Parameter
        Above 1 (3.7 is the authors' choice); the penalty is constant beyond ``gamma * lam``.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex; adding :math:`\tfrac{\rho}{2}\|x\|^2` with ``rho = weak_convexity`` makes it so. The
    proximal map is piecewise linear; with ``t = step * w`` at least ``gamma - 1`` it is soft
    thresholding that jumps to the identity at :math:`\lambda (\gamma + 1 + t) / 2`, or at
    :math:`\lambda \sqrt{t (\gamma + 1)}` for ``t`` above ``gamma + 1``.
    Source: J. Fan and R. Li, Variable selection via nonconcave penalized likelihood, 2001.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SCAD(lam=1.0, gamma=3.0).prox(np.array([-4.0, 1.5, 2.5]), 1.0)
    array([-4. ,  0.5,  2. ])
    """

    lam: float | Parameter = 1.0
    gamma: float | Parameter = 3.7
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.lam, "lam of SCAD")
        positive(self.gamma, "gamma of SCAD")
        if self._numbers[1] <= 1:
            raise ValueError(f"gamma of SCAD must be above 1, got {self._numbers[1]:g}")

    @property
    def _numbers(self) -> tuple[float, float]:
        return float(current(self.lam)), float(current(self.gamma))

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex."""
        return self._largest_weight / (self._numbers[1] - 1)

    def _penalty(self, size: Array) -> Array:
        lam, gamma = self._numbers
        xp = arrays.namespace(size)
        # The slope is lam up to lam, from where it falls linearly to 0.
        bend = xp.clip(size, lam, gamma * lam) - lam
        return lam * xp.clip(size, None, lam) + bend * (lam - bend * (0.5 / (gamma - 1)))

    def _shrink(self, size: Array, t: Array) -> Array:
        lam, gamma = self._numbers
        xp = arrays.namespace(size)
        soft = xp.clip(size - t * lam, 0.0, None)
        gentle = t < gamma - 1

        def continuous() -> Array:
            room = xp.where(gentle, gamma - 1 - t, xp.ones_like(t))
            bent = xp.clip(size - lam * (1 + t), 0.0, None) * (t / room)
            return xp.minimum(size, soft + bent)

        def jumping() -> Array:
            early = 0.5 * lam * (gamma + 1 + t)
            jump = xp.where(t < gamma + 1, early, lam * xp.sqrt(t * (gamma + 1)))
            return xp.where(size > jump, size, soft)

        return either(gentle, continuous, jumping)


@dataclass(frozen=True, eq=False)
class LogSum(SizePenalty):
    r"""Sum of logarithms, the penalty that reweighted L1 minimisation descends.

    .. math:: f(x) = \sum_i w_i \log\big(1 + |x_i| / \epsilon\big)

    Parameters
    ----------
    eps : float or Parameter
        Positive, in the units of ``x``: the size from which an entry counts as not zero.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    Not convex; adding :math:`\tfrac{\rho}{2}\|x\|^2` with ``rho = weak_convexity`` makes it so. The
    proximal map is the larger root of a quadratic equation, or 0 where that costs less.
    Sources: E. Candes, M. Wakin and S. Boyd, Enhancing sparsity by reweighted l1 minimization, 2008;
    A. Prater-Bennette, L. Shen and E. Tripp, The proximity operator of the log-sum penalty, 2022.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.LogSum(eps=1.0).prox(np.array([-3.0, 0.5]), 1.0)
    array([-2.7320508...,  0. ])
    """

    eps: float | Parameter = 1.0
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.eps, "eps of LogSum")

    @property
    def _e(self) -> float:
        return float(current(self.eps))

    @property
    def weak_convexity(self) -> float:
        """The least number ``rho`` with ``f + rho/2 ||x||^2`` convex."""
        return self._largest_weight / self._e**2

    def _penalty(self, size: Array) -> Array:
        return arrays.namespace(size).log1p(size / self._e)

    def _shrink(self, size: Array, t: Array) -> Array:
        xp = arrays.namespace(size)
        e, twice = self._e, 2 * xp.sqrt(t)
        # The discriminant (size + e)^2 - 4 t as a product, and the root without a difference of equals.
        root = xp.sqrt(xp.clip(size + e - twice, 0.0, None)) * xp.sqrt(size + e + twice)
        far = size > e
        sums = xp.abs(size - e) + root
        other = 2 * (size * e - t) / xp.maximum(sums, sums * 0 + float(xp.finfo(sums.dtype).smallest_normal))
        z = xp.clip(where_kept(far, 0.5 * sums) + where_kept(~far, other), 0.0, None)

        def cheaper() -> Array:
            better = (t * xp.log1p(z / e) < z * (size - 0.5 * z)) & (size + e > twice)
            return where_kept(better, z)

        return either(t <= e * e, lambda: z, cheaper)


def _firm(size: Array, threshold: Array, rate: Array, jump: Array) -> Array:
    """Firm thresholding where ``rate``, step times curvature, is below 1; elsewhere hard, at ``jump``."""
    xp = arrays.namespace(size)
    gentle = rate < 1

    def continuous() -> Array:
        room = xp.where(gentle, 1 - rate, xp.ones_like(rate))
        return xp.minimum(size, xp.clip(size - threshold, 0.0, None) / room)

    return either(gentle, continuous, lambda: where_kept(size > jump, size))
