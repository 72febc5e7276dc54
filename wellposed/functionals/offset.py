"""Least squares whose data are moved by a linear function of learned numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import Parameter, current
from wellposed.operators._base import LinearOperator
from wellposed.operators.matrices import DenseMatrix


@dataclass(frozen=True, eq=False)
class OffsetLeastSquares(Functional):
    r"""Half the squared residual of data from which a learned part is taken away.

    .. math:: f(x) = \tfrac12 \|A x + C \theta - b\|^2

    ``C theta`` models a background, a drift or a calibration that is not known beforehand.

    Parameters
    ----------
    A : LinearOperator
    C : LinearOperator
        Of the same range as ``A``.
    b : array
        Data, of the shape of the range of ``A``.
    offset : Parameter
        ``theta``, of the shape of the domain of ``C``; usually with the transform ``identity``.

    Raises
    ------
    TypeError, ValueError
        If shapes do not fit, or data are not finite.

    Notes
    -----
    For dense matrices in host memory with at most 256 columns the products ``A* A`` and ``A* C`` are
    computed once, and the strong convexity constant is the least eigenvalue of ``A* A``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> from wellposed.functionals.offset import OffsetLeastSquares
    >>> identity = wp.operators.Matrix(np.eye(2))
    >>> theta = wp.Parameter("theta", [1.0, 1.0], low=-np.inf, transform="identity")
    >>> OffsetLeastSquares(identity, identity, np.array([3.0, 2.0]), theta)(np.zeros(2))
    2.5
    """

    A: LinearOperator
    C: LinearOperator
    b: Array
    offset: Parameter | Array
    _shared: dict[str, Any] = field(default_factory=dict, repr=False)
    """Products of matrices, which copies with other values of the offset share."""

    def __post_init__(self) -> None:
        for name, operator in (("A", self.A), ("C", self.C)):
            if not isinstance(operator, LinearOperator):
                raise TypeError(f"{name} must be a LinearOperator, got {type(operator).__name__}")
        if not self._shared:
            object.__setattr__(self, "b", arrays.as_floating(self.b, "b"))
            arrays.check_finite(self.b, "b")
            self._check_shapes()
            self._shared.update(_products(self.A, self.C, self.b))
        theta = arrays.as_namespace(np.asarray(current(self.offset), dtype=float), self.b, "offset")
        object.__setattr__(self, "_rest", self.C(theta) - self.b)
        if "AA" in self._shared:
            s = self._shared
            object.__setattr__(self, "_linear", s["AC"] @ theta.reshape(-1) - s["Ab"])

    def _check_shapes(self) -> None:
        if not self.A.range_shape == self.C.range_shape == tuple(self.b.shape):
            raise ValueError(
                f"A gives {self.A.range_shape}, C gives {self.C.range_shape}, b has {tuple(self.b.shape)}"
            )
        if np.shape(current(self.offset)) != self.C.domain_shape:
            raise ValueError(
                f"offset has shape {np.shape(current(self.offset))}, C takes {self.C.domain_shape}"
            )

    @property
    def traits(self) -> Traits:
        mu, L = self._shared.get("extent") or (0.0, self.A.norm() ** 2)
        return Traits(lipschitz=L, strong_convexity=mu, quadratic=True, prox=False, conjugate=False)

    @property
    def shape(self) -> Shape | None:
        return self.A.domain_shape

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.b,)

    def _residual(self, x: Array) -> Array:
        return self.A(x) + self._rest  # type: ignore[attr-defined]

    def __call__(self, x: Array) -> float:
        r = self._residual(x)
        return 0.5 * arrays.inner(r, r)

    def gradient(self, x: Array) -> Array:
        if "AA" in self._shared and type(x) is np.ndarray and x.dtype == self._shared["AA"].dtype:
            flat = self._shared["AA"] @ x.reshape(-1) + self._linear  # type: ignore[attr-defined]
            return flat.reshape(x.shape)
        return self.A.apply_adjoint(self._residual(x))

    def hessian_product(self, x: Array, v: Array) -> Array:
        if "AA" in self._shared and type(v) is np.ndarray and v.dtype == self._shared["AA"].dtype:
            return (self._shared["AA"] @ v.reshape(-1)).reshape(v.shape)
        return self.A.apply_adjoint(self.A(v))

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not isinstance(self.offset, Parameter):
            return {}
        if "AA" in self._shared and type(v) is np.ndarray and v.dtype == self._shared["AA"].dtype:
            product = (v.reshape(-1) @ self._shared["AC"]).reshape(self.C.domain_shape)
        else:
            product = self.C.apply_adjoint(self.A(v))
        return {self.offset.name: arrays.to_host(product).astype(np.float64, copy=False)}

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        if not isinstance(self.offset, Parameter):
            return {}
        product = self.C.apply_adjoint(self._residual(x))
        return {self.offset.name: arrays.to_host(product).astype(np.float64, copy=False)}

    def parameter_product_norms(self, x: Array) -> dict[str, float]:
        """Bounds of `parameter_product` for ``||v|| = 1``."""
        if not isinstance(self.offset, Parameter):
            return {}
        if "mixed" not in self._shared:
            dense = "AA" in self._shared
            self._shared["mixed"] = (
                float(np.linalg.norm(self._shared["AC"].astype(np.float64), 2)) * (1 + 1e-6)
                if dense
                else self.A.norm() * self.C.norm()
            )
        return {self.offset.name: self._shared["mixed"]}

    def parameter_product_lipschitz_on(self, shape: Shape) -> dict[str, float]:
        """Lipschitz constants in ``x`` of `parameter_product`, per unit of ``v``: none moves with ``x``."""
        return {self.offset.name: 0.0} if isinstance(self.offset, Parameter) else {}

    def __str__(self) -> str:
        name = self.offset.name if isinstance(self.offset, Parameter) else "offset"
        return f"OffsetLeastSquares(A x + C {name} - b)"


GRAM_BELOW = 256


def _products(A: LinearOperator, C: LinearOperator, b: Array) -> dict[str, Any]:
    """``A* A``, ``A* C`` and ``A* b`` of dense host matrices with few columns, and the extent of ``A* A``."""
    dense = isinstance(A, DenseMatrix) and isinstance(C, DenseMatrix) and type(b) is np.ndarray
    if not dense or A.data or C.data or max(A.shape[1], C.shape[1]) > GRAM_BELOW:
        return {"checked": True}
    a, c = np.asarray(A.matrix), np.asarray(C.matrix)  # type: ignore[attr-defined]
    gram = a.T @ a
    eigenvalues = np.linalg.eigvalsh(gram.astype(np.float64))
    margin = math.prod(gram.shape) ** 0.5 * float(np.finfo(gram.dtype).eps) * float(eigenvalues[-1])
    extent = max(float(eigenvalues[0]) - margin, 0.0), float(eigenvalues[-1]) + margin
    # Summed in the precision of the matrices, then brought to that of the data.
    kind = b.dtype
    return {
        "checked": True,
        "AA": gram.astype(kind),
        "AC": (a.T @ c).astype(kind),
        "Ab": (a.T @ b.reshape(-1)).astype(kind),
        "extent": extent,
    }
