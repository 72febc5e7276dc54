"""The command ``wellposed reproduce``: measure the claims of a paper."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wellposed.app.console import Console
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.files import atomic_path

if TYPE_CHECKING:
    from wellposed.experiments import Claim

__all__ = ["list_experiments", "run", "table"]

_WIDTHS = (46, 22, 22, 13)
_HEADINGS = ("claim", "claimed", "measured", "outcome")


def list_experiments() -> int:
    """Print the experiments there are; exit code 0."""
    from wellposed.experiments import find, names

    for name in names():
        experiment = find(name)
        print(f"{name}\n    {experiment.title}\n    {experiment.source}")
    return 0


def run(name: str, full: bool, seed: int, folder: Path, console: Console) -> int:
    """Run an experiment, print the table of its claims, write its figure and its numbers.

    Parameters
    ----------
    name : str
        One of those that `list_experiments` prints.
    full : bool
        At the large size.
    seed : int
    folder : Path
        Made if it does not exist; gets ``NAME.png`` and ``NAME.json``.
    console : Console

    Returns
    -------
    int
        Exit code 0, whether the claims hold or not.

    Raises
    ------
    InputError
        If there is no such experiment, or the folder cannot be made.
    """
    from wellposed.experiments import find

    with as_input_error():
        experiment = find(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another --output"
        ) from error
    console.stage(f"{experiment.title} ({'full' if full else 'small'} size, seed {seed})")
    begun = time.perf_counter()
    report = experiment.run(full, seed)
    seconds = time.perf_counter() - begun
    picture, numbers = folder / f"{name}.png", folder / f"{name}.json"
    with atomic_path(picture) as temporary:
        report.figure.savefig(temporary, format="png", dpi=120, metadata={"Software": None})
    about = {"experiment": name, "title": experiment.title, "source": experiment.source}
    record = {**about, "full": full, "seed": seed, "seconds": round(seconds, 1), **report.as_dict()}
    with atomic_path(numbers) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    console.result(f"{experiment.title}\n{experiment.source}\n\n{table(report.claims)}")
    held = sum(claim.holds is True for claim in report.claims)
    console.result(f"\n{held} of {len(report.claims)} claims hold; {seconds:.0f} s; {picture}, {numbers}")
    return 0


def table(claims: Sequence[Claim]) -> str:
    """The claims in columns, each with its note below.

    Parameters
    ----------
    claims : sequence of Claim

    Examples
    --------
    >>> from wellposed.experiments import at_most
    >>> print(table([at_most("error", 0.4, 0.5)]))
    claim                                           claimed                 measured                outcome
    error                                           at most 0.5             0.4                     holds
    """
    lines = [_row(_HEADINGS)]
    for claim in claims:
        lines.append(_row((claim.statement, claim.claimed, claim.measured, claim.outcome)))
        lines.extend(textwrap.wrap(claim.note, sum(_WIDTHS), initial_indent="  ", subsequent_indent="  "))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    columns = [textwrap.wrap(cell, width) or [""] for cell, width in zip(cells, _WIDTHS, strict=True)]
    height = max(map(len, columns))
    rows = [[c[k] if k < len(c) else "" for c in columns] for k in range(height)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, _WIDTHS, strict=True)).rstrip()
        for row in rows
    )
