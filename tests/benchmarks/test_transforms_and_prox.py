"""The candidates of a benchmark compute the same, and its sections find their place on the page."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp
from benchmarks import __main__ as front
from benchmarks import graph_laplacian, multiscale_restoration, problems, proximal_maps, report


def table():
    return report.Table("title", ("a", "b"))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_rival_of_a_proximal_map_computes_the_same(dtype):
    x = (2 * np.random.default_rng(1).standard_normal(400)).astype(dtype)
    for name, case in proximal_maps.cases(x.size, table()).items():
        own, other = case.own(x), case.peer(x)
        tolerance = 1e-5 if dtype == np.float32 else 1e-9
        np.testing.assert_allclose(np.ravel(own), np.ravel(other), atol=tolerance, err_msg=name)


def test_every_rival_of_a_gradient_computes_the_same():
    x = np.random.default_rng(1).standard_normal(400).astype(np.float32)
    for f, formula in (
        (wp.BinaryPenalty(), proximal_maps.binary),
        (wp.BinaryPenalty(one_sided=True), proximal_maps.one_sided),
        (wp.TernaryPenalty(), proximal_maps.ternary),
    ):
        g = f.gradient(x)
        assert np.abs(g - formula(x)).max() < 1e-5 * np.abs(g).max()


def test_the_sparse_matrix_is_the_graph_laplacian():
    f = problems.noisy_photograph(24)
    L = wp.operators.GraphLaplacian(f, graph_laplacian.RADIUS, graph_laplacian.SIGMA, normalisation="none")
    matrix = graph_laplacian.scipy_window(f)
    x = np.random.default_rng(2).standard_normal(f.shape).astype(np.float32)
    np.testing.assert_allclose(L(x).ravel(), matrix @ x.ravel(), atol=1e-4)


def test_a_section_replaces_its_old_self_and_leaves_the_others():
    made = table()
    made.add("1", "2")
    facts = {"Load when it began": "0.10"}
    old = "# Benchmarks\n\n## Projectors\n\nold\n\n## Shearlets\n\nkept\n"
    new = front.renewed(old, facts, {"projector": [made]}, "run")
    assert "old" not in new
    assert new.endswith("| 1 | 2 |\n\n## Shearlets\n\nkept\n")
    assert "by `run --write`, at a load of 0.10" in new
    added = front.renewed(old, facts, {"graph_laplacian": [made]}, "run")
    assert added.startswith(old.rstrip())
    assert "## Graph Laplacian" in added
    assert front.renewed(added, facts, {"graph_laplacian": [made]}, "run") == added


def test_the_photographs_of_the_comparison_have_the_sizes_of_its_tasks():
    for size in multiscale_restoration.SIZES.values():
        for image in multiscale_restoration.photographs(size).values():
            assert image.shape == (size, size)
            assert image.dtype == np.float32
            assert image.std() > 0.05
