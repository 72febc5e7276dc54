"""The arithmetic of a field of experts: compiled loops in host memory, array operations elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._border import crop, extend, fold

QUADRATIC = 1e12
"""A smoothing constant beside which responses are nothing."""

SAMPLES = 128
"""Frequencies along each axis at which the powers of the filters are sampled."""


@dataclass(frozen=True, eq=False)
class Experts:
    """Filters with a weight and a smoothing constant each, all in host memory and double precision."""

    filters: np.ndarray
    weights: np.ndarray
    smoothing: np.ndarray

    @cached_property
    def _constants(self) -> tuple[arrays.Constant, ...]:
        """Filters, filters turned round, weights and smoothing constants."""
        turned = np.ascontiguousarray(self.filters[:, ::-1, ::-1])
        return tuple(arrays.Constant(a) for a in (self.filters, turned, self.weights, self.smoothing))

    # --- the border ---------------------------------------------------------------------------

    @property
    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Entries of the border before and after the image, along each axis."""
        rows, columns = self.filters.shape[1:]
        before = (rows // 2, columns // 2)
        return before, (rows - 1 - before[0], columns - 1 - before[1])

    def _wide(self, x: Array) -> Array:
        before, after = self._sizes
        grid = tuple(n + b + a for n, b, a in zip(x.shape, before, after, strict=True))
        return extend(arrays.as_floating(x, "the image"), before, after, grid, reflect=True)

    def _folded(self, wide: Array, x: Array) -> Array:
        before, after = self._sizes
        return arrays.contiguous(fold(wide, before, after, tuple(x.shape), reflect=True))

    # --- what functionals have ----------------------------------------------------------------

    def value(self, x: Array) -> float:
        """The value at an image."""
        wide = self._wide(x)
        filters, _, weights, smoothing = (c.like(wide) for c in self._constants)
        if on_host(wide):
            from wellposed.kernels.experts import values

            rows = arrays.empty(tuple(x.shape), wide)
            values(wide, filters, weights, smoothing, rows)
            return arrays.total(rows[:, 0])
        u = _responses(wide, filters)
        w, nu = weights[:, None, None], smoothing[:, None, None]
        return arrays.total(w * u * u / (_root(u, nu) + nu))

    def gradient(self, x: Array) -> Array:
        """The gradient at an image."""
        wide = self._wide(x)
        filters, turned, weights, smoothing = (c.like(wide) for c in self._constants)
        if on_host(wide):
            from wellposed.kernels.experts import slopes

            out = np.empty_like(wide)
            slopes(wide, filters, turned, weights, smoothing, self._planes(wide), out)
        else:
            u = _responses(wide, filters)
            out = _back(weights[:, None, None] * u / _root(u, smoothing[:, None, None]), filters, wide)
        return self._folded(out, x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at an image times another."""
        wide, direction = self._wide(x), self._wide(v)
        filters, turned, weights, smoothing = (c.like(wide) for c in self._constants)
        if on_host(wide):
            from wellposed.kernels.experts import curvatures

            out, planes = np.empty_like(wide), self._planes(wide)
            lines = np.empty((len(planes), x.shape[1]), wide.dtype)
            curvatures(wide, direction, filters, turned, weights, smoothing, planes, lines, out)
        else:
            u, t = _responses(wide, filters), _responses(direction, filters)
            nu = smoothing[:, None, None]
            out = _back(weights[:, None, None] * nu * nu * t / _root(u, nu) ** 3, filters, wide)
        return self._folded(out, x)

    def along_parameters(self, x: Array, v: Array | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives with respect to filters, weights and smoothing: of <gradient, v>, or of the value."""
        wide, direction = self._wide(x), None if v is None else self._wide(v)
        filters, _, weights, smoothing = (c.like(wide) for c in self._constants)
        if on_host(wide):
            scalars, taps = _along_on_host(wide, direction, filters, weights, smoothing)
            return taps, scalars[:, 0], scalars[:, 1]
        u, w, nu = _responses(wide, filters), weights[:, None, None], smoothing[:, None, None]
        root = _root(u, nu)
        if direction is None:
            each = u * u / (root + nu)
            parts = _correlations(w * u / root, wide, filters), each, -w * each / root
        else:
            t = _responses(direction, filters)
            bent = _correlations(w * nu * nu * t / root**3, wide, filters)
            parts = (
                bent + _correlations(w * u / root, direction, filters),
                t * u / root,
                -w * nu * t * u / root**3,
            )
        xp = arrays.namespace(u)
        sums = (parts[0], *(xp.sum(part, axis=(1, 2)) for part in parts[1:]))
        taps, of_weights, of_smoothing = (arrays.to_numpy(a) for a in sums)
        return taps, of_weights, of_smoothing

    def curvature(self, v: np.ndarray) -> np.ndarray:
        """The Hessian at a flat image, the largest of all, times an image."""
        return np.asarray(self._quadratic.gradient(v))

    @cached_property
    def _quadratic(self) -> Experts:
        """Smoothing far above all responses leaves the quadratic, which takes fewer loops than a Hessian."""
        return Experts(
            self.filters, QUADRATIC * self.weights / self.smoothing, np.full(len(self.filters), QUADRATIC)
        )

    @cached_property
    def curvature_scale(self) -> float:
        """About the largest eigenvalue of `curvature`: without a border, or a little more."""
        return self.largest_power(self.weights / self.smoothing)

    def curvature_from(self, other: Experts, bound: float) -> float:
        """A bound of the eigenvalues of `curvature`, given one for other numbers.

        With factors ``a = w / nu`` and filters ``C``: by monotony in ``a``, and by the triangle inequality
        for ``C``, whose change is bounded by its power and 4 for mirror images in two directions.
        """
        if self.filters.shape != other.filters.shape:
            return math.inf
        here, there = self.weights / self.smoothing, other.weights / other.smoothing
        if np.any((here > 0) & (there == 0)):
            return math.inf
        ratio = float(np.max(here / np.where(there > 0, there, 1.0), initial=0.0))
        change = Experts(self.filters - other.filters, self.weights, self.smoothing)
        return (math.sqrt(ratio * bound) + math.sqrt(4 * change.curvature_scale)) ** 2

    def largest_power(self, factors: np.ndarray) -> float:
        r"""A bound of :math:`\sum_k a_k |\hat c_k(\omega)|^2` over all frequencies, for factors ``a``.

        A trigonometric polynomial of degree ``d`` is at most its largest of ``N`` samples, divided by
        ``cos(pi d / N)`` (Ehlich and Zeller, 1964), for each axis.
        """
        rows, columns = self.filters.shape[1:]
        grid = (max(SAMPLES, 4 * rows), max(SAMPLES, 4 * columns))
        small = (2 * rows - 1, 2 * columns - 1)
        powers = np.abs(np.fft.fft2(self.filters, small)) ** 2
        correlation = np.fft.ifft2(np.tensordot(factors, powers, axes=1)).real
        shifts = [np.arange(1 - s, s) for s in (rows, columns)]
        wide = np.zeros(grid)
        wide[np.ix_(*shifts)] = correlation[np.ix_(*shifts)]
        power = np.fft.rfft2(wide).real
        margin = math.prod(
            math.cos(math.pi * (s - 1) / n) for s, n in zip((rows, columns), grid, strict=True)
        )
        return float(power.max()) / margin

    def _planes(self, wide: np.ndarray) -> np.ndarray:
        """Workspace of the bands of rows."""
        from wellposed.kernels.experts import BAND

        rows, columns = self.filters.shape[1:]
        bands = -(-wide.shape[0] // BAND)
        tallest = -(-wide.shape[0] // bands)
        return np.empty((bands, tallest + rows - 1, wide.shape[1] + columns - 1), wide.dtype)


def shared(x: Array) -> Array:
    """A view for the compiled loops of what PyTorch holds in host memory; other arrays as they are."""
    return arrays.numpy_view(x) if arrays.is_torch_array(x) and not arrays.is_gpu(x) else x


def back(result: Array, x: Array) -> Array:
    """A result for `shared` input as an array of the kind of ``x``."""
    return arrays.from_numpy(result, like=x) if type(result) is np.ndarray else result


def on_host(a: Array) -> bool:
    """Whether compiled loops take the array as it is."""
    return type(a) is np.ndarray


def _along_on_host(
    wide: np.ndarray, direction: np.ndarray | None, filters: np.ndarray, weights: Any, smoothing: Any
) -> tuple[np.ndarray, np.ndarray]:
    from wellposed.kernels import experts

    count, _, columns = filters.shape
    scalars, taps = np.empty((count, 2), wide.dtype), np.empty_like(filters)
    lines = np.empty((2 * count, wide.shape[1] - columns + 1), wide.dtype)
    if direction is None:
        experts.along_parameters_of_value(wide, filters, weights, smoothing, lines, scalars, taps)
    else:
        experts.along_parameters(wide, direction, filters, weights, smoothing, lines, scalars, taps)
    return scalars, taps


# --- the same for arrays of any library ----------------------------------------------------------


def _root(u: Array, nu: Array) -> Array:
    return arrays.namespace(u).sqrt(u * u + nu * nu)


def _image_shape(wide: Array, filters: Array) -> tuple[int, int]:
    return wide.shape[0] - filters.shape[1] + 1, wide.shape[1] - filters.shape[2] + 1


def _taps(filters: Array) -> list[tuple[int, int]]:
    return [(a, b) for a in range(filters.shape[1]) for b in range(filters.shape[2])]


def _responses(wide: Array, filters: Array) -> Array:
    """The responses of all filters, stacked."""
    shape = _image_shape(wide, filters)
    u = arrays.zeros((filters.shape[0], *shape), wide)
    for a, b in _taps(filters):
        u = u + filters[:, a, b][:, None, None] * crop(wide, (a, b), shape)[None, ...]
    return u


def _back(slopes: Array, filters: Array, wide: Array) -> Array:
    """The adjoint of `_responses`."""
    xp = arrays.namespace(wide)
    out, shape = arrays.zeros(tuple(wide.shape), wide), _image_shape(wide, filters)
    for a, b in _taps(filters):
        crop(out, (a, b), shape)[...] += xp.sum(filters[:, a, b][:, None, None] * slopes, axis=0)
    return out


def _correlations(rows: Array, wide: Array, filters: Array) -> Array:
    """For each filter and tap, the inner product of ``rows`` with what the tap sees of ``wide``."""
    xp, shape = arrays.namespace(wide), _image_shape(wide, filters)
    taps = [xp.sum(rows * crop(wide, (a, b), shape)[None, ...], axis=(1, 2)) for a, b in _taps(filters)]
    return xp.reshape(xp.stack(taps, axis=-1), tuple(filters.shape))
