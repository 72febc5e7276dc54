"""What an experiment is: claims, each with what was measured, and a figure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Claim:
    """A statement, what is claimed of it in numbers, and what was measured.

    Parameters
    ----------
    statement : str
        In words: which statistic of what.
    claimed : str
        Direction and bound, e.g. ``"at most 0.5"``.
    measured : str
    holds : bool or None
        ``None`` if it was not measured at this size; ``note`` says why.
    note : str
        What a reader needs to judge it: seeds, what differs from the paper, why it fails.
    """

    statement: str
    claimed: str
    measured: str
    holds: bool | None
    note: str = ""

    @property
    def outcome(self) -> str:
        """``"holds"``, ``"does not hold"`` or ``"not measured"``."""
        return {True: "holds", False: "does not hold", None: "not measured"}[self.holds]


def at_most(statement: str, value: float, bound: float, note: str = "", claimed: str = "") -> Claim:
    """The claim that a number is at most ``bound``; one that is not finite does not hold.

    Parameters
    ----------
    statement : str
    value, bound : float
        Measured, and claimed.
    note, claimed : str
        As in `Claim`; ``claimed`` stands in place of ``"at most <bound>"``.

    Examples
    --------
    >>> from wellposed.experiments import at_most
    >>> at_most("error over that of total variation", 0.4, 0.5).outcome
    'holds'
    """
    holds = bool(math.isfinite(value) and value <= bound)
    return Claim(statement, claimed or f"at most {bound:g}", f"{value:.3g}", holds, note)


def at_least(statement: str, value: float, bound: float, note: str = "", claimed: str = "") -> Claim:
    """The claim that a number is at least ``bound``; see `at_most`.

    Parameters
    ----------
    statement : str
    value, bound : float
        Measured, and claimed.
    note, claimed : str
        As in `Claim`.

    Examples
    --------
    >>> from wellposed.experiments import at_least
    >>> at_least("share of the gain", 0.4, 0.5).outcome
    'does not hold'
    """
    holds = bool(math.isfinite(value) and value >= bound)
    return Claim(statement, claimed or f"at least {bound:g}", f"{value:.3g}", holds, note)


@dataclass(frozen=True)
class Report:
    """The outcome of an experiment.

    Parameters
    ----------
    claims : tuple of Claim
    figure : Figure
    settings : mapping
        Sizes, seeds, grids: what it takes to repeat it.
    numbers : mapping
        The measurements behind the claims; numbers, strings, lists and mappings of them.
    """

    claims: tuple[Claim, ...]
    figure: Figure
    settings: Mapping[str, Any] = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """All but the figure, for JSON."""
        claims = [{**dataclasses.asdict(claim), "outcome": claim.outcome} for claim in self.claims]
        return {"claims": claims, "settings": dict(self.settings), "numbers": dict(self.numbers)}


@dataclass(frozen=True)
class Experiment:
    """A paper, and how to measure its claims.

    Parameters
    ----------
    title : str
    source : str
        The paper.
    run : callable
        From ``full`` (the large size, else one of less than a minute) and ``seed`` to a `Report`.
    """

    title: str
    source: str
    run: Callable[[bool, int], Report]
