"""Shearlet transform and adjoint, against the same filters with complex transforms band by band in NumPy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import wellposed as wp
from benchmarks.problems import photograph
from benchmarks.report import Settings, Table, ratio, seconds
from benchmarks.timing import interleaved, once


def run(settings: Settings) -> Iterator[Table]:
    """Images of two sizes, both precisions."""
    for size in (64,) if settings.quick else (256, 512):
        yield measure(size, settings)


def measure(size: int, settings: Settings) -> Table:
    S = wp.operators.Shearlets((size, size), 4)
    table = Table(
        f"Shearlets, {size} x {size}, 4 scales, {S.range_shape[0]} bands",
        ("transform", "precision", "forward", "ratio", "adjoint", "ratio", "difference"),
    )
    build = once(lambda: wp.operators.Shearlets((size, size), 4).spectra)
    # The whole plane of frequencies, which complex transforms need.
    delta = np.zeros((size, size))
    delta[0, 0] = 1.0
    whole = np.fft.fft2(S(delta)).real
    for dtype in (np.float32, np.float64):
        x = photograph(size).astype(dtype)
        c = S(x)
        out, image = np.empty_like(c), np.empty_like(x)
        spectra = whole.astype(dtype)

        def forward(x: np.ndarray = x, spectra: np.ndarray = spectra) -> np.ndarray:
            waves = np.fft.fft2(x)
            return np.stack([np.fft.ifft2(waves * s).real for s in spectra])

        def adjoint(c: np.ndarray = c, spectra: np.ndarray = spectra) -> np.ndarray:
            total = sum(np.fft.fft2(a) * s for a, s in zip(c, spectra, strict=True))
            return np.asarray(np.fft.ifft2(total).real)

        forwards = interleaved({"own": lambda x=x, out=out: S(x, out=out), "numpy": forward}, settings.repeat)
        adjoints = interleaved(
            {"own": lambda c=c, image=image: S.apply_adjoint(c, out=image), "numpy": adjoint}, settings.repeat
        )
        apart = float(np.abs(forward() - c).max())
        for key, name in (("own", "wellposed Shearlets"), ("numpy", "NumPy fft2, band by band")):
            table.add(
                name,
                np.dtype(dtype).name,
                seconds(forwards[key].best),
                ratio(forwards[key].best, forwards["own"].best),
                seconds(adjoints[key].best),
                ratio(adjoints[key].best, adjoints["own"].best),
                "-" if key == "own" else f"{apart:.0e}",
            )
    table.note(f"Best of the repeats. Making the filters took {seconds(build)}, once.")
    table.note(
        "No release of another shearlet library installs from PyPI (pyshearlab is not there); its transform "
        "is the second candidate, one complex FFT for each band. The filters agree with its construction to "
        "1e-13, which the tests check."
    )
    return table
