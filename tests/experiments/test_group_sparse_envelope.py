"""The experiment on the envelope of group sparsity, at a tiny size, and the network that it trains."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import wellposed as wp
from wellposed.experiments import _small_network as small
from wellposed.experiments import group_sparse_envelope as experiment

TINY = experiment.Size(
    columns=60,
    active=3,
    weights=(0.01, 0.3),
    regressions=1,
    trainings=1,
    epochs=4,
    training_weights=(1e-2,),
    entries=1000,
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 12
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 3


def test_the_support_is_found(report):
    (row,) = report.numbers["regression"]
    assert row["right"] == [True, True]
    assert max(row["refit"]) < min(row["envelope"]["error"])
    first, last = row["envelope"]["groups"]
    assert 3 <= last < first <= 12


def test_a_claim_can_fail(report):
    (row,) = report.numbers["regression"]
    wrong = {**row, "right": [True, False], "refit": [5.0, 5.0]}
    wrong["envelope"] = {**row["envelope"], "groups": [3, 12], "error": [9.0, 9.0]}
    outcomes = [claim.holds for claim in experiment.regression_claims([wrong], TINY)]
    assert outcomes[:4] == [False] * 4
    assert outcomes[5] is False


def test_a_penalised_fit_against_scikit_learn():
    data = experiment.Regression.simulate(TINY, 5)
    # Without a limit on the number of groups the envelope is half the squared norm.
    ours = data.solve(wp.SparseEnvelope(12, data.labels), 0.3)
    theirs = Ridge(alpha=0.3, fit_intercept=False).fit(data.matrix, data.y).coef_
    assert np.allclose(ours, theirs, atol=1e-3)
    assert np.max(np.abs(ours)) > 0.1


def test_gradients_of_the_network():
    rng = np.random.default_rng(0)
    network = small.Network.start(rng, inputs=5, hidden=4, classes=3)
    network.b[:] = rng.standard_normal(4)
    x, y = rng.random((7, 5)), rng.integers(3, size=7)
    _, gradients = network.loss_and_gradients(x, y)
    for name, gradient in zip("WbVc", gradients, strict=True):
        array = getattr(network, name)
        direction = rng.standard_normal(array.shape)
        losses = []
        for sign in (1, -1):
            setattr(network, name, array + sign * 1e-6 * direction)
            losses.append(network.loss_and_gradients(x, y)[0])
        setattr(network, name, array)
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(np.sum(gradient * direction), rel=1e-6)


def test_dropping_neurons_without_incoming_weights_changes_nothing():
    rng = np.random.default_rng(1)
    network = small.Network.start(rng)
    network.b[:] = rng.standard_normal(64)
    network.W[rng.permutation(64)[:48]] = 0.0
    x = rng.random((9, 64))
    kept = network.keeping(16)
    assert kept.W.shape == (16, 64)
    assert np.allclose(kept.scores(x), network.scores(x))


def test_training_learns_and_sparsifies():
    data = small.Digits.load(0)
    assert sum(len(y) for _, y in data.parts.values()) == 1797
    groups = np.repeat(np.arange(64), 64).reshape(64, 64)
    plain = small.train(data, wp.GroupL2(groups), 1e-9, 4, seed=0)
    assert plain.accuracy(data.parts["test"]) > 0.8
    assert np.all(plain.sizes > 0)
    sparse = small.train(data, wp.SparseEnvelope(16, groups), 0.1, 4, seed=0)
    assert np.sum(sparse.sizes > 0) < 64
