"""Checks of linear operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array, Namespace
from wellposed.operators._base import LinearOperator
from wellposed.testing._probe import Probe, generator

POWER_STEPS = 30


def check_operator(A: LinearOperator, rng: Any = None, xp: Namespace | None = None) -> None:
    r"""Check that an operator is linear, has its exact adjoint and a norm that bounds it.

    In float32 and float64: :math:`\langle A x, y\rangle = \langle x, A^* y\rangle`, linearity, that
    power iteration finds no larger norm than ``A.norm()``, that dtypes are kept, inputs may be
    read-only and stay unchanged, and that ``out=`` is filled completely.

    Parameters
    ----------
    A : LinearOperator
    rng : numpy.random.Generator or int, optional
        Source of the random arrays; by default a fixed seed.
    xp : namespace, optional
        Library of the arrays that are used (default: NumPy).

    Raises
    ------
    CheckError
        Names the identity that fails and by how much.

    Examples
    --------
    >>> import wellposed as wp
    >>> wp.testing.check_operator(wp.operators.Gradient((5, 4)))
    """
    if not isinstance(A, LinearOperator):
        raise TypeError(f"check_operator takes a LinearOperator, got {type(A).__name__}")
    rng = generator(rng)
    for dtype in ("float64", "float32"):
        real = Probe(repr(A), xp or np, dtype, rng)
        wide = Probe(repr(A), xp or np, {"float64": "complex128", "float32": "complex64"}[dtype], rng)
        x_probe, y_probe = (wide if A.complex_domain else real), (wide if A.complex_range else real)
        _check_shapes_and_out(A, x_probe, y_probe)
        _check_linear(A, x_probe)
        _check_adjoint(A, x_probe, y_probe)
    _check_norm(A, generator(rng.integers(1 << 30)))


def _check_shapes_and_out(A: LinearOperator, x_probe: Probe, y_probe: Probe) -> None:
    x, y = x_probe.sample(A.domain_shape), y_probe.sample(A.range_shape)
    for name, apply, given, probe, result_probe, shape in (
        ("A(x)", A, x, x_probe, y_probe, A.range_shape),
        ("A.apply_adjoint(y)", A.apply_adjoint, y, y_probe, x_probe, A.domain_shape),
    ):
        result = probe.call(name, apply, given, shape=shape)
        host = np.full(shape, np.nan).astype(result_probe.dtype)
        out = result_probe.xp.asarray(host, copy=True)
        apply(given, out)
        xp = result_probe.xp
        if bool(xp.any(xp.isnan(out))):
            raise probe.fail(f"{name} with out= leaves entries unwritten")
        probe.equal(f"{name} with and without out=", arrays.norm(out - result), 0.0, arrays.norm(result))


def _check_linear(A: LinearOperator, probe: Probe) -> None:
    x, z = probe.sample(A.domain_shape), probe.sample(A.domain_shape)
    joint = A(probe.freeze(2.0 * np.asarray(_host(x)) - 3.0 * np.asarray(_host(z))))
    difference = arrays.norm(joint - (2.0 * A(x) - 3.0 * A(z)))
    scale = 2 * arrays.norm(A(x)) + 3 * arrays.norm(A(z))
    probe.equal("linearity, |A(2x - 3z) - 2 A(x) + 3 A(z)|", difference, 0.0, scale)


def _check_adjoint(A: LinearOperator, x_probe: Probe, y_probe: Probe) -> None:
    for _ in range(3):
        x, y = x_probe.sample(A.domain_shape), y_probe.sample(A.range_shape)
        Ax, Ay = A(x), A.apply_adjoint(y)
        scale = max(arrays.norm(Ax) * arrays.norm(y), arrays.norm(x) * arrays.norm(Ay))
        slack = 1e-5 if x_probe.eps > 1e-10 else 1e-12
        left, right = arrays.inner(Ax, y), arrays.inner(x, Ay)
        x_probe.equal("adjoint, <A x, y> and <x, A* y>", left, right, scale, slack)


def _check_norm(A: LinearOperator, rng: np.random.Generator) -> None:
    probe = Probe(repr(A), np, "complex128" if A.complex_domain else "float64", rng)
    x: Array = probe.sample(A.domain_shape)
    lower = 0.0
    for _ in range(POWER_STEPS):
        size = arrays.norm(x)
        if size == 0.0:
            break
        Ax = A(x / size)
        lower = max(lower, arrays.norm(Ax))
        x = A.apply_adjoint(Ax)
    probe.at_most("norm, found by power iteration and claimed by A.norm()", lower, A.norm(), lower, 1e-7)


def _host(a: Array) -> np.ndarray:
    return arrays.numpy_view(a)
