"""Few-view scans of phantoms, slices and photographs, and of a measured scan, all scaled to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import wellposed as wp
from wellposed.problems.metrics import psnr, ssim

IMAGES = ("Shepp-Logan", "ellipses", "CT slice", "tooth slice", "camera")
MEASURED = "measured scan"
COLUMNS = 128
"""Detector columns of the measured scan, averages of neighbours."""


@dataclass(frozen=True)
class Case:
    """What identifies a scan.

    Parameters
    ----------
    image : str
        One of `IMAGES`, or `MEASURED`.
    views : int
    noise : float or None
        Norm of the noise over that of the clean data; ``None`` for the measured scan.
    size : int
        Side of the image.
    scan : Path or None
        File of the measured scan and of the tooth slice.
    """

    image: str
    views: int
    noise: float | None
    size: int
    scan: Path | None

    def __str__(self) -> str:
        return f"{self.image}, {self.views} views" + ("" if self.noise is None else f", {self.noise:.0%}")

    @property
    def file_name(self) -> str:
        """For its results."""
        return str(self).replace(", ", "-").replace(" ", "-").replace("%", "pc")


@dataclass(frozen=True)
class Data:
    """A scan with what it is compared to."""

    truth: np.ndarray
    A: wp.operators.ParallelBeam
    b: np.ndarray
    noise_level: float | None

    @property
    def fit(self) -> wp.LeastSquares:
        return wp.LeastSquares(self.A, self.b)

    def scores(self, x: np.ndarray) -> tuple[float, float]:
        """PSNR and SSIM; values below 0, which no image has, count as 0."""
        x = np.maximum(x, 0)
        return psnr(x, self.truth, data_range=1.0), ssim(x, self.truth, data_range=1.0)


def load(case: Case) -> Data:
    """Data of a case, with noise that depends on the case alone."""
    if case.image == MEASURED:
        assert case.scan is not None
        return measured(case.scan, case.views)
    assert case.noise is not None
    truth = image(case)
    A = wp.operators.ParallelBeam(truth.shape, np.pi * np.arange(case.views) / case.views)
    clean = A(truth)
    level = case.noise * float(np.linalg.norm(clean)) / clean.size**0.5
    rng = np.random.default_rng([IMAGES.index(case.image), round(1000 * case.noise)])
    b = clean + level * rng.standard_normal(clean.shape)
    return Data(truth, A, b.astype(np.float32), level)


def image(case: Case) -> np.ndarray:
    """The image of a simulated scan, float32, from 0 to 1."""
    from skimage import data
    from skimage.transform import resize

    from wellposed.experiments.weighted_tv_tomography import phantom
    from wellposed.problems.phantoms import shepp_logan

    n = case.size
    if case.image == "Shepp-Logan":
        found = shepp_logan((n, n))
    elif case.image == "ellipses":
        found = phantom(n, np.random.default_rng([0, 0]))
    elif case.image == "CT slice":
        found = wp.problems.few_view_ct(size=n, views=1).truth
    elif case.image == "tooth slice":
        assert case.scan is not None
        found = resize(measured(case.scan, None).truth, (n, n), anti_aliasing=True)
    else:
        found = resize(data.camera() / 255.0, (n, n), anti_aliasing=True)
    return np.ascontiguousarray(np.clip(found, 0, 1), np.float32)


def measured(path: Path, views: int | None) -> Data:
    """The first slice of a measured scan, detector columns averaged in groups; what it is compared to is the
    filtered back-projection of all views, whose largest thousandth of values is clipped at 1."""
    from wellposed.app.center import find_center
    from wellposed.app.preprocess import center_offset, choose_views, line_integrals
    from wellposed.app.scans import open_scan

    scan = open_scan(path)
    assert scan.angles is not None
    sinogram = line_integrals(scan.read(0), already=scan.line_integrals).values
    group = sinogram.shape[1] // COLUMNS
    center = (find_center(sinogram, scan.angles).value + 0.5) / group - 0.5
    binned = sinogram[:, : group * COLUMNS].reshape(len(sinogram), COLUMNS, group).mean(axis=2)
    offset = center_offset(center, COLUMNS)

    def operator(angles: np.ndarray) -> wp.operators.ParallelBeam:
        return wp.operators.ParallelBeam((COLUMNS, COLUMNS), angles, COLUMNS, center_offset=offset)

    whole = wp.tomography.fbp(binned, operator(scan.angles))
    scale = float(np.quantile(whole, 0.999))
    chosen = choose_views(len(binned), views)
    b = np.ascontiguousarray(binned[chosen] / scale, np.float32)
    truth = np.clip(whole / scale, 0, 1).astype(np.float32)
    return Data(truth, operator(scan.angles[chosen]), b, None)
