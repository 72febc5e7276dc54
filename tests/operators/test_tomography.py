"""Parallel and fan beam: adjoints, analytic accuracy, symmetries, filtered back-projection, errors."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from wellposed.operators.tomography import FILTERS, FanBeam, ParallelBeam, fbp
from wellposed.problems.phantoms import (
    Ellipse,
    analytic_sinogram,
    rasterize,
    shepp_logan,
    shepp_logan_ellipses,
)

HALF = np.linspace(0, np.pi, 12, endpoint=False)
FULL = np.linspace(0, 2 * np.pi, 90, endpoint=False)

GEOMETRIES: dict[str, Callable[[], ParallelBeam | FanBeam]] = {
    "square": lambda: ParallelBeam((32, 32), HALF),
    "odd": lambda: ParallelBeam((31, 17), HALF, n_detectors=23),
    "one row": lambda: ParallelBeam((1, 20), HALF),
    "one column": lambda: ParallelBeam((20, 1), HALF),
    "one pixel": lambda: ParallelBeam((1, 1), HALF, n_detectors=3, detector_spacing=0.4),
    "one angle": lambda: ParallelBeam((12, 15), [0.7]),
    "one detector": lambda: ParallelBeam((12, 15), HALF, n_detectors=1),
    "all angles": lambda: ParallelBeam((16, 12), np.linspace(-9, 20, 37)),
    "offset": lambda: ParallelBeam((16, 12), HALF, 30, center_offset=3.3),
    "far offset": lambda: ParallelBeam((16, 12), HALF, 30, center_offset=500.0),
    "coarse": lambda: ParallelBeam((40, 40), HALF, detector_spacing=3.7),
    "fine": lambda: ParallelBeam((16, 12), HALF, detector_spacing=0.11),
    "small pixels": lambda: ParallelBeam((40, 33), HALF, detector_spacing=1e-3, pixel_size=2e-3),
    "many rows": lambda: ParallelBeam((150, 3), HALF),
    "threads": lambda: ParallelBeam((200, 190), HALF, 300),
    "fan": lambda: FanBeam((32, 32), FULL, 60.0, 30.0),
    "fan odd": lambda: FanBeam((31, 17), FULL[::7], 40.0, 0.0, 23, detector_offset=2.2),
    "fan close": lambda: FanBeam((20, 20), FULL[::3], 15.0, 15.0, 200),
    "fan one row": lambda: FanBeam((1, 20), FULL[::5], 12.0, 5.0),
    "fan one angle": lambda: FanBeam((12, 15), [10.7], 30.0, 5.0),
    "fan fine": lambda: FanBeam((12, 15), FULL[::9], 30.0, 5.0, detector_spacing=0.13, pixel_size=0.9),
    "fan coarse": lambda: FanBeam((40, 40), FULL[::9], 60.0, 5.0, detector_spacing=4.0),
    "fan threads": lambda: FanBeam((200, 190), FULL[::9], 300.0, 100.0),
}


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_adjoint(name: str, dtype: Any, bound: float, rng: np.random.Generator) -> None:
    A = GEOMETRIES[name]()
    for x, y in [
        (rng.random(A.domain_shape), rng.random(A.range_shape)),
        (rng.standard_normal(A.domain_shape), rng.standard_normal(A.range_shape)),
    ]:
        x, y = x.astype(dtype), y.astype(dtype)
        x.flags.writeable = y.flags.writeable = False
        Ax, Aty = A(x), A.T(y)
        assert Ax.dtype == Aty.dtype == dtype
        left, right = np.vdot(Ax.astype(np.float64), y), np.vdot(x, Aty.astype(np.float64))
        assert abs(left - right) <= bound * np.linalg.norm(Ax) * np.linalg.norm(y)


@pytest.mark.parametrize("name", ["odd", "fan odd", "fan close"])
def test_adjoint_is_the_transposed_matrix(name: str) -> None:
    A = GEOMETRIES[name]()
    matrix = A.to_dense()
    assert matrix.min() >= 0
    np.testing.assert_allclose(A.T.to_dense(), matrix.T, atol=1e-13)
    np.testing.assert_allclose(A.row_sums.ravel(), matrix.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(A.column_sums.ravel(), matrix.sum(axis=0), atol=1e-12)
    true_norm = np.linalg.norm(matrix, 2)
    assert true_norm <= A.norm() <= 1.1 * true_norm


@pytest.mark.parametrize("name", ["threads", "fan threads"])
def test_precisions_agree(name: str, rng: np.random.Generator) -> None:
    A = GEOMETRIES[name]()
    x, y = rng.random(A.domain_shape), rng.random(A.range_shape)
    np.testing.assert_allclose(A(x.astype(np.float32)), A(x), atol=2e-5 * A(x).max())
    np.testing.assert_allclose(A.T(y.astype(np.float32)), A.T(y), atol=2e-5 * A.T(y).max())


def relative_error(A: ParallelBeam | FanBeam, size: int) -> float:
    """Error in the line integrals of the head phantom, on pixels that hold its means."""
    b = analytic_sinogram(shepp_logan_ellipses(1.0), A)
    x = shepp_logan((size, size), 2.0 / size)
    return float(np.linalg.norm(A(x) - b) / np.linalg.norm(b))


def test_parallel_accuracy_at_512() -> None:
    angles = np.linspace(0, np.pi, 60, endpoint=False)
    assert relative_error(ParallelBeam((512, 512), angles, 729, 2 / 512, 2 / 512), 512) < 0.007


def parallel(n: int) -> ParallelBeam:
    return ParallelBeam((n, n), np.linspace(0.1, np.pi, 25), None, 2 / n, 2 / n, center_offset=0.3 / n)


def fan(n: int) -> FanBeam:
    return FanBeam((n, n), np.linspace(0.1, 6, 25), 3.0, 2.0, None, 2 / n, 2 / n, detector_offset=0.3 / n)


@pytest.mark.parametrize("make", [parallel, fan])
def test_error_falls_with_resolution(make: Callable[[int], ParallelBeam | FanBeam]) -> None:
    # The phantom jumps at its borders, so the order is one.
    errors = [relative_error(make(n), n) for n in (64, 128, 256)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert min(orders) > 0.75
    assert errors[-1] < 0.016


def test_smooth_objects_have_order_two() -> None:
    def error(n: int) -> float:
        A = ParallelBeam((n, n), np.linspace(0, np.pi, 40), None, 8 / n, 8 / n)
        axis = (np.arange(n) - (n - 1) / 2) * 8 / n
        x = np.exp(-((axis[None, :] - 0.3) ** 2) - (-axis[:, None] - 0.2) ** 2)
        middle = 0.3 * np.cos(A.angles) + 0.2 * np.sin(A.angles)
        b = math.sqrt(math.pi) * np.exp(-((A.detectors[None, :] - middle[:, None]) ** 2))
        return float(np.linalg.norm(A(x) - b) / np.linalg.norm(b))

    assert error(128) < 0.28 * error(64)
    assert error(128) < 5e-4


def test_length_of_rays_and_share_of_pixels() -> None:
    A = ParallelBeam((20, 30), [0.0, np.pi / 2], pixel_size=0.5, detector_spacing=0.5)
    rows = A.row_sums
    middle = A.n_detectors // 2
    np.testing.assert_allclose(rows[:, middle], [10.0, 15.0], rtol=1e-9)
    # Every bin collects its share of a pixel's area: p^2 / spacing for each angle, if bins are that wide.
    B = ParallelBeam((20, 30), HALF, 300, detector_spacing=0.25)
    np.testing.assert_allclose(B.column_sums, len(HALF) * 4.0, rtol=0.03)


def test_center_offset_moves_the_axis_to_the_documented_bin() -> None:
    dot = np.zeros((9, 9))
    dot[4, 4] = 1
    for offset in (2.0, -3.0):
        sinogram = ParallelBeam((9, 9), HALF, 21, center_offset=offset)(dot)
        assert (sinogram.argmax(axis=1) == 10 - offset).all()
    shifted = FanBeam((9, 9), FULL, 40.0, 0.0, 21, detector_offset=2.0)(dot)
    assert (shifted.argmax(axis=1) == 8).all()


def test_a_dot_moves_along_its_sine() -> None:
    dot = np.zeros((41, 41))
    dot[5, 30] = 1  # x = 10, y = 15
    A = ParallelBeam((41, 41), HALF, 300, detector_spacing=0.2)
    sinogram = A(dot)
    centroid = (sinogram * A.detectors).sum(axis=1) / sinogram.sum(axis=1)
    np.testing.assert_allclose(centroid, 10 * np.cos(HALF) + 15 * np.sin(HALF), atol=0.02)


def test_quarter_turn_of_image_is_quarter_turn_of_angles(rng: np.random.Generator) -> None:
    x = rng.random((24, 17))
    for make in (
        lambda shape, angles: ParallelBeam(shape, angles, 31),
        lambda shape, angles: FanBeam(shape, angles, 40.0, 20.0, 51),
    ):
        still, turned = make((24, 17), HALF + 0.05), make((17, 24), HALF + 0.05 + np.pi / 2)
        np.testing.assert_allclose(turned(np.rot90(x)), still(x), atol=1e-9)


def test_opposite_views_are_mirrored(rng: np.random.Generator) -> None:
    x = rng.random((24, 17))
    ahead, behind = ParallelBeam((24, 17), HALF, 31), ParallelBeam((24, 17), HALF + np.pi, 31)
    np.testing.assert_allclose(behind(x)[:, ::-1], ahead(x), atol=1e-8)


def test_distant_source_is_a_parallel_beam() -> None:
    angles = np.linspace(0.1, 6, 9)
    x = shepp_logan((64, 64))
    far = FanBeam((64, 64), angles, 1e6, 0.0, 91)(x)
    near = ParallelBeam((64, 64), angles, 91)(x)
    assert np.linalg.norm(far - near) < 0.02 * np.linalg.norm(near)


def test_operators_travel_to_other_processes() -> None:
    for name in ("odd", "fan odd"):
        A = GEOMETRIES[name]()
        x = np.ones(A.domain_shape, np.float32)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(A))(x), A(x))


def test_result_is_written_where_asked(rng: np.random.Generator) -> None:
    A = GEOMETRIES["odd"]()
    x = rng.random(A.domain_shape)
    out, back = np.empty(A.range_shape), np.empty(A.domain_shape)
    assert A(x, out=out) is out
    np.testing.assert_array_equal(out, A(x))
    assert A.apply_adjoint(out, out=back) is back
    np.testing.assert_array_equal(back, A.T(out))


# --- filtered back-projection -----------------------------------------------------------------


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fbp_keeps_values(filter: str, dtype: Any) -> None:
    ellipses = [Ellipse(1.0, 50.0, 40.0, 3.0, -2.0, 0.5), Ellipse(-0.4, 10.0, 15.0, 10.0, 10.0)]
    x = rasterize(ellipses, (128, 128))
    for A in (
        ParallelBeam((128, 128), np.linspace(0, np.pi, 200, endpoint=False)),
        FanBeam(
            (128, 128), np.linspace(0, 2 * np.pi, 400, endpoint=False), 300.0, 200.0, detector_offset=0.3
        ),
    ):
        image = fbp(analytic_sinogram(ellipses, A).astype(dtype), A, filter)
        assert image.dtype == dtype
        assert image[76:84, 40:60].mean() == pytest.approx(1.0, abs=0.005)
        assert image[50:58, 70:78].mean() == pytest.approx(0.6, abs=0.005)
        assert image[2:8, 2:8].mean() == pytest.approx(0.0, abs=0.01)
        assert np.abs(image - x)[rasterize([Ellipse(1.0, 6.0, 6.0, -20.0, -10.0)], x.shape) > 0].max() < 0.03


@pytest.mark.parametrize(
    "angles",
    [
        np.linspace(0, np.pi, 180, endpoint=False),
        np.linspace(0, np.pi, 181),
        np.linspace(0.3, 2 * np.pi + 0.3, 300, endpoint=False),
        np.concatenate([np.linspace(0, 1, 60, endpoint=False), np.linspace(1, np.pi, 200, endpoint=False)])[
            ::-1
        ],
    ],
    ids=["half", "closed half", "full", "uneven"],
)
def test_fbp_scale_for_sets_of_angles(angles: np.ndarray) -> None:
    A = ParallelBeam((64, 64), angles, pixel_size=0.1, detector_spacing=0.1)
    disc = [Ellipse(5.0, 2.4, 2.4)]
    image = fbp(analytic_sinogram(disc, A), A)
    assert image[20:44, 20:44].mean() == pytest.approx(5.0, rel=0.005)


@pytest.mark.parametrize("degrees", [215.0, 250.0, 300.0])
@pytest.mark.parametrize("direction", [1, -1])
def test_fbp_of_a_short_fan_scan(degrees: float, direction: int) -> None:
    # The phantom is off centre, so that weights of the wrong side would show.
    ellipses = [Ellipse(1.0, 12.0, 9.0, 14.0, 5.0), Ellipse(-0.5, 5.0, 5.0, 14.0, 5.0)]
    angles = 1.0 + direction * np.deg2rad(np.linspace(0, degrees, 300))
    A = FanBeam((64, 64), angles, 160.0, 60.0, 128)
    image, x = fbp(analytic_sinogram(ellipses, A), A), rasterize(ellipses, (64, 64))
    assert np.abs(image - x)[25:29, 44:48].max() < 0.004
    flat = rasterize([Ellipse(1.0, 20.0, 25.0, -11.0)], x.shape) > 0.99
    assert abs(image[flat & (x == 0)].mean()) < 0.001
    assert np.linalg.norm(image - x) < 0.07 * np.linalg.norm(x)


def test_fbp_of_the_operators_own_sinogram_is_near_the_image() -> None:
    x = shepp_logan((128, 128))
    A = ParallelBeam((128, 128), np.linspace(0, np.pi, 200, endpoint=False))
    sharp, smooth = (
        np.linalg.norm(fbp(A(x), A, name) - x) / np.linalg.norm(x) for name in ("ram-lak", "hann")
    )
    assert sharp < smooth < 0.35
    half = fbp(A(x), A, cutoff=0.5)
    assert sharp < np.linalg.norm(half - x) / np.linalg.norm(x) < 0.4


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ParallelBeam((8, 8), []), ValueError, "angles must be a non-empty"),
        (lambda: ParallelBeam((8, 8), [[0.0]]), ValueError, "angles must be a non-empty"),
        (lambda: ParallelBeam((8, 8), [0.0, np.nan]), ValueError, "angles has 1 non-finite"),
        (lambda: ParallelBeam((8, 8), ["a"]), TypeError, "angles must hold numbers"),
        (lambda: ParallelBeam((8, 0), HALF), ValueError, "image_shape must hold positive"),
        (lambda: ParallelBeam((8, 8, 8), HALF), ValueError, "two sizes"),
        (lambda: ParallelBeam((8, 8), HALF, 0), ValueError, "n_detectors must be at least 1"),
        (lambda: ParallelBeam((8, 8), HALF, 8.5), TypeError, "n_detectors must be an integer"),
        (
            lambda: ParallelBeam((8, 8), HALF, detector_spacing=0.0),
            ValueError,
            "detector_spacing must be positive",
        ),
        (lambda: ParallelBeam((8, 8), HALF, pixel_size=-1.0), ValueError, "pixel_size must be positive"),
        (
            lambda: ParallelBeam((8, 8), HALF, center_offset=np.inf),
            ValueError,
            "center_offset must be finite",
        ),
        (lambda: ParallelBeam((8, 8), HALF, center_offset="x"), TypeError, "center_offset must be a number"),
        (lambda: ParallelBeam((8, 8), HALF, 8, 1.0, 1e-9), ValueError, "pixels from the rotation axis"),
        (lambda: FanBeam((8, 8), HALF, 5.0, 3.0), ValueError, "inside the circle"),
        (lambda: FanBeam((8, 8), HALF, -5.0, 3.0), ValueError, "source_origin must be positive"),
        (lambda: FanBeam((8, 8), HALF, 50.0, -3.0), ValueError, "origin_detector must be at least 0"),
        (lambda: FanBeam((8, 8), HALF, 50.0, 3.0, detector_spacing=0.0), ValueError, "detector_spacing"),
    ],
)
def test_bad_geometry(make: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_bad_input_of_fbp() -> None:
    A = ParallelBeam((8, 8), HALF, 15)
    b = np.zeros(A.range_shape)
    with pytest.raises(ValueError, match="shape"):
        fbp(b.T, A)
    with pytest.raises(ValueError, match="ram-lak, shepp-logan"):
        fbp(b, A, "rumlak")
    with pytest.raises(ValueError, match="cutoff"):
        fbp(b, A, cutoff=1.5)
    with pytest.raises(TypeError, match="ParallelBeam or FanBeam"):
        fbp(b, A.T)  # type: ignore[arg-type]
    short = FanBeam((8, 8), HALF, 20.0, 10.0)
    with pytest.raises(ValueError, match="needs angles over"):
        fbp(np.zeros(short.range_shape), short)


def test_input_of_wrong_shape_names_both() -> None:
    A = ParallelBeam((8, 6), HALF)
    with pytest.raises(ValueError, match=r"\(8, 6\), got \(6, 8\)"):
        A(np.zeros((6, 8)))
