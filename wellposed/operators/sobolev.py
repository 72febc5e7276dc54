"""Powers of the Laplacian: Bessel potentials, whose norms are those of Sobolev."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from wellposed.operators._spectral import SpectralOperator

LARGEST_LOG = math.log(float(np.finfo(np.float32).max)) - 1.0
"""Logarithm of the largest weight of a squared norm: single precision holds it."""


class BesselPotential(SpectralOperator):
    r"""The operator whose norm is that of the Sobolev space :math:`H^s`, for any real ``s``.

    .. math:: P_s = (I - \Delta)^{s/2}, \qquad \|x\|_{H^s} = \|P_s x\|_2

    It emphasises high frequencies for ``s > 0`` and damps them for ``s < 0``; ``s = 0`` is the identity.

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``.
    s : float
        Order, of either sign. The weight on the squared transform of ``x`` has the exponent ``s``,
        that of this operator ``s / 2``.
    boundary : {"periodic", "reflect"}
        By the Fourier or the cosine transform.
    axes : tuple of int, optional
        Axes of the Laplacian (default: all); the time axis alone for traces of seismograms.
    spacing : float
        Distance between neighbours: the unit of length (or time) in which 1 is added to
        :math:`-\Delta`.
    symbol : {"differences", "frequencies"}
        :math:`-\Delta` by second differences, with eigenvalues
        :math:`\sum 4 \sin^2(\pi k_a / n_a)`, at most 8 for images whatever their size; or with the
        exact squared frequencies :math:`\sum (2 \pi k_a / n_a)^2`. With "reflect" halve the angles.

    Raises
    ------
    ValueError
        If ``s`` is not finite, or so large that the weights of the squared norm overflow.

    Notes
    -----
    Self-adjoint; the norm and `solve_normal` have a closed form, and the inverse is that of order
    ``-s``. With "reflect" it computes in host memory.
    Source: B. Zhu et al., Implicit regularization effects of the Sobolev norms in image processing,
    arXiv 2109.06255.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> P = wp.operators.BesselPotential((2,), 2.0)
    >>> P(np.array([1.0, 0.0]))
    array([ 3., -2.])
    >>> P.inverse(P(np.array([1.0, 0.0])))
    array([1., 0.])
    """

    def __init__(
        self,
        shape: Any,
        s: float,
        boundary: str = "periodic",
        *,
        axes: tuple[int, ...] | None = None,
        spacing: float = 1.0,
        symbol: str = "differences",
    ):
        super().__init__(shape, boundary, axes, spacing, symbol)
        self.s = check_order(s)
        _ = self._eigenvalues

    def _eigenvalues_at(self, laplacian: np.ndarray) -> np.ndarray:
        _check_weights(math.log1p(float(laplacian.max())), self.s)
        return np.asarray(np.exp(0.5 * self.s * np.log1p(laplacian)))

    def of_order(self, s: float) -> BesselPotential:
        """The potential of another order on the same grid."""
        return BesselPotential(
            self.domain_shape, s, self.boundary, axes=self.axes, spacing=self.spacing, symbol=self.symbol
        )

    @property
    def inverse(self) -> BesselPotential:
        """The potential of order ``-s``."""
        return self.of_order(-self.s)

    def __repr__(self) -> str:
        return f"BesselPotential({self.domain_shape}, s={self.s:g}, {self.boundary!r})"


class FractionalLaplacian(SpectralOperator):
    r""":math:`(-\Delta)^{s/2}` for ``s > 0``, whose norm is the seminorm of the homogeneous space."""

    def __init__(
        self,
        shape: Any,
        s: float,
        boundary: str = "reflect",
        *,
        axes: tuple[int, ...] | None = None,
        spacing: float = 1.0,
        symbol: str = "differences",
    ):
        super().__init__(shape, boundary, axes, spacing, symbol)
        self.s = check_order(s)
        if self.s <= 0:
            raise ValueError(f"s must be positive, got {s}: for other orders take BesselPotential")
        _ = self._eigenvalues

    def _eigenvalues_at(self, laplacian: np.ndarray) -> np.ndarray:
        largest = float(laplacian.max())
        _check_weights(math.log(largest) if largest > 0 else 0.0, self.s)
        return np.asarray(laplacian ** (0.5 * self.s))

    def __repr__(self) -> str:
        return f"FractionalLaplacian({self.domain_shape}, s={self.s:g}, {self.boundary!r})"


def _check_weights(largest: float, s: float) -> None:
    """Raise `ValueError` if the weights for ``s`` overflow; ``largest`` is the logarithm of those for 1."""
    if abs(s * largest) > LARGEST_LOG:
        raise ValueError(
            f"s={s:g} is too large: the weights of the squared norm reach "
            f"10^{s * largest / math.log(10):.0f}; on this grid "
            f"|s| may be up to {LARGEST_LOG / abs(largest):.3g}"
        )


def check_order(s: Any) -> float:
    """The order as a number, or an error."""
    number = float(s)
    if not math.isfinite(number):
        raise ValueError(f"s must be finite, got {s}")
    return number
