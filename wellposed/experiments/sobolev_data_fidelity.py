r"""Sobolev norms as data fits: denoising, deblurring, cycle skipping and full waveform inversion.

B. Zhu, J. Hu, Y. Lou and Y. Yang, Implicit regularization effects of the Sobolev norms in image
processing, arXiv 2109.06255. Misfits :math:`\|A u - f\|_{H^s}^2 / 2` of several orders ``s``, on the same
data; each denoising with the weight that is best for it, as the truth is known. The papers' set-ups are not
all known: images are scikit-image's camera, velocities a model with dipping layers.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from wellposed.experiments._model import Claim, Experiment, Report, at_least, at_most
from wellposed.functionals.sobolev import SobolevLeastSquares
from wellposed.functionals.tv import TotalVariation
from wellposed.functionals.waveform import WaveformLeastSquares
from wellposed.operators.convolution import Convolution, gaussian_kernel
from wellposed.operators.sobolev import BesselPotential
from wellposed.operators.waveform import ricker
from wellposed.problems.metrics import psnr, relative_error
from wellposed.problems.waveform import WaveformProblem, layers, waveform_inversion
from wellposed.solvers.minimize import minimize
from wellposed.solvers.result import ConvergenceWarning

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Size:
    """How large the experiment is."""

    pixels: int
    spectra: tuple[float, ...]
    model: tuple[int, int]
    sources: int
    iterations: int
    orders: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0, 2.0)
    speeds: tuple[float, ...] = (-1.0, -0.5, 0.0, 0.5, 1.0)
    inversions: tuple[float, ...] = (-2.0, -1.0, 0.0, 1.0)
    steps: int = 120
    tol: float = 1e-3


SMALL = Size(pixels=64, spectra=(-2.0, 0.0, 2.0), model=(24, 48), sources=4, iterations=15)
FULL = Size(pixels=128, spectra=(-2.0, -1.0, 0.0, 1.0, 2.0), model=(48, 96), sources=8, iterations=60)


def picture(pixels: int) -> np.ndarray:
    """The camera image in [0, 1], resized."""
    from skimage.data import camera
    from skimage.transform import resize

    image: Any = camera() / 255.0  # type: ignore[no-untyped-call]
    return np.asarray(resize(image, (pixels, pixels), anti_aliasing=True))  # type: ignore[no-untyped-call]


def coloured(white: np.ndarray, r: float, sd: float) -> np.ndarray:
    """White noise given the power spectrum ``(1 + S)^r``, then rescaled to a standard deviation."""
    noise = BesselPotential(white.shape, r)(white)
    return np.asarray(sd * noise / noise.std())


# --- denoising ----------------------------------------------------------------------------------

STEPS_PER_DECADE = 6


def best_psnr(truth: np.ndarray, noisy: np.ndarray, s: float, tol: float) -> tuple[float, float]:
    """The best PSNR of TV denoising with this misfit, and its weight ``mu``, on a grid of 1/6 decade."""
    known: dict[int, float] = {}

    def at(k: int) -> float:
        if k not in known:
            mu = 10 ** (k / STEPS_PER_DECADE)
            fit = SobolevLeastSquares(None, noisy, s)
            x = minimize(mu * fit + TotalVariation(), tol=tol, progress=False).x
            known[k] = psnr(x, truth, data_range=1.0)
        return known[k]

    k = STEPS_PER_DECADE
    for stride in (STEPS_PER_DECADE // 2, 1):
        while at(k) < max(at(k - stride), at(k + stride)):
            k += stride if at(k + stride) > at(k - stride) else -stride
    return at(k), 10 ** (k / STEPS_PER_DECADE)


def denoising(size: Size, seed: int) -> tuple[dict[float, dict[float, float]], list[Claim]]:
    """The best PSNR by spectrum ``r`` of the noise and order ``s`` of the misfit."""
    truth = picture(size.pixels)
    white = np.random.default_rng(seed).standard_normal(truth.shape)
    table = {
        r: {s: best_psnr(truth, truth + coloured(white, r, 0.1), s, size.tol)[0] for s in size.orders}
        for r in size.spectra
    }
    return table, list(_denoising_claims(table))


def _denoising_claims(table: dict[float, dict[float, float]]) -> Iterator[Claim]:
    best = {r: max(row, key=lambda s: row[s]) for r, row in table.items()}
    falls = all(a >= b for a, b in itertools.pairwise(best[r] for r in sorted(best)))
    shown = ", ".join(f"r={r:g}: s={best[r]:g}" for r in sorted(best))
    yield Claim(
        "denoising: the best order s for noise of spectrum (1+S)^r", "does not rise with r", shown, falls
    )
    for r, gain in ((2.0, 1.2), (-2.0, 0.3)):
        if r in table:
            yield at_least(
                f"denoising, r={r:g}: PSNR of the best s over s=0, dB",
                max(table[r].values()) - table[r][0.0],
                gain,
                "The bound is for 128 x 128 pixels.",
            )
    if 0.0 in table:
        yield at_least(
            "denoising, white noise: PSNR of s=0 over s=2, dB", table[0.0][0.0] - table[0.0][2.0], 4.0
        )


# --- deblurring -----------------------------------------------------------------------------------


def descend(size: Size, s: float, seed: int) -> dict[str, Any]:
    """Gradient descent from zero on the misfit of a blurred image: PSNR and images by iteration."""
    truth = picture(size.pixels)
    A = Convolution(gaussian_kernel(1.5), truth.shape, "periodic")
    noise = np.random.default_rng(seed).standard_normal(truth.shape)
    fit = SobolevLeastSquares(A, A(truth) + 0.02 * noise, s)
    impulse = np.zeros(truth.shape)
    impulse[0, 0] = 1.0
    step = 1 / float(np.abs(np.fft.fft2(fit.hessian_product(impulse, impulse))).max())
    x, images, quality = np.zeros(truth.shape), [], []
    for _ in range(size.steps):
        x = x - step * fit.gradient(x)
        images.append(x)
        quality.append(psnr(x, truth, data_range=1.0))
    best = int(np.argmax(quality))
    return {"s": s, "best iteration": best + 1, "PSNR": quality[best], "truth": truth, "images": images}


def deblurring_claims(runs: list[dict[str, Any]]) -> Iterator[Claim]:
    """When descent should stop, and how good it is then."""
    counts = [run["best iteration"] for run in runs]
    falls = all(a > b for a, b in itertools.pairwise(counts))
    shown = ", ".join(f"s={run['s']:g}: {run['best iteration']}" for run in runs)
    yield Claim("deblurring by descent: the best iteration as s grows", "falls", shown, falls)
    ratio = counts[0] / counts[-1]
    yield Claim("deblurring: the best iteration, s=-1 over s=1", "5 to 10", f"{ratio:.3g}", 5 <= ratio <= 10)
    spread = max(run["PSNR"] for run in runs) - min(run["PSNR"] for run in runs)
    yield at_most("deblurring: spread of the best PSNR over s, dB", spread, 0.1)
    shares = [high_share(run["images"][9], run["truth"]) for run in runs]
    yield Claim(
        "deblurring: amplitude at half the largest frequency after 10 steps, over that of the truth",
        "rises with s",
        ", ".join(f"{share:.2g}" for share in shares),
        all(a < b for a, b in itertools.pairwise(shares)),
    )


def radial_spectrum(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Root mean square of the Fourier coefficients on rings, and their frequencies in cycles per pixel."""
    n = image.shape[0]
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n), indexing="ij"))
    ring = np.minimum((radius * n).round().astype(int), n // 2 + 1)
    power = np.bincount(ring.ravel(), (np.abs(np.fft.fft2(image)) ** 2).ravel()) / np.bincount(ring.ravel())
    return np.arange(1, n // 2) / n, np.sqrt(power[1 : n // 2])


def high_share(image: np.ndarray, truth: np.ndarray) -> float:
    """Amplitude of an image over that of the truth around a quarter of a cycle per pixel."""
    frequencies, amplitude = radial_spectrum(image)
    band = np.abs(frequencies - 0.25) < 0.05
    return float(np.mean(amplitude[band] / radial_spectrum(truth)[1][band]))


# --- cycle skipping -------------------------------------------------------------------------------

HOMOGENEOUS = 1e4
"""A unit of time in periods so large that the 1 in the weights does not count."""

PAPER_TURNS = {0.0: 0.4315, -1.0: 0.5513, 1.0: 0.3674, -2.0: math.inf}
"""Shift of a Ricker wavelet, times its frequency, up to which the homogeneous misfit grows."""

SMOOTHED_TURNS = {-1.0: 0.544, -2.0: 0.818}
"""The same with the inhomogeneous norm in the unit of one period."""


def misfits(s: float, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """The misfit of a Ricker wavelet of frequency 1 against itself, shifted by up to 2 periods."""
    dt, n = 0.01, 4096
    shifts = np.arange(0, 2, dt / 2)
    still = ricker(1.0, dt, n, delay=20.0)
    fit = SobolevLeastSquares(None, still, s, spacing=dt / unit, symbol="frequencies")
    return shifts, np.array([fit(ricker(1.0, dt, n, delay=20.0 + tau)) for tau in shifts])


def turning_point(s: float, unit: float) -> float:
    """The first shift at which the misfit falls again, refined by a parabola; infinite if it never does."""
    shifts, values = misfits(s, unit)
    falls = np.flatnonzero(np.diff(values) < -1e-9 * values.max())
    if not falls.size:
        return math.inf
    k = int(falls[0])
    left, top, right = values[k - 1 : k + 2]
    return float(shifts[k] + 0.5 * (left - right) / (left - 2 * top + right) * (shifts[1] - shifts[0]))


def recovered_shift(s: float, error: float) -> float:
    """Where descent along the misfit ends that starts at a shift of ``error`` periods."""
    shifts, values = misfits(s, HOMOGENEOUS)
    slope = np.gradient(values, shifts)
    tau, step = error, 0.2 / float(np.abs(np.gradient(slope, shifts)).max())
    for _ in range(3000):
        tau = min(max(tau - step * float(np.interp(abs(tau), shifts, slope)) * np.sign(tau), -1.9), 1.9)
    return abs(float(tau))


def skipping_claims() -> Iterator[Claim]:
    """The basins of attraction of a time shift."""
    for unit, table, name in (
        (HOMOGENEOUS, PAPER_TURNS, "homogeneous"),
        (1.0, SMOOTHED_TURNS, "unit 1 period"),
    ):
        for s, expected in table.items():
            found = turning_point(s, unit)
            holds = found == expected or abs(found / expected - 1) <= 0.01
            claimed = "grows for all shifts" if math.isinf(expected) else f"{expected:g} to 1 %"
            shown = "grows for all shifts" if math.isinf(found) else f"{found:.4f}"
            yield Claim(
                f"cycle skipping, {name}, s={s:g}: periods up to which misfits grow", claimed, shown, holds
            )
    ends = {s: recovered_shift(s, 0.5) for s in (0.0, -1.0)}
    yield Claim(
        "a shift of half a period, by descent: what is left of it",
        "less than 0.01 with s=-1, more than 0.4 with s=0",
        f"{ends[-1.0]:.2g} with s=-1, {ends[0.0]:.2g} with s=0",
        ends[-1.0] < 0.01 and ends[0.0] > 0.4,
    )


# --- full waveform inversion ------------------------------------------------------------------------

UNIT = 3 / (2 * np.pi * 4.0)
"""Unit of time of the norms, in seconds: the weights at the dominant 4 Hz are ``(1 + 3^2)^s``."""


@dataclass(frozen=True)
class Survey:
    """Data for an inversion, from where it starts, and what disturbs it."""

    name: str
    problem: WaveformProblem
    data: np.ndarray
    start: np.ndarray

    def invert(self, s: float, iterations: int) -> tuple[np.ndarray, list[float]]:
        """Velocities by L-BFGS without a regulariser, and their relative errors along the way."""
        fit = WaveformLeastSquares(self.problem.operator, self.data, s, unit=UNIT)
        errors: list[float] = []

        def note(info: Any) -> None:
            errors.append(relative_error(info.x, self.problem.truth))

        result = minimize(
            fit, self.start, tol=1e-12, max_iter=iterations, solver="lbfgs", callback=note, progress=False
        )
        return result.x, errors


def surveys(size: Size, seed: int) -> list[Survey]:
    """Clean data from near; data with rough noise; and a start from one velocity for the whole ground."""
    truth = layers(size.model)
    options: dict[str, Any] = {"sources": size.sources, "smoothing": size.model[0] / 8, "seed": seed}
    near = waveform_inversion(truth, noise=0.0, **options)
    far = waveform_inversion(truth, noise=0.05, frequency=5.0, **options)
    white = np.random.default_rng(seed).standard_normal(near.data.shape)
    rough = BesselPotential(white.shape, 2.0, "reflect", axes=(2,), spacing=near.operator.dt)(white)
    noise = 10 * float(np.sqrt(np.mean(near.data**2))) * rough / rough.std()
    return [
        Survey("clean", near, near.data, near.start),
        Survey("rough noise", near, (near.data + noise).astype(np.float32), near.start),
        Survey("poor start", far, far.data, np.full_like(far.start, 2.0)),
    ]


def inversions(size: Size, seed: int) -> dict[str, dict[str, Any]]:
    """Velocities and errors of every survey with every order."""
    done: dict[str, dict[str, Any]] = {}
    for survey in surveys(size, seed):
        runs = {s: survey.invert(s, size.iterations) for s in size.inversions}
        done[survey.name] = {
            "truth": survey.problem.truth,
            "start": survey.start,
            "velocities": {s: run[0] for s, run in runs.items()},
            "errors": {s: run[1] for s, run in runs.items()},
        }
    return done


def inversion_claims(done: dict[str, dict[str, Any]]) -> Iterator[Claim]:
    """The order of the final errors in each survey."""
    last = {name: {s: errors[-1] for s, errors in run["errors"].items()} for name, run in done.items()}

    def shown(name: str) -> str:
        start = done[name]["errors"][0.0][0]
        return ", ".join(f"s={s:g}: {e:.4f}" for s, e in last[name].items()) + f" (start {start:.4f})"

    clean, rough, poor = (list(last[name].values()) for name in ("clean", "rough noise", "poor start"))
    yield Claim(
        "waveform inversion, clean data: error after the same number of steps as s grows",
        "falls",
        shown("clean"),
        all(a > b for a, b in itertools.pairwise(clean)),
        "No regulariser. The sharpening effect of s > 0, which needs clean data.",
    )
    yield Claim(
        "waveform inversion, noise of 10 times the rms with spectrum (1+omega^2)^2: error",
        "s=-1 and s=0 below s=1",
        shown("rough noise"),
        max(rough[1], rough[2]) < rough[3],
        "The same steps as with clean data, where s=1 is best.",
    )
    yield Claim(
        "waveform inversion from one velocity for the whole ground: error as s falls",
        "falls",
        shown("poor start"),
        all(a < b for a, b in itertools.pairwise(poor)),
        "5 % noise. Wider basins of s < 0.",
    )


# --- the report -------------------------------------------------------------------------------------


def run_at(size: Size, seed: int) -> Report:
    """Measure all claims.

    Parameters
    ----------
    size : Size
    seed : int
        Of the noise.

    Returns
    -------
    Report
    """
    with warnings.catch_warnings():
        # Inversions are stopped on purpose after the same number of steps.
        warnings.simplefilter("ignore", ConvergenceWarning)
        table, denoised = denoising(size, seed)
        runs = [descend(size, s, seed) for s in size.speeds]
        done = inversions(size, seed)
    claims = (*denoised, *deblurring_claims(runs), *skipping_claims(), *inversion_claims(done))
    numbers = {
        "PSNR of denoising by r and s": {
            f"{r:g}": {f"{s:g}": v for s, v in row.items()} for r, row in table.items()
        },
        "deblurring": [{k: run[k] for k in ("s", "best iteration", "PSNR")} for run in runs],
        "errors of waveform inversion": {
            name: {f"{s:g}": errors for s, errors in run["errors"].items()} for name, run in done.items()
        },
    }
    return Report(claims, draw(table, runs, done), asdict(size), numbers)


def draw(
    table: dict[float, dict[float, float]], runs: list[dict[str, Any]], done: dict[str, dict[str, Any]]
) -> Figure:
    """Frequencies of the deblurred images, denoising, errors of the inversions, and velocities."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 10), layout="constrained")
    axes = figure.subplots(3, 3)
    _draw_spectra(axes[0, 0], runs)
    for r, row in table.items():
        axes[0, 1].plot(list(row), list(row.values()), "o-", label=f"r = {r:g}")
    axes[0, 1].set(title="TV denoising, noise of spectrum (1+S)^r", xlabel="s", ylabel="best PSNR (dB)")
    axes[0, 1].legend(fontsize="small")
    for s in (1.0, 0.0, -1.0, -2.0):
        shifts, values = misfits(s, HOMOGENEOUS)
        axes[0, 2].plot(shifts, values / values.max(), label=f"s = {s:g}")
    axes[0, 2].set(title="misfit of a shifted Ricker wavelet", xlabel="shift (periods)")
    axes[0, 2].legend(fontsize="small")
    for ax, (name, run) in zip(axes[1], done.items(), strict=True):
        for s, errors in run["errors"].items():
            ax.plot(np.linspace(0, 1, len(errors)), errors, ".-", label=f"s = {s:g}")
        ax.set(title=f"inversion, {name}", xlabel="share of the iterations", ylabel="relative error")
        ax.legend(fontsize="small")
    poor = done["poor start"]
    shown = {"truth": poor["truth"], "poor start, s = 0": poor["velocities"][0.0]}
    shown["poor start, s = -2"] = poor["velocities"][-2.0]
    for ax, (name, image) in zip(axes[2], shown.items(), strict=True):
        ax.imshow(image, vmin=1.5, vmax=3.5, aspect="auto", cmap="viridis")
        ax.set_axis_off()
        ax.set_title(name)
    return figure


def _draw_spectra(ax: Any, runs: list[dict[str, Any]]) -> None:
    for run in runs:
        frequencies, amplitude = radial_spectrum(run["images"][9])
        share = amplitude / radial_spectrum(run["truth"])[1]
        ax.plot(frequencies, share, label=f"s = {run['s']:g}")
    ax.axhline(1.0, color="grey", linewidth=0.7)
    ax.set(title="deblurred after 10 steps, over the truth", xlabel="cycles per pixel", ylabel="amplitude")
    ax.legend(fontsize="small")


EXPERIMENT = Experiment(
    "Sobolev norms as data fits: denoising, deblurring, full waveform inversion",
    "Zhu, Hu, Lou, Yang, arXiv 2109.06255 (2021)",
    lambda full, seed: run_at(FULL if full else SMALL, seed),
)
