"""The digital shearlet transform."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from wellposed.operators import _shearlet_filters as filters
from wellposed.operators._base import LinearOperator, as_shape
from wellposed.operators._filter_bank import DualBank, FilterBank
from wellposed.operators._scales import weights_per_scale
from wellposed.operators.fourier import as_axes


class Shearlets(FilterBank):
    r"""A system of compactly supported shearlets: a multiscale transform that sees directions.

    .. math:: (A x)_b = \psi_b * x, \qquad \textstyle\sum_b |\hat\psi_b|^2 = 1
        \;\text{ if } tight, \text{ so that } A^*A = I

    Parameters
    ----------
    shape : tuple of int
        Shape of ``x``, of any sizes.
    scales : int
        Number of scales, at most as many as the larger image side has octaves.
    levels : sequence of int, optional
        Level ``l`` of each scale from the coarsest to the finest, 0 to 4: it has ``2^(l+2)`` directions.
        Default: ``ceil(j / 2)`` for ``j = 1, ..., scales``, the parabolic scaling of shearlets.
    tight : bool
        Divide all filters by the root of their power sum. Without it the filters are those of the
        source; the frame bounds are then about 0.07 and 1, and `inverse` is not the adjoint.
    axes : tuple of two int, optional
        Transform along these axes only (default: the last two); leave out a channel axis.

    Raises
    ------
    ValueError
        For fewer than two axes, or scales or levels out of range.

    Notes
    -----
    The output has shape ``(bands, *shape)``: first the low-pass band, then the scales from the coarsest to
    the finest; within a scale the horizontal cone, then the vertical one. Four scales make 49 bands.
    `scales` tells the scale of each band, from 1 (the finest) up, 0 for the low-pass; `directions` its
    orientation. The border is periodic, and on images smaller than a filter the filter wraps around.

    Norm, frame bounds and `solve_normal` are exact: ``A.T @ A`` is a convolution. All spectra are real and
    even, so that transforms of real arrays take half the grid.
    Sources: G. Kutyniok, W.-Q. Lim and R. Reisenhofer, ShearLab 3D: faithful digital shearlet transforms
    based on compactly supported shearlets, 2016; S. Kolek, R. Windesheim, H. Andrade-Loarca, G. Kutyniok
    and R. Levie, Explaining image classifiers with multiscale directional image representation, 2023.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> S = wp.operators.Shearlets((32, 48), scales=2)
    >>> x = np.zeros((32, 48))
    >>> x[:, 24] = 1.0  # a vertical line
    >>> S(x).shape
    (17, 32, 48)
    >>> bool(np.allclose(S.T(S(x)), x))
    True
    >>> energy = (S(x) ** 2).sum(axis=(1, 2))
    >>> float(S.directions[1:][energy[1:].argmax()])
    90.0
    """

    def __init__(
        self,
        shape: Any,
        scales: int = 4,
        levels: Sequence[int] | None = None,
        tight: bool = True,
        axes: tuple[int, ...] | None = None,
    ):
        shape = as_shape(shape, "shape")
        if len(shape) < 2:
            raise ValueError(f"shearlets need two axes, got the shape {shape}: use UndecimatedWavelet")
        axes = as_axes((len(shape) - 2, len(shape) - 1) if axes is None else axes, len(shape))
        if len(axes) != 2:
            raise ValueError(f"shearlets transform along two axes, got {axes}")
        most = int(math.log2(max(shape[axis] for axis in axes)))
        if int(scales) != scales or not 1 <= scales <= most:
            allowed = f"be from 1 to {most}" if most else "be at least 1, which one pixel has no room for"
            raise ValueError(f"scales must {allowed} for the shape {shape}, got {scales}")
        self.levels = _checked_levels(levels, int(scales))
        self.tight = bool(tight)
        self._atoms = _atoms(self.levels)
        super().__init__(shape, axes, 1 + len(self._atoms))

    @cached_property
    def scales(self) -> np.ndarray:
        """The scale of each band, from 1 (the finest) up; 0 is the low-pass band."""
        return np.array([0, *(len(self.levels) - j for j, _, _ in self._atoms)])

    @cached_property
    def directions(self) -> np.ndarray:
        """The edges that each band sees, in degrees from the last axis; NaN for the low-pass band.

        0 is an edge along the last of the two axes, 90 one along the first; between them the
        direction in which both indices grow is 45.
        """
        found = [math.nan]
        for j, cone, shear in self._atoms:
            slope = shear / 2 ** self.levels[j]
            # The frequency is (slope, 1) or (1, slope) along the axes, and the edge is at right angles to it.
            normal = (slope, 1.0) if cone == 0 else (1.0, -slope)
            found.append(math.degrees(math.atan2(normal[1], -normal[0])) % 180.0)
        return np.array(found)

    weights_per_scale = weights_per_scale

    @cached_property
    def spectra(self) -> np.ndarray:
        """Transfer function of each band on the half grid of the real transform."""
        rows, columns = (self.domain_shape[axis] for axis in self.axes)
        a = 2 * np.pi * np.fft.fftfreq(rows)[:, None]
        b = 2 * np.pi * np.fft.rfftfreq(columns)[None, :]
        count = len(self.levels)
        bands = [filters.cascade(np.cos(a), count)[0] * filters.cascade(np.cos(b), count)[0]]
        for j, cone, shear in self._atoms:
            across, along = (a, b) if cone == 0 else (b, a)
            directional = filters.wedge(across, along, self.levels[j], shear if cone == 0 else -shear)
            bands.append(directional * filters.band(along, count - 1 - j))
        spectra = np.array(bands)
        if self.tight:
            spectra /= np.sqrt(np.einsum("bij,bij->ij", spectra, spectra))
        return spectra

    @property
    def isometry(self) -> bool:
        return self.tight

    def gram_symbol(self) -> np.ndarray | None:
        """Ones for a tight system, whose ``A* A`` is the identity."""
        return np.ones(self.domain_shape) if self.tight else None

    def _norm(self) -> float:
        return 1.0 if self.tight else super()._norm()

    @cached_property
    def dual(self) -> LinearOperator:
        """The canonical dual system; this one itself if it is tight."""
        return self if self.tight else DualBank(self)

    @property
    def inverse(self) -> LinearOperator:
        """A left inverse, by the dual system: the adjoint if the system is tight."""
        return self.dual.adjoint

    def __repr__(self) -> str:
        options = "" if self.tight else ", tight=False"
        return f"Shearlets({self.domain_shape}, scales={len(self.levels)}{options})"


def _checked_levels(levels: Sequence[int] | None, scales: int) -> tuple[int, ...]:
    """One level of directions per scale."""
    if levels is None:
        return tuple(math.ceil(j / 2) for j in range(1, scales + 1))
    if len(levels) != scales or any(int(level) != level or not 0 <= level <= 4 for level in levels):
        raise ValueError(f"levels must hold {scales} integers from 0 to 4, one per scale, got {levels}")
    return tuple(int(level) for level in levels)


def _atoms(levels: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Place of the scale (0 is the coarsest), cone and shear of each band but the low-pass."""
    found = []
    for j, level in enumerate(levels):
        steps = 2**level
        found += [(j, 0, k) for k in range(-steps, steps + 1)]
        # The cones share their border shears.
        found += [(j, 1, k) for k in range(1 - steps, steps)]
    return found
