"""The experiment on data-emphasised bounds, at a tiny size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wellposed.experiments import data_emphasized_elbo as experiment

TINY = experiment.Size(features=512, sets=1, lengths=(0.1, 0.3, 1.0), long=(2.0,), sweeps=2000)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 15
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 3


def test_the_closed_forms_hold(report):
    theory = [claim for claim in report.claims if claim.statement.startswith("T")]
    assert [claim.outcome for claim in theory] == ["holds"] * 4


def test_emphasis_finds_the_noise_that_the_plain_bound_misses(report):
    numbers = report.numbers["data set 0"]
    assert numbers["R/2N"]["l = 0.3"]["noise"] < 0.2 < numbers["ELBo"]["l = 0.3"]["noise"]
    assert numbers["R/2N"]["l = 0.3"]["error"] < numbers["ELBo"]["l = 0.3"]["error"]


def test_the_data_are_those_of_the_paper():
    demo = experiment.Demo(experiment.SMALL, 0)
    x, y = demo.data
    rng = np.random.RandomState(42)
    assert np.array_equal(x, rng.normal(size=20))
    assert np.array_equal(y, np.sin(3 * x) + 0.1 * rng.normal(size=20))
    near = demo.matrix(np.array([0.0, 0.1]), 0.5)
    assert near[0] @ near[1] == pytest.approx(np.exp(-0.5 * 0.2**2), abs=0.1)
