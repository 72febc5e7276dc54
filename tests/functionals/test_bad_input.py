"""Bad input gets one clear error."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp

B = np.ones((2, 3))
NAN = np.array([[1.0, np.nan, 1.0], [1.0, 1.0, np.inf]])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: wp.KullbackLeibler(None, -B), ValueError, "counts b of at least 0"),
        (lambda: wp.KullbackLeibler(None, B, -0.1), ValueError, "background must be finite and at least 0"),
        (
            lambda: wp.KullbackLeibler(None, B, np.ones(3)),
            ValueError,
            r"background has shape \(3,\), but b has \(2, 3\)",
        ),
        (lambda: wp.KullbackLeibler(None, B, NAN), ValueError, "background has 2 non-finite entries"),
        (lambda: wp.KullbackLeibler(None, NAN), ValueError, r"b has 2 non-finite entries .* \(0, 1\)"),
        (
            lambda: wp.KullbackLeibler(np.ones((3, 3)), B),
            TypeError,
            "wrap a matrix with wellposed.operators.Matrix",
        ),
        (
            lambda: wp.HuberLoss(None, B, 0.0),
            ValueError,
            "delta of HuberLoss must be finite and positive, got 0.0",
        ),
        (lambda: wp.HuberLoss(None, B, np.nan), ValueError, "delta of HuberLoss must be finite"),
        (
            lambda: wp.HuberLoss(wp.operators.Gradient((2, 3)), B, 1.0),
            ValueError,
            r"b has shape \(2, 3\), but Gradient",
        ),
        (lambda: wp.L1Loss(None, B, -B), ValueError, "weights must be at least 0, the smallest is -1"),
        (lambda: wp.L1Loss(None, B, np.ones(3)), ValueError, r"weights have shape \(3,\), expected \(2, 3\)"),
        (
            lambda: wp.LogisticLoss(None, 0 * B),
            ValueError,
            "labels b of -1 and [+]1; for labels 0 and 1 pass 2",
        ),
        (lambda: wp.LogisticLoss(None, 1j * B), TypeError, "b must be float32 or float64"),
        (
            lambda: wp.ElasticNet(-1.0, 0.0),
            ValueError,
            "l1 of ElasticNet must be finite and at least 0, got -1.0",
        ),
        (lambda: wp.ElasticNet(1.0, np.inf), ValueError, "l2 of ElasticNet"),
        (
            lambda: wp.GroupL2([[0, 1], [1, 2]]),
            ValueError,
            r"entry 1 is in the groups \[0, 1\].*do not overlap",
        ),
        (lambda: wp.GroupL2([[0], []]), ValueError, "group 1 must hold"),
        (lambda: wp.GroupL2([[0, -1], [2]]), ValueError, "group 0 must hold"),
        (lambda: wp.GroupL2(np.array([0.5, 1.0])), TypeError, "labels must be integers, got float64"),
        (lambda: wp.GroupL2([0, 0, 1], [1.0]), ValueError, r"weights have shape \(1,\), expected \(2,\)"),
        (lambda: wp.GroupL2([0, 0, 1])(B), ValueError, r"need an array of shape \(3,\), got shape \(2, 3\)"),
        (lambda: wp.GroupL2([[0, 7], [1]])(B), ValueError, r"at least 8 entries, got shape \(2, 3\)"),
        (lambda: wp.NuclearNorm()(np.ones(3)), ValueError, r"takes a matrix .* shape \(3,\)"),
        (lambda: wp.Simplex(0.0), ValueError, "radius of Simplex must be finite and positive"),
        (lambda: wp.L2Ball(-1.0), ValueError, "radius of L2Ball must be finite and at least 0"),
        (lambda: wp.L2Ball(1.0, NAN), ValueError, "center has 2 non-finite entries"),
        (lambda: wp.Box(1.0, 0.0), ValueError, "low <= high, got low=1.0, high=0.0"),
        (lambda: wp.Box(np.nan, 0.0), ValueError, "low <= high"),
        (
            lambda: wp.SmoothedTotalVariation(0.0),
            ValueError,
            "eps of SmoothedTotalVariation must be finite and positive",
        ),
        (lambda: wp.TotalGeneralizedVariation(0.0, 1.0), ValueError, "alpha0 of TotalGeneralizedVariation"),
        (lambda: wp.TotalVariation(weights=-B), ValueError, "weights must be at least 0"),
        (lambda: -1.0 * wp.L1(), ValueError, "weight of L1 must be finite and at least 0, got -1.0"),
        (lambda: wp.L1() @ np.ones((2, 2)), TypeError, "L1 @ A needs a LinearOperator A, got ndarray"),
        (lambda: wp.L1().gradient(B), TypeError, "L1 has no gradient: it is not differentiable"),
        (
            lambda: wp.LeastSquares(None, B).conjugate.conjugate.prox(B, 0.0),
            ValueError,
            "step of a proximal map",
        ),
        (lambda: (wp.L1() + wp.NonNegative()).prox(B), TypeError, "no proximal map in closed form"),
        (lambda: wp.L1Loss(None, B) + wp.LeastSquares(None, np.ones(3)), ValueError, "arrays of one shape"),
    ],
)
def test_message(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e160), (np.float32, 1e25)])
def test_data_whose_squares_overflow_are_refused(dtype, size) -> None:
    with pytest.raises(ValueError, match=r"squares of the data b, .* too large .* in a larger unit"):
        wp.LeastSquares(None, np.full(3, size, dtype))
    wp.LeastSquares(None, np.full(3, 1e-10 * size, dtype))
    wp.LeastSquares(None, np.full(3, size, dtype), np.full(3, 1e-15 / size, dtype))
