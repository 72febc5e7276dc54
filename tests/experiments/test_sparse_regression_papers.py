"""The experiments on the kin of the Lasso, at tiny sizes."""

from __future__ import annotations

import json

from wellposed.experiments import high_dim_representers


def check(report, claims):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == claims
    json.dumps(report.as_dict(), allow_nan=False)
    return {claim.statement: claim for claim in report.claims}


def test_high_dim_representers():
    size = high_dim_representers.Size(
        samples=80, features=100, tests=1, seeds=1, cells=3, levels=(0.05,), stops=(1e-2, 1e-4)
    )
    claims = check(high_dim_representers.run_at(size, seed=0), 11)
    exact = [
        c for name, c in claims.items() if name.startswith(("relative error", "error of the sum", "least"))
    ]
    assert len(exact) == 4
    assert all(c.holds for c in exact)
