"""The experiment on self-tuning, at a tiny size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wellposed.experiments import self_tuning_networks as experiment

TINY = experiment.Size(noise_columns=5, starts=(0.0,), iterations=2)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 10
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 2
    assert report.claims[0].outcome == "holds"


def test_the_loss_is_that_of_ridge_regression():
    ridge = experiment.Ridge(TINY, 1)
    X, y, X_held, y_held = ridge.data
    w = ridge.minimiser(0.3)
    assert np.max(np.abs(X.T @ (X @ w - y) / len(y) + np.exp(0.3) * w)) < 1e-12
    assert ridge.loss(0.3) == pytest.approx(np.sum((X_held @ w - y_held) ** 2) / (2 * len(y_held)))
