"""A functional that is written in PyTorch and differentiated by it."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import Functional, Shape, Traits
from wellposed.functionals.parameter import Parameter


@dataclass(frozen=True, eq=False)
class TorchFunctional(Functional):
    """Any scalar function of PyTorch tensors, with gradient, Hessian products and derivatives for parameters.

    Parameters
    ----------
    function : callable
        ``function(x, parameters)`` with a tensor ``x`` and a dictionary of tensors by name; it returns a
        tensor with one number.
    like : array
        An array of the shape, library, dtype and device of ``x``: a NumPy array (which PyTorch sees
        through shared memory) or a tensor. Only those properties are used.
    learned : sequence of Parameter
        Those that ``function`` takes.
    strong_convexity : float
        A constant that you know, 0 if none.
    lipschitz : float
        Of the gradient; infinite if none is known. Solvers then take L-BFGS.
    convex : bool

    Raises
    ------
    TypeError
        If ``function`` cannot be called, or does not return a tensor with one number.
    ImportError
        If PyTorch is not installed: ``pip install wellposed[torch]``.

    Notes
    -----
    Nothing of this is checked against the function: a constant that is not true makes certificates false.

    Examples
    --------
    >>> import numpy as np, wellposed as wp
    >>> square = wp.TorchFunctional(lambda x, p: p["a"] * (x**2).sum(), np.zeros(2), [wp.Parameter("a", 3.0)])
    >>> square(np.array([1.0, 2.0])), square.gradient(np.array([1.0, 2.0]))
    (15.0, array([ 6., 12.]))
    """

    function: Callable[[Any, dict[str, Any]], Any]
    like: Array
    learned: tuple[Parameter, ...] = ()
    strong_convexity: float = 0.0
    lipschitz: float = math.inf
    convex: bool = True

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function must be callable, got {type(self.function).__name__}")
        object.__setattr__(self, "like", arrays.as_floating(self.like, "like"))
        given = (self.learned,) if isinstance(self.learned, Parameter) else tuple(self.learned)
        for p in given:
            if not isinstance(p, Parameter):
                raise TypeError(f"learned must hold Parameter objects, got {type(p).__name__}")
        object.__setattr__(self, "learned", given)
        _torch()

    @property
    def traits(self) -> Traits:
        return Traits(
            convex=self.convex,
            lipschitz=self.lipschitz,
            strong_convexity=self.strong_convexity,
            prox=False,
            conjugate=False,
        )

    @property
    def shape(self) -> Shape | None:
        return tuple(self.like.shape)

    @property
    def data(self) -> tuple[Array, ...]:
        return (self.like,)

    def with_parameters(self, values: dict[str, Any]) -> TorchFunctional:
        learned = tuple(p.with_value(values[p.name]) if p.name in values else p for p in self.learned)
        return dataclasses.replace(self, learned=learned)

    # --- evaluation ---------------------------------------------------------------------------

    def _tensor(self, x: Array, track: bool = False) -> Any:
        """``x`` as a tensor, which shares its memory where that is safe."""
        if isinstance(x, np.ndarray):
            safe = x.flags.writeable and x.flags.c_contiguous
            x = arrays.convert(x if safe else x.copy(), "torch")
        return x.detach().requires_grad_(track)

    def _values(self, like: Any, track: bool = False) -> dict[str, Any]:
        torch = _torch()
        return {
            p.name: torch.tensor(p.value, dtype=like.dtype, device=like.device).requires_grad_(track)
            for p in self.learned
        }

    def _evaluate(self, x: Any, values: dict[str, Any]) -> Any:
        value = self.function(x, values)
        if not _torch().is_tensor(value) or value.numel() != 1:
            got = (
                f"a tensor of shape {tuple(value.shape)}" if hasattr(value, "shape") else type(value).__name__
            )
            raise TypeError(
                f"the function of a TorchFunctional must return a tensor with one number, got {got}"
            )
        return value.reshape(())

    def _slope(self, x: Any, values: dict[str, Any]) -> Any:
        """The gradient, itself differentiable."""
        return _grad(self._evaluate(x, values), [x], create_graph=True)[0]

    def _back(self, tensor: Any, like: Array) -> Array:
        return tensor.detach().numpy() if isinstance(like, np.ndarray) else tensor.detach()

    def __call__(self, x: Array) -> float:
        with _torch().no_grad():
            tensor = self._tensor(x)
            return float(self._evaluate(tensor, self._values(tensor)))

    def gradient(self, x: Array) -> Array:
        with _torch().enable_grad():
            tensor = self._tensor(x, track=True)
            value = self._evaluate(tensor, self._values(tensor))
            return self._back(_grad(value, [tensor])[0], x)

    def hessian_product(self, x: Array, v: Array) -> Array:
        return self.hessian_at(x)(v)

    def hessian_at(self, x: Array) -> Callable[[Array], Array]:
        """Products with the Hessian at ``x``, which share one evaluation of the gradient."""
        with _torch().enable_grad():
            tensor = self._tensor(x, track=True)
            slope = self._slope(tensor, self._values(tensor))

        def product(v: Array) -> Array:
            if not slope.requires_grad:
                return self._back(_torch().zeros_like(tensor), v)
            return self._back(_grad(slope, [tensor], self._tensor(v), retain_graph=True)[0], v)

        return product

    def parameter_product(self, x: Array, v: Array) -> dict[str, Any]:
        with _torch().enable_grad():
            tensor = self._tensor(x, track=True)
            values = self._values(tensor, track=True)
            slope = self._slope(tensor, values)
            return self._derivatives(slope, values, self._tensor(v))

    def parameter_gradient(self, x: Array) -> dict[str, Any]:
        with _torch().enable_grad():
            tensor = self._tensor(x)
            values = self._values(tensor, track=True)
            return self._derivatives(self._evaluate(tensor, values), values)

    def _derivatives(self, of: Any, values: dict[str, Any], weight: Any = None) -> dict[str, Any]:
        if not self.learned or not of.requires_grad:
            return {p.name: np.zeros(p.shape) if p.shape else 0.0 for p in self.learned}
        parts = _grad(of, list(values.values()), weight)
        hosts = [part.cpu().numpy().astype(np.float64) for part in parts]
        return {p.name: h if p.shape else float(h) for p, h in zip(self.learned, hosts, strict=True)}

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"TorchFunctional({name})"


def _grad(value: Any, inputs: list[Any], weight: Any = None, **options: Any) -> list[Any]:
    """Derivatives with respect to ``inputs``, zero where one has no influence."""
    torch = _torch()
    if not value.requires_grad:
        return [torch.zeros_like(a) for a in inputs]
    found = torch.autograd.grad(value, inputs, weight, allow_unused=True, **options)
    return [torch.zeros_like(a) if d is None else d for d, a in zip(found, inputs, strict=True)]


def _torch() -> Any:
    return importlib.import_module("torch")
