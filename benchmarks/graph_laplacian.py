"""The graph Laplacian of an image: its construction and a product, against SciPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import scipy.sparse

import wellposed as wp
from benchmarks.problems import noisy_photograph
from benchmarks.report import Settings, Table, peer, quiet, ratio, seconds
from benchmarks.timing import interleaved, once

RADIUS, SIGMA = 4, 0.1
NEIGHBOURS = 10


def run(settings: Settings) -> Iterator[Table]:
    """A window of neighbours, the four neighbours of scikit-learn, and nearest neighbours."""
    size = 64 if settings.quick else 512
    yield window(size, settings)
    yield four_neighbours(size, settings)
    yield nearest(32 if settings.quick else 128, settings)


def window(size: int, settings: Settings) -> Table:
    table = Table(
        f"Graph of a window, {size} x {size}, radius {RADIUS} ({(2 * RADIUS + 1) ** 2 - 1} neighbours)",
        ("graph", "construction", "ratio", "product", "ratio", "memory", "difference"),
    )
    f = noisy_photograph(size)
    x = np.ascontiguousarray(f[::-1])
    L = wp.operators.GraphLaplacian(f, RADIUS, SIGMA, normalisation="none")
    matrix = scipy_window(f)
    out, flat = np.empty_like(x), x.ravel()
    make: dict[str, Callable[[], Any]] = {
        "wellposed GraphLaplacian": lambda: wp.operators.GraphLaplacian(
            f, RADIUS, SIGMA, normalisation="none"
        ),
        "NumPy slices, SciPy CSR": lambda: scipy_window(f),
    }
    use = {
        "wellposed GraphLaplacian": lambda: L(x, out=out),
        "NumPy slices, SciPy CSR": lambda: matrix @ flat,
    }
    built, applied = timed(make, settings), timed(use, settings)
    own = sum(a.nbytes for a in vars(L).values() if isinstance(a, np.ndarray))
    stored = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    apart = float(np.abs(L(x).ravel() - matrix @ flat).max())
    for name, size_of, difference in (
        ("wellposed GraphLaplacian", max(own, weights_size(L)), "-"),
        ("NumPy slices, SciPy CSR", stored, f"{apart:.0e}"),
    ):
        row(table, name, built, applied, f"{size_of / 1e6:.0f} MB", difference)
    table.note("float32, best of the repeats; no weight is dropped. The product of SciPy runs on one core.")
    return table


def weights_size(L: wp.operators.GraphLaplacian) -> int:
    """One weight for each pair of neighbours, and the degrees."""
    n = L.shape[1]
    return 4 * n * (((2 * RADIUS + 1) ** 2 - 1) // 2 + 1)


def scipy_window(f: np.ndarray) -> Any:
    """The Laplacian as a sparse matrix, made from shifted slices."""
    rows, columns = f.shape
    number = np.arange(f.size, dtype=np.int32).reshape(f.shape)
    starts, ends, weights = [], [], []
    for dr in range(RADIUS + 1):
        for dc in range(-RADIUS, RADIUS + 1):
            if dr == 0 and dc <= 0:
                continue
            here = (slice(0, rows - dr), slice(max(-dc, 0), columns - max(dc, 0)))
            there = (slice(dr, rows), slice(max(dc, 0), columns - max(-dc, 0)))
            difference = f[here] - f[there]
            starts.append(number[here].ravel())
            ends.append(number[there].ravel())
            weights.append(np.exp(-(difference * difference) / np.float32(SIGMA**2)).ravel())
    i, j, w = map(np.concatenate, (starts, ends, weights))
    upper = scipy.sparse.csr_array((w, (i, j)), shape=(f.size, f.size))
    whole = upper + upper.T
    return (scipy.sparse.diags_array(whole.sum(axis=1)) - whole).tocsr().astype(np.float32)


def four_neighbours(size: int, settings: Settings) -> Table:
    """The graph that scikit-learn builds of an image; ours has eight neighbours at its least radius."""
    table = Table(
        f"Graph of adjacent pixels, {size} x {size}",
        ("graph", "construction", "ratio", "product", "ratio", "neighbours"),
    )
    f = noisy_photograph(size)
    x = np.ascontiguousarray(f[::-1])
    L = wp.operators.GraphLaplacian(f, 1, SIGMA, normalisation="none")
    out, flat = np.empty_like(x), x.ravel()
    make: dict[str, Callable[[], Any]] = {
        "wellposed GraphLaplacian": lambda: wp.operators.GraphLaplacian(f, 1, SIGMA, normalisation="none")
    }
    use: dict[str, Callable[[], Any]] = {"wellposed GraphLaplacian": lambda: L(x, out=out)}
    counts = {"wellposed GraphLaplacian": "8"}
    if (sklearn := peer(table, "sklearn.feature_extraction.image")) is not None:
        name = "scikit-learn img_to_graph, SciPy laplacian"
        matrix = sklearn_laplacian(sklearn[0], f)
        make[name], use[name] = lambda: sklearn_laplacian(sklearn[0], f), lambda: matrix @ flat
        counts[name] = "4"
    if (skimage := peer(table, "skimage.graph")) is not None:
        name = "scikit-image pixel_graph, SciPy laplacian"
        other = skimage_laplacian(skimage[0], f)
        make[name], use[name] = lambda: skimage_laplacian(skimage[0], f), lambda: other @ flat
        counts[name] = "8"
    built, applied = timed(make, settings), timed(use, settings)
    for name in make:
        row(table, name, built, applied, counts[name])
    table.note("Weights from differences of the pixels: exp(-d^2/sigma^2); float32, best of the repeats.")
    return table


def sklearn_laplacian(module: Any, f: np.ndarray) -> Any:
    from scipy.sparse.csgraph import laplacian

    graph = module.img_to_graph(f, dtype=np.float32)
    graph.data = np.exp(-(graph.data**2) / np.float32(SIGMA**2))
    return laplacian(graph).tocsr()


def skimage_laplacian(module: Any, f: np.ndarray) -> Any:
    from scipy.sparse.csgraph import laplacian

    def weight(a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> np.ndarray:
        return np.exp(-((a - b) ** 2) / np.float32(SIGMA**2))

    graph, _ = module.pixel_graph(f, mask=np.ones(f.shape, bool), edge_function=weight, connectivity=2)
    return laplacian(graph).tocsr()


def nearest(size: int, settings: Settings) -> Table:
    table = Table(
        f"Graph of the {NEIGHBOURS} nearest neighbours, {size} x {size}, 3 features",
        ("graph", "construction", "ratio", "product", "ratio"),
    )
    f = noisy_photograph(size)
    features = np.stack([f, *np.indices(f.shape, dtype=np.float32) / size], axis=-1)
    x = np.ascontiguousarray(f[::-1])
    flat, out = x.ravel(), np.empty_like(x)

    def own() -> wp.operators.GraphLaplacian:
        return wp.operators.GraphLaplacian.from_neighbours(
            features, NEIGHBOURS, SIGMA, channel_axis=-1, normalisation="none"
        )

    L = own()
    make: dict[str, Callable[[], Any]] = {"wellposed from_neighbours": own}
    use: dict[str, Callable[[], Any]] = {"wellposed from_neighbours": lambda: L(x, out=out)}
    if (sklearn := peer(table, "sklearn.neighbors")) is not None:
        name = "scikit-learn kneighbors_graph, SciPy laplacian"
        points = features.reshape(-1, 3)
        matrix = sklearn_neighbours(sklearn[0], points)
        make[name], use[name] = lambda: sklearn_neighbours(sklearn[0], points), lambda: matrix @ flat
    built, applied = timed(make, settings), timed(use, settings)
    for name in make:
        row(table, name, built, applied)
    return table


def sklearn_neighbours(module: Any, points: np.ndarray) -> Any:
    from scipy.sparse.csgraph import laplacian

    graph = module.kneighbors_graph(points, NEIGHBOURS, mode="distance")
    graph.data = np.exp(-(graph.data**2) / SIGMA**2).astype(np.float32)
    return laplacian(graph.maximum(graph.T)).tocsr()


def timed(calls: dict[str, Callable[[], Any]], settings: Settings) -> dict[str, float]:
    with quiet():
        for call in calls.values():
            once(call)
        return {name: t.best for name, t in interleaved(calls, settings.repeat).items()}


def row(table: Table, name: str, built: dict[str, float], applied: dict[str, float], *more: str) -> None:
    first = next(iter(built))
    table.add(
        name,
        seconds(built[name]),
        ratio(built[name], built[first]),
        seconds(applied[name]),
        ratio(applied[name], applied[first]),
        *more,
    )
