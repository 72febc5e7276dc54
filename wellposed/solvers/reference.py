"""The reference image of a two-stage method: a name, an image, or a function of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import is_array_api_obj

from wellposed import arrays
from wellposed.arrays import Array
from wellposed.operators._base import LinearOperator
from wellposed.operators.tomography import FanBeam, ParallelBeam
from wellposed.solvers.selection_data import DataTerm

REFERENCES = ("fbp", "tikhonov", "tv")
"""Names of references."""

Psi = Callable[[Array, LinearOperator | None], Array]
"""A reconstructor: from the data and the operator (``None`` for the identity) to an image."""


def check_reference(reference: Any, data: DataTerm, option: str = "reference") -> None:
    """An error if a reference is unknown, or does not fit the data; before any work.

    Parameters
    ----------
    reference : str, array or callable
    data : DataTerm
    option : str
        Name of the user's argument.

    Raises
    ------
    ValueError
    """
    if isinstance(reference, str):
        if reference not in REFERENCES:
            listed = ", ".join(repr(name) for name in REFERENCES)
            raise ValueError(
                f"unknown {option} {reference!r}; choose {listed}, an image, or a function of the data and "
                "the operator"
            )
        if reference == "fbp" and not isinstance(data.A, ParallelBeam | FanBeam):
            kind = "the identity" if data.A is None else type(data.A).__name__
            raise ValueError(
                f"{option}='fbp' needs a ParallelBeam or FanBeam operator, but the data fit has {kind}; "
                "choose 'tv' or 'tikhonov', or give an image"
            )
    elif not callable(reference):
        fitting(reference, data, option)


def fitting(image: Any, data: DataTerm, option: str = "reference") -> Array:
    """A reference in the kind, device and precision of the data, its shape checked.

    Parameters
    ----------
    image : array
    data : DataTerm
    option : str
        Name of the user's argument.

    Raises
    ------
    TypeError, ValueError
    """
    name = f"the {option}"
    image = arrays.as_floating(image, name, complex_allowed=arrays.is_complex(data.fit.b))
    shape = tuple(data.fit.b.shape) if data.A is None else data.A.domain_shape
    if tuple(image.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(image.shape)}, the image {shape}")
    arrays.check_finite(image, name)
    if arrays.is_complex(image):
        arrays.namespace(image, data.fit.b)
        return image
    return arrays.as_namespace(image, data.fit.b, name)


def reconstructed(psi: Psi, data: DataTerm, option: str = "reference") -> Array:
    """The image that a function makes of the data, in their kind and precision.

    An image of another library in host memory (a network's tensor for NumPy data) is taken as well.

    Parameters
    ----------
    psi : callable
    data : DataTerm
    option : str
        Name of the user's argument.

    Raises
    ------
    TypeError, ValueError
    """
    image = psi(data.fit.b, data.A)
    foreign = is_array_api_obj(image) and not isinstance(image, type(data.fit.b))
    if foreign and not (arrays.is_gpu(image) or arrays.is_gpu(data.fit.b)):
        image = arrays.from_host(arrays.to_host(image), data.fit.b)
    return fitting(image, data, option)
