"""The experiment on sparse coding beyond L1, at a tiny size, and the parts that it is made of."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import wellposed as wp
from wellposed.experiments import beyond_l1_sparse_coding as experiment

TINY = experiment.Size(
    side=4,
    atoms=24,
    batch=40,
    batches=4,
    inner=15,
    test=60,
    test_inner=30,
    weights={name: weights[-2:] for name, weights in experiment.COARSE.items()},
)


@pytest.fixture(scope="module")
def report():
    return experiment.run_at(TINY, seed=0)


def test_all_claims_are_measured(report):
    assert len({claim.statement for claim in report.claims}) == len(report.claims) == 6
    assert all(claim.holds is not None and claim.measured for claim in report.claims)
    assert len(report.numbers["runs"]) == 8
    json.dumps(report.as_dict(), allow_nan=False)
    assert len(report.figure.axes) == 3


def test_sparser_codes_reconstruct_worse(report):
    for name in TINY.weights:
        first, last = (r for r in report.numbers["runs"] if r["penalty"] == name)
        assert first["weight"] < last["weight"]
        assert 0 < last["active"] < first["active"] < 0.3
        assert 0 < first["error"] < last["error"] < report.numbers["variance of the patches"]


def test_codes_are_those_of_the_iteration_written_out():
    rng = np.random.default_rng(0)
    dictionary = rng.standard_normal((9, 20))
    dictionary /= np.linalg.norm(dictionary, axis=0)
    signals = rng.standard_normal((9, 5))
    codes = experiment.encode(dictionary, signals, 0.1 * wp.L1(), 3000)
    r, eta = np.zeros((20, 5)), 1 / np.linalg.norm(dictionary, 2) ** 2
    for _ in range(3000):
        u = r + eta * dictionary.T @ (signals - dictionary @ r)
        r = np.sign(u) * np.maximum(np.abs(u) - eta * 0.1, 0)

    def value(r):
        return 0.5 * np.sum((signals - dictionary @ r) ** 2) + 0.1 * np.sum(np.abs(r))

    assert value(codes) == pytest.approx(value(r), rel=2e-3)


def test_thresholds_of_the_penalties():
    # Anchors of the description: half with t = 0.5; CEL0 with lam = 0.27 and step 0.05.
    half = experiment.PENALTIES["half"](0.5)
    assert half.prox(np.array([1.6, 3.0, 0.9]), 1.0) == pytest.approx([1.3878, 2.8520, 0.0], abs=1e-4)
    cel0 = experiment.PENALTIES["CEL0"](0.27)
    points = cel0.prox(np.array([0.3, 0.62, 0.7, 0.9]), 0.05)
    assert points == pytest.approx([0.2771, 0.6140, 0.6982, 0.9], abs=1e-4)
    hard = experiment.PENALTIES["hard"](0.5)
    assert hard.prox(np.array([0.99, 1.01]), 1.0) == pytest.approx([0.0, 1.01])


def test_whitening_flattens_a_spectrum_that_falls_as_the_frequency():
    n = 64
    radius = np.hypot(np.fft.fftfreq(n)[:, None], np.fft.fftfreq(n)[None])
    noise = np.fft.fft2(np.random.default_rng(1).standard_normal((n, n)))
    image = np.fft.ifft2(noise / np.maximum(radius, 1e-3)).real
    white = experiment.whiten(image)
    assert np.var(white) == pytest.approx(0.1)
    power = np.abs(np.fft.fft2(white)) ** 2
    low = power[(radius > 0.03) & (radius < 0.1)].mean()
    middle = power[(radius > 0.1) & (radius < 0.2)].mean()
    high = power[radius > 0.45].mean()
    assert low == pytest.approx(middle, rel=0.3)
    assert high < 0.2 * low


def test_patches_have_no_mean_and_depend_on_the_seed_alone():
    drawn = [experiment.patches(6, 30, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert drawn[0].shape == (36, 30)
    assert np.abs(drawn[0].mean(axis=0)).max() < 1e-12
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert np.var(experiment.patches(10, 3000, np.random.default_rng(2))) == pytest.approx(0.091, rel=0.1)


def test_learning_lowers_the_error():
    size = dataclasses.replace(TINY, batches=40)
    before = dataclasses.replace(size, batches=0)
    learned, random = (experiment.measure(s, 0, ("CEL0", 0.02)) for s in (size, before))
    assert learned["error"] < 0.8 * random["error"]
    assert np.allclose(np.linalg.norm(learned["atoms"], axis=0), 1.0)


def test_a_claim_can_fail():
    path = [(0.01, 0.1), (0.1, 0.001)]
    worse = [(share, 3 * error) for share, error in path]
    paths = {"soft": path, "half": worse, "hard": worse, "CEL0": worse}
    assert not any(claim.holds for claim in experiment.claims_of(paths))
    narrow = {name: [(0.2, 0.1), (0.3, 0.01)] for name in paths}
    assert not any(claim.holds for claim in experiment.claims_of(narrow))
    best = {"CEL0": 0.001, "half": 0.002, "hard": 0.003, "soft": 0.02}
    good = {name: [(0.01, 10 * e), (0.03, 2 * e), (0.5, 0.01 * e)] for name, e in best.items()}
    assert all(claim.holds for claim in experiment.claims_of(good))


def test_interpolation():
    path = [(0.02, 0.1), (0.04, 0.001)]
    assert experiment.error_at(path, 0.03) == pytest.approx(0.01)
    assert experiment.active_at(path, 0.01) == pytest.approx(0.03)
    assert np.isnan(experiment.error_at(path, 0.05))
