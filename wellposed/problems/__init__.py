"""Ready-made problems: data, operator, ground truth and noise level; phantoms and metrics."""

from wellposed.problems.imaging import (
    ImagingProblem,
    compressed_sensing_mri,
    deblurring,
    denoising,
    few_view_ct,
    inpainting,
    limited_angle_ct,
)
from wellposed.problems.waveform import WaveformProblem, waveform_inversion

__all__ = [
    "ImagingProblem",
    "WaveformProblem",
    "compressed_sensing_mri",
    "deblurring",
    "denoising",
    "few_view_ct",
    "inpainting",
    "limited_angle_ct",
    "waveform_inversion",
]
