"""Weights of space-variant total variation from a reference image: small where it has edges."""

from __future__ import annotations

import math
from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators.calculus import Gradient

__all__ = ["default_eta", "gradient_magnitude", "tv_weights_from", "tv_weights_from_magnitude"]

EDGE_SHARE = 2e-3
"""`default_eta` is at least this share of the largest jump: the value of the papers for images in [0, 1]."""


def tv_weights_from(
    reference: Array, eta: float | None = None, p: float = 0.1, channel_axis: int | None = None
) -> Array:
    r"""Weights for ``wp.TotalVariation(weights=...)`` that spare the edges of a reference image.

    .. math:: w_i = \Big(\frac{\eta}{\sqrt{\eta^2 + |D \tilde x|_i^2}}\Big)^{1 - p}

    A pixel where the reference is flat has weight 1, one on an edge has
    :math:`(\eta / |D \tilde x|_i)^{1-p} \ll 1`. The weights are fixed numbers, so the objective stays
    convex.

    Parameters
    ----------
    reference : array
        Image or volume of any dimension: a filtered back-projection, a quick solution, the output of a
        network.
    eta : float, optional
        Jumps well below it count as flat; in the units of the reference. Default: `default_eta`.
    p : float
        Between 0 (excluded) and 1, where all weights are 1: how much edges are spared.
    channel_axis : int, optional
        For colour: the size of a jump then joins the channels, as in `TotalVariation`.

    Returns
    -------
    array
        Of the kind, device and real dtype of the reference, of its shape without the channel axis; in
        (0, 1].

    Raises
    ------
    TypeError, ValueError
        If the reference is empty or not finite, ``eta`` is not positive, ``p`` is outside (0, 1], or the
        reference is constant and ``eta`` is not given.

    Notes
    -----
    As a function of the size of the jump, a weight has the Lipschitz constant
    :math:`\frac{1-p}{\eta} (2-p)^{-1/2} \big(\frac{3-p}{2-p}\big)^{-(3-p)/2}`. Noise in the reference
    whose jumps are above ``eta`` looks like edges. E. Morotti, D. Evangelista, A. Sebastiani and
    E. Loli Piccolomini, Adaptive weighted total variation boosted by learning techniques in few-view
    tomographic imaging, arXiv 2501.09845 (2025).

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.regularisation.tv_weights_from(np.array([0.0, 0.0, 4.0, 4.0]), eta=3.0, p=0.5).round(3)
    array([1.   , 0.775, 1.   , 1.   ])
    """
    g = gradient_magnitude(reference, channel_axis)
    return tv_weights_from_magnitude(g, default_eta(g) if eta is None else eta, p)


def tv_weights_from_magnitude(magnitude: Array, eta: float, p: float = 0.1) -> Array:
    r"""As `tv_weights_from`, from the sizes of the jumps :math:`|D \tilde x|_i`.

    Parameters
    ----------
    magnitude : array
        At least 0, e.g. the output of a network that was trained for it.
    eta, p : float
        As in `tv_weights_from`.

    Returns
    -------
    array
        Of the shape, kind and dtype of ``magnitude``.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.regularisation.tv_weights_from_magnitude(np.array([0.0, 4.0]), eta=3.0, p=0.5).round(3)
    array([1.   , 0.775])
    """
    g = arrays.as_floating(magnitude, "magnitude")
    arrays.check_finite(g, "magnitude")
    xp = arrays.namespace(g)
    if bool(xp.any(g < 0)):
        raise ValueError("magnitude must be at least 0: pass the sizes of the jumps, not the jumps")
    eta, p = _positive(eta), _power(p)
    if not 0 < float(xp.asarray(eta, dtype=g.dtype)) < math.inf:
        raise ValueError(f"eta = {eta:g} is out of the range of {g.dtype}; scale the images")
    # Divided by the larger of the two before squaring, so that nothing overflows or is lost.
    top = xp.maximum(g, xp.full_like(g, eta))
    small, large = eta / top, g / top
    return (small / xp.sqrt(small * small + large * large)) ** (1.0 - p)


def gradient_magnitude(image: Array, channel_axis: int | None = None) -> Array:
    r"""Size of the forward difference at each pixel, :math:`|D x|_i`, as total variation sums it.

    Parameters
    ----------
    image : array
        Real or complex, of any dimension.
    channel_axis : int, optional
        The size then joins the channels.

    Returns
    -------
    array
        Real, of the shape of the image without its channel axis.

    Raises
    ------
    TypeError, ValueError
        If the image is empty, has no axes, or is not finite.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.regularisation.gradient_magnitude(np.array([[0.0, 3.0], [4.0, 0.0]]))
    array([[5., 3.],
           [4., 0.]])
    """
    x = arrays.as_floating(image, "reference", complex_allowed=True)
    ndim, shape = len(x.shape), tuple(x.shape)
    if channel_axis is not None and not -ndim <= channel_axis < ndim:
        raise ValueError(f"channel_axis={channel_axis} is not an axis of an image of shape {shape}")
    channel = None if channel_axis is None else channel_axis % ndim
    axes = tuple(k for k in range(ndim) if k != channel)
    if not axes or 0 in shape:
        raise ValueError(f"the reference has shape {shape}: it must be an image, with pixels")
    arrays.check_finite(x, "the reference")
    xp = arrays.namespace(x)
    # Real and imaginary parts, scaled so that squares neither overflow nor vanish.
    parts = [xp.real(x), xp.imag(x)] if arrays.is_complex(x) else [x]
    jumps = [xp.abs(Gradient(shape, axes)(arrays.contiguous(part))) for part in parts]
    scale = max(float(xp.max(d)) for d in jumps)
    if scale == 0.0:
        return xp.sum(jumps[0], axis=0 if channel is None else (0, channel + 1))
    square: Any = 0.0
    for d in jumps:
        square = square + xp.sum((d / scale) ** 2, axis=0 if channel is None else (0, channel + 1))
    return scale * xp.sqrt(square)


def default_eta(magnitude: Array) -> float:
    r"""A scale that parts edges from the rest, from the sizes of the jumps of a reference.

    .. math:: \eta = \max(\operatorname{median}_i |D \tilde x|_i,\; 0.002 \max_i |D \tilde x|_i)

    For a sharp image, flat but for its edges, this is 0.002 of the largest jump, as in the papers; for a
    noisy one it is the size of a typical jump of the noise.

    Parameters
    ----------
    magnitude : array
        From `gradient_magnitude`.

    Raises
    ------
    ValueError
        If all jumps are 0: a constant reference tells nothing of edges.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> wp.regularisation.default_eta(np.array([0.0, 0.0, 0.0, 0.5]))
    0.001
    """
    xp = arrays.namespace(magnitude)
    largest = float(xp.max(magnitude))
    if not largest > 0:
        raise ValueError("the reference is constant, so it has no edges to take weights from: give eta")
    ordered = xp.sort(xp.reshape(magnitude, (-1,)))
    return max(float(ordered[ordered.shape[0] // 2]), EDGE_SHARE * largest)


def _positive(eta: float) -> float:
    value = float(eta)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"eta must be a positive number, in the units of the reference; got {eta!r}")
    return value


def _power(p: float) -> float:
    value = float(p)
    if not 0 < value <= 1:
        raise ValueError(f"p must be above 0 and at most 1 (plain total variation), got {p!r}")
    return value
