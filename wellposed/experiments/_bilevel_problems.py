"""The problems of the experiments of learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed.experiments._bilevel import Problem
from wellposed.functionals.datafits import LeastSquares
from wellposed.functionals.field_of_experts import FieldOfExperts
from wellposed.functionals.kernel_ridge import KernelRidge
from wellposed.functionals.logistic import LogisticLoss
from wellposed.functionals.multinomial import MultinomialLoss
from wellposed.functionals.norms import SquaredL2
from wellposed.functionals.offset import OffsetLeastSquares
from wellposed.functionals.parameter import Parameter
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.operators.calculus import Gradient
from wellposed.operators.kernel_matrix import KernelMatrix
from wellposed.operators.matrices import Matrix
from wellposed.operators.matrix_product import MatrixProduct
from wellposed.problems.metrics import psnr

# --- least squares of least squares ---------------------------------------------------------------


@dataclass(frozen=True)
class Quadratic:
    """The quadratic problem, whose loss and its gradient have closed forms."""

    problem: Problem
    M: np.ndarray
    rest: np.ndarray

    def loss(self, theta: np.ndarray) -> float:
        """The loss of the exact minimiser."""
        return 0.5 * float(np.sum((self.M @ theta + self.rest) ** 2))

    def slope(self, theta: np.ndarray) -> np.ndarray:
        """The gradient of `loss`."""
        return np.asarray(self.M.T @ (self.M @ theta + self.rest))


def quadratic(seed: int, theta: np.ndarray | None = None, centred: bool = False) -> Quadratic:
    r"""``min 1/2 ||A1 x - b1||^2`` over ``theta``, where ``x`` minimises ``1/2 ||A2 x + A3 theta - b2||^2``.

    Uniform matrices of 1000 x 10, after J. Li, B. Gu and H. Huang, 2022. ``centred`` ones have a good
    condition.
    """
    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.random((1000, 10)) - 0.5 * centred for _ in range(3))
    A3 = A3 + A2 if centred else A3
    x1, x2, truth = (rng.random(10) for _ in range(3))
    y1, y2 = (rng.standard_normal(1000) for _ in range(2))
    b1, b2 = A1 @ x1 + 0.01 * y1, A2 @ x2 + A3 @ truth + 0.01 * y2
    inverse = np.linalg.solve(A2.T @ A2, A2.T)
    M, rest = -A1 @ inverse @ A3, A1 @ inverse @ b2 - b1
    start = np.ones(10) if theta is None else theta
    offset = Parameter("theta", start, low=-math.inf, transform="identity")
    problem = Problem(
        OffsetLeastSquares(Matrix(A2), Matrix(A3), b2, offset),
        LeastSquares(Matrix(A1), b1),
        lambda values: 0.5 * float(np.sum((M @ values["theta"] + rest) ** 2)),
    )
    return Quadratic(problem, M, rest)


# --- images ---------------------------------------------------------------------------------------

CORNERS = ((60, 180), (100, 230), (150, 100), (200, 300), (300, 180), (350, 60), (30, 30), (400, 400))
"""Rows and columns where crops of the photograph of the cameraman begin."""


@dataclass(frozen=True)
class Images:
    """Clean images in one array, and noisy ones."""

    clean: np.ndarray
    noisy: np.ndarray

    def quality(self, images: Any) -> float:
        """The mean PSNR (dB) of images cut to the range 0 to 1."""
        pairs = zip(np.clip(images, 0, 1), self.clean, strict=True)
        return float(np.mean([psnr(x, truth, data_range=1.0) for x, truth in pairs]))


def noisy_images(clean: np.ndarray, seed: int, sigma: float = 0.1) -> Images:
    """Images with normal noise."""
    return Images(clean, clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape))


def cameraman(seed: int, pixels: int = 64, count: int = 8) -> Images:
    """Crops of the cameraman with noise."""
    from skimage.data import camera

    picture: Any = camera() / 255  # type: ignore[no-untyped-call]
    return noisy_images(np.stack([picture[i : i + pixels, j : j + pixels] for i, j in CORNERS[:count]]), seed)


def total_variation(images: Images, weight: float, smoothing: float) -> Problem:
    """Smoothed anisotropic total variation of all images as one lower level.

    ``weight`` stands in front of it, which is half of that in the paper.
    """
    D = Gradient(images.clean.shape, axes=(1, 2))
    prior = SmoothedL21(Parameter("smoothing", smoothing), axes=())
    lower = LeastSquares(None, images.noisy) + Parameter("weight", weight) * (prior @ D)
    each = np.full(images.clean.shape, 1 / len(images.clean))
    return Problem(lower, LeastSquares(None, images.clean, weights=each))


def experts(images: Images, prior: FieldOfExperts) -> Problem:
    """A field of experts with parameters, each image with a lower level of its own."""
    return Problem(
        [LeastSquares(None, y) + prior for y in images.noisy], [LeastSquares(None, x) for x in images.clean]
    )


def photographs(pixels: int, count: int, offset: int = 0) -> np.ndarray:
    """Grey crops from the photographs inside scikit-image, taking turns among them.

    Parameters
    ----------
    pixels, count : int
    offset : int
        The first crops to pass over.
    """
    from skimage import data
    from skimage.color import rgb2gray

    colours = (data.astronaut, data.chelsea, data.coffee, data.rocket)
    pictures: list[Any] = [
        data.camera() / 255,  # type: ignore[no-untyped-call]
        *(rgb2gray(picture()) for picture in colours),  # type: ignore[no-untyped-call]
    ]
    crops = []
    for turn in range(offset, offset + count):
        picture = pictures[turn % len(pictures)]
        rows, columns = (n // pixels for n in picture.shape)
        # Steps of a number without common divisor pass through all places of the tiling.
        place = (7 * (turn // len(pictures)) + (rows * columns) // 2) % (rows * columns)
        i, j = (pixels * k for k in divmod(place, columns))
        crops.append(picture[i : i + pixels, j : j + pixels])
    return np.stack(crops)


# --- classification -------------------------------------------------------------------------------


def digits(train: int = 1000, box: float = 12.0) -> Problem:
    """Multinomial regression of scikit-learn's digits with a ridge weight for each coefficient.

    Means of cross-entropies; the samples after the first ``train`` validate.
    """
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order] / 16, y[order]

    def fit(part: slice) -> MultinomialLoss:
        n = len(y[part])
        return MultinomialLoss(MatrixProduct(X[part], columns=10), y[part], weights=np.full(n, 1 / n))

    ridge = Parameter(
        "ridge", np.full((X.shape[1], 10), math.exp(-3)), low=math.exp(-box), high=math.exp(box)
    )
    return Problem(fit(slice(train)) + SquaredL2(ridge), fit(slice(train, None)))


def thirds(name: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Standardised features and labels -1 and 1 of three equal parts: training, validation, test.

    Parameters
    ----------
    name : {"breast cancer", "digits"}
        For digits the label is whether the digit is below 5.
    seed : int
        Of the order of the samples.
    """
    from sklearn import datasets

    if name == "digits":
        X, y = datasets.load_digits(return_X_y=True)
        b = np.where(y < 5, 1.0, -1.0)
    else:
        X, y = datasets.load_breast_cancer(return_X_y=True)
        b = np.where(y == 1, 1.0, -1.0)
    scale = X.std(0)
    X = (X - X.mean(0)) / np.where(scale > 0, scale, 1.0)
    order, n = np.random.default_rng(seed).permutation(len(b)), len(b) // 3
    parts = (order[k * n : (k + 1) * n] for k in range(3))
    return [(X[part], b[part]) for part in parts]


def ridge_classifier(name: str, seed: int, ridge: float = 1.0, box: float = 12.0) -> Problem:
    """Logistic regression with one ridge weight, learned from the validation part."""
    (A, a), (V, v), _ = thirds(name, seed)
    weight = Parameter("ridge", ridge, low=math.exp(-box), high=math.exp(box))
    loss = LogisticLoss(Matrix(V), v)
    return Problem(
        LogisticLoss(Matrix(A), a) + weight * SquaredL2(),
        loss,
        lambda values: loss(newton(A, a, values["ridge"])),
    )


def newton(A: np.ndarray, b: np.ndarray, ridge: float) -> np.ndarray:
    """The minimiser of a logistic loss and ``ridge / 2`` times the squared norm, by damped Newton steps."""

    def value(x: np.ndarray) -> float:
        return float(np.sum(np.logaddexp(0.0, -b * (A @ x))) + 0.5 * ridge * (x @ x))

    x = np.zeros(A.shape[1])
    for _ in range(100):
        doubt = 1 / (1 + np.exp(b * (A @ x)))
        slope = ridge * x - A.T @ (doubt * b)
        step = np.linalg.solve(A.T @ ((doubt * (1 - doubt))[:, None] * A) + ridge * np.eye(len(x)), slope)
        if slope @ step <= 1e-22 * max(value(x), 1.0):
            break
        length = 1.0
        while length > 1e-6 and value(x - length * step) > value(x) - 0.1 * length * float(slope @ step):
            length /= 2
        x = x - length * step
    return x


# --- regression with a kernel ------------------------------------------------------------------------


def kernel_problem(gamma: float = 1.0, ridge: float = 1.0) -> Problem:
    """Width and ridge for diabetes: 147 rows to train, the next 147 to validate.

    The loss is the squared error, without a factor of one half.
    """
    from sklearn.datasets import load_diabetes

    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    X, y = X[order], ((y - y.mean()) / y.std())[order]
    X = (X - X.mean(0)) / X.std(0)
    train, aside = slice(0, 147), slice(147, 294)
    low, high = math.exp(-6), math.exp(6)
    width, weight = Parameter("gamma", gamma, low, high), Parameter("ridge", ridge, low, high)
    loss = 2.0 * LeastSquares(KernelMatrix(X[aside], X[train], width), y[aside])
    return Problem(KernelRidge(X[train], y[train], width, weight), loss)


def direct(problem: Problem, gamma: float, ridge: float) -> float:
    """The loss of kernel ridge regression from a direct solution."""
    lower, loss = problem.at({"gamma": gamma, "ridge": ridge})
    n = len(lower.y)
    K = np.stack([lower.kernel(e) for e in np.eye(n)])
    return float(loss(np.linalg.solve(K + ridge * np.eye(n), lower.y)))
