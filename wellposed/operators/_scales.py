"""Weights for the coefficients of a multiscale transform, from one number per scale."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Multiscale(Protocol):
    """A transform whose coefficients belong to scales."""

    range_shape: tuple[int, ...]

    @property
    def scales(self) -> np.ndarray:
        """The scale of each band or coefficient: from 1 (the finest) up; 0 is the approximation."""

    @property
    def atom_norms(self) -> np.ndarray:
        """The norm of the atom of each band or coefficient."""


def weights_per_scale(self: Multiscale, values: Any = 1.0, approximation: float = 0.0) -> np.ndarray:
    """Weights for `L1` and other separable penalties of the coefficients: one number per scale.

    Parameters
    ----------
    values : float or sequence of float
        Weight of each scale, from scale 1 (the finest) to the coarsest, at least 0; a single number
        holds for all of them.
    approximation : float
        Weight of scale 0, the low-pass coefficients, at least 0. By default they go free.

    Returns
    -------
    ndarray
        The weight of its scale times the norm of its atom (`atom_norms`) for each coefficient, in a shape
        that broadcasts against the coefficients.

    Raises
    ------
    ValueError
        If there is not one value per scale, or one is negative or not finite.

    Notes
    -----
    White noise of level ``sigma`` makes coefficients of deviation ``sigma * atom_norms``, so that equal
    values let a multiple of the noise pass at every scale.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> W = wp.operators.UndecimatedWavelet((8,), "haar", level=2)
    >>> W.weights_per_scale([3.0, 2.0]).round(3).ravel()
    array([0.   , 1.   , 2.121])
    """
    coarsest = int(self.scales.max())
    chosen = np.asarray(values, dtype=np.float64)
    if chosen.ndim == 0:
        chosen = np.full(coarsest, float(chosen))
    if chosen.shape != (coarsest,):
        raise ValueError(
            f"values must be one number, or {coarsest} from the finest scale to the coarsest, "
            f"got an array of shape {chosen.shape}"
        )
    table = np.array([float(approximation), *chosen])
    if not (np.isfinite(table).all() and (table >= 0).all()):
        raise ValueError(f"weights must be finite and at least 0, got {values} and {approximation}")
    weights = table[self.scales] * self.atom_norms
    return np.asarray(weights.reshape(*weights.shape, *(1,) * (len(self.range_shape) - weights.ndim)))
