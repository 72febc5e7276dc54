"""Progress of a run: a live line in a terminal, plain lines in a pipe, nothing unless asked for."""

from __future__ import annotations

import sys
import time

from wellposed.solvers.result import Record

SECONDS_BETWEEN_LINES = 2.0


class Display:
    """Shows records as they come.

    Parameters
    ----------
    wanted : bool or None
        ``None`` shows a live line in a terminal once a run takes longer than two seconds.
    tol : float
        The tolerance, shown beside the certificate.
    name : str
        The solver.
    """

    def __init__(self, wanted: bool | None, tol: float, name: str):
        self._terminal = sys.stderr.isatty()
        self._wanted = self._terminal if wanted is None else wanted
        self._quiet_until = time.perf_counter() + (SECONDS_BETWEEN_LINES if wanted is None else 0.0)
        self._tol = tol
        self._name = name
        self._open = False
        self._unshown: Record | None = None
        self._shown = False

    def update(self, record: Record) -> None:
        """Show a record, at most ten times a second in a terminal and every two seconds in a pipe."""
        now = time.perf_counter()
        if not self._wanted or now < self._quiet_until:
            self._unshown = record
            return
        self._show(record)
        self._quiet_until = now + (0.1 if self._terminal else SECONDS_BETWEEN_LINES)

    def _show(self, record: Record) -> None:
        self._shown, self._unshown = True, None
        line = (
            f"{self._name}: iteration {record.iteration}, objective {record.objective:.6g}, "
            f"relative {record.certificate.kind} {record.certificate.relative:.2e} (tol {self._tol:.0e}), "
            f"{record.seconds:.1f} s"
        )
        if self._terminal:
            sys.stderr.write(f"\r\x1b[2K{line}")
            self._open = True
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def close(self) -> None:
        """Show the last record of a run that was shown, and end the live line."""
        if self._shown and self._unshown is not None:
            self._show(self._unshown)
        if self._open:
            sys.stderr.write("\n")
            self._open = False
