"""The command ``wellposed learn``: parameters of a prior from true images."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import learn_report, learn_stages
from wellposed.app.console import Console, Interrupt
from wellposed.app.errors import InputError
from wellposed.app.files import check_writable, full_suffix
from wellposed.app.learn_data import Degradation, Example, examples, read_truths
from wellposed.app.learned_file import NOISE_UNITS, LearnedFile, write_learned
from wellposed.app.learned_objective import image_scale, solve_learned, starting
from wellposed.app.solve import Options
from wellposed.problems.metrics import psnr

if TYPE_CHECKING:
    from wellposed.solvers.bilevel.learned import Learned

__all__ = ["Request", "run"]

INTERRUPTED = 130
RIDGE = {"denoise": 0.0, "deblur": 1e-3, "ct": 1e-4}
"""Relative weight of the squared norm: images that the data do not tell at all must have a minimiser, too."""


@dataclass(frozen=True)
class Request:
    """Everything that the command was asked for.

    Attributes
    ----------
    train, validate : Path
        Folders of true images.
    degradation : Degradation
    prior : {"tv", "weighted-tv", "foe", "tikhonov"}
    output : Path
        ``.json``; a picture of the same name lies beside it.
    report : Path or None
        HTML.
    crop, crops : int or None, int
        Side and number of the random parts of each image.
    grey : bool
        Make colour images grey.
    filters, filter_size : int or None, int
        Of a field of experts.
    eta, power : float or None, float
        Of ``weighted-tv``; None: searched for.
    limits : learn_stages.Limits
    seed : int
    checkpoint, resume
        File to go on from, and whether to.
    command : str
        The command line that repeats the run.
    """

    train: Path
    validate: Path
    degradation: Degradation
    prior: str
    output: Path
    limits: learn_stages.Limits
    report: Path | None = None
    crop: int | None = None
    crops: int = 1
    grey: bool = False
    filters: int | None = None
    filter_size: int = 5
    eta: float | None = None
    power: float = 0.5
    seed: int = 0
    checkpoint: Path | None = None
    resume: bool = False
    command: str = ""

    @property
    def picture(self) -> Path:
        """The figure beside the parameters."""
        return self.output.with_suffix(".png")


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
    begun = time.perf_counter()
    _check(request)
    training, held = _examples(request)
    channels = 3 if training[0].truth.ndim == 3 else 1
    scale = float(np.mean([image_scale(e.simple()) for e in training]))
    task = request.degradation.task
    console.stage(
        f"{len(training)} images to learn from, {len(held)} to validate with; {task}, {request.prior}"
    )
    start = LearnedFile(
        task=task,
        prior=request.prior,
        noise=request.degradation.noise,
        channels=channels,
        image_scale=scale,
        values={},
        ridge=RIDGE[task],
        power=request.power,
        setting=request.degradation.setting | {"size": " x ".join(map(str, training[0].truth.shape[:2]))},
    )
    with Interrupt().listening() as interrupt:
        lesson = learn_stages.Lesson(start, training, held, request.limits, console, interrupt)
        files = learn_stages.Files(request.checkpoint, request.resume)
        learned, run_ = learn_stages.learned(lesson, files, request.filters, request.filter_size, request.eta)
    _write(request, learned, run_, held, time.perf_counter() - begun, interrupt.requested, console)
    if not interrupt.requested:
        files.remove()
    return INTERRUPTED if interrupt.requested else 0


def _check(request: Request) -> None:
    if full_suffix(request.output) != ".json":
        raise InputError(f"the output {request.output} is a JSON file; give it the suffix .json")
    check_writable(request.output)
    if request.report is not None:
        if full_suffix(request.report) not in (".html", ".htm"):
            raise InputError(f"the report {request.report} is an HTML page; give it the suffix .html")
        check_writable(request.report)
    task = request.degradation.task
    if (request.degradation.psf is None) == (task == "deblur"):
        raise InputError(
            "--task deblur needs the blur; write e.g. --psf gaussian:2.0"
            if task == "deblur"
            else f"--psf is for --task deblur, not for {task}; leave it out"
        )
    if request.crops > 1 and request.crop is None:
        raise InputError("--crops is the number of parts cut out of each image; give their side with --crop")
    if request.eta is not None and request.prior != "weighted-tv":
        raise InputError(f"--eta is for --prior weighted-tv, not for {request.prior}; leave it out")
    if request.filters is not None and request.prior != "foe":
        raise InputError(f"--filters is for --prior foe, not for {request.prior}; leave it out")
    if request.prior == "foe":
        starting("foe", 1.0, 1.0, request.filters, request.filter_size)
    if request.resume and request.checkpoint is None:
        raise InputError("--resume needs --checkpoint FILE, the file to go on from")


def _examples(request: Request) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    grey = request.grey or request.prior == "foe" or request.degradation.task == "ct"
    both = []
    for number, (folder, option) in enumerate(((request.train, "--train"), (request.validate, "--validate"))):
        truths = read_truths(
            folder,
            option,
            grey=grey,
            crop=request.crop,
            crops=request.crops,
            seed=2 * request.seed + number,
        )
        both.append(examples(truths, request.degradation, (request.seed, number)))
    kinds = {e.truth.ndim: e.name for found in both for e in found}
    if len(kinds) > 1:
        raise InputError(f"{kinds[3]} is a colour image and {kinds[2]} a grey one; add --grey, or sort them")
    return both[0], both[1]


def _write(
    request: Request,
    learned: LearnedFile,
    run_: Learned,
    held: tuple[Example, ...],
    seconds: float,
    stopped: bool,
    console: Console,
) -> None:
    console.stage("restoring the validation images")
    options = Options(tol=1e-3)
    quiet, interrupt = Console(quiet=True), Interrupt(quiet=True)
    before, after = {}, {}
    for example in held:
        before[example.name] = example.simple()
        solution = solve_learned(learned, example.operator, example.data, options, quiet, interrupt)
        after[example.name] = np.asarray(solution.result.x)
    scores = {e.name: (_decibel(before[e.name], e.truth), _decibel(after[e.name], e.truth)) for e in held}
    first, last = (float(np.mean([s[k] for s in scores.values()])) for k in (0, 1))
    status = "interrupted" if stopped else "settled" if run_.status == "stopped" else run_.status
    learned = replace(
        learned,
        training={
            "images": str(len(run_.x)),
            "validation images": str(len(held)),
            "validation PSNR before": f"{first:.2f} dB",
            "validation PSNR": f"{last:.2f} dB",
            "loss": f"{run_.loss:.6g}",
            "validation loss": f"{run_.validation:.6g}",
            "method": run_.method,
            "status": status,
            "work": f"{run_.work:.0f} iterations per image",
            "seconds": f"{seconds:.1f}",
            "seed": str(request.seed),
            "command": request.command,
        },
    )
    write_learned(request.output, learned)
    summary = (
        f"{learned}; PSNR of the {len(held)} validation images {first:.2f} -> {last:.2f} dB, "
        f"{run_.work:.0f} iterations per image in {seconds:.1f} s"
    )
    console.result(summary)
    if stopped:
        console.note("interrupted by Ctrl-C: these are the best parameters so far")
    made = learn_report.Made(learned, run_, held, before, after, scores, summary, request.command, stopped)
    learn_report.write_picture(request.picture, made)
    written = [request.output, request.picture]
    if request.report is not None:
        learn_report.write_page(request.report, made, _settings(request))
        written.append(request.report)
    console.result("wrote " + ", ".join(map(str, written)))


def _decibel(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """PSNR; the data range is at least 1, that of images of 8 and 16 bits."""
    return psnr(image, truth, data_range=max(1.0, float(np.ptp(truth))))


def _settings(request: Request) -> dict[str, str]:
    shown: dict[str, Any] = {
        "task": request.degradation.task,
        "train": request.train.resolve(),
        "validate": request.validate.resolve(),
        "prior": request.prior,
        "noise": f"{request.degradation.noise:g} ({NOISE_UNITS[request.degradation.task]})",
        **request.degradation.setting,
        "crop": request.crop,
        "crops": request.crops,
        "grey": request.grey,
        "filters": request.filters,
        "filter-size": request.filter_size,
        "eta": request.eta,
        "power": request.power,
        "method": request.limits.method,
        "max-iter": request.limits.max_iter,
        "max-seconds": request.limits.max_seconds,
        "workers": request.limits.workers,
        "seed": request.seed,
    }
    return {label: "default" if value is None else str(value) for label, value in shown.items()}
