"""Diagonal operators: identity, mask, weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators.fourier import is_complex_domain


class Identity(LinearOperator):
    """The identity, ``A(x) = x`` (a copy, never the array itself).

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``.
    domain : {"real", "complex"}
        Kind of ``x``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.Identity((2,))(np.array([1.0, 2.0]))
    array([1., 2.])
    """

    def __init__(self, shape: Any, domain: str = "real"):
        shape = as_shape(shape, "shape")
        super().__init__(shape, shape)
        self.complex_domain = self.complex_range = is_complex_domain(domain)
        self.nonnegative = True

    def _apply(self, x: Array, out: Array) -> None:
        out[...] = x

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self._apply(y, out)

    def _norm(self) -> float:
        return 1.0

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return y / (1 + tau)

    @property
    def adjoint(self) -> LinearOperator:
        return self

    def __repr__(self) -> str:
        return f"Identity({self.domain_shape})"


class Diagonal(LinearOperator):
    """Multiplication by real weights, entry by entry: ``A(x) = weights * x``.

    Parameters
    ----------
    weights : array
        Real weights, in the shape of ``x``. A NumPy array (or list) serves inputs of every library
        and device; an array of another library serves inputs of its own kind.
    domain : {"real", "complex"}
        Kind of ``x``.

    Notes
    -----
    The norm is the largest absolute weight.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.Diagonal([2.0, 3.0])(np.array([1.0, 10.0]))
    array([ 2., 30.])
    """

    def __init__(self, weights: Array, domain: str = "real"):
        weights = arrays.as_floating(weights, "weights")
        arrays.check_finite(weights, "weights")
        super().__init__(tuple(weights.shape), tuple(weights.shape))
        self.complex_domain = self.complex_range = is_complex_domain(domain)
        xp = arrays.namespace(weights)
        self.nonnegative = float(xp.min(weights)) >= 0
        self._largest = float(xp.max(xp.abs(weights)))
        self._weights = arrays.Constant(weights)

    @property
    def weights(self) -> Array:
        """The weights, as they were given."""
        return self._weights.array

    @property
    def data(self) -> tuple[Array, ...]:
        return () if type(self.weights) is np.ndarray else (self.weights,)

    def _apply(self, x: Array, out: Array) -> None:
        weights = self._weights.like(x)
        if type(x) is np.ndarray:
            np.multiply(x, weights, out=out)
        else:
            out[...] = x * weights

    def _apply_adjoint(self, y: Array, out: Array) -> None:
        self._apply(y, out)

    def _norm(self) -> float:
        return self._largest

    def gram_symbol(self) -> np.ndarray:
        """The largest squared weight, a bound that is tight where the weights are equal."""
        return np.full(self.domain_shape, self._largest**2)

    def _solve_normal(self, tau: float, y: Array) -> Array:
        return y / (1 + tau * self._weights.like(y) ** 2)

    @property
    def adjoint(self) -> LinearOperator:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.domain_shape})"


class Mask(Diagonal):
    """Keep the entries where the mask is true and set the others to 0; the shape stays.

    Parameters
    ----------
    mask : array of bool
        True (or 1) where an entry is observed, false (or 0) elsewhere.
    domain : {"real", "complex"}
        Kind of ``x``.

    Notes
    -----
    A mask is an orthogonal projection: ``A @ A`` and ``A.T`` are ``A``, and the norm is 1.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.operators.Mask([True, False])(np.array([1.0, 2.0]))
    array([1., 0.])
    """

    def __init__(self, mask: Array, domain: str = "real"):
        mask = arrays.as_array(mask, "mask")
        xp = arrays.namespace(mask)
        if not xp.isdtype(mask.dtype, "bool") and bool(xp.any((mask != 0) & (mask != 1))):
            raise ValueError("a mask holds True and False (or 1 and 0) only; for weights use Diagonal")
        super().__init__(xp.astype(mask != 0, xp.float32), domain)

    @property
    def mask(self) -> Array:
        """Where entries are kept, as an array of bool."""
        return self.weights != 0
