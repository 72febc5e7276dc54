"""Save the state of a run and take it up again: one ``.npz`` file, written atomically."""

from __future__ import annotations

import dataclasses
import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from wellposed import arrays
from wellposed.solvers.fingerprint import fingerprint
from wellposed.solvers.problem import Problem

SEPARATOR = "/"

SECONDS_BETWEEN_SAVES = 5.0


class Checkpoint:
    """The file of a run, and when it was last written.

    Parameters
    ----------
    path : Path
    problem : Problem
    solver : str

    Raises
    ------
    ValueError
        If the folder of ``path`` does not exist.
    """

    def __init__(self, path: Path, problem: Problem, solver: str):
        if path.is_dir() or not path.parent.is_dir():
            raise ValueError(f"checkpoint {path} must be a file in an existing folder")
        self.path = path
        self._mark = fingerprint(problem, solver)
        self._saved_at = time.perf_counter()

    def load(self, *parts: Any) -> bool:
        """Fill ``parts`` from the file; false if there is none yet."""
        if not self.path.exists():
            return False
        load_state(self.path, self._mark, *parts)
        return True

    def save(self, *parts: Any) -> None:
        """Write the fields of ``parts``."""
        save_state(self.path, self._mark, *parts)
        self._saved_at = time.perf_counter()

    def save_if_due(self, *parts: Any) -> None:
        """Write if the last time is long enough ago."""
        if time.perf_counter() - self._saved_at > SECONDS_BETWEEN_SAVES:
            self.save(*parts)


def save_state(path: Path, mark: str, *parts: Any) -> None:
    """Write the fields of some dataclasses; the file is the old one or the new one, never half of it."""
    entries: dict[str, Any] = {"fingerprint": np.asarray(mark)}
    for index, part in enumerate(parts):
        for field in dataclasses.fields(part):
            _pack(entries, f"{index}{SEPARATOR}{field.name}", getattr(part, field.name))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            np.savez(file, **entries)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load_state(path: Path, mark: str, *parts: Any) -> None:
    """Read what `save_state` wrote into the fields of ``parts``, all of them or none.

    Raises
    ------
    ValueError
        If the file is damaged, or belongs to another objective or solver.
    """
    try:
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path, error) from None
    if str(entries.get("fingerprint")) != mark:
        raise ValueError(
            f"checkpoint {path} belongs to another objective or solver: "
            "give another file, or delete it to start again"
        )
    like = _any_array(parts[0])
    values: list[tuple[Any, str, Any]] = []
    for index, part in enumerate(parts):
        for field in dataclasses.fields(part):
            name = f"{index}{SEPARATOR}{field.name}"
            try:
                values.append((part, field.name, _unpack(entries, name, like)))
            except KeyError:
                raise _damaged(path, f"{name} is missing") from None
    for part, name, value in values:
        setattr(part, name, value)


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"checkpoint {path} cannot be read ({why}): delete it to start again")


def _pack(entries: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        entries[name + "#none"] = np.asarray(0)
    elif isinstance(value, (tuple, list)):
        entries[f"{name}#{'list' if isinstance(value, list) else 'tuple'}"] = np.asarray(len(value))
        for k, item in enumerate(value):
            _pack(entries, f"{name}.{k}", item)
    elif isinstance(value, str):
        entries[name + "#str"] = np.asarray(value)
    elif isinstance(value, (bool, int, float)):
        kind = next(kind for kind in (bool, int, float) if isinstance(value, kind))
        entries[f"{name}#{kind.__name__}"] = np.asarray(value)
    else:
        entries[name] = arrays.to_host(value)


def _unpack(entries: dict[str, Any], name: str, like: Any) -> Any:
    if name + "#none" in entries:
        return None
    for scalar in (bool, int, float, str):
        if (key := f"{name}#{scalar.__name__}") in entries:
            return scalar(entries[key])
    for kind in ("tuple", "list"):
        if (key := f"{name}#{kind}") in entries:
            items = [_unpack(entries, f"{name}.{k}", like) for k in range(int(entries[key]))]
            return items if kind == "list" else tuple(items)
    return arrays.from_host(entries[name], like=like)


def _any_array(state: Any) -> Any:
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if hasattr(value, "dtype"):
            return value
    raise ValueError("the state holds no array")
