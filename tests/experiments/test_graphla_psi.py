"""The experiment on graphLa+Psi, at a tiny size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wellposed.experiments import graphla_psi as experiment

TINY = experiment.Size(
    pixels=24,
    views=20,
    bins=34,
    phantoms=1,
    lines=1,
    levels=(0.05, 0.01),
    iterations=60,
    sweep_iterations=60,
    changes=(1e-1, 1e-2),
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 19
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 8


def test_the_exact_facts_and_the_solver_hold_at_any_size(report):
    outcomes = {claim.statement: claim.holds for claim in report.claims}
    exact = [
        s for s in outcomes if "L-BFGS" in s or "aplacian of" in s or "eigenvalue" in s or "components" in s
    ]
    assert len(exact) == 5
    assert all(outcomes[s] for s in exact)


def test_the_graph_of_the_truth_wins(report):
    (row,) = report.numbers["phantoms"]
    errors = row["errors"]
    assert errors["La+True"] < min(errors[name] for name in errors if name != "La+True")
    assert errors["La+TV"] < errors["TV"] < errors["FBP"]


def test_the_simulated_noise_has_its_level():
    scan = experiment.Scan.simulate(TINY, 3, 0.02)
    clean = scan.A(scan.truth)
    assert np.linalg.norm(scan.b - clean) == pytest.approx(scan.noise)
    assert scan.noise == pytest.approx(0.02 * np.linalg.norm(clean))
    plain = experiment.phantom(TINY.pixels, np.random.default_rng([3, 0]))
    assert not np.array_equal(scan.truth, plain)
    assert np.array_equal(scan.b, experiment.Scan.simulate(TINY, 3, 0.02).b)
