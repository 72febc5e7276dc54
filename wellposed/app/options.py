"""Options that several commands share, as the command line declares them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from wellposed.app.errors import InputError

if TYPE_CHECKING:
    from wellposed.app.solve import Options

__all__ = ["COMMON", "Common", "Flag", "ImagePrior", "Output", "Positive", "Quiet", "number"]

Positive = Number(gt=0)
Flag = Parameter(negative="")
ImagePrior = Literal["tv", "tgv"]
Rule = Literal["auto", "discrepancy", "gcv", "upre", "sure", "lcurve", "residual-whiteness"]

Output = Annotated[
    Path,
    Parameter(
        name=["--output", "-o"],
        help="Result: .tif .h5 .npz .nii .nii.gz or .png; a PNG quick look is written beside it.",
    ),
]
Quiet = Annotated[bool, Parameter(name=["--quiet", "-q"], negative="", help="Print only notes and errors.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of all commands that solve a problem.

    Attributes
    ----------
    report
        HTML report, self-contained.
    params
        File of learned parameters (wellposed learn), in place of the prior and its weight.
    weight
        Weight of the prior: a number, or auto (chosen from the data).
    rule
        Rule behind --weight auto.
    noise
        Standard deviation of the noise, for rules that need it (images of 8 and 16 bits are scaled to
        0..1); estimated by default.
    tol
        Relative certificate to reach.
    max_iter
        Most iterations of the solver.
    truth
        Image to compare with (PSNR and SSIM), if it is known.
    plan
        Print what would be done, and stop.
    quiet
        Print only notes and errors.
    """

    report: Annotated[Path | None, Parameter(name="--report")] = None
    params: Annotated[Path | None, Parameter(name="--params")] = None
    weight: Annotated[str, Parameter(name="--weight")] = "auto"
    rule: Annotated[Rule, Parameter(name="--rule")] = "auto"
    noise: Annotated[float | None, Parameter(name="--noise", validator=Positive)] = None
    tol: Annotated[float, Parameter(name="--tol", validator=Positive)] = 1e-3
    max_iter: Annotated[int | None, Parameter(name="--max-iter", validator=Positive)] = None
    truth: Annotated[Path | None, Parameter(name="--truth")] = None
    plan: Annotated[bool, Parameter(name="--plan", negative="")] = False
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"], negative="")] = False

    def options(self, prior: str) -> Options:
        """How to solve.

        Raises
        ------
        InputError
            If the weight is no number, or a prior or weight is given beside learned parameters.
        """
        from wellposed.app.solve import Options

        if self.params is not None and (prior != "tv" or self.weight != "auto" or self.rule != "auto"):
            raise InputError(
                "--params holds the prior and its weight; leave out --prior, --weight and --rule"
            )
        # Learned parameters are used as they are.
        weight = 1.0 if self.params is not None else number(self.weight, "--weight", positive=True)
        return Options(weight, self.rule, self.noise, self.tol, self.max_iter)


COMMON = Common()
"""All at their defaults."""


def number(text: str, option: str, positive: bool = False) -> float | None:
    """The number of an option, or None for ``auto``."""
    if text == "auto":
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf") or (positive and value <= 0):
        kind = "a positive number" if positive else "a number"
        raise InputError(f"{option} {text} is neither {kind} nor auto; write e.g. {option} auto")
    return value
