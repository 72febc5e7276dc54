"""Import time, and what the first solve of a process costs with a warm cache of compiled code."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import PEERS, Settings, Table, peer, seconds

ROOT = Path(__file__).parents[1]

IMPORTS = {
    "wellposed": "import wellposed",
    "wellposed, minimize and projector": "import wellposed as wp; wp.minimize, wp.operators.ParallelBeam",
}

USED = {
    "skimage": "from skimage.restoration import denoise_tv_chambolle",
    "pylops": "from pylops.medical import CT2D",
}
"""What these benchmarks use of packages that load their parts on use."""

TV = "objective = lambda: wp.LeastSquares(A, b) + lam * wp.TotalVariation() + wp.NonNegative()"

LASSO = (
    "X = np.random.default_rng(0).standard_normal((20000, 1000)).T\n"
    "y = X[:, :50].sum(axis=1)\nlam = 0.1 * np.abs(X.T @ y).max()\n"
    "objective = lambda: wp.LeastSquares(wp.operators.Matrix(X), y) + lam * wp.L1()"
)

SOLVES = {
    "Lasso, dense 1000 x 20000": (LASSO, 0.5),
    "TV denoising 512 x 512": (
        f"b = np.random.default_rng(0).random((512, 512), np.float32)\nA = None\nlam = 0.1\n{TV}",
        1.0,
    ),
    "TV reconstruction 128 x 128, 60 views": (
        "A = wp.operators.ParallelBeam((128, 128), np.linspace(0, np.pi, 60, endpoint=False))\n"
        "x = np.zeros((128, 128), np.float32)\nx[32:96, 40:80] = 1\nb = A(x)\nlam = 0.5\n" + TV,
        1.0,
    ),
}
"""The set-up, which makes an objective, and the seconds that the first solve may take."""

SCRIPT = """
import time
import numpy as np
begin = time.perf_counter()
import wellposed as wp
imported = time.perf_counter()
{setup}
times = [time.perf_counter()]
for _ in range(4):
    wp.minimize(objective(), progress=False)
    times.append(time.perf_counter())
print(times[0] - imported, times[1] - times[0], min(b - a for a, b in zip(times[1:], times[2:])))
"""
"""Prints the seconds of the set-up, of the first solve, and of the best of three later ones."""


def run(settings: Settings) -> Iterator[Table]:
    """Import times in fresh interpreters, then first solves in fresh processes."""
    repeat = 2 if settings.quick else max(5, settings.repeat)
    yield imports(repeat)
    yield first_solves(1 if settings.quick else 3)


def imports(repeat: int) -> Table:
    table = Table("Import", ("import", "median", "best", "goal"))
    statements = dict(IMPORTS)
    for module, name in PEERS.items():
        if peer(table, module) is not None:
            statements[name] = USED.get(module, f"import {module}")
    interpreter = statistics.median(fresh("pass") for _ in range(repeat))
    for name, statement in statements.items():
        fresh(statement)
        taken = [fresh(statement) - interpreter for _ in range(repeat)]
        goal = "300 ms" if name.startswith("wellposed") else ""
        table.add(name, seconds(max(statistics.median(taken), 0)), seconds(max(min(taken), 0)), goal)
    table.note(f"In fresh interpreters, less the {seconds(interpreter)} that an empty one takes.")
    return table


def fresh(statement: str) -> float:
    """Seconds of a new interpreter that runs a statement."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT, capture_output=True)
    return time.perf_counter() - begin


def first_solves(repeat: int) -> Table:
    table = Table(
        "First solve of a process, compiled code cached", ("problem", "first", "later", "more", "goal")
    )
    for name, (setup, goal) in SOLVES.items():
        first_solve(setup)
        times = [first_solve(setup) for _ in range(repeat)]
        start = statistics.median(t[1] for t in times)
        later = statistics.median(t[2] for t in times)
        table.add(name, seconds(start), seconds(later), seconds(start - later), f"{goal:g} s")
    table.note("'first' is without making the data; 'more' is what it takes over a later solve.")
    return table


def first_solve(setup: str) -> tuple[float, ...]:
    """Seconds of set-up, first and later solve in a new process."""
    script = SCRIPT.replace("{setup}", setup)
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return tuple(float(word) for word in done.stdout.split())
