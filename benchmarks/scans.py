"""Few-view scans to reconstruct, with their objectives on our projector and on ASTRA's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import wellposed as wp
from benchmarks.problems import Reference, certified, total_variation
from wellposed.problems.phantoms import analytic_sinogram, rasterize, shepp_logan_ellipses

VIEWS = 60

WEIGHTS = {
    ("Shepp-Logan", 256): 5.0,
    ("Shepp-Logan", 512): 10.0,
    ("CT slice", 256): 10.0,
    ("CT slice", 512): 50.0,
}
"""Of the weights 1, 2, 5, 10, 20 (and 50 for the last), that with the best PSNR."""


class CountedBeam(wp.operators.ParallelBeam):
    """A projector that counts its applications."""

    forwards = 0
    adjoints = 0

    @property
    def pairs(self) -> float:
        """Applications so far, forward and adjoint ones counted half each."""
        return (self.forwards + self.adjoints) / 2

    def _apply_host(self, x: np.ndarray, out: np.ndarray) -> None:
        self.forwards += 1
        super()._apply_host(x, out)

    def _apply_adjoint_host(self, y: np.ndarray, out: np.ndarray) -> None:
        self.adjoints += 1
        super()._apply_adjoint_host(y, out)


class SparseBeam(wp.LinearOperator):
    """A sparse matrix in place of a projector, and the spectrum of the projector as a preconditioner."""

    nonnegative = True

    def __init__(self, matrix: Any, beam: wp.operators.ParallelBeam):
        super().__init__(beam.domain_shape, beam.range_shape)
        self.matrix, self.transpose, self.beam = matrix, matrix.T.tocsr(), beam

    def _apply(self, x: np.ndarray, out: np.ndarray) -> None:
        out[...] = (self.matrix @ x.ravel()).reshape(out.shape)

    def _apply_adjoint(self, y: np.ndarray, out: np.ndarray) -> None:
        out[...] = (self.transpose @ y.ravel()).reshape(out.shape)

    def gram_symbol(self) -> np.ndarray:
        return self.beam.gram_symbol()


@dataclass(frozen=True)
class Scan:
    """A noisy sinogram of an image, and the weight to reconstruct it with."""

    image: str
    size: int
    truth: np.ndarray
    b: np.ndarray
    weight: float

    def beam(self) -> CountedBeam:
        """A new projector, nothing cached."""
        return CountedBeam((self.size, self.size), angles())

    def objective(self, A: wp.LinearOperator, dtype: Any = np.float32) -> wp.Functional:
        b = self.b.astype(dtype, copy=False)
        return wp.LeastSquares(A, b) + self.weight * wp.TotalVariation() + wp.NonNegative()

    def value(self, project: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], float]:
        """The objective; values below 0 count as the 0 that a last projection would make of them."""

        def evaluate(x: np.ndarray) -> float:
            x = np.maximum(x, 0)
            r = project(x).reshape(self.b.shape) - self.b
            return 0.5 * float((r * r).sum(dtype=np.float64)) + self.weight * total_variation(x)

        return evaluate

    def psnr(self, x: np.ndarray) -> float:
        error = float(np.mean((x.astype(float) - self.truth) ** 2))
        return 10 * np.log10(float(np.ptp(self.truth)) ** 2 / error)


def angles() -> np.ndarray:
    return np.linspace(0, np.pi, VIEWS, endpoint=False)


def scan(image: str, size: int) -> Scan:
    """A scan with 1 % noise: its 2-norm is a hundredth of that of the sinogram.

    The data do not come from the projectors that are compared: exact line integrals of the phantom, or
    those of an image with pixels half as large.
    """
    A = wp.operators.ParallelBeam((size, size), angles())
    if image == "Shepp-Logan":
        ellipses = shepp_logan_ellipses(size / 2)
        truth, clean = rasterize(ellipses, (size, size)), analytic_sinogram(ellipses, A)
    else:
        fine = ct_slice(2 * size)
        finer = wp.operators.ParallelBeam(fine.shape, angles(), A.n_detectors, pixel_size=0.5)
        truth, clean = fine.reshape(size, 2, size, 2).mean(axis=(1, 3)), finer(fine)
    noise = np.random.default_rng(7).standard_normal(clean.shape)
    b = clean + 0.01 * np.linalg.norm(clean) / np.sqrt(clean.size) * noise
    weight = WEIGHTS.get((image, size), 1.0)
    return Scan(image, size, truth.astype(np.float32), b.astype(np.float32), weight)


def ct_slice(size: int) -> np.ndarray:
    """The CT slice that comes with pydicom, enlarged, 0 outside the inscribed circle and about 1 in bone."""
    import pydicom
    from pydicom.data import get_testdata_file
    from skimage.transform import resize

    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    pixels = pydicom.dcmread(path).pixel_array.astype(np.float64)
    image = np.clip(resize(pixels / np.percentile(pixels, 99.5), (size, size), order=1), 0, 1)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return np.where(np.hypot(x, y) < 0.49 * size, image, 0.0)


REFERENCE_TOL = 1e-4


def own_reference(s: Scan) -> Reference:
    """The certified minimum with our projector, in double precision."""
    A = s.beam()
    return certified(s.objective(A, np.float64), s.value(lambda x: np.asarray(A(x))), REFERENCE_TOL)[0]


def matrix_reference(s: Scan, matrix: Any) -> Reference:
    """The certified minimum with a sparse matrix as the projector, in double precision."""
    A = SparseBeam(matrix.astype(np.float64), s.beam())
    return certified(s.objective(A, np.float64), s.value(lambda x: matrix @ x.ravel()), REFERENCE_TOL)[0]
