"""Ellipse phantoms: the image against areas, the sinogram against numerical integration."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellposed.operators.tomography import FanBeam, ParallelBeam
from wellposed.problems.phantoms import (
    Ellipse,
    analytic_sinogram,
    line_integrals,
    rasterize,
    shepp_logan,
    shepp_logan_ellipses,
)

TILTED = Ellipse(1.5, 9.0, 3.0, x=2.0, y=-4.0, angle=0.6)


def test_raster_has_the_area_and_centre_of_the_ellipse() -> None:
    image = rasterize([TILTED], (41, 52), pixel_size=0.7, supersampling=16)
    x = (np.arange(52) - 25.5) * 0.7
    y = (20 - np.arange(41)) * 0.7
    mass = image.sum() * 0.7**2
    assert mass == pytest.approx(1.5 * math.pi * 9 * 3, rel=2e-3)
    assert (image * x[None, :]).sum() * 0.7**2 / mass == pytest.approx(2.0, abs=0.02)
    assert (image * y[:, None]).sum() * 0.7**2 / mass == pytest.approx(-4.0, abs=0.02)
    # A turn counter-clockwise makes x and y go together.
    assert (image * (x[None, :] - 2) * (y[:, None] + 4)).sum() > 0


def test_sampling_only_near_borders_changes_nothing() -> None:
    image = rasterize(shepp_logan_ellipses(12.0), (24, 24), supersampling=5)
    fine = rasterize(shepp_logan_ellipses(12.0), (120, 120), pixel_size=0.2, supersampling=1)
    np.testing.assert_allclose(image, fine.reshape(24, 5, 24, 5).mean(axis=(1, 3)), atol=1e-12)


def test_an_ellipse_smaller_than_a_pixel_is_seen() -> None:
    image = rasterize([Ellipse(1.0, 0.2, 0.1, x=0.2)], (3, 3), supersampling=64)
    assert image[1, 1] == pytest.approx(math.pi * 0.02, rel=0.02)
    assert np.count_nonzero(image) == 1


def test_shepp_logan_values() -> None:
    image = shepp_logan((128, 128))
    assert image.min() >= -1e-12
    assert image.max() == pytest.approx(1.0)
    assert image[64 - 45, 64] == pytest.approx(0.2)
    assert image[64 - 22, 64] == pytest.approx(0.3)
    np.testing.assert_allclose(shepp_logan((30, 40))[:, 5:35], shepp_logan((30, 30)), atol=1e-12)


@given(
    st.floats(0.3, 3),
    st.floats(0.3, 3),
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.floats(-4, 4),
    st.floats(-4, 4),
)
def test_line_integral_is_the_length_of_the_chord(
    a: float, b: float, x: float, y: float, angle: float, heading: float
) -> None:
    ellipse = Ellipse(1.0, a, b, x, y, angle)
    point, direction = np.array([0.4, -0.2]), np.array([math.cos(heading), math.sin(heading)])
    t = (np.arange(20000) + 0.5) / 20000 * 20 - 10
    inside = np.hypot(*ellipse.local(point[0] + t * direction[0] - x, point[1] + t * direction[1] - y)) <= 1
    assert line_integrals([ellipse], point, direction) == pytest.approx(inside.mean() * 20, abs=3e-3)


def test_sinogram_of_fan_is_that_of_parallel_rays() -> None:
    fan = FanBeam((16, 16), [0.0, 1.0, 4.0], 40.0, 10.0, n_detectors=1)
    parallel = ParallelBeam((16, 16), [0.0, 1.0, 4.0], n_detectors=1)
    values = analytic_sinogram([TILTED], fan)
    np.testing.assert_allclose(values, analytic_sinogram([TILTED], parallel), rtol=1e-12)
    assert values.max() > 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ellipse(1.0, 0.0, 1.0), "semi-axes"),
        (lambda: Ellipse(float("nan"), 1.0, 1.0), "finite"),
        (lambda: rasterize([], (3,)), "two sizes"),
        (lambda: rasterize([], (3, 3), pixel_size=-1.0), "pixel_size"),
        (lambda: rasterize([], (3, 3), supersampling=0), "supersampling"),
    ],
)
def test_bad_input(make, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        make()
