"""TV denoising by other libraries and by plain NumPy, and how many iterations each needs for a target."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.report import Table, peer
from wellposed.kernels.tv_differences import adjoint_gradient, gradient

Visit = Callable[[np.ndarray], bool]
"""Sees an iterate; true to stop."""


@dataclass(frozen=True)
class Peer:
    """A method that runs a given number of iterations, or shows its iterates one after the other."""

    name: str
    solve: Callable[[int], np.ndarray]
    watch: Callable[[Visit], None]


class Enough(Exception):  # noqa: N818 - not an error
    """Ends a loop that belongs to another library."""


def counts(
    method: Peer, error: Callable[[np.ndarray], float], targets: Sequence[float], limit: float
) -> dict[float, int]:
    """The smallest number of iterations with an objective error within each target.

    Targets that are not met within ``limit`` seconds are left out.
    """
    found: dict[float, int] = {}
    wanted = sorted(targets, reverse=True)
    begin, k = time.perf_counter(), 0

    def visit(x: np.ndarray) -> bool:
        nonlocal k
        k += 1
        e = error(x)
        while wanted and e <= wanted[0]:
            found[wanted.pop(0)] = k
        return not wanted or time.perf_counter() - begin > limit

    method.watch(visit)
    return found


def numpy_pdhg(b: np.ndarray, lam: float) -> Peer:
    """The primal-dual method accelerated by strong convexity, in NumPy with all buffers reused.

    A. Chambolle and T. Pock, J. Math. Imaging Vis. 40 (2011) 120, algorithm 2, with ``gamma = 0.7``
    (of at most 1) and ``tau = 1`` at the start.
    """

    def iterates() -> Iterator[np.ndarray]:
        f = b.dtype.type
        x, bar, q = b.copy(), b.copy(), np.zeros((2, *b.shape), b.dtype)
        d, norm, div, new = np.zeros_like(q), np.empty_like(b), np.empty_like(b), np.empty_like(b)
        tau = 1.0
        while True:
            sigma = 1 / (8 * tau)
            np.subtract(bar[1:], bar[:-1], out=d[0, :-1])
            np.subtract(bar[:, 1:], bar[:, :-1], out=d[1, :, :-1])
            d *= f(sigma)
            q += d
            np.multiply(q[0], q[0], out=norm)
            np.multiply(q[1], q[1], out=new)
            norm += new
            np.sqrt(norm, out=norm)
            norm *= f(1 / lam)
            np.maximum(norm, f(1), out=norm)
            q /= norm
            np.copyto(div, q[0])
            div[1:] -= q[0, :-1]
            div += q[1]
            div[:, 1:] -= q[1, :, :-1]
            div += b
            div *= f(tau)
            np.add(x, div, out=new)
            new *= f(1 / (1 + tau))
            theta = 1 / np.sqrt(1 + 2 * 0.7 * tau)
            np.subtract(new, x, out=bar)
            bar *= f(theta)
            bar += new
            x, new = new, x
            tau *= theta
            yield x

    def solve(count: int) -> np.ndarray:
        for k, x in enumerate(iterates(), start=1):
            if k == count:
                return x
        raise AssertionError("the iteration has no end")

    def watch(visit: Visit) -> None:
        for x in iterates():
            if visit(x):
                return

    return Peer("NumPy PDHG", solve, watch)


def scikit_image(b: np.ndarray, lam: float, table: Table) -> Peer | None:
    """``denoise_tv_chambolle``; its iterates come from the same iteration written anew, which must agree."""
    modules = peer(table, "skimage.restoration")
    if modules is None:
        return None
    denoise: Any = modules[0].denoise_tv_chambolle

    def watch(visit: Visit) -> None:
        # A. Chambolle, J. Math. Imaging Vis. 20 (2004) 89, with the step of scikit-image.
        f = b.dtype.type
        tau, p = f(0.25), np.zeros((2, *b.shape), b.dtype)
        x = b
        while not visit(x):
            g = gradient(x)
            norm = np.sqrt((g * g).sum(axis=0))
            p = (p - tau * g) / (1 + (tau / f(lam)) * norm)
            x = b + adjoint_gradient(p)

    def solve(count: int) -> np.ndarray:
        return np.asarray(denoise(b, weight=lam, eps=0.0, max_num_iter=count))

    return Peer("scikit-image Chambolle", solve, watch)


def pyproximal(b: np.ndarray, lam: float, table: Table) -> Peer | None:
    """The proximal map ``TV`` (FISTA on the dual), which shows its iterates by evaluating them."""
    modules = peer(table, "pyproximal")
    if modules is None:
        return None
    TV: Any = modules[0].TV

    def solve(count: int) -> np.ndarray:
        # The loop of TV runs niter + 1 times.
        return np.asarray(TV(b.shape, sigma=lam, niter=count - 1, rtol=0.0).prox(b.ravel(), 1.0)).reshape(
            b.shape
        )

    def watch(visit: Visit) -> None:
        class Watched(TV):  # type: ignore[misc]
            def __call__(self, x: np.ndarray) -> float:
                if visit(x):
                    raise Enough
                return 1.0

        with contextlib.suppress(Enough):
            Watched(b.shape, sigma=lam, niter=10**9, rtol=-1.0).prox(b.ravel(), 1.0)

    return Peer("PyProximal TV", solve, watch)
