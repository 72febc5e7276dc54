"""Counts to line integrals, rings, few views, and the convention of the rotation axis."""

import numpy as np
import pytest

from wellposed.app import preprocess
from wellposed.app.errors import InputError
from wellposed.app.scan_formats import Slice


def make(transmission: np.ndarray, dtype: type = np.uint16) -> Slice:
    """Counts with a dark level of 100 and a flat field that differs from column to column."""
    columns = transmission.shape[1]
    white = 20000.0 + 500 * np.arange(columns)
    data = 100 + transmission * white
    dark = np.full((3, columns), 100)
    frames = np.stack([white + 100 - 7, white + 100 + 7])
    return Slice(np.rint(data).astype(dtype), frames.astype(dtype), dark.astype(dtype))


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32, np.float64])
def test_line_integrals_undo_beer_lambert(dtype: type) -> None:
    truth = np.random.default_rng(0).uniform(0, 2, (6, 9))
    counts = make(np.exp(-truth), dtype)
    for array in (counts.data, counts.white, counts.dark):
        assert array is not None
        array.flags.writeable = False
    result = preprocess.line_integrals(counts)
    np.testing.assert_allclose(result.values, truth, atol=5e-4)
    assert result.values.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert (result.clipped, result.notes) == (0, ())


def test_non_positive_transmissions_are_clipped_and_counted() -> None:
    transmission = np.full((40, 10), 0.5)
    transmission[0, 0] = 0.25
    counts = make(transmission, np.float64)
    counts.data[3, 2] = 100
    counts.data[4, 2] = 50
    result = preprocess.line_integrals(counts)
    assert result.clipped == 2
    assert "2 of 400 transmissions were not positive" in result.notes[0]
    np.testing.assert_allclose(result.values[[3, 4, 0], [2, 2, 0]], np.log(4))
    counts.data[:5] = 0
    with pytest.raises(
        InputError, match=r"50 of 400 transmissions \(12\.5%\) are not positive; check that flat"
    ):
        preprocess.line_integrals(counts)


def test_missing_fields() -> None:
    counts = make(np.full((4, 5), 0.5))
    with pytest.raises(InputError, match=r"no flat fields"):
        preprocess.line_integrals(Slice(counts.data, None, counts.dark))
    result = preprocess.line_integrals(Slice(counts.data, counts.white, None))
    assert "no dark fields" in result.notes[0]
    same = preprocess.line_integrals(Slice(counts.data, None, None), already=True)
    np.testing.assert_array_equal(same.values, counts.data)


def test_zero_flat_fields() -> None:
    counts = make(np.full((4, 5), 0.5))
    assert counts.white is not None
    white = counts.white.copy()
    white[:, 3] = 0
    with pytest.raises(
        InputError, match=r"not above the dark field in 1 of 5 detector columns, the first is column 3"
    ):
        preprocess.line_integrals(Slice(counts.data, white, counts.dark))


def test_views_are_evenly_chosen() -> None:
    for available in (7, 181, 360):
        for wanted in (1, 2, 5, available - 1, available):
            chosen = preprocess.choose_views(available, wanted)
            ideal = np.arange(wanted) * available / wanted
            assert chosen[0] == 0
            assert len(set(chosen.tolist())) == wanted
            assert np.abs(chosen - ideal).max() <= 0.5
            assert chosen[-1] < available
    np.testing.assert_array_equal(preprocess.choose_views(5, None), np.arange(5))
    for wanted in (0, 6):
        with pytest.raises(InputError, match=r"choose 1 to 5"):
            preprocess.choose_views(5, wanted)


def test_center_offset_puts_the_axis_at_zero() -> None:
    center, columns, spacing = 12.25, 30, 0.5
    offset = preprocess.center_offset(center, columns, spacing)
    positions = (np.arange(columns) - (columns - 1) / 2) * spacing + offset
    assert np.interp(center, np.arange(columns), positions) == pytest.approx(0, abs=1e-12)


def test_rings_are_removed() -> None:
    angles = np.linspace(0, np.pi, 180, endpoint=False)
    s = np.arange(512) - 255.5
    radius2 = 180.0**2 - (s[None] - 30 * np.cos(angles)[:, None]) ** 2
    exact = (np.sqrt(np.maximum(radius2, 0)) / 180).astype(np.float32)
    clean = exact + 0.005 * np.random.default_rng(0).standard_normal(exact.shape).astype(np.float32)
    striped = clean.copy()
    striped[:, 240] += 0.15
    striped.flags.writeable = False
    cleaned = preprocess.remove_rings(striped)
    assert cleaned.dtype == np.float32
    assert abs(float((cleaned - clean)[:, 240].mean())) < 0.03
    assert np.abs(cleaned - clean).mean() < 0.02
    with pytest.raises(InputError, match=r"at least 20 views"):
        preprocess.remove_rings(striped[:10])
    with pytest.raises(InputError, match="noise-free data"):
        preprocess.remove_rings(exact)
