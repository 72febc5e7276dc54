"""``python -m benchmarks [NAME ...]``: measure, print tables, and write them with ``--write``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.report import Settings, Table, machine

NAMES = {
    "imports": "Import and first solve",
    "bandwidth": "Memory bandwidth",
    "projector": "Projectors",
    "tv_denoising": "Total variation denoising",
    "tv_ct": "Few-view reconstruction",
    "transport": "Optimal transport",
    "graph_laplacian": "Graph Laplacian",
    "shearlets": "Shearlets",
    "proximal_maps": "Proximal maps",
    "lasso": "Sparse regression",
    "pursuit": "Matching pursuit",
    "path": "Regularisation paths",
    "learning": "Learning parameters",
}

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main() -> None:
    args = arguments()
    settings = Settings(repeat=args.repeat, quick=args.quick, full=args.full, slow=args.slow)
    facts = machine()
    if args.busy:
        facts.append(("Neighbour", "one other process kept a core busy all the time"))
    for name, fact in facts:
        print(f"{name + ':':20}{fact}")
    sections: dict[str, list[Table]] = {}
    begin = time.perf_counter()
    with busy_neighbour() if args.busy else contextlib.nullcontext():
        for name in args.names or NAMES:
            sections[name] = []
            for table in importlib.import_module(f"benchmarks.{name}").run(settings):
                print(table.text(), flush=True)
                sections[name].append(table)
    print(f"\n{time.perf_counter() - begin:.0f} s in all")
    if args.write:
        PAGE.parent.mkdir(exist_ok=True)
        if args.names and PAGE.exists():
            PAGE.write_text(renewed(PAGE.read_text(), dict(facts), sections, command(args)))
        else:
            PAGE.write_text(page(facts, sections, command(args)))
        print(f"written to {PAGE}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--repeat", type=int, default=7, help="repeats of each candidate (7)")
    parser.add_argument("--quick", action="store_true", help="small inputs: to see that all runs")
    parser.add_argument("--full", action="store_true", help="the longest cases as well")
    parser.add_argument("--busy", action="store_true", help="with another process that keeps a core busy")
    parser.add_argument(
        "--slow", type=float, default=12.0, help="seconds after which a peer is given up (12)"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {PAGE.relative_to(PAGE.parents[1])}; with names, their sections only",
    )
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in NAMES]:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    if args.repeat < 1:
        parser.error(f"--repeat must be at least 1, got {args.repeat}")
    return args


def command(args: argparse.Namespace) -> str:
    """The options that say what was measured, as they were given."""
    flags = [f"--{flag}" for flag in ("quick", "full", "busy") if getattr(args, flag)]
    return " ".join(
        ["python -m benchmarks", *args.names, f"--repeat {args.repeat}", f"--slow {args.slow:g}", *flags]
    )


def page(facts: list[tuple[str, str]], sections: dict[str, list[Table]], run_by: str) -> str:
    """The tables as a page of the manual."""
    lines = [
        "# Benchmarks",
        "",
        "Measured in one run, candidates taking turns, float32, all cores, on the same arrays; medians",
        f"unless a column says otherwise. Written by `{run_by} --write`",
        "(`make bench` installs what it needs).",
        "",
        "| | |",
        "| :-- | :-- |",
        *(f"| {name} | {fact} |" for name, fact in facts),
        "",
    ]
    for name, tables in sections.items():
        lines += [f"## {NAMES[name]}", "", *(table.markdown() for table in tables)]
    return "\n".join(lines).rstrip() + "\n"


def renewed(old: str, facts: dict[str, str], sections: dict[str, list[Table]], run_by: str) -> str:
    """The page with some sections replaced or added, each of which says how it was measured."""
    for name, tables in sections.items():
        title = f"## {NAMES[name]}\n"
        said = (
            f"Measured apart from the rest, by `{run_by} --write`, at a load of "
            f"{facts['Load when it began']} when it began."
        )
        text = "\n".join([title, said, "", *(table.markdown() for table in tables)]).rstrip() + "\n"
        start = old.find(f"\n{title}")
        if start < 0:
            old = f"{old.rstrip()}\n\n{text}"
            continue
        end = old.find("\n## ", start + 1)
        old = old[: start + 1] + text + (old[end:] if end >= 0 else "")
    return old


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Another process that computes without a pause; an error if it did not live to the end."""
    process = subprocess.Popen([sys.executable, "-c", "while True: sum(range(100_000))"])
    try:
        yield
        if process.poll() is not None:
            raise RuntimeError(f"the busy neighbour ended early with code {process.returncode}")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
