"""Ready-made problems: data, operator, ground truth and noise level; phantoms and metrics."""

from wellposed.problems.displacement import SparseShift, sparse_shift
from wellposed.problems.experts import ExpertMixture, expert_mixture
from wellposed.problems.imaging import (
    ImagingProblem,
    compressed_sensing_mri,
    deblurring,
    denoising,
    few_view_ct,
    inpainting,
    limited_angle_ct,
)
from wellposed.problems.inverse_transport import GaussianInverseTransport, gaussian_inverse_transport
from wellposed.problems.sparse_models import (
    Ratings,
    SparseClassification,
    low_rank_ratings,
    sparse_classification,
)
from wellposed.problems.tasks import RelatedTasks, related_tasks
from wellposed.problems.transport import (
    ClassClouds,
    ColourTransfer,
    class_clouds,
    colour_transfer,
    rotated_moons,
)
from wellposed.problems.waveform import WaveformProblem, waveform_inversion

__all__ = [
    "ClassClouds",
    "ColourTransfer",
    "ExpertMixture",
    "GaussianInverseTransport",
    "ImagingProblem",
    "Ratings",
    "RelatedTasks",
    "SparseClassification",
    "SparseShift",
    "WaveformProblem",
    "class_clouds",
    "colour_transfer",
    "compressed_sensing_mri",
    "deblurring",
    "denoising",
    "expert_mixture",
    "few_view_ct",
    "gaussian_inverse_transport",
    "inpainting",
    "limited_angle_ct",
    "low_rank_ratings",
    "related_tasks",
    "rotated_moons",
    "sparse_classification",
    "sparse_shift",
    "waveform_inversion",
]
