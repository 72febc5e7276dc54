"""The commands ``wellposed denoise`` and ``wellposed deblur``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError, as_input_error
from wellposed.app.files import fingerprint
from wellposed.app.images import Image, read_image
from wellposed.app.learned_file import LearnedFile, read_learned
from wellposed.app.learned_objective import image_scale, objective, solve_learned
from wellposed.app.outputs import Outputs, history_of, quality
from wellposed.app.report import Report, certificate_sentence
from wellposed.app.scan_objective import prior_of
from wellposed.app.solve import Options, Solution, planned, solve

if TYPE_CHECKING:
    from wellposed.functionals._base import Functional
    from wellposed.functionals.parameter import Parameter
    from wellposed.operators._base import LinearOperator

__all__ = ["Request", "blurring", "point_spread", "run"]

INTERRUPTED = 130
_PRIORS = {
    "tv": "Total variation",
    "tgv": "Total generalised variation",
    "learned": "Learned",
}


@dataclass(frozen=True)
class Request:
    """Everything that the command was asked for.

    Attributes
    ----------
    image : Path
    prior : {"tv", "tgv"}
    psf : str or None
        Point spread function, see `point_spread`; None: denoising.
    boundary : str
        What lies beyond the border, see `wellposed.operators.Convolution`.
    nonnegative : bool
    options : Options
    outputs : Outputs
    truth : Path or None
        Image to compare with.
    plan_only : bool
        Print the plan and do nothing else.
    params : Path or None
        File of learned parameters, in place of the prior and its weight.
    """

    image: Path
    prior: str
    options: Options
    outputs: Outputs
    psf: str | None = None
    boundary: str = "reflect"
    nonnegative: bool = False
    truth: Path | None = None
    plan_only: bool = False
    params: Path | None = None


def point_spread(text: str) -> NDArray[np.float64]:
    """Kernel of the option ``--psf``, with sum 1.

    Parameters
    ----------
    text : str
        ``gaussian:SIGMA`` or ``disk:RADIUS`` in pixels, or the name of a grey image file.

    Raises
    ------
    InputError
        If the text cannot be read, or the image is no kernel.

    Examples
    --------
    >>> point_spread("disk:0").tolist()
    [[1.0]]
    """
    from wellposed.operators.convolution import disk_kernel, gaussian_kernel

    kind, _, number = text.partition(":")
    if kind in ("gaussian", "disk") and not Path(text).exists():
        try:
            size = float(number)
        except ValueError:
            raise InputError(f"--psf {text} has no size; write e.g. --psf {kind}:2.0 (pixels)") from None
        with as_input_error():
            return gaussian_kernel(size) if kind == "gaussian" else disk_kernel(size)
    if not Path(text).exists():
        raise InputError(
            f"--psf {text} is neither gaussian:SIGMA nor disk:RADIUS nor an existing image file; write e.g. "
            "--psf gaussian:2.0"
        )
    image = read_image(Path(text))
    if image.colour or image.pixels.ndim != 2:
        raise InputError(
            f"the point spread function {text} is no grey image; give one of shape (rows, columns)"
        )
    total = float(image.pixels.sum(dtype=np.float64))
    if total <= 0 or image.pixels.min() < 0:
        raise InputError(f"the point spread function {text} needs numbers of at least 0, not all of them 0")
    return image.pixels.astype(np.float64) / total


def run(request: Request, console: Console) -> int:
    """Do it.

    Returns
    -------
    int
        Exit code: 0, or 130 after Ctrl-C.

    Raises
    ------
    InputError
        For bad input, before work starts.
    """
    if not request.plan_only:
        request.outputs.check()
    image = read_image(request.image)
    truth = _truth(request, image)
    if request.prior == "tgv" and image.colour:
        raise InputError("--prior tgv works on grey images and volumes; use --prior tv for colour")
    blur = None if request.psf is None else _blur(request, image)
    learned = None if request.params is None else _learned(request, request.params, image)

    def build(weight: float | Parameter) -> Functional:
        if learned is not None:
            first = learned.prior == "weighted-tv"
            prior, values = ("tv", learned.initial) if first else (learned.prior, learned.values)
            return objective(
                prior, values, blur, image.pixels, ridge=learned.ridge, channels=learned.channels
            )
        return _objective(request, image, blur, weight)

    plan = planned(build, request.options)
    if request.plan_only:
        print(plan)
        return 0
    console.stage(f"{request.image.name}: {' x '.join(map(str, image.pixels.shape))}, {image.stored}")
    with Interrupt().listening() as interrupt:
        if learned is None:
            solution = solve(build, request.options, console, interrupt)
        else:
            solution = _solve_learned(request, learned, image, blur, console, interrupt)
    _write(request, image, truth, solution, console)
    return INTERRUPTED if interrupt.requested else 0


def _learned(request: Request, path: Path, image: Image) -> LearnedFile:
    """The learned parameters, if they are for such images."""
    learned = read_learned(path)
    learned.require("denoise" if request.psf is None else "deblur", path)
    if image.pixels.ndim - image.colour != 2:
        raise InputError(f"the parameters {path} are for images, and the file holds a volume")
    if learned.channels != (3 if image.colour else 1):
        kinds = {1: "grey", 3: "colour"}
        raise InputError(
            f"the parameters {path} were learned on {kinds[learned.channels]} images, {request.image} is "
            f"{kinds[3 if image.colour else 1]}; convert it, or learn on such images"
        )
    return learned


def _solve_learned(
    request: Request,
    learned: LearnedFile,
    image: Image,
    blur: LinearOperator | None,
    console: Console,
    interrupt: Interrupt,
) -> Solution:
    solution = solve_learned(
        learned, blur, image.pixels, request.options, console, interrupt, request.nonnegative
    )
    notes = list(learned.warnings(request.options.noise))
    if request.psf is not None and (blurred := learned.setting.get("psf")) != request.psf:
        notes.append(f"the parameters were learned for the blur {blurred}, not {request.psf}")
    here = image_scale(image.pixels)
    if not 1 / 3 < here / learned.image_scale < 3:
        notes.append(
            f"the parameters were learned on images whose 99th percentile is {learned.image_scale:.3g}; "
            f"here it is {here:.3g}: scale the image"
        )
    return replace(solution, notes=(*solution.notes, *notes))


def _truth(request: Request, image: Image) -> NDArray[Any] | None:
    if request.truth is None:
        return None
    truth = read_image(request.truth)
    if truth.pixels.shape != image.pixels.shape:
        raise InputError(
            f"the truth {request.truth} has shape {truth.pixels.shape}, the image {image.pixels.shape}; "
            "they must agree"
        )
    return truth.pixels


def blurring(
    kernel: NDArray[np.float64], shape: tuple[int, ...], colour: bool, boundary: str
) -> LinearOperator:
    """The blur of images of a shape by a point spread function.

    Raises
    ------
    InputError
        If the kernel is larger than the image.
    """
    from wellposed.operators.convolution import Convolution

    if any(k > n for k, n in zip(kernel.shape, shape[:2], strict=True)):
        raise InputError(
            f"the point spread function of {kernel.shape[0]} x {kernel.shape[1]} pixels is larger than the "
            f"image of {shape[0]} x {shape[1]}; give a smaller one"
        )
    with as_input_error():
        return Convolution(kernel[..., np.newaxis] if colour else kernel, shape, boundary=boundary)


def _blur(request: Request, image: Image) -> LinearOperator:
    assert request.psf is not None
    kernel = point_spread(request.psf)
    if not image.colour and image.pixels.ndim == 3:
        raise InputError("deblur takes images, and the file holds a volume; give its slices one by one")
    return blurring(kernel, image.pixels.shape, image.colour, request.boundary)


def _objective(
    request: Request, image: Image, blur: LinearOperator | None, weight: float | Parameter
) -> Functional:
    from wellposed.functionals.datafits import LeastSquares
    from wellposed.functionals.indicators import NonNegative

    prior = prior_of(request.prior, channel_axis=-1 if image.colour else None)
    total = LeastSquares(blur, image.pixels) + weight * prior
    return total + NonNegative() if request.nonnegative else total


def _write(
    request: Request, image: Image, truth: NDArray[Any] | None, solution: Solution, console: Console
) -> None:
    result, options = solution.result, request.options
    restored = np.asarray(result.x)
    verb = "denoised" if request.psf is None else "deblurred"
    given = "noisy" if request.psf is None else "blurred"
    panels = {given: image.pixels, verb: restored}
    metrics = {}
    if truth is not None:
        axis = -1 if image.colour else None
        span = 1.0 if image.scale != 1.0 else None
        metrics = {name: quality(panel, truth, span, axis) for name, panel in panels.items()}
        panels = {"truth": truth, **panels}
    summary = certificate_sentence(
        f"{_PRIORS[_prior(request)]} {'denoising' if request.psf is None else 'deblurring'} with weight "
        f"{solution.weight:.4g}",
        result.certificate.kind,
        result.certificate.relative,
        options.tol,
        iterations=result.iterations,
        seconds=result.seconds,
        finished=not solution.interrupted,
    )
    facts = {
        "status": "interrupted" if solution.interrupted else result.status,
        "certificate": str(result.certificate),
        "solver": f"{result.plan.solver}, {result.iterations} iterations",
        "objective": f"{result.objective:.8g}",
        "weight": f"{solution.weight:.5g}",
        "weight chosen by": solution.chosen_by,
        "scale": f"the numbers of the file were divided by {image.scale:g}",
    }
    notes = [*image.notes, *solution.notes]
    attributes = {"summary": summary, "command": request.outputs.command, **facts}
    if notes:
        attributes["notes"] = " | ".join(notes)
    digest, rule = fingerprint(request.image)
    window = (0.0, 1.0) if image.scale != 1.0 else None
    report = Report(
        title=f"{request.image.name}, {verb}",
        summary=summary,
        good=not solution.interrupted and result.certificate.relative <= options.tol,
        images=panels,
        command=request.outputs.command,
        plan=str(result.plan),
        history=history_of(result),
        tol=options.tol,
        window=window,
        notes=notes,
        outcome=facts,
        provenance={
            "file": str(request.image.resolve()),
            "numbers": f"{' x '.join(map(str, image.pixels.shape))}, {image.stored}",
            f"sha256 ({rule})": digest,
        },
        settings=_settings(request),
        timings=solution.timings,
        metrics=metrics,
        reference=f"the image {request.truth}" if request.truth else "",
    )
    console.result(summary)
    request.outputs.write(restored, attributes, report, console, window=window, notes=notes)


def _settings(request: Request) -> dict[str, str]:
    options = request.options
    settings = {
        "image": str(request.image.resolve()),
        "prior": _prior(request),
        "params": str(request.params),
        "weight": "auto" if options.weight is None else f"{options.weight!r}",
        "rule": options.rule,
        "noise": "estimated" if options.noise is None else f"{options.noise!r}",
        "nonnegative": str(request.nonnegative),
        "tol": f"{options.tol:g}",
        "max-iter": "default" if options.max_iter is None else str(options.max_iter),
    }
    if request.psf is not None:
        settings |= {"psf": request.psf, "boundary": request.boundary}
    return settings


def _prior(request: Request) -> str:
    return request.prior if request.params is None else "learned"
