"""Data fits: how far ``A x`` is from the data ``b``."""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits, step_for
from wellposed.functionals.parameter import Parameter
from wellposed.operators._base import LinearOperator
from wellposed.operators.centring import Centring


@dataclass(frozen=True, eq=False)
class DataFit(Functional):
    """A loss of ``A x`` against data ``b``; subclasses write the loss of ``u = A x``."""

    A: LinearOperator | None
    b: Array

    def __post_init__(self) -> None:
        if self.A is not None and not isinstance(self.A, LinearOperator):
            raise TypeError(
                f"A must be a LinearOperator or None, got {type(self.A).__name__}; "
                "wrap a matrix with wellposed.operators.Matrix"
            )
        complex_data = self.A is not None and self.A.complex_range
        object.__setattr__(self, "b", arrays.as_floating(self.b, "b", complex_data))
        arrays.check_finite(self.b, "b")
        if self.A is not None and tuple(self.b.shape) != self.A.range_shape:
            raise ValueError(f"b has shape {tuple(self.b.shape)}, but {self.A!r} gives {self.A.range_shape}")

    # --- what a subclass writes: everything as a function of u = A x -------------------------

    def _loss_traits(self) -> Traits:
        raise TypeError(f"{type(self).__name__} does not declare its traits")

    def _loss(self, u: Array) -> float:
        raise TypeError(f"{type(self).__name__} does not define its loss")

    def _slope(self, u: Array) -> Array:
        raise TypeError(f"{self} has no gradient: it is not differentiable")

    def _curvature(self, u: Array) -> Array:
        """Diagonal of the second derivative of the loss."""
        raise TypeError(f"{self} has no Hessian product")

    def _loss_parameter_product(self, u: Array, w: Array) -> dict[str, Any]:
        """`parameter_product` of the loss."""
        return self._without_parameters("the derivative of <gradient, v>")

    def _loss_parameter_gradient(self, u: Array) -> dict[str, Any]:
        """`parameter_gradient` of the loss."""
        return self._without_parameters("the derivative of the value")

    # --- a free intercept, for the subclasses with a field ``intercept`` ----------------------

    @property
    def _profiled(self) -> bool:
        """Whether the value is the least one over all constants added to ``A x``."""
        return bool(getattr(self, "intercept", False))

    def _check_intercept(self) -> None:
        if not isinstance(value := getattr(self, "intercept", False), bool):
            raise TypeError(f"intercept is True or False, got {value!r}")

    def _without_intercept(self) -> tuple[Functional, LinearOperator | None]:
        """The loss of ``u = A x`` over all constants, as ``(f, K)``."""
        from wellposed.functionals.intercept import FreeIntercept

        return FreeIntercept(self._plain()), None

    def _plain(self) -> Self:
        """This loss of ``u`` itself, with neither operator nor intercept."""
        # The data are checked already, and complex data need no complex x here.
        outer = copy.copy(self)
        object.__setattr__(outer, "A", None)
        if self._profiled:
            object.__setattr__(outer, "intercept", False)
        return outer

    def intercept_at(self, x: Array) -> float:
        """The best constant to add to ``A x``: the intercept that belongs to ``x`` (0 without one)."""
        from wellposed.functionals.intercept import FreeIntercept

        if not self._profiled:
            return 0.0
        return FreeIntercept(self._plain()).best(x if self.A is None else self.A(x))

    # --- the functional -----------------------------------------------------------------------

    @property
    def traits(self) -> Traits:
        t = self._loss_traits()
        if self.A is None and not self._profiled:
            return t
        lipschitz = t.lipschitz
        if self.A is not None and lipschitz is not None and lipschitz not in (0.0, math.inf):
            lipschitz = lipschitz * self.A.norm() ** 2
        return dataclasses.replace(
            t, lipschitz=lipschitz, strong_convexity=0.0, separable=False, prox=False, conjugate=False
        )

    @property
    def shape(self) -> Shape | None:
        return tuple(self.b.shape) if self.A is None else self.A.domain_shape

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.b,)

    def factor(self, shape: Shape) -> tuple[Functional, LinearOperator | None]:
        if not self._profiled:
            return (self, None) if self.A is None else (self._plain(), self.A)
        f, K = self._without_intercept()
        if self.A is None:
            return f, K
        return f, self.A if K is None else K @ self.A

    def __call__(self, x: Array) -> float:
        if self._profiled:
            f, K = self.factor(tuple(x.shape))
            return f(x if K is None else K(x))
        return self._loss(x if self.A is None else self.A(x))

    def gradient(self, x: Array) -> Array:
        if self._profiled:
            f, K = self.factor(tuple(x.shape))
            return f.gradient(x) if K is None else K.apply_adjoint(f.gradient(K(x)))
        return self._slope(x) if self.A is None else self.A.apply_adjoint(self._slope(self.A(x)))

    def hessian_product(self, x: Array, v: Array) -> Array:
        if self._profiled:
            f, K = self.factor(tuple(x.shape))
            return f.hessian_product(x, v) if K is None else K.apply_adjoint(f.hessian_product(K(x), K(v)))
        if self.A is None:
            return self._curvature(x) * v
        return self.A.apply_adjoint(self._curvature(self.A(x)) * self.A(v))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        f, K = self.factor(tuple(x.shape))
        if f is self:
            return self._loss_parameter_product(x, v)
        return self._all_of(f.parameter_product(x, v) if K is None else (f @ K).parameter_product(x, v))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        f, K = self.factor(tuple(x.shape))
        if f is self:
            return self._loss_parameter_gradient(x)
        return self._all_of(f.parameter_gradient(x) if K is None else (f @ K).parameter_gradient(x))

    def _all_of(self, derivatives: dict[str, Any]) -> dict[str, Any]:
        """The derivatives if none is missing: operators made of others hide their parameters."""
        if set(derivatives) == {p.name for p in self.parameters}:
            return derivatives
        return self._without_parameters("the derivative")

    def prox(self, x: Array, step: Any = 1.0) -> Array:
        if self._profiled:
            raise TypeError(f"{self} has no proximal map in closed form, since its intercept is free")
        if self.A is not None:
            raise TypeError(
                f"{self} has no proximal map in closed form, since its operator is not the identity"
            )
        return self._loss_prox(x, step)

    def _loss_prox(self, u: Array, step: Any) -> Array:
        raise TypeError(f"{self} has no proximal map in closed form")

    def __str__(self) -> str:
        return f"{type(self).__name__}({'x' if self.A is None else repr(self.A)}, b)"


@dataclass(frozen=True, eq=False)
class LeastSquares(DataFit):
    r"""Half the squared distance to the data.

    .. math:: f(x) = \tfrac12 \sum_i w_i\, |(A x - b)_i|^2

    Parameters
    ----------
    A : LinearOperator or None
        ``None`` is the identity.
    b : array
        Data, of the shape of the range of ``A``.
    weights : array, optional
        ``w >= 0``, of the shape of ``b``; for noise of variance ``v`` take ``1 / v``.
    intercept : bool
        Whether a constant may be added to ``A x`` free of charge: the value is then the least one over
        all constants, and ``intercept_at(x)`` gives the best.

    Raises
    ------
    ValueError
        If shapes do not fit, or data or weights are not finite, or a weight is negative, or the (weighted)
        squares of the data overflow.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.LeastSquares(None, np.array([1.0, 2.0]))(np.zeros(2))
    2.5
    """

    weights: Array | None = None
    intercept: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_intercept()
        if self.weights is not None:
            weights = arrays.as_namespace(self.weights, self.b, "weights")
            object.__setattr__(self, "weights", check_weights(weights, tuple(self.b.shape)))
            if self.intercept and not bool(arrays.namespace(weights).any(weights > 0)):
                raise ValueError("a free intercept needs a weight above 0: with none any constant would do")
        with np.errstate(over="ignore"):
            finite = math.isfinite(self._half_square())
        if not finite:
            largest = float(arrays.namespace(self.b).max(arrays.namespace(self.b).abs(self.b)))
            raise ValueError(
                f"squares of the data b, of up to {largest:.3g} in size, are too large to compute with in"
                f" {self.b.dtype}: give b in a larger unit"
            )

    def _loss_traits(self) -> Traits:
        xp = arrays.namespace(self.b)
        w = (1.0, 1.0) if self.weights is None else (float(xp.max(self.weights)), float(xp.min(self.weights)))
        return Traits(lipschitz=w[0], strong_convexity=w[1], quadratic=True, separable=True)

    def _loss(self, u: Array) -> float:
        r = u - self.b
        return 0.5 * arrays.inner(r, r if self.weights is None else self.weights * r)

    def _without_intercept(self) -> tuple[Functional, LinearOperator | None]:
        """The fit of centred data by centred predictions, whose conjugate is finite everywhere."""
        P = Centring(tuple(self.b.shape), self.weights)
        centred = self._plain()
        object.__setattr__(centred, "b", P(self.b))
        return centred, P

    def at_zero(self, zero: Array) -> float:
        if self._profiled:
            return self.factor(tuple(zero.shape))[0].at_zero(zero)
        return self._half_square()

    def _half_square(self) -> float:
        return 0.5 * arrays.inner(self.b, self.b if self.weights is None else self.weights * self.b)

    def _slope(self, u: Array) -> Array:
        r = u - self.b
        return r if self.weights is None else self.weights * r

    def _curvature(self, u: Array) -> Array:
        return 1.0 if self.weights is None else self.weights

    def _loss_prox(self, u: Array, step: Any) -> Array:
        step = step_for(u, step)
        scale = step if self.weights is None else step * self.weights
        return (u + scale * self.b) / (1 + scale)

    def _conjugate(self, y: Array) -> float:
        linear = arrays.inner(y, self.b)
        if self.weights is None:
            return linear + 0.5 * arrays.inner(y, y)
        xp = arrays.namespace(y)
        seen = self.weights > 0
        if bool(xp.any(xp.where(seen, 0.0 * xp.abs(y), xp.abs(y)) > 0)):
            return math.inf
        safe = xp.where(seen, self.weights, xp.ones_like(self.weights))
        return linear + 0.5 * arrays.inner(y, y / safe)

    def project_dual(self, y: Array) -> Array:
        if self.weights is None:
            return y
        return arrays.namespace(y).where(self.weights > 0, y, 0.0 * y)

    def dual_scale(self, y: Array) -> float:
        return 1.0 if self.weights is None or math.isfinite(self._conjugate(y)) else 0.0

    def _conjugate_gradient(self, y: Array) -> Array:
        return self.b + (y if self.weights is None else y / self.weights)


def SquaredError(truth: Array) -> LeastSquares:
    r"""Half the squared distance to the truth, the usual loss to learn parameters with.

    .. math:: \ell(x) = \tfrac12 \|x - x_{\mathrm{true}}\|^2

    Parameters
    ----------
    truth : array

    Returns
    -------
    LeastSquares
        ``LeastSquares(None, truth)``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.SquaredError(np.array([1.0, 2.0]))(np.array([1.0, 0.0]))
    2.0
    """
    return LeastSquares(None, truth)


def check_real(fit: DataFit) -> None:
    """Refuse complex data, for losses that are defined for real data only."""
    if arrays.is_complex(fit.b):
        raise TypeError(
            f"{type(fit).__name__} takes real data, got {fit.b.dtype}; take LeastSquares or L1Loss"
        )


def check_weights(weights: Array, shape: Shape | None) -> Array:
    """``weights`` if they are finite, at least 0 and of the right shape; else an error that says why."""
    xp = arrays.namespace(weights)
    arrays.check_finite(weights, "weights")
    if shape is not None and tuple(weights.shape) != shape:
        raise ValueError(f"weights have shape {tuple(weights.shape)}, expected {shape}")
    if bool(xp.any(weights < 0)):
        raise ValueError(f"weights must be at least 0, the smallest is {float(xp.min(weights)):g}")
    return weights


def as_weights(weights: Array, shape: Shape | None = None) -> Array:
    """``weights`` as a floating array that is finite and at least 0; an error that says why if it is not."""
    return check_weights(arrays.as_floating(weights, "weights"), shape)


def learnable_weights(weights: Array | Parameter | None) -> Array | Parameter | None:
    """Weights as `as_weights` gives them, or a `Parameter` of weights at least 0 as it is."""
    if isinstance(weights, Parameter):
        check_weights(np.asarray(weights.value), None)
        return weights
    return None if weights is None else as_weights(weights)
