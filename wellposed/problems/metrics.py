"""How near an image is to its ground truth: PSNR, SSIM and relative error, the data range always explicit."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["psnr", "relative_error", "ssim"]

_SSIM_WINDOW = 7


def _checked(
    image: NDArray[Any], truth: NDArray[Any], data_range: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    if image.shape != truth.shape or image.size == 0:
        raise ValueError(
            f"image has shape {image.shape} and truth {truth.shape}; give two images of one shape, not empty"
        )
    a, b = np.asarray(image, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("image and truth must be finite; remove NaN and infinite numbers first")
    span = float(np.ptp(b)) if data_range is None else float(data_range)
    return a, b, span


def psnr(image: NDArray[Any], truth: NDArray[Any], *, data_range: float) -> float:
    r"""Peak signal-to-noise ratio in decibels.

    .. math:: 10 \log_{10} \frac{R^2}{\operatorname{mean} (x - y)^2}

    Parameters
    ----------
    image, truth : ndarray
        Same shape.
    data_range : float
        R, the span of possible values, e.g. 1.0 for photographs, or ``truth.max() - truth.min()``.

    Returns
    -------
    float
        Infinity for equal images.

    Raises
    ------
    ValueError
        If the shapes differ, numbers are not finite or `data_range` is not positive.

    Examples
    --------
    >>> round(psnr(np.full((4, 4), 0.1), np.zeros((4, 4)), data_range=1.0), 6)
    20.0
    """
    a, b, span = _checked(image, truth, data_range)
    if not span > 0:
        raise ValueError(f"data_range must be positive, not {span}")
    error = float(np.mean((a - b) ** 2))
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)


def ssim(
    image: NDArray[Any], truth: NDArray[Any], *, data_range: float, channel_axis: int | None = None
) -> float:
    """Mean structural similarity with the Gaussian window of the original paper.

    Computed by ``skimage.metrics.structural_similarity`` with ``gaussian_weights=True``, sigma 1.5 and
    population covariances, as in Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image
    Process. 13 (2004) 600.

    Parameters
    ----------
    image, truth : ndarray
        Same shape, at least 11 pixels along each axis but `channel_axis`.
    data_range : float
        Span of possible values.
    channel_axis : int, optional
        Axis of the colours; the mean over them is returned.

    Returns
    -------
    float
        At most 1, which means equal.

    Raises
    ------
    ValueError
        If the shapes differ or are too small, numbers are not finite or `data_range` is not positive.

    Examples
    --------
    >>> ramp = np.linspace(0, 1, 256).reshape(16, 16)
    >>> round(ssim(ramp, ramp, data_range=1.0), 6)
    1.0
    """
    a, b, span = _checked(image, truth, data_range)
    if not span > 0:
        raise ValueError(f"data_range must be positive, not {span}")
    axes = [n for k, n in enumerate(a.shape) if channel_axis is None or k != channel_axis % a.ndim]
    if min(axes) < 11:
        raise ValueError(f"SSIM needs at least 11 pixels along each axis, the image has shape {a.shape}")
    from skimage import metrics

    similarity: Any = metrics.structural_similarity

    return float(
        similarity(
            a,
            b,
            data_range=span,
            channel_axis=channel_axis,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def relative_error(image: NDArray[Any], truth: NDArray[Any]) -> float:
    r"""Relative error :math:`\|x - y\|_2 / \|y\|_2` with the truth y.

    Raises
    ------
    ValueError
        If the shapes differ, numbers are not finite or the truth is zero everywhere.

    Examples
    --------
    >>> round(relative_error(np.array([1.1, 0.0]), np.array([1.0, 0.0])), 6)
    0.1
    """
    a, b, _ = _checked(image, truth, None)
    scale = float(np.linalg.norm(b))
    if scale == 0:
        raise ValueError("the truth is zero everywhere, a relative error has no meaning; use psnr instead")
    return float(np.linalg.norm(a - b)) / scale
