"""Figures: what is drawn, without any global state of matplotlib."""

import base64
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Pillow

from wellposed.app import plots


def test_images_share_one_window() -> None:
    a, b = np.random.default_rng(0).random((2, 12, 16))
    figure = plots.images({"first": 10 * a, "second": b}, line=6)
    drawn = [axis.images[0] for axis in figure.axes[:2]]
    assert drawn[0].get_clim() == drawn[1].get_clim()
    assert [axis.get_title() for axis in figure.axes[:2]] == ["first", "second"]
    assert list(np.asarray(figure.axes[0].lines[0].get_ydata())) == [6, 6]
    assert plots.images({"a": a}, window=(0.2, 0.4)).axes[0].images[0].get_clim() == (0.2, 0.4)
    with pytest.raises(ValueError, match="no image to show"):
        plots.images({})


def test_colour_and_volumes() -> None:
    volume = np.zeros((3, 5, 6))
    volume[1] = 1
    figure = plots.images({"volume": volume, "colour": np.full((5, 6, 3), 2.0)}, window=(0, 1))
    assert np.asarray(figure.axes[0].images[0].get_array()).min() == 1
    assert np.asarray(figure.axes[1].images[0].get_array()).max() == 1


def test_profile() -> None:
    image = np.arange(30.0).reshape(5, 6)
    axis = plots.profile({"a": image, "b": np.dstack([image, image + 3, image + 6])}, row=4).axes[0]
    np.testing.assert_array_equal(axis.lines[0].get_ydata(), image[4])
    np.testing.assert_array_equal(axis.lines[1].get_ydata(), image[4] + 3)


def test_convergence_leaves_out_what_it_cannot_draw() -> None:
    history = [
        {"iteration": 0, "seconds": 0.0, "objective": np.inf},
        {"iteration": 10, "seconds": 0.1, "objective": 4.0, "certificate": 0.1},
        {"iteration": 20, "seconds": 0.2, "objective": 3.0, "certificate": 0.0},
    ]
    left, right = plots.convergence(history, tol=1e-3).axes
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [10, 20])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [1.0, np.nan])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [0.1, np.nan])
    assert right.get_yscale() == "log"
    assert plots.to_base64(plots.convergence([]))


def test_sinogram_marks_the_axis() -> None:
    figure = plots.sinogram(np.random.default_rng(0).random((8, 20)), np.linspace(0, np.pi, 8), center=9.5)
    assert list(np.asarray(figure.axes[0].lines[0].get_xdata())) == [9.5, 9.5]
    assert "8 views, 0.0° to 180.0°" in figure.axes[0].get_ylabel()


def test_base64_is_a_png() -> None:
    png = base64.b64decode(plots.to_base64(plots.images({"a": np.eye(8)}), dpi=50))
    assert Pillow.open(io.BytesIO(png)).format == "PNG"


def test_pyplot_stays_away() -> None:
    code = (
        "import sys, numpy as np; from wellposed.app import plots;"
        "plots.to_base64(plots.images({'a': np.eye(8)}));"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
