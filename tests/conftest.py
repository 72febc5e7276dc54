"""Settings and fixtures that all tests share."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

# No test opens a window; this must stand before anything imports matplotlib.
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import numpy as np
import pytest

# The first call of a kernel compiles it, so times of examples say nothing.
hypothesis.settings.register_profile(
    "here",
    deadline=None,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "ci", parent=hypothesis.settings.get_profile("here"), derandomize=True, database=None
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, new for each test: the order of tests does not matter."""
    return np.random.default_rng(20240229)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of measured data that lies beside the checkout; without it the test is skipped."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("needs the measured data in ../shared/data, beside the checkout")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and cuda_device_count() == 0:
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, and this machine has none"))


def cuda_device_count() -> int:
    """Ask the driver itself, since none of the packages that know is required."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
