"""What a benchmark hands back: tables of text, printed and written as Markdown."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

PEERS = {
    "astra": "astra-toolbox",
    "celer": "celer",
    "jax": "jax",
    "jaxopt": "jaxopt",
    "odl": "odl",
    "pylops": "pylops",
    "pyproximal": "pyproximal",
    "skglm": "skglm",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "torch": "torch",
}
"""Modules of the other libraries, and the names they are installed by."""


@dataclass(frozen=True)
class Settings:
    """How much to measure."""

    repeat: int = 7
    quick: bool = False
    """Small images and few cases: to see that everything runs, not for figures to quote."""
    full: bool = False
    """The longest cases too."""
    slow: float = 12.0
    """Seconds after which a peer that has not reached its target is given up."""


@dataclass
class Table:
    """A table with the notes that belong to it."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns: {cells}")
        self.rows.append(cells)

    def note(self, text: str) -> None:
        """Add a note once."""
        if text not in self.notes:
            self.notes.append(text)

    def text(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(row[k]) for row in lines) for k in range(len(self.columns))]
        body = []
        for first, *others in lines:
            cells = [first.ljust(widths[0])] + [c.rjust(w) for c, w in zip(others, widths[1:], strict=True)]
            body.append("  ".join(cells))
        rule = "-" * len(body[0])
        return "\n".join(
            [f"\n{self.title}", rule, body[0], rule, *body[1:], *(f"* {note}" for note in self.notes)]
        )

    def markdown(self) -> str:
        align = [":--"] + ["--:"] * (len(self.columns) - 1)
        rows = [f"| {' | '.join(row)} |" for row in (self.columns, tuple(align), *self.rows)]
        notes = [f"- {note}" for note in self.notes]
        return "\n".join([f"### {self.title}", "", *rows, "", *notes]).rstrip() + "\n"


def peer(table: Table, *modules: str) -> list[ModuleType] | None:
    """Import other libraries; where one is missing, say so under the table and return ``None``."""
    found = []
    for module in modules:
        try:
            found.append(importlib.import_module(module))
        except ImportError as error:
            name = PEERS[module.partition(".")[0]]
            table.note(f"peer {name} not installed: pip install .[bench] ({error})")
            return None
    return found


def seconds(value: float) -> str:
    """A time with three digits, in ms below a second."""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{1e3 * value:.3g} ms" if value >= 1e-3 else f"{1e3 * value:.2g} ms"


def ratio(value: float, to: float) -> str:
    return f"{value / to:.3g}x"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Peers warn about sizes and casts that the benchmark has chosen on purpose."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def machine() -> list[tuple[str, str]]:
    """Facts that the figures depend on."""
    import numba

    versions = [f"{name} {version}" for name in PEERS.values() if (version := _version(name))]
    base = [f"{name} {_version(name)}" for name in ("numpy", "scipy", "numba")]
    kernel = ".".join(platform.release().split(".")[:2])
    return [
        ("Processor", _processor()),
        ("Cores", f"{os.cpu_count()} ({numba.config.NUMBA_NUM_THREADS} threads in Numba)"),
        ("Memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"),
        ("System", f"{platform.system()} {kernel}, Python {platform.python_version()}"),
        ("Libraries", ", ".join(base)),
        ("Peers", ", ".join(versions) or "none"),
        ("Load when it began", f"{os.getloadavg()[0]:.2f}"),
    ]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.is_file():
        for line in facts.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
