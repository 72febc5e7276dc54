"""A digest of an objective, by which a checkpoint knows what it belongs to."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.functionals._base import Functional
from wellposed.functionals.parameter import Parameter
from wellposed.operators._base import LinearOperator
from wellposed.solvers.problem import Problem


def fingerprint(problem: Problem, solver: str) -> str:
    """A digest of the solver and of everything in the objective: data, weights, parameters, operators.

    Of a foreign object inside an operator only the type is seen.
    """
    digest = hashlib.sha256()
    _add(digest, (solver, problem.shape, str(problem.like.dtype), problem.objective))
    return digest.hexdigest()


def digest(*values: Any) -> str:
    """A digest of functionals, numbers, text and arrays."""
    made = hashlib.sha256()
    _add(made, values)
    return made.hexdigest()


def _add(digest: Any, value: Any) -> None:
    digest.update(type(value).__name__.encode())
    if isinstance(value, (bool, int, float, complex, str)):
        digest.update(f"{value!r};".encode())
    elif isinstance(value, (tuple, list)):
        digest.update(f"{len(value)};".encode())
        for item in value:
            _add(digest, item)
    elif isinstance(value, (Functional, LinearOperator, Parameter)):
        for name, item in sorted(vars(value).items()):
            if not isinstance(getattr(type(value), name, None), cached_property):
                digest.update(f"{name}=".encode())
                _add(digest, item)
    elif isinstance(value, arrays.Constant):
        _add(digest, value.array)
    elif hasattr(value, "indptr"):
        _add(digest, (value.data, value.indices, value.indptr))
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        host = np.asarray(value) if isinstance(value, np.generic) else arrays.to_host(value)
        digest.update(f"{host.shape}{host.dtype};".encode())
        digest.update(np.ascontiguousarray(host).tobytes())
