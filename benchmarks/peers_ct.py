"""Projectors of ASTRA, and of ODL on ASTRA, in the geometry of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wellposed.operators import FanBeam, ParallelBeam

Call = Callable[[], Any]


def astra_geometry(A: ParallelBeam | FanBeam) -> tuple[Any, Any]:
    """Projection and volume geometry; ASTRA's conventions for pixels, angles and bins are ours."""
    import astra

    n, m = A.image_shape
    volume = astra.create_vol_geom(n, m)
    if isinstance(A, FanBeam):
        distances = A.source_origin, A.origin_detector
        return astra.create_proj_geom(
            "fanflat", A.detector_spacing, A.n_detectors, A.angles, *distances
        ), volume
    return astra.create_proj_geom("parallel", A.detector_spacing, A.n_detectors, A.angles), volume


def astra_pair(
    A: ParallelBeam | FanBeam, kind: str, x: np.ndarray
) -> tuple[Call, Call, Callable[[], np.ndarray]]:
    """Forward and adjoint on data that ASTRA holds already, and the projection of ``x``."""
    import astra

    geometry, volume = astra_geometry(A)
    projector = astra.create_projector(kind, geometry, volume)
    image, result = astra.data2d.create("-vol", volume, x), astra.data2d.create("-vol", volume, 0)
    sinogram = astra.data2d.create("-sino", geometry, 0)

    def algorithm(name: str, **data: int) -> Call:
        settings = astra.astra_dict(name)
        settings.update(ProjectorId=projector, ProjectionDataId=sinogram, **data)
        number = astra.algorithm.create(settings)
        return lambda: astra.algorithm.run(number)

    forward = algorithm("FP", VolumeDataId=image)
    adjoint = algorithm("BP", ReconstructionDataId=result)

    def project() -> np.ndarray:
        forward()
        return np.asarray(astra.data2d.get(sinogram))

    return forward, adjoint, project


def astra_matrix(A: ParallelBeam) -> Any:
    """ASTRA's linear projector as a SciPy CSR matrix, float32."""
    import astra

    geometry, volume = astra_geometry(A)
    projector = astra.create_projector("linear", geometry, volume)
    return astra.matrix.get(astra.projector.matrix(projector)).tocsr().astype(np.float32)


def odl_transform(A: ParallelBeam) -> Any:
    """ODL's ray transform on ASTRA's linear projector; pixels of size 1, so that values are ours.

    It takes the image transposed, as ODL's first axis is x, and at the angles mirrored, since ours has y
    downwards along its rows: ``transform(x.T)[::-1]`` is our sinogram, and forward differences stay such.
    """
    import odl
    from odl.applications import tomo

    n, m = A.image_shape
    space = odl.uniform_discr([-m / 2, -n / 2], [m / 2, n / 2], (m, n), dtype="float32")
    step = A.angles[1] - A.angles[0]
    views = odl.uniform_partition(-A.angles[-1] - step / 2, -A.angles[0] + step / 2, len(A.angles))
    half = A.n_detectors * A.detector_spacing / 2
    bins = odl.uniform_partition(-half, half, A.n_detectors)
    return tomo.RayTransform(space, tomo.Parallel2dGeometry(views, bins), impl="astra_cpu")
