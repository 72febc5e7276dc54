"""The sizes of the experiment on learning with adaptive accuracies."""

from __future__ import annotations

from dataclasses import dataclass

from wellposed.experiments._bilevel import Curve

Curves = dict[str, Curve]


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    quadratic_work: float = 1e4
    seeds: int = 1
    steps: tuple[float, ...] = (1e-6, 1.0)
    fixed: tuple[float, ...] = (1e-3, 1e-4, 1e-5, 1e-6)
    bound_seeds: int = 2
    tv_pixels: int = 64
    tv_work: float = 1500
    tv_starts: tuple[float, ...] = (1e2, 1e0, 1e-2, 1e-4)
    digits_work: float = 3e3
    images: int = 4
    pixels: int = 32
    filters: int = 8
    filter_size: int = 5
    experts_work: float = 6e3


SMALL = Size()
FULL = Size(
    quadratic_work=1e5,
    seeds=5,
    steps=(1e-6, 1e-4, 1.0, 100.0),
    fixed=(1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8),
    bound_seeds=4,
    tv_work=2e4,
    tv_starts=(1e2, 1e1, 1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5),
    digits_work=3e4,
    images=8,
    pixels=96,
    filters=48,
    filter_size=7,
    experts_work=1e4,
)
