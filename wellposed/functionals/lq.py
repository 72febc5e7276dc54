"""Powers of the absolute value: the Lq penalty."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Traits
from wellposed.functionals.norms import L1
from wellposed.functionals.parameter import Parameter, current, positive
from wellposed.functionals.size_penalties import SizePenalty, where_kept

NEWTON_STEPS = 100


@dataclass(frozen=True, eq=False)
class Lq(SizePenalty):
    r"""Sum of powers of absolute values.

    .. math:: f(x) = \sum_i w_i\, |x_i|^q

    Parameters
    ----------
    q : float or Parameter
        Positive. Below 1 the penalty is not convex, and sparser than L1.
    weights : array, optional
        ``w >= 0``, broadcast against ``x``.

    Notes
    -----
    For :math:`q < 1` and ``t = step * w`` the proximal map is 0 up to
    :math:`\frac{2 - q}{2 (1 - q)} \beta` with :math:`\beta = (2 t (1 - q))^{1/(2 - q)}`, and beyond it
    the larger root of :math:`z + t q z^{q - 1} = |x|`: in closed form for ``q`` 1/2 and 2/3, else by
    Newton's method from ``|x|``, which is monotone because the left side is convex. For :math:`q > 1`
    the root is found from above as well. The conjugate for :math:`q > 1` is
    :math:`\sum_i w_i (q - 1) (|y_i| / (q w_i))^{q / (q - 1)}`.
    Sources: Z. Xu, X. Chang, F. Xu and H. Zhang, L1/2 regularization: a thresholding representation
    theory and a fast solver, 2012; W. Cao, J. Sun and Z. Xu, Fast image deconvolution using
    closed-form thresholding formulas of Lq (q = 1/2, 2/3) regularization, 2013; G. Marjanovic and
    V. Solo, On lq optimization and matrix completion, 2012.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.Lq(0.5).prox(np.array([0.9, 1.6, -3.0]), 0.5)
    array([ 0. ,  1.3878..., -2.8520...])
    """

    q: float | Parameter = 0.5
    weights: Array | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self.q, "q of Lq")

    @property
    def _q(self) -> float:
        return float(current(self.q))

    @property
    def traits(self) -> Traits:
        q, w = self._q, self._largest_weight
        if q == 2:
            xp = arrays.namespace(self.weights) if self.weights is not None else None
            least = 1.0 if xp is None else float(xp.min(self.weights))
            return Traits(lipschitz=2 * w, strong_convexity=2 * least, quadratic=True, separable=True)
        return Traits(
            convex=q >= 1,
            lipschitz=math.inf if q > 1 else None,
            separable=True,
            homogeneous=q == 1,
            conjugate=q >= 1,
        )

    def _penalty(self, size: Array) -> Array:
        return size**self._q

    def gradient(self, x: Array) -> Array:
        q = self._q
        if q <= 1:
            return super().gradient(x)
        xp = arrays.namespace(x)
        return (q * self._w(x)) * xp.sign(x) * xp.abs(x) ** (q - 1)

    def hessian_product(self, x: Array, v: Array) -> Array:
        q = self._q
        if q < 2:
            return super().hessian_product(x, v)
        return (q * (q - 1) * self._w(x)) * arrays.namespace(x).abs(x) ** (q - 2) * v

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not isinstance(self.q, Parameter):
            return {}
        if self._q <= 1:
            raise TypeError(f"{self} has no gradient: it is not differentiable")
        power = self._log_power(x, self._q - 1, 1.0, self._q)
        return {self.q.name: arrays.total(self._w(x) * power * arrays.namespace(x).sign(x) * v)}

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not isinstance(self.q, Parameter):
            return {}
        return {self.q.name: arrays.total(self._w(x) * self._log_power(x, self._q, 0.0, 1.0))}

    def _log_power(self, x: Array, power: float, a: float, b: float) -> Array:
        """``|x|^power (a + b log|x|)``, which is 0 at 0."""
        xp = arrays.namespace(x)
        size = xp.abs(x)
        logs = xp.log(xp.where(size > 0, size, xp.ones_like(size)))
        return size**power * (a + b * logs)

    def _shrink(self, size: Array, t: Array) -> Array:
        q = self._q
        xp = arrays.namespace(size)
        if q >= 1:
            return xp.clip(size - t, 0.0, None) if q == 1 else _convex_root(size, t, q)
        beta = (2 * (1 - q) * t) ** (1 / (2 - q))
        threshold = (2 - q) / (2 * (1 - q)) * beta
        kept = size > threshold
        # Entries below the threshold take some value that is harmless.
        size = xp.maximum(size, threshold + float(xp.finfo(size.dtype).smallest_normal))
        if q == 0.5:
            root = _half_root(size, beta)
        elif q == 2 / 3:
            root = _two_thirds_root(size, beta)
        else:
            root = _concave_root(size, t, q)
        return where_kept(kept, xp.minimum(root, size))

    def _conjugate(self, y: Array) -> float:
        q, xp = self._q, arrays.namespace(y)
        if q <= 1:
            return self._l1._conjugate(y)
        size = xp.abs(y)
        w = self._w(y) * xp.ones_like(size)
        free = w == 0
        if bool(xp.any(free & (size > 0))):
            return math.inf
        w = xp.where(free, xp.ones_like(w), w)
        return (q - 1) * arrays.total(w * (size / (q * w)) ** (q / (q - 1)))

    def _conjugate_gradient(self, y: Array) -> Array:
        q = self._q
        if q <= 1:
            return super()._conjugate_gradient(y)
        xp = arrays.namespace(y)
        return xp.sign(y) * (xp.abs(y) / (q * self._w(y))) ** (1 / (q - 1))

    @property
    def _l1(self) -> L1:
        """The norm for ``q = 1``."""
        if self._q < 1:
            raise TypeError(f"{self} is not convex: the value of its conjugate is not known")
        return L1(self.weights)

    def project_dual(self, y: Array) -> Array:
        if self._q == 1:
            return self._l1.project_dual(y)
        if self.weights is None:
            return y
        return arrays.namespace(y).where(self._w(y) > 0, y, 0.0 * y)

    def dual_scale(self, y: Array) -> float:
        if self._q == 1:
            return self._l1.dual_scale(y)
        return 1.0 if self.weights is None or math.isfinite(self._conjugate(y)) else 0.0

    def __str__(self) -> str:
        return f"Lq({self.q.name if isinstance(self.q, Parameter) else f'{self._q:g}'})"


def _half_root(size: Array, beta: Array) -> Array:
    """The larger root for ``q = 1/2``, by the cosine of a third of an angle; ``size >= 1.5 beta``."""
    xp = arrays.namespace(size)
    angle = xp.acos(0.25 * (3 * beta / size) ** 1.5)
    return (2 / 3) * size * (1 + xp.cos(2 * math.pi / 3 - (2 / 3) * angle))


def _two_thirds_root(size: Array, beta: Array) -> Array:
    """The larger root for ``q = 2/3``; ``size >= 2 beta``.

    With ``z = size s^3`` it is that of ``s^4 - s + c = 0``, a product of two quadratics whose linear
    coefficient squared is the root ``m`` of ``m^3 - 4 c m - 1 = 0`` (Cardano).
    """
    xp = arrays.namespace(size)
    e = (4 / 3) * (beta / size) ** (4 / 3)
    p = (0.5 + xp.sqrt(0.25 - e * e * e)) ** (1 / 3)
    m = p + e / p
    a = xp.sqrt(m)
    s = 0.5 * (a + xp.sqrt(2 / a - m))
    return size * s * s * s


def _concave_root(size: Array, t: Array, q: float) -> Array:
    """The larger root of ``z + t q z^(q - 1) = size`` for ``q < 1`` and sizes above the threshold.

    The left side is convex, with a slope of at least ``1 - q / 2`` from the root on: Newton's method from
    ``size`` comes down to the root.
    """

    def step(z: Array) -> Array:
        slope = (t * q) * z ** (q - 1)
        return (z + slope - size) / (1 - (1 - q) * slope / z)

    return _newton(size, step, size)


def _convex_root(size: Array, t: Array, q: float) -> Array:
    """The root of ``z + t q z^(q - 1) = size`` for ``q > 1``, in a variable that makes it convex."""
    xp = arrays.namespace(size)
    if q == 2:
        return size / (1 + 2 * t)
    scale = t * q + xp.zeros_like(size)
    weighed = scale > 0
    scale = xp.where(weighed, scale, xp.ones_like(scale))
    power = q - 1 if q > 2 else 1 / (q - 1)
    # Of y^power and y one is the size and the other the slope; both bound the root.
    if q > 2:
        bound = xp.minimum(size, (size / scale) ** (1 / power))
        linear, curved = xp.ones_like(scale), scale
    else:
        bound = xp.minimum(size ** (1 / power), size / scale)
        linear, curved = scale, xp.ones_like(scale)
    active = weighed & (bound > 0)
    bound = xp.where(active, bound, xp.ones_like(bound))
    target = xp.where(active, size, linear + curved)

    def step(y: Array) -> Array:
        slope = curved * y ** (power - 1)
        return (linear * y + slope * y - target) / (linear + power * slope)

    y = _newton(bound, step, bound)
    root = xp.where(active, y if q > 2 else y**power, xp.zeros_like(y))
    return xp.where(weighed, root, size)


def _newton(z: Array, step: Callable[[Array], Array], scale: Array) -> Array:
    """Newton's method that comes down to a root, until a step is rounding of numbers of size ``scale``."""
    xp = arrays.namespace(z)
    eps = arrays.epsilon(z)
    for _ in range(NEWTON_STEPS):
        change = step(z)
        z = z - change
        if not bool(xp.any(change > 4 * eps * scale)):
            break
    return z
