"""The experiments on the kin of the Lasso, at tiny sizes."""

from __future__ import annotations

import json

from wellposed.experiments import active_mtrl_lasso, high_dim_representers, lasso_mixture_of_experts, net_trim


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


def test_lasso_mixture_of_experts():
    size = lasso_mixture_of_experts.Size(
        seeds=1,
        path_seeds=1,
        replicates=1,
        counts=(60, 120),
        samples=120,
        weights=(1e-3, 2.0, 5.0, 10.0),
        starts=2,
    )
    claims = check(lasso_mixture_of_experts.run_at(size, seed=0), 12)
    assert claims["least relative change of the objective in an iteration"].holds
    assert claims["largest relative duality gap of a last maximisation step"].holds
    assert claims["slopes that are not 0 in the fit at that weight"].holds


def test_active_mtrl_lasso():
    size = active_mtrl_lasso.Size(
        replicates=2, allocations=100, features=15, tasks=12, budget=1500, least=20, first=40, target=500
    )
    claims = check(active_mtrl_lasso.run_at(size, seed=0), 14)
    assert all(claim.holds for claim in list(claims.values())[:7])


def test_net_trim():
    size = net_trim.Size(samples=60, gains=(0.3,), trials=1, hidden=(8, 6), epochs=5, tol=0.05)
    claims = check(net_trim.run_at(size, seed=0), 9)
    assert claims["error of a layer over the allowed one"].holds
    assert claims["L1 norm of a layer over that of the trained one"].holds
    (product,) = [c for name, c in claims.items() if name.startswith("error of the scores")]
    assert product.holds
