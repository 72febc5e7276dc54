"""Linear operators with exact adjoints and bounded norms.

Modules are loaded on first use of a name in them, since some need heavy packages.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wellposed.operators._base import LinearOperator
    from wellposed.operators.algebra import Stack, stack
    from wellposed.operators.calculus import Gradient, SymmetrisedGradient
    from wellposed.operators.centring import Centring
    from wellposed.operators.convolution import Convolution, disk_kernel, gaussian_kernel
    from wellposed.operators.convolutional_dictionary import ConvolutionalDictionary
    from wellposed.operators.diagonal import Diagonal, Identity, Mask
    from wellposed.operators.fan_beam import FanBeam
    from wellposed.operators.fourier import FourierTransform
    from wellposed.operators.graph import GraphLaplacian
    from wellposed.operators.kernel_matrix import KernelMatrix
    from wellposed.operators.matrices import Matrix, from_scipy, to_scipy
    from wellposed.operators.matrix_product import MatrixProduct
    from wellposed.operators.parallel_beam import ParallelBeam
    from wellposed.operators.periodic import PeriodicGradient
    from wellposed.operators.shearlets import Shearlets
    from wellposed.operators.sobolev import BesselPotential, FractionalLaplacian
    from wellposed.operators.undecimated import UndecimatedWavelet
    from wellposed.operators.waveform import AcousticWaves, ricker
    from wellposed.operators.wavelets import Wavelet

_HOME = {
    "AcousticWaves": "waveform",
    "BesselPotential": "sobolev",
    "Centring": "centring",
    "Convolution": "convolution",
    "ConvolutionalDictionary": "convolutional_dictionary",
    "Diagonal": "diagonal",
    "FanBeam": "fan_beam",
    "FourierTransform": "fourier",
    "Gradient": "calculus",
    "FractionalLaplacian": "sobolev",
    "GraphLaplacian": "graph",
    "Identity": "diagonal",
    "KernelMatrix": "kernel_matrix",
    "LinearOperator": "_base",
    "Mask": "diagonal",
    "Matrix": "matrices",
    "MatrixProduct": "matrix_product",
    "PairDifferences": "pairs",
    "ParallelBeam": "parallel_beam",
    "PeriodicGradient": "periodic",
    "Shearlets": "shearlets",
    "Stack": "algebra",
    "SymmetrisedGradient": "calculus",
    "UndecimatedWavelet": "undecimated",
    "Wavelet": "wavelets",
    "disk_kernel": "convolution",
    "from_scipy": "matrices",
    "gaussian_kernel": "convolution",
    "ricker": "waveform",
    "stack": "algebra",
    "to_scipy": "matrices",
}

__all__ = [
    "AcousticWaves",
    "BesselPotential",
    "Centring",
    "Convolution",
    "ConvolutionalDictionary",
    "Diagonal",
    "FanBeam",
    "FourierTransform",
    "FractionalLaplacian",
    "Gradient",
    "GraphLaplacian",
    "Identity",
    "KernelMatrix",
    "LinearOperator",
    "Mask",
    "Matrix",
    "MatrixProduct",
    "PairDifferences",
    "ParallelBeam",
    "PeriodicGradient",
    "Shearlets",
    "Stack",
    "SymmetrisedGradient",
    "UndecimatedWavelet",
    "Wavelet",
    "disk_kernel",
    "from_scipy",
    "gaussian_kernel",
    "ricker",
    "stack",
    "to_scipy",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'wellposed.operators' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"wellposed.operators.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
