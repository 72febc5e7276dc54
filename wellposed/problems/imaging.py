"""Ready-made imaging problems: data, operator, truth and noise level, from a bundled or a given image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals.datafits import LeastSquares
from wellposed.operators._base import LinearOperator
from wellposed.operators.convolution import Convolution, gaussian_kernel
from wellposed.operators.diagonal import Identity, Mask
from wellposed.operators.fourier import FourierTransform
from wellposed.operators.parallel_beam import ParallelBeam


@dataclass(frozen=True)
class ImagingProblem:
    """An inverse problem whose answer is known.

    Parameters
    ----------
    name : str
    data : array
        ``b = A x + noise``.
    operator : LinearOperator
        ``A``.
    truth : array
        ``x``, in the range 0 to 1.
    noise_level : float
        Standard deviation of the noise in each entry of the data (of the real and of the imaginary
        part, where these are complex).
    """

    name: str
    data: Array
    operator: LinearOperator
    truth: Array
    noise_level: float

    @property
    def data_fit(self) -> LeastSquares:
        """``LeastSquares(operator, data)``."""
        return LeastSquares(self.operator, self.data)

    def psnr(self, x: Array) -> float:
        """Peak signal-to-noise ratio of ``x`` against the truth, in dB, for a peak of 1."""
        error = arrays.numpy_view(x) - self.truth
        return float(-10 * np.log10(np.mean(error.astype(np.float64) ** 2)))


def few_view_ct(
    image: Array | None = None, views: int = 60, noise: float = 0.01, size: int = 256, seed: int = 0
) -> ImagingProblem:
    """A parallel-beam scan with few views over half a turn.

    Parameters
    ----------
    image : array, optional
        Square or not, in the range 0 to 1; by default the CT slice that ships with pydicom, resized
        to ``size``.
    views : int
    noise : float
        Standard deviation of the noise over the largest line integral.
    size : int
        Side of the default image.
    seed : int

    Returns
    -------
    ImagingProblem

    Examples
    --------
    >>> import wellposed as wp
    >>> problem = wp.problems.few_view_ct(views=30, size=64)
    >>> result = wp.minimize(problem.data_fit + 0.5 * wp.TotalVariation() + wp.NonNegative())
    >>> problem.psnr(result.x) > 20
    True
    """
    return _scan("few-view CT", image, np.pi * np.arange(_count(views, "views")) / views, noise, size, seed)


def limited_angle_ct(
    image: Array | None = None,
    degrees: float = 120.0,
    views: int = 120,
    noise: float = 0.01,
    size: int = 256,
    seed: int = 0,
) -> ImagingProblem:
    """A parallel-beam scan over less than half a turn; ``degrees`` is its arc. See `few_view_ct`."""
    if not 0 < degrees <= 180:
        raise ValueError(f"degrees must be in (0, 180], got {degrees}")
    angles = np.deg2rad(degrees) * np.arange(_count(views, "views")) / views
    return _scan("limited-angle CT", image, angles, noise, size, seed)


def denoising(image: Array | None = None, noise: float = 0.1, seed: int = 0) -> ImagingProblem:
    """An image with white noise of standard deviation ``noise``; by default scikit-image's ``camera``."""
    truth = _image(image)
    return _with_noise("denoising", Identity(truth.shape), truth, noise, seed)


def deblurring(
    image: Array | None = None,
    sigma: float = 2.0,
    noise: float = 0.01,
    boundary: str = "reflect",
    seed: int = 0,
) -> ImagingProblem:
    """An image blurred by a Gaussian of width ``sigma`` pixels, with white noise."""
    truth = _image(image)
    kernel = gaussian_kernel(sigma, ndim=truth.ndim)
    return _with_noise("deblurring", Convolution(kernel, truth.shape, boundary), truth, noise, seed)


def inpainting(
    image: Array | None = None, keep: float = 0.5, noise: float = 0.02, seed: int = 0
) -> ImagingProblem:
    """An image of which a random share ``keep`` of the pixels is seen, with white noise; the others are 0."""
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], got {keep}")
    truth = _image(image)
    mask = np.random.default_rng([seed, 1]).random(truth.shape) < keep
    problem = _with_noise("inpainting", Mask(mask), truth, noise, seed)
    return ImagingProblem(problem.name, problem.data * mask, problem.operator, truth, problem.noise_level)


def compressed_sensing_mri(
    image: Array | None = None, keep: float = 0.3, noise: float = 0.01, seed: int = 0
) -> ImagingProblem:
    """Random samples of the Fourier transform, dense around its centre, with white noise.

    ``keep`` is the share of samples; a sixteenth of each axis around the centre is always seen, the
    rest is drawn with a probability that falls with the square of the frequency.
    """
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], got {keep}")
    truth = _image(image)
    frequencies = np.meshgrid(*(2 * np.fft.fftfreq(n) for n in truth.shape), indexing="ij")
    radius = np.sqrt(sum(f**2 for f in frequencies))
    wish = np.where(radius < 1 / 16, 1.0, 1 / np.maximum(radius, 1e-3) ** 2)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.mean(np.minimum(middle * wish, 1)) < keep else (low, middle)
    probability = np.where(radius < 1 / 16, 1.0, np.minimum(high * wish, 1))
    mask = np.random.default_rng([seed, 1]).random(truth.shape) < probability
    A = Mask(mask, domain="complex") @ FourierTransform(truth.shape)
    problem = _with_noise("compressed-sensing MRI", A, truth, noise, seed)
    return ImagingProblem(problem.name, problem.data * mask, A, truth, problem.noise_level)


def _scan(
    name: str, image: Array | None, angles: np.ndarray, noise: float, size: int, seed: int
) -> ImagingProblem:
    truth = _ct_slice(size) if image is None else _image(image)
    A = ParallelBeam(truth.shape, angles)
    return _with_noise(name, A, truth, noise * float(A(truth).max()), seed)


def _with_noise(name: str, A: LinearOperator, truth: Array, level: float, seed: int) -> ImagingProblem:
    if not (np.isfinite(level) and level >= 0):
        raise ValueError(f"noise must be finite and at least 0, got {level}")
    clean = A(truth)
    rng = np.random.default_rng(seed)
    error = rng.standard_normal(clean.shape)
    if np.iscomplexobj(clean):
        error = error + 1j * rng.standard_normal(clean.shape)
    return ImagingProblem(name, (clean + level * error).astype(clean.dtype), A, truth, float(level))


def _image(image: Array | None) -> np.ndarray:
    """The given image as a floating array, or scikit-image's ``camera`` in the range 0 to 1."""
    if image is None:
        from skimage.data import camera

        return np.asarray(camera(), np.float32) / np.float32(255)  # type: ignore[no-untyped-call]
    checked: Any = np.ascontiguousarray(arrays.numpy_view(arrays.as_floating(image, "image")))
    arrays.check_finite(checked, "image")
    return np.asarray(checked)


def _ct_slice(size: int) -> np.ndarray:
    """The CT slice that ships with pydicom, from air (0) to its densest bone (1), resized."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from skimage.transform import resize

    file = get_testdata_file("CT_small.dcm", download=False)
    if file is None:
        raise FileNotFoundError("pydicom came without its CT slice CT_small.dcm: install pydicom again")
    counts = dcmread(file).pixel_array.astype(np.float64)
    counts -= counts.min()
    side = _count(size, "size")
    resized: Any = resize(counts / counts.max(), (side, side), order=1)  # type: ignore[no-untyped-call]
    return np.asarray(np.clip(resized, 0, 1), np.float32)


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return int(value)
