"""The compiled loops of smoothed total variation against array operations on its differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wellposed as wp
from wellposed.functionals import smoothed_planes
from wellposed.functionals.smoothed import SmoothedL21
from wellposed.functionals.smoothed_planes import SmoothedPlanes
from wellposed.operators.calculus import Gradient

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}


def close(a: np.ndarray, b: np.ndarray) -> None:
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= TOLERANCE[a.dtype.name] * max(1.0, float(np.max(np.abs(b))))


def check(f: wp.Functional, norm: SmoothedL21, D: Gradient, x: np.ndarray, v: np.ndarray, c: float) -> None:
    """A functional that takes the loops against its outer norm and its operator."""
    loops = SmoothedPlanes.of(c * norm, D, x)
    assert loops is not None
    gradient = D.apply_adjoint(norm.gradient(D(x)))
    product = D.apply_adjoint(norm.hessian_product(D(x), D(v)))
    close(loops.gradient(x), (c * gradient).astype(x.dtype))
    close(loops.hessian_product(x, v), (c * product).astype(x.dtype))
    close(f.gradient(x), gradient)
    close(f.hessian_product(x, v), product)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    isotropic=st.booleans(),
    weighted=st.booleans(),
    dtype=st.sampled_from(["float64", "float32"]),
    seed=st.integers(0, 99),
)
def test_images(shape, isotropic, weighted, dtype, seed):
    rng = np.random.default_rng(seed)
    x, v = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    w = rng.uniform(0, 2, shape) if weighted else None
    f = wp.SmoothedTotalVariation(wp.Parameter("eps", 0.3), isotropic, w)
    norm = SmoothedL21(f.eps, (0,) if isotropic else (), None if w is None else w[None])
    check(f, norm, Gradient(shape), x, v, 2.5)
    there = Gradient(shape)
    expected = norm.parameter_product(there(x), there(v))["eps"]
    assert f.parameter_product(x, v)["eps"] == pytest.approx(
        expected, rel=1e-4 if dtype == "float32" else 1e-11, abs=TOLERANCE[dtype]
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_bands_of_rows_meet(rng, monkeypatch, rows):
    monkeypatch.setattr(smoothed_planes, "BAND", rows)
    x, v = rng.standard_normal((7, 5)), rng.standard_normal((7, 5))
    for isotropic in (True, False):
        norm = SmoothedL21(0.2, (0,) if isotropic else ())
        check(wp.SmoothedTotalVariation(0.2, isotropic), norm, Gradient((7, 5)), x, v, 1.0)


def test_threads_give_the_same(rng):
    x, v = rng.standard_normal((300, 290)), rng.standard_normal((300, 290))
    check(wp.SmoothedTotalVariation(0.2), SmoothedL21(0.2), Gradient(x.shape), x, v, 1.0)


@pytest.mark.parametrize("given", [(4, 5, 6), (1, 5, 6), (4, 1, 1), ()])
def test_stacks_of_planes(rng, given):
    shape = (4, 5, 6)
    x, v, w = rng.standard_normal(shape), rng.standard_normal(shape), rng.uniform(0.5, 2, (1, *given))
    for axes, D in (
        ((), Gradient(shape, (1, 2))),
        ((0,), Gradient(shape, (1, 2))),
        ((), Gradient(shape, (2,))),
    ):
        norm = SmoothedL21(0.1, axes, w if given else None)
        check(norm @ D, norm, D, x, v, 0.7)


def test_lines_and_colour(rng):
    x, v = rng.standard_normal(9), rng.standard_normal(9)
    check(wp.SmoothedTotalVariation(0.2), SmoothedL21(0.2), Gradient((9,)), x, v, 1.0)
    x, v = rng.standard_normal((3, 6, 5)), rng.standard_normal((3, 6, 5))
    f = wp.SmoothedTotalVariation(0.2, isotropic=False, channel_axis=0)
    check(f, SmoothedL21(0.2, ()), Gradient(x.shape, (1, 2)), x, v, 1.0)


def test_what_is_left_to_array_operations(rng):
    norm = SmoothedL21(0.2)
    image = np.zeros((4, 5))
    assert SmoothedPlanes.of(norm, Gradient((3, 4, 5)), np.zeros((3, 4, 5))) is None  # a volume
    assert SmoothedPlanes.of(norm, Gradient((4, 5), (0,)), image) is None
    assert (
        SmoothedPlanes.of(SmoothedL21(0.2, (0, 1)), Gradient((3, 4, 5), (1, 2)), np.zeros((3, 4, 5))) is None
    )
    assert SmoothedPlanes.of(wp.L1(), Gradient((4, 5)), image) is None
    assert SmoothedPlanes.of(norm, None, image) is None
    by_direction = SmoothedL21(0.2, (), np.ones((2, 4, 5)))
    assert SmoothedPlanes.of(by_direction, Gradient((4, 5)), image) is None


def test_the_same_in_pytorch_and_for_strange_memory(rng):
    torch = pytest.importorskip("torch")
    f = wp.SmoothedTotalVariation(0.3, weights=rng.uniform(0.5, 2, (6, 5)))
    x, v = rng.standard_normal((6, 5)), rng.standard_normal((6, 5))
    twin = f.hessian_product(torch.as_tensor(x), torch.as_tensor(v))
    close(f.hessian_product(x, v), twin.numpy())
    wide = np.zeros((12, 10))
    wide[::2, ::2] = x
    wide.setflags(write=False)
    close(f.gradient(wide[::2, ::2]), f.gradient(x))


@pytest.mark.parametrize("isotropic", [True, False])
def test_tiny_rounding_in_single_precision(isotropic):
    x, v = np.zeros((3, 3), np.float32), np.ones((3, 3), np.float32)
    v[1, 1] = 2
    f = wp.SmoothedTotalVariation(1e-15, isotropic)
    assert np.all(np.isfinite(f.hessian_product(x, v)))
    assert np.all(f.gradient(x) == 0)
