"""Linear operators with exact adjoints and bounded norms."""

from wellposed.operators._base import LinearOperator
from wellposed.operators.algebra import Stack, stack
from wellposed.operators.calculus import Gradient, SymmetrisedGradient

__all__ = ["Gradient", "LinearOperator", "Stack", "SymmetrisedGradient", "stack"]
