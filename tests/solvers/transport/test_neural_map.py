"""Maps that are gradients of convex networks: convexity, gradients, trade-off, rules for the weight."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.result import ConvergenceWarning
from wellposed.solvers.transport.displacement_network import ConvexNetwork, initial_weights
from wellposed.solvers.transport.displacement_run import sliced_distance
from wellposed.solvers.transport.displacement_training import SinkhornTraining
from wellposed.solvers.transport.displacement_weight import AnnealedWeight, DimensionTarget, Measurement

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")


@pytest.fixture(scope="module")
def problem():
    return wp.problems.sparse_shift(120, dimensions=5, large=1, size=2.0, small=0.2, seed=1)


def random_network(rng, hidden=(7, 6, 5)):
    weights = initial_weights(4, hidden, rng, "identity")
    if hidden:
        weights["last"] = rng.random(hidden[-1])
    weights["shift"] = rng.standard_normal(4)
    return ConvexNetwork(weights, rng.standard_normal(4), 1.7)


def check_monotone(move, points):
    z, images = points[:, None] - points, move(points)[:, None] - move(points)
    assert np.einsum("ijk,ijk->ij", z, images).min() >= -1e-12


@pytest.mark.parametrize("hidden", [(), (6,), (7, 6, 5)])
def test_gradient_is_that_of_automatic_differentiation(hidden, rng):
    network = random_network(rng, hidden)
    y = rng.standard_normal((30, 4))
    tensors = {k: torch.tensor(v) for k, v in network.weights.items()}
    inside = torch.tensor(y).requires_grad_()
    twin = ConvexNetwork(tensors, torch.tensor(network.centre), 1.7)
    (theirs,) = torch.autograd.grad(twin.potential(inside).sum(), inside)
    assert np.allclose(network.gradient(y), theirs.numpy(), rtol=1e-12)
    assert np.allclose(twin.gradient(inside).detach().numpy(), theirs.numpy(), rtol=1e-12)
    h = 1e-6
    slope = (network.potential(y + h * y) - network.potential(y - h * y)) / (2 * h)
    assert np.allclose(slope, (network.gradient(y) * y).sum(1), atol=1e-7)


def test_potential_is_convex(rng):
    network = random_network(rng)
    y, x = 3 * rng.standard_normal((2, 500, 4))
    middle = network.potential(0.3 * y + 0.7 * x)
    assert np.all(middle <= 0.3 * network.potential(y) + 0.7 * network.potential(x) + 1e-12)
    check_monotone(network.map, 3 * rng.standard_normal((100, 4)))


@pytest.mark.parametrize("method", ["sinkhorn", "minimax"])
@pytest.mark.parametrize("start", ["identity", "uniform"])
def test_trained_maps_are_gradients_of_convex_functions(problem, method, start, rng):
    move = wp.transport.neural_map(
        problem.source, problem.target, wp.STVS(0.5), 0.5, method=method, start=start, hidden=(8, 8),
        iterations=40, learning_rate=0.05, batch=60,
    )  # fmt: skip
    check_monotone(move, 4 * rng.standard_normal((100, 5)))
    assert move.status == "finished"
    assert len(move.history) == 40
    if method == "sinkhorn":
        untouched = wp.transport.sinkhorn_divergence(problem.source, problem.target, eps=1.0).value
        trained = wp.transport.sinkhorn_divergence(move(problem.source), problem.target, eps=1.0).value
        assert trained < 0.7 * untouched


@pytest.mark.parametrize(
    "penalty", [wp.L1(), wp.SmoothedL0(0.5), wp.STVS(0.4), wp.SparseEnvelope(1)], ids=str
)
def test_shifts_are_proximal_points_of_the_difference_of_means(problem, penalty):
    """The minimiser over shifts is known in closed form; the dilation, which is free too, is kept near 1."""
    y, x = problem.source, problem.source + np.array([2.0, 0.3, -0.2, 0.05, 0.0])
    move = wp.transport.neural_map(y, x, penalty, 0.25, hidden=(), iterations=250, learning_rate=0.04)
    expected = (0.25 * penalty).prox(x.mean(0) - y.mean(0), 1.0)
    assert np.allclose(move.displacement(y).mean(0), expected, atol=0.03)


def test_the_game_ignores_the_penalty_where_the_trade_off_does_not(problem):
    y, x = problem.source, problem.target
    gap = float((x.mean(0) - y.mean(0))[0])
    game = wp.transport.neural_map(
        y,
        x,
        wp.L1(),
        0.5,
        method="minimax",
        hidden=(),
        iterations=200,
        inner_steps=3,
        learning_rate=0.03,
        batch=120,
    )
    traded = wp.transport.neural_map(y, x, wp.L1(), 0.5, hidden=(), iterations=300, learning_rate=0.03)
    assert game.displacement(y).mean(0)[0] == pytest.approx(gap, abs=0.12)
    assert traded.displacement(y).mean(0)[0] == pytest.approx(gap - 0.5, abs=0.06)


def test_seeds_precision_kinds_and_files(problem, tmp_path):
    y, x = problem.source.astype(np.float32), problem.target.astype(np.float32)
    y.setflags(write=False)
    options = {"hidden": (6, 6), "iterations": 12, "batch": 50}
    move = wp.transport.neural_map(y, x, wp.L1(), 0.1, seed=4, **options)
    again = wp.transport.neural_map(y, x, wp.L1(), 0.1, seed=4, **options)
    other = wp.transport.neural_map(y, x, wp.L1(), 0.1, seed=5, **options)
    assert np.array_equal(move(y), again(y))
    assert not np.array_equal(move(y), other(y))
    assert move(y).dtype == move.displacement(y).dtype == np.float32
    assert move.network.weights["A0"].dtype == np.float32
    assert isinstance(move(torch.tensor(x)), torch.Tensor)
    move.save(tmp_path / "map.safetensors")
    read = wp.transport.NeuralMap.load(tmp_path / "map.safetensors")
    assert np.array_equal(read(x), move(x))
    assert read.network.weights["curvature"].shape == ()
    assert (read.lam, read.status) == (0.1, "finished")
    from safetensors.numpy import save_file

    save_file({"a": y}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="holds no map"):
        wp.transport.NeuralMap.load(tmp_path / "other.safetensors")


def test_callbacks_progress_and_interruption(problem, capsys):
    seen = []

    def stop(record):
        seen.append(record)
        return len(seen) < 3

    move = wp.transport.neural_map(
        problem.source, problem.target, hidden=(), iterations=96, callback=stop, progress=True
    )
    assert move.status == "stopped"
    assert [r.iteration for r in seen] == [2, 4, 6]
    assert move.history == tuple(seen)


def test_an_interrupted_training_hands_back_what_it_has(problem, monkeypatch):
    step, steps = SinkhornTraining.step, []

    def interrupted(self, *args):
        steps.append(args)
        if len(steps) > 7:
            raise KeyboardInterrupt
        step(self, *args)

    monkeypatch.setattr(SinkhornTraining, "step", interrupted)
    move = wp.transport.neural_map(problem.source, problem.target, hidden=(), iterations=96)
    assert move.status == "interrupted"
    assert [r.iteration for r in move.history] == [2, 4, 6]
    assert np.all(np.isfinite(move(problem.source)))


def run(rule, answers, seed=0):
    """The stages of a rule for given measurements, and whether the last is kept."""
    stages, given = [], iter(answers)
    generator = rule.stages(np.random.default_rng(seed))
    stage = next(generator)
    while True:
        stages.append(stage)
        try:
            stage = generator.send(next(given)(stage))
        except StopIteration as end:
            return stages, end.value


def test_the_dimension_rule_grows_and_then_takes_back():
    """Counts fall with the weight: 10 / lam. A target of 5 needs lam >= 2."""

    def measure(stage):
        return Measurement(0.0, 10 / stage.lam, 0.0)

    rule = DimensionTarget(5.0, start=0.5, growth=2.0, warm_up=7, stage=5, trial=3)
    stages, kept = run(rule, iter(lambda: measure, None))
    assert [(s.lam, s.iterations) for s in stages[:3]] == [(0.5, 7), (1.0, 5), (2.0, 5)]
    trials = stages[3:]
    assert len(trials) == 37
    assert all(s.iterations == 3 for s in trials)
    # No weight below 2 is accepted, so all trials start from the network for 2.
    assert all(s.undo for s in trials[1:])
    assert not kept
    missed, kept = run(
        DimensionTarget(5.0, limit=4), iter(lambda: lambda s: Measurement(0.0, 9.0, 0.0), None)
    )
    assert len(missed) == 5
    assert kept
    assert "9 entries" in rule.missed(Measurement(0.0, 9.0, 0.0))


def test_annealing_prefers_better_scores():
    """Penalty 1 / lam and distance lam: the score is best at lam = 2 for alpha = 0.8."""

    def measure(stage):
        return Measurement(1 / stage.lam, 0.0, stage.lam)

    rule = AnnealedWeight(1.0, alpha=0.8, warm_up=3, stage=2, cooling=0.99, coldest=1e-3)
    stages, kept = run(rule, iter(lambda: measure, None))
    accepted = [a.lam for a, b in itertools.pairwise(stages) if not b.undo]
    assert accepted[-1] == pytest.approx(2.0, rel=0.1)
    assert isinstance(kept, bool)
    assert rule.missed(measure(stages[0])) == ""


def test_rules_find_a_weight_in_a_training(problem):
    y, x = problem.source, problem.target
    rule = DimensionTarget(1.0, start=0.1, growth=2.0, warm_up=100, stage=40, trial=10, cooling=0.5)
    move = wp.transport.neural_map(
        y, x, wp.SmoothedL0(0.5), rule, hidden=(6,), threshold=0.3, learning_rate=0.03
    )
    assert np.mean(np.sum(np.abs(move.displacement(y)) > 0.3, axis=1)) <= 1.0
    assert move.lam > 0
    check_monotone(move, y)
    impossible = DimensionTarget(0.0, start=1e-9, warm_up=1, stage=1, limit=2)
    with pytest.warns(ConvergenceWarning, match="entries above the threshold"):
        failed = wp.transport.neural_map(y, x, wp.L1(), impossible, hidden=(), threshold=0.01)
    assert failed.status == "target missed"
    annealed = AnnealedWeight(0.1, warm_up=40, stage=5, cooling=0.6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = wp.transport.neural_map(y, x, wp.L1(), annealed, hidden=(), learning_rate=0.05)
    assert found.lam in [r.lam for r in found.history]


def test_sliced_distance_against_pot(rng):
    import ot

    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 3)) + 1
    directions = rng.standard_normal((30, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    expected = ot.sliced_wasserstein_distance(x, y, projections=directions.T)
    assert sliced_distance(x, y, directions) == pytest.approx(expected)
    assert sliced_distance(x, np.repeat(x, 3, axis=0), directions) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "game"}, ValueError, "'sinkhorn' or 'minimax'"),
        ({"penalty": 1.0}, TypeError, "must be a functional"),
        ({"penalty": wp.GroupL2([[0, 1]])}, TypeError, "not differentiable"),
        ({"lam": -1.0}, ValueError, "lam must be"),
        ({"lam": DimensionTarget(1.0), "iterations": 5}, ValueError, "leave iterations out"),
        ({"iterations": 0}, ValueError, "iterations must be"),
        ({"batch": 0}, ValueError, "batch must be"),
        ({"hidden": (4, 0)}, ValueError, "widths"),
        ({"start": "random"}, ValueError, "identity, uniform"),
        ({"threshold": 0.0}, ValueError, "threshold"),
        ({"eps": -1.0}, ValueError, "eps"),
        ({"learning_rate": 0.0}, ValueError, "learning_rate"),
        ({"target": np.ones((4, 2))}, ValueError, "target must have shape"),
    ],
)
def test_bad_input(problem, arguments, error, message):
    given = {"source": problem.source, "target": problem.target, **arguments}
    with pytest.raises(error, match=message):
        wp.transport.neural_map(**given)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DimensionTarget(-1.0), "dimensions"),
        (lambda: DimensionTarget(1.0, growth=1.0), "growth"),
        (lambda: DimensionTarget(1.0, trial=0), "at least one step"),
        (lambda: AnnealedWeight(0.0), "start"),
        (lambda: AnnealedWeight(1.0, alpha=2.0), "alpha"),
        (lambda: AnnealedWeight(1.0, cooling=1.0), "cooling"),
    ],
)
def test_bad_rules(make, message):
    with pytest.raises(ValueError, match=message):
        make()
