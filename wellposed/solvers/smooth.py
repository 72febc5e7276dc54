"""The smooth part of a problem along a run, with ``K x`` kept so that no operator is applied twice."""

from __future__ import annotations

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.solvers.problem import Term

Images = tuple[Array, ...]
"""``K_i x`` for each smooth term."""


def images(terms: tuple[Term, ...], x: Array) -> Images:
    """``K_i x`` for each term."""
    return tuple(t.forward(x) for t in terms)


def value(terms: tuple[Term, ...], at: Images) -> float:
    """Sum of ``f_i(u_i)``."""
    return sum(t.f(u) for t, u in zip(terms, at, strict=True))


def slopes(terms: tuple[Term, ...], at: Images) -> Images:
    """Gradients of each ``f_i`` at ``u_i``: the natural dual variables."""
    return tuple(t.f.gradient(u) for t, u in zip(terms, at, strict=True))


def pull_back(terms: tuple[Term, ...], duals: Images) -> Array:
    """Sum of ``K_i* y_i``; the number 0 if there are no terms."""
    parts = [t.backward(y) for t, y in zip(terms, duals, strict=True)]
    return sum(parts[1:], start=parts[0]) if parts else 0.0


def slope_size(terms: tuple[Term, ...], at: Images) -> float:
    """Norm of the gradient of the sum at a point given by its images."""
    return arrays.norm(pull_back(terms, slopes(terms, at))) if terms else 0.0


def extrapolate(new: Images, old: Images, beta: float) -> Images:
    """``u + beta (u - u_old)`` for each term: the images of an extrapolated point, for free."""
    return tuple(u + beta * (u - v) for u, v in zip(new, old, strict=True))


def bregman(terms: tuple[Term, ...], new: Images, old: Images, old_slopes: Images) -> tuple[float, float]:
    """``h(new) - h(old) - <slope, new - old>`` and the rounding error of that number."""
    total = noise = 0.0
    for t, u, v, s in zip(terms, new, old, old_slopes, strict=True):
        d = u - v
        if t.f.traits.quadratic:
            total += 0.5 * arrays.inner(t.f.hessian_product(v, d), d)
        else:
            f_new, f_old = t.f(u), t.f(v)
            total += f_new - f_old - arrays.inner(s, d)
            noise += 4 * arrays.epsilon(u) * (abs(f_new) + abs(f_old))
    return total, noise


def lipschitz(terms: tuple[Term, ...]) -> float:
    """Lipschitz constant of the gradient of the sum."""
    total = 0.0
    for t in terms:
        constant = t.f.traits.lipschitz
        assert constant is not None
        total += constant * t.norm**2 if constant > 0 else 0.0
    return total
