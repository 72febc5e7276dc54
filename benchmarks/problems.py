"""Inputs that several benchmarks share, and references with a certificate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import wellposed as wp
from wellposed.kernels.tv_differences import gradient


def photograph(size: int) -> np.ndarray:
    """The camera man at ``size`` x ``size`` pixels, between 0 and 1; float32."""
    from skimage import data, transform

    image = data.camera() / 255.0
    if image.shape != (size, size):
        image = transform.resize(image, (size, size), order=1, anti_aliasing=size < image.shape[0])
    return image.astype(np.float32)


def noisy_photograph(size: int, sigma: float = 0.1) -> np.ndarray:
    """`photograph` with Gaussian noise; float32."""
    rng = np.random.default_rng(0)
    image = photograph(size)
    return image + np.float32(sigma) * rng.standard_normal(image.shape, np.float32)


def total_variation(x: np.ndarray) -> float:
    """Isotropic total variation with forward differences, summed in double precision."""
    d = gradient(x)
    return float(np.sqrt((d * d).sum(axis=0)).sum(dtype=np.float64))


@dataclass(frozen=True)
class Reference:
    """The minimum of an objective, known to lie between two bounds, and the objective itself."""

    value: Callable[[np.ndarray], float]
    lower: float
    upper: float

    def error(self, x: np.ndarray) -> float:
        """An upper bound of the relative objective error of ``x``; infinite where ``x`` is not admitted."""
        return (self.value(x) - self.lower) / self.lower

    @property
    def certified(self) -> float:
        """The relative duality gap that `wp.verify` computed."""
        return (self.upper - self.lower) / self.lower


def certified(
    objective: wp.Functional, value: Callable[[np.ndarray], float], tol: float
) -> tuple[Reference, np.ndarray]:
    """Solve tightly; the bounds are those of `wp.verify`. Also returns the solution."""
    result = wp.minimize(objective, tol=tol, progress=False)
    certificate = wp.verify(objective, result)
    if not (certificate.is_bound and certificate.relative <= 3 * tol):
        raise ArithmeticError(f"no certified reference: {certificate} after {result.status}")
    return Reference(value, certificate.lower_bound, certificate.primal), result.x
