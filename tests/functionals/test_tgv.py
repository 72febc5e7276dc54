"""Total generalised variation: its lifted form and its value."""

from __future__ import annotations

import cvxpy
import numpy as np
import pytest

import wellposed as wp
from wellposed.operators.calculus import SymmetrisedGradient


def cvxpy_value(x: np.ndarray, alpha0: float, alpha1: float) -> float:
    n, ndim = x.size, x.ndim
    g = wp.operators.Gradient(x.shape)(x).reshape(ndim, n)
    E = SymmetrisedGradient(x.shape).to_dense()
    v = cvxpy.Variable((ndim, n))
    Ev = cvxpy.reshape(E @ cvxpy.reshape(v, (ndim * n,), order="C"), (ndim * ndim, n), order="C")
    first, second = cvxpy.sum(cvxpy.norm(g - v, axis=0)), cvxpy.sum(cvxpy.norm(Ev, axis=0))
    return cvxpy.Problem(cvxpy.Minimize(alpha1 * first + alpha0 * second)).solve(solver="CLARABEL")


@pytest.mark.parametrize("shape", [(7, 6), (12,), (3, 4, 3)])
@pytest.mark.parametrize("alpha0", [0.3, 2.0])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_value(rng, shape, alpha0, scale):
    x = scale * (np.cumsum(rng.standard_normal(shape), axis=0) + 0.1 * rng.standard_normal(shape))
    f = wp.TotalGeneralizedVariation(alpha0, 0.7)
    exact = cvxpy_value(x, alpha0, 0.7)
    assert exact * (1 - 1e-6) <= f(x) <= exact * (1 + 1.1e-4)
    assert f(x.astype(np.float32)) == pytest.approx(exact, rel=2e-4)


def test_value_of_special_images(rng):
    f = wp.TotalGeneralizedVariation(2.0, 1.0)
    assert f(np.full((4, 5), 3.0)) == 0.0
    x = rng.standard_normal((6, 6))
    assert f(x) <= wp.TotalVariation()(x)
    assert f(3.0 * x) == pytest.approx(3.0 * f(x), rel=2e-4)


def test_value_warns_with_the_gap_it_reached(rng, monkeypatch):
    monkeypatch.setattr("wellposed.functionals.tgv.VALUE_ITERATIONS", 50)
    with pytest.warns(RuntimeWarning, match="relative gap of .* after 50 steps"):
        wp.TotalGeneralizedVariation(2.0, 1.0)(np.cumsum(rng.standard_normal((30, 30)), axis=0))


@pytest.mark.parametrize("shape", [(5, 4), (6,), (3, 2, 4)])
def test_lifted_operators(shape):
    lifted = wp.TotalGeneralizedVariation(2.0, 1.0).auxiliary(shape)
    assert lifted.shapes == (shape, (len(shape), *shape))
    for _, K in lifted.terms:
        wp.testing.check_operator(K)
    matrix = np.vstack([K.to_dense() for _, K in lifted.terms])
    exact = np.linalg.norm(matrix, 2)
    assert exact <= lifted.norm <= 1.15 * exact
    first = lifted.terms[0][1]
    assert first.norm() == pytest.approx(np.linalg.norm(first.to_dense(), 2))


def test_lifted_sum_is_the_definition(rng):
    f = wp.TotalGeneralizedVariation(wp.Parameter("alpha0", 2.0), 1.0)
    lifted = f.auxiliary((5, 4))
    x, v = rng.standard_normal((5, 4)), rng.standard_normal((2, 5, 4))
    z = np.concatenate([x.reshape(-1), v.reshape(-1)])
    by_terms = sum(term(K(z)) for term, K in lifted.terms)
    rest = wp.operators.Gradient((5, 4))(x) - v
    second = SymmetrisedGradient((5, 4))(v)
    by_hand = np.sum(np.sqrt(np.sum(rest**2, 0))) + 2 * np.sum(np.sqrt(np.sum(second**2, (0, 1))))
    assert by_terms == pytest.approx(by_hand)
    assert f(x) <= by_terms * (1 + 1e-4)
    assert [p.name for term, _ in lifted.terms for p in term.parameters] == ["alpha0"]


def test_balanced_duals_vanish_on_the_field_and_bound_the_denoising_problem(rng):
    b = rng.standard_normal((5, 4))
    f = wp.TotalGeneralizedVariation(2.0, 1.0)
    lifted = f.auxiliary(b.shape)
    duals = lifted.balance(tuple(rng.standard_normal(K.range_shape) for _, K in lifted.terms))
    scale = min(term.dual_scale(y) for (term, _), y in zip(lifted.terms, duals, strict=True))
    pulled = sum(K.apply_adjoint(scale * y) for (_, K), y in zip(lifted.terms, duals, strict=True))
    assert np.allclose(pulled[b.size :], 0.0, atol=1e-14)
    on_image = pulled[: b.size].reshape(b.shape)
    # Weak duality of 1/2 |x - b|^2 + TGV(x).
    bound = np.vdot(on_image, b) - 0.5 * np.vdot(on_image, on_image)
    for x in (b, np.zeros_like(b), np.full_like(b, b.mean()), 0.5 * b):
        assert bound <= 0.5 * np.sum((x - b) ** 2) + f(x)
