"""Upper bounds of norms on operators with known singular values."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from wellposed.operators._bounds import collatz_wielandt_bound, lanczos_bound


@pytest.mark.parametrize("scale", [1e-6, 0.3, 1.0, 30.0])
@pytest.mark.parametrize("shape", [(5, 8), (200, 150), (1500, 1100)])
def test_lanczos_bound_of_random_matrices(scale, shape, rng):
    M = scale * rng.standard_normal(shape)
    true = np.linalg.norm(M, 2)
    assert true <= lanczos_bound(wp.operators.Matrix(M)) <= 1.04 * true


def test_lanczos_bound_where_the_spectrum_is_narrow(rng):
    """One pass of orthogonalisation fails here: what it leaves grows at each step."""
    Q = np.linalg.qr(rng.standard_normal((600, 600)))[0]
    for width in (0.3, 1e-3, 1e-9, 0.0):
        singular = 1 + width * np.linspace(-1, 1, 600)
        bound = lanczos_bound(wp.operators.Matrix(Q * singular))
        assert (1 + width) * (1 - 1e-12) <= bound <= 1.03 * (1 + width)


@pytest.mark.parametrize("gap", [1e-1, 1e-3, 1e-6])
def test_lanczos_bound_of_an_outlier(gap):
    singular = np.ones(1000)
    singular[17] += gap
    assert 1 + gap <= lanczos_bound(wp.operators.Diagonal(singular)) <= 1.03 * (1 + gap)


def test_lanczos_bound_of_a_real_linear_operator_on_a_complex_space():
    F = wp.operators.FourierTransform((6, 5))
    assert lanczos_bound(F.T) == pytest.approx(1.0, abs=1e-6)
    assert lanczos_bound(F.T @ F) == pytest.approx(1.0, abs=1e-6)


def test_zero_operator():
    Z = 0.0 * wp.operators.Gradient((4, 4))
    assert lanczos_bound(Z) == 0.0
    assert collatz_wielandt_bound(0.0 * wp.operators.Identity((4,))) == 0.0


@pytest.mark.parametrize("shape", [(5, 8), (40, 30)])
def test_collatz_wielandt_bound(shape, rng):
    M = rng.uniform(size=shape) * (rng.uniform(size=shape) < 0.4)
    true = np.linalg.norm(M, 2)
    assert true <= collatz_wielandt_bound(wp.operators.Matrix(M)) <= 1.05 * true


def test_norm_is_computed_once(rng):
    class Counting(wp.LinearOperator):
        applied = 0

        def _apply(self, x, out):
            Counting.applied += 1
            out[...] = 2 * x

        _apply_adjoint = _apply

    A = Counting((50,), (50,))
    first = A.norm()
    spent = Counting.applied
    assert A.norm() == first == pytest.approx(2.0)
    assert Counting.applied == spent > 0
