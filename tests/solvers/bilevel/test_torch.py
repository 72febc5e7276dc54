"""Lower levels and losses written in PyTorch agree with those of the library, on arrays of either kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import wellposed as wp
from tests.solvers.bilevel.toys import flat

torch = pytest.importorskip("torch")


def smoothed(y: Any) -> Any:
    """Half the squared distance to ``y`` plus smoothed total variation of a signal."""

    def value(x: Any, p: dict[str, Any]) -> Any:
        data = torch.as_tensor(y, dtype=x.dtype)
        u = x[1:] - x[:-1]
        return 0.5 * ((x - data) ** 2).sum() + p["w"] * (torch.sqrt(u**2 + p["eps"] ** 2) - p["eps"]).sum()

    return value


@pytest.fixture
def problem(rng: np.random.Generator) -> dict[str, Any]:
    y = rng.standard_normal(20)
    w, eps = wp.Parameter("w", 0.3), wp.Parameter("eps", 0.2)
    L = 1 + 4 * 0.3 / 0.2
    return {
        "y": y,
        "native": wp.LeastSquares(None, y) + w * wp.SmoothedTotalVariation(eps),
        "torch": wp.TorchFunctional(smoothed(y), np.zeros(20), [w, eps], strong_convexity=1.0, lipschitz=L),
        "loss": wp.LeastSquares(None, np.sign(y)),
    }


def test_the_functional_itself(problem: dict[str, Any]) -> None:
    f = problem["torch"]
    wp.testing.check_functional(f)
    x = problem["y"] + 0.1
    x.setflags(write=False)
    v = np.cos(np.arange(20.0))[::-1]
    native = problem["native"]
    assert f(x) == pytest.approx(native(x))
    np.testing.assert_allclose(f.gradient(x), native.gradient(x))
    np.testing.assert_allclose(f.hessian_product(x, v), native.hessian_product(x, v), atol=1e-14)
    for name, value in native.parameter_product(x, v).items():
        assert f.parameter_product(x, v)[name] == pytest.approx(value)
    for name, value in native.parameter_gradient(x).items():
        assert f.parameter_gradient(x)[name] == pytest.approx(value)


@pytest.mark.parametrize("lipschitz", [True, False])
def test_hypergradients_agree(problem: dict[str, Any], lipschitz: bool) -> None:
    f = problem["torch"]
    if not lipschitz:
        f = wp.TorchFunctional(f.function, f.like, f.learned, strong_convexity=1.0)
    found = wp.hypergradient(f, problem["loss"], tol=1e-9)
    expected = wp.hypergradient(problem["native"], problem["loss"], tol=1e-9)
    np.testing.assert_allclose(flat(found.gradient), flat(expected.gradient)[[0, 1]], rtol=1e-6)
    assert not found.certified
    assert {"mixed_lipschitz", "hessian_lipschitz"} <= set(found.constants[0].estimated)


def test_tensors_come_back_as_tensors(problem: dict[str, Any]) -> None:
    y = torch.tensor(problem["y"])
    w, eps = wp.Parameter("w", 0.3), wp.Parameter("eps", 0.2)
    lower = wp.TorchFunctional(smoothed(y), y, [w, eps], strong_convexity=1.0, lipschitz=7.0)
    loss = wp.TorchFunctional(lambda x, p: 0.5 * ((x - torch.sign(y)) ** 2).sum(), y, lipschitz=1.0)
    found = wp.hypergradient(lower, loss, tol=1e-9)
    assert torch.is_tensor(found.x)
    assert torch.is_tensor(found.adjoint)
    expected = wp.hypergradient(problem["native"], problem["loss"], tol=1e-9)
    np.testing.assert_allclose(flat(found.gradient), flat(expected.gradient), rtol=1e-6)


def test_tensors_in_objectives_of_the_library(problem: dict[str, Any]) -> None:
    y = torch.tensor(problem["y"])
    w, eps = wp.Parameter("w", 0.3), wp.Parameter("eps", 0.2)
    lower = wp.LeastSquares(None, y) + w * wp.SmoothedTotalVariation(eps)
    loss = wp.LeastSquares(None, torch.sign(y))
    found = wp.hypergradient(lower, loss, tol=1e-9)
    expected = wp.hypergradient(problem["native"], problem["loss"], tol=1e-9)
    np.testing.assert_allclose(flat(found.gradient), flat(expected.gradient), rtol=1e-7)
    assert found.error == pytest.approx(expected.error, rel=1e-3)


def test_learning(problem: dict[str, Any]) -> None:
    found = wp.learn(problem["torch"], problem["loss"], max_iter=10)
    expected = wp.learn(problem["native"], problem["loss"], max_iter=10)
    assert found.loss == pytest.approx(expected.loss, rel=5e-2)
    assert found.history[-1].loss < found.history[0].loss


def test_arrays_of_parameters(rng: np.random.Generator) -> None:
    weights = wp.Parameter("weights", rng.uniform(0.5, 2, 6))
    y = rng.standard_normal(6)

    def value(x: Any, p: dict[str, Any]) -> Any:
        return 0.5 * ((x - torch.tensor(y)) ** 2).sum() + 0.5 * (p["weights"] * x**2).sum()

    lower = wp.TorchFunctional(value, y, weights, strong_convexity=1.0, lipschitz=3.0)
    found = wp.hypergradient(lower, wp.LeastSquares(None, np.zeros(6)), tol=1e-10).gradient["weights"]
    np.testing.assert_allclose(found, -(y**2) / (1 + weights.value) ** 3, rtol=1e-8)


def test_bad_input() -> None:
    with pytest.raises(TypeError, match="function must be callable"):
        wp.TorchFunctional(3, np.zeros(2))
    with pytest.raises(TypeError, match="learned must hold Parameter objects"):
        wp.TorchFunctional(lambda x, p: x.sum(), np.zeros(2), ["w"])
    with pytest.raises(TypeError, match=r"one number, got a tensor of shape \(2,\)"):
        wp.TorchFunctional(lambda x, p: x, np.zeros(2))(np.zeros(2))
    with pytest.raises(TypeError, match="one number, got float"):
        wp.TorchFunctional(lambda x, p: 1.0, np.zeros(2)).gradient(np.zeros(2))
