"""Every functional keeps the promises of its traits, in each library and dtype."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

import wellposed as wp


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy(entry, dtype):
    f = entry.make(lambda a: a.astype(dtype))
    wp.testing.check_functional(f, entry.shape)


def test_strict_array_api(entry):
    f = entry.make(array_api_strict.asarray)
    wp.testing.check_functional(f, entry.shape, xp=array_api_strict)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_torch(entry, dtype):
    torch = pytest.importorskip("torch")
    f = entry.make(lambda a: torch.asarray(a.astype(dtype)))
    wp.testing.check_functional(f, entry.shape, xp=torch)


def test_steps_of_numpy_scalars_keep_single_precision(entry):
    f = entry.make(lambda a: a.astype(np.float32))
    if f.traits.prox:
        point = f.prox(np.ones(entry.shape, np.float32), np.float64(0.5))
        assert point.dtype == np.float32


def test_parameters_can_be_replaced(entry):
    f = entry.make(lambda a: a)
    x = np.random.default_rng(4).standard_normal(entry.shape)
    for parameter in f.parameters:
        other = f.with_parameters({parameter.name: 2 * parameter.value})
        assert other(x) != f(x)
        assert other.with_parameters({parameter.name: parameter.value})(x) == f(x)


def test_nonpositive_step_is_refused(entry):
    f = entry.make(lambda a: a)
    scaled = isinstance(f, wp.Functional) and f.traits.prox and not f.traits.indicator
    if scaled and f(np.zeros(entry.shape)) != f(np.ones(entry.shape)):
        with pytest.raises(ValueError, match="step of a proximal map must be positive"):
            f.prox(np.ones(entry.shape), -1.0)
