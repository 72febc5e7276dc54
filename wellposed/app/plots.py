"""Figures of images and of runs, as objects of matplotlib without its global state.

Every function returns a `matplotlib.figure.Figure`; `to_base64` turns it into a PNG for the report.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.writers import grey_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["convergence", "images", "profile", "sinogram", "to_base64"]

_COLOURS = ("#0b5fa5", "#d1495b", "#2e8540", "#7a4fa3", "#8a6d00")
_GREY = "#5b6470"


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    return figure, list(axes.ravel())


def _plain(axis: "Axes") -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(True, color="#e3e6ea", linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(colors=_GREY, labelsize=9)


def to_base64(figure: "Figure", dpi: int = 110) -> str:
    """PNG of a figure in base64, without the ``data:`` prefix."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return the middle slice of a volume, anything else as it is."""
    return array[array.shape[0] // 2] if array.ndim == 3 and array.shape[-1] != 3 else array


def images(
    panels: Mapping[str, NDArray[Any]], *, window: tuple[float, float] | None = None, line: int | None = None
) -> "Figure":
    """Images side by side in one common grey window.

    Parameters
    ----------
    panels : mapping
        Title to image (rows, columns), colour image (rows, columns, 3; clipped to [0, 1]) or volume (its
        middle slice is shown).
    window : (float, float), optional
        Black and white; by default the `grey_window` of the last image.
    line : int, optional
        Row to mark, where `profile` cuts.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        If there is no image.
    """
    if not panels:
        raise ValueError("no image to show; give at least one")
    shown = {title: _flat(np.asarray(array)) for title, array in panels.items()}
    last = list(shown.values())[-1]
    low, high = grey_window(last) if window is None else window
    aspect = last.shape[0] / last.shape[1]
    count = len(shown)
    figure, axes = _figure(3.7 * count + 0.7, 3.7 * aspect + 0.5, 1, count)
    drawn: Any = None
    for axis, (title, array) in zip(axes, shown.items(), strict=True):
        if array.ndim == 3:
            axis.imshow(np.clip(array, 0, 1))
        else:
            drawn = axis.imshow(array, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axis.set_title(title, fontsize=11)
        axis.set_axis_off()
        if line is not None:
            axis.axhline(line, color=_COLOURS[1], linewidth=0.8, linestyle=(0, (4, 4)))
    if drawn is not None:
        bar = figure.colorbar(drawn, ax=axes, fraction=0.03, pad=0.01)
        bar.ax.tick_params(labelsize=8, colors=_GREY)
        bar.outline.set_visible(False)
    return figure


def profile(panels: Mapping[str, NDArray[Any]], *, row: int | None = None) -> "Figure":
    """Values along one row of each image (its mean over the colours).

    Parameters
    ----------
    panels : mapping
        Title to image, as for `images`, all of the same number of columns.
    row : int, optional
        The middle row by default.
    """
    figure, (axis,) = _figure(8.2, 3.0)
    place = 0
    for index, (title, array) in enumerate(panels.items()):
        flat = _flat(np.asarray(array))
        place = flat.shape[0] // 2 if row is None else row
        values = flat[place].mean(axis=-1) if flat.ndim == 3 else flat[place]
        last = index == len(panels) - 1
        axis.plot(
            values,
            label=title,
            color=_COLOURS[index % len(_COLOURS)],
            linewidth=1.5 if last else 0.9,
            alpha=1.0 if last else 0.75,
        )
    axis.set_xlabel(f"column (row {place})", color=_GREY)
    axis.set_ylabel("value", color=_GREY)
    axis.margins(x=0)
    axis.legend(fontsize=9, frameon=False, ncols=max(1, len(panels)), loc="lower left", bbox_to_anchor=(0, 1))
    _plain(axis)
    return figure


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace what a logarithmic axis cannot show by NaN, which leaves a gap."""
    return np.where(values > 0, values, np.nan)


def convergence(history: Sequence[Mapping[str, float]], *, tol: float | None = None) -> "Figure":
    """Objective above its smallest value, and relative certificate, against the iteration.

    Parameters
    ----------
    history : sequence of mapping
        Records with ``iteration``, ``objective`` and ``certificate`` (relative); missing or None values are
        left out.
    tol : float, optional
        Tolerance, drawn as a line.
    """
    figure, (left, right) = _figure(8.2, 3.1, 1, 2)
    steps, values = _series(history, "objective")
    if values.size:
        above = _positive(values - values.min())
        left.plot(steps, above, color=_COLOURS[0], marker=".", markersize=5, linewidth=1.3)
        if np.isfinite(above).any():
            left.set_yscale("log")
    left.set_title("objective above its smallest value", fontsize=10)
    steps, values = _series(history, "certificate")
    shown = _positive(values)
    right.plot(steps, shown, color=_COLOURS[2], marker=".", markersize=5, linewidth=1.3, label="certificate")
    if tol is not None:
        right.axhline(tol, color=_COLOURS[1], linewidth=1.0, linestyle="--", label=f"tolerance {tol:g}")
    if np.isfinite(shown).any() or tol is not None:
        right.set_yscale("log")
        right.legend(fontsize=9, frameon=False)
    right.set_title("relative certificate", fontsize=10)
    for axis in (left, right):
        axis.set_xlabel("iteration", color=_GREY)
        _plain(axis)
    return figure


def _series(
    history: Sequence[Mapping[str, float]], key: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = [(record["iteration"], record[key]) for record in history if record.get(key) is not None]
    finite = [(i, v) for i, v in pairs if np.isfinite(v)]
    return np.array([i for i, _ in finite], dtype=np.float64), np.array(
        [v for _, v in finite], dtype=np.float64
    )


def sinogram(values: NDArray[Any], angles: NDArray[np.float64], *, center: float | None = None) -> "Figure":
    """Line integrals with the detector across and the views downwards, and the rotation axis.

    Parameters
    ----------
    values : ndarray
        (n_views, n_detectors).
    angles : ndarray
        Radians; the first and last are written at the axis.
    center : float, optional
        Detector column of the rotation axis.
    """
    figure, (axis,) = _figure(8.2, 3.0)
    low, high = grey_window(values)
    drawn = axis.imshow(values, cmap="gray", vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    if center is not None:
        axis.axvline(center, color=_COLOURS[1], linewidth=1.0, linestyle="--", label=f"axis at {center:.2f}")
        axis.legend(fontsize=9, loc="upper right")
    degrees = np.rad2deg(np.asarray(angles))
    axis.set_ylabel(f"{len(degrees)} views, {degrees[0]:.1f}° to {degrees[-1]:.1f}°", color=_GREY)
    axis.set_xlabel("detector column", color=_GREY)
    axis.tick_params(colors=_GREY, labelsize=9)
    bar = figure.colorbar(drawn, ax=axis, fraction=0.03, pad=0.01)
    bar.ax.tick_params(labelsize=8, colors=_GREY)
    return figure
