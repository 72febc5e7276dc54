"""The calculus: sums, weights, parameters, shifts, compositions and conjugates."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.functionals._base import Traits

B = np.arange(6.0).reshape(2, 3)


def test_sums_are_flat_and_print_as_a_formula():
    f = wp.LeastSquares(None, B) + (0.5 * wp.L1() + wp.NonNegative())
    assert [str(term) for term in f.terms] == ["LeastSquares(x, b)", "0.5 * L1", "NonNegative"]
    assert str(2.0 * (wp.L1() + wp.SquaredL2())) == "2 * L1 + 2 * SquaredL2"
    assert f(B) == 0.5 * B.sum()
    assert f(-B) == np.inf


def test_numpy_numbers_are_weights():
    for weight in (np.float32(0.5), np.float64(0.5), np.int64(2)):
        assert (weight * wp.L1())(B) == pytest.approx(float(weight) * B.sum())
        assert (wp.L1() * weight)(B) == pytest.approx(float(weight) * B.sum())


def test_traits_of_sums():
    smooth = wp.LeastSquares(None, B, 1 + B) + 3.0 * wp.SquaredL2()
    assert smooth.traits.lipschitz == 9.0
    assert smooth.traits.strong_convexity == 4.0
    assert smooth.traits.quadratic
    mixed = (smooth + wp.L1()).traits
    assert (mixed.lipschitz, mixed.strong_convexity, mixed.separable, mixed.prox) == (None, 4.0, True, False)


def test_parameters_are_found_once_and_replaced_everywhere():
    weight = wp.Parameter("weight", 0.5)
    f = (
        weight * wp.L1()
        + wp.HuberLoss(None, B, wp.Parameter("delta", 1.0))
        + (weight * wp.SquaredL2()).shifted(B)
    )
    assert [p.name for p in f.parameters] == ["weight", "delta"]
    other = f.with_parameters({"weight": 2.0})
    assert [p.value for p in other.parameters] == [2.0, 1.0]
    assert [p.value for p in f.parameters] == [0.5, 1.0]
    with pytest.raises(ValueError, match=r"no parameter named wight; it has \['delta', 'weight'\]"):
        f.with_parameters({"wight": 1.0})


def test_two_parameters_of_one_name_must_agree():
    with pytest.raises(ValueError, match="two parameters are named 'w' but differ"):
        wp.Parameter("w", 0.5) * wp.L1() + wp.Parameter("w", 0.6) * wp.SquaredL2()
    wp.Parameter("w", 0.5) * wp.L1() + wp.Parameter("w", 0.5) * wp.SquaredL2()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: wp.Parameter("w", -1.0), r"w must be in \[0.0, inf\], got -1.0"),
        (lambda: wp.Parameter("w", 0.0), "log scale must be positive"),
        (lambda: wp.Parameter("w", np.nan), "must be finite"),
        (lambda: wp.Parameter("w", 1.0, transform="square"), "must be 'log' or 'identity'"),
        (
            lambda: wp.Parameter("w", -1.0, low=-2, transform="identity") * wp.L1(),
            "weight of L1 must be finite and at",
        ),
        (lambda: wp.Parameter("w", [1.0, 2.0]) * wp.L1(), r"weight of L1 must be one number, got .* \(2,\)"),
    ],
)
def test_bad_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_factor_separates_operators(rng):
    D = wp.operators.Gradient((4, 3))
    x, b = rng.standard_normal((4, 3)), rng.standard_normal((4, 3))
    for f in (
        2.0 * wp.TotalVariation(),
        wp.TotalVariation().shifted(b),
        wp.LeastSquares(D, D(b)),
        0.5 * (wp.L1() @ D),
        (wp.TotalVariation() @ wp.operators.Gradient((4, 3)).gram),
    ):
        outer, K = f.factor((4, 3))
        assert K is not None
        assert outer(K(x)) == pytest.approx(f(x))
        assert outer.traits.prox


def test_conjugates():
    f = wp.SquaredL2()
    assert f.conjugate.conjugate is f
    assert wp.L1().conjugate.traits.indicator
    assert wp.NonNegative().conjugate.traits.homogeneous
    c = (4.0 * wp.SquaredL2()).conjugate
    assert (c.traits.lipschitz, c.traits.strong_convexity) == (0.25, 0.25)
    assert c(B) == pytest.approx(0.125 * np.sum(B**2))
    with pytest.raises(TypeError, match=r"conjugate of .* has no known value"):
        (wp.L1() + wp.SquaredL2()).conjugate(B)

    class Dent(wp.L1):
        @property
        def traits(self):
            return Traits(convex=False)

    with pytest.raises(TypeError, match="not convex"):
        _ = Dent().conjugate


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"takes arrays of shape \(2, 3\), .* gives \(2, 4, 4\)"):
        wp.LeastSquares(None, B) @ wp.operators.Gradient((4, 4))
    with pytest.raises(ValueError, match="arrays of one shape"):
        wp.LeastSquares(None, B) + wp.L2Ball(1.0, np.zeros(3))


def test_the_user_cannot_mix_libraries():
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"arrays of two libraries: numpy array .* torch array"):
        wp.LeastSquares(None, B) + wp.LeastSquares(None, torch.ones(2, 3))
