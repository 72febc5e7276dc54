"""Cauchy-Schwarz regularisers: smooth functions that vanish where two maps of ``x`` are collinear."""

from __future__ import annotations

import math
from dataclasses import dataclass

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.operators._base import LinearOperator


class CauchySchwarz(Functional):
    r"""The gap in the inequality of Cauchy and Schwarz between two maps of ``x``.

    .. math:: f(x) = \|g(x)\|^2 \|h(x)\|^2 - \langle g(x), h(x)\rangle^2 \ge 0

    It is zero exactly where :math:`g(x)` and :math:`h(x)` are collinear. A subclass writes the two maps,
    their derivatives, and what the second derivatives add. Smooth, not convex, and without a Lipschitz
    constant.

    Source: S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, 2025.
    """

    @property
    def traits(self) -> Traits:
        return Traits(convex=False, lipschitz=math.inf, prox=False, conjugate=False)

    def _maps(self, x: Array) -> tuple[Array, Array]:
        """``g(x)`` and ``h(x)``."""
        raise TypeError(f"{type(self).__name__} does not define its two maps")

    def _push(self, x: Array, v: Array) -> tuple[Array, Array]:
        """The derivatives of ``g`` and ``h`` at ``x`` along ``v``."""
        raise TypeError(f"{type(self).__name__} does not define the derivatives of its maps")

    def _pull(self, x: Array, p: Array, q: Array) -> Array:
        """The gradient of ``<p, g(x)> + <q, h(x)>``."""
        raise TypeError(f"{type(self).__name__} does not define the adjoint derivatives of its maps")

    def _bend(self, x: Array, p: Array, q: Array, v: Array) -> Array:
        """The Hessian of ``<p, g(x)> + <q, h(x)>`` applied to ``v``."""
        raise TypeError(f"{type(self).__name__} does not define the second derivatives of its maps")

    def __call__(self, x: Array) -> float:
        g, h = self._maps(x)
        long = arrays.inner(h, h)
        if long == 0:
            return 0.0
        # The part of g orthogonal to h, so that nothing cancels near a minimum.
        apart = g - (arrays.inner(g, h) / long) * h
        return long * arrays.inner(apart, apart)

    def gradient(self, x: Array) -> Array:
        return self._pull(x, *self._slopes(*self._maps(x)))

    def _slopes(self, g: Array, h: Array) -> tuple[Array, Array]:
        """The partial gradients with respect to ``g`` and ``h``."""
        gg, hh, gh = arrays.inner(g, g), arrays.inner(h, h), arrays.inner(g, h)
        return (2 * hh) * g - (2 * gh) * h, (2 * gg) * h - (2 * gh) * g

    def hessian_product(self, x: Array, v: Array) -> Array:
        g, h = self._maps(x)
        dg, dh = self._push(x, v)
        gg, hh, gh = arrays.inner(g, g), arrays.inner(h, h), arrays.inner(g, h)
        dgg, dhh = 2 * arrays.inner(g, dg), 2 * arrays.inner(h, dh)
        dgh = arrays.inner(dg, h) + arrays.inner(g, dh)
        p = (2 * dhh) * g + (2 * hh) * dg - (2 * dgh) * h - (2 * gh) * dh
        q = (2 * dgg) * h + (2 * gg) * dh - (2 * dgh) * g - (2 * gh) * dg
        return self._pull(x, p, q) + self._bend(x, *self._slopes(g, h), v)

    def __str__(self) -> str:
        return type(self).__name__


class _Powers(CauchySchwarz):
    """Two powers of each entry."""

    def _powers(self) -> tuple[int, int]:
        raise TypeError(f"{type(self).__name__} does not define its powers")

    def _maps(self, x: Array) -> tuple[Array, Array]:
        a, b = self._powers()
        return _power(x, a), _power(x, b)

    def _push(self, x: Array, v: Array) -> tuple[Array, Array]:
        a, b = self._powers()
        return _slope(x, a) * v, _slope(x, b) * v

    def _pull(self, x: Array, p: Array, q: Array) -> Array:
        a, b = self._powers()
        return _slope(x, a) * p + _slope(x, b) * q

    def _bend(self, x: Array, p: Array, q: Array, v: Array) -> Array:
        a, b = self._powers()
        return (a * _slope(x, a - 1) * p + b * _slope(x, b - 1) * q) * v


def _slope(x: Array, power: int) -> Array:
    """The derivative of ``x^power``."""
    return power * _power(x, power - 1) if power > 0 else 0.0 * x


def _power(x: Array, power: int) -> Array:
    """``x^power``; by products, since libraries take general powers of floating numbers slowly."""
    return x**power if power <= 2 else x * _power(x, power - 1)


@dataclass(frozen=True, eq=False)
class BinaryPenalty(_Powers):
    r"""Zero for arrays of two values: ``-c`` and ``c``, or ``0`` and ``c``; the scale ``c`` is found.

    .. math:: f(x) = N S_4 - S_2^2, \qquad \text{one-sided: } f(x) = S_2 S_4 - S_3^2,
        \qquad S_p = \sum_n x_n^p

    Parameters
    ----------
    one_sided : bool
        Whether the values are ``0`` and ``c`` rather than ``-c`` and ``c``.
    magnitudes : array, optional
        Positive ``m``, broadcast against ``x``: zero for the arrays with :math:`|x_n| = c\, m_n` instead,
        where :math:`f(x) = S_4 \sum_n m_n^4 - \big(\sum_n m_n^2 x_n^2\big)^2`. With ``[1, 2, 4]`` along the
        last axis, sums over it are the odd integers from -7 to 7 times ``c``: numbers of three bits.

    Raises
    ------
    ValueError
        If a magnitude is not positive, or magnitudes are given for values ``0`` and ``c``.

    Notes
    -----
    Of degree 4 in ``x`` (one-sided: 6): bring ``x`` to size about 1 first. Zero is a stationary point: start
    elsewhere. The two-sided one has no other stationary points than its minimisers (without further terms).
    Source: S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, 2025.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.BinaryPenalty()(np.array([2.0, -2.0, 2.0])), wp.BinaryPenalty()(np.array([2.0, 0.0]))
    (0.0, 16.0)
    >>> wp.BinaryPenalty(one_sided=True)(np.array([2.0, 0.0, 2.0]))
    0.0
    >>> wp.BinaryPenalty(magnitudes=[1.0, 2.0])(np.array([[3.0, -6.0], [3.0, 6.0]]))
    0.0
    """

    one_sided: bool = False
    magnitudes: Array | None = None

    def __post_init__(self) -> None:
        if self.magnitudes is None:
            return
        if self.one_sided:
            raise ValueError("magnitudes of BinaryPenalty go with values -c and c, not with one_sided")
        magnitudes = arrays.as_floating(self.magnitudes, "magnitudes")
        arrays.check_finite(magnitudes, "magnitudes")
        if bool(arrays.namespace(magnitudes).any(magnitudes <= 0)):
            raise ValueError("magnitudes of BinaryPenalty must be positive")
        object.__setattr__(self, "magnitudes", magnitudes)

    def _powers(self) -> tuple[int, int]:
        return (2, 1) if self.one_sided else (2, 0)

    def _maps(self, x: Array) -> tuple[Array, Array]:
        g, h = super()._maps(x)
        if self.magnitudes is None:
            return g, h
        m = arrays.as_namespace(self.magnitudes, x, "magnitudes")
        return g, h * m * m


@dataclass(frozen=True, eq=False)
class TernaryPenalty(_Powers):
    r"""Zero for arrays of the values ``-c``, ``0`` and ``c``; the scale ``c`` is found.

    .. math:: f(x) = S_2 S_6 - S_4^2, \qquad S_p = \sum_n x_n^p

    Notes
    -----
    Of degree 8 in ``x``: bring ``x`` to size about 1 first. Zero is a stationary point: start elsewhere.
    Source: S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, 2025.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.TernaryPenalty()(np.array([2.0, 0.0, -2.0])), wp.TernaryPenalty()(np.array([1.0, 2.0]))
    (0.0, 36.0)
    """

    def _powers(self) -> tuple[int, int]:
        return 3, 1


@dataclass(frozen=True, eq=False)
class EigenvectorPenalty(CauchySchwarz):
    r"""Zero for the eigenvectors of an operator, of any eigenvalue and length.

    .. math:: f(x) = \|C x\|^2 \|x\|^2 - \langle C x, x\rangle^2

    Parameters
    ----------
    C : LinearOperator
        With equal shapes of domain and range; a matrix is wrapped by ``wellposed.operators.Matrix``.

    Raises
    ------
    TypeError, ValueError
        If ``C`` is no operator, or its shapes differ.

    Notes
    -----
    Source: S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, 2025.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> f = wp.EigenvectorPenalty(wp.operators.Matrix(np.diag([1.0, 2.0])))
    >>> f(np.array([0.0, 3.0])), f(np.array([1.0, 1.0]))
    (0.0, 1.0)
    """

    C: LinearOperator

    def __post_init__(self) -> None:
        if not isinstance(self.C, LinearOperator):
            raise TypeError(
                f"C must be a LinearOperator, got {type(self.C).__name__}; "
                "wrap a matrix with wellposed.operators.Matrix"
            )
        if self.C.domain_shape != self.C.range_shape:
            raise ValueError(
                f"only a square operator has eigenvectors, got {self.C.domain_shape} to {self.C.range_shape}"
            )

    @property
    def shape(self) -> Shape | None:
        return self.C.domain_shape

    def _maps(self, x: Array) -> tuple[Array, Array]:
        return self.C(x), x

    def _push(self, x: Array, v: Array) -> tuple[Array, Array]:
        return self.C(v), v

    def _pull(self, x: Array, p: Array, q: Array) -> Array:
        return self.C.apply_adjoint(p) + q

    def _bend(self, x: Array, p: Array, q: Array, v: Array) -> Array:
        return 0.0 * v


@dataclass(frozen=True, eq=False)
class OrthogonalPenalty(CauchySchwarz):
    r"""Zero for matrices with orthogonal columns of equal length, of any length.

    .. math:: f(X) = K \|X^T X\|_F^2 - \|X\|_F^4

    Here ``X`` has two axes and ``K`` columns.

    Raises
    ------
    ValueError
        If the array does not have two axes.

    Notes
    -----
    Source: S. Taner, Z. Wang and C. Studer, Cauchy-Schwarz regularizers, 2025.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.OrthogonalPenalty()(np.array([[3.0, 0.0], [0.0, -3.0], [0.0, 0.0]]))
    0.0
    """

    def _maps(self, x: Array) -> tuple[Array, Array]:
        if len(x.shape) != 2:
            raise ValueError(f"OrthogonalPenalty takes a matrix, got an array of shape {tuple(x.shape)}")
        xp = arrays.namespace(x)
        return x.T @ x, xp.eye(x.shape[1], dtype=x.dtype, device=arrays.device_of(x))

    def _push(self, x: Array, v: Array) -> tuple[Array, Array]:
        half = x.T @ v
        return half + half.T, 0.0 * half

    def _pull(self, x: Array, p: Array, q: Array) -> Array:
        return x @ (p + p.T)

    def _bend(self, x: Array, p: Array, q: Array, v: Array) -> Array:
        return v @ (p + p.T)
