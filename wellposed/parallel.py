"""Map a function over independent tasks: slices of a volume, training pairs, cells of a sweep."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

__all__ = ["Done", "TaskError", "map_tasks"]

T = TypeVar("T")
R = TypeVar("R")

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Done(Generic[R]):
    """A task that is finished.

    Parameters
    ----------
    index : int
        Its place among the tasks.
    result : object
        What the function returned.
    finished, total : int
        How many tasks are finished, this one included, and how many there are.
    """

    index: int
    result: R
    finished: int
    total: int


class TaskError(RuntimeError):
    """A task failed; the message names it, and ``__cause__`` is what the function raised."""


def map_tasks(
    function: Callable[[T], R],
    tasks: Iterable[T],
    workers: int | None = None,
    client: Any = None,
    progress: Callable[[Done[R]], Any] | None = None,
) -> list[R]:
    """Apply a function to each task, in other processes or on a Dask cluster.

    Parameters
    ----------
    function : callable
        Takes one task. For other processes it must be found by its name in a module (no lambda).
    tasks : iterable
        With more than one worker tasks and results travel by pickle: pass what identifies the data, not
        the data.
    workers : int, optional
        Number of processes (default: the cores, but no more than tasks). With 1 the tasks run here,
        one after the other. The processes are started afresh (not forked), and share the cores among
        their threads.
    client : dask.distributed.Client, optional
        Runs the tasks on its cluster instead; ``workers`` is then not used.
    progress : callable, optional
        Called here with a `Done` as each task finishes, in the order in which they do.

    Returns
    -------
    list
        The results in the order of the tasks.

    Raises
    ------
    TaskError
        As soon as a task fails; tasks that have not begun are given up. Ctrl-C comes through as it is.
    ValueError
        If ``workers`` is no positive integer.

    Examples
    --------
    >>> map_tasks(abs, [-1, 2, -3], workers=1)
    [1, 2, 3]
    """
    todo = list(tasks)
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a positive integer, got {workers!r}")
    if client is not None:
        pairs = _on_cluster(function, todo, client)
    else:
        count = min(len(todo), _cores() if workers is None else workers)
        pairs = _here(function, todo) if count <= 1 else _in_processes(function, todo, count)
    results: dict[int, R] = {}
    for index, result in pairs:
        results[index] = result
        if progress is not None:
            progress(Done(index, result, len(results), len(todo)))
    return [results[index] for index in range(len(todo))]


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _failed(index: int, tasks: Sequence[Any], error: BaseException) -> TaskError:
    name = repr(tasks[index])
    shown = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."
    return TaskError(f"task {index} of {len(tasks)} ({shown}) failed: {type(error).__name__}: {error}")


def _here(function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[int, R]]:
    for index, task in enumerate(tasks):
        try:
            result = function(task)
        except Exception as error:
            raise _failed(index, tasks, error) from error
        yield index, result


def _share_cores(threads: int) -> None:
    """Limit the threads of a fresh process; the libraries read this when they are imported."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def _in_processes(function: Callable[[T], R], tasks: Sequence[T], count: int) -> Iterator[tuple[int, R]]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    threads = max(1, _cores() // count)
    # Forked processes would inherit running threads, which several threading layers do not survive.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_share_cores, initargs=(threads,))
    places = {pool.submit(function, task): index for index, task in enumerate(tasks)}
    try:
        for future in as_completed(places):
            index = places[future]
            error = future.exception()
            if isinstance(error, KeyboardInterrupt):
                raise error
            if error is not None:
                raise _failed(index, tasks, error) from error
            yield index, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(function: Callable[[T], R], tasks: Sequence[T], client: Any) -> Iterator[tuple[int, R]]:
    distributed: Any = importlib.import_module("dask.distributed")

    # pure=False: equal tasks are run as often as they are listed.
    futures = client.map(function, tasks, pure=False)
    places = {future.key: index for index, future in enumerate(futures)}
    try:
        for future in distributed.as_completed(futures):
            index = places[future.key]
            if future.status == "error":
                error = future.exception()
                raise _failed(index, tasks, error) from error
            yield index, future.result()
    finally:
        client.cancel([future for future in futures if not future.done()])
