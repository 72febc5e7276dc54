"""The experiment on weighted total variation, at a tiny size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wellposed.experiments import weighted_tv_tomography as experiment

TINY = experiment.Size(
    pixels=24,
    views=12,
    phantoms=1,
    levels=(0.005,),
    vanishing=(0.02, 0.005),
    reweightings=2,
    changes=(1e-1, 1e-2),
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 9
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 6


def test_weights_of_the_truth_win(report):
    (row,) = report.numbers["errors"]
    assert row["W-GT"] < row["TV"] < row["FBP"]
    first, last = report.numbers["vanishing noise"].values()
    assert last < 0.5 * first


def test_the_simulated_noise_has_its_level():
    scan = experiment.Scan.simulate(TINY, 3, 0.02)
    clean = scan.A(scan.truth)
    assert np.linalg.norm(scan.b - clean) == pytest.approx(0.02 * np.linalg.norm(clean))
    assert scan.truth.min() == 0.0
    assert scan.truth.max() == 1.0
    assert np.array_equal(scan.b, experiment.Scan.simulate(TINY, 3, 0.02).b)
    assert not np.array_equal(scan.truth, experiment.Scan.simulate(TINY, 4, 0.02).truth)
