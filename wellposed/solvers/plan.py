"""`Plan`: what a solve will do and why, before it does it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """The solver chosen for an objective, the reason, and what it will cost.

    Parameters
    ----------
    solver : str
        Name, as ``minimize(solver=...)`` takes it.
    reason : str
    formula : str
        The objective as written.
    splitting : tuple of str
        The terms of the canonical form.
    steps : str
        The step-size rule and its constants.
    cost : str
        Work of one iteration.
    memory : int
        Bytes of the arrays that the solver keeps, data excluded.
    certificate : str
        The kind of certificate to expect.
    tol : float
    rejected : tuple of (str, str)
        The other solvers, each with the reason why it was not taken.
    """

    solver: str
    reason: str
    formula: str
    splitting: tuple[str, ...]
    steps: str
    cost: str
    memory: int
    certificate: str
    tol: float
    rejected: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        lines = [
            f"minimise   {self.formula}",
            f"solver     {self.solver}: {self.reason}",
            *(f"{'splitting' if k == 0 else '':10} {line}" for k, line in enumerate(self.splitting)),
            f"steps      {self.steps}",
            f"iteration  {self.cost}",
            f"memory     {human_bytes(self.memory)} besides the data",
            f"stop       relative {self.certificate} at most {self.tol:g}",
            *(
                f"{'not used' if k == 0 else '':10} {name}: {why}"
                for k, (name, why) in enumerate(self.rejected)
            ),
        ]
        return "\n".join(lines)


def human_bytes(count: int) -> str:
    """A number of bytes for people: ``human_bytes(2048)`` is ``'2.0 KiB'``."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
