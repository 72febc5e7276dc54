"""The benchmarks build their inputs and their tables; nothing is timed, and no peer is needed."""

from __future__ import annotations

import time
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

import wellposed as wp
from benchmarks import __main__ as front
from benchmarks import peers_tv, problems, projector, report, scans, timing, tv_denoising


def test_the_photograph_has_the_size_and_range_asked_for():
    image, noisy = problems.photograph(64), problems.noisy_photograph(64)
    assert image.shape == noisy.shape == (64, 64)
    assert image.dtype == noisy.dtype == np.float32
    assert image.min() >= 0
    assert image.max() <= 1
    assert np.std(noisy - image) == pytest.approx(0.1, rel=0.05)


def test_the_reference_of_denoising_bounds_the_objective_from_both_sides():
    b = problems.noisy_photograph(32)
    exact = tv_denoising.reference(b)
    assert exact.lower <= exact.upper <= exact.lower * (1 + 3e-6)
    assert exact.value(b) == pytest.approx(tv_denoising.objective(b.astype(float))(b.astype(float)), rel=1e-5)
    assert exact.error(b) > 0.1


def test_numpy_pdhg_meets_its_target_at_the_count_that_was_found_and_not_before():
    b = problems.noisy_photograph(32)
    exact = tv_denoising.reference(b)
    method = peers_tv.numpy_pdhg(b, tv_denoising.LAM)
    found = peers_tv.counts(method, exact.error, (1e-2, 1e-3), limit=60.0)
    for target, iterations in found.items():
        assert exact.error(method.solve(iterations)) <= target
        assert exact.error(method.solve(iterations - 1)) > target
    assert found.keys() == {1e-2, 1e-3}


@pytest.mark.parametrize("image", ["Shepp-Logan", "CT slice"])
def test_a_scan_has_one_percent_noise(image):
    s = scans.scan(image, 32)
    A = s.beam()
    assert s.b.dtype == np.float32
    assert s.b.shape == A.range_shape
    # The pixels of the truth are coarse, so that its projection differs from the data by more than the noise.
    assert 0.005 < np.linalg.norm(A(s.truth) - s.b) / np.linalg.norm(s.b) < 0.2


def test_the_objective_of_a_scan_is_that_of_the_library():
    s = scans.scan("Shepp-Logan", 32)
    A = s.beam()
    value = s.value(lambda x: np.asarray(A(x)))
    x = np.maximum(s.truth, 0)
    assert value(x) == pytest.approx(s.objective(A)(x), rel=1e-4)


def test_a_counted_projector_counts_pairs():
    A = scans.scan("Shepp-Logan", 32).beam()
    y = A(np.ones((32, 32), np.float32))
    A.T(y)
    A(np.ones((32, 32), np.float32))
    assert A.pairs == 1.5


def test_a_sparse_beam_is_an_operator():
    from scipy.sparse import random_array

    beam = wp.operators.ParallelBeam((6, 6), scans.angles()[::20], 9)
    matrix = random_array((27, 36), density=0.3, format="csr", rng=np.random.default_rng(0))
    wp.testing.check_operator(scans.SparseBeam(matrix, beam))


def test_candidates_take_turns():
    order = []
    times = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, repeat=3)
    assert order == ["a", "b"] * 4
    assert {name: len(t.samples) for name, t in times.items()} == {"a": 3, "b": 3}


def test_a_stopwatch_stands_still_while_the_benchmark_looks(monkeypatch):
    ticks = count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    clock = timing.Stopwatch()
    with clock:
        next(ticks)
    assert clock.seconds == 1 + 1


def test_a_missing_peer_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(report.PEERS, "no_such_module", "no-such-project")
    table = report.Table("t", ("a",))
    assert report.peer(table, "no_such_module") is None
    assert "peer no-such-project not installed: pip install .[bench]" in table.text()


def test_tables_print_and_become_markdown():
    table = report.Table("Times", ("method", "seconds"))
    table.add("ours", "1 s")
    table.note("noted")
    assert "ours" in table.text()
    assert "| ours | 1 s |" in table.markdown()
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        table.add("alone")
    page = front.page([("Cores", "2")], {"imports": [table]}, "python -m benchmarks")
    assert page.startswith("# Benchmarks")
    assert "| Cores | 2 |" in page


def test_the_phantom_of_the_projectors_is_float32():
    ellipses, image = projector.phantom(16)
    assert len(ellipses) == 10
    assert image.dtype == np.float32


def test_a_busy_neighbour_that_dies_is_an_error(monkeypatch):
    with front.busy_neighbour():
        pass
    monkeypatch.setattr(front.sys, "executable", "true")
    with pytest.raises(RuntimeError, match="busy neighbour ended early"), front.busy_neighbour():
        time.sleep(0.5)
