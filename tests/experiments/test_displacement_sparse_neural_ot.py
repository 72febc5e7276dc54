"""The experiment on maps of sparse displacements, at a tiny size."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import wellposed as wp

pytest.importorskip("torch")

from wellposed.experiments import displacement_sparse_neural_ot as experiment

TINY = experiment.Size(40, (4,), 24, 2, 5e-3, 1)


def test_all_claims_are_measured():
    report = experiment.run_at(TINY, seed=0)
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 24
    json.dumps(report.as_dict(), allow_nan=False)
    held = {claim.statement: claim.holds for claim in report.claims}
    proven = [holds for name, holds in held.items() if name.startswith(("T1", "T3"))]
    assert proven == [True] * 5
    assert held["T2: distance of the shift at the end of the game from the difference of means, any penalty"]
    assert len(report.figure.axes) == 6


def test_the_saddle_of_shifts_does_not_depend_on_the_weight(rng):
    m = np.array([3.0, 0.1, -0.2])
    for lam in (0.0, 0.3):
        assert np.allclose(experiment.saddle(m, wp.L1(), lam), m, atol=1e-6)


def test_curves_are_read_where_they_cross_a_level():
    curve = [{"feasibility": f, "small": s} for f, s in ((1.0, 0.4), (2.0, 0.2), (3.0, 0.1))]
    assert experiment.at_feasibility(curve, 1.5) == pytest.approx(0.3)
    assert experiment.at_feasibility(curve, 3.0) == pytest.approx(0.1)
    assert experiment.at_feasibility(curve, 0.9) == math.inf
    backwards = [{"feasibility": f, "small": s} for f, s in ((3.0, 0.4), (1.0, 0.1))]
    assert experiment.at_feasibility(backwards, 2.0) == pytest.approx(0.1)
