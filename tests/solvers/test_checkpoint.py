"""A killed run that is taken up again ends as if it had not been; other files are refused and left alone."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import wellposed as wp
from wellposed.solvers import checkpoint

PREAMBLE = """
import sys, time, warnings
import numpy as np
import wellposed as wp
from wellposed.solvers import checkpoint

warnings.simplefilter("ignore", wp.ConvergenceWarning)
checkpoint.SECONDS_BETWEEN_SAVES = 0.0
rng = np.random.default_rng(11)
"""

DENOISING = "wp.LeastSquares(None, rng.normal(size=(9, 8))) + 0.4 * wp.TotalVariation()"
INPAINTING = (
    "wp.LeastSquares(wp.operators.Mask(rng.uniform(size=(9, 8)) < 2), rng.normal(size=(9, 8)))"
    " + 0.4 * wp.TotalVariation()"
)
LASSO = "wp.LeastSquares(wp.operators.Matrix(rng.normal(size=(20, 40))), rng.normal(size=20)) + 0.1 * wp.L1()"
SQUARE = "wp.operators.Matrix(rng.normal(size=(200, 200))), rng.normal(size=200)"

PROBLEMS = {
    "primal-dual": DENOISING,
    "admm": f"{DENOISING} + wp.NonNegative()",
    "linearised-admm": "wp.L1Loss(None, rng.normal(size=(9, 8))) + 0.4 * wp.TotalVariation()",
    "metric-fista": INPAINTING,
    "fista": LASSO,
    "ista": LASSO,
    "cg": f"wp.LeastSquares({SQUARE}) + 1e-5 * wp.SquaredL2()",
    "lbfgs": f"wp.HuberLoss({SQUARE}, 0.1) + 1e-7 * wp.SquaredL2()",
}


def script(name: str, file: Path | None, pause: float = 0.0, max_iter: int = 230) -> str:
    given = None if file is None else str(file)
    return f"""{PREAMBLE}
objective = {PROBLEMS[name]}
result = wp.minimize(objective, tol=1e-16, max_iter={max_iter}, solver={name!r}, checkpoint={given!r},
                     callback=lambda info: time.sleep({pause}))
np.savez(sys.argv[1], x=result.x, objective=result.objective, gap=result.certificate.value,
         iterations=result.iterations)
"""


def finish(code: str, output: Path) -> dict[str, np.ndarray]:
    subprocess.run([sys.executable, "-c", code, str(output)], check=True, timeout=60)
    with np.load(output) as file:
        return dict(file)


@pytest.mark.parametrize("name", ["primal-dual", "lbfgs"])
def test_a_killed_run_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    file = tmp_path / "run.npz"
    running = subprocess.Popen(
        [sys.executable, "-c", script(name, file, pause=0.05), str(tmp_path / "none.npz")]
    )
    limit = time.monotonic() + 30
    while not file.exists() and time.monotonic() < limit:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert file.exists()
    assert not (tmp_path / "none.npz").exists()
    resumed = finish(script(name, file), tmp_path / "resumed.npz")
    whole = finish(script(name, tmp_path / "other.npz"), tmp_path / "whole.npz")
    for key in whole:
        np.testing.assert_array_equal(resumed[key], whole[key], err_msg=key)


class KilledError(Exception):
    """Stands for the end of the process."""


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_solver_resumes_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SECONDS_BETWEEN_SAVES", 0.0)
    space: dict[str, object] = {"rng": np.random.default_rng(11), "wp": wp}
    objective = eval(PROBLEMS[name], space)
    saved: list[int] = []
    file = tmp_path / "run.npz"

    def killer(info: object) -> None:
        if file.exists():
            saved.append(info.iteration)  # type: ignore[attr-defined]
            if len(saved) > 2:
                raise KilledError

    def solve(**options: object) -> wp.Result:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", wp.ConvergenceWarning)
            return wp.minimize(objective, tol=1e-16, max_iter=230, solver=name, **options)  # type: ignore[arg-type]

    whole = solve()
    with pytest.raises(KilledError):
        solve(checkpoint=file, callback=killer)
    resumed = solve(checkpoint=file)
    assert resumed.history[0].iteration > 0
    assert resumed.iterations == whole.iterations
    np.testing.assert_array_equal(resumed.x, whole.x)
    assert resumed.certificate.value == whole.certificate.value
    assert resumed.seconds > 0


def objective(scale: float = 1.0, weight: float = 0.4, tv_weights: np.ndarray | None = None) -> wp.Functional:
    b = scale * np.random.default_rng(2).normal(size=(6, 5))
    mask = wp.operators.Mask(np.ones((6, 5), bool))
    return wp.LeastSquares(mask, b) + weight * wp.TotalVariation(weights=tv_weights) + wp.NonNegative()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "run.npz"
    with pytest.warns(wp.ConvergenceWarning):
        wp.minimize(objective(), tol=1e-15, max_iter=20, checkpoint=file, solver="primal-dual")
    return file


def test_a_run_that_met_its_limit_goes_on_with_a_higher_one(saved: Path) -> None:
    result = wp.minimize(objective(), tol=1e-4, checkpoint=saved, solver="primal-dual")
    assert result.status == "converged"
    assert result.history[0].iteration > 20


@pytest.mark.parametrize(
    "other",
    [
        objective(scale=2.0),
        objective(weight=0.5),
        objective(tv_weights=np.full((6, 5), 0.9)),
        objective() + 0.1 * wp.L1(),
        wp.Parameter("weight", 0.3) * wp.L1() + objective(),
    ],
    ids=["data", "weight", "weights of a term", "one term more", "parameter"],
)
def test_a_checkpoint_of_another_problem_is_refused_and_kept(saved: Path, other: wp.Functional) -> None:
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="another objective or solver"):
        wp.minimize(other, checkpoint=saved, solver="primal-dual")
    assert saved.read_bytes() == before


def test_operators_parameters_and_solvers_tell_checkpoints_apart(tmp_path: Path) -> None:
    A, b = np.random.default_rng(0).normal(size=(6, 5)), np.ones(6)

    def least(matrix: np.ndarray, value: float = 0.1) -> wp.Functional:
        return wp.LeastSquares(wp.operators.Matrix(matrix), b) + wp.Parameter("w", value) * wp.L1()

    file = tmp_path / "run.npz"
    with pytest.warns(wp.ConvergenceWarning):
        wp.minimize(least(A), tol=1e-15, max_iter=3, checkpoint=file, solver="fista")
    for changed, solver in ((least(2 * A), "fista"), (least(A, 0.2), "fista"), (least(A), "ista")):
        with pytest.raises(ValueError, match="another objective or solver"):
            wp.minimize(changed, checkpoint=file, solver=solver)
    wp.minimize(least(A.copy()), checkpoint=file, solver="fista")


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "flipped", "array"])
def test_a_damaged_checkpoint_is_refused_and_kept(saved: Path, damage: str) -> None:
    whole = saved.read_bytes()
    middle = len(whole) // 2
    content = {
        "truncated": whole[:middle],
        "empty": b"",
        "text": b"not a checkpoint\n" * 50,
        "flipped": whole.replace(b"0/x", b"0/q"),
        "array": None,
    }[damage]
    if content is None:
        with open(saved, "wb") as file:
            np.save(file, np.ones(3))
        content = saved.read_bytes()
    saved.write_bytes(content)
    with pytest.raises(ValueError, match="delete it to start again"):
        wp.minimize(objective(), checkpoint=saved, solver="primal-dual")
    assert saved.read_bytes() == content


def test_a_folder_that_is_missing_is_named_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="existing folder"):
        wp.minimize(objective(), checkpoint=tmp_path / "missing" / "run.npz")
    with pytest.raises(ValueError, match="must be a file"):
        wp.minimize(objective(), checkpoint=tmp_path)


def test_no_half_written_file_is_left(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    from dataclasses import dataclass
    from typing import Any

    @dataclass
    class State:
        x: Any
        pair: Any
        flag: Any
        count: Any
        number: Any
        name: Any
        nothing: Any
        items: Any

    x = np.arange(3, dtype=np.float32)
    state = State(x, (x, (2 * x, 1.5)), True, 3, np.float64(-np.inf), "gap", None, [])
    checkpoint.save_state(tmp_path / "s", "mark", state)
    back = State(np.zeros(3, np.float32), None, None, None, None, None, 5, None)
    checkpoint.load_state(tmp_path / "s", "mark", back)
    assert back.x.dtype == np.float32
    np.testing.assert_array_equal(back.pair[1][0], 2 * x)
    assert back.pair[1][1] == 1.5
    assert (back.flag, back.count, back.number, back.name) == (True, 3, -np.inf, "gap")
    assert back.flag is True
    assert back.nothing is None
    assert back.items == []
