"""The rotation axis on analytic sinograms of ellipses and on a real tooth."""

from pathlib import Path

import numpy as np
import pytest

from wellposed.app.center import find_center
from wellposed.app.errors import InputError
from wellposed.app.preprocess import choose_views, line_integrals
from wellposed.app.scans import open_scan

# x, y, half axes, tilt, density
ELLIPSES = [
    (5, -8, 60, 40, 0.3, 1.0),
    (20, 10, 12, 20, 1.0, 0.6),
    (-25, -5, 9, 6, 0.0, -0.5),
    (0, 18, 4, 4, 0, 2.0),
]


def ellipses(angles: np.ndarray, columns: int, center: float) -> np.ndarray:
    s = np.arange(columns) - center
    total = np.zeros((len(angles), columns))
    for x, y, a, b, tilt, density in ELLIPSES:
        c = x * np.cos(angles) + y * np.sin(angles)
        half2 = (a * np.cos(angles - tilt)) ** 2 + (b * np.sin(angles - tilt)) ** 2
        inside = np.maximum(half2[:, None] - (s - c[:, None]) ** 2, 0)
        total += density * 2 * a * b * np.sqrt(inside) / half2[:, None]
    return total


@pytest.mark.parametrize("turn", [180, 360])
@pytest.mark.parametrize("center", [99.5, 93.3, 117.75])
def test_both_methods_find_the_axis(center: float, turn: int) -> None:
    angles = np.deg2rad(np.linspace(0, turn, turn, endpoint=False))
    data = ellipses(angles, 200, center)
    noisy = data + 0.01 * data.max() * np.random.default_rng(0).standard_normal(data.shape)
    order = np.random.default_rng(1).permutation(len(angles))
    found = find_center(noisy[order].astype(np.float32), angles[order])
    assert set(found.estimates) == {"double wedge", "opposite views", "centre of mass"}
    for value in found.estimates.values():
        assert value == pytest.approx(center, abs=0.25)
    assert found.value == found.estimates["double wedge"]
    assert not found.notes


def test_end_of_the_half_turn_included() -> None:
    angles = np.linspace(0, np.pi, 181)
    found = find_center(ellipses(angles, 200, 104.6), angles)
    assert found.estimates["opposite views"] == pytest.approx(104.6, abs=0.05)
    assert found.value == pytest.approx(104.6, abs=0.25)


def test_axis_far_from_the_middle() -> None:
    angles = np.linspace(0, np.pi, 120, endpoint=False)
    found = find_center(ellipses(angles, 300, 205.0), angles)
    assert found.value == pytest.approx(205.0, abs=0.3)


def test_disagreement_is_reported() -> None:
    angles = np.linspace(0, np.pi, 180, endpoint=False)
    data = ellipses(angles, 200, 99.5)
    # The object moved sideways while the last third of the views was taken.
    data[120:] = np.roll(data[120:], 20, axis=1)
    found = find_center(data, angles)
    assert any("disagree" in note for note in found.notes)


def test_less_than_half_a_turn_is_refused() -> None:
    angles = np.linspace(0, np.deg2rad(120), 90)
    with pytest.raises(
        InputError, match=r"span 120\.0 degrees and half a turn is needed; give it with --center"
    ):
        find_center(ellipses(angles, 200, 99.5), angles)


@pytest.mark.parametrize("row", [0, 1])
def test_tooth(shared_data: Path, row: int) -> None:
    scan = open_scan(shared_data / "ct" / "tooth.h5")
    assert scan.angles is not None
    values = line_integrals(scan.read(row)).values
    for views in (181, 90, 45, 20):
        chosen = choose_views(181, views)
        assert find_center(values[chosen], scan.angles[chosen]).value == pytest.approx(296, abs=0.5)
    found = find_center(values, scan.angles)
    assert not found.notes
    assert found.estimates["opposite views"] == pytest.approx(found.value, abs=0.25)
