"""`Plan`: what a solve will do and why, before it does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from wellposed.functionals.calculus import Zero
from wellposed.solvers import certificates, repair
from wellposed.solvers.problem import Problem

if TYPE_CHECKING:
    from wellposed.solvers.choice import Entry

FIELDS = (
    "solver",
    "reason",
    "formula",
    "splitting",
    "steps",
    "cost",
    "memory",
    "certificate",
    "tol",
    "rejected",
)


@dataclass(frozen=True, eq=False, repr=False)
class Plan:
    """The solver chosen for an objective, the reason, and what it will cost.

    What follows from the objective is worked out when it is read, since that may take longer than to solve
    a small problem.

    Parameters
    ----------
    solver : str
        Name, as ``minimize(solver=...)`` takes it.
    reason : str
    tol : float
    form : callable
        Gives the canonical form.
    entry : Entry
        What the solver says of itself.
    refusals : callable
        From that form to the other solvers, each with the reason why it was not taken.
    """

    solver: str
    reason: str
    tol: float
    form: Callable[[], Problem]
    entry: Entry
    refusals: Callable[[Problem], tuple[tuple[str, str], ...]]

    @cached_property
    def problem(self) -> Problem:
        """The canonical form."""
        return self.form()

    @cached_property
    def formula(self) -> str:
        """The objective as written."""
        return str(self.problem.objective)

    @cached_property
    def splitting(self) -> tuple[str, ...]:
        """The terms of the canonical form."""
        p = self.problem
        lines = [] if isinstance(p.simple, Zero) else [f"{p.simple} on x, by its proximal map"]
        return (*lines, *(str(t) for t in p.terms))

    @cached_property
    def steps(self) -> str:
        """The step-size rule and its constants."""
        return self.entry.steps(self.problem)

    @cached_property
    def cost(self) -> str:
        """Work of one iteration."""
        operators = [repr(t.K) for t in self.problem.terms if t.K is not None]
        if not operators:
            return "elementwise work only"
        return "one application and one adjoint each of " + ", ".join(operators)

    @cached_property
    def memory(self) -> int:
        """Bytes of the arrays that the solver keeps, data excluded."""
        return self.entry.copies(self.problem) * (4 if "32" in str(self.problem.like.dtype) else 8)

    @cached_property
    def certificate(self) -> str:
        """The kind of certificate to expect."""
        p = self.problem
        if certificates.has_gap(p) and repair.is_known(p):
            return "duality gap"
        smooth = all(f.traits.smooth for f in (p.simple, *(t.f for t in p.terms)))
        if p.convex and smooth and certificates.strong_convexity(p) > 0:
            return "strong convexity"
        return "fixed-point residual"

    @cached_property
    def rejected(self) -> tuple[tuple[str, str], ...]:
        """The other solvers, each with the reason why it was not taken."""
        return self.refusals(self.problem)

    def __getstate__(self) -> dict[str, Any]:
        """All of it in words, which is what another process gets: not the problem."""
        return {name: getattr(self, name) for name in FIELDS}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.__getstate__() == other.__getstate__()

    def __hash__(self) -> int:
        return hash((self.solver, self.reason, self.tol))

    def __repr__(self) -> str:
        return f"Plan({', '.join(f'{name}={getattr(self, name)!r}' for name in FIELDS)})"

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
