"""Mapping over tasks: order, errors, progress; here, in processes and on a cluster."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wellposed.parallel import Done, TaskError, map_tasks

FUNCTIONS = """
import os, time

def slow_square(task):
    time.sleep(0.2 if task == 0 else 0.0)  # the first task takes longest, so that it finishes last
    return task * task

def picky(task):
    if task == 2:
        raise ValueError("two is not wanted")
    return task

def process_and_threads(_):
    return os.getpid(), os.environ.get("NUMBA_NUM_THREADS")
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module that other processes can import; they take over the search path of this one."""
    (tmp_path / "functions_of_tasks.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("functions_of_tasks")
    del sys.modules["functions_of_tasks"]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_tasks(functions: Any, workers: int) -> None:
    seen: list[Done[int]] = []
    assert map_tasks(functions.slow_square, range(5), workers=workers, progress=seen.append) == [
        0,
        1,
        4,
        9,
        16,
    ]
    assert sorted((d.index, d.result) for d in seen) == [(k, k * k) for k in range(5)]
    assert [(d.finished, d.total) for d in seen] == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_task_is_named(functions: Any, workers: int) -> None:
    with pytest.raises(TaskError, match=r"task 2 of 4 \(2\) failed: ValueError: two is not wanted") as caught:
        map_tasks(functions.picky, range(4), workers=workers)
    assert isinstance(caught.value.__cause__, ValueError)


def test_one_worker_runs_here_and_takes_any_function() -> None:
    assert map_tasks(lambda task: (task, os.getpid()), ["a"], workers=1) == [("a", os.getpid())]


def test_processes_are_others_and_share_the_cores(functions: Any) -> None:
    found = map_tasks(functions.process_and_threads, range(4), workers=2)
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}


def test_no_tasks(functions: Any) -> None:
    assert map_tasks(functions.slow_square, []) == []


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_bad_workers(functions: Any, workers: Any) -> None:
    with pytest.raises(ValueError, match="workers must be a positive integer"):
        map_tasks(functions.slow_square, [1], workers=workers)


def test_a_long_task_is_named_in_short() -> None:
    with pytest.raises(TaskError) as caught:
        map_tasks(len, [["x"] * 2, 7, "y" * 1000], workers=1)  # type: ignore[arg-type]
    assert "task 1 of 3 (7)" in str(caught.value)
    with pytest.raises(TaskError) as caught:
        map_tasks(int, ["y" * 1000], workers=1)
    assert "..." in str(caught.value).split(" failed:")[0]
    assert len(str(caught.value).split(" failed:")[0]) < 120


def test_dask(functions: Any) -> None:
    distributed = pytest.importorskip("dask.distributed", reason="needs the extra 'distributed'")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        seen: list[Done[int]] = []
        assert map_tasks(functions.slow_square, [0, 1, 2, 2], client=client, progress=seen.append) == [
            0,
            1,
            4,
            4,
        ]
        assert len(seen) == 4
        with pytest.raises(TaskError, match=r"task 2 of 4 \(2\) failed: ValueError"):
            map_tasks(functions.picky, range(4), client=client)
