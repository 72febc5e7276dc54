"""Total variation denoising (Rudin, Osher, Fatemi): differences, iteration, duality gap.

    minimise over lower <= x <= upper:   1/2 ||x - b||^2 + lam sum_i w_i |(D x)_i|

``D`` takes forward differences along each axis, zero across the far border. ``|.|`` is Euclidean over the
axes (and channels, for images of shape ``(C, n, m)`` with ``channels=True``), or, anisotropic, the sum of
absolute values. The dual variable ``q`` has the shape of ``D x``, ``(axes, *x.shape)``, and
``|q_i| <= lam w_i``; at the solution ``x = clip(b - D^T q, lower, upper)``.

`rof` solves to a relative duality gap. A caller with a loop of its own uses `start`, `advance`, `gap`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wellposed.kernels.tv_bands import cut, scatter
from wellposed.kernels.tv_differences import adjoint_gradient, project
from wellposed.kernels.tv_gap import values
from wellposed.kernels.tv_sweep import PAD, advance_plane
from wellposed.kernels.tv_volume import advance_volume

Array = npt.NDArray[Any]

STEP_PRODUCT = 1.3
"""``tau sigma ||D||^2``: below 4/3, the bound of Li and Yan (2024) and of Banert, Upadhyaya and Giselsson
(2023); the classical bound is 1. It saves one iteration in eight. Both papers treat constant steps, which
the decreasing ones here approach; the duality gap vouches for the result in any case."""

CONVEXITY = 0.5
"""The modulus that the acceleration counts on. The data term has 1; half of it needs fewer iterations."""

DEPTH = 16
"""Iterations that a band of rows runs on its own before it meets its neighbours: its cache holds so many."""

FLAT_FROM = 64
"""Iterations from which the flat image is a candidate: where ``lam`` is so large that it is the solution, the
iterates approach it slowly, and their total variation weighs heavily."""

FIRST_GAP = 8
"""Iterations before the gap is evaluated for the first time."""


@dataclass
class RofState:
    """All that the iteration needs to go on: plain arrays and a few numbers, to be stored as they are.

    Arrays lie in the layout of `tv_sweep`; `primal` and `dual` give them in the image's shape.
    """

    shape: tuple[int, ...]
    channels: int
    """Channels of the image, in its first axis; 0 if it has no such axis."""
    x: Array
    """Newest and previous iterate."""
    q: Array
    b: Array
    radius: Array
    bands: Array
    """For each band of rows: first row, number of rows, begin and end of the rows that it owns."""
    lower: float
    upper: float
    isotropic: bool
    tau: float = 1.0
    """Primal step of the next iteration; the data term's curvature is 1, so 1 fits all data."""
    theta: float = 1.0
    """Extrapolation of the next iteration."""
    iterations: int = 0
    flat: bool = False
    """Whether the flat image is better than the iterate."""
    flat_value: float = np.nan
    """Primal value of the flat image, once it is known."""


def start(
    b: Array,
    lam: float,
    weights: Array | None = None,
    isotropic: bool = True,
    lower: float = -np.inf,
    upper: float = np.inf,
    q0: Array | None = None,
    channels: bool = False,
) -> RofState:
    """State before the first iteration; `rof` explains the arguments.

    A given ``q0`` is brought into its bounds first, and the first iterate is ``clip(b - D^T q0)``.
    """
    count = b.shape[0] if channels else 1
    grid = b.shape[1:] if channels else b.shape
    if len(grid) == 1:
        grid = (1, *grid)
    n, m = grid[0], grid[-1]
    s = grid[1] if len(grid) == 3 else 1
    axes = len(grid)
    deep = DEPTH if axes == 2 and not channels else 1
    bands = cut(n, deep, b.size)
    lines = int(bands[:, 1].max()) * s
    width = PAD + -(-m // PAD) * PAD + PAD
    x, q, data = _zeros(
        b.dtype,
        (2, len(bands), count * lines, width),
        (axes, len(bands), count * (lines + s), width),
        (len(bands), count * lines, width),
    )
    state = RofState(
        shape=b.shape,
        channels=count if channels else 0,
        x=x,
        q=q,
        b=data,
        radius=np.full((1, 1, width), lam, b.dtype),
        bands=bands,
        lower=float(lower),
        upper=float(upper),
        isotropic=isotropic,
    )
    image = b.reshape(count, n, s, m)
    scatter(image, state.b, bands, 0)
    if weights is not None:
        state.radius = np.zeros((len(bands), lines, width), b.dtype)
        scatter((lam * weights).astype(b.dtype, copy=False).reshape(1, n, s, m), state.radius, bands, 0)
    x0 = image
    if q0 is not None:
        bound = b.dtype.type(lam) if weights is None else (lam * weights).astype(b.dtype, copy=False)
        feasible = project(q0, bound, isotropic, channels)
        x0 = image - adjoint_gradient(feasible, channels).reshape(image.shape)
        parts = feasible.reshape(-1, count, n, s, m)
        if parts.shape[0] < axes:
            parts = np.concatenate([np.zeros_like(parts), parts])
        for d in range(axes):
            scatter(parts[d], state.q[d], bands, 1)
    if np.isfinite(lower) or np.isfinite(upper):
        x0 = np.clip(x0, b.dtype.type(lower), b.dtype.type(upper))
    for newest in state.x:
        scatter(x0, newest, bands, 0)
    return state


def _zeros(dtype: Any, *shapes: tuple[int, ...]) -> list[Array]:
    """Arrays of zeros in one block of memory, touched once by this thread.

    A block of its own for each array, touched first by the threads of `advance`, costs more in page
    faults than all the iterations on a small image.
    """
    sizes = [int(np.prod(shape)) for shape in shapes]
    block = np.empty(sum(sizes), dtype)
    block.fill(0)
    ends = np.cumsum(sizes)
    return [
        block[end - size : end].reshape(shape) for end, size, shape in zip(ends, sizes, shapes, strict=True)
    ]


def advance(state: RofState, count: int) -> None:
    """Run ``count`` iterations of the accelerated primal-dual method, in place.

        q    <- project(q + sigma D x_bar)
        x'   <- clip((x + tau (b - D^T q)) / (1 + tau))
        x_bar = x' + theta (x' - x)
        theta = 1 / sqrt(1 + 2 gamma tau),   tau <- theta tau,   sigma <- sigma / theta

    Ten calls of one iteration give the same bits as one call of ten. Source: Chambolle and Pock (2011),
    algorithm 2, with the steps of `STEP_PRODUCT` and `CONVEXITY`.
    """
    if count <= 0:
        return
    axes = state.q.shape[0]
    steps = np.empty((count, 4))
    for k in range(count):
        sigma = STEP_PRODUCT / (4 * axes * state.tau)
        steps[k] = sigma, state.theta, 1 / (1 + state.tau), state.tau / (1 + state.tau)
        state.theta = 1 / np.sqrt(1 + 2 * CONVEXITY * state.tau)
        state.tau *= state.theta
    bands = state.x.shape[1]
    first, rows = np.ascontiguousarray(state.bands[:, 0]), np.ascontiguousarray(state.bands[:, 1])
    m, width, parity = state.shape[-1], state.x.shape[3], state.iterations % 2
    arrays = (state.x, state.q, state.b, state.radius)
    steps = steps.astype(state.b.dtype)
    if _depth(state) > 1:
        scratch = np.zeros((bands, 2 * DEPTH, width), state.b.dtype)
        advance_plane(
            *arrays,
            scratch,
            steps,
            state.lower,
            state.upper,
            first,
            rows,
            m,
            parity,
            DEPTH,
            int(state.isotropic),
        )
    else:
        scratch = np.zeros((bands, 5, width), state.b.dtype)
        advance_volume(
            *arrays, scratch, steps, state.lower, state.upper, first, rows, m, parity, int(state.isotropic),
            max(state.channels, 1), _lines_per_row(state),
        )  # fmt: skip
    state.iterations += count


def gap(state: RofState) -> tuple[float, float]:
    """Primal value of the newest iterate (or of the flat image) and dual value of ``q``, in double precision.

    Their difference bounds ``1/2 ||x - x*||^2`` and the excess of the primal value, to rounding.
    """
    dtype = state.b.dtype
    bands = len(state.bands)
    out = np.zeros((bands, 4), dtype)
    jump = np.zeros((bands, state.shape[-1]), dtype)
    own = np.ascontiguousarray(state.bands[:, 2:])
    s = _lines_per_row(state)
    values(
        state.x, state.q, state.b, state.radius, jump, out, state.lower, state.upper, own,
        np.ascontiguousarray(state.bands[:, 0]), np.ascontiguousarray(state.bands[:, 1]), _depth(state),
        max(state.channels, 1), s, state.shape[-1],
        state.iterations % 2, int(state.isotropic),
    )  # fmt: skip
    total = out.astype(np.float64).sum(axis=0)
    value = float(total[0] + total[1])
    if state.iterations >= FLAT_FROM:
        if np.isnan(state.flat_value):
            flat, b = _flat_image(state)
            state.flat_value = 0.5 * float(np.sum((b - flat) ** 2, dtype=np.float64))
        state.flat = state.flat_value < value
        value = min(value, state.flat_value)
    return value, float(total[2] + total[3])


def _flat_image(state: RofState) -> tuple[Array, Array]:
    """The constant nearest to the data within the bounds, for each channel, and the data."""
    b = _gather(state.b, state, 0)
    axes = tuple(range(1 if state.channels else 0, b.ndim))
    mean = b.mean(axis=axes, dtype=np.float64, keepdims=True).clip(state.lower, state.upper)
    return np.broadcast_to(mean, b.shape).astype(b.dtype), b


def primal(state: RofState) -> Array:
    """The newest iterate, or the flat image where the last `gap` found it better (a copy)."""
    if state.flat:
        return _flat_image(state)[0]
    return _gather(state.x[state.iterations % 2], state, 0)


def dual(state: RofState) -> Array:
    """The dual variable, ``(axes, *shape)`` (a copy); always within its bounds."""
    axes = 1 if len(state.shape) == 1 else state.q.shape[0]
    out = np.empty((axes, *state.shape), state.q.dtype)
    for part, component in zip(state.q[-axes:], out, strict=True):
        _gather(part, state, 1, component)
    return out


def rof(
    b: Array,
    lam: float,
    weights: Array | None = None,
    isotropic: bool = True,
    lower: float = -np.inf,
    upper: float = np.inf,
    q0: Array | None = None,
    tol: float = 1e-3,
    max_iter: int = 10_000,
    channels: bool = False,
) -> tuple[Array, Array, float, float, int]:
    """Denoise ``b`` by total variation to a relative duality gap of ``tol``.

    Parameters
    ----------
    b
        Signal, image or volume of 1 to 3 axes, float32 or float64, C-contiguous; or with ``channels=True``
        channels of one, ``(C, *grid)``, whose differences are coupled in each pixel.
    lam
        Weight of the total variation, at least 0, in units of ``b``.
    weights
        Factor of ``lam`` for each pixel, at least 0, of the grid's shape.
    isotropic
        Euclidean norm of the differences in a pixel, or the sum of their absolute values.
    lower, upper
        Bounds of the result.
    q0
        Dual variable to start from, ``(axes, *b.shape)``.
    tol
        Bound on ``(primal - dual) / primal``. Single precision reaches about 1e-6.
    max_iter
        Iterations at most; compare the values that come back with ``tol`` to see whether they were enough.

    Returns
    -------
    tuple
        ``x``, ``q``, primal value of ``x``, dual value of ``q``, iterations.

    Examples
    --------
    >>> import numpy as np
    >>> b = np.add.outer(np.arange(8.0) > 3, np.zeros(8))
    >>> x, q, p, d, _ = rof(b, lam=0.1, tol=1e-6)
    >>> bool(p - d <= 1e-6 * p), float(x.max().round(3))
    (True, 0.975)
    """
    state = start(b, lam, weights, isotropic, lower, upper, q0, channels)
    previous = (0, np.inf)
    while True:
        upper_value, lower_value = gap(state)
        excess = upper_value - lower_value
        k = state.iterations
        if excess <= tol * upper_value or k >= max_iter:
            return primal(state), dual(state), upper_value, lower_value, k
        advance(state, min(_until_next_gap(k, excess / upper_value, previous, tol), max_iter - k))
        previous = (k, excess / upper_value)


def _until_next_gap(k: int, relative: float, previous: tuple[int, float], tol: float) -> int:
    """Iterations until its decay, a power of k, should have brought the gap to ``tol``."""
    if k == 0:
        return FIRST_GAP
    power = 2.5
    if previous[0] > 0 and previous[1] > relative:
        # The decay quickens: the power of the last stretch is a little less than that of the next.
        seen = np.log(previous[1] / relative) / np.log(k / previous[0])
        power = float(np.clip(seen + 0.4, 1.5, 4.0))
    target = k * min((relative / tol) ** (1 / power), 3.0)
    return max(int(np.ceil(target)) - k, 2)


def _lines_per_row(state: RofState) -> int:
    grid = state.shape[1:] if state.channels else state.shape
    return grid[1] if len(grid) == 3 else 1


def _depth(state: RofState) -> int:
    """Rows of the halo: only the kernel for images of one channel runs several iterations at a time."""
    return DEPTH if state.q.shape[0] == 2 and state.channels == 0 else 1


def _gather(source: Array, state: RofState, above: int, out: Array | None = None) -> Array:
    """The rows that the bands own, as one array of the image's shape."""
    s, m = _lines_per_row(state), state.shape[-1]
    view = source.reshape(source.shape[0], max(state.channels, 1), -1, s, source.shape[-1])
    n = int((state.bands[:, 3] - state.bands[:, 2]).sum())
    out = np.empty(state.shape, source.dtype) if out is None else out
    rows = out.reshape(view.shape[1], n, s, m)
    for p, (first, _, begin, end) in enumerate(state.bands):
        rows[:, first + begin : first + end] = view[p, :, above + begin : above + end, :, PAD : PAD + m]
    return out
