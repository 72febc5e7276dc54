"""What a command shows while it works, and how Ctrl-C stops it.

Progress goes to standard error: a bar in a terminal, plain lines in a pipe. Results go to standard output.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wellposed.solvers.loop import Info

__all__ = ["Console", "Interrupt", "fraction_done"]

_SECONDS_BETWEEN_LINES = 2.0


class Interrupt:
    """Ctrl-C as a request: the first one asks the work to end well, the second one ends it at once.

    Parameters
    ----------
    quiet : bool
        Do not acknowledge the request on standard error.

    Attributes
    ----------
    requested : bool
        True once Ctrl-C was pressed.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.requested = False
        self._quiet = quiet

    @contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Take over SIGINT for the block, where that is possible (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = signal.signal(signal.SIGINT, self._on_signal)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if not self._quiet:
            sys.stderr.write("\nstopping; the best image so far will be written (press again to give up)\n")


def fraction_done(first: float, now: float, tol: float) -> float:
    """How far a certificate has come from its first value to the tolerance, on a log scale.

    Examples
    --------
    >>> round(fraction_done(1.0, 0.1, 0.01), 6)
    0.5
    """
    if not (math.isfinite(first) and math.isfinite(now) and now > 0):
        return 1.0 if now == 0 else 0.0
    if first <= tol or now <= tol:
        return 1.0
    return min(max(math.log(first / now) / math.log(first / tol), 0.0), 1.0)


class Console:
    """Progress and results of one command.

    Parameters
    ----------
    quiet : bool
        Show nothing but results that were asked for and errors.
    """

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._terminal = sys.stderr.isatty()

    def stage(self, text: str) -> None:
        """Say what is being done."""
        if not self.quiet:
            print(f"wellposed: {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Show something that the user should know, even if quiet."""
        print(f"note: {text}", file=sys.stderr, flush=True)

    def result(self, text: str = "") -> None:
        """Print a line of the result."""
        if not self.quiet:
            print(text, flush=True)

    @contextmanager
    def solving(self, tol: float) -> Iterator[Callable[[Info], None]]:
        """Show a run of a solver.

        Parameters
        ----------
        tol : float
            Tolerance of the relative certificate.

        Yields
        ------
        callable
            To be called with each `Info` of the run.
        """
        if self.quiet:
            yield lambda info: None
        elif self._terminal:
            with _bar("solving") as update:
                first: list[float] = []

                def show(info: Info) -> None:
                    relative = info.certificate.relative
                    first.append(relative) if not first else None
                    text = f"{info.certificate.kind} {relative:.1e} (goal {tol:.0e})"
                    update(fraction_done(first[0], relative, tol), text)

                yield show
        else:
            yield _Lines(tol).show

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Callable[[int, str], None]]:
        """Show pieces of work of which `total` are to be done (not known: None).

        Yields
        ------
        callable
            To be called with the number of pieces done and a text.
        """
        if self.quiet:
            yield lambda done, text: None
        elif self._terminal:
            with _bar(what, known=total is not None) as update:
                yield lambda done, text: update(done / total if total else 0.0, text)
        else:
            yield lambda done, text: self.stage(f"{what}: {text}")


@contextmanager
def _bar(what: str, known: bool = True) -> Iterator[Callable[[float, str], None]]:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), TextColumn("{task.fields[text]}"), TimeElapsedColumn())
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=1.0 if known else None, text="")
        yield lambda fraction, text: progress.update(task, completed=fraction, text=text)


class _Lines:
    """The first certificate, then one every two seconds."""

    def __init__(self, tol: float) -> None:
        self._tol = tol
        self._due = 0.0

    def show(self, info: Info) -> None:
        now = time.perf_counter()
        if now < self._due and info.certificate.relative > self._tol:
            return
        self._due = now + _SECONDS_BETWEEN_LINES
        print(
            f"wellposed: iteration {info.iteration}, {info.certificate.kind} "
            f"{info.certificate.relative:.1e} (goal {self._tol:.0e}), {info.seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )
