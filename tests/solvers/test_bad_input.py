"""Bad input gets one clear error before any work."""

from __future__ import annotations

import math

import numpy as np
import pytest

import wellposed as wp


def objective(dtype: type = np.float64) -> wp.Functional:
    return wp.LeastSquares(None, np.ones((4, 3), dtype)) + 0.1 * wp.TotalVariation()


@pytest.mark.parametrize("wrong", [3.0, np.ones(3), None, "L1", wp.operators.Identity((3,))])
def test_not_an_objective(wrong: object) -> None:
    for verb in (wp.minimize, wp.explain):
        with pytest.raises(TypeError, match="expected an objective"):
            verb(wrong)  # type: ignore[operator]


@pytest.mark.parametrize("tol", [0, -1e-3, math.nan, math.inf, "small", None])
def test_tolerance(tol: object) -> None:
    for verb in (wp.minimize, wp.explain):
        with pytest.raises(ValueError, match="tol must be a positive number"):
            verb(objective(), tol=tol)  # type: ignore[operator]


@pytest.mark.parametrize("max_iter", [-1, 2.5, "many", math.nan, True])
def test_iteration_limit(max_iter: object) -> None:
    with pytest.raises(ValueError, match="max_iter must be an integer of at least 0"):
        wp.minimize(objective(), max_iter=max_iter)  # type: ignore[arg-type]


def test_unknown_solver_lists_the_known() -> None:
    for verb in (wp.minimize, wp.explain):
        with pytest.raises(ValueError, match=r"unknown solver 'newton'.*primal-dual"):
            verb(objective(), solver="newton")


def test_start() -> None:
    with pytest.raises(ValueError, match=r"x0 has shape \(3, 4\), the objective takes \(4, 3\)"):
        wp.minimize(objective(), x0=np.zeros((3, 4)))
    with pytest.raises(TypeError, match="x0 is float64, the data are float32"):
        wp.minimize(objective(np.float32), x0=np.zeros((4, 3)))
    with pytest.raises(TypeError, match="float16"):
        wp.minimize(objective(), x0=np.zeros((4, 3), np.float16))
    start = np.zeros((4, 3))
    start[1, 2] = math.nan
    with pytest.raises(ValueError, match=r"x0 has 1 non-finite.*\(1, 2\)"):
        wp.minimize(objective(), x0=start)
    with pytest.raises(TypeError, match="masked"):
        wp.minimize(objective(), x0=np.ma.zeros((4, 3)))
    integers = wp.minimize(objective(), x0=np.ones((4, 3), int))
    assert integers.x.dtype == np.float64


def test_start_of_another_library() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match="arrays of two libraries"):
        wp.minimize(objective(), x0=torch.zeros((4, 3)))


def test_what_cannot_be_known_without_a_start() -> None:
    for f in (wp.L1() + wp.SquaredL2(), wp.TotalVariation()):
        with pytest.raises(ValueError, match="give x0"):
            wp.minimize(f)
    assert not wp.minimize(wp.L1() + wp.SquaredL2(), x0=np.ones(3), tol=1e-6).x.any()


def test_data_of_different_precision() -> None:
    mixed = wp.LeastSquares(None, np.ones(3, np.float32)) + wp.LeastSquares(None, np.ones(3))
    with pytest.raises(TypeError, match="float32 and float64"):
        wp.minimize(mixed)


def test_complex_and_real_data_of_one_precision_go_together() -> None:
    F = wp.operators.FourierTransform((4,))
    spectrum = F(np.array([1.0, 2.0, 0.0, 1.0]))
    mixed = wp.LeastSquares(F, spectrum) + 0.1 * wp.LeastSquares(None, np.zeros(4)) + 0.1 * wp.L1()
    result = wp.minimize(mixed, tol=1e-8)
    np.testing.assert_allclose(result.x, np.array([0.9, 1.9, 0.0, 0.9]) / 1.1, atol=1e-3)


def test_contradictory_bounds() -> None:
    f = wp.LeastSquares(None, np.ones(3)) + wp.Box(2.0, 3.0) + wp.Box(0.0, 1.0)
    with pytest.raises(ValueError, match="exclude each other: x >= 2 and x <= 1"):
        wp.minimize(f)


def test_two_terms_with_auxiliary_fields() -> None:
    tgv = wp.TotalGeneralizedVariation(0.2, 0.1)
    with pytest.raises(TypeError, match="can hold one term"):
        wp.minimize(wp.LeastSquares(None, np.ones((4, 3))) + tgv + tgv)


def test_a_zero_weight_removes_a_term_but_not_a_constraint() -> None:
    b = np.array([[1.0, -2.0], [0.5, 3.0]])
    none = 0.0 * wp.TotalVariation() + 0.0 * wp.L1() + 0.0 * wp.NonNegative()
    result = wp.minimize(wp.LeastSquares(None, b) + none, tol=1e-9)
    assert result.plan.solver == "prox"
    np.testing.assert_allclose(result.x, np.maximum(b, 0), atol=1e-9)
