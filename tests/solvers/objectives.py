"""Small random objectives, each with its minimum from CVXPY, written here without the library's operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cvxpy as cp
import numpy as np
import scipy.sparse
import scipy.special

import wellposed as wp
from wellposed.functionals.smoothed import SmoothedL21

SPLITTING = ("primal-dual", "admm", "linearised-admm")
GRADIENT = ("fista", "ista")


@dataclass(frozen=True)
class Case:
    """An objective of the library and the same one for CVXPY."""

    name: str
    build: Callable[[], tuple[wp.Functional, tuple[int, ...], Callable[[cp.Variable], tuple]]]
    able: tuple[str, ...]

    @cached_property
    def parts(self):
        return self.build()

    @property
    def objective(self) -> wp.Functional:
        return self.parts[0]

    @cached_property
    def minimum(self) -> float:
        """The minimum by an interior-point method."""
        _, shape, twin = self.parts
        x = cp.Variable(int(np.prod(shape)))
        value, constraints = twin(x)
        problem = cp.Problem(cp.Minimize(value), constraints)
        tight = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}
        problem.solve(solver=cp.CLARABEL, **tight)
        assert problem.status == "optimal"
        return float(problem.value)


def differences(shape: tuple[int, ...]) -> list[np.ndarray]:
    """One matrix per axis: forward differences of the flattened array, zero across the far edge."""
    index = np.arange(np.prod(shape)).reshape(shape)
    matrices = []
    for axis in range(len(shape)):
        matrix = np.zeros((index.size, index.size))
        for here in np.ndindex(*shape):
            if here[axis] + 1 < shape[axis]:
                there = tuple(i + (k == axis) for k, i in enumerate(here))
                matrix[index[here], index[there]] = 1.0
                matrix[index[here], index[here]] = -1.0
        matrices.append(matrix)
    return matrices


def blur_matrix(kernel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Periodic convolution with a kernel centred at ``size // 2``."""
    index = np.arange(np.prod(shape)).reshape(shape)
    matrix = np.zeros((index.size, index.size))
    for i, j in np.ndindex(*shape):
        for a, b in np.ndindex(*kernel.shape):
            source = index[
                (i - a + kernel.shape[0] // 2) % shape[0], (j - b + kernel.shape[1] // 2) % shape[1]
            ]
            matrix[index[i, j], source] += kernel[a, b]
    return matrix


def tv(x: cp.Variable, shape: tuple[int, ...], weights: np.ndarray | None = None) -> cp.Expression:
    parts = cp.vstack([D @ x for D in differences(shape)])
    w = np.ones(int(np.prod(shape))) if weights is None else weights.reshape(-1)
    return cp.sum(cp.multiply(w, cp.norm(parts, 2, axis=0)))


def anisotropic_tv(x: cp.Variable, shape: tuple[int, ...]) -> cp.Expression:
    return sum(cp.norm1(D @ x) for D in differences(shape))


def smoothed_tv(x: cp.Variable, shape: tuple[int, ...], eps: float) -> cp.Expression:
    n = int(np.prod(shape))
    parts = cp.vstack([*(D @ x for D in differences(shape)), eps * np.ones(n)])
    return cp.sum(cp.norm(parts, 2, axis=0)) - eps * n


def tgv(x: cp.Variable, shape: tuple[int, int], alpha0: float, alpha1: float) -> cp.Expression:
    """Minimised over a vector field that CVXPY adds: its backward differences are minus the adjoints."""
    D = differences(shape)
    v = [cp.Variable(int(np.prod(shape))) for _ in shape]
    first = cp.norm(cp.vstack([D[k] @ x - v[k] for k in range(2)]), 2, axis=0)
    E = [[-0.5 * (D[k].T @ v[l] + D[l].T @ v[k]) for l in range(2)] for k in range(2)]
    second = cp.norm(cp.vstack([E[0][0], E[0][1], E[1][0], E[1][1]]), 2, axis=0)
    return alpha1 * cp.sum(first) + alpha0 * cp.sum(second)


def kullback_leibler(v: cp.Expression, b: np.ndarray) -> cp.Expression:
    """With the constant that makes it 0 at ``v = b``."""
    return cp.sum(cp.kl_div(b, v))


def huber(r: cp.Expression, delta: float) -> cp.Expression:
    return 0.5 * cp.sum(cp.huber(r, delta))


def half_square(r: cp.Expression, weights: np.ndarray | float = 1.0) -> cp.Expression:
    return 0.5 * cp.sum(cp.multiply(weights, cp.square(r)))


# --- the problems ---------------------------------------------------------------------------------

IMAGE = (6, 5)


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _system(rows: int = 9, columns: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = _rng()
    return rng.normal(size=(rows, columns)), 2 * rng.normal(size=rows)


def _image(shape: tuple[int, ...] = IMAGE) -> np.ndarray:
    """A step with noise."""
    rng = _rng()
    x = np.zeros(shape)
    x[: shape[0] // 2] = 1.0
    return x + 0.3 * rng.normal(size=shape)


def lasso():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + 1.5 * wp.L1(),
        (6,),
        lambda x: (half_square(A @ x - b) + 1.5 * cp.norm1(x), []),
    )


def elastic_nonnegative():
    A, b = _system()
    w = np.linspace(0.2, 2.0, 9)
    objective = (
        wp.LeastSquares(wp.operators.Matrix(A), b, weights=w) + wp.ElasticNet(0.3, 0.2) + wp.NonNegative()
    )
    return (
        objective,
        (6,),
        lambda x: (half_square(A @ x - b, w) + 0.3 * cp.norm1(x) + 0.1 * cp.sum_squares(x), [x >= 0]),
    )


def huber_lasso():
    A, b = _system()
    return (
        wp.HuberLoss(wp.operators.Matrix(A), b, delta=0.5) + 0.4 * wp.L1(),
        (6,),
        lambda x: (huber(A @ x - b, 0.5) + 0.4 * cp.norm1(x), []),
    )


def huber_ridge():
    A, b = _system()
    return (
        wp.HuberLoss(wp.operators.Matrix(A), b, delta=0.5) + 0.3 * wp.SquaredL2(),
        (6,),
        lambda x: (huber(A @ x - b, 0.5) + 0.15 * cp.sum_squares(x), []),
    )


def counts_tv():
    A = np.abs(_system(12, 12)[0])
    b = np.round(4 * np.abs(_system(12, 12)[1]))
    objective = wp.KullbackLeibler(wp.operators.Matrix(A, (4, 3), (12,)), b, background=0.5)
    return (
        objective + 0.3 * wp.TotalVariation() + wp.NonNegative(),
        (4, 3),
        lambda x: (kullback_leibler(A @ x + 0.5, b) + 0.3 * tv(x, (4, 3)), [x >= 0]),
    )


def counts_sparse():
    A = np.abs(_system(9, 6)[0])
    b = np.round(4 * np.abs(_system(9, 6)[1]))
    objective = (
        wp.KullbackLeibler(wp.operators.Matrix(A), b, background=0.5) + 0.3 * wp.L1() + wp.NonNegative()
    )
    return objective, (6,), lambda x: (kullback_leibler(A @ x + 0.5, b) + 0.3 * cp.norm1(x), [x >= 0])


def counts_denoised():
    b = np.round(5 * np.abs(_image()))
    return (
        wp.KullbackLeibler(None, b) + 0.4 * wp.TotalVariation(),
        IMAGE,
        lambda x: (kullback_leibler(x, b.reshape(-1)) + 0.4 * tv(x, IMAGE), []),
    )


def outliers_tv():
    b = _image()
    return (
        wp.L1Loss(None, b) + 0.6 * wp.TotalVariation(),
        IMAGE,
        lambda x: (cp.norm1(x - b.reshape(-1)) + 0.6 * tv(x, IMAGE), []),
    )


def outliers_ridge():
    A, b = _system()
    w = np.linspace(0.5, 1.5, 9)
    return (
        wp.L1Loss(wp.operators.Matrix(A), b, weights=w) + 0.5 * wp.SquaredL2(),
        (6,),
        lambda x: (cp.norm1(cp.multiply(w, A @ x - b)) + 0.25 * cp.sum_squares(x), []),
    )


def denoised():
    b = _image()
    return (
        wp.LeastSquares(None, b) + 0.3 * wp.TotalVariation(),
        IMAGE,
        lambda x: (half_square(x - b.reshape(-1)) + 0.3 * tv(x, IMAGE), []),
    )


def denoised_anisotropic_box():
    b = _image()
    objective = wp.LeastSquares(None, b) + 0.2 * wp.TotalVariation(isotropic=False) + wp.Box(0.1, 0.9)
    return (
        objective,
        IMAGE,
        lambda x: (half_square(x - b.reshape(-1)) + 0.2 * anisotropic_tv(x, IMAGE), [x >= 0.1, x <= 0.9]),
    )


def denoised_weighted():
    b, w = _image(), np.linspace(0.0, 2.0, 30).reshape(IMAGE)
    fit = np.linspace(0.5, 2.0, 30).reshape(IMAGE)
    objective = wp.LeastSquares(None, b, weights=fit) + 0.3 * wp.TotalVariation(weights=w)
    return (
        objective,
        IMAGE,
        lambda x: (half_square(x - b.reshape(-1), fit.reshape(-1)) + 0.3 * tv(x, IMAGE, w), []),
    )


def denoised_volume():
    shape = (3, 3, 3)
    b = _image(shape)
    return (
        wp.LeastSquares(None, b) + 0.2 * wp.TotalVariation(),
        shape,
        lambda x: (half_square(x - b.reshape(-1)) + 0.2 * tv(x, shape), []),
    )


def inpainted():
    seen = _rng().uniform(size=IMAGE) < 0.7
    b = np.where(seen, _image(), 0.0)
    objective = wp.LeastSquares(wp.operators.Mask(seen), b) + 0.1 * wp.TotalVariation() + wp.NonNegative()
    m = seen.reshape(-1)
    return (
        objective,
        IMAGE,
        lambda x: (half_square(cp.multiply(m, x) - b.reshape(-1)) + 0.1 * tv(x, IMAGE), [x >= 0]),
    )


KERNEL = np.array([[0.1, 0.2, 0.0], [0.1, 0.4, 0.2]])


def deblurred_smoothly():
    b = _image()
    B = blur_matrix(KERNEL, IMAGE)
    objective = wp.LeastSquares(wp.operators.Convolution(KERNEL, IMAGE), b) + 0.2 * wp.SmoothedTotalVariation(
        0.1
    )
    return (
        objective,
        IMAGE,
        lambda x: (half_square(B @ x - b.reshape(-1)) + 0.2 * smoothed_tv(x, IMAGE, 0.1), []),
    )


def on_graph():
    b = _image()
    B = blur_matrix(KERNEL, IMAGE)
    L = wp.operators.GraphLaplacian(b, 2, 0.5)
    norm = SmoothedL21(0.1, axes=()) @ L
    objective = wp.LeastSquares(wp.operators.Convolution(KERNEL, IMAGE), b) + 0.2 * norm
    matrix, eps = L.to_dense(), 0.1 * np.ones(b.size)

    def smoothed(x: cp.Variable) -> cp.Expression:
        return cp.sum(cp.norm(cp.vstack([matrix @ x, eps]), 2, axis=0)) - eps.sum()

    return objective, IMAGE, lambda x: (half_square(B @ x - b.reshape(-1)) + 0.2 * smoothed(x), [])


def deblurred():
    b = _image()
    B = blur_matrix(KERNEL, IMAGE)
    objective = wp.LeastSquares(wp.operators.Convolution(KERNEL, IMAGE), b) + 0.05 * wp.TotalVariation()
    return (
        objective + wp.Box(0.0, 1.0),
        IMAGE,
        lambda x: (half_square(B @ x - b.reshape(-1)) + 0.05 * tv(x, IMAGE), [x >= 0, x <= 1]),
    )


def denoised_tgv():
    shape = (4, 4)
    b = _image(shape)
    return (
        wp.LeastSquares(None, b) + wp.TotalGeneralizedVariation(0.4, 0.2),
        shape,
        lambda x: (half_square(x - b.reshape(-1)) + tgv(x, shape, 0.4, 0.2), []),
    )


def grouped():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + 2.0 * wp.GroupL2([[0, 3], [1, 2], [4, 5]]),
        (6,),
        lambda x: (
            half_square(A @ x - b) + 2.0 * (cp.norm(x[[0, 3]]) + cp.norm(x[[1, 2]]) + cp.norm(x[[4, 5]])),
            [],
        ),
    )


def completed():
    seen = _rng().uniform(size=IMAGE) < 0.7
    b = np.where(seen, _image(), 0.0)
    return (
        wp.LeastSquares(wp.operators.Mask(seen), b) + 0.4 * wp.NuclearNorm(),
        IMAGE,
        lambda x: (
            half_square(cp.multiply(seen.reshape(-1), x) - b.reshape(-1))
            + 0.4 * cp.normNuc(cp.reshape(x, IMAGE, order="C")),
            [],
        ),
    )


def mixture():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + wp.Simplex(),
        (6,),
        lambda x: (half_square(A @ x - b), [x >= 0, cp.sum(x) == 1]),
    )


def bounded_energy():
    A, b = _system()
    return (
        wp.HuberLoss(wp.operators.Matrix(A), b, 1.0) + wp.L2Ball(0.4),
        (6,),
        lambda x: (huber(A @ x - b, 1.0), [cp.norm(x) <= 0.4]),
    )


def ridge():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + 0.7 * wp.SquaredL2(),
        (6,),
        lambda x: (half_square(A @ x - b) + 0.35 * cp.sum_squares(x), []),
    )


def slopes_fitted():
    D = np.vstack(differences((4, 3)))
    g = _rng().normal(size=(2, 4, 3))
    return (
        wp.LeastSquares(wp.operators.Gradient((4, 3)), g) + 0.1 * wp.SquaredL2(),
        (4, 3),
        lambda x: (half_square(D @ x - g.reshape(-1)) + 0.05 * cp.sum_squares(x), []),
    )


def many_joined():
    A, b = _system()
    near = np.linspace(-1.0, 1.0, 6)
    objective = wp.LeastSquares(wp.operators.Matrix(A), b) + 0.5 * wp.LeastSquares(None, near)
    return (
        objective + 0.4 * wp.L1() + 0.2 * wp.L1() + wp.Box(-0.5, 0.5),
        (6,),
        lambda x: (
            half_square(A @ x - b) + 0.25 * cp.sum_squares(x - near) + 0.6 * cp.norm1(x),
            [x >= -0.5, x <= 0.5],
        ),
    )


def one_prox():
    b = _image()
    return (
        wp.LeastSquares(None, b) + 0.2 * wp.L1() + wp.NonNegative(),
        IMAGE,
        lambda x: (half_square(x - b.reshape(-1)) + 0.2 * cp.norm1(x), [x >= 0]),
    )


def two_sets():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + wp.Simplex() + 1.0 * wp.NuclearNorm() @ _as_matrix(),
        (6,),
        lambda x: (
            half_square(A @ x - b) + cp.normNuc(cp.reshape(x, (2, 3), order="C")),
            [x >= 0, cp.sum(x) == 1],
        ),
    )


def _as_matrix() -> wp.LinearOperator:
    return wp.operators.Matrix(np.eye(6), (6,), (2, 3))


def low_rank_and_sparse():
    b = _image()
    return (
        wp.LeastSquares(None, b) + 0.3 * wp.NuclearNorm() + 0.1 * wp.L1(),
        IMAGE,
        lambda x: (
            half_square(x - b.reshape(-1))
            + 0.3 * cp.normNuc(cp.reshape(x, IMAGE, order="C"))
            + 0.1 * cp.norm1(x),
            [],
        ),
    )


def classified():
    A, b = _system()
    signs = np.sign(b)
    return (
        wp.LogisticLoss(wp.operators.Matrix(A), signs) + 0.3 * wp.L1(),
        (6,),
        lambda x: (cp.sum(cp.logistic(-cp.multiply(signs, A @ x))) + 0.3 * cp.norm1(x), []),
    )


def plain_least_squares():
    A, b = _system()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b) + wp.LeastSquares(wp.operators.Matrix(2 * A[:4]), b[:4]),
        (6,),
        (lambda x: (half_square(A @ x - b) + half_square(2 * A[:4] @ x - b[:4]), [])),
    )


def lasso_intercept():
    A, b = _system()
    weights = np.linspace(0.5, 2.0, 6)
    w = np.linspace(0.2, 2.0, 9)
    c = cp.Variable()
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b + 7, w, intercept=True) + 0.8 * wp.L1(weights),
        (6,),
        lambda x: (half_square(A @ x + c - b - 7, w) + 0.8 * cp.norm1(cp.multiply(weights, x)), []),
    )


def sparse_matrix_boxed():
    A, b = _system()
    A = np.where(np.abs(A) > 0.5, A, 0.0)
    c = cp.Variable()
    objective = wp.LeastSquares(wp.operators.Matrix(scipy.sparse.csc_array(A)), b + 3, intercept=True)
    return (
        objective + 0.5 * wp.L1() + wp.Box(-0.4, 0.3),
        (6,),
        lambda x: (half_square(A @ x + c - b - 3) + 0.5 * cp.norm1(x), [x >= -0.4, x <= 0.3]),
    )


def classified_intercept():
    A, b = _system()
    signs = np.sign(b + 1)
    c = cp.Variable()
    return (
        wp.LogisticLoss(wp.operators.Matrix(A), signs, intercept=True) + 0.3 * wp.L1(),
        (6,),
        lambda x: (cp.sum(cp.logistic(-cp.multiply(signs, A @ x + c))) + 0.3 * cp.norm1(x), []),
    )


def huber_intercept():
    A, b = _system()
    c = cp.Variable()
    return (
        wp.HuberLoss(wp.operators.Matrix(A), b + 5, 0.5, intercept=True) + wp.ElasticNet(0.3, 0.1),
        (6,),
        lambda x: (huber(A @ x + c - b - 5, 0.5) + 0.3 * cp.norm1(x) + 0.05 * cp.sum_squares(x), []),
    )


def poisson_groups():
    A, b = _system()
    counts = np.round(np.abs(3 * b))
    constant = float(np.sum(scipy.special.xlogy(counts, counts) - counts))
    return (
        wp.PoissonLoss(wp.operators.Matrix(A), counts) + 0.7 * wp.SparseGroup([[0, 3], [1, 2], [4, 5]], 0.5),
        (6,),
        lambda x: (
            cp.sum(cp.exp(A @ x) - cp.multiply(counts, A @ x))
            + constant
            + 0.35 * cp.norm1(x)
            + 0.7 * (cp.norm(x[[0, 3]]) + cp.norm(x[[1, 2]]) + cp.norm(x[[4, 5]])),
            [],
        ),
    )


def sorted_weights():
    A, b = _system()
    w = np.linspace(2.0, 0.5, 6)
    steps = -np.diff(np.append(w, 0.0))
    return (
        wp.LeastSquares(wp.operators.Matrix(A), b, intercept=True) + wp.SLOPE(w),
        (6,),
        lambda x: (
            half_square(A @ x + cp.Variable() - b)
            + sum(d * cp.sum_largest(cp.abs(x), k + 1) for k, d in enumerate(steps)),
            [],
        ),
    )


CASES = [
    Case("lasso_intercept", lasso_intercept, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("sparse_matrix_boxed", sparse_matrix_boxed, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("classified_intercept", classified_intercept, ("coordinate-descent", *GRADIENT)),
    Case("huber_intercept", huber_intercept, ("coordinate-descent", *GRADIENT)),
    Case("poisson_groups", poisson_groups, ("coordinate-descent", *SPLITTING)),
    Case("sorted_weights", sorted_weights, (*GRADIENT, *SPLITTING)),
    Case("lasso", lasso, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("elastic_nonnegative", elastic_nonnegative, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("huber_lasso", huber_lasso, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("huber_ridge", huber_ridge, ("lbfgs", *GRADIENT, *SPLITTING)),
    Case("counts_tv", counts_tv, SPLITTING),
    Case("counts_sparse", counts_sparse, ("coordinate-descent", *SPLITTING)),
    Case("counts_denoised", counts_denoised, SPLITTING),
    Case("outliers_tv", outliers_tv, SPLITTING),
    Case("outliers_ridge", outliers_ridge, SPLITTING),
    Case("denoised", denoised, ("denoising", *SPLITTING)),
    Case("denoised_anisotropic_box", denoised_anisotropic_box, ("denoising", *SPLITTING)),
    Case("denoised_weighted", denoised_weighted, SPLITTING),
    Case("denoised_volume", denoised_volume, ("denoising", *SPLITTING)),
    Case("inpainted", inpainted, ("metric-fista", *SPLITTING)),
    Case("deblurred_smoothly", deblurred_smoothly, ("lbfgs", *GRADIENT, *SPLITTING)),
    Case(
        "on_graph", on_graph, ("mm-gks", "projected-newton", "quadratic-admm", "lbfgs", *GRADIENT, *SPLITTING)
    ),
    Case("deblurred", deblurred, ("metric-fista", *SPLITTING)),
    Case("denoised_tgv", denoised_tgv, SPLITTING),
    Case("grouped", grouped, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("completed", completed, (*GRADIENT, *SPLITTING)),
    Case("mixture", mixture, (*GRADIENT, *SPLITTING)),
    Case("bounded_energy", bounded_energy, (*GRADIENT, *SPLITTING)),
    Case("ridge", ridge, ("cg", "lbfgs", *GRADIENT, *SPLITTING)),
    Case("slopes_fitted", slopes_fitted, ("cg", "lbfgs", *GRADIENT, *SPLITTING)),
    Case("many_joined", many_joined, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("one_prox", one_prox, ("prox", *GRADIENT)),
    Case("two_sets", two_sets, SPLITTING),
    Case("low_rank_and_sparse", low_rank_and_sparse, SPLITTING),
    Case("classified", classified, ("coordinate-descent", *GRADIENT, *SPLITTING)),
    Case("plain_least_squares", plain_least_squares, ("cg", "lbfgs", *GRADIENT, *SPLITTING)),
]

UNBOUNDED = {
    (name, solver)
    for name in ("counts_tv", "deblurred_smoothly", "denoised_tgv", "plain_least_squares")
    for solver in ("cg", "lbfgs", *GRADIENT, *SPLITTING)
}
"""Where no dual point that the solver comes by has a finite value, so that only a residual is known."""
