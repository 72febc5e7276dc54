"""The package as a whole: what an import costs, and which file may import what."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

import wellposed

PACKAGE = Path(wellposed.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
METHOD_TYPES = (FunctionType, classmethod, staticmethod, property, cached_property)
DEVICE_LIBRARIES = {"torch", "cupy", "cupyx", "jax"}

# None of these is needed before the first operator is built, and together they cost seconds.
HEAVY = DEVICE_LIBRARIES | {
    "algotom",
    "cvxpy",
    "dask",
    "distributed",
    "h5py",
    "jinja2",
    "matplotlib",
    "nibabel",
    "numba",
    "ot",
    "PIL",
    "pydicom",
    "pywt",
    "rich",
    "scipy.optimize",
    "scipy.sparse",
    "skimage",
    "tifffile",
}


def run_python(code: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )


def modules_loaded_by(statement: str) -> set[str]:
    done = run_python(f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    return set(json.loads(done.stdout))


def test_import_loads_nothing_heavy() -> None:
    assert HEAVY & modules_loaded_by("import wellposed") == set()


def test_device_libraries_are_loaded_on_use() -> None:
    """Every module is imported, but for the neural priors and the two rooms that may build on them.

    And but for the classes that inherit from those of POT, which loads every array library that it finds.
    """
    neural = ("wellposed.priors", "wellposed.problems", "wellposed.experiments")
    others = (*neural, "wellposed.sklearn.transports")
    names = [name for name in map(module_name, SOURCES) if not name.startswith(others)]
    loaded = modules_loaded_by("\n".join(f"import {name}" for name in names if not name.endswith("__main__")))
    assert set(names) - loaded <= {"wellposed.app.__main__", "wellposed.__main__"}
    assert DEVICE_LIBRARIES & loaded == set()


def test_import_time_is_shown() -> None:
    """The figure is for the reader of the output (`pytest -s`): a shared machine gives no bound to assert."""
    lines = run_python("import wellposed", "-X", "importtime").stderr.splitlines()
    last = lines[-1]
    assert last.split("|")[-1].strip() == "wellposed"
    print(f"\nimport wellposed: {int(last.split('|')[1]) / 1000:.0f} ms")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_only_priors_import_a_device_library_at_the_top(source: Path) -> None:
    imported = set(imports_at_the_top(ast.parse(source.read_text(encoding="utf-8"))))
    found = imported & DEVICE_LIBRARIES
    allowed = {"torch"} if source.is_relative_to(PACKAGE / "priors") else set()
    assert found <= allowed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import torch.nn as nn", {"torch"}),
        ("from cupy.fft import fft", {"cupy"}),
        ("try:\n    import torch\nexcept ImportError:\n    torch = None", {"torch"}),
        ("class C:\n    import torch", {"torch"}),
        ("def f():\n    import torch", set()),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", {"typing"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import cupy", {"cupy"}),
        ("from .torch import x", set()),
    ],
)
def test_imports_at_the_top(text: str, expected: set[str]) -> None:
    assert set(imports_at_the_top(ast.parse(text))) == expected


def test_version_is_that_of_the_distribution() -> None:
    assert wellposed.__version__ == metadata.version("wellposed")


def test_types_are_shipped() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_public_names_are_there_once() -> None:
    """Whether imported at once or on use."""
    for module in public_modules():
        names = module.__all__
        assert len(set(names)) == len(names)
        assert [name for name in names if not hasattr(module, name)] == []


def test_public_things_are_documented() -> None:
    undocumented = [name for name, thing in public_things() if not (thing.__doc__ or "").strip()]
    assert undocumented == []


def test_public_methods_are_documented() -> None:
    """A method has a docstring, or overrides one that has."""
    undocumented = {
        f"{cls.__module__}.{cls.__qualname__}.{name}"
        for _, thing in public_things()
        if inspect.isclass(thing)
        for cls in thing.__mro__
        if cls.__module__.startswith("wellposed")
        for name, member in vars(cls).items()
        if isinstance(member, METHOD_TYPES)
        and not name.startswith("_")
        and not any(getattr(vars(base).get(name), "__doc__", None) for base in cls.__mro__)
    }
    assert sorted(undocumented) == []


def test_documented_parameters_are_parameters() -> None:
    """A docstring whose section `Parameters` names something that the signature lacks is out of date."""
    wrong = {}
    for name, thing in public_things():
        if isinstance(thing, type) and issubclass(thing, Exception):
            continue
        accepted = set(inspect.signature(thing).parameters)
        if extra := set(documented_parameters(inspect.getdoc(thing) or "")) - accepted:
            wrong[name] = sorted(extra)
    assert wrong == {}


def test_documented_parameters() -> None:
    def f(a: int, b: int, *c: int) -> None:
        """Do it.

        Parameters
        ----------
        a, b : int
            Two numbers: a is first.
        *c
            The rest.

        Returns
        -------
        d : int
        """

    assert list(documented_parameters(inspect.getdoc(f) or "")) == ["a", "b", "c"]


def public_modules() -> list[ModuleType]:
    """The front door, and the rooms behind it that say what is public."""
    rooms = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    modules = [wellposed, *(importlib.import_module(f"wellposed.{room}") for room in sorted(rooms))]
    return [module for module in modules if hasattr(module, "__all__")]


def public_things() -> list[tuple[str, Any]]:
    """The public functions and classes by name."""
    things = [(f"{m.__name__}.{name}", getattr(m, name)) for m in public_modules() for name in m.__all__]
    return [(name, thing) for name, thing in things if inspect.isroutine(thing) or inspect.isclass(thing)]


def documented_parameters(docstring: str) -> Iterator[str]:
    """The names in the section `Parameters` of a NumPy-style docstring."""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n-{3,}$|\Z)", docstring, re.MULTILINE | re.DOTALL
    )
    for line in section[1].splitlines() if section else []:
        if line and not line.startswith(" "):
            yield from (name.strip().lstrip("*") for name in line.split(" :")[0].split(","))


def module_name(source: Path) -> str:
    parts = source.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_at_the_top(node: ast.AST) -> Iterator[str]:
    """The packages imported when the module is, leaving out functions and what only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            if child.level == 0 and child.module:
                yield child.module.split(".")[0]
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for statement in child.orelse:
                yield from imports_at_the_top(ast.Module([statement], []))
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_at_the_top(child)


def test_the_front_door_loads_neither_numba_nor_scipy() -> None:
    code = """
import sys
import numpy as np
import wellposed as wp
A = wp.operators.Matrix(np.eye(3))
wp.explain(wp.LeastSquares(A, np.ones(3)) + wp.L1())
wp.minimize(wp.LeastSquares(None, np.ones(3)) + wp.L1())
print(sorted({"numba", "scipy.linalg", "scipy.sparse", "scipy.fft", "scipy.special"} & set(sys.modules)))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
