"""The experiment on Cauchy-Schwarz regularisers, at a tiny size, and its exact curve."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

import wellposed as wp
from wellposed.experiments import cauchy_schwarz_regularizers as experiment

TINY = experiment.Size(
    entries=30,
    trials=4,
    max_iter=1000,
    rows=(("binary", (12, 24)), ("one-sided binary", (26,)), ("ternary", (27,))),
    eigenvector_rows=(20,),
    eigenvector_trials=2,
    orthogonal_side=6,
    orthogonal_rows=(3,),
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 10
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 4


def test_patterns_are_found_where_there_are_many_equations(report):
    success = report.numbers["success"]
    assert success["binary"]["regulariser"][1] == 1.0
    assert success["one-sided binary"]["regulariser"] == [1.0]
    assert success["ternary"]["regulariser"][0] >= 0.75
    assert success["binary"]["regulariser"][1] > success["binary"]["regulariser"][0]
    assert report.numbers["eigenvector"] == [1.0]
    assert report.numbers["orthogonal"] == [1.0]


def test_a_claim_can_fail():
    curve = {"rows": [60, 76], "regulariser": [0.0, 0.1], "norm": [1.0, 0.0]}
    size = dataclasses.replace(TINY, trials=40)
    assert not any(claim.holds for claim in experiment.binary_claims(curve, size))
    assert not any(claim.holds for claim in experiment.sparse_claims("ternary", curve, size))
    missing = {"rows": [50], "regulariser": [1.0], "norm": [0.0]}
    first, *_ = experiment.sparse_claims("ternary", missing, TINY)
    assert first.holds is False


def test_wendels_probability():
    for entries, rows in ((100, 40), (100, 60), (7, 3), (5, 5)):
        assert experiment.wendel(entries, rows) == pytest.approx(
            scipy.stats.binom.cdf(rows - 1, entries - 1, 0.5)
        )


@pytest.mark.parametrize("seed", range(8))
def test_recovery_by_the_norm_agrees_with_linear_programming(seed):
    rng = np.random.default_rng(seed)
    x = rng.choice([-1.0, 1.0], 20)
    A = rng.standard_normal((10, 20))
    # min t with -t <= z <= t and A z = A x
    bounds = np.block([[np.eye(20), -np.ones((20, 1))], [-np.eye(20), -np.ones((20, 1))]])
    flattest = scipy.optimize.linprog(
        np.append(np.zeros(20), 1.0),
        A_ub=bounds,
        b_ub=np.zeros(40),
        A_eq=np.hstack([A, np.zeros((10, 1))]),
        b_eq=A @ x,
        bounds=(None, None),
    )
    expected = flattest.fun >= 1 - 1e-6
    assert experiment.norm_recovers(wp.LInf(), wp.operators.Matrix(A), x, experiment.SMALL) == expected


def test_the_best_of_several_starts_is_kept():
    x = np.random.default_rng(1).choice([-1.0, 1.0], 20)
    A = wp.operators.Matrix(np.random.default_rng(2).standard_normal((10, 20)))
    values = []
    for starts in (1, 2, 6):
        rng = np.random.default_rng(3)
        found = experiment.search(
            wp.BinaryPenalty(), A, A(x), lambda rng=rng: rng.standard_normal(20), TINY, starts
        )
        values.append(found.objective)
    assert values[2] <= values[1] <= values[0]
    assert values[2] < values[0]
