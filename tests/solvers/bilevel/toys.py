"""Bilevel problems whose exact loss and hypergradient are computed without the code under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import wellposed as wp

Matrix = wp.operators.Matrix


@dataclass(frozen=True)
class Toy:
    """A lower level, a loss, and the exact loss as a function of the vector of parameters."""

    lower: wp.Functional
    loss: wp.Functional
    theta: np.ndarray
    exact: Callable[[np.ndarray], float]
    gradient: Callable[[np.ndarray], np.ndarray] | None = None


def quadratic(seed: int = 0, rows: int = 1000, columns: int = 10, centred: bool = False) -> Toy:
    """The quadratic problem of the MAID paper, with 1/2 in front of both levels.

    With ``centred`` the matrices have mean 0, and with it a good condition.
    """
    rng = np.random.default_rng(seed)
    A1, A2, A3 = (rng.random((rows, columns)) - 0.5 * centred for _ in range(3))
    if centred:
        A3 = A3 + A2
    x1, x2, truth = (rng.random(columns) for _ in range(3))
    y1, y2 = (rng.standard_normal(rows) for _ in range(2))
    b1, b2 = A1 @ x1 + 0.01 * y1, A2 @ x2 + A3 @ truth + 0.01 * y2
    theta = np.ones(columns)
    offset = wp.Parameter("theta", theta, low=-np.inf, transform="identity")
    inverse = np.linalg.inv(A2.T @ A2)
    M, rest = -A1 @ inverse @ A2.T @ A3, A1 @ inverse @ A2.T @ b2 - b1
    return Toy(
        wp.OffsetLeastSquares(Matrix(A2), Matrix(A3), b2, offset),
        wp.LeastSquares(Matrix(A1), b1),
        theta,
        lambda t: 0.5 * float(np.sum((M @ t + rest) ** 2)),
        lambda t: M.T @ (M @ t + rest),
    )


def ridge(rng: np.random.Generator, n: int = 8) -> Toy:
    """Ridge regression with a weight for each feature, on a log scale."""
    A, V = rng.standard_normal((3 * n, n)), rng.standard_normal((2 * n, n))
    b, v = rng.standard_normal(3 * n), rng.standard_normal(2 * n)
    w = np.exp(rng.uniform(-1, 1, n))

    def solution(t: np.ndarray) -> np.ndarray:
        return np.linalg.solve(A.T @ A + np.diag(np.exp(t)), A.T @ b)

    def gradient(t: np.ndarray) -> np.ndarray:
        x = solution(t)
        q = np.linalg.solve(A.T @ A + np.diag(np.exp(t)), V.T @ (V @ x - v))
        return -np.exp(t) * x * q

    return Toy(
        wp.LeastSquares(Matrix(A), b) + wp.SquaredL2(wp.Parameter("ridge", w)),
        wp.LeastSquares(Matrix(V), v),
        np.log(w),
        lambda t: 0.5 * float(np.sum((V @ solution(t) - v) ** 2)),
        gradient,
    )


def denoising(rng: np.random.Generator, n: int = 12) -> Toy:
    """Smoothed total variation of a signal, with its weight and smoothing on a log scale."""
    truth = np.repeat(rng.standard_normal(3), n // 3)
    y = truth + 0.3 * rng.standard_normal(n)
    start = np.log([rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.6)])
    D = np.diff(np.eye(n), axis=0)

    def solution(t: np.ndarray) -> np.ndarray:
        w, eps = np.exp(t)
        x = y.copy()
        for _ in range(60):
            u = D @ x
            phi = np.sqrt(u**2 + eps**2)
            g = x - y + w * D.T @ (u / phi)
            H = np.eye(n) + w * D.T @ np.diag(eps**2 / phi**3) @ D
            step, decrease = np.linalg.solve(H, g), g
            scale = 1.0
            while scale > 1e-4 and slope(x - scale * step, w, eps) > np.linalg.norm(decrease):
                scale /= 2
            x = x - scale * step
        return x

    def slope(x: np.ndarray, w: float, eps: float) -> float:
        u = D @ x
        return float(np.linalg.norm(x - y + w * D.T @ (u / np.sqrt(u**2 + eps**2))))

    def gradient(t: np.ndarray) -> np.ndarray:
        w, eps = np.exp(t)
        x = solution(t)
        u = D @ x
        phi = np.sqrt(u**2 + eps**2)
        H = np.eye(n) + w * D.T @ np.diag(eps**2 / phi**3) @ D
        q = np.linalg.solve(H, x - truth)
        return -np.array([w * (D.T @ (u / phi)) @ q, -w * (D.T @ (u * eps**2 / phi**3)) @ q])

    w, eps = np.exp(start)
    return Toy(
        wp.LeastSquares(None, y) + wp.Parameter("w", w) * wp.SmoothedTotalVariation(wp.Parameter("eps", eps)),
        wp.LeastSquares(None, truth),
        start,
        lambda t: 0.5 * float(np.sum((solution(t) - truth) ** 2)),
        gradient,
    )


def logistic(rng: np.random.Generator, n: int = 6) -> Toy:
    """Logistic regression with one ridge weight on a log scale; the minimiser by Newton's method."""
    A, V = rng.standard_normal((4 * n, n)), rng.standard_normal((3 * n, n))
    truth = rng.standard_normal(n)
    b, v = (np.where(M @ truth + rng.standard_normal(len(M)) > 0, 1.0, -1.0) for M in (A, V))
    start = np.array([rng.uniform(-1, 2)])

    def hessian(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = 1 / (1 + np.exp(-b * (A @ x)))
        g = A.T @ ((s - 1) * b) + np.exp(t[0]) * x
        return g, A.T @ np.diag(s * (1 - s)) @ A + np.exp(t[0]) * np.eye(n)

    def solution(t: np.ndarray) -> np.ndarray:
        x = np.zeros(n)
        for _ in range(50):
            g, H = hessian(x, t)
            x = x - np.linalg.solve(H, g)
        return x

    def gradient(t: np.ndarray) -> np.ndarray:
        x = solution(t)
        s = 1 / (1 + np.exp(-v * (V @ x)))
        q = np.linalg.solve(hessian(x, t)[1], V.T @ ((s - 1) * v))
        return np.array([-np.exp(t[0]) * x @ q])

    return Toy(
        wp.LogisticLoss(Matrix(A), b) + wp.Parameter("ridge", float(np.exp(start[0]))) * wp.SquaredL2(),
        wp.LogisticLoss(Matrix(V), v),
        start,
        lambda t: float(np.sum(np.log1p(np.exp(-v * (V @ solution(t)))))),
        gradient,
    )


TOYS: dict[str, Callable[[np.random.Generator], Toy]] = {
    "quadratic": lambda rng: quadratic(int(rng.integers(1 << 30)), 40, 6),
    "ridge": ridge,
    "denoising": denoising,
    "logistic": logistic,
}


def flat(gradient: dict[str, Any]) -> np.ndarray:
    """The parts of a hypergradient as one vector, in their order."""
    return np.concatenate([np.reshape(part, -1) for part in gradient.values()])


def slopes(f: Callable[[np.ndarray], float], t: np.ndarray, h: float = 1e-3) -> np.ndarray:
    """Central differences of fourth order."""

    def along(k: int) -> float:
        e = h * np.eye(len(t))[k]
        return (8 * (f(t + e) - f(t - e)) - (f(t + 2 * e) - f(t - 2 * e))) / (12 * h)

    return np.array([along(k) for k in range(len(t))])
