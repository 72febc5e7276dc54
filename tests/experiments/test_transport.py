"""The experiments on transport, at tiny sizes."""

from __future__ import annotations

import json

import numpy as np

from wellposed.experiments import sparse_inverse_ot, sparsity_constrained_ot, sum_of_norms_ot


def test_sum_of_norms():
    size = sum_of_norms_ot.Size(seeds=1, moons=16, colours=6, large=24, tol=1e-3)
    report = sum_of_norms_ot.run_at(size, seed=0)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 15
    json.dumps(report.as_dict(), allow_nan=False)
    (row,) = report.numbers["recovery"]
    assert row["exact"] == 0.2
    assert row["path"][-1] < 1e-12
    for masses in report.numbers["mass between classes"].values():
        assert list(masses) == list(sum_of_norms_ot.METHODS)
        assert masses["sum of norms"] < 1e-9
    assert len(report.figure.axes) == 11


def test_sparsity_constrained():
    size = sparsity_constrained_ot.Size(colours=4, max_iter=300)
    report = sparsity_constrained_ot.run_at(size, seed=0)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 10
    json.dumps(report.as_dict(), allow_nan=False)
    held = {claim.statement: claim.holds for claim in report.claims}
    assert held["entries of each column"]
    assert np.isclose(report.numbers["values"]["1"], 0.066332, atol=1e-6)


def test_sparse_inverse():
    size = sparse_inverse_ot.Size(20, 6, 3, 3, 2, (800, 3200), 60)
    report = sparse_inverse_ot.run_at(size, seed=0)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 24
    json.dumps(report.as_dict(), allow_nan=False)
    held = {claim.statement: claim.holds for claim in report.claims}
    decided = "the support is found from the exact coupling if the certificate is below 1"
    assert [holds for name, holds in held.items() if name.startswith(decided)] == [True]
    assert report.numbers["wrong positions"]["1.0"] == [40, 40, 40, 0, 40]
    assert report.numbers["phases"]["certificate"][0][0][0] > 1
    assert report.numbers["phases"]["wrong"][0][0][0] > 0
    assert len(report.figure.axes) == 6
