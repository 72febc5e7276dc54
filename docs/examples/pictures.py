"""Images side by side in one PNG, for the scripts of this folder."""

import io
import sys
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def panels(name: str, images: dict[str, np.ndarray], high: float = 1.0, width: float = 2.6) -> None:
    """Write ``name`` with one panel for each entry, title above image; values from 0 to ``high``."""
    rows, columns = next(iter(images.values())).shape[:2]
    lines = max(title.count("\n") + 1 for title in images)
    picture, text = width * rows / columns, 0.1 + 0.16 * lines
    figure = plt.figure(figsize=(width * len(images), picture + text))
    for k, (title, image) in enumerate(images.items()):
        place = ((k + 0.01) / len(images), 0.01, 0.98 / len(images), picture / (picture + text))
        show(figure.add_axes(place), image, title, high)
    save(figure, name)


def show(axis: plt.Axes, image: np.ndarray, title: str, high: float = 1.0) -> None:
    """Draw one image."""
    axis.imshow(np.clip(image / high, 0.0, 1.0), cmap="gray", vmin=0.0, vmax=1.0)
    axis.set_title(title, fontsize=9)
    axis.set_axis_off()


def save(figure: plt.Figure, name: str) -> None:
    """Write a figure into the folder named on the command line, else into docs/images."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "images"
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100)
    plt.close(figure)
    # A palette of 256 colours keeps the files small.
    Image.open(buffer).convert("RGB").quantize(256).save(folder / name, optimize=True)
    print(f"wrote {folder / name}")
