"""Problems of transport."""

from __future__ import annotations

import numpy as np
import pytest

import wellposed as wp


def test_class_clouds_are_those_of_the_recipe():
    clouds = wp.problems.class_clouds(seed=1)
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], 5)
    xs = np.array([[0, 0], [3, 0]])[labels] + 1.5 * rng.normal(size=(10, 2))
    assert clouds.sources == pytest.approx(xs)
    assert clouds.cost.max() == 1
    assert clouds.mixed_mass(np.full((10, 10), 0.01)) == pytest.approx(0.5)
    assert clouds.accuracy(clouds.targets) == 1
    with pytest.raises(ValueError, match="there must be points"):
        wp.problems.class_clouds(per_class=0)


def test_rotated_moons():
    clouds = wp.problems.rotated_moons(40, degrees=90.0)
    assert sorted(clouds.source_labels) == sorted(clouds.target_labels)
    turned = clouds.sources @ np.array([[0.0, 1.0], [-1.0, 0.0]])
    assert clouds.accuracy(turned) == 1


def test_colour_transfer():
    problem = wp.problems.colour_transfer(colours=6, size=32)
    assert problem.shares.sum() == pytest.approx(1)
    assert problem.recoloured(problem.colours) == pytest.approx(problem.image)
    means = [problem.image[problem.nearest == k].mean(axis=0) for k in range(6)]
    assert problem.colours == pytest.approx(np.array(means), abs=0.01)
    moved = problem.recoloured(np.zeros((6, 3)))
    assert moved.min() >= 0
    assert moved.mean() < 0.2


def test_inverse_transport_between_normal_points():
    problem = wp.problems.gaussian_inverse_transport(
        nodes=6, graph="grid", delta=0.5, eps=2.0, samples=40_000
    )
    assert problem.graph.sum() == 2 * 7
    assert problem.affinity.sum(axis=1) == pytest.approx(0.5 * np.ones(6))
    assert problem.distances().max() == 3
    exact = wp.transport.gaussian_coupling(problem.affinity, eps=2.0)
    assert np.abs(problem.cross - exact).max() < 0.03
    assert np.abs(problem.cov_y - np.eye(6)).max() < 0.03
    assert problem.wrong_positions(problem.affinity) == 0
    assert problem.wrong_positions(np.eye(6)) == 14
    random = wp.problems.gaussian_inverse_transport(nodes=30, graph="random")
    assert np.array_equal(random.graph, random.graph.T)
    assert not random.graph.diagonal().any()
    for wrong in ({"graph": "tree"}, {"nodes": 1}, {"delta": 0.0}, {"samples": -1}):
        with pytest.raises(ValueError, match=r"must be|needs"):
            wp.problems.gaussian_inverse_transport(**wrong)
