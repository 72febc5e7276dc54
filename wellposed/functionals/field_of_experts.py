"""The field of experts: a regulariser made of learnable filters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.experts_parts import Experts, back, shared
from wellposed.functionals.parameter import Parameter, added, current, summed
from wellposed.functionals.smoothed import BEND
from wellposed.operators._bounds import eigenvalue_bound

LANCZOS_STEPS = 20
"""Products with the curvature at a flat image for its bound, which is then at most 1.4 times too large."""

DRIFT = 1.25
"""How much looser a bound by perturbation may be than the Lanczos bound that it comes from."""


@dataclass(frozen=True, eq=False)
class FieldOfExperts(Functional):
    r"""Responses of an image to filters, each with an absolute value that is rounded off at zero.

    .. math:: f(x) = \sum_k w_k \sum_i \Big(\sqrt{(c_k \star x)_i^2 + \nu_k^2} - \nu_k\Big), \qquad
        (c \star x)_i = \sum_a c_a\, x_{i + a - \lfloor s / 2 \rfloor}

    Parameters
    ----------
    filters : array or Parameter
        The filters ``c``, of shape ``(K, s, t)``; applied as they are, not turned round (a correlation, as
        in neural networks). As a parameter they need ``low=-math.inf`` and the transform "identity".
    weights : float, array or Parameter
        ``w >= 0``, one for all filters or one for each, of shape ``(K,)``.
    smoothing : float, array or Parameter
        ``nu > 0``, in the units of the responses, one for all filters or one for each.

    Raises
    ------
    ValueError
        If shapes do not fit, a weight is negative, a smoothing constant not positive, or an image has not
        two axes.

    Notes
    -----
    Beyond the border stands the mirror image, ``b a | a b``; each pixel has a response. The value is 0 for a
    constant image if the filters have mean 0. All three kinds of numbers can be learned:
    `parameter_product` gives the derivatives. ``traits_on(shape)`` gives the Lipschitz constant of the
    gradient: a Lanczos bound of :math:`\|\sum_k (w_k / \nu_k) C_k^T C_k\|`, which fails with a probability of
    1e-6. Images in host memory go through compiled loops.
    Sources: S. Roth and M. Black, Fields of experts, 2009; Y. Chen, R. Ranftl and T. Pock, Insights into
    analysis operator learning, 2014.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> prior = wp.FieldOfExperts([[[0.0, -1.0, 1.0]]], smoothing=0.5)
    >>> prior(np.array([[0.0, 1.2]]))
    0.8
    >>> wp.FieldOfExperts.learnable(size=5).parameters[0].shape
    (24, 5, 5)
    """

    filters: Array | Parameter
    weights: Any = 1.0
    smoothing: Any = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.filters, Parameter):
            object.__setattr__(self, "filters", np.array(self.filters, dtype=float))
        shape = np.shape(current(self.filters))
        if len(shape) != 3 or math.prod(shape) == 0:
            raise ValueError(f"filters must have shape (K, s, t), got {shape}")
        arrays.check_finite(np.asarray(current(self.filters)), "filters")
        self._check_each(self.weights, "weights", "at least 0", lambda w: w >= 0)
        self._check_each(self.smoothing, "smoothing", "positive", lambda nu: nu > 0)

    def _check_each(self, value: Any, name: str, what: str, allowed: Any) -> None:
        numbers = np.asarray(current(value), dtype=float)
        count = np.shape(current(self.filters))[0]
        if numbers.shape not in ((), (count,)):
            raise ValueError(f"{name} must be one number or have shape ({count},), got shape {numbers.shape}")
        if not (np.all(np.isfinite(numbers)) and np.all(allowed(numbers))):
            raise ValueError(f"{name} of FieldOfExperts must be finite and {what}, got {numbers}")

    @classmethod
    def learnable(
        cls,
        size: int = 7,
        count: int | None = None,
        weights: float = 0.05,
        smoothing: float = 0.03,
        rng: np.random.Generator | int | None = None,
        prefix: str = "",
    ) -> FieldOfExperts:
        """A field whose filters, weights and smoothing constants are parameters, at a place to start from.

        Parameters
        ----------
        size : int
            Filters have ``size`` times ``size`` entries.
        count : int, optional
            Number of filters, by default ``size**2 - 1``: the basis of cosines without its constant.
        weights, smoothing : float
            Where all weights and all smoothing constants start.
        rng : numpy.random.Generator or int, optional
            Draws normal filters of mean 0 and norm 1 instead of the first ``count`` cosines.
        prefix : str
            Stands before the names ``filters``, ``weights`` and ``smoothing``.
        """
        largest = size * size - 1
        count = largest if count is None else count
        if not (size >= 2 and count >= 1 and (rng is not None or count <= largest)):
            raise ValueError(
                f"of size {size} there are up to {largest} cosine filters, got count={count}; "
                "random filters (give rng) may be more"
            )
        filters = _cosines(size)[:count] if rng is None else _random(size, count, np.random.default_rng(rng))
        return cls(
            Parameter(f"{prefix}filters", filters, low=-math.inf, transform="identity"),
            Parameter(f"{prefix}weights", np.full(count, float(weights))),
            Parameter(f"{prefix}smoothing", np.full(count, float(smoothing))),
        )

    @cached_property
    def _experts(self) -> Experts:
        filters = np.array(current(self.filters), dtype=float)
        count = len(filters)
        numbers = (
            np.broadcast_to(np.asarray(current(v), float), (count,)) for v in (self.weights, self.smoothing)
        )
        return Experts(filters, *map(np.ascontiguousarray, numbers))

    @cached_property
    def _bounds(self) -> dict[Shape, tuple[Experts, float]]:
        """Lanczos bounds so far, by shape of the image, and what they hold for; copies inherit them."""
        return {}

    def with_parameters(self, values: dict[str, Any]) -> FieldOfExperts:
        other: FieldOfExperts = super().with_parameters(values)
        if other is not self:
            other._bounds.update(self._bounds)
        return other

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=math.inf, prox=False, conjugate=False)

    def traits_on(self, shape: Shape) -> Traits:
        self._check_image(shape)
        return Traits(lipschitz=self._lipschitz(tuple(shape)), prox=False, conjugate=False)

    def _lipschitz(self, shape: Shape) -> float:
        """A Lanczos bound, or one by perturbation from that for other numbers where it is not much worse."""
        here = self._experts
        if shape in self._bounds:
            known, bound = self._bounds[shape]
            if known is here:
                return bound
            moved = here.curvature_from(known, bound)
            if moved * known.curvature_scale <= DRIFT * bound * here.curvature_scale:
                return moved
        bound = eigenvalue_bound(here.curvature, shape, steps=LANCZOS_STEPS)
        self._bounds[shape] = here, bound
        return bound

    def hessian_lipschitz_on(self, shape: Shape) -> float | None:
        e = self._experts
        # A response is at most twice the norm of its filter times that of the image: near a corner a pixel is
        # seen up to four times. So are the energies of all responses at most four times those without border.
        longest = 2 * np.sqrt((e.filters**2).sum((1, 2)))
        return BEND * 4 * e.largest_power(e.weights * longest / e.smoothing**2)

    def __call__(self, x: Array) -> float:
        return self._for(x).value(shared(x))

    def gradient(self, x: Array) -> Array:
        return back(self._for(x).gradient(shared(x)), x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return back(self._for(x).hessian_product(shared(x), shared(v)), x)

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        if not self.parameters:
            return {}
        return self._by_name(*self._for(x).along_parameters(shared(x), shared(v)))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        return self._by_name(*self._for(x).along_parameters(shared(x), None)) if self.parameters else {}

    def _by_name(self, *derivatives: Array) -> dict[str, Any]:
        pairs = zip((self.filters, self.weights, self.smoothing), derivatives, strict=True)
        return added(*({p.name: summed(d, p)} for p, d in pairs if isinstance(p, Parameter)))

    def _for(self, x: Array) -> Experts:
        self._check_image(tuple(x.shape))
        return self._experts

    def _check_image(self, shape: Shape) -> None:
        if len(shape) != 2:
            raise ValueError(f"FieldOfExperts takes an image with two axes, got an array of shape {shape}")

    def __str__(self) -> str:
        count, rows, columns = np.shape(current(self.filters))
        return f"FieldOfExperts({count} filters {rows}x{columns})"


def _cosines(size: int) -> np.ndarray:
    """The basis of cosines of a square, from low to high frequencies, without its constant."""
    from scipy.fft import idct

    waves = idct(np.eye(size), axis=1, norm="ortho")
    basis = np.einsum("ia,jb->ijab", waves, waves).reshape(-1, size, size)
    frequencies = np.add.outer(np.arange(size), np.arange(size)).reshape(-1)
    return np.ascontiguousarray(basis[np.argsort(frequencies, kind="stable")][1:])


def _random(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Normal filters of mean 0 and norm 1."""
    filters = rng.standard_normal((count, size, size))
    filters -= filters.mean((1, 2), keepdims=True)
    return np.asarray(filters / np.sqrt((filters**2).sum((1, 2), keepdims=True)))
