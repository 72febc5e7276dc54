"""Projector and adjoint of a 512 x 512 image, 729 detector bins; time and accuracy at the bins' centres."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import wellposed as wp
from benchmarks.peers_ct import astra_matrix, astra_pair, odl_transform
from benchmarks.report import Settings, Table, peer, quiet, ratio, seconds
from benchmarks.timing import interleaved
from wellposed.problems.phantoms import analytic_sinogram, rasterize, shepp_logan_ellipses

Call = Callable[[], Any]


@dataclass(frozen=True)
class Pair:
    """A projector and its adjoint, each a call that returns its result or ``None``."""

    forward: Call
    adjoint: Call
    sinogram: Callable[[], np.ndarray] | None
    """The projection of the phantom; ``None`` where the geometry differs."""
    stored: str = "none"


def run(settings: Settings) -> Iterator[Table]:
    """Parallel beams with few and many views, and a fan beam."""
    size, detectors = (128, 183) if settings.quick else (512, 729)
    for views in (60,) if settings.quick else (60, 180):
        yield parallel(size, views, detectors, settings)
    yield fan(size, 60, detectors, settings)


def phantom(size: int) -> tuple[list[Any], np.ndarray]:
    ellipses = shepp_logan_ellipses(size / 2)
    return ellipses, rasterize(ellipses, (size, size)).astype(np.float32)


def own(A: wp.LinearOperator, x: np.ndarray) -> Pair:
    y = A(x)
    sinogram, image = np.empty_like(y), np.empty_like(x)
    return Pair(lambda: A(x, out=sinogram), lambda: A.apply_adjoint(y, out=image), lambda: A(x))


def parallel(size: int, views: int, detectors: int, settings: Settings) -> Table:
    angles = np.linspace(0, np.pi, views, endpoint=False)
    A = wp.operators.ParallelBeam((size, size), angles, detectors)
    ellipses, x = phantom(size)
    table = new_table(f"Parallel beam, {size} x {size}, {views} views, {detectors} bins")
    pairs: dict[str, Pair] = {"wellposed ParallelBeam": own(A, x)}
    astra = peer(table, "astra")
    if astra is not None:
        for kind in ("line", "linear", "strip"):
            forward, adjoint, sinogram = astra_pair(A, kind, x)
            pairs[f"ASTRA {kind}"] = Pair(forward, adjoint, sinogram)
        matrix = astra_matrix(A)
        transpose = matrix.T.tocsr()
        flat, y = x.ravel(), matrix @ x.ravel()
        stored = sum(a.nbytes for m in (matrix, transpose) for a in (m.data, m.indices, m.indptr))
        pairs["SciPy CSR of ASTRA linear"] = Pair(
            lambda: matrix @ flat,
            lambda: transpose @ y,
            lambda: (matrix @ flat).reshape(A.range_shape),
            f"{stored / 1e6:.0f} MB",
        )
    if astra is not None and peer(table, "odl") is not None:
        with quiet():
            transform = odl_transform(A)
            given = transform.domain.element(np.ascontiguousarray(x.T))
            data = transform(given)
        pairs["ODL on ASTRA"] = Pair(
            lambda: transform(given),
            lambda: transform.adjoint(data),
            lambda: np.asarray(transform(given).asarray())[::-1],
        )
    if (skimage := peer(table, "skimage.transform")) is not None:
        library: Any = skimage[0]
        degrees = np.rad2deg(angles)
        radon = library.radon(x, degrees, circle=False)
        pairs["scikit-image radon, iradon"] = Pair(
            lambda: library.radon(x, degrees, circle=False),
            lambda: library.iradon(radon, degrees, filter_name=None, circle=False, output_size=size),
            None,
        )
        table.note(
            f"scikit-image takes {radon.shape[0]} bins of its own, and its pair is not adjoint: only its "
            "time counts."
        )
    fill(table, pairs, analytic_sinogram(ellipses, A), settings)
    if (size, views) == (512, 60):
        table.note(
            "Goal at 60 views: 15 ms + 15 ms without a stored matrix, error at most that of ASTRA linear."
        )
    return table


def fan(size: int, views: int, detectors: int, settings: Settings) -> Table:
    angles = np.linspace(0, 2 * np.pi, views, endpoint=False)
    scale = size / 512
    A = wp.operators.FanBeam((size, size), angles, 1500.0 * scale, 700.0 * scale, detectors, 1.5)
    ellipses, x = phantom(size)
    table = new_table(f"Fan beam, {size} x {size}, {views} views, {detectors} bins")
    pairs = {"wellposed FanBeam": own(A, x)}
    if peer(table, "astra") is not None:
        for kind in ("line_fanflat", "strip_fanflat"):
            forward, adjoint, sinogram = astra_pair(A, kind, x)
            pairs[f"ASTRA {kind}"] = Pair(forward, adjoint, sinogram)
    fill(table, pairs, analytic_sinogram(ellipses, A), settings)
    return table


def new_table(title: str) -> Table:
    table = Table(
        title, ("projector", "forward", "ratio", "adjoint", "ratio", "error at bin centres", "stored matrix")
    )
    table.note(
        "float32, medians. Error: relative, in the 2-norm, to the exact line integrals of an ellipse "
        "phantom. ASTRA's data lie in its own memory before the clock starts, so it copies nothing."
    )
    return table


def fill(table: Table, pairs: dict[str, Pair], exact: np.ndarray, settings: Settings) -> None:
    with quiet():
        forward = interleaved({name: p.forward for name, p in pairs.items()}, settings.repeat)
        adjoint = interleaved({name: p.adjoint for name, p in pairs.items()}, settings.repeat)
        first = next(iter(pairs))
        for name, p in pairs.items():
            error = "-"
            if p.sinogram is not None:
                error = f"{100 * np.linalg.norm(p.sinogram() - exact) / np.linalg.norm(exact):.2f} %"
            table.add(
                name,
                seconds(forward[name].median),
                ratio(forward[name].median, forward[first].median),
                seconds(adjoint[name].median),
                ratio(adjoint[name].median, adjoint[first].median),
                error,
                p.stored,
            )
