"""The command ``wellposed demo``: the main job on a real CT slice that ships inside pydicom."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellposed.app import reconstruct
from wellposed.app.console import Console
from wellposed.app.errors import InputError
from wellposed.app.files import atomic_path
from wellposed.app.geometry import Geometry
from wellposed.app.outputs import Outputs
from wellposed.app.scan_task import Source, Task
from wellposed.app.solve import Options
from wellposed.app.writers import write_png, write_result

__all__ = ["VIEWS", "run", "simulate"]

VIEWS = 60
_FINER = 3
_PHOTONS = 2.0e4
_DARK = 100.0
_WATER = 0.0193
"""Attenuation of water at 70 keV, per millimetre."""
_SEED = 20240601


def run(folder: Path, console: Console) -> int:
    """Simulate a noisy scan, reconstruct it with the command's own code, and say where the results are.

    Parameters
    ----------
    folder : Path
        Made if it does not exist.
    console : Console

    Returns
    -------
    int
        Exit code, as `reconstruct.run` gives it.

    Raises
    ------
    InputError
        If the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {folder}: {error.strerror}; choose another --output"
        ) from error
    scan, truth = folder / "scan.h5", folder / "truth.tif"
    output, report = folder / "recon.tif", folder / "report.html"
    Outputs(output, report, "").check()
    console.stage(f"simulating {VIEWS} noisy views of the CT slice that ships with pydicom")
    fine, pixel = _slice()
    simulate(scan, fine, pixel / _FINER)
    image = _binned(fine)
    write_result(truth, image, attributes={"summary": "CT_small.dcm of pydicom, attenuation per millimetre"})
    write_png(folder / "truth.png", image)
    command = ["wellposed", "reconstruct", str(scan), "--pixel-size", str(pixel), "--truth", str(truth)]
    outputs = Outputs(
        output, report, shlex.join([*command, "--output", str(output), "--report", str(report)])
    )
    console.result(f"$ {outputs.command}")
    task = Task(0, Source(scan), Geometry(pixel_size=pixel), prior="tv", nonnegative=True, options=Options())
    return reconstruct.run(reconstruct.Request(task, "0", outputs, truth=truth), console)


def _slice() -> tuple[NDArray[np.float32], float]:
    """Attenuation per millimetre on a finer grid, and the pixel size of the file in millimetres."""
    import pydicom
    from pydicom.data import get_testdata_file
    from scipy.ndimage import zoom

    name = get_testdata_file("CT_small.dcm", download=False)
    if name is None:
        raise InputError(
            "pydicom came without its CT slice CT_small.dcm; install it again: pip install pydicom"
        )
    file = pydicom.dcmread(str(name))
    hounsfield = file.pixel_array * float(file.RescaleSlope) + float(file.RescaleIntercept)
    attenuation = np.maximum(hounsfield / 1000.0 + 1.0, 0.0) * _WATER
    rows, columns = np.mgrid[-1 : 1 : attenuation.shape[0] * 1j, -1 : 1 : attenuation.shape[1] * 1j]
    # The slice fills its square, and a scanner sees the circle that fits into it.
    attenuation[np.hypot(rows, columns) > 0.98] = 0.0
    fine = np.maximum(zoom(attenuation, _FINER, order=1, grid_mode=True, mode="nearest"), 0.0)
    return fine.astype(np.float32), float(file.PixelSpacing[0])


def _binned(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over the fine pixels of each coarse one."""
    rows, columns = (n // _FINER for n in fine.shape)
    image: NDArray[np.float32] = fine.reshape(rows, _FINER, columns, _FINER).mean(axis=(1, 3))
    return image


def simulate(path: Path, fine: NDArray[np.float32], pixel_size: float, seed: int = _SEED) -> None:
    """Write the scan of an image as data-exchange HDF5: counts with Poisson noise, flat and dark fields.

    The rays cross a grid that is three times finer than that of the reconstruction, and each detector
    column averages the intensities of three of them: data and reconstruction do not share one
    discretisation, so that the error of the projector is in the data as it is in a real scan.

    Parameters
    ----------
    path : Path
        HDF5 file.
    fine : ndarray
        Square image, attenuation per length.
    pixel_size : float
        Of `fine`; the detector columns are three times as wide.
    seed : int
        Of the noise.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    import h5py

    from wellposed.operators.tomography import ParallelBeam

    angles = np.linspace(0.0, 180.0, VIEWS, endpoint=False)
    columns = fine.shape[1] // _FINER
    rays = ParallelBeam(
        fine.shape, np.deg2rad(angles), _FINER * columns, detector_spacing=pixel_size, pixel_size=pixel_size
    )(fine)
    rng = np.random.default_rng(seed)
    gain = rng.uniform(0.9, 1.1, columns)
    transmitted = np.exp(-rays).reshape(VIEWS, columns, _FINER).mean(axis=2)

    def counts(expected: NDArray[Any]) -> NDArray[np.uint16]:
        signal = rng.poisson(_PHOTONS * gain * expected) + rng.normal(_DARK, 3.0, expected.shape)
        levels: NDArray[np.uint16] = np.clip(np.rint(signal), 0, 65535).astype(np.uint16)
        return levels[:, np.newaxis, :]

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file["implements"] = "exchange"
        exchange = file.create_group("exchange")
        exchange["title"] = "simulated scan of CT_small.dcm (pydicom)"
        exchange["data"] = counts(transmitted)
        exchange["data_white"] = counts(np.ones((50, columns)))
        exchange["data_dark"] = counts(np.zeros((50, columns)))
        theta = exchange.create_dataset("theta", data=angles)
        theta.attrs["units"] = "degrees"
