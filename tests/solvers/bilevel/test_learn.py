"""`learn` as a whole: methods, pairs, mini-batches, validation, limits, checkpoints, bad input."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers.bilevel import Given, Grid, Maid, Progress
from wellposed.solvers.bilevel.vector import ParameterVector


def pairs(
    seed: int, count: int, weight: float = 0.02, eps: float | None = None
) -> tuple[list[Any], list[Any]]:
    """Small denoising problems with shared parameters."""
    rng = np.random.default_rng(seed)
    w = wp.Parameter("weight", weight, low=1e-4, high=10.0)
    e: Any = 0.1 if eps is None else wp.Parameter("eps", eps, low=1e-3, high=1.0)
    lowers, losses = [], []
    for _ in range(count):
        clean = np.repeat(rng.uniform(size=6), 5)
        noisy = clean + 0.15 * rng.standard_normal(30)
        lowers.append(wp.LeastSquares(None, noisy) + w * wp.SmoothedTotalVariation(e))
        losses.append(wp.LeastSquares(None, clean))
    return lowers, losses


def best_weight(lowers: list[Any], losses: list[Any]) -> tuple[float, float]:
    """The best weight of a fine grid, and its loss."""
    grid = np.exp(np.linspace(math.log(1e-2), math.log(1.0), 200))
    values = [
        np.mean(
            [
                g(wp.minimize(h.with_parameters({"weight": w}), tol=1e-8).x)
                for h, g in zip(lowers, losses, strict=True)
            ]
        )
        for w in grid
    ]
    return float(grid[int(np.argmin(values))]), float(np.min(values))


@pytest.fixture(scope="module")
def best() -> tuple[float, float]:
    return best_weight(*pairs(1, 3))


METHODS: dict[str, dict[str, Any]] = {
    "maid": {"max_iter": 60},
    "hoag": {"max_iter": 60},
    "grid": {"points": 60},
    "random": {"samples": 80, "seed": 3},
    "nelder-mead": {"evaluations": 60},
}


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_best_weight(method: str, best: tuple[float, float]) -> None:
    lowers, losses = pairs(1, 3)
    result = wp.learn(lowers, losses, method=method, **METHODS[method])
    assert result.loss == pytest.approx(best[1], rel=5e-3)
    assert result.values["weight"] == pytest.approx(best[0], rel=0.2)
    assert result.method == method
    assert result.status in ("max_iter", "finished", "stalled")
    assert result.message
    assert result.work == pytest.approx((result.lower_iterations + result.linear_iterations) / 3)


def test_two_parameters_and_what_comes_back(best: tuple[float, float]) -> None:
    lowers, losses = pairs(1, 3, eps=0.1)
    result = wp.learn(lowers, losses, max_iter=60)
    assert set(result.values) == {"weight", "eps"}
    assert result.loss < best[1]
    again = result.objective(lowers[0])
    assert {p.name: p.value for p in again.parameters} == result.values
    new = wp.LeastSquares(None, np.zeros(4)) + wp.Parameter("weight", 1.0) * wp.TotalVariation()
    assert result.objective(new).parameters[0].value == result.values["weight"]
    with pytest.raises(ValueError, match="none of the learned parameters: eps, weight"):
        result.objective(losses[0])
    assert "maid" in repr(result)
    assert len(result.x) == 3
    rows = result.history
    assert rows[0].iteration == 0
    assert [row.work for row in rows] == sorted(row.work for row in rows)
    assert rows[-1].lower_iterations == result.lower_iterations


def test_the_inputs_stay_as_they_were() -> None:
    lowers, losses = pairs(1, 2)
    data = [f.data[0].copy() for f in lowers]
    wp.learn(lowers, losses, max_iter=3)
    assert lowers[0].parameters[0].value == 0.02
    for before, f in zip(data, lowers, strict=True):
        np.testing.assert_array_equal(f.data[0], before)


def test_only_some_parameters_move() -> None:
    lowers, losses = pairs(1, 2, eps=0.1)
    result = wp.learn(lowers, losses, ["eps"], max_iter=5)
    assert list(result.values) == ["eps"]


def test_a_lower_level_that_is_not_smooth(rng: np.random.Generator) -> None:
    """The Lasso: no bounds, but the weight that validates best is found."""
    A, V = rng.standard_normal((40, 20)), rng.standard_normal((40, 20))
    truth = np.r_[np.ones(4), np.zeros(16)]
    b, v = A @ truth + rng.standard_normal(40), V @ truth + rng.standard_normal(40)
    lower = wp.LeastSquares(wp.operators.Matrix(A), b) + wp.Parameter("l1", 1.0) * wp.L1()
    loss = wp.LeastSquares(wp.operators.Matrix(V), v)
    grid = wp.learn(lower, loss, method="grid", values={"l1": np.geomspace(0.3, 30, 150)}, eps=1e-6)
    for method in ("hoag", "maid"):
        result = wp.learn(lower, loss, method=method, max_iter=40, eps=1e-3)
        # The loss has several minima, and a kink wherever an entry becomes active.
        assert result.loss <= grid.loss * 1.01
        assert not any(row.certified for row in result.history)


def test_mini_batches_are_drawn_from_the_seed(best: tuple[float, float]) -> None:
    lowers, losses = pairs(1, 6)
    runs = [wp.learn(lowers, losses, method="hoag", batch=2, seed=seed, max_iter=30) for seed in (5, 5, 6)]
    assert runs[0].values == runs[1].values
    assert runs[0].values != runs[2].values
    whole = wp.learn(lowers, losses, method="hoag", max_iter=30)
    assert runs[0].lower_iterations < whole.lower_iterations
    assert runs[0].values["weight"] == pytest.approx(whole.values["weight"], rel=0.6)


def test_the_best_on_the_validation_pairs_is_handed_back() -> None:
    lowers, losses = pairs(1, 2)
    held = pairs(9, 3)
    result = wp.learn(lowers, losses, validation=(held[0], held[1]), max_iter=25)
    seen = [row.validation for row in result.history]
    assert result.validation == min(seen)
    chosen = np.mean([g(wp.minimize(result.objective(h), tol=1e-9).x) for h, g in zip(*held, strict=True)])
    assert result.validation == pytest.approx(chosen, rel=2e-2)


def test_processes_give_the_same_result() -> None:
    lowers, losses = pairs(1, 2)
    here = wp.learn(lowers, losses, max_iter=1, eps=1e-2)
    there = wp.learn(lowers, losses, max_iter=1, eps=1e-2, workers=2)
    assert here.values == there.values
    assert here.history[-1].lower_iterations == there.history[-1].lower_iterations


def test_limits() -> None:
    lowers, losses = pairs(1, 2)
    result = wp.learn(lowers, losses, max_iter=2)
    assert result.status == "max_iter"
    assert len(result.history) == 3
    result = wp.learn(lowers, losses, max_work=50)
    assert result.status == "max_work"
    assert 50 <= result.work < 500
    result = wp.learn(lowers, losses, max_seconds=0.0)
    assert result.status == "max_seconds"
    result = wp.learn(lowers, losses, tol=10.0)
    assert result.status == "converged"
    assert len(result.history) == 2


def test_a_callback_sees_and_stops() -> None:
    seen: list[Progress] = []

    def look(progress: Progress) -> bool:
        seen.append(progress)
        return len(seen) < 4

    result = wp.learn(*pairs(1, 2), callback=look)
    assert result.status == "stopped"
    assert [p.row.iteration for p in seen] == [0, 1, 2, 3]
    assert seen[-1].values == result.values


def test_an_interruption_hands_back_what_there_is() -> None:
    def stop(progress: Progress) -> None:
        if progress.row.iteration == 2:
            raise KeyboardInterrupt

    result = wp.learn(*pairs(1, 2), callback=stop)
    assert result.status == "interrupted"
    assert len(result.history) == 3


def test_an_interruption_within_a_mini_batch_keeps_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Maid, "step", interrupted)
    result = wp.learn(*pairs(1, 3), batch=1)
    assert result.status == "interrupted"
    assert len(result.x) == 3


def test_progress_is_shown_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    wp.learn(*pairs(1, 2), max_iter=2, progress=True)
    assert "maid: iteration 0, loss" in capsys.readouterr().err
    wp.learn(*pairs(1, 2), max_iter=2)
    assert capsys.readouterr().err == ""


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    held = pairs(9, 1)
    result = wp.learn(*pairs(1, 2), validation=held, max_iter=4)
    figure = result.plot()
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "hypergradient"]
    figure.savefig(tmp_path / "learned.png")
    wp.learn(*pairs(1, 1), method="grid", points=3).plot().savefig(tmp_path / "grid.png")


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_of_the_values(method: str) -> None:
    lowers, losses = pairs(1, 2)
    options = {**METHODS[method], "max_iter": 7}
    result = wp.learn(lowers, losses, method=method, **options)
    again = [g(wp.minimize(result.objective(h), tol=1e-9).x) for h, g in zip(lowers, losses, strict=True)]
    assert result.loss == pytest.approx(np.mean(again), rel=2e-2)


def test_options_go_to_the_method() -> None:
    lowers, losses = pairs(1, 2)
    by_name = wp.learn(lowers, losses, max_iter=3, eps=1e-2, shrink=0.7)
    by_object = wp.learn(lowers, losses, method=Maid(eps=1e-2, shrink=0.7), max_iter=3)
    assert by_name.values == by_object.values


def test_seed_and_tolerance_reach_the_methods_that_have_them() -> None:
    lowers, losses = pairs(1, 1)
    runs = [wp.learn(lowers, losses, method="random", samples=3, seed=seed) for seed in (0, 5, 5)]
    seen = [[row.loss for row in run.history] for run in runs]
    assert seen[0] != seen[1] == seen[2]
    coarse, fine = (wp.learn(lowers, losses, method="nelder-mead", tol=tol) for tol in (0.3, 0.0))
    assert len(coarse.history) < len(fine.history)


def test_lower_levels_start_where_they_are_told() -> None:
    lowers, losses = pairs(1, 2)
    exact = [wp.minimize(h, tol=1e-12).x for h in lowers]
    near = wp.learn(lowers, losses, x0=exact, eps=1e-2, max_iter=0)
    assert near.lower_iterations <= 2 < wp.learn(lowers, losses, eps=1e-2, max_iter=0).lower_iterations


# --- checkpoints --------------------------------------------------------------------------------

SCRIPT = """
import sys, time
import numpy as np
import wellposed as wp
from tests.solvers.bilevel.test_learn import pairs
from wellposed.solvers import checkpoint

checkpoint.SECONDS_BETWEEN_SAVES = 0.0
lowers, losses = pairs(1, 3, eps=0.1)
result = wp.learn(lowers, losses, method={method!r}, max_iter={max_iter}, batch={batch}, checkpoint={file!r},
                  validation=pairs(9, 1, eps=0.1), callback=lambda p: time.sleep({pause}), **{options})
rows = [[r.iteration, r.work, r.loss, r.validation, r.step] for r in result.history]
np.savez(sys.argv[1], values=np.array(list(result.values.values())), rows=np.array(rows),
         x=np.array(result.x), work=result.work)
"""


@pytest.mark.parametrize(
    ("method", "batch", "options"),
    [
        ("maid", None, {}),
        ("nelder-mead", None, {}),
        pytest.param("maid", 2, {}, marks=pytest.mark.slow),
        pytest.param("hoag", 2, {}, marks=pytest.mark.slow),
        pytest.param("random", None, {}, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_to_the_same_result(
    method: str, batch: int | None, options: dict[str, Any], tmp_path: Path
) -> None:
    file, root = tmp_path / "state.npz", str(Path(__file__).parents[3])

    def script(pause: float, at: Path | None) -> str:
        return SCRIPT.format(
            method=method, batch=batch, options=options, pause=pause, max_iter=25,
            file=None if at is None else str(at),
        )  # fmt: skip

    def finish(code: str, name: str) -> dict[str, np.ndarray]:
        output = tmp_path / name
        subprocess.run([sys.executable, "-c", code, str(output)], check=True, timeout=120, cwd=root)
        with np.load(output) as found:
            return dict(found)

    killed = subprocess.Popen([sys.executable, "-c", script(0.05, file), str(tmp_path / "x.npz")], cwd=root)
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert file.exists()
    assert not (tmp_path / "x.npz").exists()
    resumed, whole = finish(script(0.0, file), "resumed.npz"), finish(script(0.0, None), "whole.npz")
    assert set(resumed) == set(whole)
    for name, expected in whole.items():
        np.testing.assert_array_equal(resumed[name], expected)


def test_a_finished_run_goes_on_with_a_larger_limit(tmp_path: Path) -> None:
    lowers, losses = pairs(1, 2)
    file = tmp_path / "state.npz"
    wp.learn(lowers, losses, max_iter=3, checkpoint=file)
    longer = wp.learn(lowers, losses, max_iter=8, checkpoint=file)
    whole = wp.learn(lowers, losses, max_iter=8)
    assert longer.values == whole.values
    assert longer.work == whole.work
    assert len(longer.history) == 9


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    lowers, losses = pairs(1, 2)
    file = tmp_path / "state.npz"
    wp.learn(lowers, losses, max_iter=2, checkpoint=file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="belongs to another"):
        wp.learn(*pairs(2, 2), max_iter=2, checkpoint=file)
    with pytest.raises(ValueError, match="belongs to another"):
        wp.learn(lowers, losses, max_iter=2, checkpoint=file, eps=1e-3)
    assert file.read_bytes() == before
    for other in (
        {"strong_convexity": 0.5},
        {"strong_convexity": lambda values: 0.25},
        {"constants": Given(loss_lipschitz=7.0)},
        {"x0": [np.full(lower.shape, 0.1) for lower in lowers]},
    ):
        with pytest.raises(ValueError, match="belongs to another"):
            wp.learn(lowers, losses, max_iter=2, checkpoint=file, **other)
    assert file.read_bytes() == before
    with pytest.raises(ValueError, match="existing folder"):
        wp.learn(lowers, losses, checkpoint=tmp_path / "none" / "state.npz")


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"method": "adam"}, ValueError, "method must be one of maid, hoag"),
        ({"speed": 3}, TypeError, "has no option speed; it has alpha"),
        ({"method": Maid(), "eps": 0.1}, TypeError, "go into the method object"),
        ({"max_iter": -1}, ValueError, "max_iter must be an integer of at least 0"),
        ({"max_work": -1.0}, ValueError, "max_work must be at least 0"),
        ({"tol": math.nan}, ValueError, "tol must be at least 0"),
        ({"batch": 0}, ValueError, "batch must be an integer of at least 1"),
        ({"batch": 7}, ValueError, "batch is 7, but there are 2 training pairs"),
        ({"workers": 0}, ValueError, "workers must be an integer"),
        ({"validation": 3}, TypeError, "validation must be a pair"),
        ({"parameters": "none"}, ValueError, "no functional has a parameter named 'none'"),
        ({"method": "grid", "values": {"size": [1.0]}}, ValueError, "no parameter that is learned: .'size'"),
        ({"method": "grid", "values": {"weight": []}}, ValueError, "values of the grid for weight are empty"),
        ({"method": "grid", "values": {"weight": [0.1, 20.0]}}, ValueError, r"weight must be in .*got 20"),
        ({"method": "grid", "values": {"weight": [math.nan]}}, ValueError, "weight must be finite"),
        ({"x0": np.zeros(3)}, ValueError, "x0 has shape"),
        ({"x0": np.full(30, math.nan)}, ValueError, "x0 has 30 non-finite entries"),
        ({"method": "grid", "points": 0}, ValueError, "points must be an integer"),
        ({"method": "random", "samples": 0}, ValueError, "samples must be an integer"),
        ({"method": "nelder-mead", "evaluations": 0}, ValueError, "evaluations must be"),
        ({"method": "grid", "eps": -1.0}, ValueError, "eps must be a positive number"),
    ],
)
def test_bad_input(change: dict[str, Any], error: type[Exception], match: str) -> None:
    lowers, losses = pairs(1, 2)
    with pytest.raises(error, match=match):
        wp.learn(lowers, losses, **change)


def test_pairs_must_match() -> None:
    lowers, losses = pairs(1, 2)
    with pytest.raises(ValueError, match="2 lower levels, but 1 losses"):
        wp.learn(lowers, losses[:1])
    with pytest.raises(ValueError, match="differ"):
        wp.learn([lowers[0], pairs(1, 1, weight=0.5)[0][0]], losses)
    with pytest.raises(ValueError, match="pair 1: the loss takes arrays of shape"):
        wp.learn(lowers, [losses[0], wp.LeastSquares(None, np.zeros(7))])


def test_a_huge_grid_is_refused() -> None:
    lower = wp.LeastSquares(None, np.ones(30)) + wp.SquaredL2(wp.Parameter("w", np.ones(30)))
    with pytest.raises(ValueError, match="a grid is for few parameters"):
        wp.learn(lower, wp.LeastSquares(None, np.ones(30)), method=Grid())


def test_not_strongly_convex_is_refused() -> None:
    A = wp.operators.Matrix(np.ones((2, 300)))
    lower = wp.LeastSquares(A, np.ones(2)) + wp.Parameter("w", 1.0) * wp.SmoothedTotalVariation(0.1)
    with pytest.raises(ValueError, match=r"pair 0: the lower level .* is not known to be strongly convex"):
        wp.learn(lower, wp.LeastSquares(None, np.ones(300)))


def test_a_loss_that_is_infinite_at_the_start_is_refused() -> None:
    lower = wp.LeastSquares(None, -np.ones(3)) + wp.Parameter("w", 1.0) * wp.SquaredL2()
    with pytest.raises(ValueError, match="infinite at the first values"):
        wp.learn(lower, wp.KullbackLeibler(None, np.ones(3)))


def test_vectors_of_parameters() -> None:
    a = wp.Parameter("a", 2.0, low=1.0)
    b = wp.Parameter("b", [[1.0, -3.0]], low=-5.0, transform="identity")
    vector = ParameterVector([a, b])
    np.testing.assert_allclose(vector.start, [math.log(2.0), 1.0, -3.0])
    np.testing.assert_allclose(vector.low, [0.0, -5.0, -5.0])
    values = vector.values(np.array([0.0, 4.0, 5.0]))
    assert values["a"] == 1.0
    np.testing.assert_array_equal(values["b"], [[4.0, 5.0]])
    np.testing.assert_allclose(vector.slopes(np.array([1.0, 0.0, 0.0])), [math.e, 1.0, 1.0])
    np.testing.assert_array_equal(vector.project(np.array([-1.0, -9.0, 2.0])), [0.0, -5.0, 2.0])


def test_a_run_with_given_constants_goes_on(tmp_path: Path) -> None:
    lowers, losses = pairs(1, 2)
    given = {
        "strong_convexity": lambda values: 0.01,
        "constants": Given(loss_lipschitz=7.0),
        "x0": [np.full(lower.shape, 0.1) for lower in lowers],
    }
    file = tmp_path / "state.npz"
    wp.learn(lowers, losses, max_iter=2, checkpoint=file, **given)
    longer = wp.learn(lowers, losses, max_iter=5, checkpoint=file, **given)
    assert longer.values == wp.learn(lowers, losses, max_iter=5, **given).values


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("maid", "max_refine"),
        ("quasi-newton", "kept"),
        ("self-tuning", "inner"),
        ("grid", "points"),
        ("random", "samples"),
        ("nelder-mead", "evaluations"),
    ],
)
def test_a_boolean_is_no_integer(method: str, option: str) -> None:
    lowers, losses = pairs(1, 1)
    with pytest.raises(ValueError, match=f"{option} must be an integer"):
        wp.learn(lowers, losses, method=method, **{option: True})
