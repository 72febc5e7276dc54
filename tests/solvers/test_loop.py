"""The loop that all solvers share: how runs start, stop, and say why."""

from __future__ import annotations

import math
import tracemalloc
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.functionals._base import Functional, Traits

MATRIX = np.random.default_rng(3).normal(size=(8, 5))
DATA = np.random.default_rng(4).normal(size=8)
ITERATIVE = ("fista", "ista", "primal-dual", "admm", "linearised-admm")


def lasso(b: np.ndarray = DATA, weight: float = 0.3) -> wp.Functional:
    return wp.LeastSquares(wp.operators.Matrix(MATRIX.astype(b.dtype)), b) + weight * wp.L1()


def denoising(shape: tuple[int, ...] = (12, 10), dtype: type = np.float64) -> wp.Functional:
    b = np.random.default_rng(5).normal(size=shape).astype(dtype)
    return wp.LeastSquares(None, b) + 0.5 * wp.TotalVariation()


def ridge() -> wp.Functional:
    return wp.LeastSquares(wp.operators.Matrix(MATRIX), DATA) + 0.1 * wp.SquaredL2()


def quietly(*args: object, **options: object) -> wp.Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wp.ConvergenceWarning)
        return wp.minimize(*args, **options)  # type: ignore[arg-type]


# --- starts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ITERATIVE)
def test_identity_operator(solver: str) -> None:
    b = np.array([3.0, -0.2, 1.0])
    objective = wp.LeastSquares(wp.operators.Matrix(np.eye(3)), b) + 0.5 * wp.L1()
    x = wp.minimize(objective, tol=1e-9, solver=solver).x
    np.testing.assert_allclose(x, [2.5, 0.0, 0.5], atol=1e-4)


@pytest.mark.parametrize("solver", [*ITERATIVE, "cg", "lbfgs"])
def test_zero_right_hand_side_is_solved_at_once(solver: str) -> None:
    fit = wp.LeastSquares(wp.operators.Matrix(MATRIX), np.zeros(8))
    result = wp.minimize(
        fit + (0.1 * wp.SquaredL2() if solver in ("cg", "lbfgs") else wp.L1()), solver=solver
    )
    assert result.status == "converged"
    assert result.iterations == 0
    assert not result.x.any()


@pytest.mark.parametrize("solver", [*ITERATIVE, "cg", "lbfgs"])
@pytest.mark.parametrize("max_iter", [0, 1, 7])
def test_iteration_limit_is_exact_and_warned_of_once(solver: str, max_iter: int) -> None:
    objective = ridge() if solver in ("cg", "lbfgs") else lasso()
    with pytest.warns(wp.ConvergenceWarning, match="raise max_iter") as caught:
        result = wp.minimize(objective, solver=solver, tol=1e-15, max_iter=min(max_iter, 3), x0=np.ones(5))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert result.status == "max_iter"
    assert result.iterations == min(max_iter, 3)
    if max_iter == 0:
        np.testing.assert_array_equal(result.x, np.ones(5))
    assert np.isfinite(result.objective)


@pytest.mark.parametrize("solver", ITERATIVE)
def test_a_result_warm_starts_the_next_solve(solver: str) -> None:
    first = wp.minimize(lasso(), solver=solver, tol=1e-6)
    again = wp.minimize(lasso(), x0=first, solver=solver, tol=1e-5)
    assert again.iterations == 0
    near = wp.minimize(lasso(1.001 * DATA), x0=first, solver=solver, tol=1e-5)
    cold = wp.minimize(lasso(1.001 * DATA), solver=solver, tol=1e-5)
    assert near.iterations <= cold.iterations


def test_a_warm_start_keeps_the_auxiliary_fields() -> None:
    b = np.random.default_rng(1).normal(size=(5, 4))
    objective = wp.LeastSquares(None, b) + wp.TotalGeneralizedVariation(0.4, 0.2)
    first = quietly(objective, max_iter=300)
    again = quietly(objective, x0=first, max_iter=0)
    np.testing.assert_array_equal(again.variable, first.variable)


def test_inputs_stay_as_they_are() -> None:
    b, x0 = DATA.copy(), np.ones(5)
    for a in (b, x0):
        a.flags.writeable = False
    for solver in ITERATIVE:
        result = wp.minimize(lasso(b), x0=x0, solver=solver)
        assert not np.shares_memory(result.x, x0)


# --- ends -----------------------------------------------------------------------------------------


def test_the_callback_sees_every_look_and_stops_the_run() -> None:
    seen: list[tuple[int, float]] = []

    def callback(info: object) -> bool:
        seen.append((info.iteration, info.certificate.relative))  # type: ignore[attr-defined]
        assert info.x.shape == (12, 10)  # type: ignore[attr-defined]
        return len(seen) < 3

    with pytest.warns(wp.ConvergenceWarning, match="callback"):
        result = wp.minimize(denoising(), tol=1e-9, callback=callback)
    assert result.status == "stopped"
    assert [record.iteration for record in result.history] == [k for k, _ in seen]
    assert len(seen) == 3

    seen.clear()
    finished = wp.minimize(denoising(), tol=1e-2, callback=lambda info: seen.append((info.iteration, 0.0)))
    assert finished.status == "converged"
    assert seen[-1][0] == finished.iterations


@pytest.mark.parametrize(("objective", "solver"), [(denoising(), "primal-dual"), (ridge(), "lbfgs")])
def test_ctrl_c_in_the_callback_gives_the_best_so_far(objective: wp.Functional, solver: str) -> None:
    def callback(info: object) -> None:
        if info.iteration >= 5:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.warns(wp.ConvergenceWarning, match="Interrupted"):
        result = wp.minimize(objective, tol=1e-15, solver=solver, callback=callback)
    assert result.status == "interrupted"
    assert result.objective == pytest.approx(objective(result.x), rel=1e-12)
    assert wp.verify(objective, result).value == pytest.approx(result.certificate.value, rel=1e-9)


@dataclass(frozen=True, eq=False)
class Trap(Functional):
    """A squared distance that springs a trap at the n-th gradient."""

    shape_of_x: tuple[int, ...]
    fuse: list[int]
    trap: object

    @property
    def traits(self) -> Traits:
        return Traits(lipschitz=1.0, prox=False, conjugate=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.shape_of_x

    @property
    def data(self) -> tuple[np.ndarray, ...]:
        return (np.zeros(self.shape_of_x),)

    def __call__(self, x: np.ndarray) -> float:
        return 0.15 * float(np.sum((x - 1) ** 2))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        self.fuse[0] -= 1
        if self.fuse[0] == 0 and isinstance(self.trap, type):
            raise self.trap
        return (x - 1) * (self.trap if self.fuse[0] <= 0 else 0.3)  # type: ignore[operator]


def test_ctrl_c_inside_an_iteration() -> None:
    objective = Trap((4,), [16], KeyboardInterrupt) + 0.01 * wp.L1()
    with pytest.warns(wp.ConvergenceWarning, match="Interrupted"):
        result = wp.minimize(objective, tol=1e-13, solver="ista")
    assert result.status == "interrupted"
    assert result.iterations > 0
    assert np.isfinite(result.objective)


def test_ctrl_c_before_there_is_anything_to_return_goes_through() -> None:
    with pytest.raises(KeyboardInterrupt):
        wp.minimize(Trap((4,), [1], KeyboardInterrupt) + 0.01 * wp.L1(), solver="ista")


@pytest.mark.parametrize("solver", ["ista", "fista"])
def test_non_finite_iterates_fail_and_the_last_finite_ones_are_returned(solver: str) -> None:
    objective = Trap((4,), [16], math.nan) + 0.01 * wp.L1()
    with pytest.warns(wp.ConvergenceWarning, match="non-finite"):
        result = wp.minimize(objective, tol=1e-13, solver=solver)
    assert result.status == "failed"
    assert np.isfinite(result.x).all()
    assert np.isfinite(result.objective)


@pytest.mark.parametrize("solver", ["primal-dual", "admm", "linearised-admm"])
def test_single_precision_stalls_and_says_so(solver: str) -> None:
    with pytest.warns(wp.ConvergenceWarning, match="float64"):
        result = wp.minimize(denoising(dtype=np.float32), tol=1e-12, solver=solver, max_iter=20_000)
    assert result.status == "stalled"
    assert result.iterations < 20_000
    assert result.certificate.relative < 1e-5


def test_a_quadratic_in_single_precision_ends() -> None:
    objective = wp.LeastSquares(wp.operators.Matrix(MATRIX.astype(np.float32)), DATA.astype(np.float32))
    result = quietly(objective + 0.1 * wp.SquaredL2(), tol=1e-14)
    assert result.status in ("converged", "stalled")
    assert result.iterations < 1000


@dataclass(frozen=True, eq=False)
class DoubleWell(Functional):
    """Not convex, smooth: the sum of (x^2 - 1)^2 / 8 on [-2, 2], with a gradient that is clipped beyond."""

    @property
    def traits(self) -> Traits:
        return Traits(convex=False, lipschitz=6.0, prox=False, conjugate=False)

    def __call__(self, x: np.ndarray) -> float:
        return float(np.sum((x**2 - 1) ** 2)) / 8

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return x * (x**2 - 1) / 2


@pytest.mark.parametrize("solver", ["fista", "ista", "lbfgs"])
def test_non_convex_objectives_end_stationary_without_a_bound(solver: str) -> None:
    objective = DoubleWell() + 0.01 * wp.LeastSquares(None, np.array([0.5, -0.5, 1.0]))
    result = wp.minimize(objective, x0=np.array([0.3, -1.5, 0.2]), tol=1e-6, solver=solver)
    assert result.status == "stationary"
    assert result.converged
    assert not result.certificate.is_bound
    assert "not convex" in result.certificate.note
    assert np.abs(objective.gradient(result.x)).max() < 1e-5
    with pytest.raises(ValueError, match="not convex"):
        wp.minimize(objective, solver="primal-dual", x0=np.zeros(3))


@dataclass(frozen=True, eq=False)
class Understated(Functional):
    """Half |A x - b|^2 that claims a Lipschitz constant a hundred times too small."""

    @property
    def traits(self) -> Traits:
        true = float(np.linalg.norm(MATRIX, 2) ** 2)
        return Traits(lipschitz=true / 100, prox=False, conjugate=False)

    def __call__(self, x: np.ndarray) -> float:
        return 0.5 * float(np.sum((MATRIX @ x - DATA) ** 2))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        return MATRIX.T @ (MATRIX @ x - DATA)


@pytest.mark.parametrize("solver", ["fista", "ista"])
def test_steps_are_checked_even_against_a_lipschitz_constant_that_is_too_small(solver: str) -> None:
    result = wp.minimize(Understated() + 0.3 * wp.L1(), x0=np.zeros(5), solver=solver, tol=1e-8)
    assert result.status == "converged"
    assert result.objective == pytest.approx(wp.minimize(lasso(), tol=1e-9).objective, rel=1e-7)


# --- what is said ---------------------------------------------------------------------------------


def test_history_is_monotone() -> None:
    result = wp.minimize(denoising(), tol=1e-6)
    iterations = [record.iteration for record in result.history]
    assert iterations == sorted(set(iterations))
    assert iterations[-1] == result.iterations
    gaps = [record.certificate.value for record in result.history]
    assert all(later <= earlier for earlier, later in pairwise(gaps))
    assert all(record.seconds >= 0 for record in result.history)
    assert result.history[-1].certificate == result.certificate
    assert "converged" in repr(result)


def test_progress_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    result = wp.minimize(denoising(), tol=1e-6, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2
    assert lines[0].startswith(f"{result.plan.solver}: iteration 0, objective")
    assert f"iteration {result.iterations}," in lines[-1]
    assert "\r" not in "".join(lines)
    wp.minimize(denoising(), tol=1e-3)
    wp.minimize(denoising(), tol=1e-3, progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 5, 3), (3, 4, 4, 3)])
def test_a_result_draws_itself(shape: tuple[int, ...]) -> None:
    from matplotlib.figure import Figure

    objective = (
        wp.LeastSquares(None, np.random.default_rng(0).uniform(size=shape)) + 0.1 * wp.TotalVariation()
    )
    figure = wp.minimize(objective).plot()
    assert isinstance(figure, Figure)
    assert len(figure.axes) == 3
    figure.canvas.draw()


def test_explain_runs_nothing_and_says_it_all() -> None:
    class Counting(type(wp.operators.Identity((5,)))):  # type: ignore[misc]
        calls = 0

        def _apply(self, x: np.ndarray, out: np.ndarray) -> None:
            type(self).calls += 1
            super()._apply(x, out)

    plan = wp.explain(wp.LeastSquares(Counting((5,)), np.ones(5)) + 0.1 * wp.L1() + wp.NonNegative())
    assert Counting.calls == 0
    text = str(plan)
    for word in ("minimise", "solver", "splitting", "steps", "iteration", "memory", "stop", "not used"):
        assert word in text
    assert plan.solver in text
    assert "NonNegative" in text


@pytest.mark.parametrize("solver", ["fista", "primal-dual", "admm", "linearised-admm", "lbfgs", "cg"])
def test_the_memory_of_the_plan_is_near_the_truth(solver: str) -> None:
    shape = (200, 200)
    b = np.random.default_rng(0).normal(size=shape)
    fit = wp.LeastSquares(wp.operators.Mask(b > 0), np.where(b > 0, b, 0))
    if solver in ("cg", "lbfgs"):
        objective = fit + wp.SquaredL2()
    else:
        objective = fit + (wp.L1() if solver == "fista" else 0.1 * wp.TotalVariation())
    promised = wp.explain(objective, solver=solver).memory
    quietly(objective, solver=solver, max_iter=2)
    tracemalloc.start()
    quietly(objective, solver=solver, max_iter=12, tol=1e-14)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert promised / 3 <= peak <= 3 * promised


def test_denoising_interrupted_from_a_callback_hands_back_a_whole_result() -> None:
    b = np.random.default_rng(2).normal(size=(20, 18))
    objective = wp.LeastSquares(None, b) + 0.3 * wp.TotalVariation()
    seen: list[float] = []

    def callback(info: Any) -> None:
        seen.append(info.objective)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.warns(wp.ConvergenceWarning, match="Interrupted"):
        result = wp.minimize(objective, tol=1e-9, callback=callback)
    assert result.plan.solver == "denoising"
    assert result.status == "interrupted"
    assert result.objective == pytest.approx(objective(result.x), rel=1e-6)
    assert wp.verify(objective, result).value == pytest.approx(result.certificate.value, rel=1e-3)
