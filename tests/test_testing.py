"""The public checks pass what is right and catch planted faults."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

import wellposed as wp
from wellposed import arrays
from wellposed.functionals.norms import L21
from wellposed.testing import CheckError, check_functional, check_gradient, check_operator


class Doubling(wp.LinearOperator):
    """Right in everything; the faults below change one method each."""

    def __init__(self):
        super().__init__((3, 4), (3, 4))

    def _apply(self, x, out):
        out[...] = 2.0 * x

    def _apply_adjoint(self, y, out):
        out[...] = 2.0 * y

    def _norm(self):
        return 2.0


class WrongAdjoint(Doubling):
    def _apply_adjoint(self, y, out):
        out[...] = 2.0001 * y


class ShiftedAdjoint(Doubling):
    def _apply_adjoint(self, y, out):
        out[...] = 0.0
        out[1:] = 2.0 * y[:-1]


class SmallNorm(Doubling):
    def _norm(self):
        return 1.999


class NotLinear(Doubling):
    def _apply(self, x, out):
        out[...] = 2.0 * abs(x)


class Unwritten(Doubling):
    def _apply(self, x, out):
        out[1:] = 2.0 * x[1:]


class Accumulating(Doubling):
    def _apply_adjoint(self, y, out):
        out += 2.0 * y


class WritesInput(Doubling):
    def _apply(self, x, out):
        x *= 2.0
        out[...] = x


class Rounding(Doubling):
    def _apply(self, x, out):
        out[...] = (2.0 * x).astype(np.float16)


def test_right_operators_pass():
    check_operator(Doubling())
    check_operator(Doubling().T @ Doubling() + 3.0 * Doubling(), rng=5)
    check_operator(wp.operators.Gradient((4, 3, 2)), xp=array_api_strict)
    check_operator(wp.operators.stack([Doubling(), wp.operators.Gradient((3, 4))]))


@pytest.mark.parametrize(
    ("A", "message"),
    [
        (WrongAdjoint(), r"WrongAdjoint.* \(float64\): adjoint, <A x, y> and <x, A\* y>: .* must be equal"),
        (ShiftedAdjoint(), "adjoint"),
        (SmallNorm(), r"norm, found by power iteration .*: 2 must be at most 1.999"),
        (NotLinear(), "linearity"),
        (Unwritten(), "leaves entries unwritten|linearity|adjoint"),
        (Accumulating(), r"A.apply_adjoint\(y\) with out= leaves entries unwritten"),
        (WritesInput(), "writes into its input"),
        (Rounding(), "linearity|adjoint"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_faulty_operators_are_caught(A, message):
    with pytest.raises(CheckError, match=message):
        check_operator(A)


def test_input_that_is_changed_is_caught_without_read_only_arrays():
    torch = pytest.importorskip("torch")
    with pytest.raises(CheckError, match=r"A\(x\) changes its argument number 1"):
        check_operator(WritesInput(), xp=torch)


class WrongProx(wp.L1):
    def prox(self, x, step=1.0):
        return super().prox(x, 1.001 * step)


class WrongProxAtLargeSteps(wp.L1):
    def prox(self, x, step=1.0):
        return super().prox(x, np.minimum(step, 5.0))


class WideProx(wp.L1):
    def prox(self, x, step=1.0):
        return super().prox(x.astype(np.float64), step)


class InPlaceProx(wp.L1):
    def prox(self, x, step=1.0):
        x[x < 0] = 0
        return x


class WrongConjugate(L21):
    def _conjugate(self, y):
        return 0.01 + super()._conjugate(y)


class LooseDual(wp.L1):
    def project_dual(self, y):
        return arrays.namespace(y).clip(y, -1.0001, 1.0001)


class SmallDualScale(wp.L1):
    def dual_scale(self, y):
        return 0.5 * super().dual_scale(y)


class NotSeparable(L21):
    @property
    def traits(self):
        return wp.functionals._base.Traits(separable=True, homogeneous=True)


class NotHomogeneous(wp.L1):
    def __call__(self, x):
        return super().__call__(x) + 1.0


class Concave(wp.SquaredL2):
    def __call__(self, x):
        return -super().__call__(x)


class WrongGradient(wp.SquaredL2):
    def gradient(self, x):
        return 1.01 * x


class WrongHessian(wp.SquaredL2):
    def hessian_product(self, x, v):
        return 1.05 * v


class SmallLipschitz(wp.SquaredL2):
    @property
    def traits(self):
        return wp.functionals._base.Traits(lipschitz=0.9)


class LargeConvexity(wp.SquaredL2):
    @property
    def traits(self):
        return wp.functionals._base.Traits(lipschitz=2.0, strong_convexity=1.2)


class NotQuadratic(wp.SmoothedTotalVariation):
    @property
    def traits(self):
        return wp.functionals._base.Traits(lipschitz=np.inf, quadratic=True, prox=False, conjugate=False)


class Contradiction(wp.L1):
    @property
    def traits(self):
        return wp.functionals._base.Traits(quadratic=True)


class ScalarValue(wp.L1):
    def __call__(self, x):
        return np.float64(super().__call__(x))


class WrongValueAtProx(wp.L1):
    def prox_and_value(self, x, step=1.0):
        return self.prox(x, step), 0.5 * self(self.prox(x, step))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (WrongProx(), "is a minimiser|firmly|subgradient"),
        (WrongProxAtLargeSteps(), "prox with step 10 is a minimiser"),
        (WideProx(), "prox gives float64 for an input of float32"),
        (InPlaceProx(), "prox writes into its input"),
        (WrongConjugate(), "Fenchel-Young equality"),
        (LooseDual(), "project_dual gives a point outside"),
        (SmallDualScale(), "dual_scale of a point in the domain|a larger number would do"),
        (NotSeparable(), "traits: separable, prox of each entry on its own"),
        (NotHomogeneous(), "homogeneity"),
        (Concave(), "convexity between two points"),
        (WrongGradient(), "gradient against central differences"),
        (WrongHessian(), "Hessian product against differences"),
        (SmallLipschitz(), "Lipschitz constant"),
        (LargeConvexity(), "convexity"),
        (NotQuadratic(0.5), "the gradient is affine"),
        (Contradiction(), "quadratic, but not smooth"),
        (ScalarValue(), "not a float"),
        (WrongValueAtProx(), "the value of prox_and_value"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_faulty_functionals_are_caught(f, message):
    with pytest.raises(CheckError, match=message):
        check_functional(f)


def test_empty_domain_is_named():
    class Nowhere(wp.NonNegative):
        def __call__(self, x):
            return np.inf

    with pytest.raises(CheckError, match="no point of finite value"):
        check_functional(Nowhere())


def test_gradient_check(rng):
    x = rng.standard_normal((4, 5))
    check_gradient(wp.SmoothedTotalVariation(0.1), x)
    check_gradient(wp.KullbackLeibler(None, np.ones((4, 5), np.float32), 9.0), x.astype(np.float32))
    check_gradient(wp.SquaredL2(), x + 1j * x)
    with pytest.raises(CheckError, match="gradient against central differences"):
        check_gradient(WrongGradient(), x)
    with pytest.raises(CheckError, match="inside the domain"):
        check_gradient(wp.KullbackLeibler(None, np.ones((4, 5))), np.zeros((4, 5)) + 1e-9)
    with pytest.raises(TypeError, match="not differentiable"):
        check_gradient(wp.L1(), x)


def test_wrong_kind_of_argument():
    with pytest.raises(TypeError, match="check_operator takes a LinearOperator, got ndarray"):
        check_operator(np.ones((3, 3)))
    with pytest.raises(TypeError, match="check_functional takes a Functional, got ndarray"):
        check_functional(np.ones((3, 3)))


def test_checks_are_quick(rng):
    import time

    begin = time.perf_counter()
    check_functional(wp.TotalVariation(), (64, 64))
    check_operator(wp.operators.Gradient((64, 64)))
    assert time.perf_counter() - begin < 2.0
