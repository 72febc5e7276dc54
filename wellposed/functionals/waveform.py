"""Full waveform inversion: how far simulated traces are from recorded ones, in a Sobolev norm."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import Parameter
from wellposed.functionals.sobolev import SobolevLeastSquares
from wellposed.operators.waveform import AcousticWaves, LinearisedWaves


@dataclass
class _Latest:
    """The last point at which waves were simulated, with these waves."""

    point: LinearisedWaves | None = None

    def at(self, waves: AcousticWaves, x: Any) -> LinearisedWaves:
        kept = self.point
        if kept is None or not kept.is_at(x):
            # Freed before the next one is made: the fields of one point fill much memory.
            self.point = kept = None
            self.point = kept = waves.linearised(x)
        return kept


@dataclass(frozen=True, eq=False)
class WaveformLeastSquares(Functional):
    r"""Half the squared distance of simulated traces to data, as a function of the velocities.

    .. math:: f(c) = \tfrac12 \|F(c) - b\|_{H^s}^2,
              \qquad \nabla f(c) = F'(c)^* (I - \partial_t^2)^s (F(c) - b)

    ``F`` solves the wave equation (`wellposed.operators.AcousticWaves`); only the adjoint source depends
    on ``s``. With ``s < 0`` low frequencies of the traces count more: the misfit grows monotonically
    with a time shift over a wider range (less cycle skipping), and noise of high frequency counts less.
    With ``s > 0`` high frequencies count more, which sharpens details where data are clean.

    Parameters
    ----------
    waves : AcousticWaves
    b : array of shape (sources, receivers, times)
        Recorded traces.
    s : float or Parameter
        Order of the Sobolev norm, of either sign; 0 is least squares.
    boundary : {"reflect", "periodic"}
        How traces go on beyond their ends. Periodic ones should begin and end with rest.
    axes : tuple of int
        Axes of the norm: 2 is time; ``(1, 2)`` adds the receivers, one trace counting like one sample.
    unit : float, optional
        Unit of time, in that of ``dt``, in which the derivative is taken: the weights are
        :math:`(1 + (2 \pi f\,\mathrm{unit})^2)^s`. Keep it above :math:`1 / (2 \pi f)` for the dominant
        frequency ``f``: far below that all weights are 1.
    symbol : {"differences", "frequencies"}
        See `wellposed.operators.BesselPotential`.

    Raises
    ------
    ValueError, TypeError
        If ``b`` has another shape than the traces, is not finite or not real, or ``s`` is so large that
        weights overflow.

    Notes
    -----
    Not convex: `minimize` needs an ``x0`` and ends ``stationary``. The value is infinite where a
    velocity is not positive or above ``waves.max_velocity``; ``Box(low, high)`` keeps proximal
    gradient within. The scale of the term changes with ``s``, by about :math:`(2 \pi f)^{2s}`.
    The last velocities and their waves are kept, so that a gradient costs three simulations. The
    gradient along the squared slowness :math:`m = c^{-2}` is :math:`-\tfrac12 c^3` times this one.
    Source: B. Zhu et al., Implicit regularization effects of the Sobolev norms in image processing,
    arXiv 2109.06255, section on full waveform inversion.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wavelet = wp.operators.ricker(5.0, 0.004, 150)
    >>> waves = wp.operators.AcousticWaves((12, 16), 0.04, 0.004, wavelet, [[1, 2]], [[1, 13]], 3.0)
    >>> truth = np.full((12, 16), 2.0)
    >>> f = wp.WaveformLeastSquares(waves, waves(truth), s=-1.0)
    >>> f(truth), f(1.1 * truth) > 0
    (0.0, True)
    """

    waves: AcousticWaves
    b: Array
    s: float | Parameter = 0.0
    boundary: str = "reflect"
    axes: tuple[int, ...] = (2,)
    unit: float = 1.0
    symbol: str = "differences"
    _latest: _Latest = field(default_factory=_Latest, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.waves, AcousticWaves):
            raise TypeError(f"waves must be an AcousticWaves, got {type(self.waves).__name__}")
        object.__setattr__(self, "b", arrays.as_floating(self.b, "b"))
        if tuple(self.b.shape) != self.waves.range_shape:
            raise ValueError(
                f"b has shape {tuple(self.b.shape)}, but {self.waves!r} gives {self.waves.range_shape}: "
                "sources, receivers, times"
            )
        if not (math.isfinite(self.unit) and self.unit > 0):
            raise ValueError(f"unit must be finite and positive, got {self.unit}")
        # All numbers of the geometry, by which a checkpoint knows what it belongs to.
        w = self.waves
        numbers = (w.spacing, w.dt, w.max_velocity, w.layer, w.wavelets, w.sources, w.receivers)
        object.__setattr__(self, "_geometry", numbers)
        _ = self.misfit

    @cached_property
    def misfit(self) -> SobolevLeastSquares:
        """The functional of the traces."""
        spacing = self.waves.dt / self.unit
        return SobolevLeastSquares(None, self.b, self.s, self.boundary, self.axes, spacing, self.symbol)

    @property
    def traits(self) -> Traits:
        return Traits(convex=False, lipschitz=math.inf, prox=False, conjugate=False)

    @property
    def shape(self) -> Shape:
        return self.waves.shape

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.b,)

    def linearised(self, x: Array) -> LinearisedWaves:
        """The derivative of the traces at ``x``, kept until it is asked for at another point."""
        return self._latest.at(self.waves, x)

    def __call__(self, x: Array) -> float:
        if not self.waves.allows(x):
            return math.inf
        return self.misfit(self.linearised(x).traces)

    def gradient(self, x: Array) -> Array:
        J = self.linearised(x)
        return J.apply_adjoint(self.misfit.gradient(J.traces))

    def gauss_newton_product(self, x: Array, v: Array) -> Array:
        r"""The Hessian without the second derivative of the waves, :math:`F'^* (I - \partial_t^2)^s F' v`."""
        J = self.linearised(x)
        return J.apply_adjoint(self.misfit.hessian_product(self.b, J(v)))

    def __str__(self) -> str:
        return f"WaveformLeastSquares({self.waves!r}, b, s)"
