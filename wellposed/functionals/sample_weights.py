r"""What losses :math:`\sum_i w_i\, \ell_i(u_i)` over samples with weights ``w`` have in common."""

from __future__ import annotations

from typing import Any

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.functionals._base import step_for
from wellposed.functionals.datafits import DataFit, check_weights


class SampleWeighted(DataFit):
    """A data fit with a field ``weights``: an array of the shape of ``b``, or ``None`` for weights of 1.

    A sample of weight 0 counts for nothing: neither its data nor its prediction.
    """

    weights: Array | None

    def _check_sample_weights(self) -> None:
        if self.weights is None:
            return
        weights = check_weights(arrays.as_namespace(self.weights, self.b, "weights"), tuple(self.b.shape))
        if not bool(arrays.namespace(weights).any(weights > 0)):
            raise ValueError("all weights are 0: at least one sample needs a weight above 0")
        object.__setattr__(self, "weights", weights)

    @property
    def _heaviest(self) -> float:
        """The largest weight."""
        return 1.0 if self.weights is None else float(arrays.namespace(self.weights).max(self.weights))

    def _counts(self, condition: Array) -> Array:
        """Where a condition holds for a sample that has a weight."""
        return condition if self.weights is None else condition & (self.weights > 0)

    def _seen(self, a: Array) -> Array:
        """Entries of samples that have a weight, and 0 for the others."""
        if self.weights is None:
            return a
        xp = arrays.namespace(a, self.weights)
        return xp.where(self.weights > 0, a, xp.zeros_like(a))

    def _weighted(self, a: Array) -> Array:
        return a if self.weights is None else self.weights * a

    def _unweighted(self, y: Array) -> Array:
        """``y / w``, and 0 where ``w`` is 0."""
        if self.weights is None:
            return y
        xp = arrays.namespace(y, self.weights)
        return self._seen(y) / xp.where(self.weights > 0, self.weights, xp.ones_like(self.weights))

    def _total(self, terms: Array) -> float:
        """The weighted sum over samples."""
        return arrays.total(terms) if self.weights is None else arrays.inner(self.weights, terms)

    def _steps(self, u: Array, step: Any) -> Any:
        """The step of the proximal map of each sample's loss of weight 1."""
        return self._weighted(step_for(u, step))
