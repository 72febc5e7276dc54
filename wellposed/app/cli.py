"""The command line ``wellposed``; each command imports what it needs when it is run, for quick help."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

import wellposed
from wellposed.app.errors import InputError
from wellposed.app.options import COMMON, Common, Flag, ImagePrior, Output, Positive, Quiet, number

__all__ = ["app", "main"]

BAD_INPUT = 2
INTERRUPTED = 130
READER_GONE = 141

_EPILOGUE = (
    "Exit codes: 0 done, 2 bad input (one line says what is wrong), 130 stopped by Ctrl-C "
    "(the best image so far is written, and marked)."
)

app = App(
    name="wellposed",
    version=wellposed.__version__,
    help="Ill-posed imaging problems made well-posed: a scan or image in, a result with a certificate out.",
    help_epilogue=_EPILOGUE,
    help_format="plaintext",
    default_parameter=Parameter(negative_iterable=()),
)


@app.command
def reconstruct(
    scan: Path,
    /,
    *,
    output: Output = Path("recon.tif"),
    slice_: Annotated[str, Parameter(name="--slice")] = "0",
    views: Annotated[int | None, Parameter(validator=Positive)] = None,
    prior: Literal["tv", "tgv", "weighted-tv", "graph", "none"] = "tv",
    initial: Literal["tv", "fbp", "tikhonov"] = "tv",
    eta: Annotated[float | None, Parameter(validator=Positive)] = None,
    power: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.1,
    radius: Annotated[int, Parameter(validator=Positive)] = 4,
    sigma: Annotated[float | None, Parameter(validator=Positive)] = None,
    nonnegative: bool = True,
    center: str = "auto",
    rings: Annotated[bool, Flag] = False,
    angles: str | None = None,
    white: Path | None = None,
    dark: Path | None = None,
    allow_saturated: Annotated[bool, Flag] = False,
    geometry: Literal["parallel", "fan"] = "parallel",
    source_origin: Annotated[float | None, Parameter(validator=Positive)] = None,
    origin_detector: Annotated[float | None, Parameter(validator=Number(gte=0))] = None,
    pixel_size: Annotated[float | None, Parameter(validator=Positive)] = None,
    size: Annotated[int | None, Parameter(validator=Positive)] = None,
    double: Annotated[bool, Flag] = False,
    checkpoint: Path | None = None,
    resume: Annotated[bool, Flag] = False,
    checkpoint_seconds: Annotated[float, Parameter(validator=Number(gte=0))] = 5.0,
    workers: Annotated[int | None, Parameter(validator=Positive)] = None,
    common: Common = COMMON,
) -> int:
    """Reconstruct slices of a CT scan by a variational method, with a certificate.

    Where --views leaves some of the views out, the filtered back-projection of all of them is the
    reference that the results are compared with.

    Parameters
    ----------
    scan
        Data-exchange HDF5 (.h5), a TIFF stack or folder (with --white, --dark, --angles), or .npz with the
        arrays sinogram and angles.
    slice_
        Slice (detector row), or a range like 0:8 for a volume; its end is not included.
    views
        Use this many of the views, evenly spread.
    prior
        Total variation, total generalised variation, total variation with weights that spare the edges of
        an initial image, the graph Laplacian of an initial image, or none: filtered back-projection only.
    initial
        Image that --prior weighted-tv or graph starts from: total variation at a weight chosen from the
        data, filtered back-projection, or (graph only) Tikhonov regularisation.
    eta
        Jumps of the initial image well below it count as flat (default: from their sizes).
    power
        How much edges are spared: 1 not at all, near 0 the most.
    radius
        Of the graph: pixels are joined to others at most this far away along each axis.
    sigma
        Of the graph: values of the initial image that differ by more than this are hardly joined (default:
        from its range).
    nonnegative
        Keep the image at or above zero.
    center
        Rotation axis in detector columns, counted from 0, or auto (found).
    rings
        Remove the stripes of faulty detector columns first.
    angles
        START:STOP in degrees, evenly spaced, STOP excluded; or a text file with one angle per line.
    white
        Flat fields of a TIFF stack.
    dark
        Dark fields of a TIFF stack.
    allow_saturated
        Go on where counts are saturated.
    geometry
        Parallel rays, or a fan from a point source.
    source_origin
        Fan beam: distance of the source from the rotation axis.
    origin_detector
        Fan beam: distance of the detector from the rotation axis.
    pixel_size
        Spacing of the detector columns: the unit of length (default: from the file, or 1).
    size
        Rows and columns of the image (default: the number of detector columns).
    double
        Compute in double precision, for a small --tol.
    checkpoint
        Save the run here now and then; deleted when the run has reached its tolerance.
    resume
        Go on with the run saved in the checkpoint, if there is one.
    checkpoint_seconds
        Time between two saves.
    workers
        Processes for the slices of a volume (default: the cores).
    """
    from wellposed.app import reconstruct as work
    from wellposed.app.console import Console
    from wellposed.app.geometry import Geometry
    from wellposed.app.learned_file import read_learned
    from wellposed.app.outputs import Outputs
    from wellposed.app.scan_task import Source, Task, Weighting

    if prior == "weighted-tv" and initial == "tikhonov":
        raise InputError("--initial tikhonov goes with --prior graph; use --initial tv or fbp")
    options = common.options(prior)
    learned = None if common.params is None else read_learned(common.params)
    if learned is not None and common.params is not None:
        learned.require("ct", common.params)
    task = Task(
        row=0,
        source=Source(scan, angles, white, dark, allow_saturated, rings, double),
        geometry=Geometry(
            geometry,
            views,
            number(center, "--center"),
            source_origin,
            origin_detector,
            pixel_size,
            size,
        ),
        prior=prior if learned is None else "learned",
        nonnegative=nonnegative,
        options=options,
        weighting=Weighting(initial, eta, power, radius, sigma),
        learned=learned,
    )
    request = work.Request(
        task,
        slice_,
        Outputs(output, common.report, _command()),
        checkpoint,
        resume,
        checkpoint_seconds,
        workers,
        common.truth,
        common.plan,
    )
    return work.run(request, Console(common.quiet))


@app.command
def denoise(image: Path, /, *, output: Output, prior: ImagePrior = "tv", common: Common = COMMON) -> int:
    """Remove noise from a grey or colour image or a volume.

    Parameters
    ----------
    image
        .png .jpg .tif .npy .npz .nii and others; 8 and 16 bits are scaled to 0..1.
    prior
        Total variation (joined over the colours), or total generalised variation (grey only).
    """
    return _restore(image, output, prior, common)


@app.command
def deblur(
    image: Path,
    /,
    *,
    psf: str,
    output: Output,
    boundary: Literal["reflect", "periodic", "zero"] = "reflect",
    prior: ImagePrior = "tv",
    nonnegative: Annotated[bool, Flag] = False,
    common: Common = COMMON,
) -> int:
    """Undo a known blur of a grey or colour image.

    Parameters
    ----------
    image
        .png .jpg .tif .npy .npz .nii and others; 8 and 16 bits are scaled to 0..1.
    psf
        Point spread function: gaussian:SIGMA or disk:RADIUS in pixels, or a grey image file.
    boundary
        What lies beyond the border: the mirror image, the opposite side, or zero.
    prior
        Total variation (joined over the colours), or total generalised variation (grey only).
    nonnegative
        Keep the image at or above zero.
    """
    return _restore(image, output, prior, common, psf, boundary, nonnegative)


def _restore(
    image: Path,
    output: Path,
    prior: ImagePrior,
    common: Common,
    psf: str | None = None,
    boundary: str = "reflect",
    nonnegative: bool = False,
) -> int:
    from wellposed.app import restore
    from wellposed.app.console import Console
    from wellposed.app.outputs import Outputs

    request = restore.Request(
        image,
        prior,
        common.options(prior),
        Outputs(output, common.report, _command()),
        psf,
        boundary,
        nonnegative,
        common.truth,
        common.plan,
        common.params,
    )
    return restore.run(request, Console(common.quiet))


@app.command
def learn(
    *,
    task: Literal["denoise", "deblur", "ct"],
    train: Path,
    validate: Path,
    noise: Annotated[float, Parameter(validator=Positive)],
    prior: Literal["tv", "weighted-tv", "foe", "tikhonov"] = "tv",
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("params.json"),
    report: Annotated[Path | None, Parameter(name="--report")] = None,
    psf: str | None = None,
    boundary: Literal["reflect", "periodic", "zero"] = "reflect",
    views: Annotated[int, Parameter(validator=Positive)] = 60,
    crop: Annotated[int | None, Parameter(validator=Number(gte=8))] = None,
    crops: Annotated[int, Parameter(validator=Positive)] = 1,
    grey: Annotated[bool, Flag] = False,
    filters: Annotated[int | None, Parameter(validator=Positive)] = None,
    filter_size: Annotated[int, Parameter(validator=Number(gte=2))] = 5,
    eta: Annotated[float | None, Parameter(validator=Positive)] = None,
    power: Annotated[float, Parameter(validator=Number(gt=0, lte=1))] = 0.5,
    method: Literal["quasi-newton", "maid"] = "quasi-newton",
    max_iter: Annotated[int, Parameter(validator=Positive)] = 50,
    max_seconds: Annotated[float | None, Parameter(validator=Positive)] = None,
    workers: Annotated[int, Parameter(validator=Positive)] = 1,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    checkpoint: Path | None = None,
    resume: Annotated[bool, Flag] = False,
    quiet: Quiet = False,
) -> int:
    """Learn the parameters of a prior from true images, for denoise, deblur and reconstruct --params.

    The images are degraded with seeded noise; the parameters with which they are restored best, and which
    do best on other images, are written with all that is needed to use them.

    Parameters
    ----------
    task
        What the parameters are for: noise, a known blur with noise, or a parallel-beam scan with noise.
    train
        Folder of true images to learn from.
    validate
        Folder of other true images, by which the parameters are judged.
    noise
        Standard deviation of the noise (8 and 16 bits are scaled to 0..1); for ct as a share of the largest
        line integral.
    prior
        Smoothed total variation; one that spares the edges of a first image; filters with their weights
        (field of experts, grey only); or the squared gradient.
    output
        JSON; a PNG of the same name with the loss and an example is written beside it.
    report
        HTML report, self-contained.
    psf
        For deblur: gaussian:SIGMA or disk:RADIUS in pixels, or a grey image file.
    boundary
        For deblur: what lies beyond the border.
    views
        For ct: projections over half a turn.
    crop
        Learn on random squares of this side, which is faster.
    crops
        Squares cut out of each image.
    grey
        Make colour images grey.
    filters
        Of the field of experts (default: all of their size but the constant).
    filter_size
        Side of the filters.
    eta
        Of weighted-tv: jumps of the first image well below it count as flat (default: searched for).
    power
        Of weighted-tv: how much edges are spared, 1 not at all, near 0 the most.
    method
        Quasi-Newton steps, the fastest, or MAID, whose steps are proven to decrease the loss.
    max_iter
        Steps of the learning method.
    max_seconds
        Time for each run of it; weighted-tv takes several.
    workers
        Processes over which large images are spread.
    seed
        Of noise and squares.
    checkpoint
        Save the run here now and then; deleted at its end.
    resume
        Go on with the run saved in the checkpoint, if there is one.
    """
    from wellposed.app import learn as work
    from wellposed.app.console import Console
    from wellposed.app.learn_data import Degradation
    from wellposed.app.learn_stages import Limits

    request = work.Request(
        train,
        validate,
        Degradation(task, noise, psf, boundary, views),
        prior,
        output,
        Limits(max_iter, math.inf if max_seconds is None else max_seconds, workers, method),
        report,
        crop,
        crops,
        grey,
        filters,
        filter_size,
        eta,
        power,
        seed,
        checkpoint,
        resume,
        _command(),
    )
    return work.run(request, Console(quiet))


@app.command
def info(file: Path, /, *, angles: str | None = None) -> int:
    """Say what is in a scan, an image, or a result of this program.

    Parameters
    ----------
    file
        File or folder.
    angles
        As for reconstruct.
    """
    from wellposed.app.information import describe

    found = describe(file, angles)
    width = max(map(len, found))
    for label, text in found.items():
        print(f"{label:{width}}  {text}")
    return 0


@app.command
def demo(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("demo-output"),
    quiet: Quiet = False,
) -> int:
    """Simulate a noisy few-view scan of a real CT slice and reconstruct it.

    Parameters
    ----------
    output
        Folder for the scan, the pictures and the report.
    """
    from wellposed.app import demo as work
    from wellposed.app.console import Console

    return work.run(output, Console(quiet))


@app.command
def reproduce(
    experiment: str | None = None,
    /,
    *,
    list_: Annotated[bool, Parameter(name="--list", negative="")] = False,
    full: Annotated[bool, Flag] = False,
    seed: Annotated[int, Parameter(validator=Number(gte=0))] = 0,
    output: Annotated[Path, Parameter(name=["--output", "-o"])] = Path("reproduced"),
    quiet: Quiet = False,
) -> int:
    """Measure the claims of a paper: a table of those that hold and those that do not, and a figure.

    Parameters
    ----------
    experiment
        Which paper; see --list.
    list_
        List the experiments, and stop.
    full
        At the large size, which may take hours; the small one takes about a minute.
    seed
        Of the first of the random problems.
    output
        Folder for the figure (.png) and the numbers behind the table (.json).
    """
    from wellposed.app import reproduce as work
    from wellposed.app.console import Console

    if list_:
        return work.list_experiments()
    if experiment is None:
        raise InputError("name an experiment; wellposed reproduce --list lists them")
    return work.run(experiment, full, seed, output, Console(quiet))


def _command() -> str:
    """The command line that is being run."""
    return shlex.join(["wellposed", *_arguments])


_arguments: list[str] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, 2 for bad input, 130 after Ctrl-C, 141 if the reader of the output has gone.
    """
    _arguments[:] = sys.argv[1:] if arguments is None else arguments
    try:
        done = app(list(_arguments), print_error=False, exit_on_error=False, result_action="return_value")
        sys.stdout.flush()
    except InputError as error:
        return _refuse(str(error))
    except CycloptsError as error:
        return _refuse(f"{' '.join(str(error).split())} See wellposed --help.")
    except MemoryError:
        return _refuse("not enough memory; use a smaller image, fewer views or a larger machine")
    except KeyboardInterrupt:
        print("wellposed: interrupted, nothing was written", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Who reads the output has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    return done if isinstance(done, int) else 0


def _refuse(message: str) -> int:
    print(f"wellposed: {message}", file=sys.stderr)
    return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
