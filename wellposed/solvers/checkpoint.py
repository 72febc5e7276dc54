"""Save the state of a run and take it up again: one ``.npz`` file, written atomically."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from wellposed import arrays

SEPARATOR = "/"


def save_state(path: Path, fingerprint: str, *parts: Any) -> None:
    """Write the fields of some dataclasses; the file is either the old one or the new one, never half of it."""
    entries: dict[str, Any] = {"fingerprint": np.asarray(fingerprint)}
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


def load_state(path: Path, fingerprint: str, *parts: Any) -> None:
    """Read what `save_state` wrote into the fields of ``parts``.

    Raises
    ------
    ValueError
        If the file is damaged, or belongs to another objective, solver or setting.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            entries = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"checkpoint {path} cannot be read ({error}): delete it to start again") from None
    if str(entries.get("fingerprint")) != fingerprint:
        raise ValueError(
            f"checkpoint {path} belongs to another objective, solver or tolerance: "
            "give another file, or delete it to start again"
        )
    for index, part in enumerate(parts):
        for field in dataclasses.fields(part):
            name = f"{index}{SEPARATOR}{field.name}"
            setattr(part, field.name, _unpack(entries, name, getattr(part, field.name), parts[0]))


def _pack(entries: dict[str, Any], name: str, value: Any) -> None:
    if value is None:
        entries[name + "#none"] = np.asarray(0)
    elif isinstance(value, tuple | list):
        entries[name + "#length"] = np.asarray(len(value))
        for k, item in enumerate(value):
            _pack(entries, f"{name}.{k}", item)
    elif isinstance(value, bool | int | float):
        entries[name + f"#{type(value).__name__}"] = np.asarray(value)
    else:
        entries[name] = arrays.to_host(value)


def _unpack(entries: dict[str, Any], name: str, old: Any, state: Any) -> Any:
    if name + "#none" in entries:
        return None
    for kind in (bool, int, float):
        if (key := f"{name}#{kind.__name__}") in entries:
            return kind(entries[key])
    if (key := name + "#length") in entries:
        items = [_unpack(entries, f"{name}.{k}", None, state) for k in range(int(entries[key]))]
        return items if isinstance(old, list) else tuple(items)
    return arrays.from_host(entries[name], like=_any_array(state))


def _any_array(state: Any) -> Any:
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if hasattr(value, "dtype"):
            return value
    raise ValueError("the state holds no array")
