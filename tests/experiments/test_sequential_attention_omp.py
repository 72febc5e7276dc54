"""The experiment on sequential attention, at a tiny size, and the parts that it is made of."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

import wellposed as wp
from wellposed.experiments import _masked_network as masked
from wellposed.experiments import sequential_attention_omp as experiment
from wellposed.experiments._small_network import Digits, Network

TINY = experiment.Size(
    problems=2,
    values=1,
    descents=2,
    splits=1,
    designs=1,
    epochs=10,
    final_epochs=5,
    pixels=(2, 4),
    correlations=(0.0,),
    features=8,
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 20
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 6


def test_what_does_not_depend_on_the_size_holds(report):
    sure = [c for c in report.claims if c.statement.startswith(("R1 lasso", "R1 att", "R2", "R3", "T"))]
    assert len(sure) == 14
    assert all(claim.holds for claim in sure)


def test_a_wrong_rule_is_seen(monkeypatch):
    """A rule that always takes the features of another problem fails R1."""
    right = wp.orthogonal_matching_pursuit

    def wrong(X, y, *args, **options):
        return right(X, y[::-1] if "select" in options else y, *args, **options)

    monkeypatch.setattr(wp, "orthogonal_matching_pursuit", wrong)
    claims = experiment.equal_choices(TINY, 0)[1]
    assert not claims[0].holds
    assert not claims[3].holds


def test_restricted_eigenvalues_are_the_least_of_all_sets():
    X, _ = experiment.design(0, 30, 8, 0.9)
    assert experiment.restricted_eigenvalue(X, 1) == pytest.approx(1)
    closest = np.abs(np.triu(X.T @ X, 1)).max()
    assert experiment.restricted_eigenvalue(X, 2) == pytest.approx(1 - closest)


def test_the_inequality_of_a_step_needs_the_eigenvalue():
    """It holds for data whose coefficients cancel, and would not with 1 in the place of the eigenvalue."""
    ratios, without = [], []
    for seed in range(10):
        X, _ = experiment.design(seed, 30, 8, 0.9)
        y = dict(experiment.data_of(X, 3, np.random.default_rng(seed)))["cancelling"]
        support = wp.orthogonal_matching_pursuit(X, y, 3).support.tolist()
        best = max(itertools.combinations(range(8), 3), key=lambda S: experiment.explained(X, y, S))
        top = experiment.explained(X, y, best)
        ratios += list(experiment.step_ratios(X, y, support, best, top))
        without.append(experiment.explained(X, y, support[:1]) * 3 / top)
    assert min(ratios) >= 1
    assert min(without) < 1


def test_gradients_of_the_masked_network_are_right():
    rng = np.random.default_rng(0)
    network, logits = Network.start(rng, 5, 4, 3), rng.standard_normal(5)
    x, y, chosen = rng.standard_normal((7, 5)), rng.integers(0, 3, 7), [1]
    gradients = masked.masked_loss(network, logits, chosen, x, y)[1]
    variables = [network.W, network.b, network.V, network.c, logits]
    for variable, gradient in zip(variables, gradients, strict=True):
        direction = rng.standard_normal(variable.shape)
        losses = []
        for step in (1e-6, -2e-6):
            variable += step * direction
            losses.append(masked.masked_loss(network, logits, chosen, x, y)[0])
        variable += 1e-6 * direction
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(np.sum(gradient * direction), rel=1e-5)


def test_a_mask_is_one_at_what_is_chosen_and_adds_up_to_one_elsewhere():
    mask = masked.mask_of(np.array([0.3, 900.0, -1.0, 0.2]), [1])
    assert mask[1] == 1
    assert mask.sum() == pytest.approx(2)
    assert mask[0] / mask[2] == pytest.approx(np.exp(1.3))


def test_attention_finds_the_only_input_that_matters():
    rng = np.random.default_rng(0)
    x = rng.random((400, 6))
    y = (x[:, 4] > 0.5).astype(int)
    parts = dict.fromkeys(("train", "choose", "test"), (x, y))
    order = masked.attention_order(Digits(parts), 3, 60, seed=0)
    assert order[0] == 4
    assert len(set(order)) == 3
    assert masked.retrained(Digits(parts), [4], 60, seed=0) > 0.9
    assert masked.retrained(Digits(parts), [0, 1], 60, seed=0) < 0.75


def test_gradient_descent_ends_at_the_choice_of_the_lasso():
    problems = [experiment.design(seed) for seed in (3, 4)]
    G, q = experiment.projected(problems, [[0], []])
    assert not G[0][0].any()
    expected = np.abs(q).argmax(axis=1)
    np.testing.assert_array_equal(experiment.descend(G, q, 1e-2), expected)
    X, y = problems[0]
    left = y - X[:, 0] * (X[:, 0] @ y) / (X[:, 0] @ X[:, 0])
    np.testing.assert_allclose(q[0], np.where(np.arange(25) == 0, 0, X.T @ left), atol=1e-12)
