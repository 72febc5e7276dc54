"""The registry of operators: each entry is tested for all that an operator promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse
from scipy.sparse.linalg import aslinearoperator

import wellposed as wp
from wellposed.operators.algebra import Part

O = wp.operators
RNG = np.random.default_rng(7)
DENSE = RNG.standard_normal((6, 12))
SPARSE = scipy.sparse.random_array((9, 12), density=0.3, rng=np.random.default_rng(8), format="coo")
KERNEL = RNG.standard_normal((3, 4))
BLUR = O.gaussian_kernel(0.8)
WAVES = O.AcousticWaves(
    (4, 5), 0.04, 0.005, O.ricker(6.0, 0.005, 30), [[0, 1], [2, 3]], [[1, 4], [0, 1]], 4.0, layer=2
)


@dataclass(frozen=True)
class Entry:
    """An operator and what is known of it."""

    make: Callable[[], O.LinearOperator]
    slack: float = 1.0
    """How many times the true norm the bound may be."""


REGISTRY = {
    "identity": Entry(lambda: O.Identity((3, 4))),
    "centring": Entry(lambda: O.Centring((3, 4))),
    "centring, weights": Entry(lambda: O.Centring((3, 4), np.abs(np.arange(12.0).reshape(3, 4) - 4))),
    "columns of a matrix": Entry(lambda: O.Matrix(np.asfortranarray(DENSE), (3, 4), (2, 3))),
    "diagonal": Entry(lambda: O.Diagonal(DENSE)),
    "mask": Entry(lambda: O.Mask(DENSE > 0)),
    "matrix": Entry(lambda: O.Matrix(DENSE, (3, 4), (2, 3))),
    "kernel matrix": Entry(lambda: O.KernelMatrix(DENSE, DENSE[:4], wp.Parameter("gamma", 0.1)), slack=1.03),
    "matrix product": Entry(lambda: O.MatrixProduct(DENSE, 3)),
    "tall matrix": Entry(lambda: O.Matrix(DENSE.T)),
    "complex matrix": Entry(lambda: O.Matrix(DENSE + 1j * DENSE[::-1], (3, 4))),
    "sparse matrix": Entry(lambda: O.Matrix(SPARSE, (4, 3)), slack=1.03),
    "signed sparse matrix": Entry(lambda: O.Matrix(SPARSE * np.sign(DENSE.sum(0))), slack=1.03),
    "from scipy": Entry(lambda: O.from_scipy(aslinearoperator(DENSE), (3, 4), (3, 2)), slack=1.03),
    "gradient 1-D": Entry(lambda: O.Gradient((7,))),
    "gradient 2-D": Entry(lambda: O.Gradient((4, 5))),
    "gradient 3-D": Entry(lambda: O.Gradient((3, 2, 4))),
    "gradient 4-D": Entry(lambda: O.Gradient((2, 3, 1, 2))),
    "gradient of a colour image": Entry(lambda: O.Gradient((3, 4, 2), axes=(0, 1))),
    "gradient of one pixel": Entry(lambda: O.Gradient((1, 1))),
    "periodic gradient": Entry(lambda: O.PeriodicGradient((5, 4))),
    "periodic gradient 3-D": Entry(lambda: O.PeriodicGradient((2, 1, 3))),
    "gradient of a row": Entry(lambda: O.Gradient((1, 6))),
    "symmetrised gradient 2-D": Entry(lambda: O.SymmetrisedGradient((4, 3)), slack=1.3),
    "symmetrised gradient 3-D": Entry(lambda: O.SymmetrisedGradient((2, 3, 2)), slack=1.4),
    "fourier, real": Entry(lambda: O.FourierTransform((3, 4))),
    "fourier, complex": Entry(lambda: O.FourierTransform((4, 3), domain="complex")),
    "fourier, one axis": Entry(lambda: O.FourierTransform((4, 3), axes=(1,))),
    "periodic convolution": Entry(lambda: O.Convolution(KERNEL, (5, 6), "periodic")),
    "reflected convolution": Entry(lambda: O.Convolution(KERNEL, (5, 6), "reflect"), slack=1.03),
    "zero convolution": Entry(lambda: O.Convolution(KERNEL, (5, 6), "zero"), slack=1.3),
    "periodic blur": Entry(lambda: O.Convolution(BLUR, (8, 5), "periodic")),
    "reflected blur": Entry(lambda: O.Convolution(BLUR, (8, 5), "reflect")),
    "zero blur": Entry(lambda: O.Convolution(BLUR, (8, 5), "zero"), slack=1.1),
    "blur wider than the image": Entry(
        lambda: O.Convolution(O.gaussian_kernel(2.0), (4, 1), "zero"), slack=1.03
    ),
    "uneven blur": Entry(lambda: O.Convolution(np.abs(KERNEL), (5, 6), "reflect"), slack=1.03),
    "1-D convolution": Entry(lambda: O.Convolution(KERNEL[0], (9,), "zero"), slack=1.3),
    "3-D convolution": Entry(lambda: O.Convolution(KERNEL[None], (2, 3, 4), "reflect"), slack=1.03),
    "bessel potential": Entry(lambda: O.BesselPotential((5, 4), 1.5)),
    "reflected bessel potential": Entry(lambda: O.BesselPotential((4, 5), -2.3, "reflect")),
    "bessel potential of traces": Entry(
        lambda: O.BesselPotential((3, 7, 2), -1.0, axes=(1,), spacing=0.3, symbol="frequencies")
    ),
    "bessel potential of one pixel": Entry(lambda: O.BesselPotential((1, 1), 3.0, "reflect")),
    "fractional laplacian": Entry(lambda: O.FractionalLaplacian((3, 5), 0.7)),
    "periodic fractional laplacian": Entry(lambda: O.FractionalLaplacian((6, 1, 3), 2.0, "periodic")),
    "wavelet": Entry(lambda: O.Wavelet((8, 16), "db2")),
    "wavelet of colour": Entry(lambda: O.Wavelet((8, 3), "haar", axes=(0,))),
    "biorthogonal wavelet": Entry(lambda: O.Wavelet((16,), "bior2.2", level=1), slack=1.03),
    "inverse biorthogonal wavelet": Entry(lambda: O.Wavelet((16,), "bior2.2", level=1).inverse, slack=1.03),
    "pair differences": Entry(lambda: O.PairDifferences((4, 3), [0, 0, 2], [1, 3, 1]), slack=1.3),
    "pair differences of columns": Entry(lambda: O.PairDifferences((2, 5), [0, 1], [1, 4], 1), slack=1.3),
    "graph laplacian": Entry(lambda: O.GraphLaplacian(DENSE[:4, :5], 2, 1.0), slack=2.0),
    "normalised graph laplacian": Entry(
        lambda: O.GraphLaplacian(DENSE[:4, :5], 2, 1.0, spatial_sigma=2.0, normalisation="symmetric"),
        slack=2.0,
    ),
    "random walk graph laplacian": Entry(
        lambda: O.GraphLaplacian(DENSE[:4, :5], 1, 1.0, normalisation="random-walk"), slack=2.5
    ),
    "graph laplacian of a volume": Entry(
        lambda: O.GraphLaplacian(DENSE.reshape(3, 4, 6), 1, 2.0, normalisation="none"), slack=2.0
    ),
    "graph laplacian of neighbours": Entry(
        lambda: O.GraphLaplacian.from_neighbours(DENSE[:4, :5], 3, 1.0, normalisation="random-walk"),
        slack=3.0,
    ),
    "undecimated wavelet": Entry(lambda: O.UndecimatedWavelet((4, 8), "db2", 2)),
    "undecimated wavelet of colour": Entry(lambda: O.UndecimatedWavelet((6, 3), "haar", 1, axes=(0,))),
    "undecimated biorthogonal wavelet": Entry(lambda: O.UndecimatedWavelet((16,), "bior2.2", 2)),
    "shearlets": Entry(lambda: O.Shearlets((8, 9), 2)),
    "shearlets of odd colour images": Entry(lambda: O.Shearlets((5, 2, 7), 1, axes=(2, 0))),
    "shearlets of a row": Entry(lambda: O.Shearlets((1, 8), 2)),
    "shearlets that are not tight": Entry(lambda: O.Shearlets((6, 8), 2, tight=False)),
    "dual shearlets": Entry(lambda: O.Shearlets((6, 8), 2, tight=False).dual),
    "convolutional dictionary": Entry(lambda: O.ConvolutionalDictionary(KERNEL.reshape(2, 2, 3), (5, 4))),
    "zero convolutional dictionary": Entry(
        lambda: O.ConvolutionalDictionary(KERNEL.reshape(2, 2, 3), (5, 4), "zero"), slack=1.4
    ),
    "valid convolutional dictionary": Entry(
        lambda: O.ConvolutionalDictionary(KERNEL.reshape(2, 3, 2), (4, 5), "valid"), slack=1.3
    ),
    "filters wider than the array": Entry(lambda: O.ConvolutionalDictionary(KERNEL, (3,))),
    "convolutional dictionary of channels": Entry(
        lambda: O.ConvolutionalDictionary(KERNEL.reshape(3, 2, 2), (6,))
    ),
    "valid convolutional dictionary of channels": Entry(
        lambda: O.ConvolutionalDictionary(KERNEL.reshape(2, 3, 1, 2), (3, 4), "valid"), slack=1.3
    ),
    "convolutional dictionary of two layers": Entry(
        lambda: (
            O.ConvolutionalDictionary(KERNEL.reshape(3, 2, 2), (4, 3))
            @ O.ConvolutionalDictionary(DENSE.reshape(2, 3, 3, 4)[..., :2], (4, 3))
        ),
        slack=1.03,
    ),
    "linearised waves": Entry(lambda: WAVES.linearised(np.linspace(2.0, 3.5, 20).reshape(4, 5)), slack=1.05),
    "part": Entry(lambda: Part([(2, 2), (3,)], 1)),
    "adjoint": Entry(lambda: O.Gradient((3, 4)).T),
    "composition": Entry(lambda: O.Gradient((3, 4)) @ O.Mask(DENSE[:3, :4] > 0), slack=1.03),
    "scaled square composition": Entry(
        lambda: (3.0 * O.Diagonal(DENSE[0])) @ O.Diagonal(DENSE[0]), slack=1.03
    ),
    "gram": Entry(lambda: O.Gradient((3, 4)).gram),
    "sum": Entry(lambda: O.Convolution(KERNEL, (3, 4)) + O.Identity((3, 4)), slack=1.03),
    "difference": Entry(lambda: O.Identity((3, 4)) - 0.5 * O.Mask(DENSE[:3, :4] > 0), slack=1.03),
    "scaled": Entry(lambda: -30.0 * O.Gradient((3, 4))),
    "stack": Entry(lambda: O.stack([O.Gradient((3, 4)), O.Identity((3, 4))]), slack=1.05),
    "masked fourier": Entry(
        lambda: O.Mask(DENSE[:3, :4] > 0, "complex") @ O.FourierTransform((3, 4)), slack=1.03
    ),
}


@pytest.fixture(params=REGISTRY.values(), ids=REGISTRY.keys())
def entry(request: pytest.FixtureRequest) -> Entry:
    """Each operator of the registry in turn."""
    return request.param
