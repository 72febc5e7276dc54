"""Transport problems: classes of points, colours of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from wellposed.solvers.transport.data import squared_distances


@dataclass(frozen=True, eq=False)
class ClassClouds:
    """Two sets of points in classes, of which the second is the first moved.

    Parameters
    ----------
    sources, targets : array of shape (points, 2)
    source_labels, target_labels : array of int
    """

    sources: np.ndarray
    targets: np.ndarray
    source_labels: np.ndarray
    target_labels: np.ndarray

    @cached_property
    def cost(self) -> np.ndarray:
        """Squared distances over the largest."""
        return np.asarray(squared_distances(self.sources, self.targets))

    def mixed_mass(self, plan: np.ndarray) -> float:
        """The mass that a plan moves between different classes."""
        return float(plan[self.source_labels[:, None] != self.target_labels].sum())

    def accuracy(self, images: np.ndarray) -> float:
        """Share of the targets whose nearest image of a source has the right label."""
        from scipy.spatial import cKDTree

        nearest = cKDTree(images).query(self.targets)[1]
        return float(np.mean(self.source_labels[nearest] == self.target_labels))


def class_clouds(
    per_class: int = 5, classes: int = 2, noise: float = 1.5, stretch: float = 1.0, seed: int = 0
) -> ClassClouds:
    """Gaussian classes side by side, 3 apart; the targets are 2 higher.

    Parameters
    ----------
    per_class, classes : int
    noise : float
        Standard deviation of each class.
    stretch : float
        Factor of the centres of the targets along the first axis.
    seed : int

    Returns
    -------
    ClassClouds

    Examples
    --------
    >>> import wellposed as wp
    >>> clouds = wp.problems.class_clouds()
    >>> clouds.mixed_mass(wp.transport.exact(clouds.cost).plan)
    0.2
    """
    if per_class < 1 or classes < 1:
        raise ValueError(f"there must be points and classes, got {per_class} and {classes}")
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), per_class)
    centres = np.stack([3.0 * labels, np.zeros(len(labels))], axis=1)
    sources = centres + noise * rng.standard_normal(centres.shape)
    targets = centres * [stretch, 1] + [0, 2] + noise * rng.standard_normal(centres.shape)
    return ClassClouds(sources, targets, labels, labels)


def rotated_moons(n: int = 60, degrees: float = 50.0, noise: float = 0.05, seed: int = 0) -> ClassClouds:
    """Two interleaved half circles, and others turned about the origin: domain adaptation.

    Parameters
    ----------
    n : int
        Points of each set.
    degrees : float
        Of the turn.
    noise : float
    seed : int

    Returns
    -------
    ClassClouds
    """
    from sklearn.datasets import make_moons

    sources, source_labels = make_moons(n, noise=noise, random_state=seed)
    targets, target_labels = make_moons(n, noise=noise, random_state=seed + 1000)
    turn = np.deg2rad(degrees)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return ClassClouds(sources, targets @ rotation.T, source_labels, target_labels)


@dataclass(frozen=True, eq=False)
class ColourTransfer:
    """The colours of two photographs, each a few with their shares of the pixels.

    Parameters
    ----------
    image : array of shape (height, width, 3)
        Whose colours are to be replaced, from 0 to 1.
    reference : array of shape (height, width, 3)
        That the colours are taken from.
    colours, reference_colours : array of shape (number, 3)
    shares, reference_shares : array
    nearest : array of int of shape (height, width)
        The number of the colour of each pixel of ``image``.
    """

    image: np.ndarray
    reference: np.ndarray
    colours: np.ndarray
    reference_colours: np.ndarray
    shares: np.ndarray
    reference_shares: np.ndarray
    nearest: np.ndarray

    @cached_property
    def cost(self) -> np.ndarray:
        """Squared distances of the colours over the largest."""
        return np.asarray(squared_distances(self.colours, self.reference_colours))

    def recoloured(self, images: np.ndarray) -> np.ndarray:
        """The photograph with each colour moved as its mean colour was; ``images`` has one row for each."""
        return np.asarray(np.clip(self.image + (images - self.colours)[self.nearest], 0.0, 1.0))


def colour_transfer(colours: int = 32, size: int = 128, seed: int = 0) -> ColourTransfer:
    """Colours of two photographs that ship with scikit-image: a cup of coffee, a cat.

    Parameters
    ----------
    colours : int
        For each photograph, by k-means.
    size : int
        Pixels of the longer side, after skipping.
    seed : int

    Returns
    -------
    ColourTransfer

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.problems.colour_transfer(colours=8, size=32).cost.shape
    (8, 8)
    """
    from skimage import data

    photographs: tuple[Any, Any] = (data.coffee(), data.chelsea())  # type: ignore[no-untyped-call]
    images = [_thinned(photograph, size) for photograph in photographs]
    (first, near, shares), (second, _, others) = (_palette(image, colours, seed) for image in images)
    return ColourTransfer(images[0], images[1], first, second, shares, others, near)


def _thinned(image: np.ndarray, size: int) -> np.ndarray:
    step = max(1, -(-max(image.shape[:2]) // size))
    return image[::step, ::step].astype(np.float64) / 255


def _palette(image: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colours, the number of the colour of each pixel, and shares of the pixels."""
    from sklearn.cluster import KMeans

    pixels = image.reshape(-1, 3)
    found = KMeans(count, n_init=1, random_state=seed).fit(pixels)
    shares = np.bincount(found.labels_, minlength=count) / len(pixels)
    return found.cluster_centers_, found.labels_.reshape(image.shape[:2]), shares
